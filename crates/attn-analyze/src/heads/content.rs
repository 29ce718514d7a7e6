//! Content scores: how much of a head's attention the classes of query and key explain, beyond their offset. Classes are
//! those of a [`TokenColumn`]: the token's text, its part of speech, the hue of a patch.
//!
//! Three guesses of a row are compared, each a choice model (Luce) over the keys it sees: `p(key) ∝ g(offset)`, then
//! `g(offset) · k(key's class)`, then `g(offset) · k(key's class) · w(query's class, key's class)`. The score is the share of
//! what rows say beyond uniform, in bits, that the two factors of classes add to the offset. They are fitted on one half
//! of the sequences and judged on the other, and vice versa, so that memorized pairs count for nothing. Permuted classes give
//! the chance level.
//!
//! Only tokens with a class count, without the query's own: attention to special tokens and to oneself has scores of its
//! own. Rows are renormalized over them and weigh as much as the attention they hold.

use std::{collections::HashMap, ops::Range};

use attn_core::{Capture, HeadId, Progress, Side, TokenColumn};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    score::{Example, HeadScores, Score, ScoreId},
    scoring::{ScoreParams, attention, mask, sample_sequences, tokens},
};
use crate::{
    Error, Rng,
    steps::{Steps, gather},
};

/// Rows of attention that pull a factor to 1: a pair seen once hardly counts.
const PRIOR: f64 = 0.5;
/// Rounds in which the factor of offsets is fitted; the first does most.
const ROUNDS: usize = 8;
/// Fewest rows of a named pair.
const SEEN: u32 = 3;
/// Limit of named pairs.
const NAMED: usize = 8;

/// A class of queries and a class of keys that a head connects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassPair {
    /// Class of the query.
    pub query: String,
    /// Class of the key.
    pub key: String,
    /// Mean share of attention that the key gets from the query, among tokens that have a class.
    pub attention: f64,
    /// The share that their offset alone predicts.
    pub expected: f64,
    /// Number of rows with both.
    pub count: u32,
}

/// Share of one head's attention that a column explains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadContent {
    /// The head.
    pub head: HeadId,
    /// Name of the column.
    pub attribute: String,
    /// [`ScoreId::CONTENT`], with the permuted classes' share beside it.
    pub score: Score,
    /// The pairs that explain most, strongest first; at most eight.
    pub pairs: Vec<ClassPair>,
}

impl HeadContent {
    /// The score alone, to join others by [`HeadScores::extend`].
    pub fn scores(&self) -> HeadScores {
        HeadScores {
            head: self.head,
            scores: [(ScoreId::CONTENT, self.score.clone())].into(),
        }
    }
}

/// Share of every head's attention that the classes of query and key explain beyond their offset. Heads without a choice
/// between tokens with a class, and captures of a single sequence, are left out.
///
/// Time is that of computing the attention of the sampled sequences once; memory, per thread, that of one head's attention
/// over them, so a sample of some hundred sequences is usual.
///
/// # Errors
/// Those of [`TokenColumn::check`] and [`score_heads`](super::score_heads).
///
/// ```no_run
/// use attn_analyze::heads::{ScoreParams, content_scores};
/// use attn_core::{Capture, TokenColumn};
///
/// let capture = Capture::open("capture")?;
/// let texts = TokenColumn::of_tokens(&capture);
/// for head in content_scores(&capture, &texts, &ScoreParams::default(), &())? {
///     println!("{}: {:.2}", head.head, head.score.value);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn content_scores(
    capture: &Capture,
    column: &TokenColumn,
    params: &ScoreParams,
    progress: &dyn Progress,
) -> Result<Vec<HeadContent>, Error> {
    column.check(capture)?;
    let classes = Classes::new(column);
    let sequences = sample_sequences(capture, params.max_sequences, params.seed)?;
    let heads: Vec<HeadId> = capture.model().heads().collect();
    let steps = Steps::new(progress, "content scores", heads.len())?;
    let results = heads
        .par_iter()
        .map(|&head| {
            let rows = Rows::read(capture, head, &classes, &sequences, params.seed)?;
            steps.add()?;
            Ok(rows.score(capture))
        })
        .collect();
    Ok(gather(results)?.into_iter().flatten().collect())
}

/// The classes of a column, by side.
struct Classes<'a> {
    column: &'a TokenColumn,
    encoder: Vec<Option<u32>>,
    decoder: Vec<Option<u32>>,
}

