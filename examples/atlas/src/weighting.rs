//! Weighting of attention: an option, and a choice above the sequence.

use std::{error::Error, sync::Arc};

use attn_sdk::{Weighting, models::Capturer};
use eframe::egui::{RichText, Ui};

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

/// The name of a weighting.
pub(crate) fn name(weighting: &Weighting) -> &'static str {
    match weighting {
        Weighting::Attention => NAMES[0],
        Weighting::Value => NAMES[1],
        Weighting::Output(_) => NAMES[2],
    }
}

/// The choice of the weighting.
pub(crate) fn choice(ui: &mut Ui, pane: &mut Pane) {
    let Some(study) = &pane.study else { return };
    let now = name(&pane.weighting);
    let applied = name(study.weighting()) == now;
    let mut chosen = now;
    ui.horizontal(|ui| {
        ui.label("Weighting")
            .on_hover_text("Raw weights, or times the norm of the value or of its contribution to the residual stream");
        for name in NAMES {
            ui.selectable_value(&mut chosen, name, name);
        }
        if !applied {
            ui.label(RichText::new("at the last checkpoint, whose output matrices are read; raw weights here").weak());
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
            pane.weighting = weighting;
            pane.weigh();
            // So are the lines of what is placed.
            pane.place_all_again();
            pane.refresh();
        }
        Err(error) => pane.notes.push(error.to_string()),
    }
}

impl Pane {
    /// Applies the weighting to what is shown.
    pub(crate) fn weigh(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.set_weighting(&self.weighting);
        }
        let here = match &self.weighting {
            Weighting::Output(_) if !self.is_last_checkpoint() => Weighting::Attention,
            other => other.clone(),
        };
        let incoming = self.incoming.as_mut().map(|(study, _)| &mut **study);
        for study in self.study.iter_mut().chain(incoming) {
            study.set_weighting(here.clone());
        }
        // The last checkpoint reads it.
        if let Some(guest) = &mut self.guest {
            guest.set_weighting(self.weighting.clone());
        }
    }
}
