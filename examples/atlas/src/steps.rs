//! A training in the window: a slider over the steps, and how far a head moves.

use attn_sdk::{Steps, core::HeadId};
use eframe::egui::{Slider, Ui};

use crate::side::Side;

/// Goes through the steps; between two, points are on their way.
pub(crate) fn slider(ui: &mut Ui, side: &mut Side) {
    let Some(steps) = &side.steps else { return };
    let last = steps.studies().len().saturating_sub(1);
    let name = side
        .study
        .as_ref()
        .map_or("", |study| &study.capture().model().name)
        .to_owned();
    let mut step = side.step + 1.0;
    ui.horizontal(|ui| {
        ui.label("Step");
        ui.spacing_mut().slider_width = (0.4 * ui.available_width()).max(120.0);
        let shown = ui.add(Slider::new(&mut step, 1.0..=last as f32 + 1.0).fixed_decimals(1));
        ui.label(name);
        let step = step - 1.0;
        if shown.changed() {
            // Near a step is on it.
            let nearest = step.round();
            side.go_to_step(if (step - nearest).abs() < 0.08 { nearest } else { step });
        }
    });
}

/// How far a head goes from step to step.
pub(crate) fn moved(ui: &mut Ui, side: &Side, head: HeadId) {
    let movements = side.steps.as_ref().map_or(&[][..], Steps::movements);
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
    ui.label(format!("From step to step its picture moves by {}", list(&moved.moved)));
    if !moved.attention.is_empty() {
        ui.label(format!("and its attention by {} bits", list(&moved.attention)));
    }
}
