//! Attributes for colors of points: those of AttentionViz (Yeh et al. 2023, section 5), quality scores of the projection, and those
//! that a host adds. A name chooses one.

use std::{collections::HashMap, fmt::Debug, sync::Arc};

use attn_core::{HeadId, Sequence, Side, Token, TokenColumn, column::ColumnKind};
use attn_project::HeadProjection;
use attn_render::{
    ViewState,
    plots::{ColorBy, ValueKind},
    state::ColorChoice,
};

use crate::{Error, Study, trust};

/// A value per point of a head, by a name.
///
/// ```
/// use attn_core::HeadId;
/// use attn_study::{Error, Study, attributes::TokenAttribute};
///
/// /// Whether a token begins with a capital letter.
/// #[derive(Debug)]
/// struct Capitals;
///
/// impl TokenAttribute for Capitals {
///     fn name(&self) -> &str {
///         "capitals"
///     }
///
///     fn label(&self) -> &str {
///         "begins with a capital letter (1)"
///     }
///
///     fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
///         let capital = |text: &str| text.chars().next().is_some_and(char::is_uppercase);
///         Ok(study.labels(head).iter().map(|text| f32::from(u8::from(capital(text)))).collect())
///     }
/// }
/// // study.add_attribute(Capitals); state.shared.color = ColorChoice::values("capitals");
/// ```
pub trait TokenAttribute: Debug + Send + Sync {
    /// The name by which it is chosen: lower case, words joined by hyphens.
    fn name(&self) -> &str;

    /// The label in legends, with its unit; by default its name.
    fn label(&self) -> &str {
        self.name()
    }

    /// Color scale of its values. Default: sequential.
    fn kind(&self) -> ValueKind {
        ValueKind::Sequential
    }

    /// Whether it applies to this data. Default: yes.
    fn applies_to(&self, study: &Study) -> bool {
        let _ = study;
        true
    }

    /// Whether values differ between heads of one kind of attention. Default: no.
    fn is_of_head(&self) -> bool {
        false
    }

    /// A value per point: all queries of the drawn sequences, then all keys. NaN where there is none.
    ///
    /// # Errors
    /// Any error of the computation.
    fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error>;

    /// A short note under a head's plot in the matrix. Default: what its plot shows of attention.
    fn note(&self, head: &HeadProjection) -> Option<String> {
        let _ = head;
        None
    }

    /// The caption of the matrix while it is drawn; by default that of the matrix.
    fn caption(&self) -> Option<&str> {
        None
    }
}

/// The attributes that every study has, in the order of menus.
pub(crate) fn builtin() -> Vec<Arc<dyn TokenAttribute>> {
    let mut all: Vec<Arc<dyn TokenAttribute>> = Vec::new();
    for attribute in PER_TOKEN {
        if attribute.name == "token-length" {
            all.push(Arc::new(Norm));
        }
        all.push(Arc::new(attribute));
        if attribute.name == "sequence-length" {
            all.push(Arc::new(Frequency));
        }
    }
    all.extend(trust::scores());
    all
}

/// The data that an attribute is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum About {
    Anything,
    Text,
    Images,
}

/// An attribute that a token has by itself, from its sequence, its side and its place.
#[derive(Clone, Copy)]
struct PerToken {
    name: &'static str,
    label: &'static str,
    about: About,
    classes: &'static [&'static str],
    value: fn(&Sequence, Side, usize, &Token) -> f32,
}

