//! The model beside a control model: a choice in the window.

use attn_sdk::study::source::Source;
use eframe::egui::Ui;

use crate::{pane::Pane, source::controls};

/// Menu entries for the control models of the shown model.
pub(crate) fn offer(ui: &mut Ui, pane: &Pane) -> Option<Source> {
    let mut chosen = None;
    ui.separator();
    for (control, source) in controls(pane) {
        if ui.button(format!("control model: {control}")).clicked() {
            chosen = Some(source);
            ui.close();
        }
    }
    ui.separator();
    chosen
}
