//! JSON as the files of a checkpoint hold it: what Python's `json` writes and reads, which is a little more than JSON.

use std::{borrow::Cow, path::Path};

use serde_json::Value;

use crate::{Error, Result, files::is_itself};

/// The byte order mark that some editors put first.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The value of a file; `path` is what errors name.
///
/// Python writes `NaN`, `Infinity` and `-Infinity` for numbers that JSON has no word for, and reads a number beyond the
/// range of a double as infinite. Here each becomes the string of that name, so that a file that has one where nothing
/// is read opens, and an option that is read says what it found instead of a finite number.
pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Value> {
    serde_json::from_str(&text(bytes, path)?).map_err(|error| Error::json(path, &error))
}

/// The same as the text of a JSON that any parser reads. A pointer or a web page in place of the file is refused.
pub(crate) fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<Cow<'a, str>> {
    is_itself(path, bytes)?;
    let bytes = without_mark(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        Error::Json {
            path: path.to_owned(),
            line,
            column: before.len() - start + 1,
            message: "expected UTF-8".to_owned(),
        }
    })?;
    Ok(quoted(text))
}

/// A file of text without its byte order mark.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// The text with every number that is not finite in quotes.
fn quoted(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut changed = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' {
            at = after_string(bytes, at);
            continue;
        }
        if !(byte == b'-' || byte.is_ascii_alphanumeric()) {
            at += 1;
            continue;
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let end = at + bytes[at..].iter().take_while(|byte| is_word(byte)).count();
        // Both ends are beside ASCII.
        let name = match &text[at..end] {
            word @ ("NaN" | "Infinity" | "-Infinity") => Some(word),
            // Shorter numbers are in range.
            number if number.contains(['e', 'E']) || number.len() > 300 => match number.parse::<f64>() {
                Ok(f64::INFINITY) => Some("Infinity"),
                Ok(f64::NEG_INFINITY) => Some("-Infinity"),
                _ => None,
            },
            _ => None,
        };
        if let Some(name) = name {
            changed.push_str(&text[copied..at]);
            changed.push('"');
            changed.push_str(name);
            changed.push('"');
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    changed.push_str(&text[copied..]);
    Cow::Owned(changed)
}

/// The place behind the string that starts at a quote.
fn after_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        let text = "\u{feff}{\"a\": NaN, \"b\": [Infinity, -Infinity,1e999, -1E+400], \"NaN\": \"\\\"NaN, Infinity\", \"c\": 1e30}";
        let value = parse(text.as_bytes(), "config.json".as_ref()).unwrap();
        let wanted = json!({"a": "NaN", "b": ["Infinity", "-Infinity", "Infinity", "-Infinity"],
            "NaN": "\"NaN, Infinity", "c": 1e30});
        assert_eq!(value, wanted);
        assert!(matches!(quoted(r#"{"a": 1, "b": "-Infinity"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_json_is_said_once() {
        let error = |bytes: &[u8]| parse(bytes, "config.json".as_ref()).unwrap_err().to_string();
        for bytes in [
            &b"{\"a\": nan}"[..],
            b"{\"a\": NaNs}",
            b"NaN NaN",
            b"{\"a\": \"NaN",
            b"{\"a\\",
            b"-",
            b"",
        ] {
            let error = error(bytes);
            assert_eq!(error.matches("line").count(), 1, "{error}");
        }
        assert_eq!(
            error(b"{\n\"a\": \xff}"),
            "config.json, line 2, column 6: expected UTF-8"
        );
    }
}
