//! The left panel: the source, settings, heads, runs.

use attn_sdk::{
    models::generate::Sampling,
    study::decoding::{AttentionScale, Shift, Unit},
};
use eframe::egui::{Button, Checkbox, ComboBox, DragValue, Grid, Response, RichText, Slider, TextEdit, Ui};

use crate::{
    actions::Action,
    bar::hypotheses,
    look::Chosen,
    studio::{Experiment, Studio},
};

/// Columns of the grid of heads.
const COLUMNS: usize = 4;
/// Widest bar of a slider, and what stands beside one, in points.
const SLIDER: f32 = 84.0;
const BESIDE: f32 = 170.0;

/// What the weights of attention can be multiplied by.
pub(super) const SCALES: [AttentionScale; 3] = [
    AttentionScale::Weights,
    AttentionScale::ValueNorms,
    AttentionScale::OutputNorms,
];

pub(super) fn weighting(scale: AttentionScale) -> &'static str {
    match scale {
        AttentionScale::Weights => "raw weights",
        AttentionScale::ValueNorms => "value norms",
        AttentionScale::OutputNorms => "output norms",
    }
}

/// Gives sliders the room that a panel leaves them.
pub(super) fn fit_sliders(ui: &mut Ui) {
    ui.spacing_mut().slider_width = (ui.available_width() - BESIDE).clamp(30.0, SLIDER);
}

/// Whether a value that was changed is let go: not with every step of a drag.
fn let_go(response: &Response) -> bool {
    response.drag_stopped() || (response.changed() && !response.dragged())
}

impl Studio {
    pub(super) fn settings(&mut self, ui: &mut Ui, asked: &mut Option<Action>) {
        fit_sliders(ui);
        ui.add_space(6.0);
        ui.horizontal(|ui| {
            ui.label(RichText::new("Source").strong());
            self.line_row(ui, asked);
        });
        ui.add(
            TextEdit::multiline(&mut self.look.source)
                .desired_rows(2)
                .desired_width(f32::INFINITY),
        );
        // Another width or temperature shows its difference at once, unless another source waits.
        let same = |run: &Experiment| run.decoding.source.text == self.look.source;
        let again = self.decoder.is_some() && self.run().is_some_and(same);
        let mut changed = false;
        Grid::new("settings")
            .num_columns(2)
            .spacing([10.0, 4.0])
            .show(ui, |ui| {
                let look = &mut self.look;
                ui.label("Prefix of target");
                ui.add(TextEdit::singleline(&mut look.prefix).desired_width(ui.available_width().clamp(40.0, 140.0)));
                ui.end_row();
                ui.label("Beams");
                let beams = ui.add(Slider::new(&mut look.params.generation.beams, 1..=16));
                changed |= let_go(&beams.on_hover_text("Decodes again, and compares"));
                ui.end_row();
                ui.label("Length penalty");
                let penalty = ui.add(Slider::new(&mut look.penalty, -2.0..=3.0).fixed_decimals(1));
                if penalty.on_hover_text("Scores the stored tree anew").changed() {
                    self.views.invalidate();
                }
                ui.end_row();
                let sampling = &mut look.params.generation.sampling;
                let mut drawn = sampling.is_some();
                let draws = ui.checkbox(&mut drawn, "Temperature");
                if draws.on_hover_text("Draws tokens; with one beam").changed() {
                    *sampling = drawn.then(Sampling::default);
                    changed = true;
                }
                match sampling {
                    Some(sampling) => {
                        let slider = Slider::new(&mut sampling.temperature, 0.1..=3.0).fixed_decimals(1);
                        changed |= let_go(&ui.add(slider));
                    }
                    None => {
                        ui.label(RichText::new("off").weak());
                    }
                }
                ui.end_row();
                ui.label("Predictions");
                let tops = DragValue::new(&mut look.params.top_k).range(1..=20).suffix(" per step");
                changed |= let_go(&ui.add(tops.update_while_editing(false)));
                ui.end_row();
            });
        self.language_rows(ui);
        let decode = ui.add_enabled(self.decoder.is_some(), Button::new("Decode"));
        let decode = decode.on_hover_text("Ctrl+Enter");
        if decode.on_disabled_hover_text("These runs have no model").clicked() || (changed && again) {
            *asked = Some(Action::Decode);
        }
        if !self.notice.is_empty() {
            ui.label(RichText::new(&self.notice).weak());
        }
        for note in self.run().map_or(&[][..], |run| &run.decoding.notes) {
            ui.label(RichText::new(note).weak());
        }
        if !self.failure.is_empty() {
            ui.colored_label(ui.visuals().error_fg_color, &self.failure);
        }
        ui.separator();
        self.attention(ui, asked);
        ui.separator();
        self.runs(ui, asked);
    }

