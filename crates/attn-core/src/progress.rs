//! Progress of long work, and its cancellation.
//!
//! One trait serves every crate, so that a host writes its progress bar and its cancel button once.

use std::ops::ControlFlow;

use crate::{Error, Result};

/// Receiver of progress, which may also cancel the work.
///
/// Work that can take longer than a second takes a `&dyn Progress`. Implementations must be cheap:
/// they may be called a few thousand times a second, and from several threads at once.
///
/// ```
/// use std::ops::ControlFlow;
/// use attn_core::Progress;
///
/// // Any closure of this shape is a `Progress`. `()` shows nothing and never cancels.
/// let stop_at_half = |_stage: &str, done: usize, total: usize| {
///     if 2 * done >= total { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// };
/// assert!(stop_at_half.update("capture", 10, 100).is_continue());
/// assert!(stop_at_half.update("capture", 50, 100).is_break());
/// ```
pub trait Progress: Sync {
    /// Called when `done` of `total` steps of `stage` are finished. [`ControlFlow::Break`] cancels: the
    /// work stops at the next safe point and returns its crate's `Cancelled` error.
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()>;
}

impl Progress for () {
    fn update(&self, _: &str, _: usize, _: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F> Progress for F
where
    F: Fn(&str, usize, usize) -> ControlFlow<()> + Sync,
{
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()> {
        self(stage, done, total)
    }
}

/// Reports one step and turns a cancellation into [`Error::Cancelled`].
///
/// # Errors
/// [`Error::Cancelled`] when `progress` breaks.
pub fn step(progress: &dyn Progress, stage: &str, done: usize, total: usize) -> Result<()> {
    match progress.update(stage, done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled {
            stage: stage.to_owned(),
        }),
    }
}
