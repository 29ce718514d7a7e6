//! One line of a log: its members, whatever schema they are of.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A member of a line.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Cell<'a> {
    /// Missing or `null`.
    #[default]
    None,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// `null` within a list is NaN.
    List(Vec<f32>),
    Lists(Vec<Vec<f32>>),
    /// A list with texts in it, or something else.
    Texts(Vec<String>),
    Object(Vec<(String, String)>),
}

impl Cell<'_> {
    /// The kind of value, for errors.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::None => "nothing".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
            Self::List(values) => format!("a list of {} numbers", values.len()),
            Self::Lists(rows) => format!("{} lists of numbers", rows.len()),
            Self::Texts(_) => "a list of texts".into(),
            Self::Object(_) => "an object".into(),
        }
    }

    /// A text, or a number written as one: ids and names.
    pub(super) fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(value) => Some(Cow::Owned(value.to_string())),
            Self::Bool(value) => Some(Cow::Owned(value.to_string())),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }
}

/// The members of a line that this crate reads.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) kind: Cell<'a>,
    pub(super) id: Cell<'a>,
    pub(super) epoch: Cell<'a>,
    pub(super) step: Cell<'a>,
    pub(super) gold: Cell<'a>,
    pub(super) probabilities: Cell<'a>,
    pub(super) logits: Cell<'a>,
    pub(super) prediction: Cell<'a>,
    pub(super) log_probability: Cell<'a>,
    pub(super) loss: Cell<'a>,
    pub(super) correct: Cell<'a>,
    pub(super) text: Cell<'a>,
    pub(super) split: Cell<'a>,
    pub(super) attributes: Cell<'a>,
    pub(super) name: Cell<'a>,
    pub(super) labels: Cell<'a>,
    pub(super) epochs: Cell<'a>,
    pub(super) format: Cell<'a>,
    pub(super) path: Cell<'a>,
    pub(super) task: Cell<'a>,
    /// The member `logits_epoch_X` of a `dynamics_epoch_X.jsonl`: its epoch, counted from 0.
    pub(super) dynamics: Option<u64>,
}

impl<'a> Line<'a> {
    /// The members of a JSON object.
    pub(super) fn parse(line: &'a str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| {
            // A line is parsed alone, so the parser's line number would mislead.
            let message = error.to_string();
            let position = format!(" at line {} column {}", error.line(), error.column());
            let message = message.strip_suffix(&position).unwrap_or(&message);
            format!("{message} (column {})", error.column())
        })
    }

    /// What follows the half of a line: a writer was killed within it, and the resumed one wrote on.
    pub(super) fn after_half(line: &'a str) -> Option<Self> {
        let starts: Vec<usize> = line.rmatch_indices("{\"").map(|(at, _)| at).take(4).collect();
        let mut rest = starts.into_iter().filter(|&at| at > 0);
        rest.find_map(|at| Self::parse(&line[at..]).ok().filter(|line| line.id != Cell::None))
    }
}

/// A line whose numbers JSON knows: the words that Python writes for others become `null`. Texts are left alone.
pub fn without_nan(line: &str) -> Cow<'_, str> {
    if !line.contains("NaN") && !line.contains("Infinity") {
        return Cow::Borrowed(line);
    }
    let mut written = String::with_capacity(line.len());
    let (mut rest, mut inside) = (line, false);
    while let Some(first) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"]
            .into_iter()
            .find(|word| !inside && rest.starts_with(word));
        let taken = match (word, first) {
            (Some(word), _) => word.len(),
            (None, '\\') if inside => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, other) => {
                inside ^= other == '"';
                other.len_utf8()
            }
        };
        written += if word.is_some() { "null" } else { &rest[..taken] };
        rest = &rest[taken..];
    }
    Cow::Owned(written)
}

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut line = Line::default();
        while let Some(Key(key)) = map.next_key()? {
            let place = match &*key {
                "kind" => &mut line.kind,
                "id" | "guid" => &mut line.id,
                "epoch" => &mut line.epoch,
                "step" => &mut line.step,
                "gold" => &mut line.gold,
                "probabilities" => &mut line.probabilities,
                "logits" => &mut line.logits,
                "prediction" => &mut line.prediction,
                "log_probability" => &mut line.log_probability,
                "loss" => &mut line.loss,
                "correct" => &mut line.correct,
                "text" => &mut line.text,
                "split" => &mut line.split,
                "attributes" => &mut line.attributes,
                "name" => &mut line.name,
                "labels" => &mut line.labels,
                "epochs" => &mut line.epochs,
                "format" => &mut line.format,
                "path" => &mut line.path,
                "task" => &mut line.task,
                key => match key.strip_prefix("logits_epoch_").and_then(|epoch| epoch.parse().ok()) {
                    Some(epoch) => {
                        line.dynamics = Some(epoch);
                        &mut line.logits
                    }
                    None => {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                },
            };
            *place = map.next_value()?;
        }
        Ok(line)
    }
}

/// A member's name, borrowed where it has no escaped sign.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        // Beyond 2^53 a float would make two ids one.
        Ok(match value.unsigned_abs() <= 1 << 53 {
            true => Cell::Number(value as f64),
            false => Cell::Text(Cow::Owned(value.to_string())),
        })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match value <= 1 << 53 {
            true => Cell::Number(value as f64),
            false => Cell::Text(Cow::Owned(value.to_string())),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Cell::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cell::None)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut values = Vec::new();
        let mut rows: Vec<Vec<f32>> = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        while let Some(item) = list.next_element()? {
            match item {
                Item::Number(value) => values.push(value),
                Item::Row(row) => rows.push(row),
                Item::Text(text) => texts.push(text),
            }
        }
        Ok(match (values.is_empty(), rows.is_empty(), texts.is_empty()) {
            (_, true, true) => Cell::List(values),
            (true, false, true) => Cell::Lists(rows),
            _ => {
                texts.extend(values.iter().map(ToString::to_string));
                Cell::Texts(texts)
            }
        })
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            let value: serde_json::Value = map.next_value()?;
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => continue,
                other => other.to_string(),
            };
            members.push((key.into_owned(), text));
        }
        Ok(Cell::Object(members))
    }
}

/// An item of a list.
enum Item {
    Number(f32),
    Row(Vec<f32>),
    Text(String),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text or a list of numbers")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Item, E> {
                Ok(Item::Number(f32::from(u8::from(value))))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Item, E> {
                Ok(Item::Number(value as f32))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Item, E> {
                Ok(Item::Number(value as f32))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Item, E> {
                Ok(Item::Number(value as f32))
            }

            fn visit_unit<E>(self) -> Result<Item, E> {
                Ok(Item::Number(f32::NAN))
            }

            fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Item, S::Error> {
                let mut row = Vec::new();
                while let Some(value) = list.next_element::<Option<f32>>()? {
                    row.push(value.unwrap_or(f32::NAN));
                }
                Ok(Item::Row(row))
            }
        }
        deserializer.deserialize_any(ItemVisitor)
    }
}
