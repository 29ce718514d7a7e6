//! The neurons of a layer that tell concepts apart, beside the probe and its control.

use attn_sdk::analyze::concepts::{ConceptSpace, Neuron};
use eframe::egui::{Grid, RichText, ScrollArea, Ui};

/// Neurons of a concept in a row.
const NEURONS: usize = 5;

/// The ranking of a layer for a label set; for the first set that has one, if the chosen has none.
pub(crate) fn show(ui: &mut Ui, model: &ConceptSpace, layer: usize, set: usize) {
    let Some(layer) = model.layers.get(layer) else { return };
    let chosen = model.sets.get(set).map(|set| &set.name);
    let ranked = layer.neurons.iter().find(|own| Some(&own.label_set) == chosen);
    let Some(found) = ranked.or(layer.neurons.first()) else {
        ui.label("No neurons were ranked in this layer.");
        return;
    };
    ui.heading(format!("Neurons for {}, layer {}", found.label_set, layer.layer));
    if ranked.is_none() {
        let asked = chosen.map_or("", String::as_str);
        ui.label(
            RichText::new(format!(
                "The labels {asked} are not of the file, or too few words have them."
            ))
            .weak(),
        );
    }
    ui.label(format!(
        "Linear probe: accuracy {:.2} on words that it has not seen, where the most frequent label alone gives {:.2}. Control task, \
         a random label for every word: {:.2}. Selectivity {:.2}, the accuracy on unseen occurrences minus the control.",
        found.accuracy, found.majority, found.control, found.selectivity
    ));
    ui.add_space(8.0);
    ScrollArea::both().id_salt("neurons").auto_shrink(false).show(ui, |ui| {
        let grid = Grid::new("neurons").num_columns(4).striped(true).spacing([24.0, 4.0]);
        grid.show(ui, |ui| {
            let heads = [
                "concept",
                "words",
                "by means (concept minus rest)",
                "by the weights of the probe",
            ];
            for head in heads {
                ui.label(RichText::new(head).weak());
            }
            ui.end_row();
            for concept in &found.concepts {
                ui.label(RichText::new(&concept.label).strong());
                ui.label(concept.points.to_string());
                for neurons in [&concept.probeless, &concept.probe] {
                    ui.label(list(neurons));
                }
                ui.end_row();
            }
        });
    });
}

fn list(neurons: &[Neuron]) -> String {
    let shown = neurons.iter().take(NEURONS);
    let shown = shown.map(|neuron| format!("{} ({:+.2})", neuron.index, neuron.value));
    shown.collect::<Vec<_>>().join(", ")
}
