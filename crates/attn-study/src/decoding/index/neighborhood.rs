//! The neighbors of every state of a run, and its places on the map: what a saved run keeps of an index.

use std::collections::BTreeSet;

use attn_core::table::Table;
use serde::{Deserialize, Serialize};

use super::{Pair, StateKind};
use crate::{
    Error,
    decoding::{Decoding, TokenRow},
};

/// What is asked of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NeighborhoodParams {
    /// Neighbors that are compared with each prediction, of other sources than that of the run; at least 1. Default 100.
    pub neighbors: usize,
    /// At most so many of them, the nearest, are kept and drawn; those of the run's own source among them are kept beside. Default 20.
    pub kept: usize,
    /// Compares with all states instead of searching. Default: no.
    pub exact: bool,
}

impl Default for NeighborhoodParams {
    fn default() -> Self {
        Self {
            neighbors: 100,
            kept: 20,
            exact: false,
        }
    }
}

/// A pair of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedPair {
    /// The line of its file, counted from 1.
    pub line: usize,
    /// The source.
    pub source: String,
    /// The target.
    pub target: String,
    /// Readable tokens of the source.
    pub source_tokens: Vec<String>,
    /// Readable tokens of the target, its end included.
    pub target_tokens: Vec<String>,
}

/// A line of `pairs.jsonl`: an [`IndexedPair`], and [`Ids`] beside it.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pair: IndexedPair,
    source_ids: Vec<u32>,
    target_ids: Vec<u32>,
}

/// What of a line is compared. Its texts of tokens, which are most of it, are read for the few pairs that are shown.
#[derive(Debug, Deserialize)]
pub(super) struct Ids {
    pub(super) source: String,
    source_ids: Vec<u32>,
    pub(super) target_ids: Vec<u32>,
}

impl Record {
    pub(super) fn new(pair: &Pair, source: &TokenRow, target: &TokenRow) -> Self {
        Self {
            pair: IndexedPair {
                line: pair.line,
                source: pair.source.clone(),
                target: pair.target.clone(),
                source_tokens: source.tokens.clone(),
                target_tokens: target.tokens.clone(),
            },
            source_ids: source.ids.clone(),
            target_ids: target.ids.clone(),
        }
    }
}

impl Ids {
    pub(super) fn of(&self, kind: StateKind) -> &[u32] {
        match kind {
            StateKind::Encoder => &self.source_ids,
            _ => &self.target_ids,
        }
    }
}

/// A state of an index near one of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its pair, as a number in [`Neighborhood::pairs`].
    pub pair: usize,
    /// The matched token: of the source for a state of the encoder, else the target token that the state predicts.
    pub token: usize,
    /// `1 - cos`.
    pub distance: f32,
    /// Equal states that it stands for, itself included: of the same text up to the token.
    pub copies: usize,
    /// Whether its source is that of the run.
    pub own: bool,
    /// Whether its token is that of the run.
    pub agrees: bool,
    /// Its place on the map.
    pub place: Option<[f32; 2]>,
}

/// The neighbors of one state of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateNeighbors {
    /// The kind of the state.
    pub kind: StateKind,
    /// Its token: of the source for a state of the encoder, else the target token that the state predicts.
    pub token: usize,
    /// Its place on the map.
    pub place: Option<[f32; 2]>,
    /// How many neighbors were compared with the token, all of other sources: as many as were asked for, unless the index has fewer.
    pub compared: usize,
    /// How many of them have the same token.
    pub agreeing: usize,
    /// The nearest, nearest first.
    pub neighbors: Vec<Neighbor>,
}

/// What an index says of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighborhood {
    /// The hypothesis whose states these are.
    pub hypothesis: usize,
    /// A digest of what the index holds: maps of the same index can be laid over each other.
    pub index: String,
    /// Pairs and states of the index.
    pub size: (usize, usize),
    /// The least recall of its searches; 1 for an exact one.
    pub recall: f32,
    /// The projection of the map, and the states it was fitted on; `None` without a map.
    pub map: Option<(String, usize)>,
    /// Some states of the map, to draw behind: their places.
    pub background: Vec<[f32; 2]>,
    /// Pairs of the neighbors.
    pub pairs: Vec<IndexedPair>,
    /// A list per state: encoder, decoder, context, token by token.
    pub states: Vec<StateNeighbors>,
}

