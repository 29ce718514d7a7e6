//! Examples as a table: what the log says of them, their dynamics, their attributes. Filters, tables and colors take its columns.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use attn_analyze::training::{ExampleDynamics, Filter};
use attn_core::{
    column::ColumnKind,
    table::{Cells, Table},
};
use attn_render::plots::ColorBy;
use serde_json::{Map, Value};

use super::Training;
use crate::Error;

/// Classes of a color beyond which a column of texts is no color.
const CLASSES: usize = 400;

/// Numbers of the dynamics, by name.
type Number = (&'static str, fn(&ExampleDynamics) -> f32);

pub(super) const NUMBERS: [Number; 9] = [
    ("confidence", |of| of.confidence),
    ("variability", |of| of.variability),
    ("interval", |of| of.interval),
    ("correctness", |of| of.correctness),
    ("forgetting", |of| of.forgetting),
    ("closeness", |of| of.closeness),
    ("aum", |of| of.aum),
    ("el2n", |of| of.el2n),
    ("loss", |of| of.loss),
];

impl Training {
    /// The examples, a row each: `id`, `split`, `gold`, the last `answer` and whether it is `right`, the number of `moments`, the
    /// statistics of the dynamics, whether it was ever `learned`, attributes, `text`. A column that no example has is left out.
    pub fn columns(&self) -> &Table {
        self.columns.get_or_init(|| Arc::new(self.make_columns()))
    }

    fn make_columns(&self) -> Table {
        let (log, examples) = (&self.log, self.log.examples());
        let mut table = Table::new(examples.len());
        table.texts("id", |row| &*examples[row].id);
        if examples.iter().any(|example| example.split.is_some()) {
            table.texts("split", |row| examples[row].split.as_deref().unwrap_or_default());
        }
        let last = |row: usize| log.outcomes(row).last().map(|(_, outcome)| *outcome);
        table.texts("gold", |row| log.gold(row));
        table.texts("answer", |row| {
            last(row).and_then(|outcome| log.answer(&outcome)).unwrap_or_default()
        });
        table.texts("right", |row| match last(row).map(|outcome| self.judge(&outcome)) {
            Some((_, Some(true))) => "yes",
            Some((_, Some(false))) => "no",
            _ => "",
        });
        table.numbers("moments", |row| self.dynamics[row].moments);
        for (name, of) in NUMBERS {
            if self.dynamics.iter().any(|dynamics| !of(dynamics).is_nan()) {
                table.numbers(name, |row| of(&self.dynamics[row]));
            }
        }
        table.texts("learned", |row| match &self.dynamics[row] {
            none if none.correctness.is_nan() => "",
            some if some.learned => "yes",
            _ => "no",
        });
        let taken: BTreeSet<String> = table.columns().iter().map(|(name, _)| name.clone()).collect();
        for name in self.attributes() {
            let value = |row: usize| examples[row].attribute(&name).unwrap_or_default();
            let as_numbers = ColumnKind::of((0..examples.len()).map(value).filter(|value| !value.is_empty()));
            let column = if taken.contains(&*name) {
                format!("{name} (attribute)")
            } else {
                name.to_string()
            };
            if as_numbers.classes().is_empty() {
                table.numbers(column, |row| value(row).parse::<f64>().unwrap_or(f64::NAN));
            } else {
                table.texts(column, value);
            }
        }
        if examples.iter().any(|example| example.text.is_some()) {
            table.texts("text", |row| examples[row].text.as_deref().unwrap_or_default());
        }
        table
    }

    /// Names of attributes, in the order of the alphabet.
    pub fn attributes(&self) -> BTreeSet<Arc<str>> {
        let examples = self.log.examples().iter();
        examples
            .flat_map(|example| example.attributes.iter().map(|(name, _)| name.clone()))
            .collect()
    }

    /// The examples that meet a filter, by number.
    ///
    /// # Errors
    /// Those of [`Filter::rows`].
    pub fn select(&self, filter: &Filter) -> Result<Vec<usize>, Error> {
        Ok(filter.rows(self.columns())?)
    }

    /// The rows of [`columns`](Self::columns) of some examples.
    pub fn rows(&self, examples: &[usize]) -> Table {
        let mut table = Table::new(examples.len());
        for (name, cells) in self.columns().columns() {
            match cells {
                Cells::Numbers(values) => table.numbers(name, |row| values[examples[row]]),
                Cells::Texts(texts) => table.texts(name, |row| texts[examples[row]].as_str()),
            };
        }
        table
    }

    /// The same as JSON lines: an object per example, without its empty cells.
    pub fn rows_jsonl(&self, examples: &[usize]) -> String {
        let mut lines = String::new();
        for &example in examples {
            let cells = self.columns().columns().iter().filter_map(|(name, cells)| {
                let value = match cells {
                    Cells::Numbers(values) => values
                        .get(example)
                        .and_then(|value| serde_json::Number::from_f64(*value))
                        .map(Value::Number),
                    Cells::Texts(texts) => texts
                        .get(example)
                        .filter(|text| !text.is_empty())
                        .map(|text| Value::from(text.as_str())),
                };
                Some((name.clone(), value?))
            });
            let _ = writeln!(lines, "{}", Value::Object(cells.collect::<Map<_, _>>()));
        }
        lines
    }

    /// The data map as a table: `id, gold, confidence, variability, correctness, forgetting, closeness, aum, el2n, loss`.
    pub fn data_map_table(&self) -> Table {
        let examples = self.log.examples();
        let mut table = Table::new(examples.len());
        table
            .texts("id", |row| &*examples[row].id)
            .texts("gold", |row| self.log.gold(row));
        for (name, of) in NUMBERS.into_iter().filter(|(name, _)| *name != "interval") {
            table.numbers(name, |row| of(&self.dynamics[row]));
        }
        table
    }

    /// Columns that points may be colored by: all but `id` and `text`.
    pub fn colors(&self) -> Vec<&str> {
        let columns = self.columns().columns().iter().map(|(name, _)| name.as_str());
        columns.filter(|name| !matches!(*name, "id" | "text")).collect()
    }

    /// A value per example and how it is drawn: numbers as amounts, texts as classes.
    ///
    /// # Errors
    /// [`Error::NoColumn`] for a column that does not exist, and for texts of more than 400 kinds.
    pub fn color(&self, column: &str, examples: &[usize]) -> Result<(Vec<f32>, ColorBy), Error> {
        let found = self.columns().columns().iter().find(|(name, _)| name == column);
        let Some((_, cells)) = found else {
            return Err(self.no_column(column));
        };
        Ok(match cells {
            Cells::Numbers(values) => {
                let values = examples
                    .iter()
                    .map(|&example| values.get(example).map_or(f32::NAN, |value| *value as f32))
                    .collect();
                (values, ColorBy::sequential(column))
            }
            Cells::Texts(texts) => {
                let classes: BTreeSet<&str> = texts
                    .iter()
                    .map(String::as_str)
                    .filter(|text| !text.is_empty())
                    .collect();
                if classes.len() > CLASSES {
                    return Err(self.no_column(column));
                }
                let classes: Vec<&str> = classes.into_iter().collect();
                let class = |example: &usize| {
                    let text = texts.get(*example).map_or("", String::as_str);
                    classes.binary_search(&text).map_or(f32::NAN, |class| class as f32)
                };
                (
                    examples.iter().map(class).collect(),
                    ColorBy::classes(column, classes.as_slice()),
                )
            }
        })
    }

    fn no_column(&self, column: &str) -> Error {
        Error::NoColumn {
            name: column.into(),
            columns: self.colors().into_iter().map(str::to_owned).collect(),
        }
    }
}
