//! Errors of this crate: what was expected, what was found, and where.

use std::path::PathBuf;

use crate::{Side, format};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of `attn-core`. Every variant names its place: a file, a tensor, a head, a sequence, a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something else is there than a file that can be read to its end.
    #[error("{path}: expected a regular file, found {found}", path = path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
        /// What is there: `a folder`, `a named pipe`, `a device`, `a socket`, `a symbolic link`.
        found: &'static str,
    },
    /// Another writer is at work in the folder. Its lock ends with its process.
    #[error("{path}: {} is writing here{}; wait for it, or choose another folder", process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}")), since.as_ref().map_or_else(String::new, |since| format!(" since {since}")), path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The number of the process that writes, if it could be read.
        process: Option<u32>,
        /// When it began: `2026-11-30 01:02:03 UTC`.
        since: Option<String>,
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
    /// A JSON file does not parse or breaks its schema.
    #[error("{path}, {}line {line}, column {column}: {message}", if at.is_empty() { String::new() } else { format!("`{at}`, ") }, path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Path inside the JSON, for example `sequences[3].encoder`; empty for the whole file or if the JSON does not parse.
        at: String,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// The parser's finding.
        message: String,
    },
    /// A value in a capture's description is impossible, or contradicts another.
    #[error("{place}, `{at}`: expected {expected}, found {found}")]
    Description {
        /// The file, or `capture` for a capture in memory.
        place: String,
        /// Path inside the JSON, for example `model.attentions[0].layers[2].scale`.
        at: String,
        /// What would be possible.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A safetensors file is truncated, corrupt or declares an absurd header.
    #[error("{path}: not a valid safetensors file: {message}", path = path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The reader's finding.
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
    /// An array or tensor has another shape or type than expected.
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
        /// File, tensor, head, sequence and token, or the argument's name.
        place: String,
        /// Index of the first such value: in the token's vector, or flat in the argument.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A head, layer, sequence, token or column that does not exist was asked for.
    #[error("{what} {asked} does not exist: {available}")]
    NotFound {
        /// The kind of thing, for example `head`.
        what: &'static str,
        /// The name or number asked for.
        asked: String,
        /// What there is, for example `layers 0..4, heads 0..4`.
        available: String,
    },
    /// A parameter is outside its range.
    #[error("{name} is {found}, expected {expected}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// Its range.
        expected: String,
        /// The value given.
        found: String,
    },
    /// A column has another number of values than a side of a capture has tokens.
    #[error("column `{name}`: expected {expected} values for the {side:?} side, found {found}")]
    Column {
        /// The column's name.
        name: String,
        /// The side of the tokens.
        side: Side,
        /// Tokens on that side.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A file of text, of labeled words or of a table breaks its format.
    #[error("{place}{}: expected {expected}, found {found}", line.map_or_else(String::new, |line| format!(", line {line}")))]
    Text {
        /// The file, or another name of the text.
        place: String,
        /// Line, counted from 1; `None` for the whole file.
        line: Option<usize>,
        /// What the format has there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file is larger than its reader accepts, or does not end.
    #[error("{place}: expected at most {limit} {what}")]
    TooLarge {
        /// The file, and the line where there is one.
        place: String,
        /// What was counted: `bytes`, `columns`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// What an input asks for takes more memory than [`Limits`](crate::Limits) allow.
    #[error("{what}: takes {} of memory, at most {} is allowed", format::bytes(*needed), format::bytes(*allowed))]
    Memory {
        /// What would be allocated, and the line, layer, file or option that asks for it.
        what: String,
        /// Bytes it takes; [`u64::MAX`] for more than that.
        needed: u64,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// A file's content differs from the checksum recorded when it was written.
    #[error("{path}: checksum {found:08x} differs from the recorded {expected:08x}", path = path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The recorded CRC-32.
        expected: u32,
        /// The CRC-32 of its content.
        found: u32,
    },
    /// An interrupted capture of another plan is in the folder.
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

    /// A parameter outside its range.
    pub fn parameter(name: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Parameter {
            name,
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// Whether this is a cancellation, which callers usually do not report as a failure.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }
}
