//! Experiments on heads: buttons beside the heads, and results.

use attn_sdk::{
    Study,
    core::{HeadId, Sequence},
    study::experiment::{Answer, Edges, Question},
};
use eframe::egui::{Align, ComboBox, RichText, TextEdit, Ui};

use crate::{pane::Pane, stopped::Again};

/// Limit of sequences per experiment in the window.
const TRIED: usize = 100;
/// Limit of heads that a result names.
const NAMED: usize = 4;

/// A question with what was found.
pub(crate) type Answered = (Question, Result<Answer, attn_sdk::Error>);

/// The questions of a window, and what was found.
pub(crate) struct Experiments {
    asked: Option<Question>,
    found: Vec<(Question, Answer)>,
    /// The last answer is still to be brought into sight.
    fresh: Option<Question>,
    /// The rule of edges to knock out; `None` for two words.
    rule: Option<Edges>,
    words: [String; 2],
}

impl Default for Experiments {
    fn default() -> Self {
        Self {
            asked: None,
            found: Vec::new(),
            fresh: None,
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
                self.fresh = Some(question.clone());
                self.found.push((question, answer));
                None
            }
            Err(error) => Some(error.to_string()),
        }
    }

    /// The question was stopped: it may be asked again.
    pub(crate) fn give_up(&mut self) {
        self.asked = None;
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
pub(crate) fn show(ui: &mut Ui, pane: &mut Pane, heads: &[HeadId], name: &str) -> Option<Question> {
    pane.capturer.as_ref()?;
    // Edges can be knocked out in the current head only.
    let alone = heads.len() == 1 && pane.view.open.or(pane.plot.interaction().head) == heads.first().copied();
    let named = |study: &Study| {
        let name = |head: &HeadId| study.capture().model().head_name(*head);
        heads.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let them = match (&pane.study, heads.len()) {
        (Some(study), ..=NAMED) if !alone => named(study),
        (_, 1) => "it".to_owned(),
        _ => "them".to_owned(),
    };
    let experiments = &mut pane.experiments;
    for (question, answer) in experiments.found.iter().filter(|(question, _)| question.heads == heads) {
        let what = match &question.edges {
            None => format!("Ablation of {them}"),
            Some(edges) => format!("Knock-out of edges: {}", edges.describe()),
        };
        let shown = ui.vertical(|ui| {
            ui.label(RichText::new(format!("{what} ({} sequences)", answer.effect().sequences)).strong());
            for line in answer.lines() {
                ui.label(line);
            }
        });
        if experiments.fresh.take_if(|fresh| fresh == question).is_some() {
            shown.response.scroll_to_me(Some(Align::Center));
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
    let name = rule.as_ref().map_or_else(|| "words …".to_owned(), Edges::describe);
    ComboBox::from_id_salt("edges")
        .selected_text(name)
        .width(150.0)
        .show_ui(ui, |ui| {
            for edges in Edges::COMMON {
                let name = edges.describe();
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

/// Sequences to try a question on, so many that the answer comes soon.
fn tried(study: &Study) -> Vec<Sequence> {
    let all = study.capture().sequences();
    let every = all.len().div_ceil(TRIED).max(1);
    all.iter().step_by(every).cloned().collect()
}

impl Pane {
    /// Starts an experiment.
    pub(crate) fn ask(&mut self, question: Question) {
        if let (Some(study), Some(capturer)) = (&self.study, &self.capturer) {
            self.experiments.asked = Some(question.clone());
            self.stopped.resumed(&Again::Experiment(question.clone()));
            self.work.answer(question, capturer.clone(), tried(study));
        }
    }
}
