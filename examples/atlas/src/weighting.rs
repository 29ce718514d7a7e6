//! What attention is weighted by: an option, and a choice above the sequence.

use std::{error::Error, sync::Arc};

use attn_sdk::{Weighting, models::Capturer};
use eframe::egui::Ui;

use crate::side::Side;

/// The names a person chooses from.
const NAMES: [&str; 3] = ["attention", "value", "output"];

/// What a name means.
pub(crate) fn of(name: &str, capturer: Option<&Capturer>) -> Result<Weighting, Box<dyn Error>> {
    Ok(match (name, capturer) {
        ("value", _) => Weighting::Value,
        ("output", Some(capturer)) => Weighting::Output(Arc::new(capturer.model().head_weights()?)),
        ("output", None) => {
            return Err("weighted by output: a capture alone has no output projections; name its model".into());
        }
        _ => Weighting::Attention,
    })
}

/// A choice between them.
pub(crate) fn choice(ui: &mut Ui, side: &mut Side) {
    let Some(study) = &mut side.study else { return };
    let now = match study.weighting() {
        Weighting::Attention => NAMES[0],
        Weighting::Value => NAMES[1],
        Weighting::Output(_) => NAMES[2],
    };
    let mut chosen = now;
    ui.horizontal(|ui| {
        ui.label("Weighted by").on_hover_text(
            "Attention alone, or times the length of the value or of what it adds to the residual stream",
        );
        for name in NAMES {
            ui.selectable_value(&mut chosen, name, name);
        }
    });
    if chosen == now {
        return;
    }
    match of(chosen, side.capturer.as_deref()) {
        Ok(weighting) => {
            study.set_weighting(weighting);
            side.refresh();
        }
        Err(error) => side.notes.push(error.to_string()),
    }
}
