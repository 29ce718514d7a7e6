//! Columns: a label or a number for every token, or for every sequence.
//!
//! One type serves every use. A column colors points, filters and searches tokens, is asked of heads, aligned with concepts and
//! exported, whether a file, a host or an analysis made it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::Side;
#[cfg(feature = "store")]
use crate::{Capture, Error, Result};

/// Columns of whole numbers with at most so many different ones are classes, such as labels 0 and 1.
const FEW: usize = 12;
/// Texts that stand for a missing number, in lower case.
const MISSING: [&str; 7] = ["na", "n/a", "nan", "null", "none", "inf", "-inf"];

/// The meaning of a column's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Amounts, from little to much.
    Sequential,
    /// Amounts on both sides of 0.
    Diverging,
    /// Classes: values are indices into these names.
    Categorical(Vec<String>),
}

impl ColumnKind {
    /// The kind of values that are given as texts.
    ///
    /// They are numbers if all of them parse, [missing](Self::number) ones aside: [`Diverging`](Self::Diverging) with numbers on both
    /// sides of 0, [`Sequential`](Self::Sequential) otherwise. At most 12 different whole numbers, and everything else, are classes,
    /// the most frequent first.
    ///
    /// ```
    /// use attn_core::column::ColumnKind;
    ///
    /// assert_eq!(ColumnKind::of(["0.5", "NA", "2"]), ColumnKind::Sequential);
    /// assert_eq!(ColumnKind::of(["0.5", "-2"]), ColumnKind::Diverging);
    /// assert_eq!(ColumnKind::of(["1", "0", "1"]), ColumnKind::Categorical(vec!["1".into(), "0".into()]));
    /// ```
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
        if let Some(kind) = numeric(counts.keys().copied()) {
            return kind;
        }
        if numbers(counts.keys().copied()).is_some() {
            counts.retain(|value, _| Self::number(value).is_some());
        }
        let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
        names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        Self::Categorical(names.into_iter().map(|(name, _)| name.to_owned()).collect())
    }

    /// A finite number, also as a percentage (`5%` is 5). `None` for other texts, among them those that stand for a missing number:
    /// `NA`, `N/A`, `NaN`, `null`, `none` and infinities, in any case.
    pub fn number(text: &str) -> Option<f64> {
        let text = text.trim();
        let text = text.strip_suffix('%').unwrap_or(text);
        text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The names of classes; none for amounts.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Categorical(names) => names,
            Self::Sequential | Self::Diverging => &[],
        }
    }

    /// The index of the class of a value; `None` for amounts and for values that are no class.
    pub fn class(&self, value: f64) -> Option<usize> {
        let classes = self.classes().len();
        (value >= 0.0 && value.round() < classes as f64).then(|| value.round() as usize)
    }

    /// A value as text: the class's name, or the number. `None` if there is no value.
    pub fn text(&self, value: f64) -> Option<String> {
        match self {
            _ if value.is_nan() => None,
            Self::Categorical(names) => names.get(self.class(value)?).cloned(),
            Self::Sequential | Self::Diverging => Some(value.to_string()),
        }
    }

    /// The values that texts stand for; NaN where there is none.
    fn values<S: AsRef<str>>(&self, texts: &[Option<S>]) -> Vec<f64> {
        let classes: BTreeMap<&str, f64> = match self {
            Self::Categorical(names) => names.iter().map(String::as_str).zip((0..).map(f64::from)).collect(),
            Self::Sequential | Self::Diverging => BTreeMap::new(),
        };
        let value = |text: &Option<S>| match (self, text.as_ref().map(AsRef::as_ref)) {
            (_, None) => None,
            (Self::Categorical(_), Some(text)) => classes.get(text).copied(),
            (_, Some(text)) => Self::number(text),
        };
        texts.iter().map(|text| value(text).unwrap_or(f64::NAN)).collect()
    }
}

