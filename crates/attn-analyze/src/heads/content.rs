//! How much of a head's attention follows from *which* tokens query and key are, beyond where they stand: the mark of a
//! head that reads meaning.
//!
//! Three guesses of a row are compared, each a choice model (Luce) over the keys it sees: `p(key) ∝ g(offset)`, then
//! `g(offset) · k(key's token)`, then `g(offset) · k(key's token) · w(query's token, key's token)`. The score is the share of
//! what rows say beyond uniform, in bits, that the two factors of tokens add to the offset. They are fitted on one half
//! of the sequences and judged on the other, both ways round, so that pairs learnt by heart count for nothing; dealing the
//! tokens anew to their positions shows what is left by accident.
//!
//! Only ordinary tokens count, the query's own excepted: attention to special tokens and to oneself has measures of its
//! own. Rows are renormalised over them and weigh as much as the attention that is left there.

use std::{collections::HashMap, ops::Range};

use attn_core::{Capture, HeadId, Progress, Token};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    relation::visible,
    score::{Example, HeadScores, Measure, Score},
    scoring::{ScoreOptions, attention, mask, sample_sequences, tokens},
};
use crate::{
    Error,
    rng::Rng,
    steps::{Steps, gather},
};

/// Rows of attention by which a factor is pulled to 1: what was seen once is hardly believed.
const PRIOR: f64 = 0.5;
/// Rounds in which the factor of offsets is fitted; the first does most.
const ROUNDS: usize = 8;
/// A pair is named if it was seen in so many rows.
const SEEN: u32 = 3;
/// Pairs that are named.
const NAMED: usize = 8;

/// A query's token and a key's token that belong together for a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenPair {
    /// Text of the query's token.
    pub query: String,
    /// Text of the key's token.
    pub key: String,
    /// Mean share of attention among ordinary tokens that the key gets from the query.
    pub attention: f64,
    /// What the offset between them would give it.
    pub expected: f64,
    /// Rows in which both were there.
    pub rows: u32,
}

/// What tokens explain of one head's attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadContent {
    /// The head.
    pub head: HeadId,
    /// [`Measure::Content`], with the permuted tokens' share beside it.
    pub score: Score,
    /// The pairs that say most, strongest first; at most eight.
    pub pairs: Vec<TokenPair>,
}

impl HeadContent {
    /// The score alone, to join others by [`HeadScores::extend`].
    pub fn scores(&self) -> HeadScores {
        HeadScores {
            head: self.head,
            scores: [(Measure::Content, self.score.clone())].into(),
        }
    }
}

/// What the tokens of query and key explain of every head's attention beyond their offset; heads for which nothing can
/// be said (patches, a single sequence, no choice between ordinary tokens) are left out.
///
/// Time is that of computing the attention of the sampled sequences once; memory, per thread, that of one head's attention
/// over them, so a sample of some hundred sequences is usual.
///
/// # Errors
/// As [`score_heads`](super::score_heads).
pub fn content_scores(
    capture: &Capture,
    options: &ScoreOptions,
    progress: &dyn Progress,
) -> Result<Vec<HeadContent>, Error> {
    let sequences = sample_sequences(capture, options.max_sequences, options.seed)?;
    let heads: Vec<HeadId> = capture.model().heads().collect();
    let steps = Steps::new(progress, "token pairs", heads.len())?;
    let results = heads
        .par_iter()
        .map(|&head| {
            let rows = Rows::read(capture, head, &sequences, options.seed)?;
            steps.add()?;
            Ok(rows.score(capture))
        })
        .collect();
    Ok(gather(results)?.into_iter().flatten().collect())
}

/// One row over the ordinary tokens that its query sees.
struct Row {
    sequence: usize,
    query: usize,
    /// Attention that goes to ordinary tokens.
    mass: f64,
    /// Into [`Rows::cells`].
    cells: Range<usize>,
}