    /// Goes through the lines of a file of sources.
    fn line_row(&self, ui: &mut Ui, asked: &mut Option<Action>) {
        let count = self.lines.len();
        if count < 2 {
            return;
        }
        let mut line = self.line + 1;
        if ui.small_button("◀").on_hover_text("The line before").clicked() {
            line = line.saturating_sub(1).max(1);
        }
        let suffix = format!(" of {count}");
        let number = DragValue::new(&mut line)
            .range(1..=count)
            .prefix("line ")
            .suffix(suffix);
        ui.add(number.update_while_editing(false));
        if ui.small_button("▶").on_hover_text("The next line").clicked() {
            line = (line + 1).min(count);
        }
        if line != self.line + 1 {
            *asked = Some(Action::Line(line - 1));
        }
    }

    fn language_rows(&mut self, ui: &mut Ui) {
        const SOURCE: &str = "Source language";
        if self.languages.is_empty() {
            return;
        }
        let name = |id: Option<u32>| {
            let found = self.languages.iter().find(|(_, own)| Some(*own) == id);
            found.map_or("as given", |(name, _)| name.as_str()).to_owned()
        };
        // Some models write the language first, others start with it.
        let generation = &self.look.params.generation;
        let target = generation.forced_first.or(generation.decoder_start);
        let mut chosen = [self.look.params.source_language, target];
        for (label, slot) in [SOURCE, "Target language"].into_iter().zip(&mut chosen) {
            ui.horizontal(|ui| {
                ui.label(label);
                ComboBox::from_id_salt(label)
                    .selected_text(name(*slot))
                    .show_ui(ui, |ui| {
                        if label == SOURCE {
                            ui.selectable_value(slot, None, "as given");
                        }
                        for (language, id) in &self.languages {
                            ui.selectable_value(slot, Some(*id), language);
                        }
                    });
            });
        }
        self.look.params.source_language = chosen[0];
        if let Some(id) = chosen[1].filter(|_| chosen[1] != target) {
            self.translate_into(id);
        }
    }

    /// Chooses the language of the target.
    pub(super) fn translate_into(&mut self, language: u32) {
        let name = self.languages.iter().find(|(_, own)| *own == language);
        if let (Some((name, _)), Some(decoder)) = (name, &self.decoder)
            && let Err(error) = decoder.set_target_language(&mut self.look.params.generation, name)
        {
            self.failure = error.to_string();
        }
    }

