//! Weighting of attention: an option, and a choice above the sequence.

use std::{error::Error, sync::Arc};

use attn_sdk::{Weighting, models::Capturer};
use eframe::egui::Ui;

use crate::pane::Pane;

/// Names of weightings, in menus and options.
pub(crate) const NAMES: [&str; 3] = ["attention", "value", "output"];

/// The weighting of a name.
pub(crate) fn of(name: &str, capturer: Option<&Capturer>) -> Result<Weighting, Box<dyn Error>> {
    Ok(match (name, capturer) {
        ("value", _) => Weighting::Value,
        ("output", Some(capturer)) => Weighting::Output(Arc::new(capturer.model().head_weights()?)),
        ("output", None) => {
            return Err("--weighting output needs a model, for its output matrices: replace --open by --model".into());
        }
        _ => Weighting::Attention,
    })
}

/// The choice of the weighting.
pub(crate) fn choice(ui: &mut Ui, pane: &mut Pane) {
    let Some(study) = &pane.study else { return };
    let now = match study.weighting() {
        Weighting::Attention => NAMES[0],
        Weighting::Value => NAMES[1],
        Weighting::Output(_) => NAMES[2],
    };
    let mut chosen = now;
    ui.horizontal(|ui| {
        ui.label("Weighting")
            .on_hover_text("Raw weights, or times the norm of the value or of its contribution to the residual stream");
        for name in NAMES {
            ui.selectable_value(&mut chosen, name, name);
        }
    });
    if chosen != now {
        set(pane, chosen);
    }
}

/// Sets the weighting of a name, of the data and of what was typed.
pub(crate) fn set(pane: &mut Pane, name: &str) {
    match of(name, pane.capturer.as_deref()) {
        Ok(weighting) => {
            for study in pane.study.iter_mut().chain(&mut pane.guest) {
                study.set_weighting(weighting.clone());
            }
            pane.refresh();
        }
        Err(error) => pane.notes.push(error.to_string()),
    }
}
