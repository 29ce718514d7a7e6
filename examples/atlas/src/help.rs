//! The help window: keys and mouse.

use eframe::egui::{Grid, RichText, Ui, Window};

/// Shows the window while it is `open`.
pub(crate) fn show(ui: &Ui, open: &mut bool) {
    let keys = [
        ("click a plot, or wheel into it", "opens a head"),
        ("Escape, All heads", "back to all heads"),
        ("click a point or a row", "highlights its sequence and attention lines"),
        (
            "click a token in the sentence",
            "hides it; other tokens share its attention",
        ),
        (
            "click a state in the rollout",
            "follows it back to tokens and forward to later states",
        ),
        (
            "click a head on the map (similarity)",
            "opens it, with lines to the most similar heads",
        ),
        ("drag, arrows", "moves the camera; rotates it in 3D"),
        ("wheel, + and −", "zooms at the pointer"),
        ("m, b, l", "drag mode: move, box selection, lasso selection"),
        (", and .", "previous and next head"),
        ("u and r", "undo and redo"),
        ("t", "light or dark theme"),
        ("Home", "resets the camera"),
    ];
    Window::new("Help").open(open).resizable(false).show(ui.ctx(), |ui| {
        ui.label(
            "Each plot is one attention head. It shows queries and keys of every token; a query is near the keys it attends to.",
        );
        Grid::new("keys").num_columns(2).striped(true).show(ui, |ui| {
            for (key, what) in keys {
                ui.label(RichText::new(key).strong());
                ui.label(what);
                ui.end_row();
            }
        });
    });
}
