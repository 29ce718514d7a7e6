//! What can go wrong in this crate: what was expected, what was found, and where.

use std::path::PathBuf;

/// An error of `attn-core`. Every variant names the place (file, tensor, head, sequence) it is about.
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
    /// The folder holds no capture, or one of another schema version.
    #[error("{path}: expected {expected}, found {found}", path = path.display())]
    NotACapture {
        /// The folder or file.
        path: PathBuf,
        /// What a capture would have there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A JSON file does not parse or does not hold what the schema says.
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
    /// A safetensors file is truncated, corrupt or declares an absurd header.
    #[error("{path}: not a valid safetensors file: {message}", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A tensor is missing.
    #[error("{path}: tensor `{tensor}` is missing", path = path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has another shape or type than expected.
    #[error("{place}: expected {expected}, found {found}")]
    Shape {
        /// File and tensor, or the argument's name.
        place: String,
        /// The expected shape or type.
        expected: String,
        /// The shape or type found.
        found: String,
    },
    /// A value that must be finite is NaN or infinite.
    #[error("{place}: value {index} is {value}, expected a finite number")]
    NotFinite {
        /// File and tensor, or the argument's name.
        place: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A head, layer, sequence or token that does not exist was asked for.
    #[error("{what} {asked} does not exist: {available}")]
    NotFound {
        /// The kind of thing, for example `head`.
        what: &'static str,
        /// What was asked for.
        asked: String,
        /// What there is, for example `layers 0..4, heads 0..4`.
        available: String,
    },
    /// A file's content differs from the checksum recorded when it was written.
    #[error("{path}: checksum {found:08x} differs from the recorded {expected:08x}", path = path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The recorded CRC-32.
        expected: u32,
        /// The CRC-32 of what is there.
        found: u32,
    },
    /// An interrupted capture of something else is in the way of this one.
    #[error("{path}: an unfinished capture of another model, text or setting is here ({difference}); remove the folder or choose another", path = path.display())]
    OtherCapture {
        /// The folder.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The caller's [`Progress`](crate::Progress) asked to stop.
    #[error("cancelled during {stage}")]
    Cancelled {
        /// The stage that was running.
        stage: String,
    },
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
        matches!(self, Self::Cancelled { .. })
    }
}