    /// Whose attention is drawn, and how.
    fn attention(&mut self, ui: &mut Ui, asked: &mut Option<Action>) {
        ui.label(RichText::new("Attention").strong());
        let (layers, heads) = self.head_counts();
        let scored = !self.aligning.is_empty();
        let look = &mut self.look;
        ui.horizontal_wrapped(|ui| {
            ui.radio_value(&mut look.chosen, Chosen::All, "all heads");
            if scored {
                ui.radio_value(&mut look.chosen, Chosen::Aligning, "heads that align");
            }
            for layer in 0..layers {
                ui.radio_value(&mut look.chosen, Chosen::Layer(layer), format!("layer {layer}"));
            }
            ui.radio_value(&mut look.chosen, Chosen::Some, "some:");
            if !scored && self.decoder.is_some() {
                let find = ui.button("Find heads that align");
                let help = "Scores every head over the sources of the listed runs; the more, the surer";
                if find.on_hover_text(help).clicked() {
                    *asked = Some(Action::FindHeads);
                }
            }
        });
        if look.chosen == Chosen::Some {
            Grid::new("heads").spacing([4.0, 2.0]).show(ui, |ui| {
                for layer in 0..layers {
                    for head in 0..heads {
                        let mut on = look.heads.contains(&(layer, head));
                        if ui.checkbox(&mut on, format!("L{layer} H{head}")).changed() {
                            if on {
                                look.heads.insert((layer, head));
                            } else {
                                look.heads.remove(&(layer, head));
                            }
                        }
                        if head % COLUMNS == COLUMNS - 1 {
                            ui.end_row();
                        }
                    }
                    if heads % COLUMNS != 0 {
                        ui.end_row();
                    }
                }
            });
        }
        ui.horizontal_wrapped(|ui| {
            ui.radio_value(&mut look.flow.unit, Unit::Pieces, "pieces");
            ui.radio_value(&mut look.flow.unit, Unit::Words, "words");
            let mut read = look.flow.shift == Shift::Read;
            let shift = ui
                .checkbox(&mut read, "step that reads")
                .on_hover_text("Shift-Att: the step that reads a target token");
            if shift.changed() {
                look.flow.shift = if read { Shift::Read } else { Shift::Predicted };
            }
            ui.checkbox(&mut look.flow.text_only, "text only")
                .on_hover_text("Leaves out tokens of the format and punctuation, of source and target");
        });
        ui.horizontal(|ui| {
            ui.label("Weighting");
            ComboBox::from_id_salt("weighting")
                .selected_text(weighting(look.flow.scale))
                .show_ui(ui, |ui| {
                    for scale in SCALES {
                        ui.selectable_value(&mut look.flow.scale, scale, weighting(scale));
                    }
                })
                .response
                .on_hover_text(
                    "Value norms: weights times the lengths of the values. Output norms: times the lengths of what the head writes \
                     for them. A large weight on a short value has little effect",
                );
        });
        ui.horizontal(|ui| {
            ui.label("Share of mass");
            ui.add(Slider::new(&mut look.flow.share, 0.1..=1.0).fixed_decimals(2));
        });
    }

    /// Every run, indented under what it was made from.
    fn runs(&mut self, ui: &mut Ui, asked: &mut Option<Action>) {
        ui.label(RichText::new("Runs").strong())
            .on_hover_text("The box compares the shown run with another one");
        let look = &self.look;
        let several = look.listed.len() > 1;
        for &at in &look.listed {
            let run = &self.runs[at];
            let mut depth = 0_u8;
            let mut parent = run.parent;
            while let Some(at) = parent {
                depth = depth.saturating_add(u8::from(look.listed.contains(&at)));
                parent = self.runs[at].parent.filter(|next| *next < at);
            }
            let target = run.decoding.hypotheses.first();
            let target = target.map_or("", |found| found.row.text.as_str());
            let words = format!("{} → {target}", self.run_name(at));
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                ui.add_space(8.0 * f32::from(depth.min(8)));
                let mut compared = look.against == Some(at);
                let check = ui.add_enabled(at != look.shown, Checkbox::without_text(&mut compared));
                if check.on_hover_text("Compare the shown run with this one").changed() {
                    *asked = Some(Action::Compare(compared.then_some(at)));
                }
                let room = ui.available_width() - if several { 22.0 } else { 0.0 };
                let name = ui
                    .allocate_ui(eframe::egui::vec2(room, ui.spacing().interact_size.y), |ui| {
                        ui.set_min_width(room);
                        ui.add(Button::selectable(look.shown == at, words.as_str()).truncate())
                    })
                    .inner;
                if name.on_hover_text(&words).clicked() {
                    *asked = Some(Action::Run(at));
                }
                if several {
                    let gone = ui.add(Button::new("×").frame(false));
                    if gone.on_hover_text("Removes the run; undo brings it back").clicked() {
                        *asked = Some(Action::Remove(at));
                    }
                }
            });
        }
        if let Some((other, hypothesis)) = self.compared_with() {
            let list = hypotheses(ui, "compared hypothesis", &other.decoding, hypothesis, |at| {
                *asked = Some(Action::ComparedHypothesis(at));
            });
            list.on_hover_text("The hypothesis of the compared run");
            let swap = ui.button("Swap");
            if swap
                .on_hover_text("Shows the compared run, and compares it with this one")
                .clicked()
            {
                *asked = Some(Action::Swap);
            }
        }
    }
}
