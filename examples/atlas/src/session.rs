//! Sessions: everything on view as one file, opened again by the window or by `atlas SESSION.json`.
//!
//! A session holds paths, not data. It says which capture it was made of, so that a changed one is noticed.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use attn_egui::{
    FoldPanel,
    session::{Bookmarks, open_session, save_session},
};
use attn_sdk::{
    Error as StudyError, TokenFilter,
    core::{Capture, LayerHead},
    project::AtlasParams,
    render::{ViewState, state::ColorChoice},
    study::sequence::SwitchedOff,
};
use serde::{Deserialize, Serialize};

use crate::{detail::Kind, options::Projection, pane::Pane, source::What, weighting, window::Atlas};

/// The name of the program in its sessions.
const PROGRAM: &str = "atlas";

/// A whole window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) panes: Vec<Saved>,
    pub(crate) active: usize,
    pub(crate) projection: Projection,
    pub(crate) params: AtlasParams,
    pub(crate) panels: Panels,
}

/// The foldable panels of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Panels {
    pub(crate) sequences: FoldPanel,
    pub(crate) about: FoldPanel,
    pub(crate) detail: FoldPanel,
}

/// One model of a window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) what: What,
    #[serde(default)]
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) look: Look,
    #[serde(default)]
    pub(crate) kind: Kind,
    /// What was typed.
    #[serde(default)]
    pub(crate) typed: String,
    #[serde(default)]
    pub(crate) bookmarks: Bookmarks<Look>,
    /// The name of the weighting of attention.
    #[serde(default)]
    pub(crate) weighting: Option<String>,
    /// A head to open and tokens to switch off, in the words of the command line.
    #[serde(skip)]
    pub(crate) head: Option<LayerHead>,
    #[serde(skip)]
    pub(crate) off: SwitchedOff,
}

/// How a model is looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) view: ViewState,
    #[serde(default)]
    pub(crate) filter: TokenFilter,
    #[serde(default)]
    pub(crate) sequence: Option<usize>,
}

/// What a capture is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// Of the weights.
    model: String,
    sequences: usize,
    tokens: usize,
    /// Of the tokens.
    text: String,
}

impl Fingerprint {
    pub(crate) fn of(capture: &Capture) -> Self {
        let (mut hash, mut tokens) = (Fnv::default(), 0);
        for sequence in capture.sequences() {
            for token in sequence.encoder.iter().chain(&sequence.decoder) {
                tokens += 1;
                hash.add(token.text.as_bytes());
                hash.add(&[0xFF]);
            }
            hash.add(&[0xFE]);
        }
        Self {
            model: capture.fingerprint().to_owned(),
            sequences: capture.sequences().len(),
            tokens,
            text: format!("{:016x}", hash.0),
        }
    }

    /// What a session says of a capture that is another one now.
    pub(crate) fn changed(&self, found: &Self) -> String {
        let data = |of: &Self| format!("{} sequences, {} tokens", of.sequences, of.tokens);
        let what = match (self.model == found.model, self.text == found.text) {
            (false, true) => "the model has other weights".to_owned(),
            (true, false) => format!("the data were {}, and are {} now", data(self), data(found)),
            _ => format!(
                "the model has other weights, and the data were {}, and are {} now",
                data(self),
                data(found)
            ),
        };
        format!("The session was saved of something else: {what}.")
    }
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo): the same on every machine.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Session {
    /// Reads a session; paths that moved with it are found beside it.
    pub(crate) fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut session: Self = open_session(path, PROGRAM)?;
        if session.panes.is_empty() || session.panes.len() > 2 {
            return Err(format!(
                "session {}: expected one model or two, found {}",
                path.display(),
                session.panes.len()
            )
            .into());
        }
        session.active = session.active.min(session.panes.len() - 1);
        let folder = path.parent().unwrap_or(Path::new(""));
        for pane in &mut session.panes {
            pane.what = pane.what.clone().beside(folder);
        }
        Ok(session)
    }
}

impl Pane {
    /// How it is looked at.
    pub(crate) fn looked(&self) -> Look {
        Look {
            view: self.view.clone(),
            filter: self.filter.clone(),
            sequence: self.sequence,
        }
    }