/// Whether a text stands for a missing number.
pub(crate) fn is_missing(text: &str) -> bool {
    MISSING.contains(&text.trim().to_lowercase().as_str())
}

/// The numbers among different texts; `None` if one is neither a number nor missing, or there is no number.
fn numbers<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Vec<f64>> {
    let mut numbers = Vec::new();
    for text in texts {
        match ColumnKind::number(text) {
            Some(number) => numbers.push(number),
            None if is_missing(text) => {}
            None => return None,
        }
    }
    (!numbers.is_empty()).then_some(numbers)
}

/// The kind of different texts that are amounts.
fn numeric<'a>(texts: impl Iterator<Item = &'a str>) -> Option<ColumnKind> {
    let numbers = numbers(texts)?;
    let few = numbers.len() <= FEW && numbers.iter().all(|number| number.fract() == 0.0);
    let below = numbers.iter().any(|number| *number < 0.0);
    let above = numbers.iter().any(|number| *number > 0.0);
    match (few, below && above) {
        (true, _) => None,
        (false, true) => Some(ColumnKind::Diverging),
        (false, false) => Some(ColumnKind::Sequential),
    }
}

/// A value per token: a part of speech, a loss, a label of the sequence.
///
/// ```
/// use attn_core::{Side, TokenColumn};
///
/// let upos = TokenColumn::from_texts("upos", &[None, Some("DET"), Some("NOUN"), Some("NOUN")], &[]);
/// assert_eq!(upos.classes(), ["NOUN", "DET"]);
/// assert_eq!(upos.text(Side::Encoder, 1).as_deref(), Some("DET"));
/// assert_eq!(upos.text(Side::Encoder, 0), None);
///
/// let loss = TokenColumn::from_texts("loss", &[Some("0.25"), Some("1.5")], &[]);
/// assert_eq!(loss.encoder, [0.25, 1.5]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenColumn {
    /// Its name for users.
    pub name: String,
    /// The meaning of its numbers.
    pub kind: ColumnKind,
    /// A value per row of the encoder side, as `Capture::rows` counts them; NaN where there is none. Empty for models without
    /// that side.
    pub encoder: Vec<f64>,
    /// The same for the decoder side.
    pub decoder: Vec<f64>,
}

impl TokenColumn {
    /// A column of texts; [`ColumnKind::of`] tells whether they are numbers or classes.
    pub fn from_texts<S: AsRef<str>>(name: impl Into<String>, encoder: &[Option<S>], decoder: &[Option<S>]) -> Self {
        let kind = ColumnKind::of(encoder.iter().chain(decoder).flatten().map(AsRef::as_ref));
        Self {
            name: name.into(),
            encoder: kind.values(encoder),
            decoder: kind.values(decoder),
            kind,
        }
    }

    /// A column of classes, given by their indices.
    pub fn from_classes(
        name: impl Into<String>,
        classes: Vec<String>,
        encoder: impl IntoIterator<Item = Option<usize>>,
        decoder: impl IntoIterator<Item = Option<usize>>,
    ) -> Self {
        let value = |class: Option<usize>| class.map_or(f64::NAN, |class| class as f64);
        Self {
            name: name.into(),
            kind: ColumnKind::Categorical(classes),
            encoder: encoder.into_iter().map(value).collect(),
            decoder: decoder.into_iter().map(value).collect(),
        }
    }

    /// The values of one side.
    pub fn side(&self, side: Side) -> &[f64] {
        match side {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        }
    }

    /// The names of its classes; none if it holds amounts.
    pub fn classes(&self) -> &[String] {
        self.kind.classes()
    }

    /// The class of a row; `None` where there is none, and for amounts.
    pub fn class(&self, side: Side, row: usize) -> Option<usize> {
        self.kind.class(*self.side(side).get(row)?)
    }

    /// The value of a row as text: the class's name, or the number. `None` where there is none.
    pub fn text(&self, side: Side, row: usize) -> Option<String> {
        self.kind.text(*self.side(side).get(row)?)
    }

