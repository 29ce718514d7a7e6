//! Experiments on heads: command-line options, buttons beside the heads, and results.

use std::{error::Error, path::Path};

use attn_sdk::{
    Ablation, Edges, ExperimentParams, KnockOut, Progress, Study, ablate,
    core::{HeadId, LayerHead, Sequence, files::write_atomically},
    knock_out,
    models::Capturer,
    study::experiment::{Distance, Effect, Estimate},
};
use eframe::egui::{ComboBox, RichText, TextEdit, Ui};

use examples_common::Terminal;

use crate::{options::Options, pictures, side::Side};

/// Limit of sequences per experiment in the window.
const TRIED: usize = 100;
/// Limit of heads that a result names.
const NAMED: usize = 4;

/// An ablation of heads or a knock-out of their edges.
#[derive(Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) heads: Vec<HeadId>,
    /// Only these edges; `None` for the heads as a whole.
    pub(crate) edges: Option<Edges>,
}

/// Its result.
pub(crate) enum Answer {
    Ablation(Ablation),
    KnockOut(KnockOut),
}

/// A question with its result.
pub(crate) type Answered = (Question, Result<Answer, attn_sdk::Error>);

impl Question {
    pub(crate) fn answer(
        &self,
        capturer: &Capturer,
        sequences: &[Sequence],
        progress: &dyn Progress,
    ) -> Result<Answer, attn_sdk::Error> {
        let params = ExperimentParams::default();
        Ok(match &self.edges {
            None => Answer::Ablation(ablate(capturer, sequences, &self.heads, &params, progress)?),
            Some(edges) => Answer::KnockOut(knock_out(capturer, sequences, &self.heads, edges, &params, progress)?),
        })
    }
}

impl Answer {
    fn effect(&self) -> &Effect {
        match self {
            Self::Ablation(ablation) => &ablation.effect,
            Self::KnockOut(knock_out) => &knock_out.effect,
        }
    }

    /// The result, a line per number.
    fn lines(&self) -> Vec<String> {
        let effect = self.effect();
        let interval = |of: &Estimate| format!("{:+.3} ({:+.3} to {:+.3})", of.mean, of.low, of.high);
        let mut lines = Vec::new();
        if let (Some(loss), Some(change)) = (&effect.loss, &effect.loss_change) {
            lines.push(format!("Loss {:.3}, change {}", loss.mean, interval(change)));
        }
        let distance = match effect.distance {
            Distance::Divergence => "Change of predictions (KL, nats)",
            Distance::Cosine => "Change of states (1 − cosine)",
            _ => "Change of outputs",
        };
        lines.push(format!("{distance} {}", interval(&effect.output_change)));
        if let Some(agreement) = &effect.agreement {
            lines.push(format!(
                "Predicted class unchanged: {:.0} % ({:.0} to {:.0} %)",
                100.0 * agreement.mean,
                100.0 * agreement.low,
                100.0 * agreement.high
            ));
        }
        match self {
            Self::Ablation(ablation) => {
                let what = if ablation.heads.len() == 1 {
                    "Other heads"
                } else {
                    "Other sets of heads"
                };
                lines.push(beside(what, ablation.reached, ablation.random.len(), ablation.p_value));
            }
            Self::KnockOut(knock_out) => {
                let (heads, edges) = (knock_out.random_heads.len(), knock_out.random_edges.len());
                lines.push(beside(
                    "The same edges of other heads",
                    knock_out.reached_heads,
                    heads,
                    knock_out.p_value_heads,
                ));
                lines.push(beside(
                    "Other edges of this head",
                    knock_out.reached_edges,
                    edges,
                    knock_out.p_value_edges,
                ));
            }
        }
        lines
    }
}

/// The number of random variants with at least this effect.
fn beside(what: &str, reached: usize, count: usize, p_value: f64) -> String {
    format!("{what}: {reached} of {count} have at least this effect (p = {p_value:.2})")
}

/// The experiments of a window.
pub(crate) struct Experiments {
    asked: Option<Question>,
    found: Vec<(Question, Answer)>,
    /// The rule of edges to knock out; `None` for two words.
    rule: Option<Edges>,
    words: [String; 2],
}

impl Default for Experiments {
    fn default() -> Self {
        Self {
            asked: None,
            found: Vec::new(),
            rule: Some(Edges::Offset(-1)),
            words: Default::default(),
        }
    }
}

