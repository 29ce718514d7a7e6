//! Notes and errors that a window keeps on view until its user dismisses them.

use std::collections::BTreeMap;

use egui::{Button, Label, RichText, Ui};

/// A list of messages without repetitions. What was dismissed does not come back.
///
/// ```
/// use attn_egui::Notes;
///
/// let mut notes = Notes::default();
/// notes.push("3 lines were cut");
/// notes.push("3 lines were cut");
/// assert_eq!(notes.iter().count(), 1);
/// notes.dismiss(0);
/// notes.push("3 lines were cut");
/// assert_eq!(notes.iter().count(), 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Notes {
    shown: Vec<String>,
    dismissed: Vec<String>,
    /// The last note of each topic.
    topics: BTreeMap<String, String>,
}

impl Notes {
    /// Adds a message, unless it is there already or was dismissed.
    pub fn push(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.shown.contains(&note) && !self.dismissed.contains(&note) {
            self.shown.push(note);
        }
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.shown.iter().map(String::as_str)
    }

    /// Takes a message off, by its place; nothing if there is none.
    pub fn dismiss(&mut self, place: usize) {
        if place < self.shown.len() {
            self.dismissed.push(self.shown.remove(place));
        }
    }

    /// Takes off what holds no longer, such as an error that was followed by success. It may come back.
    pub fn withdraw(&mut self, note: &str) {
        self.shown.retain(|shown| shown != note);
    }

    /// The one message on a topic, in place of the former; `None` takes it off. Once it was dismissed, the topic is left alone.
    ///
    /// ```
    /// use attn_egui::Notes;
    ///
    /// let mut notes = Notes::default();
    /// notes.keep("fonts", Some("no font has 1 character".into()));
    /// notes.keep("fonts", Some("no font has 2 characters".into()));
    /// assert_eq!(notes.iter().collect::<Vec<_>>(), ["no font has 2 characters"]);
    /// notes.dismiss(0);
    /// notes.keep("fonts", Some("no font has 3 characters".into()));
    /// assert_eq!(notes.iter().count(), 0);
    /// ```
    pub fn keep(&mut self, topic: &str, note: Option<String>) {
        let former = self.topics.get(topic);
        if former == note.as_ref() || former.is_some_and(|former| self.dismissed.contains(former)) {
            return;
        }
        if let Some(former) = self.topics.remove(topic) {
            self.withdraw(&former);
        }
        if let Some(note) = note {
            self.push(note.as_str());
            self.topics.insert(topic.to_owned(), note);
        }
    }

    /// Shows the messages, each with a button that dismisses it.
    pub fn show(&mut self, ui: &mut Ui) {
        let mut dismissed = None;
        for (place, note) in self.shown.iter().enumerate() {
            ui.horizontal_top(|ui| {
                let button = ui.add(Button::new("×").frame(false));
                if button.on_hover_text("Dismisses this note").clicked() {
                    dismissed = Some(place);
                }
                ui.add(Label::new(RichText::new(note).weak()).wrap());
            });
        }
        if let Some(place) = dismissed {
            self.dismiss(place);
        }
    }
}

impl<N: Into<String>> Extend<N> for Notes {
    fn extend<I: IntoIterator<Item = N>>(&mut self, notes: I) {
        notes.into_iter().for_each(|note| self.push(note));
    }
}
