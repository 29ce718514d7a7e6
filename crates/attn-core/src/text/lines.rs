//! Plain text, one sequence per line.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, wrong};
use crate::{Result, files};

/// A line of text with its number.
///
/// A string becomes a line without a number, which its reader counts:
///
/// ```
/// use attn_core::text::Line;
///
/// assert_eq!(Line::from("to be"), Line { number: 0, text: "to be".into() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, counted from 1; 0 for a line without one.
    pub number: usize,
    /// Its text, without the line's end.
    pub text: String,
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

/// A remark of a reader about something that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The line that it is about, counted from 1; `None` for the whole text.
    pub line: Option<usize>,
    /// The remark.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Texts as lines, numbered from 1. Texts of nothing but white space are left out and counted.
///
/// ```
/// let lines = attn_core::text::number_lines(["one", "", "three"]);
/// assert_eq!((lines[1].number, lines[1].text.as_str()), (3, "three"));
/// ```
pub fn number_lines(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<Line> {
    let lines = texts.into_iter().zip(1..).map(|(text, number)| Line {
        number,
        text: text.into(),
    });
    lines.filter(|line| !line.text.trim().is_empty()).collect()
}

/// The lines of a UTF-8 file that hold more than white space, whatever the file's name.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), [`Error::TooLarge`](crate::Error::TooLarge) above 1 GiB,
/// [`Error::NotAFile`](crate::Error::NotAFile) for devices and pipes, [`Error::Text`](crate::Error::Text) for a line that is not UTF-8,
/// or if no line is left.
pub fn read_lines(path: impl AsRef<Path>) -> Result<Vec<Line>> {
    let path = path.as_ref();
    split_lines(&files::read(path, MAX_BYTES)?, path)
}

/// As [`read_lines`], from the content of a file; `path` is its name in errors.
///
/// ```
/// let lines = attn_core::text::split_lines(b"one\n\n  two\r\n", "example.txt".as_ref())?;
/// assert_eq!((lines[1].number, lines[1].text.as_str()), (3, "  two"));
/// # Ok::<(), attn_core::Error>(())
/// ```
///
/// # Errors
/// As [`read_lines`], without I/O.
pub fn split_lines(bytes: &[u8], path: &Path) -> Result<Vec<Line>> {
    let place = path.display().to_string();
    let lines = number_lines(lines(utf8(bytes, &place)?));
    if lines.is_empty() {
        return Err(wrong(&place, None, "at least one line with text", "none"));
    }
    Ok(lines)
}

/// Every line of a file with its number, counted from 1, blank ones too. Each is decoded by itself, so that bytes that are no text
/// in UTF-8 cost one line and not the file. A byte-order mark is left out; `place` is the file's name in errors.
///
/// ```
/// let lines = attn_core::text::each_line(b"one\n\xff\nthree\n", "example.txt")?;
/// assert_eq!(lines[2].1.as_ref().unwrap(), &"three");
/// let error = lines[1].1.as_ref().unwrap_err().to_string();
/// assert_eq!(error, "example.txt, line 2: expected text in UTF-8, found byte 0xff at offset 0 of the line");
/// # Ok::<(), attn_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Text`](crate::Error::Text) for a file in UTF-16.
pub fn each_line<'a>(bytes: &'a [u8], place: &str) -> Result<Vec<(usize, Result<&'a str>)>> {
    utf16(bytes, place)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let end = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    let bytes = bytes.strip_suffix(&[end]).unwrap_or(bytes);
    let text = |number: usize, line: &'a [u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|error| {
            let byte = error.valid_up_to();
            let found = format!("byte {:#04x} at offset {byte} of the line", line[byte]);
            wrong(place, number, "text in UTF-8", found)
        });
        (number, text)
    };
    let lines = (1..).zip(bytes.split(|byte| *byte == end));
    Ok(lines.map(|(number, line)| text(number, line)).collect())
}

/// The lines of a text, without their ends. Where no `\n` is, `\r` ends lines, as on old Macintoshes.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    let text = text.strip_suffix(end).unwrap_or(text);
    text.split(end).map(|line| line.strip_suffix('\r').unwrap_or(line))
}

fn utf16(bytes: &[u8], place: &str) -> Result<()> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(wrong(place, None, "text in UTF-8", "text in UTF-16"));
    }
    Ok(())
}

/// Bytes as text, without a byte-order mark.
pub(super) fn utf8<'a>(bytes: &'a [u8], place: &str) -> Result<&'a str> {
    utf16(bytes, place)?;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = error.valid_up_to();
        let line = 1 + bytes[..byte].iter().filter(|&&b| b == b'\n').count();
        wrong(
            place,
            line,
            "text in UTF-8",
            format!("byte {:#04x} at offset {byte} of the file", bytes[byte]),
        )
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> Vec<(usize, String)> {
        let lines = split_lines(bytes, "a.txt".as_ref()).unwrap();
        lines.into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn all_line_ends_and_blank_lines_are_read() {
        let expected = [(1, "first".to_owned()), (3, " third ".to_owned())];
        for bytes in [
            &b"first\n\n third \n"[..],
            b"first\r\n\r\n third \r\n",
            b"first\r\r third \r",
            b"\xef\xbb\xbffirst\n  \t\n third ",
        ] {
            assert_eq!(split(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn texts_that_cannot_be_read_are_named() {
        let message = |bytes: &[u8]| split_lines(bytes, "a.txt".as_ref()).unwrap_err().to_string();
        for empty in [&b""[..], b"\n\n", b"  \t\r\n"] {
            assert_eq!(
                message(empty),
                "a.txt: expected at least one line with text, found none"
            );
        }
        assert_eq!(
            message(b"good\n\nb\xffd\n"),
            "a.txt, line 3: expected text in UTF-8, found byte 0xff at offset 7 of the file"
        );
        assert!(message(b"\xff\xfea\0").ends_with("found text in UTF-16"));
        assert!(matches!(read_lines("no such file"), Err(crate::Error::Io { .. })));
    }
}
