//! One example: why this class and not that one, by every method beside each other; what each token attends to.

use std::sync::Arc;

use attn_egui::{SceneView, egui_wgpu::RenderState};
use attn_sdk::{
    core::{Attention, Side, Token},
    models::attribute::Target,
    render::{Plot, control::Event},
    study::{
        explain::{AttentionRows, ExplainParams, Explanation, attention_rows, explain},
        pruning::{LabeledExample, Labels},
    },
};
use eframe::egui::{CentralPanel, ComboBox, Frame, Grid, Panel, RichText, ScrollArea, TextEdit, Ui};

use super::{Session, View, model::Shared};
use crate::window::News;

/// What stands below the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    Attention,
    /// That of a token of a target to the source.
    Source,
    Deletion,
    Insertion,
    Agreement,
}

pub(crate) struct Example {
    scores: SceneView,
    below: SceneView,
    model: Shared,
    text: String,
    /// The example of the log that `text` is.
    from: Option<usize>,
    /// The text as the checkpoint at a place reads it, or why it cannot; `None` before it is read.
    read: Option<(usize, Result<LabeledExample, String>)>,
    /// What may be asked of it: every class of the model, or every token that it is to write.
    questions: Vec<(String, Target)>,
    class: usize,
    against: Option<usize>,
    shown: Below,
    found: Option<Arc<(Explanation, Vec<AttentionRows>)>>,
    token: usize,
}

impl Example {
    pub(crate) fn new(state: &RenderState, model: Shared) -> Self {
        Self {
            scores: SceneView::new(state, "attribution"),
            below: SceneView::new(state, "attention and curves"),
            model,
            text: String::new(),
            from: None,
            read: None,
            questions: Vec::new(),
            class: 0,
            against: None,
            shown: Below::Attention,
            found: None,
            token: 0,
        }
    }

    /// Takes the example that was clicked, or the first.
    fn follow_click(&mut self, session: &Session) {
        let log = session.training.log();
        let wanted = session.example.or((!log.examples().is_empty()).then_some(0));
        if wanted == self.from {
            return;
        }
        let Some(example) = wanted.and_then(|at| log.examples().get(at)) else {
            return;
        };
        let model = self.model.borrow();
        // The classes are those of the model: it may not be there yet.
        let Some(loaded) = &model.loaded else { return };
        self.from = wanted;
        self.text = example.text.as_deref().unwrap_or_default().to_owned();
        (self.read, self.class, self.against) = (None, 0, None);
        let model = loaded.snapshot.capturer.model();
        let (labels, writes) = (model.labels(), model.token_labels().is_empty());
        let gold = wanted.map(|at| log.gold(at)).unwrap_or_default();
        match labels.iter().position(|label| *label == gold) {
            Some(class) => self.class = class,
            // A model that writes: what it is to write stands after a TAB.
            None if labels.is_empty() && writes => self.text = format!("{}\t{gold}", self.text),
            None => {}
        }
    }

    /// Reads the text, where it or the checkpoint is another.
    fn read(&mut self) {
        let model = self.model.borrow();
        let Some(loaded) = &model.loaded else { return };
        if self.read.as_ref().is_some_and(|(place, _)| *place == loaded.place) {
            return;
        }
        let capturer = &loaded.snapshot.capturer;
        let (labels, text) = (capturer.model().labels(), self.text.as_str());
        let of_tokens = capturer.model().token_labels();
        let example = match text.split_once('\t') {
            _ if !of_tokens.is_empty() => LabeledExample::of_text(capturer, "text", text, Labels::Tokens(Vec::new())),
            _ if !labels.is_empty() => LabeledExample::of_text(capturer, "text", text, Labels::Class(0)),
            Some((text, target)) => LabeledExample::of_target(capturer, "text", text, target),
            None => LabeledExample::of_target(capturer, "text", "", text),
        };
        self.questions = match &example {
            Ok(_) if !labels.is_empty() => labels.iter().cloned().zip((0..).map(Target::Class)).collect(),
            Ok(example) if !of_tokens.is_empty() => {
                let tokens = example.sequence.encoder.iter().filter(|token| !token.special);
                let asked = |token: &Token| {
                    let position = token.position;
                    let text = token.text.clone();
                    let target = move |token: u32| Target::Token { position, token };
                    let question = move |(name, class): (&String, u32)| (format!("{text}: {name}"), target(class));
                    of_tokens.iter().zip(0..).map(question).collect::<Vec<_>>()
                };
                tokens.flat_map(asked).collect()
            }
            Ok(example) => {
                let name = |target: &Target| match (target, capturer.tokenizer()) {
                    (Target::Token { position, token }, Some(tokenizer)) => {
                        format!("{} at {position}", tokenizer.token(*token).text)
                    }
                    _ => String::new(),
                };
                let targets = example.targets(capturer.model()).into_iter();
                targets.map(|target| (name(&target), target)).collect()
            }
            Err(_) => Vec::new(),
        };
        self.class = self.class.min(self.questions.len().saturating_sub(1));
        self.against = self.against.filter(|&other| other < self.questions.len());
        self.read = Some((loaded.place, example.map_err(|error| error.to_string())));
    }

