//! Errors of a study. Errors of other crates pass through unchanged.

/// An error of a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From `attn-analyze`.
    #[error(transparent)]
    Analyze(#[from] attn_analyze::Error),
    /// From `attn-core`.
    #[error(transparent)]
    Core(#[from] attn_core::Error),
    /// From `attn-models`.
    #[error(transparent)]
    Models(#[from] attn_models::Error),
    /// From `attn-project`.
    #[error(transparent)]
    Project(#[from] attn_project::Error),
    /// A head that could not be projected.
    #[error(transparent)]
    HeadFailed(std::sync::Arc<attn_project::Error>),
    /// From `attn-render`.
    #[error(transparent)]
    Render(#[from] attn_render::Error),
    /// The head has not been projected (yet).
    #[error("head {head} is not among the {projected} heads projected so far")]
    NotProjected {
        /// The head.
        head: attn_core::HeadId,
        /// Number of projected heads.
        projected: usize,
    },
    /// The data has no such column.
    #[error("no column `{name}`: there are {}", if columns.is_empty() { "none".to_owned() } else { columns.join(", ") })]
    NoColumn {
        /// The name.
        name: String,
        /// Names of existing columns.
        columns: Vec<String>,
    },
    /// An experiment without heads.
    #[error("expected at least one head to ablate, found none")]
    NoHeads,
    /// The output matrix of a head is missing, or belongs to another model.
    #[error("{head}: expected its output matrix among the head weights, found none that fits")]
    NoHeadWeights {
        /// The head.
        head: attn_core::HeadId,
    },
    /// No sequence has an edge to knock out.
    #[error("no sequence has an edge `{edges}` that {head} sees, or it is the only edge of its query")]
    NoEdges {
        /// The edges.
        edges: String,
        /// The head.
        head: attn_core::HeadId,
    },
    /// The sequence is not an image.
    #[error("{sequence} is not an image")]
    NotAnImage {
        /// The sequence's name.
        sequence: String,
    },
}

impl Error {
    /// Whether this is a cancellation, which callers usually do not report.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Analyze(error) => error.is_cancelled(),
            Self::Core(error) => error.is_cancelled(),
            Self::Models(error) => error.is_cancelled(),
            Self::Project(error) => error.is_cancelled(),
            _ => false,
        }
    }
}

impl From<Error> for attn_render::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Render(error) => error,
            error => Self::host(error),
        }
    }
}