impl Neighborhood {
    /// The neighbors of a state.
    pub fn of(&self, kind: StateKind, token: usize) -> Option<&StateNeighbors> {
        self.states.iter().find(|own| (own.kind, own.token) == (kind, token))
    }

    /// The text of a neighbor's token, or of one before or after it (offset -1, 1); `None` beyond the ends.
    pub fn token(&self, kind: StateKind, neighbor: &Neighbor, offset: isize) -> Option<&str> {
        let pair = self.pairs.get(neighbor.pair)?;
        let tokens = match kind {
            StateKind::Encoder => &pair.source_tokens,
            _ => &pair.target_tokens,
        };
        let at = neighbor.token.checked_add_signed(offset)?;
        tokens.get(at).map(String::as_str)
    }

    /// Every neighbor once, however many states it is near to: those with a place, in the order in which plots draw them.
    pub fn drawn(&self) -> Vec<(StateKind, &Neighbor)> {
        let mut seen = BTreeSet::new();
        let all = self
            .states
            .iter()
            .flat_map(|own| own.neighbors.iter().map(|found| (own.kind, found)));
        all.filter(|(kind, found)| found.place.is_some() && seen.insert((*kind, found.pair, found.token)))
            .collect()
    }

    /// A row per neighbor of every state.
    pub fn table(&self, decoding: &Decoding) -> Table {
        let all = self
            .states
            .iter()
            .flat_map(|own| (1_usize..).zip(&own.neighbors).map(move |found| (own, found)));
        let rows: Vec<_> = all.collect();
        let target = decoding.hypotheses.get(self.hypothesis).map(|found| &found.row);
        let text = |own: &StateNeighbors| {
            let row = if own.kind == StateKind::Encoder {
                Some(&decoding.source)
            } else {
                target
            };
            row.and_then(|row| row.tokens.get(own.token))
                .cloned()
                .unwrap_or_default()
        };
        let pair = |row: usize| self.pairs.get(rows[row].1.1.pair);
        let token = |row: usize, offset: isize| {
            let (own, (_, found)) = rows[row];
            self.token(own.kind, found, offset).unwrap_or_default().to_owned()
        };
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let mut table = Table::new(rows.len());
        table
            .texts("state", |row| rows[row].0.kind.name())
            .numbers("token", |row| rows[row].0.token + 1)
            .texts("text", |row| text(rows[row].0))
            .numbers("compared", |row| rows[row].0.compared)
            .numbers("agreeing", |row| rows[row].0.agreeing)
            .numbers("rank", |row| rows[row].1.0)
            .numbers("distance", |row| rows[row].1.1.distance)
            .numbers("line", |row| pair(row).map_or(0, |pair| pair.line))
            .texts("source", |row| pair(row).map_or("", |pair| &pair.source))
            .texts("target", |row| pair(row).map_or("", |pair| &pair.target))
            .numbers("matched token", |row| rows[row].1.1.token + 1)
            .texts("before (-1)", |row| token(row, -1))
            .texts("matched (0)", |row| token(row, 0))
            .texts("after (+1)", |row| token(row, 1))
            .numbers("copies", |row| rows[row].1.1.copies)
            .texts("own sentence", |row| yes(rows[row].1.1.own))
            .texts("agrees", |row| yes(rows[row].1.1.agrees));
        table
    }

    /// Refuses numbers of pairs that are not there, as a file may hold them.
    pub(in crate::decoding) fn check(&self) -> Result<(), Error> {
        let all = self.states.iter().flat_map(|own| &own.neighbors);
        match all.map(|neighbor| neighbor.pair).find(|pair| *pair >= self.pairs.len()) {
            Some(pair) => Err(Error::Shape {
                what: "pairs of neighbors",
                expected: format!("a number below {}", self.pairs.len()),
                found: pair.to_string(),
            }),
            None => Ok(()),
        }
    }
}
