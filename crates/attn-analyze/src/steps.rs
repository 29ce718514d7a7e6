//! Counting finished steps of parallel work, and passing them on to the caller's [`Progress`].

use std::sync::atomic::{AtomicUsize, Ordering};

use attn_core::{Progress, progress::step};

use crate::Error;

/// How often a caller hears of one stage, at most.
const REPORTS: usize = 500;

pub(crate) struct Steps<'a> {
    progress: &'a dyn Progress,
    stage: &'static str,
    total: usize,
    done: AtomicUsize,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(progress: &'a dyn Progress, stage: &'static str, total: usize) -> Result<Self, Error> {
        step(progress, stage, 0, total)?;
        Ok(Self {
            progress,
            stage,
            total,
            done: AtomicUsize::new(0),
        })
    }

    /// One more step is done, on whichever thread.
    ///
    /// # Errors
    /// The cancellation, when the caller asked for it.
    pub(crate) fn add(&self) -> Result<(), Error> {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let every = self.total.div_ceil(REPORTS).max(1);
        if done.is_multiple_of(every) || done == self.total {
            step(self.progress, self.stage, done, self.total)?;
        }
        Ok(())
    }
}

/// Gathers what parallel work gave, failing with the first error in order: the same one on any number of threads.
pub(crate) fn gather<T>(results: Vec<Result<T, Error>>) -> Result<Vec<T>, Error> {
    results.into_iter().collect()
}
