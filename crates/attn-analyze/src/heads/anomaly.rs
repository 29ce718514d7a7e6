//! Anomalies: heads that stand out, to look at first.
//!
//! | anomaly | found by |
//! |---|---|
//! | dead | attention of at least 0.99 of the largest possible entropy |
//! | quiet | values far shorter than those of the model's other heads |
//! | norm gap | queries far longer or shorter than keys, for this model (Yeh et al. 2023, section 6.2) |
//! | sink | most attention goes to the first token or to separators, whose values are short: it does nothing (Clark et al. 2019; Xiao et al. 2024) |
//! | attends to itself | most attention goes to the query's own token |
//!
//! "Far" is a modified z-score above 3.5 (Iglewicz and Hoaglin 1993): the distance from the median of the logarithms, divided by
//! the median of these distances, times 0.6745. A model of fewer than eight heads has no outlying norms.

use std::fmt;

use attn_core::{Capture, HeadId, Progress, Token};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    HeadScore,
    score::{HeadScores, ScoreId},
    scores,
    scoring::{ScoreParams, sample_sequences, tokens},
};
use crate::{
    Error,
    error::finite,
    steps::{Steps, gather},
};

/// Modified z-score from which a norm stands out.
const FAR: f64 = 3.5;
/// Smallest ratio of norms that is a gap, even if the other heads are nearly equal.
const RATIO: f64 = 1.5;
/// Fewest heads that norms are compared among.
const COMPARED: usize = 8;
/// Largest length of the values of a sink, relative to other values.
const SHORT: f64 = 0.5;

/// Mean lengths of a head's vectors over a data set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadNorms {
    /// The head.
    pub head: HeadId,
    /// Of its queries.
    pub query: f64,
    /// Of its keys.
    pub key: f64,
    /// Of its values; `None` if the capture has none.
    pub value: Option<f64>,
    /// Of the values of first tokens.
    pub first_value: Option<f64>,
    /// Of the values of special tokens after the first.
    pub separator_value: Option<f64>,
}

/// Kind of an [`Anomaly`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnomalyKind {
    /// Attends evenly to everything.
    Dead,
    /// Moves little: its values are short.
    Quiet,
    /// Queries and keys differ in length.
    NormGap,
    /// Attends to tokens with short values.
    Sink,
    /// Attends to the query's own token.
    LooksAtItself,
}

impl AnomalyKind {
    /// A short name for tables and legends.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Quiet => "quiet",
            Self::NormGap => "norm gap",
            Self::Sink => "sink",
            Self::LooksAtItself => "attends to itself",
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An anomaly of one head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The head.
    pub head: HeadId,
    /// Its kind.
    pub kind: AnomalyKind,
    /// Strength, to rank heads of one kind: the share of attention or entropy, or the logarithm of the ratio of lengths to
    /// that of the median head.
    pub strength: f64,
    /// The numbers behind it in one sentence.
    pub reason: String,
}

/// Mean lengths of the queries, keys and values of every head over a sample of the sequences.
///
/// # Errors
/// [`Error::Parameter`] for a sample of no sequences, [`Error::NotFinite`], [`Error::Core`] if the capture cannot be read
/// or `progress` cancels.
pub fn head_norms(capture: &Capture, options: &ScoreParams, progress: &dyn Progress) -> Result<Vec<HeadNorms>, Error> {
    let sequences = sample_sequences(capture, options.max_sequences, options.seed)?;
    let heads: Vec<HeadId> = capture.model().heads().collect();
    let steps = Steps::new(progress, "norms", heads.len())?;
    let results = heads.par_iter().map(|&head| {
        let norms = norms(capture, head, &sequences)?;
        steps.add()?;
        Ok(norms)
    });
    gather(results.collect())
}

