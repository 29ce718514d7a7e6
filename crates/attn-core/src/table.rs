//! The numbers behind a plot, a summary or a file: named columns of one length, written as CSV and as JSON.

use std::fmt::Write as _;

use crate::Error;

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Numbers. NaN and infinities are left empty in CSV and are `null` in JSON.
    Numbers(Vec<f64>),
    /// Texts.
    Texts(Vec<String>),
}

/// A number of a table's cell: whole numbers, `f64`, `f32`, and `None` for an empty cell.
///
/// An `f32` becomes the `f64` that is written the same way: 0.1 stays 0.1 and does not become 0.10000000149.
pub trait Number {
    /// The number; NaN for an empty cell.
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for f32 {
    fn number(self) -> f64 {
        // Whole numbers are the same in both.
        if self.fract() == 0.0 || !self.is_finite() {
            return self.into();
        }
        self.to_string().parse().unwrap_or_else(|_| self.into())
    }
}

impl Number for usize {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for u32 {
    fn number(self) -> f64 {
        self.into()
    }
}

impl<N: Number> Number for Option<N> {
    fn number(self) -> f64 {
        self.map_or(f64::NAN, N::number)
    }
}

impl Cells {
    /// A column of numbers.
    pub fn numbers<N: Number>(values: impl IntoIterator<Item = N>) -> Self {
        Self::Numbers(values.into_iter().map(N::number).collect())
    }

    /// A column of texts.
    pub fn texts<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(values.into_iter().map(Into::into).collect())
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Named columns of one length, which is given at the start.
///
/// A column is either made row by row, which cannot fail, or brought whole, which is checked.
///
/// ```
/// use attn_core::table::{Cells, Table};
/// let (tokens, weights) = (["cat", "a, \"b\""], [0.25_f32, f32::NAN]);
/// let mut table = Table::new(2);
/// table.texts("token", |row| tokens[row]).numbers("weight", |row| weights[row]);
/// assert_eq!(table.to_csv(), "token,weight\r\ncat,0.25\r\n\"a, \"\"b\"\"\",\r\n");
/// assert_eq!(table.to_json(), r#"[{"token":"cat","weight":0.25},{"token":"a, \"b\"","weight":null}]"#);
/// assert!(table.push("length", Cells::numbers([3_usize])).is_err());
/// # Ok::<(), attn_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    rows: usize,
    columns: Vec<(String, Cells)>,
}

impl Table {
    /// A table of so many rows, without columns.
    pub fn new(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// Adds a column of numbers on the right, made row by row.
    pub fn numbers<N: Number>(&mut self, name: impl Into<String>, of: impl FnMut(usize) -> N) -> &mut Self {
        let cells = Cells::numbers((0..self.rows).map(of));
        self.add(name.into(), cells);
        self
    }

    /// Adds a column of texts on the right, made row by row.
    pub fn texts<T: Into<String>>(&mut self, name: impl Into<String>, of: impl FnMut(usize) -> T) -> &mut Self {
        let cells = Cells::texts((0..self.rows).map(of));
        self.add(name.into(), cells);
        self
    }

    /// Adds a column on the right.
    ///
    /// # Errors
    /// [`Error::Shape`] if it has not a cell per row.
    pub fn push(&mut self, name: impl Into<String>, cells: Cells) -> Result<(), Error> {
        let name = name.into();
        if cells.len() != self.rows {
            return Err(Error::Shape {
                place: format!("column `{name}` of a table"),
                expected: format!("{} cells", self.rows),
                found: cells.len().to_string(),
            });
        }
        self.add(name, cells);
        Ok(())
    }

    /// A name that another column has gets a number: `chance`, `chance 2`.
    fn add(&mut self, name: String, cells: Cells) {
        let taken = |name: &str| self.columns.iter().any(|(other, _)| other == name);
        let numbered = (2..).map(|number| format!("{name} {number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name));
        self.columns.push((free.unwrap_or(name), cells));
    }

    /// The columns, with their names.
    pub fn columns(&self) -> &[(String, Cells)] {
        &self.columns
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// CSV with a header: lines end with CR and LF, cells are quoted where needed (RFC 4180).
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        for (index, (name, _)) in self.columns.iter().enumerate() {
            csv_separator(&mut text, index);
            csv_text(&mut text, name);
        }
        text.push_str("\r\n");
        for row in 0..self.rows {
            for (index, (_, cells)) in self.columns.iter().enumerate() {
                csv_separator(&mut text, index);
                match cells {
                    Cells::Numbers(numbers) if numbers[row].is_finite() => _ = write!(text, "{}", numbers[row]),
                    Cells::Numbers(_) => {}
                    Cells::Texts(texts) => csv_text(&mut text, &texts[row]),
                }
            }
            text.push_str("\r\n");
        }
        text
    }

    /// JSON: an array with an object per row (RFC 8259).
    pub fn to_json(&self) -> String {
        let mut text = String::from("[");
        for row in 0..self.rows {
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

fn csv_separator(text: &mut String, column: usize) {
    if column > 0 {
        text.push(',');
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
        let values = [0.1, -1e-20, f64::INFINITY, 3e38];
        let mut table = Table::new(4);
        table
            .texts("text, \"odd\"", |row| odd[row])
            .numbers("value", |row| values[row]);
        let read: serde_json::Value = serde_json::from_str(&table.to_json()).unwrap();
        for (row, text) in odd.iter().enumerate() {
            assert_eq!(read[row]["text, \"odd\""], *text);
        }
        assert_eq!(read[0]["value"].as_f64(), Some(0.1));
        assert_eq!(read[1]["value"].as_f64(), Some(-1e-20));
        assert!(read[2]["value"].is_null());
    }

    #[test]
    fn columns_of_other_lengths_are_refused() {
        let mut table = Table::new(2);
        table.push("a", Cells::numbers([1.0, 2.0])).unwrap();
        assert!(matches!(
            table.push("b", Cells::Texts(vec![])),
            Err(Error::Shape { .. })
        ));
        assert_eq!((table.rows(), table.columns().len()), (2, 1));
        table.numbers("a", |_| 3_usize).numbers("a", |_| 4_u32);
        assert_eq!(table.to_csv().lines().next(), Some("a,a 2,a 3"));
        assert_eq!(Table::default().to_json(), "[]");
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        let mut table = Table::new(1);
        table
            .numbers("single", |_| 0.1_f32)
            .numbers("double", |_| 0.1_f64 + 0.2)
            .numbers("id", |_| 16_777_217_usize)
            .numbers("none", |_| None::<f32>);
        assert_eq!(table.to_csv().lines().nth(1), Some("0.1,0.30000000000000004,16777217,"));
        assert_eq!([1e-7_f32, 3.0, -2.5e9].map(Number::number), [1e-7, 3.0, -2.5e9]);
    }
}
