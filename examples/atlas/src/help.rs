//! The help window: keys and mouse.

use attn_egui::key_help;
use eframe::egui::Context;

/// What each key and gesture does.
const KEYS: [(&str, &str); 27] = [
    ("Ctrl+K", "searches every command and head, such as 3:9"),
    ("click a plot, or wheel into it", "opens a head"),
    ("Escape, All heads", "back to all heads"),
    (", and .", "previous and next head"),
    ("click a point or a row", "highlights its sequence and attention lines"),
    (
        "click a token in the sentence",
        "switches it off; other tokens share its attention",
    ),
    ("Shift and click a token", "isolates its lines"),
    ("hover over a token", "its largest weights"),
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
    ("Home", "resets the cameras"),
    ("m, b, l", "drag mode: move, box selection, lasso selection"),
    ("a", "selects all points in sight; the page says what a selection is"),
    ("n and p", "next and previous head, point or token"),
    ("Enter", "opens the head, or presses the entry of the legend"),
    ("c", "next entry of the legend"),
    ("x", "switches the token off that n and p came to"),
    (
        "u and r, Ctrl+Z and Ctrl+Y",
        "undo and redo: views, colors, filters, sequences, the projection and the weighting",
    ),
    ("t", "light or dark theme"),
    (
        "[ and ] and \\",
        "fold sequences, page and detail pane; their edges are dragged",
    ),
    ("Ctrl+S, Ctrl+Shift+S", "saves the session; under another name"),
    ("Ctrl+O", "opens a session"),
    ("Ctrl+D", "bookmarks this view"),
    ("Tab", "to the next button, field or plot"),
    ("F1", "this help; Escape closes it"),
];

/// Shows the window while it is `open`.
pub(crate) fn show(context: &Context, open: &mut bool) {
    let about =
        "Each plot is one attention head. It shows the queries and keys of every token in one joint projection.";
    key_help(context, open, about, &KEYS);
}
