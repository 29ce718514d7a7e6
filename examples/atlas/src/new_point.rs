//! New points: a text or an image that a user types. The model reads it and its tokens are placed into the projected heads. The field
//! under the plots also takes files that are dropped on the window.

use eframe::egui::{Key, RichText, TextEdit, Ui};

use crate::{pane::Pane, window::Atlas};

/// What a pane's model takes, if it can be run.
fn reads(pane: &Pane) -> Option<&'static str> {
    let capturer = pane.capturer.as_ref()?;
    match capturer.model().vision() {
        Some(_) => Some(
            "Drop an image on the window, or type its path and press Enter: squares show its patches in every head",
        ),
        None => capturer
            .tokenizer()
            .map(|_| "Type a sentence and press Enter: squares show its tokens in every head"),
    }
}

impl Atlas {
    /// The field for new text, captured by every shown model.
    pub(crate) fn new_point(&mut self, ui: &mut Ui) {
        let hints: Vec<_> = self.panes.iter().map(reads).collect();
        let Some(hint) = hints[self.active].or_else(|| hints.iter().flatten().next().copied()) else {
            ui.label(RichText::new("New text needs a model with a tokenizer.").weak());
            return;
        };
        let pane = &mut self.panes[self.active];
        let dropped = ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).next());
        if let Some(path) = &dropped {
            pane.typed = path.display().to_string();
        }
        let field = TextEdit::singleline(&mut pane.typed)
            .hint_text(hint)
            .desired_width(f32::INFINITY);
        let entered = ui.add(field).lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if entered || dropped.is_some() {
            let text = pane.typed.clone();
            for pane in self.panes.iter_mut().filter(|pane| reads(pane).is_some()) {
                pane.typed.clone_from(&text);
                pane.read_typed();
            }
        }
    }
}
