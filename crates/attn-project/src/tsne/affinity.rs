//! The affinities that t-SNE preserves (van der Maaten and Hinton, *Visualizing data using t-SNE*, JMLR 2008,
//! section 2), restricted to the neighbor graph (van der Maaten, JMLR 2014, section 3.1).

use rayon::prelude::*;

use crate::{Neighbors, method::Links};

/// Links of a smaller share of a point's are left out.
const WEAKEST: f32 = 1e-3;

/// A symmetric sparse matrix of probabilities that sum to 1, by rows; columns ascend within a row.
#[derive(Debug, Clone)]
pub(super) struct Affinities {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Affinities {
    /// Calibrates the first `k` neighbors of every point to each of the perplexities, takes the mean of these
    /// distributions, and symmetrizes: `p_ij = (p_j|i + p_i|j) / 2n`.
    ///
    /// The mean over several perplexities is the multi-scale affinity of Kobak and Berens (Nature Communications 2019),
    /// after Lee, Peluffo-Ordóñez and Verleysen (*Multi-scale similarities in stochastic neighbor embedding*,
    /// Neurocomputing 2015), here without their change of scale during the descent.
    pub(super) fn new(neighbors: &Neighbors, k: usize, perplexities: &[f32]) -> Self {
        let n = neighbors.len();
        let mut rows: Vec<(u32, f32)> = vec![(0, 0.0); n * k];
        rows.par_chunks_mut(k).enumerate().for_each(|(i, row)| {
            let squared: Vec<f64> = neighbors.distances(i)[..k]
                .iter()
                .map(|&d| neighbors.metric().squared(d))
                .collect();
            let mut conditional = vec![0.0; k];
            for &perplexity in perplexities {
                let scale = calibrated(squared.clone(), f64::from(perplexity).ln());
                conditional.iter_mut().zip(scale).for_each(|(sum, p)| *sum += p);
            }
            let per = 1.0 / (2 * n * perplexities.len()) as f64;
            for ((slot, &j), p) in row.iter_mut().zip(neighbors.indices(i)).zip(conditional) {
                *slot = (j, (p * per) as f32);
            }
            row.sort_unstable_by_key(|&(j, _)| j);
        });

        // The transpose, whose rows come out in ascending order because they are filled in that order.
        let mut starts = vec![0usize; n + 1];
        rows.iter().for_each(|&(j, _)| starts[j as usize + 1] += 1);
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut transposed: Vec<(u32, f32)> = vec![(0, 0.0); n * k];
        for (i, row) in rows.chunks(k).enumerate() {
            for &(j, p) in row {
                transposed[next[j as usize]] = (i as u32, p);
                next[j as usize] += 1;
            }
        }
        let merged: Vec<Vec<(u32, f32)>> = (0..n)
            .into_par_iter()
            .map(|i| merge(&rows[i * k..(i + 1) * k], &transposed[starts[i]..starts[i + 1]]))
            .collect();
        Self::of_rows(merged)
    }

    /// These affinities, with `share` of all probability on links in their place: `p_ij` in proportion to the weights of the
    /// links from i to j and from j to i, so that every link pulls at both its ends. Weights are first raised to `power`, and
    /// those of a point then sum to 1. Without links nothing changes.
    pub(super) fn with_links(self, links: &Links, share: f32, power: f32) -> Self {
        let n = self.offsets.len().saturating_sub(1);
        let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
        let mut linked = 0usize;
        for i in 0..n {
            let row: Vec<(u32, f64)> = links
                .row(i)
                .map(|(j, w)| (j, f64::from(w).powf(power.into())))
                .collect();
            let sum: f64 = row.iter().map(|(_, weight)| weight).sum();
            if sum > 0.0 {
                linked += 1;
            }
            for (j, weight) in row {
                let weight = (weight / sum) as f32;
                // Weaker ones pull nothing and cost as much.
                if weight > WEAKEST {
                    rows[i].push((j, weight));
                    rows[j as usize].push((i as u32, weight));
                }
            }
        }
        let kept: f64 = rows.iter().flatten().map(|&(_, weight)| f64::from(weight)).sum();
        if linked == 0 || kept <= 0.0 {
            return self;
        }
        let per = f64::from(share) / kept;
        let merged = rows.into_par_iter().enumerate().map(|(i, mut row)| {
            row.sort_by_key(|&(j, _)| j);
            row.dedup_by(|next, before| {
                let same = next.0 == before.0;
                if same {
                    before.1 += next.1;
                }
                same
            });
            row.iter_mut().for_each(|(_, p)| *p = (f64::from(*p) * per) as f32);
            let (columns, values) = self.row(i);
            let own = columns.iter().zip(values).map(|(&j, &p)| (j, p * (1.0 - share)));
            merge(&own.collect::<Vec<_>>(), &row)
        });
        Self::of_rows(merged.collect())
    }

