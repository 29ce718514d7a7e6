//! What can go wrong in this crate: what was expected, what was found, and where.

use attn_core::HeadId;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of `attn-analyze`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The capture could not be read, or the work was cancelled.
    #[error(transparent)]
    Core(#[from] attn_core::Error),
    /// The map of words could not be laid out.
    #[error(transparent)]
    Project(#[from] attn_project::Error),
    /// A method of clustering failed on these points.
    #[error("{method}: {reason}")]
    Clustering {
        /// Name of the method.
        method: String,
        /// Its own words.
        reason: String,
    },
    /// Arrays do not fit together.
    #[error("{place}: expected {expected}, found {found}")]
    Shape {
        /// The argument's name, or the head.
        place: String,
        /// The expected shape.
        expected: String,
        /// The shape found.
        found: String,
    },
    /// A value that must be finite is NaN or infinite.
    #[error("{place}: value {index} is {value}, expected a finite number")]
    NotFinite {
        /// The argument's name, or head and sequence.
        place: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A file is not what it should be.
    #[error("{place}: {message}")]
    File {
        /// The file.
        place: String,
        /// What is wrong with it, and where.
        message: String,
    },
    /// There is nothing to compute from.
    #[error("{place}: expected {expected}, found none")]
    Empty {
        /// The argument's name.
        place: String,
        /// What is needed at least.
        expected: String,
    },
    /// A parameter is outside its range.
    #[error("{name}: expected {expected}, found {found}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// Its range.
        expected: String,
        /// The value given.
        found: String,
    },
    /// A sequence that should be some tokens followed by the same tokens is not.
    #[error("{sequence}: expected its second half to repeat the first, found {found}")]
    NotRepeated {
        /// The sequence's name.
        sequence: String,
        /// Where it differs.
        found: String,
    },
    /// An attention was asked for something that only self-attention has.
    #[error("{head}: expected a head of self-attention for {purpose}")]
    NotSelfAttention {
        /// The head.
        head: HeadId,
        /// What it was asked for.
        purpose: &'static str,
    },
}

impl Error {
    /// Whether this is a cancellation, which callers usually do not report as a failure.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Core(error) => error.is_cancelled(),
            Self::Project(error) => error.is_cancelled(),
            _ => false,
        }
    }
}

/// The first value that is NaN or infinite, as an error.
pub(crate) fn finite<'a>(
    values: impl IntoIterator<Item = &'a f32>,
    place: impl FnOnce() -> String,
) -> Result<(), Error> {
    match values.into_iter().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((index, &value)) => Err(Error::NotFinite {
            place: place(),
            index,
            value,
        }),
    }
}
