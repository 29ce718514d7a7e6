//! What points are coloured by: the attributes of AttentionViz (Yeh et al. 2023) and columns of the user's own, from a
//! capture to one value per point.

use std::{collections::HashMap, sync::Arc};

use attn_core::{ColumnKind, HeadId, Sequence, SequenceColumn, Side, Token, TokenColumn};
use attn_render::{ColorMode, View};

use crate::{Error, Study, trust};

/// The values of a head's points.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    pub(crate) label: String,
    pub(crate) kind: ColumnKind,
    pub(crate) values: Arc<Vec<f32>>,
}

impl Study {
    /// Adds a column of the user's own, for [`ColorMode::Value`], searches and filters. It replaces a column of the same name.
    ///
    /// # Errors
    /// Those of [`TokenColumn::check`].
    pub fn add_column(&mut self, column: TokenColumn) -> Result<(), Error> {
        column.check(self.capture())?;
        match self.columns.iter_mut().find(|other| other.name == column.name) {
            Some(other) => *other = column,
            None => self.columns.push(column),
        }
        Ok(())
    }

    /// Adds a column of sequences: every token has the value of its sequence.
    ///
    /// # Errors
    /// Those of [`SequenceColumn::to_tokens`].
    pub fn add_sequence_column(&mut self, column: &SequenceColumn) -> Result<(), Error> {
        self.add_column(column.to_tokens(self.capture())?)
    }

    /// The columns that were added, in their order.
    pub fn columns(&self) -> &[TokenColumn] {
        &self.columns
    }

    /// A column by its name, in any case.
    pub fn column(&self, name: &str) -> Option<&TokenColumn> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| {
            self.columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
        })
    }

    /// The column a view draws as [`ColorMode::Value`]: the one it names, else the first.
    fn drawn_column(&self, view: &View) -> Option<&TokenColumn> {
        self.column(&view.column).or_else(|| self.columns.first())
    }

    /// The colour modes that say something about this data: patches have rows and columns, words have punctuation.
    pub fn color_modes(&self) -> Vec<ColorMode> {
        let pictures = self.is_picture(0);
        let applies = |mode: &ColorMode| match mode {
            ColorMode::PatchRow | ColorMode::PatchColumn => pictures,
            ColorMode::TokenLength | ColorMode::TokenFrequency | ColorMode::Punctuation => !pictures,
            ColorMode::Value => !self.columns.is_empty(),
            _ => true,
        };
        ColorMode::ALL.into_iter().filter(applies).collect()
    }

    /// The values of a head's points in a view's mode; `None` where it says nothing.
    pub(crate) fn values(&self, head: HeadId, view: &View) -> Result<Option<Values>, Error> {
        let mode = view.color_mode;
        if mode == ColorMode::QueryKey || !self.color_modes().contains(&mode) {
            return Ok(None);
        }
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        let values = match mode {
            ColorMode::Norm => {
                let norms = |vectors: ndarray::ArrayView2<'_, f32>, side: Side| -> Vec<f32> {
                    let rows = self
                        .sequences()
                        .iter()
                        .flat_map(|&sequence| self.capture().rows(sequence, side));
                    rows.map(|row| vectors.row(row).iter().map(|x| x * x).sum::<f32>().sqrt())
                        .collect()
                };
                let mut values = norms(self.capture().queries(head)?.view(), query_side);
                values.extend(norms(self.capture().keys(head)?.view(), key_side));
                values
            }
            mode if trust::is_score(mode) => self.trust(head, mode)?.unwrap_or_default(),
            _ => {
                let mut values = self.per_token(query_side, view);
                values.extend(self.per_token(key_side, view));
                values
            }
        };
        let (label, kind) = match (mode, self.drawn_column(view)) {
            (ColorMode::Value, Some(column)) => (column.name.clone(), column.kind.clone()),
            (ColorMode::PositionMod5, _) => (
                "position mod 5".into(),
                ColumnKind::Categorical((0..5).map(|rest| rest.to_string()).collect()),
            ),
            (ColorMode::Punctuation, _) => (
                "kind of token".into(),
                ColumnKind::Categorical(["word", "punctuation", "special"].map(str::to_owned).into()),
            ),
            _ => (label(mode).into(), ColumnKind::Sequential),
        };
        Ok(Some(Values {
            label,
            kind,
            values: Arc::new(values),
        }))
    }

    /// A value per drawn token of a side.
    fn per_token(&self, side: Side, view: &View) -> Vec<f32> {
        let mode = view.color_mode;
        let all = self.capture().sequences();
        if let (ColorMode::Value, Some(column)) = (mode, self.drawn_column(view)) {
            let values = column.side(side);
            let rows = self
                .sequences()
                .iter()
                .flat_map(|&sequence| self.capture().rows(sequence, side));
            return rows
                .map(|row| values.get(row).map_or(f32::NAN, |value| *value as f32))
                .collect();
        }
        let mut counts: HashMap<&str, u32> = HashMap::new();
        if mode == ColorMode::TokenFrequency {
            // Of the whole data set, drawn or not.
            for token in all.iter().flat_map(|sequence| sequence.tokens(side)) {
                *counts.entry(&token.text).or_default() += 1;
            }
        }
        let value = |sequence: &Sequence, index: usize, token: &Token| {
            let length = sequence.tokens(side).len();
            match mode {
                ColorMode::Position => index as f32 / (length.max(2) - 1) as f32,
                ColorMode::PositionMod5 => (index % 5) as f32,
                ColorMode::TokenLength => token.text.trim_start_matches("##").chars().count() as f32,
                ColorMode::SequenceLength => length as f32,
                ColorMode::TokenFrequency => counts.get(token.text.as_str()).map_or(0.0, |n| (*n as f32).log10()),
                ColorMode::Punctuation => kind(token),
                ColorMode::PatchRow => token.patch.map_or(f32::NAN, |(row, _)| row as f32),
                ColorMode::PatchColumn => token.patch.map_or(f32::NAN, |(_, column)| column as f32),
                ColorMode::QueryKey
                | ColorMode::Norm
                | ColorMode::Trustworthiness
                | ColorMode::Continuity
                | ColorMode::NeighborsKept
                | ColorMode::Value => f32::NAN,
            }
        };
        let drawn = self.sequences().iter().map(|&sequence| &all[sequence]);
        let tokens = drawn.flat_map(|sequence| {
            let tokens = sequence.tokens(side).iter().enumerate();
            tokens.map(move |(index, token)| (sequence, index, token))
        });
        tokens
            .map(|(sequence, index, token)| value(sequence, index, token))
            .collect()
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

fn label(mode: ColorMode) -> &'static str {
    match mode {
        ColorMode::Position => "position in the sequence (0 first, 1 last)",
        ColorMode::Norm => "norm",
        ColorMode::TokenLength => "characters of the token",
        ColorMode::SequenceLength => "tokens of the sequence",
        ColorMode::TokenFrequency => "log₁₀ of occurrences",
        ColorMode::PatchRow => "row",
        ColorMode::PatchColumn => "column",
        ColorMode::Trustworthiness => "trustworthiness",
        ColorMode::Continuity => "continuity",
        ColorMode::NeighborsKept => "share of neighbours kept",
        ColorMode::PositionMod5 | ColorMode::Punctuation | ColorMode::QueryKey | ColorMode::Value => "value",
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
}
