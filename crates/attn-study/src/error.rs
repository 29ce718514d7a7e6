//! Errors of a study. Errors of other crates pass through unchanged.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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
    /// A training run without anything to show.
    #[error("{path}: expected {expected}, found {found}", path = path.display())]
    NoRun {
        /// The folder or file.
        path: std::path::PathBuf,
        /// What a run has there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A moment of a training was named that its log does not have.
    #[error("{asked}: expected an epoch or step of the log, which are {}", moments.join(", "))]
    NoMoment {
        /// The name.
        asked: String,
        /// What there is.
        moments: Vec<String>,
    },
    /// A plot needs what a log does not have.
    #[error("{plot}: the log has no {missing}")]
    NotLogged {
        /// The plot.
        plot: &'static str,
        /// What it needs.
        missing: &'static str,
    },
    /// An experiment without heads.
    #[error("expected at least one head to ablate, found none")]
    NoHeads,
    /// Nothing that a model could be right about.
    #[error("`{model}`: expected examples with something to predict, found none{}", if left_out.is_empty() { ": there are no examples, or the model predicts neither classes nor tokens".to_owned() } else { format!(": {}", left_out.join("; ")) })]
    NothingLabeled {
        /// The model's name.
        model: String,
        /// Which examples were left out, and what was expected of them.
        left_out: Vec<String>,
    },
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
    /// The image of a sequence cannot be read again: its file is gone or is another.
    #[error("{sequence}: its image cannot be read again: {source}")]
    ImageLost {
        /// The sequence's name.
        sequence: String,
        /// Why.
        source: Box<Error>,
    },
    /// A [`Source`](crate::source::Source) holds nothing to open.
    #[error("expected {expected}, found none")]
    NoSource {
        /// What it would hold.
        expected: &'static str,
    },
    /// A file of token ids holds something else.
    #[error("{path}, line {line}: expected token ids, found `{found}`", path = path.display())]
    TokenId {
        /// The file.
        path: std::path::PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is there.
        found: String,
    },
    /// The work was cancelled where nothing of use is left.
    #[error("stopped {what}")]
    Stopped {
        /// How far it had come.
        what: String,
    },
    /// A head was named that the model does not have.
    #[error("head {head}: the model has {heads}")]
    NoHead {
        /// The name.
        head: attn_core::LayerHead,
        /// What there is: attentions, layers and heads.
        heads: String,
    },
    /// A sequence was named that the data does not have.
    #[error("sequence {number}: expected a number from 1 to {count}")]
    NoSequence {
        /// The number, counted from 1.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// Points were to be colored by something that the data does not have.
    #[error("color {name}: this data has query-key, {}", names.join(", "))]
    NoColor {
        /// The name.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// A filter names a value that its column does not have.
    #[error("{column}={value}: no token has this value; {column} has {}", if values.is_empty() { "numbers".to_owned() } else { values.join(", ") })]
    NoValue {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// What there is; empty for a column of amounts.
        values: Vec<String>,
    },
    /// A filter leaves no token to draw.
    #[error("the filter leaves no token to draw")]
    NothingDrawn,
    /// A search finds no token.
    #[error("search {text}: expected a part of a token, or COLUMN=VALUE of {}; no token matches", if columns.is_empty() { "no column".to_owned() } else { columns.join(", ") })]
    NoMatch {
        /// The text that was searched for.
        text: String,
        /// The columns that can be searched.
        columns: Vec<String>,
    },
    /// A search finds too few tokens to project them alone.
    #[error("search {text}: expected at least {needed} points to project alone with {method}, found {found}")]
    FewMatches {
        /// The text that was searched for.
        text: String,
        /// The method of the projection.
        method: String,
        /// The fewest points that it lays out.
        needed: usize,
        /// Points that match.
        found: usize,
    },
    /// A patch was named that an image does not have.
    #[error("patch {}:{}: {image} has {rows} rows and {columns} columns, counted from 0", patch.0, patch.1)]
    NoPatch {
        /// Row and column.
        patch: (usize, usize),
        /// The image.
        image: String,
        /// Rows of its grid.
        rows: usize,
        /// Columns of its grid.
        columns: usize,
    },
    /// Something needs the model, and there is a capture alone.
    #[error("{what}: a capture alone cannot be run again; name its model")]
    NoModel {
        /// What needs it.
        what: &'static str,
    },
    /// The model writes no tokens.
    #[error("`{model}`: expected a model that writes tokens (a decoder with a language model's head), found none")]
    NoDecoder {
        /// The model's name.
        model: String,
    },
    /// There is nothing to read or to write.
    #[error("{what}: expected at least one token, found none")]
    NoText {
        /// The source, or what has to be written.
        what: &'static str,
    },
    /// A text that has to be written has words that the model's vocabulary lacks.
    #[error("target: expected words that the model can write, found {}", quoted(words))]
    UnknownWords {
        /// The first of them.
        words: Vec<String>,
    },
    /// A source is longer than the model takes.
    #[error("source: expected at most {limit} tokens, found {tokens}")]
    LongSource {
        /// Its tokens.
        tokens: usize,
        /// The most that the model takes.
        limit: usize,
    },
    /// A hypothesis was named that a decoding does not have.
    #[error("hypothesis {index}: expected a number below {count}")]
    NoHypothesis {
        /// Its number, counted from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A step was named that a hypothesis does not have.
    #[error("step {step}: expected a number below {steps}")]
    NoStep {
        /// The step, counted from 0.
        step: usize,
        /// How many there are.
        steps: usize,
    },
    /// An entry was named that a beam tree does not have.
    #[error("entry {index} of the beam: expected a number below {count}")]
    NoEntry {
        /// Its number, counted from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A token was named that the vocabulary does not have.
    #[error("token {token}: expected an id below {vocabulary}")]
    NoToken {
        /// Its id.
        token: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A language was named that the vocabulary does not have, or a source without a language.
    #[error("language `{name}`: the source or the vocabulary has {}", if languages.is_empty() { "no language tokens".to_owned() } else { languages.join(", ") })]
    NoLanguage {
        /// The name.
        name: String,
        /// What there is.
        languages: Vec<String>,
    },
    /// A target language that a model reads in the source text was named as a setting.
    #[error(
        "language `{mark}`: expected a language that is a setting; this one is text: write `{mark} ` before the source"
    )]
    LanguageInText {
        /// The mark.
        mark: String,
    },
    /// A head was named that an attention does not have.
    #[error("expected heads of {layers} layers with {heads} heads each, found {found}")]
    NoSuchHead {
        /// Layers.
        layers: usize,
        /// Heads of a layer.
        heads: usize,
        /// What was asked for.
        found: String,
    },
    /// Arrays that do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What they are.
        what: &'static str,
        /// What fits.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file of an index of states is missing, damaged or of another version.
    #[error("{}: expected {expected}, found {found}", path.display())]
    BadIndex {
        /// The file, or the folder.
        path: std::path::PathBuf,
        /// What an index has there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An index of states is of another model.
    #[error("{}: made with the {what} of {expected}; this is that of {found}", index.display())]
    OtherModel {
        /// The folder of the index.
        index: std::path::PathBuf,
        /// Model or tokenizer.
        what: &'static str,
        /// Name and digest of its own.
        expected: String,
        /// Name and digest of the other.
        found: String,
    },
    /// A folder for an index of states has another one.
    #[error("{}: expected a new folder, found an index {found}", folder.display())]
    OtherIndex {
        /// The folder.
        folder: std::path::PathBuf,
        /// What is there.
        found: String,
    },
    /// A line of an alignment file is not in Pharaoh format.
    #[error("line {line}: expected links like `0-1` (sure) or `0p1` (possible), found `{found}`")]
    Pharaoh {
        /// The line, counted from 1.
        line: usize,
        /// What is there.
        found: String,
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
            Self::Stopped { .. } => true,
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

/// Words in quotes, in a row.
pub(crate) fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