fn norms(capture: &Capture, head: HeadId, sequences: &[usize]) -> Result<HeadNorms, Error> {
    let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
    let queries = capture.queries(head)?;
    let keys = capture.keys(head)?;
    let values = match capture.values(head) {
        Ok(values) => Some(values),
        Err(attn_core::Error::MissingTensor { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let [mut query, mut key, mut value, mut first, mut separator] = [Mean::default(); 5];
    for &sequence in sequences {
        for row in capture.rows(sequence, query_side) {
            query.add(length(queries.view().row(row)));
        }
        let (_, tokens) = tokens(capture, head.attention, sequence);
        for (place, row) in capture.rows(sequence, key_side).enumerate() {
            key.add(length(keys.view().row(row)));
            if let Some(values) = &values {
                let length = length(values.view().row(row));
                value.add(length);
                match (place, tokens.get(place)) {
                    (0, _) => first.add(length),
                    (_, Some(Token { special: true, .. })) => separator.add(length),
                    _ => {}
                }
            }
        }
    }
    for (mean, what) in [(query, "queries"), (key, "keys"), (value, "values")] {
        finite(&[mean.sum as f32], || format!("{what} of {head}"))?;
    }
    Ok(HeadNorms {
        head,
        query: query.get().unwrap_or(0.0),
        key: key.get().unwrap_or(0.0),
        value: value.get(),
        first_value: first.get(),
        separator_value: separator.get(),
    })
}

#[derive(Default, Clone, Copy)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn get(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

fn length(row: ndarray::ArrayView1<'_, f32>) -> f64 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

/// The anomalies of a model, in the order of [`AnomalyKind`], the strongest first. Scores and norms are matched by head.
///
/// ```
/// use attn_analyze::heads::{AnomalyKind, HeadScores, ScoreId, Score, anomalies};
/// use attn_core::{Attention, HeadId};
///
/// let own = Score { value: 0.9, chance: 0.1, permuted: None, rows: 50, example: None };
/// let head = HeadId::new(Attention::EncoderSelf, 0, 8);
/// let found = anomalies(&[HeadScores { head, scores: [(ScoreId::SELF_TOKEN, own)].into() }], &[]);
/// assert_eq!(found[0].kind, AnomalyKind::LooksAtItself);
/// assert_eq!(found[0].reason, "0.90 of attention goes to the query's own token (chance 0.10)");
/// ```
pub fn anomalies(scored: &[HeadScores], norms: &[HeadNorms]) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut add = |head, kind, strength, reason| {
        found.push(Anomaly {
            head,
            kind,
            strength,
            reason,
        });
    };
    for scores in scored {
        let head = scores.head;
        let strong =
            |score: &dyn HeadScore, at_least| scores.strength(score).is_some_and(|strength| strength >= at_least);
        let dead = strong(&scores::ENTROPY, 0.99);
        if let Some(entropy) = scores.get(&ScoreId::ENTROPY).filter(|_| dead) {
            add(
                head,
                AnomalyKind::Dead,
                entropy.value,
                format!("attention has {:.3} of the largest possible entropy", entropy.value),
            );
            continue;
        }
        if let Some(own) = scores
            .get(&ScoreId::SELF_TOKEN)
            .filter(|_| strong(&scores::SELF_TOKEN, 0.5))
        {
            add(
                head,
                AnomalyKind::LooksAtItself,
                own.value,
                format!(
                    "{:.2} of attention goes to the query's own token (chance {:.2})",
                    own.value, own.chance
                ),
            );
        }
        let norms = norms.iter().find(|norms| norms.head == head);
        let first: &dyn HeadScore = &scores::FIRST_TOKEN;
        let places = [
            (first, norms.and_then(|n| n.first_value)),
            (&scores::SEPARATOR, norms.and_then(|n| n.separator_value)),
        ];
        for (score, resting) in places {
            let place = score.counts();
            let score = scores.get(&score.id()).filter(|_| strong(score, 0.5));
            if let (Some(score), Some(resting), Some(mean)) = (score, resting, norms.and_then(|n| n.value))
                && resting <= SHORT * mean
            {
                add(
                    head,
                    AnomalyKind::Sink,
                    score.value,
                    format!(
                        "{:.2} of attention rests on {place} (chance {:.2}), whose values have {:.2} of the mean length",
                        score.value,
                        score.chance,
                        resting / mean
                    ),
                );
            }
        }
    }
    let gaps: Vec<f64> = norms.iter().map(|n| ratio(n.query, n.key)).collect();
    let typical = median(&gaps);
    for (norms, (log, far)) in norms.iter().zip(gaps.iter().zip(outlying(&gaps))) {
        if far && log.abs() >= RATIO.ln() {
            add(
                norms.head,
                AnomalyKind::NormGap,
                (log - typical).abs(),
                format!(
                    "queries have a mean length of {:.2}, keys of {:.2}; the ratio is {:.2}, of the median head {:.2}",
                    norms.query,
                    norms.key,
                    log.exp(),
                    typical.exp()
                ),
            );
        }
    }
    let valued: Vec<(HeadId, f64)> = norms.iter().filter_map(|n| Some((n.head, n.value?))).collect();
    let logs: Vec<f64> = valued.iter().map(|(_, value)| ratio(*value, 1.0)).collect();
    let middle = median(&logs);
    for (&(head, value), (log, far)) in valued.iter().zip(logs.iter().zip(outlying(&logs))) {
        if far && middle - log >= RATIO.ln() {
            add(
                head,
                AnomalyKind::Quiet,
                middle - log,
                format!(
                    "values have a mean length of {value:.2}, those of the median head {:.2}",
                    middle.exp()
                ),
            );
        }
    }
    found.sort_by(|a, b| {
        let strength = b.strength.total_cmp(&a.strength);
        a.kind.cmp(&b.kind).then(strength).then(a.head.cmp(&b.head))
    });
    found
}

/// Logarithm of a ratio of lengths; lengths below a billionth count as that.
fn ratio(a: f64, b: f64) -> f64 {
    (a.max(1e-9) / b.max(1e-9)).ln()
}

/// Whether each value is far from the median.
fn outlying(values: &[f64]) -> Vec<bool> {
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    let spread = median(&distances);
    let far = |distance: &f64| values.len() >= COMPARED && 0.6745 * distance > FAR * spread;
    distances.iter().map(far).collect()
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (n, half) if n % 2 == 1 => sorted[half],
        (_, half) => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::heads::Score;

    fn head(head: usize) -> HeadId {
        HeadId::new(Attention::EncoderSelf, 0, head)
    }

    fn norms(index: usize, query: f64, key: f64, value: f64) -> HeadNorms {
        HeadNorms {
            head: head(index),
            query,
            key,
            value: Some(value),
            first_value: Some(0.2 * value),
            separator_value: Some(value),
        }
    }

    fn scores(index: usize, values: &[(ScoreId, f64)]) -> HeadScores {
        let score = |(id, value): &(ScoreId, f64)| {
            let score = Score {
                value: *value,
                chance: 0.1,
                permuted: None,
                rows: 9,
                example: None,
            };
            (id.clone(), score)
        };
        HeadScores {
            head: head(index),
            scores: values.iter().map(score).collect(),
        }
    }

    fn kinds(found: &[Anomaly]) -> Vec<(usize, AnomalyKind)> {
        found.iter().map(|anomaly| (anomaly.head.head, anomaly.kind)).collect()
    }

    #[test]
    fn norms_that_stand_out_are_named() {
        // Ratios of 1.00 to 1.09 but for one of 4; values of about 1 but for one of 0.05.
        let mut all: Vec<HeadNorms> = (0..10)
            .map(|i| norms(i, 1.0 + 0.01 * i as f64, 1.0, 1.0 + 0.02 * i as f64))
            .collect();
        assert_eq!(kinds(&anomalies(&[], &all)), []);
        (all[3].query, all[7].value) = (4.0, Some(0.05));
        assert_eq!(
            kinds(&anomalies(&[], &all)),
            [(7, AnomalyKind::Quiet), (3, AnomalyKind::NormGap)]
        );
        // Too few heads for a baseline; and nearly equal heads have no gaps.
        assert_eq!(kinds(&anomalies(&[], &all[..7])), []);
        let similar: Vec<HeadNorms> = (0..10)
            .map(|i| norms(i, if i == 0 { 1.1 } else { 1.0 }, 1.0, 1.0))
            .collect();
        assert_eq!(kinds(&anomalies(&[], &similar)), []);
    }

    #[test]
    fn a_sink_is_attention_that_carries_little() {
        let all = [norms(0, 1.0, 1.0, 1.0)];
        let first = scores(0, &[(ScoreId::FIRST_TOKEN, 0.8)]);
        assert_eq!(
            kinds(&anomalies(std::slice::from_ref(&first), &all)),
            [(0, AnomalyKind::Sink)]
        );
        // Separators have values like others here: attention to them does something.
        let separator = scores(0, &[(ScoreId::SEPARATOR, 0.8)]);
        assert_eq!(kinds(&anomalies(&[separator], &all)), []);
        // Without norms nothing is known of what it carries.
        assert_eq!(kinds(&anomalies(&[first], &[])), []);
    }

    #[test]
    fn a_dead_head_is_nothing_else() {
        let dead = scores(2, &[(ScoreId::ENTROPY, 0.995), (ScoreId::SELF_TOKEN, 0.9)]);
        assert_eq!(kinds(&anomalies(&[dead], &[])), [(2, AnomalyKind::Dead)]);
    }
}
