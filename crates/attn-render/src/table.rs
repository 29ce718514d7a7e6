//! The numbers behind a picture, as CSV for spreadsheets and JSON for programs. Independent of any scene.

use std::fmt::Write as _;

use crate::{Error, error::check_len};

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Numbers; what is not finite is left empty in CSV and `null` in JSON.
    Numbers(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
}

impl Cells {
    /// Counts and indices as numbers, exact up to 16,777,216.
    pub fn numbers(values: impl IntoIterator<Item = usize>) -> Self {
        Self::Numbers(values.into_iter().map(|value| value as f32).collect())
    }

    /// Texts.
    pub fn texts<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(values.into_iter().map(Into::into).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }
}

/// Named columns of one length.
///
/// ```
/// use attn_render::{Cells, Table};
/// let mut table = Table::default();
/// table.push("token", Cells::Texts(vec!["cat".into(), "a, \"b\"".into()]))?;
/// table.push("weight", Cells::Numbers(vec![0.25, f32::NAN]))?;
/// assert_eq!(table.to_csv(), "token,weight\r\ncat,0.25\r\n\"a, \"\"b\"\"\",\r\n");
/// assert_eq!(table.to_json(), r#"[{"token":"cat","weight":0.25},{"token":"a, \"b\"","weight":null}]"#);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<(String, Cells)>,
}

impl Table {
    /// Adds a column on the right. A name that another column has gets a number: `chance`, `chance 2`.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not as long as those before.
    pub fn push(&mut self, name: impl Into<String>, cells: Cells) -> Result<(), Error> {
        if !self.columns.is_empty() {
            check_len("column of a table", self.rows(), cells.len())?;
        }
        let name = name.into();
        let taken = |name: &str| self.columns.iter().any(|(other, _)| other == name);
        let numbered = (2..).map(|number| format!("{name} {number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name));
        self.columns.push((free.unwrap_or(name), cells));
        Ok(())
    }

    /// The columns, with their names.
    pub fn columns(&self) -> &[(String, Cells)] {
        &self.columns
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, cells)| cells.len())
    }

    /// With a header, lines ended by CR and LF, quotes where needed (RFC 4180).
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        let mut line = |write: &dyn Fn(&mut String, &(String, Cells))| {
            for (index, column) in self.columns.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(&mut text, column);
            }
            text.push_str("\r\n");
        };
        line(&|text, (name, _)| csv_text(text, name));
        for row in 0..self.rows() {
            line(&|text, (_, cells)| match cells {
                Cells::Numbers(numbers) if numbers[row].is_finite() => _ = write!(text, "{}", numbers[row]),
                Cells::Numbers(_) => {}
                Cells::Texts(texts) => csv_text(text, &texts[row]),
            });
        }
        text
    }

    /// An array with an object per row (RFC 8259).
    pub fn to_json(&self) -> String {
        let mut text = String::from("[");
        for row in 0..self.rows() {
            text.push_str(if row == 0 { "{" } else { ",{" });
            for (index, (name, cells)) in self.columns.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                json_text(&mut text, name);
                text.push(':');
                match cells {
                    Cells::Numbers(numbers) if numbers[row].is_finite() => _ = write!(text, "{}", numbers[row]),
                    Cells::Numbers(_) => text.push_str("null"),
                    Cells::Texts(texts) => json_text(&mut text, &texts[row]),
                }
            }
            text.push('}');
        }
        text.push(']');
        text
    }
}

fn csv_text(text: &mut String, cell: &str) {
    if cell.contains([',', '"', '\r', '\n']) {
        let _ = write!(text, "\"{}\"", cell.replace('"', "\"\""));
    } else {
        text.push_str(cell);
    }
}

fn json_text(text: &mut String, cell: &str) {
    text.push('"');
    for c in cell.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if c < ' ' => _ = write!(text, "\\u{:04x}", u32::from(c)),
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_back_by_another_reader() {
        let odd = ["plain", "tab\tand \"quotes\"", "back\\slash\u{1}", "Grüße, 世界"];
        let mut table = Table::default();
        table
            .push("text, \"odd\"", Cells::Texts(odd.map(str::to_owned).into()))
            .unwrap();
        table
            .push("value", Cells::Numbers(vec![0.1, -1e-20, f32::INFINITY, 3e38]))
            .unwrap();
        let read: serde_json::Value = serde_json::from_str(&table.to_json()).unwrap();
        for (row, text) in odd.iter().enumerate() {
            assert_eq!(read[row]["text, \"odd\""], *text);
        }
        assert_eq!(read[0]["value"].as_f64().map(|v| v as f32), Some(0.1));
        assert_eq!(read[1]["value"].as_f64().map(|v| v as f32), Some(-1e-20));
        assert!(read[2]["value"].is_null());
    }

    #[test]
    fn columns_of_other_lengths_are_refused() {
        let mut table = Table::default();
        table.push("a", Cells::Numbers(vec![1.0, 2.0])).unwrap();
        assert!(matches!(
            table.push("b", Cells::Texts(vec![])),
            Err(Error::Shape { .. })
        ));
        assert_eq!((table.rows(), table.columns().len()), (2, 1));
        for _ in 0..2 {
            table.push("a", Cells::Numbers(vec![3.0, 4.0])).unwrap();
        }
        assert_eq!(table.to_csv().lines().next(), Some("a,a 2,a 3"));
        assert_eq!(Table::default().to_json(), "[]");
    }
}
