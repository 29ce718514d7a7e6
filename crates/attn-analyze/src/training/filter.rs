//! Filters over the columns of a table, joined by `and`.

use std::{fmt, str::FromStr};

use attn_core::table::{Cells, Table};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Conditions on columns, all of which a row must meet. None at all are met by every row.
///
/// A condition is a column, one of `<`, `<=`, `>`, `>=`, `=`, `!=`, `~` (the text contains) and a value; a value with ` and ` in it
/// stands in double quotes.
///
/// ```
/// use attn_analyze::training::Filter;
/// use attn_core::table::Table;
///
/// let (texts, losses) = (["A good day", "bad", "good"], [0.5, 2.0, 3.0]);
/// let mut table = Table::new(3);
/// table.texts("text", |row| texts[row]).numbers("loss", |row| losses[row]);
/// let filter: Filter = "text ~ good and loss > 1".parse()?;
/// assert_eq!(filter.rows(&table)?, [2]);
/// assert_eq!(filter.to_string(), "text ~ good and loss > 1");
/// # Ok::<(), attn_analyze::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// A condition on a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The column's name.
    pub column: String,
    /// How its value compares.
    pub test: Comparison,
    /// With what.
    pub value: String,
}

/// How a value compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
    /// More.
    More,
    /// More or equal.
    AtLeast,
    /// Equal.
    Is,
    /// Not equal.
    IsNot,
    /// Contains, in any case.
    Has,
}

impl Comparison {
    /// All, in the order in which a text is looked through: `<=` before `<`.
    pub const ALL: [Self; 7] = [
        Self::AtMost,
        Self::AtLeast,
        Self::IsNot,
        Self::Less,
        Self::More,
        Self::Is,
        Self::Has,
    ];

    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Has => "~",
        }
    }

    fn orders(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::More | Self::AtLeast)
    }
}

impl Filter {
    /// The rows that meet every condition, in their order. An empty cell meets `!=` only.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a column that the table does not have, for an order of texts, and for a number's comparison with
    /// something else.
    pub fn rows(&self, table: &Table) -> Result<Vec<usize>> {
        let mut kept = vec![true; table.rows()];
        for condition in &self.conditions {
            condition.apply(table, &mut kept)?;
        }
        Ok((0..kept.len()).filter(|&row| kept[row]).collect())
    }
}

impl Condition {
    fn apply(&self, table: &Table, kept: &mut [bool]) -> Result<()> {
        let wrong = |expected: String| Error::Parameter {
            name: "filter",
            expected,
            found: format!("`{self}`"),
        };
        let column = table.columns().iter().find(|(name, _)| *name == self.column);
        let Some((_, cells)) = column else {
            let names: Vec<&str> = table.columns().iter().map(|(name, _)| name.as_str()).collect();
            return Err(wrong(format!("a column of {}", names.join(", "))));
        };
        match cells {
            Cells::Numbers(values) if self.test != Comparison::Has => {
                let value: f64 = self
                    .value
                    .trim()
                    .parse()
                    .map_err(|_| wrong("a number to compare with".into()))?;
                for (kept, cell) in kept.iter_mut().zip(values) {
                    *kept &= match self.test {
                        Comparison::Less => *cell < value,
                        Comparison::AtMost => *cell <= value,
                        Comparison::More => *cell > value,
                        Comparison::AtLeast => *cell >= value,
                        Comparison::IsNot => *cell != value,
                        Comparison::Is | Comparison::Has => *cell == value,
                    };
                }
            }
            Cells::Numbers(_) => return Err(wrong("a column of texts for `~`".into())),
            Cells::Texts(_) if self.test.orders() => return Err(wrong("a column of numbers".into())),
            Cells::Texts(texts) => {
                let part = self.value.to_lowercase();
                for (kept, cell) in kept.iter_mut().zip(texts) {
                    *kept &= match self.test {
                        Comparison::Is => *cell == self.value,
                        Comparison::IsNot => *cell != self.value,
                        _ => cell.to_lowercase().contains(&part),
                    };
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.value.contains(" and ") || self.value.trim() != self.value || self.value.is_empty();
        let mark = if quoted { "\"" } else { "" };
        write!(f, "{} {} {mark}{}{mark}", self.column, self.test.sign(), self.value)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, condition) in self.conditions.iter().enumerate() {
            let and = if at > 0 { " and " } else { "" };
            write!(f, "{and}{condition}")?;
        }
        Ok(())
    }
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let signs = Comparison::ALL
            .into_iter()
            .filter_map(|test| Some((text.find(test.sign())?, test)));
        // The first sign; of two at one place the longer one, which stands first in the list.
        let Some((at, test)) = signs.min_by_key(|(at, _)| *at) else {
            return Err(Error::Parameter {
                name: "filter",
                expected: "column, sign (< <= > >= = != ~) and value".into(),
                found: format!("`{text}`"),
            });
        };
        let value = text[at + test.sign().len()..].trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Ok(Self {
            column: text[..at].trim().to_owned(),
            test,
            value: bare.unwrap_or(value).to_owned(),
        })
    }
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (mut conditions, mut part, mut quoted) = (Vec::new(), String::new(), false);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if !quoted && let Some(after) = rest.strip_prefix(" and ") {
                conditions.push(std::mem::take(&mut part).parse()?);
                rest = after;
                continue;
            }
            quoted ^= first == '"';
            part.push(first);
            rest = &rest[first.len_utf8()..];
        }
        if !part.trim().is_empty() || !conditions.is_empty() {
            conditions.push(part.parse()?);
        }
        Ok(Self { conditions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_written_alike() {
        for text in ["a < 1", "b != \"this and that\" and c ~ x<y", "d = \"\"", ""] {
            let filter: Filter = text.parse().unwrap();
            assert_eq!(filter.to_string(), text);
            assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
        }
        assert!("nothing".parse::<Filter>().is_err());
        assert!("a < 1 and ".parse::<Filter>().is_err());
    }

    #[test]
    fn empty_cells_meet_no_order_and_wrong_columns_are_named() {
        let mut table = Table::new(3);
        let (numbers, texts) = ([1.0, f64::NAN, 3.0], ["x", "", "X y"]);
        table.numbers("n", |row| numbers[row]).texts("t", |row| texts[row]);
        let rows = |text: &str| text.parse::<Filter>().unwrap().rows(&table);
        assert_eq!(rows("n >= 1").unwrap(), [0, 2]);
        assert_eq!(rows("n != 1").unwrap(), [1, 2]);
        assert_eq!(rows("t ~ x and n > 1").unwrap(), [2]);
        assert_eq!(rows("").unwrap(), [0, 1, 2]);
        for wrong in ["m = 1", "n ~ 1", "t < x", "n = x"] {
            assert!(rows(wrong).is_err(), "{wrong}");
        }
    }
}
