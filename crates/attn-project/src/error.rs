//! What can go wrong in this crate: what was expected, what was found, and where.

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
    /// There are too few points for what was asked.
    #[error("{what}: expected at least {needed} points, found {found}")]
    TooFewPoints {
        /// What was asked.
        what: &'static str,
        /// The smallest number of points that works.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// The neighbour table is too narrow for the perplexity: every point needs three times as many neighbours.
    #[error("t-SNE: perplexity {perplexity} is too large, {neighbors} neighbours a point allow at most {largest}")]
    PerplexityTooLarge {
        /// The perplexity asked for.
        perplexity: f32,
        /// Neighbours per point.
        neighbors: usize,
        /// The largest perplexity that works.
        largest: f32,
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
    #[error("parameter `{parameter}`: expected {expected}, found {found}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// The range that works.
        expected: String,
        /// The value found.
        found: String,
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

impl Error {
    /// Whether this is a cancellation, which callers usually do not report as a failure.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    pub(crate) fn parameter(parameter: &'static str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Parameter {
            parameter,
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
}

impl From<attn_core::Error> for Error {
    fn from(error: attn_core::Error) -> Self {
        match error {
            attn_core::Error::Cancelled { stage } => Self::Cancelled { stage },
            other => Self::Core(other),
        }
    }
}
