//! What can go wrong in this crate.

use std::error::Error as StdError;

/// Why a widget shows words instead of its picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's function could not make a scene.
    #[error("the scene could not be made: {0}")]
    Scene(#[source] Box<dyn StdError + Send + Sync>),
    /// The scene could not be drawn.
    #[error("the scene could not be drawn: {0}")]
    Draw(#[from] attn_render::Error),
}