const PER_TOKEN: [PerToken; 7] = [
    PerToken {
        name: "position",
        label: "position in the sequence (0 first, 1 last)",
        about: About::Anything,
        classes: &[],
        value: |sequence, side, index, _| index as f32 / (sequence.tokens(side).len().max(2) - 1) as f32,
    },
    PerToken {
        name: "position-mod-5",
        label: "position mod 5",
        about: About::Anything,
        classes: &["0", "1", "2", "3", "4"],
        value: |_, _, index, _| (index % 5) as f32,
    },
    PerToken {
        name: "token-length",
        label: "characters of the token",
        about: About::Text,
        classes: &[],
        value: |_, _, _, token| token.text.trim_start_matches("##").chars().count() as f32,
    },
    PerToken {
        name: "sequence-length",
        label: "tokens of the sequence",
        about: About::Anything,
        classes: &[],
        value: |sequence, side, _, _| sequence.tokens(side).len() as f32,
    },
    PerToken {
        name: "punctuation",
        label: "kind of token",
        about: About::Text,
        classes: &["word", "punctuation", "special"],
        value: |_, _, _, token| kind(token),
    },
    PerToken {
        name: "patch-row",
        label: "row",
        about: About::Images,
        classes: &[],
        value: |_, _, _, token| token.patch.map_or(f32::NAN, |(row, _)| row as f32),
    },
    PerToken {
        name: "patch-column",
        label: "column",
        about: About::Images,
        classes: &[],
        value: |_, _, _, token| token.patch.map_or(f32::NAN, |(_, column)| column as f32),
    },
];

impl Debug for PerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl TokenAttribute for PerToken {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self) -> &str {
        self.label
    }

    fn kind(&self) -> ValueKind {
        match self.classes {
            [] => ValueKind::Sequential,
            classes => ValueKind::Categorical(classes.into()),
        }
    }

    fn applies_to(&self, study: &Study) -> bool {
        match self.about {
            About::Anything => true,
            About::Text => !study.is_image(0),
            About::Images => study.is_image(0),
        }
    }

    fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
        Ok(study.per_token(head, |sequence, side, index, token| {
            (self.value)(sequence, side, index, token)
        }))
    }
}

/// Word 0, punctuation 1, special 2.
fn kind(token: &Token) -> f32 {
    let text = token.text.trim_start_matches("##");
    match () {
        () if token.special => 2.0,
        () if !text.is_empty() && !text.chars().any(char::is_alphanumeric) => 1.0,
        () => 0.0,
    }
}

/// The length of a query or key vector.
#[derive(Debug)]
struct Norm;

impl TokenAttribute for Norm {
    fn name(&self) -> &str {
        "norm"
    }

    fn label(&self) -> &str {
        "norm"
    }

    fn is_of_head(&self) -> bool {
        true
    }

    fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
        let norms = |vectors: ndarray::ArrayView2<'_, f32>, side: Side| -> Vec<f32> {
            let norm = |row: usize| vectors.row(row).iter().map(|x| x * x).sum::<f32>().sqrt();
            study.drawn_rows(side).map(norm).collect()
        };
        let mut values = norms(study.capture().queries(head)?.view(), head.attention.query_side());
        values.extend(norms(study.capture().keys(head)?.view(), head.attention.key_side()));
        Ok(values)
    }
}

/// How often a token occurs in the whole data set, drawn or not.
#[derive(Debug)]
struct Frequency;

impl TokenAttribute for Frequency {
    fn name(&self) -> &str {
        "token-frequency"
    }

    fn label(&self) -> &str {
        "log₁₀ of occurrences"
    }

    fn applies_to(&self, study: &Study) -> bool {
        !study.is_image(0)
    }

    fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
        let mut counts: HashMap<(Side, &str), u32> = HashMap::new();
        for sequence in study.capture().sequences() {
            for side in [Side::Encoder, Side::Decoder] {
                for token in sequence.tokens(side) {
                    *counts.entry((side, &token.text)).or_default() += 1;
                }
            }
        }
        Ok(study.per_token(head, |_, side, _, token| {
            let count = counts.get(&(side, token.text.as_str()));
            count.map_or(0.0, |count| (*count as f32).log10())
        }))
    }
}

/// The values of a head's points.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) by: ColorBy,
    pub(crate) values: Arc<[f32]>,
}

