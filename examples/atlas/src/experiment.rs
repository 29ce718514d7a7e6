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

/// Sequences that a question is tried on.
const TRIED: usize = 100;
/// So many heads are named where they are not beside the answer.
const NAMED: usize = 4;

/// What is taken away.
#[derive(Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) heads: Vec<HeadId>,
    /// Only these edges; `None` for the heads as a whole.
    pub(crate) edges: Option<Edges>,
}

/// What that does.
pub(crate) enum Answer {
    Ablation(Ablation),
    KnockOut(KnockOut),
}

/// A question with what was found.
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
            Self::KnockOut(cut) => &cut.effect,
        }
    }

    /// What was found, a line each.
    fn lines(&self) -> Vec<String> {
        let effect = self.effect();
        let interval = |of: &Estimate| format!("{:+.3} ({:+.3} to {:+.3})", of.mean, of.low, of.high);
        let mut lines = Vec::new();
        if let (Some(loss), Some(change)) = (&effect.loss, &effect.loss_change) {
            lines.push(format!("Loss {:.3}, changes by {}", loss.mean, interval(change)));
        }
        let distance = match effect.distance {
            Distance::Divergence => "Predictions move by (KL, nats)",
            Distance::Cosine => "States turn by (1 − cosine)",
            _ => "Outputs move by",
        };
        lines.push(format!("{distance} {}", interval(&effect.output_change)));
        if let Some(agreement) = &effect.agreement {
            lines.push(format!(
                "Its first class stays in {:.0} % ({:.0} to {:.0} %)",
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
            Self::KnockOut(cut) => {
                let (heads, edges) = (cut.random_heads.len(), cut.random_edges.len());
                lines.push(beside(
                    "The same edges of other heads",
                    cut.reached_heads,
                    heads,
                    cut.p_value_heads,
                ));
                lines.push(beside(
                    "Other edges of this head",
                    cut.reached_edges,
                    edges,
                    cut.p_value_edges,
                ));
            }
        }
        lines
    }
}

/// How many random variants have as large an effect.
fn beside(what: &str, reached: usize, count: usize, p_value: f64) -> String {
    format!("{what}: {reached} of {count} have as large an effect (p = {p_value:.2})")
}

/// The questions of a window, and what was found.
pub(crate) struct Experiments {
    asked: Option<Question>,
    found: Vec<(Question, Answer)>,
    /// The edges that the next question is about; two words if none of the common rules.
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
    /// Takes in what was found; the error, if it is one.
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

/// What was found of these heads and what may be asked, by a button of this name; returns the question that was clicked.
pub(crate) fn show(ui: &mut Ui, side: &mut Side, heads: &[HeadId], name: &str) -> Option<Question> {
    side.capturer.as_ref()?;
    // Edges are spoken of beside the head they are of.
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
            1 => "Ablates this head, then each of 20 others, over at most 100 sequences",
            _ => "Ablates these heads, then 20 random sets of as many heads, over at most 100 sequences",
        };
        if ui.button(name).on_hover_text(help).clicked() {
            question = Some(None);
        }
    }
    if alone {
        ui.horizontal_wrapped(|ui| {
            choice(ui, &mut experiments.rule, &mut experiments.words);
            let edges = Some(experiments.edges());
            let help = "Knocks out these edges of the head in every sequence, the same edges of 20 other heads, and as many other edges of this head";
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

/// Chooses a rule, or two words.
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
            ui.add(field).on_hover_text("A word; empty for any");
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

/// Sequences to try a question on, so many that the answer comes soon.
fn tried(study: &Study) -> Vec<Sequence> {
    let all = study.capture().sequences();
    let every = all.len().div_ceil(TRIED).max(1);
    all.iter().step_by(every).cloned().collect()
}

impl Side {
    /// Takes something out of the model and measures what that does.
    pub(crate) fn ask(&mut self, question: Question) {
        if let (Some(study), Some(capturer)) = (&self.study, &self.capturer) {
            self.experiments.asked = Some(question.clone());
            self.work.answer(question, capturer.clone(), tried(study));
        }
    }
}

/// The experiments that the command line asks for, over all sequences, as ablation.json and knock-out.json.
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
    let mut cuts = Vec::new();
    for question in questions {
        let capturer = capturer.ok_or("an experiment: a capture alone cannot be run again; name its --model")?;
        let answer = question.answer(capturer, study.capture().sequences(), terminal)?;
        let names: Vec<String> = question.heads.iter().map(ToString::to_string).collect();
        let edges = question.edges.as_ref().map(|edges| format!(" {}", describe(edges)));
        println!(
            "ablation of {}{} ({} sequences): {}",
            names.join(", "),
            edges.unwrap_or_default(),
            answer.effect().sequences,
            answer.lines().join("; ")
        );
        match answer {
            Answer::Ablation(ablation) => {
                write_atomically(&out.join("ablation.json"), &serde_json::to_vec_pretty(&ablation)?)?;
            }
            Answer::KnockOut(cut) => cuts.push(cut),
        }
    }
    if !cuts.is_empty() {
        write_atomically(&out.join("knock-out.json"), &serde_json::to_vec_pretty(&cuts)?)?;
    }
    Ok(())
}
