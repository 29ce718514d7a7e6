//! Filters of drawn tokens. In any text a few words make up most of the tokens (Zipf 1949) and dominate every plot. A filter draws
//! some tokens of each spelling, or only tokens with certain values. Coordinates are those of the whole projection: no point moves.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::{HeadId, Rng, Side, TokenColumn};
use serde::{Deserialize, Serialize};

use crate::{Error, Study};

/// A choice of the tokens of a [`Study`] that are drawn. Default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenFilter {
    /// Limit of tokens per spelling and side, drawn at random with the seed of the projection. Default: no limit.
    pub at_most: Option<usize>,
    /// Per name of a column ([`TokenColumn`]): a token must have one of these values, in every column named.
    pub only: BTreeMap<String, BTreeSet<String>>,
}

/// A filter, and the rows that it leaves out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawn {
    filter: TokenFilter,
    /// Whether a row of a side is left out; empty if none is.
    encoder: Vec<bool>,
    decoder: Vec<bool>,
}

impl TokenFilter {
    /// Whether it draws all tokens.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Drawn {
    /// For captions: `at most 5 of each word; upos NOUN or VERB`, or `upos other than PUNCT` where that is shorter.
    pub(crate) fn describe(&self, columns: &[TokenColumn]) -> Option<String> {
        let most = self.filter.at_most.map(|most| format!("at most {most} of each word"));
        let only = self.filter.only.iter().map(|(name, values)| {
            let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let classes = column.map_or(&[][..], TokenColumn::classes).iter();
            let left_out: Vec<&str> = classes
                .filter(|class| !values.contains(*class))
                .map(String::as_str)
                .collect();
            if !left_out.is_empty() && left_out.len() < values.len() {
                return format!("{name} other than {}", left_out.join(" and "));
            }
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!("{name} {}", values.join(" or "))
        });
        let parts: Vec<String> = most.into_iter().chain(only).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Study {
    /// Sets which tokens are drawn as points, in all heads. A highlighted sequence is always drawn.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::AtlasParams;
    /// use attn_study::{Study, TokenFilter};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let mut study = Study::new(capture, &AtlasParams::default());
    /// study.set_filter(TokenFilter { at_most: Some(5), ..TokenFilter::default() })?;
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoColumn`] for a column that was not added.
    pub fn set_filter(&mut self, filter: TokenFilter) -> Result<(), Error> {
        let columns = self.filtered(&filter)?;
        let [encoder, decoder] = [Side::Encoder, Side::Decoder].map(|side| self.left_out(side, &filter, &columns));
        self.drawn = Drawn {
            filter,
            encoder,
            decoder,
        };
        self.forget_regions();
        Ok(())
    }

    /// Checks that a filter leaves something to draw: [`set_filter`](Self::set_filter) also takes those that leave nothing.
    ///
    /// # Errors
    /// [`Error::NoColumn`] for a column that was not added, [`Error::NoValue`] for a value that no token has,
    /// [`Error::NothingDrawn`] if no token has all of them.
    pub fn check_filter(&self, filter: &TokenFilter) -> Result<(), Error> {
        let columns = self.filtered(filter)?;
        for (column, values) in &columns {
            if let Some(value) = values.iter().find(|value| !has_value(column, value)) {
                return Err(Error::NoValue {
                    column: column.name.clone(),
                    value: value.clone(),
                    values: column.classes().to_vec(),
                });
            }
        }
        let sides = [Side::Encoder, Side::Decoder].map(|side| self.left_out(side, filter, &columns));
        if !filter.is_empty() && sides.iter().flatten().all(|out| *out) {
            return Err(Error::NothingDrawn);
        }
        Ok(())
    }

    /// The columns of a filter, with the values that are drawn.
    fn filtered<'a>(&'a self, filter: &'a TokenFilter) -> Result<Vec<(&'a TokenColumn, &'a BTreeSet<String>)>, Error> {
        let find = |(name, values): (&'a String, &'a BTreeSet<String>)| {
            let column = self.column(name).ok_or_else(|| Error::NoColumn {
                name: name.clone(),
                columns: self.columns().iter().map(|column| column.name.clone()).collect(),
            })?;
            Ok((column, values))
        };
        filter.only.iter().map(find).collect()
    }

    /// The filter of drawn tokens.
    pub fn filter(&self) -> &TokenFilter {
        &self.drawn.filter
    }

    /// Whether each row of a side is left out; empty if none is.
    fn left_out(&self, side: Side, filter: &TokenFilter, columns: &[(&TokenColumn, &BTreeSet<String>)]) -> Vec<bool> {
        if filter.is_empty() {
            return Vec::new();
        }
        let capture = self.capture();
        let mut out = vec![true; capture.tokens(side)];
        let mut spellings: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &sequence in self.sequences() {
            for (row, token) in capture
                .rows(sequence, side)
                .zip(capture.sequences()[sequence].tokens(side))
            {
                let fits = columns
                    .iter()
                    .all(|(column, values)| column.text(side, row).is_some_and(|own| values.contains(&own)));
                if fits {
                    spellings.entry(&token.text).or_default().push(row);
                }
            }
        }
        let most = filter.at_most.unwrap_or(usize::MAX);
        for (stream, rows) in spellings.into_values().enumerate() {
            if rows.len() <= most {
                rows.into_iter().for_each(|row| out[row] = false);
            } else {
                let drawn = Rng::new(self.params().seed, &[stream, side as usize]).sample(rows.len(), most);
                drawn.into_iter().for_each(|at| out[rows[at]] = false);
            }
        }
        out
    }

    /// Whether the filter leaves anything of a sequence.
    pub(crate) fn leaves_some_of(&self, sequence: usize) -> bool {
        let some = |side: Side, out: &[bool]| {
            let mut rows = self.capture().rows(sequence, side);
            rows.any(|row| !out.get(row).copied().unwrap_or(false))
        };
        some(Side::Encoder, &self.drawn.encoder) || some(Side::Decoder, &self.drawn.decoder)
    }

    /// Whether each point of a head is left out; empty if none is.
    pub(crate) fn hidden_points(&self, head: HeadId) -> Vec<bool> {
        if self.drawn.filter.is_empty() {
            return Vec::new();
        }
        let side = |side: Side| {
            let out = match side {
                Side::Encoder => &self.drawn.encoder,
                Side::Decoder => &self.drawn.decoder,
            };
            let rows = self
                .sequences()
                .iter()
                .flat_map(move |&sequence| self.capture().rows(sequence, side));
            rows.map(move |row| out.get(row).copied().unwrap_or(false))
        };
        side(head.attention.query_side())
            .chain(side(head.attention.key_side()))
            .collect()
    }
}

/// Whether any token has this value.
fn has_value(column: &TokenColumn, value: &str) -> bool {
    let is = |side: Side, row: usize| column.text(side, row).is_some_and(|own| own == value);
    (0..column.encoder.len()).any(|row| is(Side::Encoder, row))
        || (0..column.decoder.len()).any(|row| is(Side::Decoder, row))
}
