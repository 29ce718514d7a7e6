//! How much of a head's attention the offset between key and query explains.
//!
//! Every row is compared with two guesses: uniform over the visible keys, and `p(key) ∝ g(key - query)`, where g is the
//! one function of the offset that fits all rows best. What the row says beyond uniform is its information `KL(row |
//! uniform)`, in bits; what the guess leaves unsaid is `KL(row | p)`. The score is the share explained, `1 - KL(row |
//! p) / KL(row | uniform)`, both summed over rows. A head whose rows are one pattern moved along the text has 1; one
//! that ignores offsets has 0, up to the overfitting that the permuted rows measure.
//!
//! g is a choice model (Luce): its likelihood is climbed by the MM algorithm (Hunter 2004, *MM algorithms for
//! generalized Bradley-Terry models*), which needs only sums by offset and never gets worse.

use std::{collections::BTreeMap, ops::Range};

/// Steps of the climb, at most, and the share of information below which one more is not worth it.
const STEPS: usize = 50;
const TOLERANCE: f64 = 1e-4;

/// Sums by offset over the rows of one head. Memory grows with the longest sequence, not with the data.
#[derive(Debug, Default, Clone)]
pub(super) struct Offsets {
    /// By offset: attention, permuted attention, and what uniform attention would give. Shifted by `center`.
    cells: Vec<[f64; 3]>,
    /// Index of offset 0.
    center: usize,
    /// Weight of the rows that see the same stretch of offsets: first index, length.
    stretches: BTreeMap<(usize, usize), f64>,
    /// Information of the rows in bits.
    information: f64,
}

impl Offsets {
    /// For sequences of at most that many queries and keys.
    pub(super) fn new(queries: usize, keys: usize) -> Self {
        Self {
            cells: vec![[0.0; 3]; queries + keys],
            center: queries,
            ..Self::default()
        }
    }

    /// One row: its visible stretch, the weights there, the same weights permuted, its entropy in bits, and how much it
    /// counts.
    pub(super) fn add(
        &mut self,
        query: usize,
        visible: &Range<usize>,
        row: &[f32],
        permuted: &[f32],
        entropy: f64,
        weight: f64,
    ) {
        let count = row.len() as f64;
        let first = (self.center + visible.start).saturating_sub(query);
        let cells = self.cells.iter_mut().skip(first);
        for ((cell, &value), &other) in cells.zip(row).zip(permuted) {
            cell[0] += weight * f64::from(value);
            cell[1] += weight * f64::from(other);
            cell[2] += weight / count;
        }
        *self.stretches.entry((first, row.len())).or_default() += weight;
        self.information += weight * (count.log2() - entropy);
    }

    /// The share explained, of the true rows and of the permuted ones. 0 for uniform attention, which says nothing.
    pub(super) fn explained(&self) -> (f64, f64) {
        let weight: f64 = self.stretches.values().sum();
        if self.information <= 1e-6 * weight {
            return (0.0, 0.0);
        }
        let share = |attention: usize| (self.fit(attention) / self.information).clamp(0.0, 1.0);
        (share(0), share(1))
    }