/// One key of a row.
struct Cell {
    key: usize,
    /// Its share of the row's attention to ordinary tokens.
    share: f64,
    /// Distance from the query, shifted to begin with 0.
    offset: usize,
    /// What the tokens of query and key are, and what a permutation puts into their places.
    tokens: [(u32, u32); 2],
}

/// The rows of one head.
struct Rows {
    head: HeadId,
    rows: Vec<Row>,
    cells: Vec<Cell>,
    /// Number of different offsets.
    offsets: usize,
    names: Names,
}

/// Texts of tokens, numbered.
#[derive(Default)]
struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, token: &Token) -> u32 {
        if let Some(&number) = self.numbers.get(&token.text) {
            return number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(token.text.clone());
        self.numbers.insert(token.text.clone(), number);
        number
    }
}

impl Rows {
    fn read(capture: &Capture, head: HeadId, sequences: &[usize], seed: u64) -> Result<Self, Error> {
        let within = head.attention.query_side() == head.attention.key_side();
        let mask = mask(capture, head);
        let mut read = Self {
            head,
            rows: Vec::new(),
            cells: Vec::new(),
            offsets: 0,
            names: Names::default(),
        };
        let longest = |sequence: &usize| tokens(capture, head.attention, *sequence).0.len();
        let shift = sequences.iter().map(longest).max().unwrap_or(0);
        for &sequence in sequences {
            let (queries, keys) = tokens(capture, head.attention, sequence);
            if queries.iter().chain(keys).any(|token| token.patch.is_some()) {
                continue;
            }
            let number =
                |names: &mut Names, tokens: &[Token]| tokens.iter().map(|t| names.number(t)).collect::<Vec<_>>();
            let of_queries = number(&mut read.names, queries);
            let of_keys = number(&mut read.names, keys);
            let dealt_keys = deal(keys, &of_keys, &mut Rng::new(seed, &[sequence]));
            let dealt_queries = if within { &dealt_keys } else { &of_queries };
            let weights = attention(capture, head, sequence)?;
            for query in (0..queries.len()).filter(|&query| !queries[query].special) {
                let ordinary =
                    visible(mask, query, keys.len()).filter(|&key| !keys[key].special && !(within && key == query));
                let ordinary: Vec<usize> = ordinary.collect();
                let mass: f64 = ordinary.iter().map(|&key| f64::from(weights[[query, key]])).sum();
                if ordinary.len() < 2 || mass <= 0.0 {
                    continue;
                }
                let start = read.cells.len();
                read.cells.extend(ordinary.into_iter().map(|key| Cell {
                    key,
                    share: f64::from(weights[[query, key]]) / mass,
                    offset: shift + key - query,
                    tokens: [
                        (of_queries[query], of_keys[key]),
                        (dealt_queries[query], dealt_keys[key]),
                    ],
                }));
                read.rows.push(Row {
                    sequence,
                    query,
                    mass,
                    cells: start..read.cells.len(),
                });
            }
        }
        read.offsets = read.cells.iter().map(|cell| cell.offset + 1).max().unwrap_or(0);
        Ok(read)
    }

