//! Scores of every head over a capture: one pass over the attention of each head and sequence.
//!
//! Sequences are taken in small blocks, all heads of a block in parallel, each head summing for itself in the order of
//! the sequences: the numbers do not depend on the number of threads, and memory does not grow with the data.

use std::{collections::BTreeMap, ops::Range};

use attn_core::{Attention, Capture, HeadId, Progress, Token, model::Mask};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    head_score::{HeadContext, HeadScore, Reads, ScoreList, SequenceTokens},
    score::{Example, HeadScores, Score},
    tally::{HeadTally, Row, TopCell},
    targets::Targets,
};
use crate::{
    Error, Rng,
    steps::{Steps, gather},
};

/// Sequences whose targets are in memory at once.
const BLOCK: usize = 16;

/// Sequences that [`score_heads`] reads, and its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreParams {
    /// Limit of sequences; of a larger capture, a seeded sample is read. Default 1000: a share of attention then has a
    /// standard error below 0.016.
    pub max_sequences: usize,
    /// Seed of the sample and of the permutations. Default 0.
    pub seed: u64,
}

impl Default for ScoreParams {
    fn default() -> Self {
        Self {
            max_sequences: 1000,
            seed: 0,
        }
    }
}

/// Scores of every head of a capture, in the order of [`ModelInfo::heads`](attn_core::ModelInfo::heads).
///
/// Of the list, the scores that [read](HeadScore::reads) captures are computed. Only rows that see at least two keys count:
/// a query with one key has no choice. Time is that of computing the attention of the sampled sequences; memory is that of
/// one attention matrix per thread.
///
/// # Errors
/// [`Error::Parameter`] for a sample of no sequences, [`Error::NotFinite`] for queries or keys with NaN, [`Error::Empty`]
/// if no query of the sample sees two keys, [`Error::Core`] if the capture cannot be read or `progress` cancels.
///
/// See the [crate](crate) for an example.
pub fn score_heads(
    capture: &Capture,
    scores: &ScoreList,
    params: &ScoreParams,
    progress: &dyn Progress,
) -> Result<Vec<HeadScores>, Error> {
    let run = Run {
        capture,
        scores: scores.reading(Reads::Capture),
        heads: capture.model().heads().collect(),
        sequences: sample_sequences(capture, params.max_sequences, params.seed)?,
        seed: params.seed,
    };
    let scores = run.score("head scores", progress)?;
    if !run.scores.is_empty() && scores.iter().all(|head| head.scores.is_empty()) {
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
        return Err(Error::Parameter {
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
    capture.model().mask(head).unwrap_or(Mask::Full)
}

/// The attention of one head in one sequence.
pub(super) fn attention(capture: &Capture, head: HeadId, sequence: usize) -> Result<ndarray::Array2<f32>, Error> {
    Ok(capture.attention(head, sequence)?)
}

/// A cell of a capture with the texts of its tokens.
pub(super) fn example(capture: &Capture, attention: Attention, cell: TopCell) -> Example {
    let (queries, keys) = tokens(capture, attention, cell.sequence);
    let text = |tokens: &[Token], index: usize| tokens.get(index).map_or(String::new(), |token| token.text.clone());
    Example {
        sequence: cell.sequence,
        query: cell.query,
        key: cell.key,
        query_text: text(queries, cell.query),
        key_text: text(keys, cell.key),
        weight: cell.weight,
    }
}

/// Scores to compute, with heads and sequences.
pub(super) struct Run<'a> {
    pub(super) capture: &'a Capture,
    pub(super) scores: Vec<&'a dyn HeadScore>,
    pub(super) heads: Vec<HeadId>,
    pub(super) sequences: Vec<usize>,
    pub(super) seed: u64,
}

/// The targets of every score in one sequence.
type SequenceTargets = Vec<Option<Targets>>;

/// The tallies of one head, one per score.
struct Head {
    context: HeadContext,
    tallies: Vec<Box<dyn HeadTally>>,
}

impl Run<'_> {
    pub(super) fn score(&self, stage: &'static str, progress: &dyn Progress) -> Result<Vec<HeadScores>, Error> {
        let steps = Steps::new(progress, stage, self.heads.len() * self.sequences.len())?;
        let mut attentions: Vec<Attention> = self.heads.iter().map(|head| head.attention).collect();
        attentions.dedup();
        let mut heads: Vec<Head> = self.heads.iter().map(|&head| self.head(head)).collect();
        for block in self.sequences.chunks(BLOCK) {
            let mut known = BTreeMap::new();
            for &attention in &attentions {
                for &sequence in block {
                    known.insert((attention, sequence), self.targets(attention, sequence)?);
                }
            }
            let results: Vec<Result<(), Error>> = heads
                .par_iter_mut()
                .map(|head| {
                    for &sequence in block {
                        if let Some(targets) = known.get(&(head.context.head.attention, sequence)) {
                            head.add(self.capture, sequence, targets)?;
                        }
                        steps.add()?;
                    }
                    Ok(())
                })
                .collect();
            gather(results)?;
        }
        Ok(heads.iter().map(|head| self.finish(head)).collect())
    }

    fn head(&self, head: HeadId) -> Head {
        let lengths = self
            .sequences
            .iter()
            .map(|&at| tokens(self.capture, head.attention, at));
        let (queries, keys) = lengths.fold((0, 0), |(q, k), (queries, keys)| {
            (queries.len().max(q), keys.len().max(k))
        });
        let context = HeadContext {
            head,
            mask: mask(self.capture, head),
            queries,
            keys,
            seed: self.seed,
        };
        Head {
            tallies: self.scores.iter().map(|score| score.tally(&context)).collect(),
            context,
        }
    }

    fn targets(&self, attention: Attention, sequence: usize) -> Result<SequenceTargets, Error> {
        let (queries, keys) = tokens(self.capture, attention, sequence);
        let name = self.capture.sequences().get(sequence).map_or("", |item| &item.name);
        let tokens = SequenceTokens {
            name,
            attention,
            queries,
            keys,
        };
        let targets = self.scores.iter().map(|score| {
            let targets = score.targets(&tokens, &mut Rng::new(self.seed, &[sequence]))?;
            Ok(targets.filter(|targets| !targets.is_empty()))
        });
        targets.collect()
    }

    fn finish(&self, head: &Head) -> HeadScores {
        let id = head.context.head;
        let mut scores = BTreeMap::new();
        for (score, tally) in self.scores.iter().zip(&head.tallies) {
            if let Some(found) = tally.finish() {
                let found = Score {
                    value: found.value,
                    chance: found.chance,
                    permuted: found.permuted,
                    rows: found.rows,
                    example: found.top.map(|cell| example(self.capture, id.attention, cell)),
                };
                scores.insert(score.id(), found);
            }
        }
        HeadScores { head: id, scores }
    }
}

impl Head {
    /// Adds the rows of one sequence.
    fn add(&mut self, capture: &Capture, sequence: usize, targets: &SequenceTargets) -> Result<(), Error> {
        let weights = attention(capture, self.context.head, sequence)?;
        let weights = weights.as_standard_layout();
        let (queries, keys) = weights.dim();
        let stretches: Vec<(usize, Range<usize>)> = (0..queries)
            .map(|query| (query, self.context.mask.visible_keys(query, keys)))
            .filter(|(_, stretch)| stretch.len() >= 2)
            .collect();
        let rows = stretches.len();
        for (query, stretch) in stretches {
            let row = weights.row(query);
            let row = row.as_slice().and_then(|row| row.get(stretch.clone()));
            let row = Row::new((sequence, query), stretch, row.unwrap_or_default(), rows);
            for (tally, targets) in self.tallies.iter_mut().zip(targets) {
                tally.add(&row, targets.as_ref());
            }
        }
        for tally in &mut self.tallies {
            tally.end_sequence();
        }
        Ok(())
    }
}