    /// Bits beyond uniform that the best g gives, for the true attention (0) or the permuted one (1).
    fn fit(&self, attention: usize) -> f64 {
        let mut bits = 0.0;
        // Under uniform attention every normalizer is the row's length: the first step divides by the uniform sums.
        let mut expected: Vec<f64> = self.cells.iter().map(|cell| cell[2]).collect();
        for _ in 0..STEPS {
            let g: Vec<f64> = self
                .cells
                .iter()
                .zip(&expected)
                .map(|(cell, expected)| {
                    if *expected > 0.0 {
                        cell[attention] / expected
                    } else {
                        0.0
                    }
                })
                .collect();
            let sums = running(&g);
            let mut gained: f64 = self
                .cells
                .iter()
                .zip(&g)
                .filter(|(_, g)| **g > 0.0)
                .map(|(cell, g)| cell[attention] * g.log2())
                .sum();
            // Each row adds weight / normalizer to all offsets of its stretch.
            let mut changes = vec![0.0; self.cells.len() + 1];
            for (&(first, count), weight) in &self.stretches {
                let difference = sums[first + count] - sums[first];
                // A stretch that drowns in the running sum is summed by itself.
                let drowned = difference < 1e-9 * sums[self.cells.len()];
                let own = || g[first..first + count].iter().sum::<f64>().max(f64::MIN_POSITIVE);
                let normalizer = if drowned { own() } else { difference };
                gained += weight * (count as f64 / normalizer).log2();
                changes[first] += weight / normalizer;
                changes[first + count] -= weight / normalizer;
            }
            if gained <= bits + TOLERANCE * self.information {
                return bits.max(gained);
            }
            bits = gained;
            expected = running(&changes)[1..=self.cells.len()].to_vec();
        }
        bits
    }
}

/// Running sums, beginning with 0.
fn running(values: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = values.iter().map(|value| {
        sum += value;
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy(row: &[f32]) -> f64 {
        row.iter()
            .filter(|&&a| a > 0.0)
            .map(|&a| -f64::from(a) * f64::from(a).log2())
            .sum()
    }

    #[test]
    fn a_pattern_that_moves_along_is_explained_wholly() {
        // Half uniform, half on the token two before; causal rows of different lengths.
        let mut offsets = Offsets::new(20, 20);
        for length in [10, 20] {
            for query in 2..length {
                let visible = query - 2..query + 1;
                let row = [0.5 + 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0];
                offsets.add(query, &visible, &row, &[1.0 / 3.0; 3], entropy(&row), 1.0);
            }
        }
        let (value, permuted) = offsets.explained();
        assert!((value - 1.0).abs() < 1e-6 && permuted < 1e-6, "{value} {permuted}");
    }

    #[test]
    fn the_fit_is_the_best_there_is() {
        // Causal rows: offsets -3..=0. The best g is found by trying a fine grid of its three free values.
        let rows: Vec<(usize, Vec<f32>)> = vec![
            (1, vec![0.25, 0.75]),
            (2, vec![0.5, 0.25, 0.25]),
            (3, vec![0.125, 0.125, 0.5, 0.25]),
        ];
        let mut offsets = Offsets::new(4, 4);
        let mut information = 0.0;
        for (query, row) in &rows {
            offsets.add(*query, &(0..query + 1), row, row, entropy(row), 1.0);
            information += (row.len() as f64).log2() - entropy(row);
        }
        let left = |g: [f64; 4]| -> f64 {
            let row = |(query, row): &(usize, Vec<f32>)| -> f64 {
                let total: f64 = g[..=*query].iter().sum();
                let cells = row.iter().enumerate();
                cells
                    .map(|(key, &a)| f64::from(a) * (f64::from(a) * total / g[query - key]).log2())
                    .sum()
            };
            rows.iter().map(row).sum()
        };
        let mut least = f64::INFINITY;
        let grid = |center: f64| (-40..=40).map(move |i| center * 1.05_f64.powi(i));
        for one in grid(1.0) {
            for two in grid(1.0) {
                for three in grid(1.0) {
                    least = least.min(left([1.0, one, two, three]));
                }
            }
        }
        let (value, permuted) = offsets.explained();
        assert!(
            (value - (1.0 - least / information)).abs() < 2e-3,
            "{value} {}",
            1.0 - least / information
        );
        assert_eq!(value, permuted);
    }

    #[test]
    fn uniform_attention_has_nothing_to_explain() {
        let mut offsets = Offsets::new(3, 3);
        offsets.add(1, &(0..3), &[1.0 / 3.0; 3], &[1.0 / 3.0; 3], 3_f64.log2(), 1.0);
        assert_eq!(offsets.explained(), (0.0, 0.0));
        assert_eq!(Offsets::default().explained(), (0.0, 0.0));
    }
}
