//! What can go wrong between the crates; everything else is passed on unchanged.

/// An error of the facade.
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
    /// A head was asked for that has not been projected (yet).
    #[error("head {head} is not among the {projected} heads projected so far")]
    NotProjected {
        /// The head.
        head: attn_core::HeadId,
        /// How many there are.
        projected: usize,
    },
    /// A column to colour by has not a value per token.
    #[error("column `{name}`: expected {expected} values for the {side:?} side, found {found}")]
    Column {
        /// The column's name.
        name: String,
        /// The side of the tokens.
        side: attn_core::Side,
        /// Tokens on that side.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A file of text and columns is not what it should be, or not that of a capture.
    #[error("{place}: expected {expected}, found {found}")]
    Dataset {
        /// The file, and the line where there is one.
        place: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A column was asked for that the data does not have.
    #[error("no column `{name}`: there are {}", if columns.is_empty() { "none".to_owned() } else { columns.join(", ") })]
    NoColumn {
        /// The name.
        name: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// An experiment was asked for without heads.
    #[error("expected at least one head to take out, found none")]
    NoHeads,
    /// The output projection of a head is needed and was not given, or is not of this model.
    #[error("{head}: expected its output projection among the weights of heads, found none that fits")]
    NoHeadWeights {
        /// The head.
        head: attn_core::HeadId,
    },
    /// Edges were to be cut that no sequence has.
    #[error("no sequence has an edge `{edges}` that {head} sees and can do without")]
    NoEdges {
        /// Which edges.
        edges: String,
        /// The head.
        head: attn_core::HeadId,
    },
    /// The view of a picture was asked for a sequence that is none.
    #[error("{sequence} is not a picture")]
    NotAPicture {
        /// The sequence's name.
        sequence: String,
    },
}

impl Error {
    /// Whether this is a cancellation, which callers usually do not report as a failure.
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