    /// Looks at it in a way that was kept.
    pub(crate) fn look(&mut self, look: Look) {
        let study = self.study.as_ref();
        let exists = |head: &attn_sdk::core::HeadId| {
            study.is_some_and(|study| study.capture().model().heads().any(|other| other == *head))
        };
        self.view = look.view.clone();
        self.detail.set_hidden(self.view.hidden.clone());
        if self.view.open.is_some_and(|head| !exists(&head)) {
            self.view.close_head();
        }
        let filter = self.known(&look);
        self.draw(filter);
        let sequences = self.study.as_ref().map_or(0, |study| study.capture().sequences().len());
        if let Some(sequence) = look.sequence.filter(|sequence| *sequence < sequences) {
            self.sequence = Some(sequence);
            self.table.scroll_to(sequence);
        }
        self.refresh();
    }

    /// Notes what the data do not have of colors, sequences and values of columns, and leaves it out; returns the filter.
    fn known(&mut self, look: &Look) -> TokenFilter {
        let Some(study) = &self.study else {
            return look.filter.clone();
        };
        let color = &mut self.view.shared.color;
        if let Some(name) = color.name().map(str::to_owned)
            && !study.has_color(color)
        {
            let names = study.color_names();
            self.notes.push(StudyError::NoColor { name, names }.to_string());
            *color = ColorChoice::Role;
        }
        if let Some(Err(error)) = look.sequence.map(|sequence| study.find_sequence(sequence + 1)) {
            self.notes.push(error.to_string());
        }
        match study.check_filter(&look.filter) {
            Ok(()) => look.filter.clone(),
            Err(error) => {
                self.notes.push(format!("All tokens are drawn: {error}"));
                TokenFilter::default()
            }
        }
    }

    /// A short name for how it is looked at.
    pub(crate) fn describe(&self) -> String {
        let study = self.study.as_ref();
        let head = self
            .view
            .open
            .zip(study)
            .map(|(head, study)| study.capture().model().head_name(head));
        let mut name = head.unwrap_or_else(|| "All heads".into());
        let search = &self.view.shared.search;
        if !search.is_empty() {
            name.push_str(&format!(", search {search}"));
        }
        name
    }

    fn saved(&self) -> Option<Saved> {
        // What a session held is kept until it is on view.
        let whole = self
            .incoming
            .as_ref()
            .map(|(study, _)| &**study)
            .or(self.study.as_ref());
        let whole = whole.filter(|study| study.preview_of().is_none());
        let look = match &self.restored {
            Some(look) if self.from_session => look.clone(),
            Some(look) => Look {
                view: self.view.clone(),
                ..look.clone()
            },
            None => self.looked(),
        };
        let typed = self.guest.is_some() || self.restored.is_some();
        Some(Saved {
            what: self.what.clone()?.absolute(),
            fingerprint: self
                .fingerprint
                .clone()
                .or_else(|| whole.map(|study| Fingerprint::of(study.capture()))),
            look,
            kind: self.detail.kind(),
            typed: if typed { self.typed.clone() } else { String::new() },
            bookmarks: self.bookmarks.clone(),
            weighting: Some(
                self.first_weighting
                    .clone()
                    .unwrap_or_else(|| weighting::name(&self.weighting).to_owned()),
            ),
            head: None,
            off: SwitchedOff::default(),
        })
    }
}

impl Atlas {
    /// Writes the session.
    pub(crate) fn save_session(&mut self, path: PathBuf) {
        let panes: Vec<Saved> = self.panes.iter().filter_map(Pane::saved).collect();
        if panes.len() < self.panes.len() {
            self.active().notes.push("Control models are not kept in a session.");
        }
        let session = Session {
            active: self.active.min(panes.len().saturating_sub(1)),
            panes,
            projection: self.projection,
            params: self.params.clone(),
            panels: self.panels.clone(),
        };
        let said = match save_session(&path, PROGRAM, &session) {
            Ok(()) => {
                let said = format!("Session saved: {}", path.display());
                self.session = Some(path);
                said
            }
            Err(error) => error.to_string(),
        };
        self.active().exports.say(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_says_what_changed() {
        let of = |model: &str, tokens: usize, text: &str| Fingerprint {
            model: model.into(),
            sequences: 2,
            tokens,
            text: text.into(),
        };
        let saved = of("a", 10, "x");
        assert!(
            saved
                .changed(&of("b", 10, "x"))
                .ends_with("the model has other weights.")
        );
        let other = saved.changed(&of("a", 12, "y"));
        assert!(
            other.ends_with("the data were 2 sequences, 10 tokens, and are 2 sequences, 12 tokens now."),
            "{other}"
        );
    }

    #[test]
    fn fnv_has_its_published_values() {
        let hash = |text: &str| {
            let mut hash = Fnv::default();
            hash.add(text.as_bytes());
            hash.0
        };
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