    fn score(&self, capture: &Capture) -> Option<HeadContent> {
        let halves = [0, 1].map(|half| self.half(half));
        if halves.iter().any(Vec::is_empty) {
            return None;
        }
        let information: f64 = self.rows.iter().map(|row| row.mass * self.information(row)).sum();
        let share = |dealt: usize| {
            let gained: f64 = [(0, 1), (1, 0)]
                .into_iter()
                .map(|(fitted, judged)| {
                    let factors = Factors::fit(self, &halves[fitted], dealt);
                    let gain = |row: &&Row| row.mass * factors.gain(self, row);
                    halves[judged].iter().map(gain).sum::<f64>()
                })
                .sum();
            if information > 1e-6 {
                (gained / information).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        let all: Vec<&Row> = self.rows.iter().collect();
        let (pairs, example) = self.pairs(&Factors::fit(self, &all, 0), capture);
        Some(HeadContent {
            head: self.head,
            score: Score {
                value: share(0),
                chance: 0.0,
                permuted: Some(share(1)),
                rows: self.rows.len(),
                example,
            },
            pairs,
        })
    }

    /// The rows of every second sequence.
    fn half(&self, half: usize) -> Vec<&Row> {
        let (mut index, mut last) = (0, None);
        let mut belongs = |row: &&Row| {
            if last.is_some_and(|last| last != row.sequence) {
                index += 1;
            }
            last = Some(row.sequence);
            index % 2 == half
        };
        self.rows.iter().filter(|row| belongs(row)).collect()
    }

    fn cells(&self, row: &Row) -> &[Cell] {
        &self.cells[row.cells.clone()]
    }

    /// Bits that a row says beyond uniform.
    fn information(&self, row: &Row) -> f64 {
        let cells = self.cells(row);
        let said = cells
            .iter()
            .filter(|cell| cell.share > 0.0)
            .map(|cell| cell.share * cell.share.log2());
        (cells.len() as f64).log2() + said.sum::<f64>()
    }

    /// The pairs that say most beyond their offset, and the most telling cell of the first.
    fn pairs(&self, factors: &Factors, capture: &Capture) -> (Vec<TokenPair>, Option<Example>) {
        #[derive(Default)]
        struct Sums {
            attention: f64,
            expected: f64,
            rows: u32,
            strongest: Option<(usize, usize, usize, f64)>,
        }
        let mut pairs: HashMap<(u32, u32), Sums> = HashMap::new();
        for row in &self.rows {
            let cells = self.cells(row);
            for (cell, expected) in cells.iter().zip(factors.offset_shares(cells)) {
                let sums = pairs.entry(cell.tokens[0]).or_default();
                sums.attention += cell.share;
                sums.expected += expected;
                sums.rows += 1;
                let weight = cell.share * row.mass;
                if sums.strongest.is_none_or(|(.., most)| weight > most) {
                    sums.strongest = Some((row.sequence, row.query, cell.key, weight));
                }
            }
        }
        // Frequent pairs are surer, rare ones more telling: a mean over rows times the root of their number.
        let bits = |sums: &Sums| {
            let ratio = (sums.attention + PRIOR) / (sums.expected + PRIOR);
            sums.attention * ratio.log2() / f64::from(sums.rows).sqrt()
        };
        let mut ranked: Vec<((u32, u32), Sums)> = pairs
            .into_iter()
            .filter(|(_, sums)| sums.rows >= SEEN && sums.attention > sums.expected)
            .collect();
        ranked.sort_by(|a, b| bits(&b.1).total_cmp(&bits(&a.1)).then(a.0.cmp(&b.0)));
        ranked.truncate(NAMED);
        let text = |number: u32| self.names.texts.get(number as usize).cloned().unwrap_or_default();
        let example = ranked.first().and_then(|((query_kind, key_kind), sums)| {
            let (sequence, query, key, _) = sums.strongest?;
            let weight = attention(capture, self.head, sequence)
                .ok()?
                .get([query, key])
                .copied()?;
            Some(Example {
                sequence,
                query,
                key,
                query_text: text(*query_kind),
                key_text: text(*key_kind),
                weight,
            })
        });
        let pair = |((query, key), sums): ((u32, u32), Sums)| TokenPair {
            query: text(query),
            key: text(key),
            attention: sums.attention / f64::from(sums.rows),
            expected: sums.expected / f64::from(sums.rows),
            rows: sums.rows,
        };
        (ranked.into_iter().map(pair).collect(), example)
    }
}

/// The ordinary tokens of a sequence dealt anew to their places; special ones stay.
fn deal(tokens: &[Token], numbers: &[u32], rng: &mut Rng) -> Vec<u32> {
    let places: Vec<usize> = (0..tokens.len()).filter(|&place| !tokens[place].special).collect();
    let mut from = places.clone();
    rng.shuffle(&mut from);
    let mut dealt = numbers.to_vec();
    for (place, from) in places.into_iter().zip(from) {
        dealt[place] = numbers[from];
    }
    dealt
}

/// The factors of the three guesses.
struct Factors {
    offset: Vec<f64>,
    key: HashMap<u32, f64>,
    pair: HashMap<(u32, u32), f64>,
    /// Which tokens: the true ones (0) or the permuted (1).
    dealt: usize,
}

impl Factors {
    fn fit(all: &Rows, rows: &[&Row], dealt: usize) -> Self {
        let mut factors = Self {
            offset: vec![1.0; all.offsets],
            key: HashMap::new(),
            pair: HashMap::new(),
            dealt,
        };
        // Each step multiplies a factor by attention found over attention guessed (MM, Hunter 2004).
        for _ in 0..ROUNDS {
            let mut sums = vec![[0.0; 2]; all.offsets];
            for row in rows {
                let cells = all.cells(row);
                for (cell, guess) in cells.iter().zip(factors.offset_shares(cells)) {
                    sums[cell.offset][0] += row.mass * cell.share;
                    sums[cell.offset][1] += row.mass * guess;
                }
            }
            for (factor, [found, guessed]) in factors.offset.iter_mut().zip(sums) {
                *factor *= (found + 1e-9) / (guessed + 1e-9);
            }
        }
        let ratio = |[found, guessed]: [f64; 2]| (found + PRIOR) / (guessed + PRIOR);
        let mut keys: HashMap<u32, [f64; 2]> = HashMap::new();
        for row in rows {
            let cells = all.cells(row);
            for (cell, guess) in cells.iter().zip(factors.offset_shares(cells)) {
                let sums = keys.entry(cell.tokens[dealt].1).or_default();
                sums[0] += row.mass * cell.share;
                sums[1] += row.mass * guess;
            }
        }
        factors.key = keys.into_iter().map(|(key, sums)| (key, ratio(sums))).collect();
        let mut pairs: HashMap<(u32, u32), [f64; 2]> = HashMap::new();
        for row in rows {
            let cells = all.cells(row);
            for (cell, guess) in cells.iter().zip(factors.shares(cells)) {
                let sums = pairs.entry(cell.tokens[dealt]).or_default();
                sums[0] += row.mass * cell.share;
                sums[1] += row.mass * guess;
            }
        }
        factors.pair = pairs.into_iter().map(|(pair, sums)| (pair, ratio(sums))).collect();
        factors
    }

    /// The guess by offset alone.
    fn offset_shares(&self, cells: &[Cell]) -> Vec<f64> {
        normalised(cells.iter().map(|cell| self.offset[cell.offset]).collect())
    }

    /// The guess by everything fitted so far.
    fn shares(&self, cells: &[Cell]) -> Vec<f64> {
        let factor = |cell: &Cell| {
            let pair = cell.tokens[self.dealt];
            let key = self.key.get(&pair.1).copied().unwrap_or(1.0);
            self.offset[cell.offset] * key * self.pair.get(&pair).copied().unwrap_or(1.0)
        };
        normalised(cells.iter().map(factor).collect())
    }

    /// Bits by which the tokens improve the guess of a row.
    fn gain(&self, all: &Rows, row: &Row) -> f64 {
        let cells = all.cells(row);
        let (offset, tokens) = (self.offset_shares(cells), self.shares(cells));
        let said = cells
            .iter()
            .zip(offset)
            .zip(tokens)
            .filter(|((cell, _), _)| cell.share > 0.0);
        said.map(|((cell, before), after)| cell.share * (after.max(1e-12) / before.max(1e-12)).log2())
            .sum()
    }
}

fn normalised(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    let count = values.len() as f64;
    for value in &mut values {
        *value = if sum > 0.0 { *value / sum } else { 1.0 / count };
    }
    values
}