    /// Whether any token has a value.
    pub fn has_values(&self) -> bool {
        self.encoder.iter().chain(&self.decoder).any(|value| !value.is_nan())
    }
}

#[cfg(feature = "store")]
impl TokenColumn {
    /// The texts of a capture's ordinary tokens as classes, in the order of their first occurrence. Special tokens and patches
    /// have none. Named `token`.
    pub fn of_tokens(capture: &Capture) -> Self {
        let mut classes: Vec<String> = Vec::new();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let [encoder, decoder] = [Side::Encoder, Side::Decoder].map(|side| {
            let tokens = capture.sequences().iter().flat_map(|sequence| sequence.tokens(side));
            let mut rows = Vec::with_capacity(capture.tokens(side));
            for token in tokens {
                let ordinary = token.patch.is_none() && !token.special;
                rows.push(ordinary.then(|| {
                    *numbers.entry(&token.text).or_insert_with(|| {
                        classes.push(token.text.clone());
                        classes.len() - 1
                    })
                }));
            }
            rows
        });
        Self::from_classes("token", classes, encoder, decoder)
    }

    /// Checks that the column has a value, or NaN, for every token of a capture, and that classes have names.
    ///
    /// # Errors
    /// [`Error::Column`] for another number of values, [`Error::Shape`] for a class without a name.
    pub fn check(&self, capture: &Capture) -> Result<()> {
        for side in [Side::Encoder, Side::Decoder] {
            let (expected, values) = (capture.tokens(side), self.side(side));
            if values.len() != expected {
                return Err(Error::Column {
                    name: self.name.clone(),
                    side,
                    expected,
                    found: values.len(),
                });
            }
            check_classes(&self.name, &self.kind, values)?;
        }
        Ok(())
    }
}

/// A value per sequence: a label, a length, a score.
///
/// ```
/// use attn_core::SequenceColumn;
///
/// let label = SequenceColumn::from_texts("label", &[Some("good"), None, Some("bad"), Some("good")]);
/// assert_eq!((label.classes(), label.text(2).as_deref()), (&["good".to_owned(), "bad".to_owned()][..], Some("bad")));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequenceColumn {
    /// Its name for users.
    pub name: String,
    /// The meaning of its numbers.
    pub kind: ColumnKind,
    /// A value per sequence; NaN where there is none.
    pub values: Vec<f64>,
}

impl SequenceColumn {
    /// A column of texts; [`ColumnKind::of`] tells whether they are numbers or classes.
    pub fn from_texts<S: AsRef<str>>(name: impl Into<String>, texts: &[Option<S>]) -> Self {
        let kind = ColumnKind::of(texts.iter().flatten().map(AsRef::as_ref));
        Self {
            name: name.into(),
            values: kind.values(texts),
            kind,
        }
    }

    /// The names of its classes; none if it holds amounts.
    pub fn classes(&self) -> &[String] {
        self.kind.classes()
    }

    /// The value of a sequence as text: the class's name, or the number. `None` where there is none.
    pub fn text(&self, sequence: usize) -> Option<String> {
        self.kind.text(*self.values.get(sequence)?)
    }
}

#[cfg(feature = "store")]
impl SequenceColumn {
    /// Checks that the column has a value, or NaN, for every sequence of a capture, and that classes have names.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values, or a class without a name.
    pub fn check(&self, capture: &Capture) -> Result<()> {
        let expected = capture.sequences().len();
        if self.values.len() != expected {
            return Err(Error::Shape {
                place: format!("column `{}`", self.name),
                expected: format!("{expected} values, one per sequence"),
                found: self.values.len().to_string(),
            });
        }
        check_classes(&self.name, &self.kind, &self.values)
    }

