//! Notes and errors that a window keeps on view.

use egui::{RichText, Ui};

/// A list of messages without repetitions.
///
/// ```
/// use attn_egui::Notes;
///
/// let mut notes = Notes::default();
/// notes.push("3 lines were cut");
/// notes.push("3 lines were cut");
/// assert_eq!(notes.iter().count(), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Notes(Vec<String>);

impl Notes {
    /// Adds a message, unless it is there already.
    pub fn push(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Shows the messages, each on a line of its own.
    pub fn show(&self, ui: &mut Ui) {
        for note in &self.0 {
            ui.label(RichText::new(note).weak());
        }
    }
}

impl<N: Into<String>> Extend<N> for Notes {
    fn extend<I: IntoIterator<Item = N>>(&mut self, notes: I) {
        notes.into_iter().for_each(|note| self.push(note));
    }
}
