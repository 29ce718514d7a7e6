//! Tables of sequences: CSV and JSON lines, a text and what is known of it per row.

use attn_models::text::Line;
use serde_json::{Map, Value};

use super::{DataColumn, DataValues, Dataset, text_column};
use crate::Error;

/// Rows of texts under the names of columns, as both formats give them.
struct Rows {
    names: Vec<String>,
    /// Number of the line where the row begins, and a value per name.
    rows: Vec<(usize, Vec<Option<String>>)>,
}

impl Rows {
    /// Takes the text out. Rows without one are left out, as empty lines are.
    fn dataset(self, place: String, text: &str) -> Result<Dataset, Error> {
        let at = self.names.iter().position(|name| name == text).unwrap_or_default();
        let mut lines = Vec::new();
        let mut kept = Vec::new();
        for (number, mut values) in self.rows {
            let text = values.get_mut(at).and_then(Option::take).unwrap_or_default();
            if !text.trim().is_empty() {
                lines.push(Line { number, text });
                kept.push(values);
            }
        }
        if lines.is_empty() {
            return Err(Error::Dataset {
                place,
                expected: format!("a row with something in `{text}`"),
                found: "none".into(),
            });
        }
        let others = self.names.into_iter().enumerate().filter(|(index, _)| *index != at);
        let columns = others.map(|(index, name)| DataColumn {
            name,
            values: DataValues::Lines(kept.iter().map(|values| values.get(index).cloned().flatten()).collect()),
        });
        Ok(Dataset {
            columns: columns.collect(),
            lines,
            place,
        })
    }
}

/// The first row names the columns.
pub(super) fn csv(bytes: &[u8], place: String, text: Option<&str>) -> Result<Dataset, Error> {
    let wrong = |error: &csv::Error| Error::Dataset {
        place: match error.position() {
            Some(position) => format!("{place}, line {}", position.line()),
            None => place.clone(),
        },
        expected: "rows of comma-separated values in UTF-8, each as long as the first".into(),
        found: error.to_string(),
    };
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let names: Vec<String> = match reader.headers() {
        Ok(names) => names.iter().map(|name| name.trim().to_owned()).collect(),
        Err(error) => return Err(wrong(&error)),
    };
    let text = text_column(names.iter().map(String::as_str), text, &place)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(&error))?;
        let number = record.position().map_or(0, |position| position.line()) as usize;
        let values = record.iter().map(|value| (!value.is_empty()).then(|| value.to_owned()));
        rows.push((number, values.collect()));
    }
    Rows { names, rows }.dataset(place, &text)
}

/// Each line is an object.
pub(super) fn json_lines(lines: &[Line], place: String, text: Option<&str>) -> Result<Dataset, Error> {
    let mut objects: Vec<(usize, Map<String, Value>)> = Vec::with_capacity(lines.len());
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        let object = serde_json::from_str(&line.text).map_err(|error| Error::Dataset {
            place: format!("{place}, line {}", line.number),
            expected: "a JSON object".into(),
            found: error.to_string(),
        });
        let object: Map<String, Value> = object?;
        for (name, value) in &object {
            if !names.contains(name) && !value.is_null() && plain(value).is_some() {
                names.push(name.clone());
            }
        }
        objects.push((line.number, object));
    }
    let text = text_column(names.iter().map(String::as_str), text, &place)?;
    let values = |object: &Map<String, Value>| names.iter().map(|name| object.get(name).and_then(plain)).collect();
    let rows = objects
        .iter()
        .map(|(number, object)| (*number, values(object)))
        .collect();
    Rows { names, rows }.dataset(place, &text)
}

/// A value as a text; `None` for null, lists and objects.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
