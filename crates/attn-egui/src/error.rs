//! Errors of this crate.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a widget shows an error message in place of its plot, or why a session is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plot could not make its scene.
    #[error("the scene could not be made: {0}")]
    Scene(#[source] attn_render::Error),
    /// The scene could not be drawn.
    #[error("the scene could not be drawn: {0}")]
    Draw(#[from] attn_render::Error),
    /// A session could not be written or read.
    #[error("session {path}: {why}", path = path.display())]
    Session {
        /// Its file.
        path: PathBuf,
        /// What was expected and found.
        why: String,
    },
}

impl Error {
    pub(crate) fn session(path: &Path, why: &dyn Display) -> Self {
        Self::Session {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}
