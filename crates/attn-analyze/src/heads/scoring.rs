//! Scores of every head over a capture: one pass over the attention of each head and sequence.
//!
//! Sequences are taken in small blocks, all heads of a block in parallel, each head summing for itself in the order of
//! the sequences: the numbers do not depend on the number of threads, and memory does not grow with the data.

use std::collections::BTreeMap;

use attn_core::{Attention, Capture, HeadId, Mask, Progress, Token};
use rayon::prelude::*;

use super::{
    positional::Offsets,
    relation::{Relation, relations},
    score::HeadScores,
    tally::{HeadTally, Shape},
};
use crate::{
    Error,
    error::finite,
    rng::Rng,
    steps::{Steps, gather},
};

/// Sequences whose relations are in memory at once.
const BLOCK: usize = 16;

/// What [`score_heads`] reads, and its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreOptions {
    /// At most this many sequences are read, a seeded sample of a larger capture. Default 1000: a share of attention
    /// then has a standard error below 0.016.
    pub max_sequences: usize,
    /// Seed of the sample and of the permutations. Default 0.
    pub seed: u64,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self {
            max_sequences: 1000,
            seed: 0,
        }
    }
}

/// Scores of every head of a capture, in the order of [`ModelInfo::heads`](attn_core::ModelInfo::heads).
///
/// Only rows that see at least two keys count: a query with one key has no choice.
/// [`Measure::Induction`](super::Measure::Induction) and [`Measure::Duplicate`](super::Measure::Duplicate) need a
/// capture of their own, see [`repeat_scores`](super::repeat_scores). Time is that of computing the attention of the
/// sampled sequences, memory that of one attention matrix per thread.
///
/// # Errors
/// [`Error::Setting`] for a sample of no sequences, [`Error::NotFinite`] for queries or keys with NaN, [`Error::Empty`]
/// if no query of the sample sees two keys, [`Error::Core`] if the capture cannot be read or `progress` cancels.
///
/// See the [crate](crate) for an example.
pub fn score_heads(
    capture: &Capture,
    options: &ScoreOptions,
    progress: &dyn Progress,
) -> Result<Vec<HeadScores>, Error> {
    let seed = options.seed;
    let sequences = sample_sequences(capture, options.max_sequences, seed)?;
    let relations = |attention: Attention, sequence: usize| {
        let (queries, keys) = tokens(capture, attention, sequence);
        Ok(relations(attention, queries, keys, &mut Rng::new(seed, &[sequence])))
    };
    let longest = |attention: Attention| {
        let lengths = sequences.iter().map(|&sequence| tokens(capture, attention, sequence));
        lengths.fold((0, 0), |(q, k), (queries, keys)| {
            (queries.len().max(q), keys.len().max(k))
        })
    };
    let shape = |attention: Attention| {
        let (queries, keys) = longest(attention);
        Some(Shape::new(Offsets::new(queries, keys), seed))
    };
    let heads: Vec<HeadId> = capture.model().heads().collect();
    let scores = score(capture, &heads, &sequences, relations, shape, ("head scores", progress))?;
    if scores.iter().all(|head| head.scores.is_empty()) {
        return Err(Error::Empty {
            place: "capture".into(),
            expected: "a query that sees at least two keys".into(),
        });
    }
    Ok(scores)
}

/// A seeded sample of a capture's sequences, ascending.
pub(super) fn sample_sequences(capture: &Capture, at_most: usize, seed: u64) -> Result<Vec<usize>, Error> {
    if at_most == 0 {
        return Err(Error::Setting {
            name: "max_sequences",
            expected: "at least 1".into(),
            found: "0".into(),
        });
    }
    Ok(Rng::new(seed, &[]).sample(capture.sequences().len(), at_most))
}

/// Tokens of the queries and of the keys of one sequence.
pub(super) fn tokens(capture: &Capture, attention: Attention, sequence: usize) -> (&[Token], &[Token]) {
    match capture.sequences().get(sequence) {
        Some(item) => (item.tokens(attention.query_side()), item.tokens(attention.key_side())),
        None => (&[], &[]),
    }
}

/// The mask of a head's layer.
pub(super) fn mask(capture: &Capture, head: HeadId) -> Mask {
    let info = capture.model().attention(head.attention);
    info.and_then(|info| info.layers.get(head.layer))
        .map_or(Mask::Full, |layer| layer.mask)
}

/// The attention of one head in one sequence, known to be finite.
pub(super) fn attention(capture: &Capture, head: HeadId, sequence: usize) -> Result<ndarray::Array2<f32>, Error> {
    let weights = capture.attention(head, sequence)?;
    finite(&weights, || {
        let name = capture.sequences().get(sequence).map_or("", |item| item.name.as_str());
        format!("attention of {head} in {name}")
    })?;
    Ok(weights)
}

/// Scores `heads` by the relations that `relations` gives for each sequence, and by the shape of rows where `shape`
/// asks for it.
pub(super) fn score(
    capture: &Capture,
    heads: &[HeadId],
    sequences: &[usize],
    relations: impl Fn(Attention, usize) -> Result<Vec<Relation>, Error>,
    shape: impl Fn(Attention) -> Option<Shape>,
    (stage, progress): (&'static str, &dyn Progress),
) -> Result<Vec<HeadScores>, Error> {
    let steps = Steps::new(progress, stage, heads.len() * sequences.len())?;
    let mut attentions: Vec<Attention> = heads.iter().map(|head| head.attention).collect();
    attentions.dedup();
    let mut tallies: Vec<HeadTally> = heads
        .iter()
        .map(|&head| HeadTally::new(head, mask(capture, head), shape(head.attention)))
        .collect();
    for block in sequences.chunks(BLOCK) {
        let mut known = BTreeMap::new();
        for &attention in &attentions {
            for &sequence in block {
                known.insert((attention, sequence), relations(attention, sequence)?);
            }
        }
        let results: Vec<Result<(), Error>> = tallies
            .par_iter_mut()
            .map(|tally| {
                for &sequence in block {
                    if let Some(relations) = known.get(&(tally.head.attention, sequence)) {
                        tally.add(capture, sequence, relations)?;
                    }
                    steps.add()?;
                }
                Ok(())
            })
            .collect();
        gather(results)?;
    }
    Ok(tallies.into_iter().map(|tally| tally.finish(capture)).collect())
}
