//! The model beside a control model: a choice in the window.

use attn_sdk::study::source::Source;
use eframe::egui::Ui;

use crate::{side::Side, source::controls};

/// Menu entries for the control models of the shown model.
pub(crate) fn offer(ui: &mut Ui, side: &Side) -> Option<Source> {
    let mut chosen = None;
    ui.separator();
    for (control, source) in controls(side) {
        if ui.button(format!("itself, {control}")).clicked() {
            chosen = Some(source);
            ui.close();
        }
    }
    ui.separator();
    chosen
}
