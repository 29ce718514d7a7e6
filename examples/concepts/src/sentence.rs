//! A sentence of the user's: where its words lie, and what carried the prediction for it.

use attn_sdk::analyze::concepts::{ConceptLayer, ConceptSpace, Explanation, Near};
use eframe::egui::{Grid, RichText, ScrollArea, TextEdit, Ui};

use super::{
    browser::{Browser, Wish},
    changes::Goal,
    run::Placed,
};

/// Distance, in units of what is usual in a cluster, from which a word is near nothing.
const FAR: f64 = 2.0;

/// The sentence that is typed, and what is known of it.
#[derive(Default)]
pub(crate) struct Sentence {
    pub(crate) typed: String,
    /// Of a model by its index.
    pub(crate) placed: Option<(usize, Placed)>,
    pub(crate) busy: bool,
    pub(crate) problem: String,
}

impl Browser {
    /// The field, the prediction, and the nearest clusters of the words in the shown layer.
    pub(crate) fn sentence(&mut self, ui: &mut Ui) -> Option<Goal> {
        let reads = self.reads.get(self.model).copied().unwrap_or(false);
        let mut wanted = false;
        ui.horizontal(|ui| {
            let field = TextEdit::singleline(&mut self.own.typed)
                .hint_text("A sentence of your own, or the number of one in the text")
                .desired_width((ui.available_width() - 90.0).max(120.0));
            let response = ui.add_enabled(reads, field);
            let entered = response.lost_focus() && ui.input(|input| input.key_pressed(eframe::egui::Key::Enter));
            wanted = entered
                || ui
                    .add_enabled(reads && !self.own.busy, eframe::egui::Button::new("Place"))
                    .clicked();
        });
        if !reads {
            ui.label(RichText::new("New sentences need the model, and the centers of its clusters.").weak());
        }
        if wanted && !self.own.typed.trim().is_empty() {
            let typed = self.own.typed.trim();
            // A number is a sentence of the text.
            let text = typed.parse::<usize>().ok().and_then(|number| {
                let sentence = self.model().text.sentences.get(number.checked_sub(1)?)?;
                Some(sentence.text.clone())
            });
            let text = text.unwrap_or_else(|| typed.to_owned());
            self.own.busy = true;
            self.own.problem.clear();
            self.wishes.push(Wish::Place(self.model, text));
        }
        if self.own.busy {
            ui.spinner();
        }
        if !self.own.problem.is_empty() {
            ui.label(&self.own.problem);
        }
        let (model, at) = (self.model(), self.layer);
        let layer = model.layers.get(at)?;
        let mut goal = None;
        ScrollArea::vertical()
            .id_salt("sentence")
            .auto_shrink(false)
            .show(ui, |ui| {
                let placed = self.own.placed.as_ref().filter(|(of, _)| *of == self.model);
                match placed {
                    Some((_, placed)) => goal = words(ui, placed, model, at, layer),
                    None => {
                        let Some(found) = &model.explanation else { return };
                        let text = model.text.sentences.get(found.sentence).map_or("", |own| &own.text);
                        goal = carried(ui, found, text, at, layer);
                    }
                }
            });
        goal.map(|cluster| (self.model, layer.layer, cluster))
    }
}

/// A placed sentence: the prediction, then the words.
fn words(ui: &mut Ui, placed: &Placed, model: &ConceptSpace, at: usize, layer: &ConceptLayer) -> Option<usize> {
    let mut chosen = match &placed.explanation {
        Some(found) => carried(ui, found, &placed.text, at, layer),
        None => {
            ui.label(RichText::new(&placed.text).strong());
            None
        }
    };
    let Some(near) = placed.placement.layers.get(at) else {
        ui.label("This layer came after the sentence: place it again.");
        return chosen;
    };
    ui.add_space(12.0);
    ui.label(RichText::new(format!("Nearest clusters of {}, layer {}", model.name(), layer.layer)).strong());
    ui.add_space(4.0);
    let name = |near: &Near| {
        layer
            .clusters
            .get(near.cluster)
            .map_or("", |cluster| cluster.name.text.as_str())
    };
    Grid::new("near")
        .num_columns(4)
        .striped(true)
        .spacing([18.0, 4.0])
        .show(ui, |ui| {
            for head in ["word", "nearest cluster", "distance (usual there)", "next"] {
                ui.label(RichText::new(head).weak());
            }
            ui.end_row();
            for (word, near) in placed.placement.words.words.iter().zip(&near.words) {
                let Some((first, rest)) = near.split_first() else {
                    continue;
                };
                ui.label(RichText::new(&word.text).strong());
                if ui.link(name(first)).clicked() {
                    chosen = Some(first.cluster);
                }
                let far = if first.distance > FAR * first.usual {
                    ", far from it"
                } else {
                    ""
                };
                ui.label(format!("{:.2} ({:.2}){far}", first.distance, first.usual));
                ui.horizontal(|ui| {
                    for near in rest {
                        if ui.link(RichText::new(name(near)).weak()).clicked() {
                            chosen = Some(near.cluster);
                        }
                    }
                });
                ui.end_row();
            }
        });
    chosen
}

/// The attribution of a prediction to clusters.
fn carried(ui: &mut Ui, found: &Explanation, text: &str, at: usize, layer: &ConceptLayer) -> Option<usize> {
    let mut chosen = None;
    let carried = found.layers.get(at)?;
    ui.add_space(8.0);
    let not = match found.against.as_str() {
        "" => String::new(),
        against => format!(", not {against}"),
    };
    ui.heading(format!("{} ({:.1} %){not}", found.class, 100.0 * found.probability));
    ui.label(text);
    ui.add_space(8.0);
    ui.label(format!(
        "Attribution to clusters of layer {}: integrated gradients of {} at the states of this layer, summed over the words of each \
         cluster. Positive weights support {}.",
        layer.layer,
        found.target(),
        found.class
    ));
    match found.gap_warning(at) {
        Some(warning) => {
            let color = ui.visuals().warn_fg_color;
            ui.label(RichText::new(format!("In this layer {warning}")).color(color));
        }
        None => {
            if let Some(gap) = found.gaps.get(at) {
                ui.label(RichText::new(format!("Completeness gap of this layer: {:.1} %.", 100.0 * gap)).weak());
            }
        }
    }
    ui.add_space(8.0);
    Grid::new("carried")
        .num_columns(4)
        .striped(true)
        .spacing([18.0, 4.0])
        .show(ui, |ui| {
            for name in ["weight", "share", "cluster", "words in this sentence"] {
                ui.label(RichText::new(name).weak());
            }
            ui.end_row();
            for part in &carried.clusters {
                let Some(cluster) = layer.clusters.get(part.cluster) else {
                    continue;
                };
                ui.label(format!("{:+.2}", part.weight));
                ui.label(format!("{:.0} %", 100.0 * part.share));
                if ui.link(&cluster.name.text).clicked() {
                    chosen = Some(part.cluster);
                }
                let words: Vec<&str> = part
                    .words
                    .iter()
                    .map(|&word| found.words.words[word].text.as_str())
                    .collect();
                ui.label(words.join(", "));
                ui.end_row();
            }
            for token in &carried.special {
                ui.label(format!("{:+.2}", token.weight));
                ui.label(format!("{:.0} %", 100.0 * token.share));
                ui.label(&token.text);
                ui.end_row();
            }
            ui.label("");
            ui.label(format!("{:.0} %", 100.0 * carried.outside));
            ui.label("no cluster");
            ui.end_row();
        });
    chosen
}
