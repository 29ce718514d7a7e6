//! Errors of this crate: what was expected, what was found, and where.

use std::{borrow::Cow, path::PathBuf};

use attn_core::HeadId;

/// An error of `attn-project`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A coordinate is NaN or infinite.
    #[error("{what}: row {row}, column {column} is {value}, expected a finite number")]
    NotFinite {
        /// The argument.
        what: &'static str,
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A coordinate is so large that distances would not fit single precision.
    #[error("{what}: row {row}, column {column} is {value:e}, expected at most {limit:e} in magnitude")]
    TooLarge {
        /// The argument.
        what: &'static str,
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The value.
        value: f32,
        /// The largest magnitude that works.
        limit: f32,
    },
    /// There are too few points for what was asked.
    #[error("{what}: expected at least {needed} points, found {found}")]
    TooFewPoints {
        /// What was asked.
        what: Cow<'static, str>,
        /// The smallest number of points that works.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A neighbor table is too narrow for the method.
    #[error("{method}: expected a table of at least {needed} neighbors per point, found {found}")]
    TooFewNeighbors {
        /// The method.
        method: String,
        /// Neighbors per point that the method needs.
        needed: usize,
        /// Neighbors per point of the table.
        found: usize,
    },
    /// A matrix has another shape than expected.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The argument.
        what: &'static str,
        /// The expected shape.
        expected: String,
        /// The shape found.
        found: String,
    },
    /// A parameter is out of range.
    #[error("parameter `{name}`: expected {expected}, found {found}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// The range that works.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A method cannot do what was asked.
    #[error("{method}: {what} is not supported")]
    Unsupported {
        /// The method.
        method: String,
        /// What was asked.
        what: &'static str,
    },
    /// A method or a search from outside this crate failed.
    #[error("{method}: {source}")]
    Method {
        /// The method.
        method: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// One head of a capture could not be projected.
    #[error("{}head {head}: {source}", place(.file))]
    Head {
        /// Which head.
        head: HeadId,
        /// The file with its layer, for a capture in a folder.
        file: Option<PathBuf>,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The caller's [`Progress`](attn_core::Progress) asked to stop.
    #[error("cancelled during {stage}")]
    Cancelled {
        /// The stage that was running.
        stage: String,
    },
    /// An error of `attn-core`, for example a capture that cannot be read.
    #[error(transparent)]
    Core(attn_core::Error),
}

/// The result of a call that may fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn place(file: &Option<PathBuf>) -> String {
    file.as_ref()
        .map_or_else(String::new, |file| format!("{}, ", file.display()))
}

impl Error {
    /// Whether this is a cancellation, which callers usually do not report as a failure.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled { .. } => true,
            Self::Head { source, .. } => source.is_cancelled(),
            _ => false,
        }
    }

    /// The error of a method or a search from outside this crate, for implementations of
    /// [`ProjectionMethod`](crate::ProjectionMethod).
    pub fn method(method: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Method {
            method: method.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn parameter(name: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Parameter {
            name,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    pub(crate) fn shape(what: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Shape {
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    pub(crate) fn too_few(what: impl Into<Cow<'static, str>>, needed: usize, found: usize) -> Self {
        Self::TooFewPoints {
            what: what.into(),
            needed,
            found,
        }
    }

    pub(crate) fn unsupported(method: &str, what: &'static str) -> Self {
        Self::Unsupported {
            method: method.to_owned(),
            what,
        }
    }
}

impl From<attn_core::Error> for Error {
    fn from(error: attn_core::Error) -> Self {
        match error {
            attn_core::Error::Cancelled { stage } => Self::Cancelled { stage },
            other => Self::Core(other),
        }
    }
}