    /// The same column per token: every token has the value of its sequence.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn to_tokens(&self, capture: &Capture) -> Result<TokenColumn> {
        self.check(capture)?;
        let side = |side: Side| -> Vec<f64> {
            let sequences = capture.sequences().iter().zip(&self.values);
            let tokens = sequences.flat_map(|(sequence, &value)| sequence.tokens(side).iter().map(move |_| value));
            tokens.collect()
        };
        Ok(TokenColumn {
            name: self.name.clone(),
            kind: self.kind.clone(),
            encoder: side(Side::Encoder),
            decoder: side(Side::Decoder),
        })
    }
}

/// Checks that every value of a column of classes has a name.
#[cfg(feature = "store")]
fn check_classes(name: &str, kind: &ColumnKind, values: &[f64]) -> Result<()> {
    let ColumnKind::Categorical(names) = kind else {
        return Ok(());
    };
    let nameless = |value: &&f64| !value.is_nan() && kind.class(**value).is_none();
    match values.iter().find(nameless) {
        Some(value) => Err(Error::Shape {
            place: format!("column `{name}`"),
            expected: format!("classes from 0 and below {}", names.len()),
            found: value.to_string(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(names: &[&str]) -> ColumnKind {
        ColumnKind::Categorical(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn numbers_are_amounts_unless_they_are_few_and_whole() {
        assert_eq!(ColumnKind::of(["0.5", "2"]), ColumnKind::Sequential);
        assert_eq!(ColumnKind::of(["0.5", "-2"]), ColumnKind::Diverging);
        assert_eq!(ColumnKind::of(["1", "0", "1"]), classes(&["1", "0"]));
        assert_eq!(ColumnKind::of(["1", "b"]), classes(&["1", "b"]));
        let many: Vec<String> = (0..13).map(|number| number.to_string()).collect();
        assert_eq!(ColumnKind::of(many.iter().map(String::as_str)), ColumnKind::Sequential);
        assert_eq!(ColumnKind::of(["5%", "7.5%"]), ColumnKind::Sequential);
        assert_eq!(ColumnKind::of([]), classes(&[]));
    }

    #[test]
    fn missing_numbers_are_gaps_and_missing_among_texts_are_classes() {
        let texts = ["NA", "0.5", "nan", "null", "2", "N/A", "inf"].map(Some);
        let column = TokenColumn::from_texts("score", &texts, &[]);
        assert_eq!(column.kind, ColumnKind::Sequential);
        let gaps: Vec<bool> = column.encoder.iter().map(|value| value.is_nan()).collect();
        assert_eq!(gaps, [true, false, true, true, false, true, true]);
        // NA is Namibia among countries, and no class among labels 0 and 1.
        assert_eq!(ColumnKind::of(["NA", "DE", "NA"]), classes(&["NA", "DE"]));
        assert_eq!(ColumnKind::of(["NA", "1", "0", "1"]), classes(&["1", "0"]));
        assert_eq!(ColumnKind::of(["NaN", "na"]), classes(&["NaN", "na"]));
    }

    #[test]
    fn values_have_texts() {
        let column = TokenColumn::from_texts("n", &[Some("-1.5"), None], &[Some("2")]);
        assert_eq!(column.text(Side::Encoder, 0).as_deref(), Some("-1.5"));
        assert_eq!(column.text(Side::Encoder, 1), None);
        assert_eq!(column.text(Side::Decoder, 0).as_deref(), Some("2"));
        assert_eq!(column.text(Side::Decoder, 1), None);
        assert_eq!(column.class(Side::Decoder, 0), None);
        let column = TokenColumn::from_classes("c", vec!["x".into()], [Some(0), None], []);
        assert_eq!(
            (column.class(Side::Encoder, 0), column.class(Side::Encoder, 1)),
            (Some(0), None)
        );
        assert!(column.has_values());
        assert!(!TokenColumn::from_classes("c", vec![], [None], []).has_values());
        assert_eq!(classes(&["x"]).class(1.0), None);
        assert_eq!(classes(&["x"]).class(-1.0), None);
    }
}
