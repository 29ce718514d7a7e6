//! The right panel: what-if, the rank of a word, blame.

use attn_egui::Jobs;
use attn_sdk::study::decoding::{BlameKind, Stage, StateKind};
use eframe::egui::{Button, ComboBox, Grid, Key, RichText, ScrollArea, Slider, TextEdit, Ui};

use crate::{actions::Action, panel::fit_sliders, studio::Studio, window::News};

/// Height of the list of ranks, in points.
const RANKS: f32 = 190.0;

impl Studio {
    pub(super) fn experiments(&mut self, ui: &mut Ui, jobs: &Jobs<News>, asked: &mut Option<Action>) {
        fit_sliders(ui);
        ui.add_space(6.0);
        ui.add_enabled_ui(self.decoder.is_some(), |ui| self.what_if(ui, jobs, asked));
        ui.separator();
        ui.add_enabled_ui(self.decoder.is_some(), |ui| self.rank(ui, jobs, asked));
        ui.separator();
        self.explain(ui, asked);
    }

    /// Near words for a source token, the weights of a step, states of another run.
    fn what_if(&mut self, ui: &mut Ui, jobs: &Jobs<News>, asked: &mut Option<Action>) {
        let Some(run) = self.runs.get(self.look.shown) else {
            return;
        };
        let decoding = run.decoding.clone();
        let source = &decoding.source.tokens;
        let row = decoding.hypotheses.get(self.look.hypothesis).map(|found| &found.row);
        let target: &[String] = row.map_or(&[], |row| row.tokens.as_slice());
        let name = |tokens: &[String], at: usize| format!("{}: {}", at + 1, tokens.get(at).map_or("", String::as_str));
        ui.label(RichText::new("What if").strong());
        ui.horizontal_wrapped(|ui| {
            ui.label("Source token");
            ComboBox::from_id_salt("token")
                .width(70.0)
                .selected_text(name(source, self.look.token))
                .show_ui(ui, |ui| {
                    for at in 0..source.len() {
                        ui.selectable_value(&mut self.look.token, at, name(source, at));
                    }
                });
            if ui.button("Near words").clicked() {
                *asked = Some(Action::NearWords);
            }
        });
        if !self.words.is_empty() {
            let mut put = None;
            ui.horizontal_wrapped(|ui| {
                for word in self.words.iter().filter(|word| word.text.is_some()) {
                    let label = format!("{} {:.2}", word.token, word.cosine);
                    let button = ui.button(label);
                    if button
                        .on_hover_text("Put it in the place of the token, and decode")
                        .clicked()
                    {
                        put = Some(word.clone());
                    }
                }
            });
            if let Some(word) = put {
                self.substitute(&word, jobs);
            }
        }
        let mut step = self.look.step;
        ui.horizontal_wrapped(|ui| {
            ui.label("Attention of step");
            ComboBox::from_id_salt("step")
                .width(70.0)
                .selected_text(name(target, step))
                .show_ui(ui, |ui| {
                    for at in 0..target.len() {
                        ui.selectable_value(&mut step, at, name(target, at));
                    }
                });
        });
        if step != self.look.step {
            self.look.step = step;
            self.reset_weights();
        }
        Grid::new("weights").num_columns(2).spacing([8.0, 1.0]).show(ui, |ui| {
            for (token, weight) in source.iter().zip(&mut self.look.weights) {
                ui.label(token);
                ui.add(Slider::new(weight, 0.0..=1.0).fixed_decimals(2));
                ui.end_row();
            }
        });
        let compared = self.compared().is_some();
        ui.horizontal_wrapped(|ui| {
            for (name, help, enabled, action) in [
                ("Reset", "The weights of this run", true, Action::ResetWeights),
                ("Shift", "Moves all weights by one token", true, Action::ShiftWeights),
                ("Copy", "The row of the compared run", compared, Action::CopyWeights),
                (
                    "Decode with weights",
                    "The row is renormalized in the chosen heads, and decoding goes on from this step",
                    true,
                    Action::DecodeWeights,
                ),
            ] {
                let button = ui.add_enabled(enabled, Button::new(name));
                if button
                    .on_hover_text(help)
                    .on_disabled_hover_text("Compare with a run first")
                    .clicked()
                {
                    *asked = Some(action);
                }
            }
        });
        // A model of one stack has decoder states alone.
        let kinds: &[StateKind] = match decoding.encoder_decoder {
            true => &StateKind::ALL,
            false => &[StateKind::Decoder],
        };
        if !kinds.contains(&self.look.patched) {
            self.look.patched = StateKind::Decoder;
        }
        ui.horizontal_wrapped(|ui| {
            ui.label("State");
            ComboBox::from_id_salt("state")
                .width(80.0)
                .selected_text(self.look.patched.name())
                .show_ui(ui, |ui| {
                    for &kind in kinds {
                        ui.selectable_value(&mut self.look.patched, kind, kind.name());
                    }
                });
            let take = ui.add_enabled(compared, Button::new("Take from compared"));
            let help = "Replaces the state of the source token, or of the step, by that of the aligned token of the compared run";
            if take.on_hover_text(help).on_disabled_hover_text("Compare with a run first").clicked() {
                *asked = Some(Action::TakeState);
            }
        });
    }

