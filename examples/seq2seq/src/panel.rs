//! The side panel: settings, heads, runs, what-if, blame.

use attn_egui::Jobs;
use attn_sdk::{
    models::generate::Sampling,
    study::decoding::{AttentionScale, BlameKind, Shift, Stage, StateKind, Unit},
};
use eframe::egui::{Button, ComboBox, DragValue, Grid, RichText, Slider, TextEdit, Ui};

use crate::{
    studio::{Chosen, Studio},
    window::News,
};

/// Near words that are offered for a source token.
const NEAR: usize = 8;
/// Columns of the grid of heads.
const COLUMNS: usize = 4;

impl Studio {
    pub(super) fn controls(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        // Room for the scroll bar.
        ui.set_max_width(ui.available_width() - 12.0);
        ui.add_space(6.0);
        ui.label(RichText::new("Source").strong());
        ui.add(
            TextEdit::multiline(&mut self.source)
                .desired_rows(2)
                .desired_width(f32::INFINITY),
        );
        Grid::new("settings")
            .num_columns(2)
            .spacing([12.0, 4.0])
            .show(ui, |ui| {
                ui.label("Prefix of the target");
                ui.add(TextEdit::singleline(&mut self.prefix).desired_width(150.0));
                ui.end_row();
                ui.label("Beams");
                ui.add(Slider::new(&mut self.params.generation.beams, 1..=16));
                ui.end_row();
                ui.label("Length penalty");
                let penalty = ui.add(Slider::new(&mut self.penalty, -2.0..=3.0).fixed_decimals(1));
                if penalty.on_hover_text("Scores the stored tree anew").changed() {
                    self.views.invalidate();
                }
                ui.end_row();
                let sampling = &mut self.params.generation.sampling;
                let mut drawn = sampling.is_some();
                if ui
                    .checkbox(&mut drawn, "Draw, temperature")
                    .on_hover_text("Draws tokens; needs one beam")
                    .changed()
                {
                    *sampling = drawn.then(Sampling::default);
                }
                match sampling {
                    Some(sampling) => ui.add(Slider::new(&mut sampling.temperature, 0.1..=3.0).fixed_decimals(1)),
                    None => ui.label("off"),
                };
                ui.end_row();
                ui.label("Predictions per step");
                ui.add(DragValue::new(&mut self.params.top_k).range(1..=20));
                ui.end_row();
            });
        self.language_rows(ui);
        ui.horizontal(|ui| {
            let decode = ui.add_enabled(self.decoder.is_some(), Button::new("Decode"));
            if decode.on_disabled_hover_text("A saved run has no model").clicked() {
                self.decode(jobs);
            }
        });
        if !self.notice.is_empty() {
            ui.label(RichText::new(&self.notice).weak());
        }
        if !self.failure.is_empty() {
            ui.colored_label(ui.visuals().error_fg_color, &self.failure);
        }
        ui.separator();
        self.attention(ui);
        ui.separator();
        self.experiments(ui, jobs);
        ui.separator();
        ui.add_enabled_ui(self.decoder.is_some(), |ui| self.what_if(ui, jobs));
        ui.separator();
        self.explain(ui, jobs);
    }

    fn language_rows(&mut self, ui: &mut Ui) {
        if self.languages.is_empty() {
            return;
        }
        let name = |id: Option<u32>| {
            let found = self.languages.iter().find(|(_, own)| Some(*own) == id);
            found.map_or("as given", |(name, _)| name.as_str()).to_owned()
        };
        // Some models write the language first, others start with it.
        let generation = &self.params.generation;
        let target = generation.forced_first.or(generation.decoder_start);
        let mut chosen = [self.params.source_language, target];
        for (label, slot) in ["Source language", "Target language"].into_iter().zip(&mut chosen) {
            ui.horizontal(|ui| {
                ui.label(label);
                ComboBox::from_id_salt(label)
                    .selected_text(name(*slot))
                    .show_ui(ui, |ui| {
                        for (language, id) in &self.languages {
                            ui.selectable_value(slot, Some(*id), language);
                        }
                    });
            });
        }
        self.params.source_language = chosen[0];
        if chosen[1] != target
            && let Some(decoder) = &self.decoder
            && let Err(error) = decoder.set_target_language(&mut self.params.generation, &name(chosen[1]))
        {
            self.failure = error.to_string();
        }
    }

