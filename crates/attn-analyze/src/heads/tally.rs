//! The sums behind the scores of one head: rows first, then sequences, so that a long sequence weighs no more than a
//! short one.

use std::{collections::BTreeMap, ops::Range};

use attn_core::{Attention, Capture, HeadId, Mask, Token};

use super::{
    positional::Offsets,
    relation::{Relation, visible},
    score::{Example, HeadScores, Measure, Score},
    scoring::{attention, tokens},
};
use crate::{Error, rng::Rng};

/// A mean over rows, then over sequences.
#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum: f64,
    rows: f64,
    means: f64,
    sequences: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.rows += 1.0;
    }

    fn end_sequence(&mut self) {
        if self.rows > 0.0 {
            self.means += self.sum / self.rows;
            self.sequences += 1.0;
        }
        (self.sum, self.rows) = (0.0, 0.0);
    }

    fn value(self) -> f64 {
        if self.sequences > 0.0 {
            self.means / self.sequences
        } else {
            0.0
        }
    }
}

/// The most telling cell so far: sequence, query, key, weight, and how telling it is.
#[derive(Debug, Default, Clone, Copy)]
struct Telling(Option<(usize, usize, usize, f32, f64)>);

impl Telling {
    /// A weight tells as many bits as it says beyond uniform: 0.9 of thirty keys more than 1.0 of two.
    fn offer(&mut self, sequence: usize, query: usize, key: usize, weight: f32, visible: usize) {
        let share = f64::from(weight);
        let bits = if weight > 0.0 {
            share * (share * visible as f64).log2()
        } else {
            0.0
        };
        if self.0.is_none_or(|(.., most)| bits > most) {
            self.0 = Some((sequence, query, key, weight, bits));
        }
    }

    fn example(self, capture: &Capture, attention: Attention) -> Option<Example> {
        let (sequence, query, key, weight, _) = self.0?;
        let (queries, keys) = tokens(capture, attention, sequence);
        let text = |tokens: &[Token], index: usize| tokens.get(index).map_or(String::new(), |token| token.text.clone());
        Some(Example {
            sequence,
            query,
            key,
            query_text: text(queries, query),
            key_text: text(keys, key),
            weight,
        })
    }
}

/// What one head gave to the keys of one relation.
#[derive(Debug, Default, Clone)]
struct Tally {
    value: Mean,
    chance: Mean,
    rows: usize,
    telling: Telling,
}

/// What the rows of one head look like, whatever they attend to.
#[derive(Debug, Default, Clone)]
pub(super) struct Shape {
    entropy: Mean,
    effective: Mean,
    visible: Mean,
    sparsity: Mean,
    offsets: Offsets,
    telling: Telling,
    rows: usize,
    seed: u64,
}

/// The sums of one head.
pub(super) struct HeadTally {
    pub(super) head: HeadId,
    mask: Mask,
    relations: BTreeMap<(Measure, bool), Tally>,
    shape: Option<Shape>,
}

impl HeadTally {
    pub(super) fn new(head: HeadId, mask: Mask, shape: Option<Shape>) -> Self {
        Self {
            head,
            mask,
            relations: BTreeMap::new(),
            shape,
        }
    }

    /// Adds the rows of one sequence.
    pub(super) fn add(&mut self, capture: &Capture, sequence: usize, relations: &[Relation]) -> Result<(), Error> {
        let weights = attention(capture, self.head, sequence)?;
        let (queries, keys) = weights.dim();
        let stretches: Vec<(usize, Range<usize>)> = (0..queries)
            .map(|query| (query, visible(self.mask, query, keys)))
            .filter(|(_, stretch)| stretch.len() >= 2)
            .collect();
        for relation in relations {
            let tally = self.relations.entry((relation.measure, relation.permuted)).or_default();
            for (query, stretch) in &stretches {
                tally.add(relation, sequence, *query, stretch, |key| weights[[*query, key]]);
            }
            tally.value.end_sequence();
            tally.chance.end_sequence();
        }
        if let Some(shape) = &mut self.shape {
            let mut row = Vec::with_capacity(keys);
            for (query, stretch) in &stretches {
                row.clear();
                row.extend(stretch.clone().map(|key| weights[[*query, key]]));
                shape.add(sequence, *query, stretch, &mut row, 1.0 / stretches.len() as f64);
            }
            shape.end_sequence();
        }
        Ok(())
    }