    /// Rank and probability of a typed word at every step.
    fn rank(&mut self, ui: &mut Ui, jobs: &Jobs<News>, asked: &mut Option<Action>) {
        ui.label(RichText::new("Rank of a word").strong());
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 60.0).clamp(40.0, 120.0);
            let field = ui.add(TextEdit::singleline(&mut self.look.word).desired_width(width));
            let entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            let help = "How likely it is at every step";
            if (ui.button("Find").on_hover_text(help).clicked() || entered) && !self.look.word.trim().is_empty() {
                *asked = Some(Action::RankWord);
            }
        });
        let shown = (self.look.shown, self.look.hypothesis);
        let Some(ranks) = self
            .ranks
            .as_ref()
            .filter(|ranks| (ranks.run, ranks.hypothesis) == shown)
        else {
            return;
        };
        let Some(run) = self.runs.get(ranks.run) else { return };
        let row = run.decoding.hypotheses.get(ranks.hypothesis).map(|found| &found.row);
        let mut chosen = None;
        ui.label(RichText::new(format!("\"{}\" in the place of", ranks.word)).weak());
        ScrollArea::vertical()
            .id_salt("ranks")
            .max_height(RANKS)
            .auto_shrink([false, true])
            .show(ui, |ui| {
                Grid::new("ranks")
                    .num_columns(4)
                    .striped(true)
                    .spacing([12.0, 2.0])
                    .show(ui, |ui| {
                        for name in ["step", "rank", "probability"] {
                            ui.label(RichText::new(name).weak());
                        }
                        ui.end_row();
                        for rank in &ranks.steps {
                            let token = row.and_then(|row| row.tokens.get(rank.step)).map_or("", String::as_str);
                            ui.label(format!("{}: {token}", rank.step + 1));
                            ui.label(rank.rank.to_string());
                            ui.label(match rank.log_probability.exp() {
                                share if share >= 0.001 => format!("{:.1} %", 100.0 * share),
                                share => format!("{share:.0e}"),
                            });
                            let button = ui.small_button("Decode");
                            if button.on_hover_text("Goes on with it at this step").clicked() {
                                chosen = Some(rank.step);
                            }
                            ui.end_row();
                        }
                    });
            });
        if let Some(step) = chosen {
            let word = ranks.word.clone();
            self.written(jobs, step, word);
        }
    }

    fn explain(&mut self, ui: &mut Ui, asked: &mut Option<Action>) {
        ui.label(RichText::new("Blame").strong());
        ui.horizontal(|ui| {
            ui.label("Expected");
            ui.add(TextEdit::singleline(&mut self.look.expected).desired_width(ui.available_width() - 8.0));
        });
        let find = ui.add_enabled(self.decoder.is_some(), Button::new("Find the cause"));
        let help = "Search or model, and the stage of the model: replaces states by those of a run that is right";
        if find.on_hover_text(help).clicked() && !self.look.expected.trim().is_empty() {
            *asked = Some(Action::Blame);
        }
        let Some(blame) = self.run().and_then(|run| run.decoding.blame.as_ref()) else {
            return;
        };
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