    fn of_rows(rows: Vec<Vec<(u32, f32)>>) -> Self {
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(0);
        for row in &rows {
            offsets.push(offsets[offsets.len() - 1] + row.len());
        }
        let (columns, values): (Vec<u32>, Vec<f32>) = rows.into_iter().flatten().unzip();
        Self {
            offsets,
            columns,
            values,
        }
    }

    /// Columns and values of row `i`.
    pub(super) fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[i]..self.offsets[i + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Offsets of the rows, columns and values.
    pub(super) fn parts(&self) -> (&[usize], &[u32], &[f32]) {
        (&self.offsets, &self.columns, &self.values)
    }
}

/// Sums two sorted sparse rows.
fn merge(a: &[(u32, f32)], b: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let left = a.get(i).map_or(u32::MAX, |x| x.0);
        let right = b.get(j).map_or(u32::MAX, |x| x.0);
        let mut value = 0.0;
        if left <= right {
            value += a[i].1;
            i += 1;
        }
        if right <= left {
            value += b[j].1;
            j += 1;
        }
        out.push((left.min(right), value));
    }
    out
}

/// `p_j ∝ exp(-β d_j)` with β such that the entropy is `target` (nats). Newton steps on ln β, kept inside a
/// bracket. If no β reaches it (more equal distances than the perplexity), the sharpest or flattest that does best.
pub(super) fn calibrated(mut squared: Vec<f64>, target: f64) -> Vec<f64> {
    let least = squared.iter().copied().fold(f64::INFINITY, f64::min);
    squared.iter_mut().for_each(|d| *d -= least);
    let mean = squared.iter().sum::<f64>() / squared.len() as f64;
    let mut p = vec![1.0 / squared.len() as f64; squared.len()];
    if mean <= 0.0 {
        return p;
    }
    let (mut low, mut high) = ((1e-9 / mean).ln(), (1e12 / mean).ln());
    let mut log_beta = -mean.ln();
    for _ in 0..100 {
        let beta = log_beta.exp();
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for (p, &d) in p.iter_mut().zip(&squared) {
            *p = (-beta * d).exp();
            sum += *p;
            first += *p * d;
            second += *p * d * d;
        }
        let (first, second) = (first / sum, second / sum);
        let excess = sum.ln() + beta * first - target;
        if excess.abs() < 1e-7 || high - low < 1e-12 {
            break;
        }
        if excess > 0.0 {
            low = log_beta;
        } else {
            high = log_beta;
        }
        // dH / d ln β = -β² Var(d)
        let slope = -beta * beta * (second - first * first);
        let newton = log_beta - excess / slope;
        log_beta = if newton > low && newton < high {
            newton
        } else {
            0.5 * (low + high)
        };
    }
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{Metric, rng::Rng};

    #[test]
    fn rows_have_the_entropy_asked_for() {
        let mut rng = Rng::new(1, 1);
        for perplexity in [2.0f64, 30.0, 85.0] {
            let squared: Vec<f64> = (0..90).map(|_| rng.normal().powi(2) * 40.0 + 3.0).collect();
            let p = calibrated(squared, perplexity.ln());
            let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
            assert!(
                (entropy.exp() / perplexity - 1.0).abs() < 1e-6,
                "{} {perplexity}",
                entropy.exp()
            );
        }
    }

    #[test]
    fn rows_that_cannot_have_it_stay_finite() {
        assert_eq!(calibrated(vec![4.0; 8], 3f64.ln()), [0.125; 8]);
        // Six duplicates can only be told apart from the two others, not from each other.
        let p = calibrated(vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0], 3f64.ln());
        assert!(p[..6].iter().all(|p| (p - 1.0 / 6.0).abs() < 1e-6) && p[7] < 1e-6);
    }

