//! What the keys and the mouse do.

use eframe::egui::{Grid, RichText, Ui, Window};

/// Shows it while it is `open`.
pub(crate) fn show(ui: &Ui, open: &mut bool) {
    let keys = [
        ("click a plot, or wheel into it", "opens a head"),
        ("Escape, All heads", "back to all heads"),
        (
            "click a point or a row",
            "brings a sequence out, with its attention lines",
        ),
        (
            "click a token in the sentence",
            "switches it off; the rest shares its attention",
        ),
        (
            "click a state in the rollout",
            "follows it back to its tokens, and on to where it goes",
        ),
        (
            "click a head on the map (alike)",
            "opens it, joined to those most like it",
        ),
        ("drag, arrows", "moves; turns in three dimensions"),
        ("wheel, + and −", "enlarges at the pointer"),
        ("m, b, l", "drag moves, draws a box, draws a lasso"),
        (", and .", "previous and next head"),
        ("u and r", "undo and redo"),
        ("t", "light or dark"),
        ("Home", "the whole picture"),
    ];
    Window::new("Help").open(open).resizable(false).show(ui.ctx(), |ui| {
        ui.label(
            "Each plot is one attention head: queries and keys of every token together, so that near means attended.",
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