/// The attribute or column of a view state's colors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colored<'a> {
    Attribute(&'a Arc<dyn TokenAttribute>),
    Column(&'a TokenColumn),
}

/// Before the name of a column that is called as an attribute.
const COLUMN: &str = "column:";

/// A name as the list has it: files of the first versions and British spellings are read too.
fn canonical(name: &str) -> String {
    match name.replace('_', "-").as_str() {
        "position-mod5" => "position-mod-5".into(),
        "neighbours-kept" => "neighbors-kept".into(), // older spelling
        name => name.to_owned(),
    }
}

impl Study {
    /// Adds an attribute that points can be colored by; one of the same name is replaced, a built-in one too.
    pub fn add_attribute(&mut self, attribute: impl TokenAttribute + 'static) {
        self.attributes.retain(|other| other.name() != attribute.name());
        self.attributes.push(Arc::new(attribute));
    }

    /// The attributes that apply to this data.
    pub fn attributes(&self) -> impl Iterator<Item = &dyn TokenAttribute> {
        let applying = self.attributes.iter().filter(|attribute| attribute.applies_to(self));
        applying.map(|attribute| &**attribute)
    }

    /// The names of all that points can be colored by, for menus and [`ColorChoice::values`]: attributes, then columns. A column
    /// that an attribute's name leads to is `column:NAME`, and so is one whose own name begins with `column:`.
    pub fn color_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.attributes().map(|attribute| attribute.name().to_owned()).collect();
        let columns = self.columns().iter().map(|column| {
            let name = &column.name;
            match names.contains(&canonical(name)) || name.starts_with(COLUMN) {
                true => format!("{COLUMN}{name}"),
                false => name.clone(),
            }
        });
        let columns: Vec<String> = columns.collect();
        names.extend(columns);
        names
    }

    /// Whether a color choice exists in this data; query and key always do.
    pub fn has_color(&self, color: &ColorChoice) -> bool {
        color.name().is_none_or(|name| self.colored_by(name).is_some())
    }

    /// The attribute or column with this name: first those that have exactly this one.
    fn colored_by(&self, name: &str) -> Option<Colored<'_>> {
        if let Some(column) = name.strip_prefix(COLUMN).and_then(|name| self.column(name)) {
            return Some(Colored::Column(column));
        }
        let attribute = |name: &str| {
            let named = self.attributes.iter().find(|attribute| attribute.name() == name);
            named.filter(|attribute| attribute.applies_to(self))
        };
        if let Some(attribute) = attribute(name) {
            return Some(Colored::Attribute(attribute));
        }
        if let Some(column) = self.columns().iter().find(|column| column.name == name) {
            return Some(Colored::Column(column));
        }
        if let Some(attribute) = attribute(&canonical(name)) {
            return Some(Colored::Attribute(attribute));
        }
        let first = || self.columns().first().filter(|_| name == "value");
        self.column(name).or_else(first).map(Colored::Column)
    }

    /// The attribute or column of a view state's colors; `None` for query and key.
    pub(crate) fn colored(&self, state: &ViewState) -> Option<Colored<'_>> {
        self.colored_by(state.shared.color.name()?)
    }

    /// The values of a head's points; `None` where colors say query or key.
    pub(crate) fn values(&self, head: HeadId, state: &ViewState) -> Result<Option<Values>, Error> {
        Ok(match self.colored(state) {
            None => None,
            Some(Colored::Attribute(attribute)) => Some(Values {
                by: ColorBy {
                    label: attribute.label().to_owned(),
                    kind: attribute.kind(),
                },
                values: attribute.values(self, head)?.into(),
            }),
            Some(Colored::Column(column)) => {
                let value = |side: Side| {
                    let values = column.side(side);
                    self.drawn_rows(side)
                        .map(move |row| values.get(row).map_or(f32::NAN, |value| *value as f32))
                };
                let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
                Some(Values {
                    by: ColorBy {
                        label: column.name.clone(),
                        kind: match &column.kind {
                            ColumnKind::Sequential => ValueKind::Sequential,
                            ColumnKind::Diverging => ValueKind::Diverging,
                            ColumnKind::Categorical(names) => ValueKind::Categorical(names.as_slice().into()),
                        },
                    },
                    values: value(query_side).chain(value(key_side)).collect(),
                })
            }
        })
    }

    /// The rows of a side, as [`Capture::rows`](attn_core::Capture::rows) counts them, of the tokens that are points.
    pub(crate) fn drawn_rows(&self, side: Side) -> impl Iterator<Item = usize> {
        let sequences = self.sequences().iter();
        sequences.flat_map(move |&sequence| self.capture().rows(sequence, side))
    }

    /// A value per point of a head, from the token behind it.
    fn per_token(&self, head: HeadId, value: impl Fn(&Sequence, Side, usize, &Token) -> f32) -> Vec<f32> {
        let all = self.capture().sequences();
        let mut values = Vec::new();
        for side in [head.attention.query_side(), head.attention.key_side()] {
            for sequence in self.sequences().iter().map(|&sequence| &all[sequence]) {
                let tokens = sequence.tokens(side).iter().enumerate();
                values.extend(tokens.map(|(index, token)| value(sequence, side, index, token)));
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_punctuation_and_special_tokens_are_told_apart() {
        let token = |text: &str, special| Token {
            text: text.into(),
            special,
            ..Token::default()
        };
        let kinds = [
            ("cat", false),
            ("##s", false),
            ("...", false),
            ("##-", false),
            ("[SEP]", true),
            ("a.", false),
        ];
        assert_eq!(
            kinds.map(|(text, special)| kind(&token(text, special))),
            [0.0, 0.0, 1.0, 1.0, 2.0, 0.0]
        );
    }

    #[test]
    fn names_of_the_first_versions_are_read() {
        let listed: Vec<String> = builtin().iter().map(|attribute| attribute.name().to_owned()).collect();
        for old in [
            "position",
            "position_mod5",
            "norm",
            "token_length",
            "sequence_length",
            "token_frequency",
            "punctuation",
            "patch_row",
            "patch_column",
            "trustworthiness",
            "continuity",
            "neighbors_kept",
            "neighbours-kept", // older spelling
            "position-mod-5",
        ] {
            assert!(listed.contains(&canonical(old)), "{old}: {listed:?}");
        }
        assert_eq!(listed.len(), 13);
    }

    /// A study of one sentence with these columns, all of them numbers.
    fn with_columns(names: &[&str]) -> Study {
        let capturer = attn_models::Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
        let capture = capturer.capture_lines(["the cat"]).unwrap();
        let tokens = capture.tokens(Side::Encoder);
        let mut study = Study::new(capture, &attn_project::AtlasParams::default());
        for name in names {
            let column = TokenColumn {
                name: (*name).into(),
                kind: ColumnKind::Sequential,
                encoder: (0..tokens).map(|token| token as f64 + 0.5).collect(),
                decoder: Vec::new(),
            };
            study.add_column(column).unwrap();
        }
        study
    }

    #[test]
    fn columns_with_names_near_those_of_attributes_are_reached() {
        let columns = ["token_length", "position_mod5", "position", "column:x", "x"];
        let study = with_columns(&columns);
        let column = |name: &str| match study.colored_by(name) {
            Some(Colored::Column(column)) => Some(column.name.clone()),
            _ => None,
        };
        let names = study.color_names();
        let expected = [
            "column:token_length",
            "column:position_mod5",
            "column:position",
            "column:column:x",
            "x",
        ];
        assert_eq!(names[names.len() - columns.len()..], expected);
        for (name, expected) in expected.into_iter().zip(columns) {
            assert_eq!(column(name).as_deref(), Some(expected));
        }
        // An exact name comes before one that is written otherwise.
        assert_eq!(column("token_length").as_deref(), Some("token_length"));
        for attribute in ["token-length", "position", "sequence_length"] {
            assert_eq!(column(attribute), None, "{attribute}");
            assert!(study.colored_by(attribute).is_some(), "{attribute}");
        }
        let study = with_columns(&["column:y"]);
        assert!(study.has_color(&ColorChoice::from("column:y")) && !study.has_color(&ColorChoice::from("column:z")));
    }

    #[test]
    fn searches_find_columns_with_an_equals_sign_in_their_name() {
        let study = with_columns(&["a=b", "a"]);
        let head = HeadId::new(attn_core::Attention::EncoderSelf, 0, 0);
        let found = |text: &str| study.matches(head, text).ids().count();
        // One token, as query and as key.
        assert_eq!((found("a=b=1.5"), found("a = 1.5"), found("a=b=9")), (2, 2, 0));
    }
}
