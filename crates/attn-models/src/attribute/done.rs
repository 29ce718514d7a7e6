//! Progress of batches that are under way side by side.

use std::sync::atomic::{AtomicUsize, Ordering};

use attn_core::{Progress, progress::step};

use crate::Result;

/// How many batches of a stage are done.
pub(super) struct Done<'a> {
    stage: &'static str,
    batches: usize,
    done: AtomicUsize,
    progress: &'a dyn Progress,
}

impl<'a> Done<'a> {
    pub(super) fn new(stage: &'static str, batches: usize, progress: &'a dyn Progress) -> Self {
        Self {
            stage,
            batches,
            done: AtomicUsize::new(0),
            progress,
        }
    }

    /// Before a batch: whether to go on.
    pub(super) fn before(&self) -> Result<()> {
        Ok(step(
            self.progress,
            self.stage,
            self.done.load(Ordering::Relaxed),
            self.batches,
        )?)
    }

    /// After a batch.
    pub(super) fn after(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}