impl Experiments {
    /// Takes a result; returns its error.
    pub(crate) fn take(&mut self, (question, answer): Answered) -> Option<String> {
        self.asked = None;
        match answer {
            Ok(answer) => {
                self.found.retain(|(known, _)| *known != question);
                self.found.push((question, answer));
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }

    fn edges(&self) -> Edges {
        let word = |word: &String| Some(word.trim().to_owned()).filter(|word| !word.is_empty());
        self.rule.clone().unwrap_or_else(|| Edges::Words {
            query: word(&self.words[0]),
            key: word(&self.words[1]),
        })
    }
}

/// Shows the results for these heads and the buttons of experiments. `name` labels the button of ablation. Returns the clicked question.
pub(crate) fn show(ui: &mut Ui, side: &mut Side, heads: &[HeadId], name: &str) -> Option<Question> {
    side.capturer.as_ref()?;
    // Edges can be knocked out in the current head only.
    let alone = heads.len() == 1 && side.view.open.or(side.picture.interaction().head) == heads.first().copied();
    let named = |study: &Study| {
        let name = |head: &HeadId| study.capture().model().head_name(*head);
        heads.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let them = match (&side.study, heads.len()) {
        (Some(study), ..=NAMED) if !alone => named(study),
        (_, 1) => "it".to_owned(),
        _ => "them".to_owned(),
    };
    let experiments = &mut side.experiments;
    for (question, answer) in experiments.found.iter().filter(|(question, _)| question.heads == heads) {
        let what = match &question.edges {
            None => format!("Ablation of {them}"),
            Some(edges) => format!("Knock-out of edges: {}", describe(edges)),
        };
        ui.label(RichText::new(format!("{what} ({} sequences)", answer.effect().sequences)).strong());
        for line in answer.lines() {
            ui.label(line);
        }
    }
    if let Some(asked) = &experiments.asked {
        if asked.heads == heads {
            ui.label(RichText::new("Running …").weak());
        }
        return None;
    }
    let mut question = None;
    let known = |edges: &Option<Edges>| {
        let same = |(known, _): &(Question, Answer)| known.heads == heads && known.edges == *edges;
        experiments.found.iter().any(same)
    };
    if !known(&None) {
        let help = match heads.len() {
            1 => "Ablates this head over at most 100 sequences. Baseline: 20 other heads, one at a time",
            _ => "Ablates these heads over at most 100 sequences. Baseline: 20 random sets of the same size",
        };
        if ui.button(name).on_hover_text(help).clicked() {
            question = Some(None);
        }
    }
    if alone {
        ui.horizontal_wrapped(|ui| {
            choice(ui, &mut experiments.rule, &mut experiments.words);
            let edges = Some(experiments.edges());
            let help = "Knocks out these edges of the head in every sequence. Baselines: the same edges of 20 other heads, as many other edges of this head";
            if ui.button("Knock out these edges").on_hover_text(help).clicked() {
                question = Some(edges);
            }
        });
    }
    question.map(|edges| Question {
        heads: heads.to_vec(),
        edges,
    })
}

/// Lets the user choose a rule, or two words.
fn choice(ui: &mut Ui, rule: &mut Option<Edges>, words: &mut [String; 2]) {
    let name = rule.as_ref().map_or_else(|| "words …".to_owned(), describe);
    ComboBox::from_id_salt("edges")
        .selected_text(name)
        .width(150.0)
        .show_ui(ui, |ui| {
            for edges in Edges::COMMON {
                let name = describe(&edges);
                ui.selectable_value(rule, Some(edges), name);
            }
            ui.selectable_value(rule, None, "words …");
        })
        .response
        .on_hover_text("Edges to knock out");
    if rule.is_none() {
        for (word, hint) in words.iter_mut().zip(["from", "to"]) {
            let field = TextEdit::singleline(word).hint_text(hint).desired_width(64.0);
            ui.add(field).on_hover_text("A word; empty matches any");
        }
    }
}

fn describe(edges: &Edges) -> String {
    match edges {
        Edges::Offset(-1) => "to the previous token".into(),
        Edges::Offset(0) => "to itself".into(),
        Edges::Offset(1) => "to the next token".into(),
        Edges::Offset(offset) => format!("{offset:+} tokens"),
        Edges::First => "to the first token".into(),
        Edges::Special => "to special tokens".into(),
        Edges::SameToken => "to the same token".into(),
        Edges::Words { .. } => edges.to_string(),
    }
}

/// An even sample of sequences, small enough for an answer within seconds.
fn tried(study: &Study) -> Vec<Sequence> {
    let all = study.capture().sequences();
    let every = all.len().div_ceil(TRIED).max(1);
    all.iter().step_by(every).cloned().collect()
}

impl Side {
    /// Starts an experiment.
    pub(crate) fn ask(&mut self, question: Question) {
        if let (Some(study), Some(capturer)) = (&self.study, &self.capturer) {
            self.experiments.asked = Some(question.clone());
            self.work.answer(question, capturer.clone(), tried(study));
        }
    }
}

/// Runs the experiments of the command line over all sequences; writes ablation.json and knock-out.json.
pub(crate) fn write(
    study: &Study,
    capturer: Option<&Capturer>,
    options: &Options,
    out: &Path,
    terminal: &Terminal,
) -> Result<(), Box<dyn Error>> {
    let mut questions = Vec::new();
    if !options.ablate.is_empty() {
        questions.push(Question {
            heads: pictures::named(study, "--ablate", &options.ablate)?,
            edges: None,
        });
    }
    let heads: Vec<LayerHead> = options.knock_out.iter().map(|(head, _)| *head).collect();
    let heads = pictures::named(study, "--knock-out", &heads)?;
    questions.extend(options.knock_out.iter().zip(heads).map(|((_, edges), head)| Question {
        heads: vec![head],
        edges: Some(edges.clone()),
    }));
    let mut knock_outs = Vec::new();
    for question in questions {
        let capturer = capturer.ok_or("experiments need a model: replace --open by --model")?;
        let answer = question.answer(capturer, study.capture().sequences(), terminal)?;
        let names: Vec<String> = question.heads.iter().map(ToString::to_string).collect();
        let edges = question
            .edges
            .as_ref()
            .map(|edges| format!(", edges {}", describe(edges)));
        println!(
            "{} {}{} ({} sequences): {}",
            if edges.is_some() { "knock-out in" } else { "ablation of" },
            names.join(", "),
            edges.unwrap_or_default(),
            answer.effect().sequences,
            answer.lines().join("; ")
        );
        match answer {
            Answer::Ablation(ablation) => {
                write_atomically(&out.join("ablation.json"), &serde_json::to_vec_pretty(&ablation)?)?;
            }
            Answer::KnockOut(knock_out) => knock_outs.push(knock_out),
        }
    }
    if !knock_outs.is_empty() {
        write_atomically(&out.join("knock-out.json"), &serde_json::to_vec_pretty(&knock_outs)?)?;
    }
    Ok(())
}