impl<'a> Classes<'a> {
    fn new(column: &'a TokenColumn) -> Self {
        let of = |side: Side| {
            let rows = 0..column.side(side).len();
            let class = |row| u32::try_from(column.class(side, row)?).ok();
            rows.map(class).collect()
        };
        Self {
            encoder: of(Side::Encoder),
            decoder: of(Side::Decoder),
            column,
        }
    }

    fn of(&self, side: Side) -> &[Option<u32>] {
        match side {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        }
    }
}

/// One row over the tokens with a class that its query sees.
struct Row {
    sequence: usize,
    query: usize,
    /// Attention that goes to them.
    mass: f64,
    /// Into [`Rows::cells`].
    cells: Range<usize>,
}

/// One key of a row.
struct Cell {
    key: usize,
    /// Its share of the row's attention to tokens with a class.
    share: f64,
    /// Distance from the query, shifted to begin with 0.
    offset: usize,
    /// What query and key are, and what a permutation puts into their places.
    classes: [(u32, u32); 2],
}

/// The rows of one head.
struct Rows<'a> {
    head: HeadId,
    classes: &'a Classes<'a>,
    rows: Vec<Row>,
    cells: Vec<Cell>,
    /// Number of different offsets.
    offsets: usize,
}

impl<'a> Rows<'a> {
    fn read(
        capture: &Capture,
        head: HeadId,
        classes: &'a Classes<'a>,
        sequences: &[usize],
        seed: u64,
    ) -> Result<Self, Error> {
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        let within = query_side == key_side;
        let mask = mask(capture, head);
        let mut read = Self {
            head,
            classes,
            rows: Vec::new(),
            cells: Vec::new(),
            offsets: 0,
        };
        let longest = sequences
            .iter()
            .map(|&sequence| capture.rows(sequence, query_side).len());
        let shift = longest.max().unwrap_or(0);
        for &sequence in sequences {
            let queries = &classes.of(query_side)[capture.rows(sequence, query_side)];
            let keys = &classes.of(key_side)[capture.rows(sequence, key_side)];
            if keys.iter().flatten().count() < 2 {
                continue;
            }
            let dealt_keys = deal(keys, &mut Rng::new(seed, &[sequence]));
            let dealt_queries = if within { &dealt_keys[..] } else { queries };
            let weights = attention(capture, head, sequence)?;
            for (query, class) in queries.iter().enumerate() {
                let (Some(class), Some(dealt)) = (*class, dealt_queries[query]) else {
                    continue;
                };
                let start = read.cells.len();
                let mut mass = 0.0;
                for key in mask
                    .visible_keys(query, keys.len())
                    .filter(|&key| !(within && key == query))
                {
                    if let (Some(of_key), Some(dealt_key)) = (keys[key], dealt_keys[key]) {
                        let weight = f64::from(weights[[query, key]]);
                        mass += weight;
                        read.cells.push(Cell {
                            key,
                            share: weight,
                            offset: shift + key - query,
                            classes: [(class, of_key), (dealt, dealt_key)],
                        });
                    }
                }
                if read.cells.len() < start + 2 || mass <= 0.0 {
                    read.cells.truncate(start);
                    continue;
                }
                for cell in &mut read.cells[start..] {
                    cell.share /= mass;
                }
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
            attribute: self.classes.column.name.clone(),
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
    fn pairs(&self, factors: &Factors, capture: &Capture) -> (Vec<ClassPair>, Option<Example>) {
        #[derive(Default)]
        struct Sums {
            attention: f64,
            expected: f64,
            count: u32,
            strongest: Option<(usize, usize, usize, f64)>,
        }
        let mut pairs: HashMap<(u32, u32), Sums> = HashMap::new();
        for row in &self.rows {
            let cells = self.cells(row);
            for (cell, expected) in cells.iter().zip(factors.offset_shares(cells)) {
                let sums = pairs.entry(cell.classes[0]).or_default();
                sums.attention += cell.share;
                sums.expected += expected;
                sums.count += 1;
                let weight = cell.share * row.mass;
                if sums.strongest.is_none_or(|(.., most)| weight > most) {
                    sums.strongest = Some((row.sequence, row.query, cell.key, weight));
                }
            }
        }
        // Frequent pairs are surer, rare ones more telling: a mean over rows times the root of their number.
        let bits = |sums: &Sums| {
            let ratio = (sums.attention + PRIOR) / (sums.expected + PRIOR);
            sums.attention * ratio.log2() / f64::from(sums.count).sqrt()
        };
        let mut ranked: Vec<((u32, u32), Sums)> = pairs
            .into_iter()
            .filter(|(_, sums)| sums.count >= SEEN && sums.attention > sums.expected)
            .collect();
        ranked.sort_by(|a, b| bits(&b.1).total_cmp(&bits(&a.1)).then(a.0.cmp(&b.0)));
        ranked.truncate(NAMED);
        let text = |class: u32| {
            self.classes
                .column
                .classes()
                .get(class as usize)
                .cloned()
                .unwrap_or_default()
        };
        let example = ranked.first().and_then(|(_, sums)| {
            let (sequence, query, key, _) = sums.strongest?;
            let (queries, keys) = tokens(capture, self.head.attention, sequence);
            Some(Example {
                sequence,
                query,
                key,
                query_text: queries.get(query)?.text.clone(),
                key_text: keys.get(key)?.text.clone(),
                weight: attention(capture, self.head, sequence)
                    .ok()?
                    .get([query, key])
                    .copied()?,
            })
        });
        let pair = |((query, key), sums): ((u32, u32), Sums)| ClassPair {
            query: text(query),
            key: text(key),
            attention: sums.attention / f64::from(sums.count),
            expected: sums.expected / f64::from(sums.count),
            count: sums.count,
        };
        (ranked.into_iter().map(pair).collect(), example)
    }
}

/// The classes of a sequence, permuted among the tokens that have one.
fn deal(classes: &[Option<u32>], rng: &mut Rng) -> Vec<Option<u32>> {
    let mut from: Vec<u32> = classes.iter().flatten().copied().collect();
    rng.shuffle(&mut from);
    let mut from = from.into_iter();
    classes.iter().map(|class| class.and_then(|_| from.next())).collect()
}

/// The factors of the three guesses.
struct Factors {
    offset: Vec<f64>,
    key: HashMap<u32, f64>,
    pair: HashMap<(u32, u32), f64>,
    /// Which classes: the true ones (0) or the permuted (1).
    dealt: usize,
}

impl Factors {
    fn fit(all: &Rows<'_>, rows: &[&Row], dealt: usize) -> Self {
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
                let sums = keys.entry(cell.classes[dealt].1).or_default();
                sums[0] += row.mass * cell.share;
                sums[1] += row.mass * guess;
            }
        }
        factors.key = keys.into_iter().map(|(key, sums)| (key, ratio(sums))).collect();
        let mut pairs: HashMap<(u32, u32), [f64; 2]> = HashMap::new();
        for row in rows {
            let cells = all.cells(row);
            for (cell, guess) in cells.iter().zip(factors.shares(cells)) {
                let sums = pairs.entry(cell.classes[dealt]).or_default();
                sums[0] += row.mass * cell.share;
                sums[1] += row.mass * guess;
            }
        }
        factors.pair = pairs.into_iter().map(|(pair, sums)| (pair, ratio(sums))).collect();
        factors
    }

    /// The guess by offset alone.
    fn offset_shares(&self, cells: &[Cell]) -> Vec<f64> {
        normalized(cells.iter().map(|cell| self.offset[cell.offset]).collect())
    }

    /// The guess by everything fitted so far.
    fn shares(&self, cells: &[Cell]) -> Vec<f64> {
        let factor = |cell: &Cell| {
            let pair = cell.classes[self.dealt];
            let key = self.key.get(&pair.1).copied().unwrap_or(1.0);
            self.offset[cell.offset] * key * self.pair.get(&pair).copied().unwrap_or(1.0)
        };
        normalized(cells.iter().map(factor).collect())
    }

    /// Bits by which the classes improve the guess of a row.
    fn gain(&self, all: &Rows<'_>, row: &Row) -> f64 {
        let cells = all.cells(row);
        let (offset, classes) = (self.offset_shares(cells), self.shares(cells));
        let said = cells
            .iter()
            .zip(offset)
            .zip(classes)
            .filter(|((cell, _), _)| cell.share > 0.0);
        said.map(|((cell, before), after)| cell.share * (after.max(1e-12) / before.max(1e-12)).log2())
            .sum()
    }
}

fn normalized(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    let count = values.len() as f64;
    for value in &mut values {
        *value = if sum > 0.0 { *value / sum } else { 1.0 / count };
    }
    values
}