    #[test]
    fn symmetric_and_of_sum_one() {
        let mut rng = Rng::new(2, 0);
        let points = Array2::from_shape_simple_fn((300, 5), || rng.normal() as f32);
        let neighbors = Neighbors::exact(points.view(), 30, Metric::EUCLIDEAN, &()).unwrap();
        let affinities = Affinities::new(&neighbors, 30, &[10.0]);
        let mut dense = Array2::<f64>::zeros((300, 300));
        for i in 0..300 {
            let (columns, values) = affinities.row(i);
            assert!(columns.windows(2).all(|pair| pair[0] < pair[1]));
            columns
                .iter()
                .zip(values)
                .for_each(|(&j, &p)| dense[[i, j as usize]] = f64::from(p));
        }
        assert!((dense.sum() - 1.0).abs() < 1e-5);
        assert!((&dense - &dense.t()).iter().all(|x| x.abs() < 1e-12));
    }

    /// The definition, dense and by bisection on the width of the kernel.
    #[test]
    fn several_perplexities_are_the_mean_of_each() {
        const N: usize = 120;
        let mut rng = Rng::new(3, 0);
        let points = Array2::from_shape_simple_fn((N, 4), || rng.normal() as f32);
        let k = 105;
        let neighbors = Neighbors::exact(points.view(), k, Metric::EUCLIDEAN, &()).unwrap();
        let found = Affinities::new(&neighbors, k, &[5.0, 15.0, 35.0]);
        let x = points.mapv(f64::from);
        let mut conditional = Array2::<f64>::zeros((N, N));
        for i in 0..N {
            let squared = |j: usize| (&x.row(i) - &x.row(j)).mapv(|d| d * d).sum();
            let mut near: Vec<(f64, usize)> = (0..N).filter(|&j| j != i).map(|j| (squared(j), j)).collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            near.truncate(k);
            for perplexity in [5.0f64, 15.0, 35.0] {
                let (mut low, mut high) = (1e-6f64, 1e6f64);
                let mut p = Vec::new();
                for _ in 0..200 {
                    let beta = (low * high).sqrt();
                    p = near.iter().map(|(d, _)| (-beta * (d - near[0].0)).exp()).collect();
                    let sum: f64 = p.iter().sum();
                    p.iter_mut().for_each(|p| *p /= sum);
                    let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
                    if entropy > perplexity.ln() {
                        low = beta;
                    } else {
                        high = beta;
                    }
                }
                for (&(_, j), p) in near.iter().zip(p) {
                    conditional[[i, j]] += p / 3.0;
                }
            }
        }
        let truth = (&conditional + &conditional.t()) / (2 * N) as f64;
        let mut sum = 0.0;
        for i in 0..N {
            let (columns, values) = found.row(i);
            for (&j, &p) in columns.iter().zip(values) {
                let expected = truth[[i, j as usize]];
                assert!(
                    (f64::from(p) - expected).abs() < 1e-5 / N as f64,
                    "{i} {j}: {p} {expected}"
                );
                sum += expected;
            }
        }
        assert!((sum - 1.0).abs() < 1e-9, "nothing is missing: {sum}");
    }
}
