//! Divergence of heads: the mean Jensen-Shannon divergence of their rows (Lin 1991; used on heads by Clark et al.
//! 2019, section 6).
//!
//! `JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2` in bits, 0 for equal rows, 1 for rows that share no key. One
//! logarithm per key and pair: the entropies of the rows themselves are computed once per head.

use attn_core::{Attention, Capture, HeadId, Progress, Side};
use rayon::prelude::*;

use super::{
    pairs::HeadPairs,
    scoring::{attention, mask, sample_sequences},
};
use crate::{
    Error, Rng,
    steps::{Steps, gather},
};

/// The rows that [`divergence`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DivergenceParams {
    /// At most this many sequences, a seeded sample. Default 32.
    pub max_sequences: usize,
    /// At most this many queries of each, a seeded sample: bounds memory on long sequences. Default 32.
    pub max_queries: usize,
    /// Seed of the samples. Default 0.
    pub seed: u64,
}

impl Default for DivergenceParams {
    fn default() -> Self {
        Self {
            max_sequences: 32,
            max_queries: 32,
            seed: 0,
        }
    }
}

/// Mean Jensen-Shannon divergence, in bits, between the attention rows of every pair of heads of one attention.
///
/// Rows are averaged within a sequence, then over sequences; rows that see fewer than two keys under some layer's mask
/// are left out. Memory: one sequence at a time, `heads x max_queries x tokens` weights. Time grows with the square of
/// the number of heads.
///
/// # Errors
/// [`Error::Parameter`] for a sample of nothing, [`Error::Empty`] if the model has no such attention or no row with a
/// choice, [`Error::NotFinite`], [`Error::Core`].
pub fn divergence(
    capture: &Capture,
    attention: Attention,
    options: &DivergenceParams,
    progress: &dyn Progress,
) -> Result<HeadPairs, Error> {
    let heads: Vec<HeadId> = capture
        .model()
        .heads()
        .filter(|head| head.attention == attention)
        .collect();
    if heads.is_empty() {
        return Err(Error::Empty {
            place: attention.to_string(),
            expected: "at least one head".into(),
        });
    }
    if options.max_queries == 0 {
        return Err(Error::Parameter {
            name: "max_queries",
            expected: "at least 1".into(),
            found: "0".into(),
        });
    }
    let sequences = sample_sequences(capture, options.max_sequences, options.seed)?;
    let steps = Steps::new(progress, "head divergence", sequences.len() * heads.len())?;
    let mut sums = vec![0.0_f64; heads.len() * (heads.len() - 1) / 2];
    let mut counted = 0_usize;
    for &sequence in &sequences {
        let queries = capture.rows(sequence, attention.query_side()).len();
        let keys = capture.rows(sequence, attention.key_side()).len();
        let least = |query| {
            heads
                .iter()
                .map(|&head| mask(capture, head).visible_keys(query, keys).len())
                .min()
        };
        let able: Vec<usize> = (0..queries).filter(|&query| least(query) >= Some(2)).collect();
        if able.is_empty() {
            continue;
        }
        let picked = Rng::new(options.seed, &[sequence]).sample(able.len(), options.max_queries);
        let picked: Vec<usize> = picked.into_iter().map(|index| able[index]).collect();
        let rows: Vec<Result<Rows, Error>> = heads
            .par_iter()
            .map(|&head| {
                let rows = Rows::new(capture, head, sequence, &picked);
                steps.add()?;
                rows
            })
            .collect();
        let rows = gather(rows)?;
        // Every head's pairs with the heads after it are a stretch of their own.
        let mut rest = sums.as_mut_slice();
        let mut stretches = Vec::with_capacity(heads.len());
        for head in 0..heads.len() {
            let (stretch, others) = rest.split_at_mut(heads.len() - head - 1);
            stretches.push((head, stretch));
            rest = others;
        }
        stretches.into_par_iter().for_each(|(head, stretch)| {
            for (sum, other) in stretch.iter_mut().zip(&rows[head + 1..]) {
                *sum += rows[head].divergence(other);
            }
        });
        counted += 1;
    }
    if counted == 0 {
        return Err(Error::Empty {
            place: "capture".into(),
            expected: "a query that sees at least two keys".into(),
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean in [0, 1], kept in single precision"
    )]
    let values = sums
        .iter()
        .map(|sum| (sum / counted as f64).clamp(0.0, 1.0) as f32)
        .collect();
    Ok(HeadPairs::new(heads, values))
}

/// Mean Jensen-Shannon divergence, in bits, between each head of one capture and the same head of another, over rows of the same
/// queries, in the order of the model. Heads that only one has are left out. `other` is of another model or checkpoint and of the
/// same sequences, token by token.
///
/// # Errors
/// As [`divergence`], and [`Error::Shape`] if a sequence has another number of tokens there.
pub fn divergence_between(
    capture: &Capture,
    other: &Capture,
    options: &DivergenceParams,
    progress: &dyn Progress,
) -> Result<Vec<(HeadId, f32)>, Error> {
    let theirs: Vec<HeadId> = other.model().heads().collect();
    let heads: Vec<HeadId> = capture.model().heads().filter(|head| theirs.contains(head)).collect();
    let sequences = sample_sequences(capture, options.max_sequences, options.seed)?;
    for &sequence in &sequences {
        let lengths = |capture: &Capture| [Side::Encoder, Side::Decoder].map(|side| capture.rows(sequence, side).len());
        let (expected, found) = (lengths(capture), lengths(other));
        if expected != found {
            return Err(Error::Shape {
                place: format!("sequence {sequence} of the other capture"),
                expected: format!("{expected:?} tokens of encoder and decoder"),
                found: format!("{found:?}"),
            });
        }
    }
    let steps = Steps::new(progress, "divergence", sequences.len() * heads.len())?;
    let of_head = |&head: &HeadId| -> Result<(HeadId, f32), Error> {
        let (mut sum, mut counted) = (0.0, 0_usize);
        for &sequence in &sequences {
            steps.add()?;
            let queries = capture.rows(sequence, head.attention.query_side()).len();
            let keys = capture.rows(sequence, head.attention.key_side()).len();
            let able = |query: &usize| mask(capture, head).visible_keys(*query, keys).len() >= 2;
            let able: Vec<usize> = (0..queries).filter(able).collect();
            let picked = Rng::new(options.seed, &[sequence]).sample(able.len(), options.max_queries);
            let picked: Vec<usize> = picked.into_iter().map(|index| able[index]).collect();
            if !picked.is_empty() {
                let rows = |capture| Rows::new(capture, head, sequence, &picked);
                sum += rows(capture)?.divergence(&rows(other)?);
                counted += 1;
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a mean in [0, 1], kept in single precision"
        )]
        let mean = (sum / counted.max(1) as f64).clamp(0.0, 1.0) as f32;
        Ok((head, mean))
    };
    gather(heads.par_iter().map(of_head).collect())
}

/// Some rows of one head in one sequence, end to end, and the sum of their entropies.
struct Rows {
    weights: Vec<f32>,
    entropy: f64,
    count: usize,
}

impl Rows {
    fn new(capture: &Capture, head: HeadId, sequence: usize, queries: &[usize]) -> Result<Self, Error> {
        let all = attention(capture, head, sequence)?;
        let weights: Vec<f32> = queries.iter().flat_map(|&query| all.row(query).to_vec()).collect();
        Ok(Self {
            entropy: bits(weights.iter().copied()),
            count: queries.len(),
            weights,
        })
    }

    /// Mean divergence of corresponding rows.
    fn divergence(&self, other: &Self) -> f64 {
        let middle = bits(self.weights.iter().zip(&other.weights).map(|(a, b)| 0.5 * (a + b)));
        (middle - 0.5 * (self.entropy + other.entropy)) / self.count as f64
    }
}

/// `-sum a log2 a`.
fn bits(weights: impl Iterator<Item = f32>) -> f64 {
    weights.filter(|&a| a > 0.0).map(|a| -f64::from(a * a.log2())).sum()
}
