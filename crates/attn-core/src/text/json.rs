//! Objects of JSON: one per line, or in one list.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::{Map, Value};

use super::{
    MAX_COLUMNS, TextParams,
    dataset::{Dataset, Rows},
    lines, number_lines, too_many_columns, wrong,
};
use crate::{Error, Result};

type Object = Map<String, Value>;

/// Fields with lists and objects that are named one by one.
const NAMED: usize = 16;

/// Reads a JSON object per line.
pub(super) fn lines_of_objects(content: &str, place: &str, params: &TextParams) -> Result<Dataset> {
    let mut objects = Vec::new();
    let mut bad: Vec<(usize, Error)> = Vec::new();
    for line in number_lines(lines::lines(content)) {
        let object: Result<Object, _> = serde_json::from_str(&without_nan(&line.text));
        match object.map_err(|error| not_json(place, line.number, "a JSON object", &error)) {
            Ok(object) => objects.push((line.number, object)),
            Err(error) if params.skip_bad_lines => bad.push((line.number, error)),
            Err(error) => return Err(error),
        }
    }
    if objects.is_empty()
        && let Some((_, first)) = bad.drain(..).next()
    {
        return Err(first);
    }
    let mut rows = rows(objects, place)?;
    for (line, error) in bad {
        let found = match error {
            Error::Text { expected, found, .. } => format!("expected {expected}, found {found}"),
            other => other.to_string(),
        };
        rows.note(Some(line), format!("left out: {found}"));
    }
    rows.dataset(place, params.text_column.as_deref())
}

/// Reads a list of JSON objects. The number of an object is its place in the list, from 1.
pub(super) fn list(content: &str, place: &str, text: Option<&str>) -> Result<Dataset> {
    let expected = "a list of JSON objects (a file with an object per line is named .jsonl)";
    let objects: Vec<Object> =
        serde_json::from_str(&without_nan(content)).map_err(|error| not_json(place, error.line(), expected, &error))?;
    rows((1..).zip(objects).collect(), place)?.dataset(place, text)
}

/// The parser's finding, with the line of the file rather than of the piece that was parsed.
fn not_json(place: &str, line: usize, expected: &str, error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&position).unwrap_or(&message);
    wrong(place, line, expected, format!("{message} (column {})", error.column()))
}

fn rows(objects: Vec<(usize, Object)>, place: &str) -> Result<Rows> {
    let mut names: Vec<String> = Vec::new();
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut nested: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    let mut rows = Vec::with_capacity(objects.len());
    for (number, object) in objects {
        let mut values = Vec::with_capacity(object.len());
        for (name, value) in object {
            if let Some(value) = plain(&value) {
                // An empty text is no value, as in every table, but its column is there.
                let index = match indices.get(&name) {
                    Some(&index) => index,
                    None if names.len() == MAX_COLUMNS => return Err(too_many_columns(place, number)),
                    None => {
                        names.push(name.clone());
                        indices.insert(name, names.len() - 1);
                        names.len() - 1
                    }
                };
                if !value.is_empty() {
                    values.push((index, value));
                }
            } else if !value.is_null() && known.insert(name.clone()) {
                nested.push(name);
            }
        }
        values.sort_by_key(|&(index, _)| index);
        rows.push((number, values));
    }
    let mut table = Rows::new(names);
    for name in nested.iter().take(NAMED) {
        table.note(None, format!("lists and objects in `{name}` were left out"));
    }
    if nested.len() > NAMED {
        let more = nested.len() - NAMED;
        table.note(None, format!("lists and objects in {more} more fields were left out"));
    }
    table.rows = rows;
    Ok(table)
}

/// A value as text; `None` for null, lists and objects.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// JSON with `null` instead of the numbers that Python writes and JSON does not know: `NaN`, `Infinity`, `-Infinity`.
fn without_nan(json: &str) -> Cow<'_, str> {
    if !json.contains("NaN") && !json.contains("Infinity") {
        return json.into();
    }
    let mut written = String::with_capacity(json.len());
    let mut rest = json;
    let mut inside = false;
    while let Some(first) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"]
            .into_iter()
            .find(|word| !inside && rest.starts_with(word));
        let taken = match (word, first) {
            (Some(word), _) => {
                written += "null";
                word.len()
            }
            // An escaped sign, which may be a quote, does not end a text.
            (None, '\\') if inside => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, '"') => {
                inside = !inside;
                1
            }
            (None, other) => other.len_utf8(),
        };
        if word.is_none() {
            written += &rest[..taken];
        }
        rest = &rest[taken..];
    }
    written.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_know_are_null_outside_of_texts() {
        for (json, expected) in [
            (
                r#"{"a": NaN, "b": -Infinity, "c": [Infinity]}"#,
                r#"{"a": null, "b": null, "c": [null]}"#,
            ),
            (
                r#"{"a": "NaN \" NaN \\", "b": NaN}"#,
                r#"{"a": "NaN \" NaN \\", "b": null}"#,
            ),
            (r#"{"a": "Infinity é"}"#, r#"{"a": "Infinity é"}"#),
        ] {
            assert_eq!(without_nan(json), expected);
        }
    }
}
