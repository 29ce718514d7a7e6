//! Two runs side by side: their tokens aligned by edit distance, then the differences of what is aligned.

use serde::{Deserialize, Serialize};

use super::{Decoding, HeadChoice, Shift, TokenRow};
use crate::Error;

/// A place of two aligned sequences: a token of the first, of the second, or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aligned {
    /// Position in the first.
    pub before: Option<usize>,
    /// Position in the second.
    pub after: Option<usize>,
    /// Whether both have the same token there.
    pub same: bool,
}

/// The best hypotheses of two runs, aligned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Source tokens.
    pub source: Vec<Aligned>,
    /// Target tokens.
    pub target: Vec<Aligned>,
    /// For each place of `target` the log-probability of the second minus that of the first; `None` where one is missing.
    pub log_probability: Vec<Option<f32>>,
    /// For each place of `target` half the sum of absolute differences of attention over aligned source tokens: 0 for the same
    /// attention, 1 for no overlap; `None` where a token is missing.
    pub attention: Vec<Option<f32>>,
}

impl Comparison {
    /// Compares a hypothesis of each of two runs.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoSuchHead`].
    pub fn new(
        (before, first): (&Decoding, usize),
        (after, second): (&Decoding, usize),
        heads: &HeadChoice,
        shift: Shift,
    ) -> Result<Self, Error> {
        let source = align(&before.source, &after.source);
        let (one, other) = (before.hypothesis(first)?, after.hypothesis(second)?);
        let target = align(&one.row, &other.row);
        let (a, b) = (
            before.attention(first, heads, shift)?,
            after.attention(second, heads, shift)?,
        );
        let weight = |weights: &[f32], keys: usize, row: usize, at: Option<usize>| {
            at.map_or(0.0, |at| weights.get(row * keys + at).copied().unwrap_or(0.0))
        };
        let both = |place: &Aligned| Some((place.before?, place.after?));
        let log_probability = target.iter().map(|place| {
            let (x, y) = both(place)?;
            Some(other.steps.get(y)?.log_probability - one.steps.get(x)?.log_probability)
        });
        let attention = target.iter().map(|place| {
            let (x, y) = both(place)?;
            let differences = source.iter().map(|key| {
                let first = weight(&a, before.source.len(), x, key.before);
                (first - weight(&b, after.source.len(), y, key.after)).abs()
            });
            Some(0.5 * differences.sum::<f32>())
        });
        Ok(Self {
            log_probability: log_probability.collect(),
            attention: attention.collect(),
            source,
            target,
        })
    }

    /// The attention of the second run, `after` and its hypothesis, at the step that is aligned with a step of the first: a weight
    /// for each source token of the first, 0 for one that the second does not have. `None` if no step is aligned with it.
    pub fn row_of_second(
        &self,
        (after, hypothesis): (&Decoding, usize),
        step: usize,
        heads: &HeadChoice,
    ) -> Option<Vec<f32>> {
        let place = self.target.iter().find(|place| place.before == Some(step))?;
        let row = after.step_attention(hypothesis, place.after?, heads)?;
        let own = self.source.iter().filter(|key| key.before.is_some());
        let weight = |key: &Aligned| key.after.and_then(|at| row.get(at).copied()).unwrap_or(0.0);
        Some(own.map(weight).collect())
    }

    /// Whether both wrote the same.
    pub fn same_target(&self) -> bool {
        self.target.iter().all(|place| place.same)
    }
}

/// Aligns two rows with the fewest insertions, deletions and substitutions (Levenshtein 1966). A special token is aligned with
/// its like or with none.
pub(super) fn align(first: &TokenRow, second: &TokenRow) -> Vec<Aligned> {
    let (n, m) = (first.len(), second.len());
    let same = |i: usize, j: usize| first.ids[i] == second.ids[j];
    let price = |i: usize, j: usize| match (same(i, j), first.classes[i] == second.classes[j]) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 3,
    };
    let mut costs = vec![vec![0_usize; m + 1]; n + 1];
    for i in 0..=n {
        for j in 0..=m {
            costs[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => (costs[i - 1][j - 1] + price(i - 1, j - 1))
                    .min(costs[i - 1][j] + 1)
                    .min(costs[i][j - 1] + 1),
            };
        }
    }
    let (mut i, mut j, mut out) = (n, m, Vec::new());
    while i > 0 || j > 0 {
        let diagonal = i > 0 && j > 0 && costs[i][j] == costs[i - 1][j - 1] + price(i - 1, j - 1);
        let place = if diagonal {
            (i, j) = (i - 1, j - 1);
            Aligned {
                before: Some(i),
                after: Some(j),
                same: same(i, j),
            }
        } else if i > 0 && costs[i][j] == costs[i - 1][j] + 1 {
            i -= 1;
            Aligned {
                before: Some(i),
                after: None,
                same: false,
            }
        } else {
            j -= 1;
            Aligned {
                before: None,
                after: Some(j),
                same: false,
            }
        };
        out.push(place);
    }
    out.reverse();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoding::TokenClass;

    fn row(ids: &[u32]) -> TokenRow {
        TokenRow {
            tokens: ids.iter().map(u32::to_string).collect(),
            ids: ids.to_vec(),
            classes: ids
                .iter()
                .map(|id| {
                    if *id == 0 {
                        TokenClass::Special
                    } else {
                        TokenClass::Text
                    }
                })
                .collect(),
            words: vec![None; ids.len()],
            ..TokenRow::default()
        }
    }

    #[test]
    fn an_inserted_token_shifts_nothing() {
        let places = align(&row(&[1, 2, 3, 0]), &row(&[1, 9, 2, 3, 0]));
        let pairs: Vec<_> = places.iter().map(|place| (place.before, place.after)).collect();
        assert_eq!(
            pairs,
            [
                (Some(0), Some(0)),
                (None, Some(1)),
                (Some(1), Some(2)),
                (Some(2), Some(3)),
                (Some(3), Some(4))
            ]
        );
    }
}