    /// Whose attention is drawn, and how.
    fn attention(&mut self, ui: &mut Ui) {
        ui.label(RichText::new("Attention").strong());
        let Some(run) = self.runs.get(self.shown) else { return };
        let all = run
            .decoding
            .hypotheses
            .first()
            .map(|found| found.cross.as_ref().unwrap_or(&found.decoder_self));
        let (layers, heads) = all.map_or((0, 0), |all| (all.layers, all.heads));
        let before = (self.chosen, self.heads.len(), self.flow.clone());
        let scored = !self.aligning.is_empty();
        ui.horizontal_wrapped(|ui| {
            ui.radio_value(&mut self.chosen, Chosen::All, "all heads");
            if scored {
                ui.radio_value(&mut self.chosen, Chosen::Aligning, "heads that align");
            }
            for layer in 0..layers {
                ui.radio_value(&mut self.chosen, Chosen::Layer(layer), format!("layer {layer}"));
            }
            ui.radio_value(&mut self.chosen, Chosen::Some, "some:");
        });
        if self.chosen == Chosen::Some {
            Grid::new("heads").spacing([4.0, 2.0]).show(ui, |ui| {
                for layer in 0..layers {
                    for head in 0..heads {
                        let mut on = self.heads.contains(&(layer, head));
                        if ui.checkbox(&mut on, format!("L{layer} H{head}")).changed() {
                            if on {
                                self.heads.insert((layer, head));
                            } else {
                                self.heads.remove(&(layer, head));
                            }
                        }
                        if head % COLUMNS == COLUMNS - 1 {
                            ui.end_row();
                        }
                    }
                    ui.end_row();
                }
            });
        }
        ui.horizontal_wrapped(|ui| {
            ui.radio_value(&mut self.flow.unit, Unit::Pieces, "pieces");
            ui.radio_value(&mut self.flow.unit, Unit::Words, "words");
            let mut read = self.flow.shift == Shift::Read;
            let shift = ui
                .checkbox(&mut read, "step that reads")
                .on_hover_text("Shift-Att: the step that reads a target token");
            if shift.changed() {
                self.flow.shift = if read { Shift::Read } else { Shift::Predicted };
            }
            ui.checkbox(&mut self.flow.text_only, "text only");
            let mut values = self.flow.scale == AttentionScale::ValueNorms;
            let scale = ui.checkbox(&mut values, "value norms").on_hover_text(
                "Weights times the lengths of the values: a large weight on a short value has little effect",
            );
            if scale.changed() {
                self.flow.scale = if values {
                    AttentionScale::ValueNorms
                } else {
                    AttentionScale::Weights
                };
            }
        });
        ui.horizontal(|ui| {
            ui.label("Share of mass");
            ui.add(Slider::new(&mut self.flow.share, 0.1..=1.0).fixed_decimals(2));
        });
        self.choose();
        if before != (self.chosen, self.heads.len(), self.flow.clone()) {
            self.views.invalidate();
        }
    }

    /// Every run, indented under what it was made from.
    fn experiments(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        ui.label(RichText::new("Runs").strong());
        let mut show = None;
        for at in 0..self.runs.len() {
            let run = &self.runs[at];
            let mut depth = 0;
            let mut parent = run.parent;
            while let Some(at) = parent {
                depth += 1;
                parent = self.runs[at].parent.filter(|next| *next < at);
            }
            let target = run
                .decoding
                .hypotheses
                .first()
                .map_or("", |found| found.row.text.as_str());
            let words = format!("{}. {} → {target}", at + 1, run.label);
            ui.horizontal(|ui| {
                ui.add_space(8.0 * f32::from(u8::try_from(depth).unwrap_or(8).min(8)));
                let mut compared = self.against == Some(at);
                if ui
                    .checkbox(&mut compared, "")
                    .on_hover_text("Compare the shown run with this one")
                    .changed()
                {
                    self.against = compared.then_some(at);
                    self.views.invalidate();
                }
                if ui.selectable_label(self.shown == at, words).clicked() {
                    show = Some(at);
                }
            });
        }
        if let Some(other) = self
            .against
            .filter(|other| *other != self.shown && *other < self.runs.len())
            && ui
                .button("Swap")
                .on_hover_text("Shows the compared run, and compares it with this one")
                .clicked()
        {
            let before = self.shown;
            self.show(other);
            self.against = Some(before);
            self.find_neighbors(jobs);
        }
        if let Some(at) = show {
            self.show(at);
            self.find_neighbors(jobs);
        }
    }