    pub(super) fn finish(self, capture: &Capture) -> HeadScores {
        let Self {
            head, relations, shape, ..
        } = self;
        let mut scores = BTreeMap::new();
        for ((measure, permuted), tally) in &relations {
            if *permuted || tally.rows == 0 {
                continue;
            }
            let dealt = relations.get(&(*measure, true)).filter(|dealt| dealt.rows > 0);
            let score = Score {
                value: tally.value.value(),
                chance: tally.chance.value(),
                permuted: dealt.map(|dealt| dealt.value.value()),
                rows: tally.rows,
                example: tally.telling.example(capture, head.attention),
            };
            scores.insert(*measure, score);
        }
        if let Some(shape) = shape.filter(|shape| shape.rows > 0) {
            shape.finish(shape.telling.example(capture, head.attention), &mut scores);
        }
        HeadScores { head, scores }
    }
}

impl Tally {
    fn add(
        &mut self,
        relation: &Relation,
        sequence: usize,
        query: usize,
        visible: &Range<usize>,
        weight: impl Fn(usize) -> f32,
    ) {
        let (mut sum, mut count, mut telling) = (0.0, 0, self.telling);
        for key in relation.targets(query, visible.clone()) {
            let weight = weight(key);
            sum += f64::from(weight);
            count += 1;
            // The first token draws attention anyway: it is an example of nothing else.
            if key > 0 || relation.measure == Measure::FirstToken {
                telling.offer(sequence, query, key, weight, visible.len());
            }
        }
        // A row that could not miss its keys, or has none, says nothing.
        if count > 0 && count < visible.len() {
            self.value.add(sum);
            self.chance.add(count as f64 / visible.len() as f64);
            self.rows += 1;
            self.telling = telling;
        }
    }
}

impl Shape {
    pub(super) fn new(offsets: Offsets, seed: u64) -> Self {
        Self {
            offsets,
            seed,
            ..Self::default()
        }
    }

    /// Adds a row; leaves it permuted.
    fn add(&mut self, sequence: usize, query: usize, visible: &Range<usize>, row: &mut [f32], weight: f64) {
        let count = row.len() as f64;
        let (mut nats, mut squares) = (0.0, 0.0);
        for (key, &value) in visible.clone().zip(row.iter()) {
            self.telling.offer(sequence, query, key, value, visible.len());
            let value = f64::from(value);
            squares += value * value;
            if value > 0.0 {
                nats -= value * value.ln();
            }
        }
        // Rounding of the weights may pass the bounds by an ulp.
        let nats = nats.clamp(0.0, count.ln());
        self.entropy.add(nats / count.ln());
        self.effective.add(nats.exp());
        self.visible.add(count);
        let root = count.sqrt();
        let sparsity = if squares > 0.0 {
            (root - 1.0 / squares.sqrt()) / (root - 1.0)
        } else {
            0.0
        };
        self.sparsity.add(sparsity.clamp(0.0, 1.0));
        self.rows += 1;

        let true_row = row.to_owned();
        Rng::new(self.seed, &[sequence, query]).shuffle(row);
        self.offsets
            .add(query, visible, &true_row, row, nats / std::f64::consts::LN_2, weight);
    }

    fn end_sequence(&mut self) {
        for mean in [
            &mut self.entropy,
            &mut self.effective,
            &mut self.visible,
            &mut self.sparsity,
        ] {
            mean.end_sequence();
        }
    }

    fn finish(&self, example: Option<Example>, scores: &mut BTreeMap<Measure, Score>) {
        let (positional, permuted) = self.offsets.explained();
        let mut insert = |measure, value: f64, chance: f64, permuted| {
            let score = Score {
                value,
                chance,
                permuted,
                rows: self.rows,
                example: example.clone(),
            };
            scores.insert(measure, score);
        };
        insert(Measure::Positional, positional, 0.0, Some(permuted));
        insert(Measure::Entropy, self.entropy.value(), 1.0, None);
        insert(
            Measure::EffectiveKeys,
            self.effective.value(),
            self.visible.value(),
            None,
        );
        insert(Measure::Sparsity, self.sparsity.value(), 0.0, None);
    }
}
