//! Sessions as files, and bookmarks: how a user looked at something, kept and opened again.

use std::path::Path;

use attn_core::files;
use egui::{
    Button, PopupCloseBehavior, RichText, TextEdit, Ui,
    containers::menu::{MenuButton, MenuConfig},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Error;

/// Version of the file.
const VERSION: u32 = 1;
/// A session is text about a view; it is far smaller.
const BYTES: u64 = 64 << 20;

/// A session as its file has it.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    program: String,
    version: u32,
    session: T,
}

/// What must be known of a file before its session is read.
#[derive(Deserialize)]
struct Head {
    program: String,
    version: u32,
}

/// Writes the session of a program as JSON, whole or not at all.
///
/// # Errors
/// [`Error::Session`] if it cannot be written.
pub fn save_session<T: Serialize>(path: &Path, program: &str, session: &T) -> Result<(), Error> {
    let envelope = Envelope {
        program: program.to_owned(),
        version: VERSION,
        session,
    };
    let failed = |why: &dyn std::fmt::Display| Error::session(path, why);
    let mut text = serde_json::to_vec_pretty(&envelope).map_err(|error| failed(&error))?;
    text.push(b'\n');
    files::write_atomically(path, &text).map_err(|error| failed(&error))
}

/// Reads a session that [`save_session`] wrote.
///
/// # Errors
/// [`Error::Session`] if the file cannot be read, is no session of this program or of a later version, or lacks something.
///
/// ```
/// let path = std::env::temp_dir().join("attn-egui-session.json");
/// attn_egui::session::save_session(&path, "viewer", &vec![1, 2, 3])?;
/// assert_eq!(attn_egui::session::open_session::<Vec<i32>>(&path, "viewer")?, [1, 2, 3]);
/// let error = attn_egui::session::open_session::<Vec<i32>>(&path, "atlas").unwrap_err().to_string();
/// assert!(error.ends_with("expected a session of atlas, found one of viewer"), "{error}");
/// # Ok::<(), attn_egui::Error>(())
/// ```
pub fn open_session<T: DeserializeOwned>(path: &Path, program: &str) -> Result<T, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::session(path, why);
    let text = files::read(path, BYTES).map_err(|error| failed(&error))?;
    let head: Head =
        serde_json::from_slice(&text).map_err(|error| failed(&format!("expected a session of {program}: {error}")))?;
    if head.program != program {
        return Err(failed(&format!(
            "expected a session of {program}, found one of {}",
            head.program
        )));
    }
    if head.version > VERSION {
        return Err(failed(&format!(
            "expected version {VERSION} or lower, found {}",
            head.version
        )));
    }
    let envelope: Envelope<T> = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    Ok(envelope.session)
}

/// A named state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bookmark<T> {
    /// Its name, which the user may change.
    pub name: String,
    /// What it keeps.
    pub state: T,
}

/// The bookmarks of a window.
///
/// ```
/// let mut bookmarks = attn_egui::session::Bookmarks::default();
/// bookmarks.add("L0 H1", 7);
/// bookmarks.add("L0 H1", 8);
/// let names: Vec<_> = bookmarks.iter().map(|bookmark| bookmark.name.as_str()).collect();
/// assert_eq!(names, ["L0 H1", "L0 H1 (2)"]);
/// bookmarks.remove(0);
/// assert_eq!(bookmarks.iter().count(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bookmarks<T>(Vec<Bookmark<T>>);

impl<T> Default for Bookmarks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Bookmarks<T> {
    /// Adds a state; a name that is taken gets a number.
    pub fn add(&mut self, name: impl Into<String>, state: T) {
        let name = name.into();
        let taken = |name: &str| self.0.iter().any(|bookmark| bookmark.name == name);
        let free = if taken(&name) {
            (2..)
                .map(|number| format!("{name} ({number})"))
                .find(|name| !taken(name))
        } else {
            None
        };
        let name = free.unwrap_or(name);
        self.0.push(Bookmark { name, state });
    }

    /// Removes the bookmark of this place in [`iter`](Self::iter); nothing if there is none.
    pub fn remove(&mut self, index: usize) {
        if index < self.0.len() {
            self.0.remove(index);
        }
    }

    /// The bookmarks, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Bookmark<T>> {
        self.0.iter()
    }

    /// A menu of them. `now` names and gives the state that *Add this view* keeps. Returns the state to go to.
    pub fn menu(&mut self, ui: &mut Ui, now: impl FnOnce() -> (String, T)) -> Option<T>
    where
        T: Clone,
    {
        let mut chosen = None;
        let stays = MenuConfig::new().close_behavior(PopupCloseBehavior::CloseOnClickOutside);
        let (button, _) = MenuButton::new("Bookmarks").config(stays).ui(ui, |ui| {
            ui.set_min_width(240.0);
            if ui.button("Add this view").clicked() {
                let (name, state) = now();
                self.add(name, state);
            }
            if self.0.is_empty() {
                ui.label(RichText::new("Bookmarks are kept in the session.").weak());
            }
            let mut gone = None;
            for (index, bookmark) in self.0.iter_mut().enumerate() {
                ui.horizontal(|ui| {
                    if ui.button("Go").on_hover_text("Goes to this view").clicked() {
                        chosen = Some(bookmark.state.clone());
                        ui.close();
                    }
                    ui.add(TextEdit::singleline(&mut bookmark.name).desired_width(150.0));
                    if ui
                        .add(Button::new("×").frame(false))
                        .on_hover_text("Removes it")
                        .clicked()
                    {
                        gone = Some(index);
                    }
                });
            }
            if let Some(index) = gone {
                self.0.remove(index);
            }
        });
        button.on_hover_text("Views to come back to");
        chosen
    }
}