    /// Near words for a source token, and the weights of a step.
    fn what_if(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        let Some(run) = self.runs.get(self.shown) else { return };
        let decoding = &run.decoding;
        let source = decoding.source.tokens.clone();
        let row = decoding.hypotheses.get(self.hypothesis).map(|found| &found.row);
        let target: Vec<String> = row.map(|row| row.tokens.clone()).unwrap_or_default();
        ui.label(RichText::new("What if").strong());
        let id = decoding.source.ids.get(self.token).copied();
        let name = |tokens: &[String], at: usize| format!("{}: {}", at + 1, tokens.get(at).map_or("", String::as_str));
        ui.horizontal(|ui| {
            ui.label("Source token");
            ComboBox::from_id_salt("token")
                .selected_text(name(&source, self.token))
                .show_ui(ui, |ui| {
                    for at in 0..source.len() {
                        ui.selectable_value(&mut self.token, at, name(&source, at));
                    }
                });
            if ui.button("Find near words").clicked()
                && let Some(id) = id
            {
                match self.decoder.as_ref().map(|decoder| decoder.nearest_words(id, NEAR)) {
                    Some(Ok(near)) => self.words = near,
                    Some(Err(error)) => self.failure = error.to_string(),
                    None => {}
                }
            }
        });
        if !self.words.is_empty() {
            let mut put = None;
            ui.horizontal_wrapped(|ui| {
                for word in self.words.iter().filter(|word| word.text.is_some()) {
                    let label = format!("{} {:.2}", word.token, word.cosine);
                    if ui
                        .button(label)
                        .on_hover_text("Put it in the place of the token, and decode")
                        .clicked()
                    {
                        put = Some(word.clone());
                    }
                }
            });
            let found = put.zip(self.run()).zip(self.decoder.as_ref());
            match found.map(|((word, run), decoder)| decoder.source_with(&run.decoding, self.token, &word)) {
                Some(Ok(Some(text))) => {
                    self.source = text;
                    self.decode(jobs);
                }
                Some(Ok(None)) => self.failure = "this token has no place in the source text".into(),
                Some(Err(error)) => self.failure = error.to_string(),
                None => {}
            }
        }
        let mut step = self.step;
        ui.horizontal(|ui| {
            ui.label("Attention of step");
            ComboBox::from_id_salt("step")
                .selected_text(name(&target, step))
                .show_ui(ui, |ui| {
                    for at in 0..target.len() {
                        ui.selectable_value(&mut step, at, name(&target, at));
                    }
                });
        });
        if step != self.step {
            self.step = step;
            self.reset_weights();
        }
        Grid::new("weights").num_columns(2).spacing([8.0, 1.0]).show(ui, |ui| {
            for (token, weight) in source.iter().zip(&mut self.weights) {
                ui.label(token);
                ui.add(Slider::new(weight, 0.0..=1.0).fixed_decimals(2));
                ui.end_row();
            }
        });
        ui.horizontal(|ui| {
            if ui.button("Reset").on_hover_text("The weights of this run").clicked() {
                self.reset_weights();
            }
            if ui
                .button("Shift")
                .on_hover_text("Moves all weights by one token")
                .clicked()
                && !self.weights.is_empty()
            {
                self.weights.rotate_right(1);
            }
            let other = self
                .against
                .filter(|at| *at != self.shown)
                .and_then(|at| self.runs.get(at));
            let copy = ui.add_enabled(other.is_some(), Button::new("Copy"));
            if copy.on_hover_text("The row of the compared run").clicked()
                && let Some(row) = other.and_then(|run| run.decoding.step_attention(0, self.step, &self.flow.heads))
            {
                let row = row.into_iter().chain(std::iter::repeat(0.0));
                self.weights.iter_mut().zip(row).for_each(|(to, from)| *to = from);
            }
            let help = "The row is renormalized in the chosen heads, and decoding goes on from this step";
            if ui.button("Decode with weights").on_hover_text(help).clicked() {
                self.edited(jobs);
            }
        });
        ui.horizontal(|ui| {
            ui.label("State");
            ComboBox::from_id_salt("state")
                .width(80.0)
                .selected_text(self.patched.name())
                .show_ui(ui, |ui| {
                    for kind in StateKind::ALL {
                        ui.selectable_value(&mut self.patched, kind, kind.name());
                    }
                });
            let take = ui.add_enabled(self.compared().is_some(), Button::new("Take state of compared run"));
            let help = "Replaces the state of the source token, or of the step, by that of the aligned token of the compared run";
            if take.on_hover_text(help).on_disabled_hover_text("Compare with a run first").clicked() {
                self.patched(jobs);
            }
        });
    }

    fn explain(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        ui.label(RichText::new("Blame").strong());
        ui.horizontal(|ui| {
            ui.label("Expected");
            ui.add(TextEdit::singleline(&mut self.expected).desired_width(150.0));
            if ui.button("Find the cause").clicked() && !self.expected.trim().is_empty() {
                self.blame(jobs);
            }
        });
        let blame = self.runs.get(self.shown).and_then(|run| run.decoding.blame.as_ref());
        let Some(blame) = blame else { return };
        let stage = |stage: Stage| format!("{stage:?}").to_lowercase();
        ui.label(match (blame.kind, blame.stage) {
            (BlameKind::None, _) => "The output is as expected.".to_owned(),
            (BlameKind::Search, _) => "Search error: the model prefers the expected output.".to_owned(),
            (BlameKind::Model, found) => {
                format!("Model error, stage: {}.", stage(found.unwrap_or(Stage::Undetermined)))
            }
        });
        Grid::new("stages")
            .num_columns(3)
            .striped(true)
            .spacing([14.0, 2.0])
            .show(ui, |ui| {
                if !blame.stages.is_empty() {
                    for name in ["stage", "recovered", "random donors"] {
                        ui.label(RichText::new(name).weak());
                    }
                    ui.end_row();
                }
                for share in &blame.stages {
                    ui.label(stage(share.stage));
                    ui.label(format!("{:.2}", share.recovered));
                    ui.label(format!("{:.2}", share.control));
                    ui.end_row();
                }
            });
        ui.label(RichText::new(&blame.note).weak());
    }
}
