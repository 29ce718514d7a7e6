//! The help window: keys and mouse.

use attn_egui::key_help;
use eframe::egui::Context;

/// What each key and gesture does.
const KEYS: [(&str, &str); 18] = [
    ("Ctrl+K", "searches every command"),
    ("Ctrl+Enter", "decodes the source"),
    ("hover over a token", "highlights it in every plot"),
    (
        "click a token under a step",
        "decodes on with it; the steps before are forced",
    ),
    ("click a node of the beam tree", "decodes on from it"),
    ("click a head in Heads", "shows its attention alone"),
    (", and .", "previous and next hypothesis"),
    ("drag, arrows", "moves a plot"),
    ("wheel, + and −", "zooms at the pointer"),
    ("Home", "resets the views"),
    ("u and r, Ctrl+Z and Ctrl+Y", "undo and redo, runs too"),
    ("t", "light or dark theme"),
    ("[ and ]", "fold source and settings, and the experiments"),
    ("\\", "folds beam tree and states; all edges are dragged"),
    ("Ctrl+S, Ctrl+Shift+S", "saves the session; under another name"),
    ("Ctrl+O", "opens a session or a run.json"),
    ("Tab", "to the next button, field or plot"),
    ("F1", "this help; Escape closes it"),
];

/// Shows the window while it is `open`.
pub(crate) fn show(context: &Context, open: &mut bool) {
    let about = "What a model writes for a source, token by token. Each change is a run of its own, beside the run that it was \
                 made from.";
    key_help(context, open, about, &KEYS);
}
