//! Scores against a baseline model: is a head's behavior learned, or would any head of this architecture show it?
//!
//! Chance levels answer only for uniform attention. They say nothing of how focused a head is: permuting the keys of a
//! row, or the rows of a head, leaves every entropy as it was, so no permutation of one capture can be a baseline for
//! entropy, effective number of keys or sparsity. What can is another model on the same sequences: the untrained one,
//! one with shuffled positions, an earlier checkpoint. The caller captures it; this compares.

use std::collections::BTreeMap;

use attn_core::{Attention, HeadId};
use serde::{Deserialize, Serialize};

use super::score::{HeadScores, ScoreId};
use crate::Error;

/// One score of one head beside the same score in a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The head.
    pub head: HeadId,
    /// The score.
    #[serde(alias = "measure")]
    pub score: ScoreId,
    /// Its value.
    pub value: f64,
    /// Value of the baseline's head of the same name, if it has one.
    pub same_head: Option<f64>,
    /// Mean over all heads of the baseline (of the same attention).
    pub mean: f64,
    /// Standard deviation over them (sample, n - 1).
    pub deviation: f64,
    /// `(value - mean) / deviation`: how unusual the head would be in the baseline. `None` if the baseline has fewer
    /// than 3 heads or they do not differ. Not a test of significance: heads of a model are not independent draws.
    pub z: Option<f64>,
}

/// Compares every score with the same score in `baseline`. Scores and attentions that the baseline lacks are left out.
///
/// # Errors
/// [`Error::Empty`] if nothing can be compared.
pub fn compare(scores: &[HeadScores], baseline: &[HeadScores]) -> Result<Vec<Comparison>, Error> {
    let mut known: BTreeMap<(Attention, &ScoreId), Vec<f64>> = BTreeMap::new();
    let mut same: BTreeMap<HeadId, &HeadScores> = BTreeMap::new();
    for head in baseline {
        same.insert(head.head, head);
        for (id, score) in &head.scores {
            known.entry((head.head.attention, id)).or_default().push(score.value);
        }
    }
    let levels: BTreeMap<_, (f64, f64, usize)> = known
        .into_iter()
        .map(|(key, values)| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (key, (mean, (squares / (count - 1.0).max(1.0)).sqrt(), values.len()))
        })
        .collect();
    let mut found = Vec::new();
    for HeadScores { head, scores } in scores {
        for (id, score) in scores {
            if let Some(&(mean, deviation, count)) = levels.get(&(head.attention, id)) {
                // Equal values leave a deviation of rounding only.
                let varies = count >= 3 && deviation > 1e-9 * mean.abs();
                let same_head = same.get(head).and_then(|other| other.get(id));
                found.push(Comparison {
                    head: *head,
                    score: id.clone(),
                    value: score.value,
                    same_head: same_head.map(|other| other.value),
                    mean,
                    deviation,
                    z: varies.then(|| (score.value - mean) / deviation),
                });
            }
        }
    }
    if found.is_empty() {
        return Err(Error::Empty {
            place: "baseline".into(),
            expected: "a score that the model has too".into(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::score::Score;

    fn heads(attention: Attention, values: &[f64]) -> Vec<HeadScores> {
        let head = |(index, &value): (usize, &f64)| HeadScores {
            head: HeadId::new(attention, 0, index),
            scores: [(
                ScoreId::ENTROPY,
                Score {
                    value,
                    chance: 1.0,
                    permuted: None,
                    rows: 5,
                    example: None,
                },
            )]
            .into(),
        };
        values.iter().enumerate().map(head).collect()
    }

    #[test]
    fn z_by_hand() {
        let attention = Attention::EncoderSelf;
        // Mean 0.8, sample deviation 0.1.
        let found = compare(&heads(attention, &[0.5, 0.8]), &heads(attention, &[0.7, 0.8, 0.9])).unwrap();
        assert_eq!(found.len(), 2);
        assert!((found[0].z.unwrap() + 3.0).abs() < 1e-9 && found[1].z.unwrap().abs() < 1e-9);
        assert_eq!(found[0].same_head, Some(0.7));
    }

    #[test]
    fn where_a_z_would_mean_nothing_there_is_none() {
        let attention = Attention::EncoderSelf;
        let scores = heads(attention, &[0.5, 0.6, 0.7, 0.8]);
        assert_eq!(compare(&scores, &heads(attention, &[0.7, 0.8])).unwrap()[0].z, None);
        let equal = compare(&scores, &heads(attention, &[0.7; 3])).unwrap();
        assert_eq!((equal[0].z, equal[3].same_head), (None, None));
        assert!(matches!(
            compare(&scores, &heads(Attention::Cross, &[0.7])),
            Err(Error::Empty { .. })
        ));
        assert!(compare(&scores, &[]).is_err());
    }
}
