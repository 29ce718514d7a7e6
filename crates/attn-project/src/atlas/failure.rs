//! Heads that could not be projected.

use std::sync::Arc;

use attn_core::HeadId;

use crate::{Error, Result};

/// A head that could not be projected, and why. The others of its atlas could.
#[derive(Debug, Clone)]
pub struct HeadFailure {
    /// Which head.
    pub head: HeadId,
    /// What is wrong, an [`Error::Head`] that names file, layer and head.
    pub error: Arc<Error>,
}

impl HeadFailure {
    pub(super) fn new(head: HeadId, error: Error) -> Self {
        Self {
            head,
            error: Arc::new(error),
        }
    }

    /// The failures of `count` heads; the first of them as an error if no head is left.
    pub(super) fn unless_all(mut failures: Vec<Self>, count: usize) -> Result<Vec<Self>> {
        failures.sort_by_key(|failure| failure.head);
        if failures.is_empty() || failures.len() < count {
            return Ok(failures);
        }
        let first = failures.swap_remove(0);
        match Arc::try_unwrap(first.error) {
            Ok(error) => Err(error),
            Err(shared) => Err(Error::method("atlas", shared.to_string())),
        }
    }
}
