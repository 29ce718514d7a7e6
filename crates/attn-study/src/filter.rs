//! Which tokens are drawn. In any text a few words make up most of the tokens (Zipf 1949) and own every picture; a filter draws some
//! of each, or only tokens of certain values. Places are those of the whole projection: nothing moves.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::Rng;
use attn_core::{HeadId, Side};
use serde::{Deserialize, Serialize};

use crate::{Column, Error, Study};

/// Which tokens of a [`Study`] are drawn. Default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenFilter {
    /// At most so many tokens of each spelling and side, drawn at random with the seed of the projection. Default: no limit.
    pub at_most: Option<usize>,
    /// Per name of a [`Column`]: a token must have one of these values, in every column named.
    pub only: BTreeMap<String, BTreeSet<String>>,
}

/// What is drawn: a filter, and what it leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawn {
    filter: TokenFilter,
    /// Whether a row of a side is left out; empty if none is.
    encoder: Vec<bool>,
    decoder: Vec<bool>,
}

impl TokenFilter {
    /// Whether it leaves all tokens.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Drawn {
    /// For people: `at most 5 of each word; upos NOUN or VERB`, or `upos other than PUNCT` where that is shorter.
    pub(crate) fn describe(&self, columns: &[Column]) -> Option<String> {
        let most = self.filter.at_most.map(|most| format!("at most {most} of each word"));
        let only = self.filter.only.iter().map(|(name, values)| {
            let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let classes = column.map_or(&[][..], Column::classes).iter();
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
    /// Says which tokens are drawn as points, in all heads; a sequence that is brought out is always drawn.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::AtlasParams;
    /// use attn_study::{Study, TokenFilter};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let mut study = Study::new(capture, &AtlasParams::default())?;
    /// study.set_filter(TokenFilter { at_most: Some(5), ..TokenFilter::default() })?;
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoColumn`] for a column that was not brought.
    pub fn set_filter(&mut self, filter: TokenFilter) -> Result<(), Error> {
        let mut columns = Vec::new();
        for (name, values) in &filter.only {
            let column = self.column(name).ok_or_else(|| Error::NoColumn {
                name: name.clone(),
                columns: self.columns().iter().map(|column| column.name.clone()).collect(),
            })?;
            columns.push((column, values));
        }
        let [encoder, decoder] = [Side::Encoder, Side::Decoder].map(|side| self.left_out(side, &filter, &columns));
        self.drawn = Drawn {
            filter,
            encoder,
            decoder,
        };
        Ok(())
    }

    /// Which tokens are drawn.
    pub fn filter(&self) -> &TokenFilter {
        &self.drawn.filter
    }

    /// Whether each row of a side is left out; empty if none is.
    fn left_out(&self, side: Side, filter: &TokenFilter, columns: &[(&Column, &BTreeSet<String>)]) -> Vec<bool> {
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
                let fits = columns.iter().all(|(column, values)| {
                    let own = column.side(side).get(row).and_then(|own| column.text(*own));
                    own.is_some_and(|own| values.contains(&own))
                });
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
