//! Errors of this crate.

/// The reason why a widget shows an error message in place of its plot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plot could not make its scene.
    #[error("the scene could not be made: {0}")]
    Scene(#[source] attn_render::Error),
    /// The scene could not be drawn.
    #[error("the scene could not be drawn: {0}")]
    Draw(#[from] attn_render::Error),
}