    fn ask(&self, session: &Session) {
        let Some(loaded) = self.model.borrow().loaded.clone() else {
            return;
        };
        let (Some((_, Ok(example))), Some((_, target))) = (&self.read, self.questions.get(self.class)) else {
            return;
        };
        let (mut example, target, token) = (example.clone(), target.clone(), self.token);
        let against = self.against.filter(|other| *other != self.class);
        let target = match against.and_then(|other| self.questions.get(other)) {
            Some((_, other)) => target.minus(other.clone()),
            None => target,
        };
        if let Some(found) = self.from.and_then(|at| session.training.log().examples().get(at)) {
            example.sequence.name = found.id.to_string();
        }
        let seed = session.sample.seed;
        session.jobs.start("explanation", move |job| {
            let capturer = &loaded.snapshot.capturer;
            let params = ExplainParams {
                seed,
                ..ExplainParams::default()
            };
            let found = explain(capturer, &example, &target, &params, job)?;
            let Some(asked) = found.tokens.get(token).or(found.tokens.first()) else {
                return Ok(());
            };
            let token = (asked.side, asked.token.position);
            let mut rows = vec![attention_rows(capturer, &example, token, asked.side)?];
            // A token of a target attends to the source too.
            if capturer.model().info().attention(Attention::Cross).is_some() && asked.side == Side::Decoder {
                rows.push(attention_rows(capturer, &example, token, Side::Encoder)?);
            }
            job.send(News::Explained(Arc::new((found, rows))));
            Ok(())
        });
    }

    fn controls(&mut self, ui: &mut Ui, session: &Session) {
        // The panel keeps its width, whatever is in it.
        ui.set_min_width(ui.available_width());
        ui.add_space(6.0);
        self.model.borrow_mut().choose(ui, session);
        let text = ui.add(
            TextEdit::multiline(&mut self.text)
                .desired_rows(3)
                .desired_width(f32::INFINITY),
        );
        if text.changed() {
            self.read = None;
        }
        self.read();
        match &self.read {
            Some((_, Ok(_))) => {}
            Some((_, Err(why))) => {
                ui.label(RichText::new(why).color(ui.visuals().error_fg_color));
                return;
            }
            None => return,
        }
        let name = |class: usize| self.questions.get(class).map_or("", |(name, _)| name.as_str());
        let (why, against) = (name(self.class), self.against.map_or("any other", name));
        Grid::new("question").num_columns(2).show(ui, |ui| {
            ui.label("why");
            ComboBox::from_id_salt("why").selected_text(why).show_ui(ui, |ui| {
                for (class, (label, _)) in self.questions.iter().enumerate() {
                    ui.selectable_value(&mut self.class, class, label.as_str());
                }
            });
            ui.end_row();
            ui.label("and not");
            ComboBox::from_id_salt("and not")
                .selected_text(against)
                .show_ui(ui, |ui| {
                    ui.selectable_value(&mut self.against, None, "any other");
                    for (class, (label, _)) in self.questions.iter().enumerate() {
                        ui.selectable_value(&mut self.against, Some(class), label.as_str());
                    }
                });
            ui.end_row();
        });
        if ui.button("Explain").clicked() {
            self.ask(session);
        }
        let Some(found) = self.found.clone() else {
            ui.label("Gradients, integrated gradients, relevance propagation and rollout, beside each other.");
            return;
        };
        ui.separator();
        let before = self.shown;
        for (shown, text) in [
            (Below::Attention, "attention of a token"),
            (Below::Source, "its attention to the source"),
            (Below::Deletion, "deletion"),
            (Below::Insertion, "insertion"),
            (Below::Agreement, "agreement of methods"),
        ] {
            if shown != Below::Source || found.1.len() > 1 {
                ui.selectable_value(&mut self.shown, shown, text);
            }
        }
        if before != self.shown {
            self.below.invalidate();
        }
        ui.separator();
        let explanation = &found.0;
        ui.label(format!("value {:.3}", explanation.value));
        for attribution in &explanation.attributions {
            if let Some(gap) = attribution.gap {
                let steps = attribution
                    .steps
                    .map_or_else(String::new, |steps| format!(", {steps} steps"));
                ui.label(format!(
                    "{}: gap {:.2} %{steps}",
                    attribution.method.title(),
                    100.0 * gap
                ));
            }
        }
        for note in &explanation.notes {
            ui.label(RichText::new(note).weak());
        }
    }

    fn below(&self) -> Option<Box<dyn Plot>> {
        let (explanation, rows) = &**self.found.as_ref()?;
        Some(match self.shown {
            Below::Attention => Box::new(rows.first()?.plot()),
            // The token that was asked about last may be one of the source.
            Below::Source => Box::new(rows.last()?.plot()),
            Below::Deletion => Box::new(explanation.removal_plot(false)?),
            Below::Insertion => Box::new(explanation.removal_plot(true)?),
            Below::Agreement => Box::new(explanation.agreement_plot()),
        })
    }
}

impl View for Example {
    fn name(&self) -> &'static str {
        "Example"
    }

    fn ui(&mut self, ui: &mut Ui, session: &mut Session) {
        self.follow_click(session);
        Panel::left("example").default_size(260.0).show(ui, |ui| {
            ScrollArea::vertical().show(ui, |ui| self.controls(ui, session));
        });
        let Some(found) = self.found.clone() else { return };
        if let Some(below) = self.below() {
            Panel::bottom("below")
                .default_size(380.0)
                .resizable(true)
                .show(ui, |ui| {
                    self.below.show(ui, &mut session.view, &*below);
                });
        }
        CentralPanel::default().frame(Frame::NONE).show(ui, |ui| {
            let shown = self.scores.show(ui, &mut session.view, &found.0.plot());
            for event in shown.events {
                if let Event::SelectPoint(Some(pick)) = event {
                    self.token = pick.id as usize % found.0.tokens.len().max(1);
                    self.shown = Below::Attention;
                    self.ask(session);
                }
            }
        });
    }

    fn plot(&self, _: &Session) -> Option<(String, Box<dyn Plot + '_>)> {
        Some(("explanation".into(), Box::new(self.found.as_ref()?.0.plot())))
    }

    fn take(&mut self, news: &News, _: &mut Session) {
        if let News::Explained(found) = news {
            self.found = Some(found.clone());
            self.scores.invalidate();
            self.below.invalidate();
        }
    }
}
