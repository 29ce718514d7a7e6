//! Errors of this crate: the place, what was expected, and what was found.

use std::path::PathBuf;

/// An error of `attn-models`. Every variant names the place (file, tensor, line, option) it is about.
///
/// A checkpoint that was given as bytes has no path; its files are then named as they would be on disk
/// (`model.safetensors`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder does not exist or holds no model.
    #[error("{path}: not a model: expected {expected}, found {found}", path = path.display())]
    NotAModel {
        /// The folder or file.
        path: PathBuf,
        /// What a checkpoint would have there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file is not what its name says: a pointer to it, a web page, a device, or nothing where another file names it.
    #[error("{path}: expected {expected}, found {found}: {advice}", path = path.display())]
    WrongFile {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        advice: String,
    },
    /// A JSON file does not parse.
    #[error("{path}, line {line}, column {column}: {message}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// What the parser found.
        message: String,
    },
    /// A configuration holds a value of the wrong kind, or values that contradict each other.
    #[error("{path}: `{key}`: expected {expected}, found {found}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The option.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A valid option that changes the numbers and that this crate does not implement.
    #[error("{path}: `{key}` = {found} is not supported (supported: {supported})", path = path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The option.
        key: String,
        /// Its value.
        found: String,
        /// Values that work.
        supported: String,
    },
    /// `model_type` names a family this crate does not know.
    #[error("{path}: model_type `{found}` is not supported (supported: {supported})", path = path.display())]
    UnknownFamily {
        /// The file.
        path: PathBuf,
        /// The family asked for.
        found: String,
        /// The families that work, separated by commas.
        supported: String,
    },
    /// A safetensors file is truncated, corrupt or declares an absurd header.
    #[error("{path}: not a valid safetensors file: {message}", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A weight file of another format (PyTorch, GGUF) is truncated, corrupt or declares absurd sizes.
    #[error("{path}: not a valid {format} file: {message}", path = path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A tensor that the configuration calls for is missing.
    #[error("{path}: tensor `{tensor}` is missing (expected shape {expected:?})", path = path.display())]
    MissingTensor {
        /// The file or, for a sharded checkpoint, its index.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A tensor has another shape or element type than the configuration calls for.
    #[error("{path}: tensor `{tensor}`: expected {expected}, found {found}", path = path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// The expected shape or type.
        expected: String,
        /// The shape or type found.
        found: String,
    },
    /// A weight is NaN or infinite.
    #[error("{path}: tensor `{tensor}`: value {index} is {value}, expected a finite number", path = path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A model was not downloaded from the hub.
    #[cfg(feature = "hub")]
    #[error("`{model}` was not downloaded from {place}: {reason}")]
    Download {
        /// The name of the model.
        model: String,
        /// The address that was asked, or the folder of the cache.
        place: String,
        /// Why not.
        reason: crate::download::Refusal,
    },
    /// The checkpoint lacks a file that this operation needs: a tokenizer, an image preprocessor.
    #[error("{path}: no {what}: expected {expected}", path = path.display())]
    MissingFile {
        /// The folder.
        path: PathBuf,
        /// What is missing, in words.
        what: &'static str,
        /// The file that would hold it.
        expected: &'static str,
    },
    /// The tokenizer file does not load, or the tokenizer fails on a text.
    #[error("{path}: {message}", path = path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong, after the line of the text where one is at fault.
        message: String,
    },
    /// The tokenizer produced an id that the model has no embedding for.
    #[error(
        "{place}: token `{token}` has id {id}, but the model's vocabulary has {vocab_size} entries: the tokenizer belongs to another model"
    )]
    OutsideVocabulary {
        /// The text.
        place: String,
        /// The token's text.
        token: String,
        /// Its id.
        id: u32,
        /// The model's vocabulary size.
        vocab_size: usize,
    },
    /// A text, a file or a batch holds nothing to run.
    #[error("{place}: nothing to run: {message}")]
    Empty {
        /// The file, or the argument's name.
        place: String,
        /// What was looked for.
        message: String,
    },
    /// An image does not decode.
    #[error("{path}: not a readable image: {message}", path = path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        message: String,
    },
    /// A sound does not decode, or not to what a model takes.
    #[error("{path}: not a readable sound: {message}", path = path.display())]
    Sound {
        /// The file, or the name of the sound.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// An input tensor is missing, superfluous, or has a wrong shape, type or value.
    #[error("input `{name}`: expected {expected}, found {found}")]
    Input {
        /// The input's name, as in [`Inputs`](crate::Inputs).
        name: &'static str,
        /// What the model takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// A setting is out of range, or does not fit the model.
    #[error("setting `{name}`: expected {expected}, found {found}")]
    Parameter {
        /// The setting's name, as in its struct.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A [`Tap`](crate::Tap) returned a tensor of another shape than it was given.
    #[error("tap at {site}: expected a tensor of shape {expected:?}, found {found:?}")]
    Tap {
        /// The site.
        site: String,
        /// The shape of the model's tensor.
        expected: Vec<usize>,
        /// The shape of the tap's.
        found: Vec<usize>,
    },
    /// An intervention or a question about the model names a layer, head, token or sequence that does not exist, or
    /// asks for something that cannot be done.
    #[error("{place}: expected {expected}, found {found}")]
    Intervention {
        /// Which one: its number in its list, counted from 0, and its kind.
        place: String,
        /// What there is.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// The tensor library failed; after the checks of this crate that is a bug or a lack of memory.
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// The capture store failed, or the caller asked to stop.
    #[error(transparent)]
    Core(#[from] attn_core::Error),
}

impl Error {
    /// Wraps an I/O error with the path it is about.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    /// Whether this is a cancellation, which callers usually do not report as a failure.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Core(error) if error.is_cancelled())
    }

    /// The same error about a text, with the place of that text (`line 7`); errors about anything else are left as
    /// they are.
    ///
    /// ```
    /// use attn_models::Error;
    ///
    /// let error = Error::Tokenizer { path: "tokenizer.json".into(), message: "no unknown token".into() };
    /// assert_eq!(error.at_line("line 7").to_string(), "tokenizer.json: line 7: no unknown token");
    /// ```
    pub fn at_line(self, line: &str) -> Self {
        match self {
            Self::Empty { message, .. } => Self::Empty {
                place: line.to_owned(),
                message,
            },
            Self::Tokenizer { path, message } => Self::Tokenizer {
                path,
                message: format!("{line}: {message}"),
            },
            Self::OutsideVocabulary {
                token, id, vocab_size, ..
            } => Self::OutsideVocabulary {
                place: line.to_owned(),
                token,
                id,
                vocab_size,
            },
            other => other,
        }
    }

    /// The same error about what the preprocessor makes of an image, with that image's name.
    pub(crate) fn of_image(self, name: &str) -> Self {
        match self {
            Self::Config {
                path,
                key,
                expected,
                found,
            } => Self::Config {
                path,
                key,
                expected,
                found: format!("{found} for {name}"),
            },
            Self::Core(attn_core::Error::Memory { what, needed, allowed }) => {
                let what = format!("{name}: {what}");
                Self::Core(attn_core::Error::Memory { what, needed, allowed })
            }
            other => other,
        }
    }

    pub(crate) fn json(path: impl Into<PathBuf>, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        // The position has fields of its own.
        let message = error.to_string();
        let message = message
            .strip_suffix(&format!(" at line {line} column {column}"))
            .unwrap_or(&message);
        Self::Json {
            path: path.into(),
            line,
            column,
            message: excerpt(message, LONG),
        }
    }

    pub(crate) fn tokenizer(path: impl Into<PathBuf>, message: impl AsRef<str>) -> Self {
        Self::Tokenizer {
            path: path.into(),
            message: excerpt(message.as_ref(), LONG),
        }
    }

    pub(crate) fn parameter(name: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Parameter {
            name,
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(crate) fn input(name: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Input {
            name,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Characters of a file's own text that a message repeats: enough to find it, never megabytes.
pub(crate) const SHORT: usize = 60;
/// The same for the message of another library, which may repeat text of its own.
pub(crate) const LONG: usize = 300;

/// A text cut to what fits a message.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
