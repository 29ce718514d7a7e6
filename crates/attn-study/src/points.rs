//! Points and their tokens: the points of a head are the queries of the drawn sequences, then their keys.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use attn_core::{Attention, HeadId, Side, Token};
use attn_render::{
    Matches,
    plots::{Texts, TokenOrigin},
    search,
};

use crate::Study;

/// A token that is a point: which sequence, which token in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the sequence in the capture.
    pub sequence: usize,
    /// The side it is read on.
    pub side: Side,
    /// Index of the token in its sequence.
    pub token: usize,
    /// Whether the point is its query; else its key.
    pub query: bool,
}

/// The texts of points, which heads of one kind of attention have in common.
#[derive(Debug, Default)]
pub(crate) struct Labels(Mutex<Known>);

#[derive(Debug, Default, Clone)]
struct Known {
    texts: BTreeMap<Attention, Texts>,
    origins: BTreeMap<Attention, Arc<[TokenOrigin]>>,
}

impl Clone for Labels {
    fn clone(&self) -> Self {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self(Mutex::new(known))
    }
}

impl Study {
    /// The token behind a point of a head's plot; `None` if there is no such point.
    pub fn place(&self, head: HeadId, point: u32) -> Option<Place> {
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        let queries = self.points_before(query_side, self.sequences().len());
        let point = point as usize;
        let (side, row, query) = if point < queries {
            (query_side, point, true)
        } else {
            (key_side, point - queries, false)
        };
        let mut start = 0;
        for &sequence in self.sequences() {
            let length = self.capture().sequences()[sequence].tokens(side).len();
            if row < start + length {
                return Some(Place {
                    sequence,
                    side,
                    token: row - start,
                    query,
                });
            }
            start += length;
        }
        None
    }

    /// The token at a place; `None` if there is none.
    pub fn token(&self, place: Place) -> Option<&Token> {
        let sequence = self.capture().sequences().get(place.sequence)?;
        sequence.tokens(place.side).get(place.token)
    }

    /// The points of a sequence in a head's plot: of its queries, of its keys. Empty if it is not drawn.
    pub(crate) fn points_of(&self, head: HeadId, sequence: usize) -> (Vec<u32>, Vec<u32>) {
        let Ok(index) = self.sequences().binary_search(&sequence) else {
            return (Vec::new(), Vec::new());
        };
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        let all_queries = self.points_before(query_side, self.sequences().len());
        let range = |side, offset: usize| {
            let start = offset + self.points_before(side, index);
            let end = start + self.capture().sequences()[sequence].tokens(side).len();
            (start..end).filter_map(|point| u32::try_from(point).ok()).collect()
        };
        (range(query_side, 0), range(key_side, all_queries))
    }

    /// Tokens on one side of the first `count` drawn sequences.
    pub(crate) fn points_before(&self, side: Side, count: usize) -> usize {
        self.sequences()[..count]
            .iter()
            .map(|&sequence| self.capture().sequences()[sequence].tokens(side).len())
            .sum()
    }

    /// The point of a sequence's first query in a head's plot: the point to select to highlight the sequence. `None` if it is not
    /// drawn.
    pub fn point(&self, head: HeadId, sequence: usize) -> Option<u32> {
        self.points_of(head, sequence).0.first().copied()
    }

    /// A label per point of a head: the token's text; special tokens and patches have theirs too.
    pub fn labels(&self, head: HeadId) -> Texts {
        let mut known = self.labels.0.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = known.texts.entry(head.attention).or_insert_with(|| {
            let side = |side: Side| {
                self.sequences()
                    .iter()
                    .flat_map(move |&sequence| self.capture().sequences()[sequence].tokens(side))
            };
            side(head.attention.query_side())
                .chain(side(head.attention.key_side()))
                .map(|token| token.text.as_str())
                .collect()
        });
        texts.clone()
    }

    /// The searched text per point: the tokens' texts; for `column=value`, with the name of a column, the
    /// search itself where the column has that value, in any case.
    pub(crate) fn searched(&self, head: HeadId, text: &str) -> Texts {
        // The name of a column may hold an equals sign, and so may a value: the longest name that is a column.
        let asked = text.rmatch_indices('=').find_map(|(at, _)| {
            let column = self.column(text[..at].trim())?;
            Some((column, text[at + 1..].trim()))
        });
        let Some((column, value)) = asked else {
            return match self.is_image(0) && !text.is_empty() {
                true => self.classes_of(head),
                false => self.labels(head),
            };
        };
        let found = |side: Side| {
            let rows = self
                .sequences()
                .iter()
                .flat_map(move |&sequence| self.capture().rows(sequence, side));
            rows.map(move |row| {
                let own = column.text(side, row);
                let same = own.is_some_and(|own| own.to_lowercase() == value.to_lowercase());
                if same { text.to_owned() } else { String::new() }
            })
        };
        found(head.attention.query_side())
            .chain(found(head.attention.key_side()))
            .collect()
    }

    /// What a search looks in where tokens are patches: the classes that columns give them, such as the labels of images. Texts
    /// of patches say nothing that anyone looks for.
    fn classes_of(&self, head: HeadId) -> Texts {
        let columns = || self.columns().iter().filter(|column| !column.classes().is_empty());
        if columns().next().is_none() {
            return self.labels(head);
        }
        let of = |side: Side| {
            self.drawn_rows(side).map(move |row| {
                let classes: Vec<String> = columns().filter_map(|column| column.text(side, row)).collect();
                classes.join("; ")
            })
        };
        of(head.attention.query_side())
            .chain(of(head.attention.key_side()))
            .collect()
    }

    /// The token of every point of a head, for tables.
    pub(crate) fn origins(&self, head: HeadId) -> Arc<[TokenOrigin]> {
        let mut known = self.labels.0.lock().unwrap_or_else(PoisonError::into_inner);
        let origins = known
            .origins
            .entry(head.attention)
            .or_insert_with(|| self.origins_of(head));
        origins.clone()
    }

    fn origins_of(&self, head: HeadId) -> Arc<[TokenOrigin]> {
        let names: Vec<Arc<str>> = self
            .capture()
            .sequences()
            .iter()
            .map(|sequence| sequence.name.as_str().into())
            .collect();
        let origin = |place: Place| {
            Some(TokenOrigin {
                sequence: names.get(place.sequence)?.clone(),
                position: u32::try_from(place.token).ok()?,
                token: self.token(place)?.id,
            })
        };
        self.places(head).into_iter().filter_map(origin).collect()
    }

    /// Search matches among a head's points: tokens whose text contains `text` (or is the word in double quotes: see
    /// [`attn_render::search`]), or, for `column=value` with the name of a column, those with that value. Patches are found by
    /// the classes that columns give them.
    pub fn matches(&self, head: HeadId, text: &str) -> Matches {
        if text.is_empty() {
            return Matches::default();
        }
        let texts = self.searched(head, text);
        let queries = self.points_before(head.attention.query_side(), self.sequences().len());
        search(text, &texts, queries)
    }

    pub(crate) fn main_side(&self) -> Side {
        self.capture()
            .model()
            .attentions
            .first()
            .map_or(Side::Encoder, |info| info.attention.query_side())
    }
}
