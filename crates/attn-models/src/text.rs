//! Text files, one sequence per line.

use std::path::Path;

use crate::{Error, Result};

/// A line of text, from a file or from anywhere.
///
/// ```
/// use attn_models::text::Line;
///
/// // A string is a line without a number; what reads it counts.
/// assert_eq!(Line::from("the cat sat").number, 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, counted from 1; 0 for a line that is counted by whoever reads it.
    pub number: usize,
    /// Its text, without the line's end.
    pub text: String,
}

impl Line {
    /// The same line with this number, unless it has one.
    pub(crate) fn numbered_from(self, number: usize) -> Self {
        match self.number {
            0 => Self { number, ..self },
            _ => self,
        }
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Line {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { number: 0, text }
    }
}

impl From<&Line> for Line {
    fn from(line: &Line) -> Self {
        line.clone()
    }
}

/// The lines of a UTF-8 file that hold more than white space.
///
/// # Errors
/// [`Error::Io`], [`Error::Utf8`] with the line, [`Error::Empty`] if no line is left.
pub fn read_lines(path: impl AsRef<Path>) -> Result<Vec<Line>> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    split_lines(&bytes, path)
}

/// As [`read_lines`], from the content of a file; `path` is what errors name.
///
/// ```
/// let lines = attn_models::text::split_lines(b"one\n\n  two\r\n", "example.txt".as_ref())?;
/// assert_eq!((lines[1].number, lines[1].text.as_str()), (3, "  two"));
/// # Ok::<(), attn_models::Error>(())
/// ```
///
/// # Errors
/// As [`read_lines`], without I/O.
pub fn split_lines(bytes: &[u8], path: &Path) -> Result<Vec<Line>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = error.valid_up_to();
        Error::Utf8 {
            path: path.to_owned(),
            line: 1 + bytes[..byte].iter().filter(|&&b| b == b'\n').count(),
            byte,
        }
    })?;
    // Some editors begin UTF-8 files with a byte-order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<Line> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| Line {
            number: at + 1,
            text: line.to_owned(),
        })
        .collect();
    if lines.is_empty() {
        return Err(Error::Empty {
            place: path.display().to_string(),
            message: "no line with text".to_owned(),
        });
    }
    Ok(lines)
}
