//! A text or a picture of a person's own: the model reads it, and it is placed into the pictures that are there. A field under the
//! pictures, which also takes files that are dropped on the window.

use eframe::egui::{Key, RichText, TextEdit, Ui};

use crate::{side::Side, window::Atlas};

/// What a side's model takes, if it can be run.
fn reads(side: &Side) -> Option<&'static str> {
    let capturer = side.capturer.as_ref()?;
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
    pub(crate) fn guest(&mut self, ui: &mut Ui) {
        let hints: Vec<_> = self.sides.iter().map(reads).collect();
        let Some(hint) = hints[self.active].or_else(|| hints.iter().flatten().next().copied()) else {
            ui.label(RichText::new("New text needs a model with a tokenizer.").weak());
            return;
        };
        let side = &mut self.sides[self.active];
        let dropped = ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).next());
        if let Some(path) = &dropped {
            side.typed = path.display().to_string();
        }
        let field = TextEdit::singleline(&mut side.typed)
            .hint_text(hint)
            .desired_width(f32::INFINITY);
        let entered = ui.add(field).lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if entered || dropped.is_some() {
            let text = side.typed.clone();
            for side in self.sides.iter_mut().filter(|side| reads(side).is_some()) {
                side.typed.clone_from(&text);
                side.read_typed();
            }
        }
    }
}
