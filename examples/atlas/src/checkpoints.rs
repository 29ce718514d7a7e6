//! A training in the window: a slider over its checkpoints, and the movement of a head.

use attn_sdk::{core::HeadId, study::checkpoints::Checkpoints};
use eframe::egui::{Slider, Ui};

use crate::pane::Pane;

/// A slider over the checkpoints; between two, points are interpolated.
pub(crate) fn slider(ui: &mut Ui, pane: &mut Pane) {
    let Some(checkpoints) = &pane.checkpoints else { return };
    let last = checkpoints.studies().len().saturating_sub(1);
    let name = pane
        .study
        .as_ref()
        .map_or("", |study| &study.capture().model().name)
        .to_owned();
    let mut at = pane.checkpoint + 1.0;
    ui.horizontal(|ui| {
        ui.label("Checkpoint");
        ui.spacing_mut().slider_width = (0.4 * ui.available_width()).max(120.0);
        let shown = ui.add(Slider::new(&mut at, 1.0..=last as f32 + 1.0).fixed_decimals(1));
        ui.label(name);
        let at = at - 1.0;
        if shown.changed() {
            // Close to a checkpoint snaps to it.
            let nearest = at.round();
            pane.go_to_checkpoint(if (at - nearest).abs() < 0.08 { nearest } else { at });
        }
    });
}

/// The movement of a head from checkpoint to checkpoint.
pub(crate) fn moved(ui: &mut Ui, pane: &Pane, head: HeadId) {
    let movements = pane.checkpoints.as_ref().map_or(&[][..], Checkpoints::movements);
    let Some(moved) = movements.iter().find(|moved| moved.head == head) else {
        return;
    };
    let list = |values: &[f32]| {
        values
            .iter()
            .map(|value| format!("{value:.2}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    ui.label(format!(
        "From checkpoint to checkpoint its projection moves by {} (noise floor {:.2})",
        list(&moved.moved),
        moved.floor
    ));
    if !moved.attention.is_empty() {
        ui.label(format!("and its attention by {} bits", list(&moved.attention)));
    }
}
