//! The fuzzy neighborhood graph of UMAP (McInnes, Healy and Melville, *UMAP: uniform manifold approximation
//! and projection for dimension reduction*, arXiv 1802.03426, section 3.1, algorithms 2 and 3).

use rayon::prelude::*;

use crate::Neighbors;

/// A weighted undirected graph as rows; columns ascend within a row, weights are in (0, 1].
#[derive(Debug, Clone)]
pub(super) struct Graph {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    weights: Vec<f32>,
}

/// No kernel is narrower than this share of the mean distance.
const NARROWEST: f64 = 1e-3;

impl Graph {
    /// Joins the fuzzy neighborhoods of the first `count` neighbors of every point: an edge is there if either
    /// end sees it, `a + b - a b`.
    pub(super) fn new(neighbors: &Neighbors, count: usize) -> Self {
        let n = neighbors.len();
        let mut all = 0.0f64;
        (0..n).for_each(|i| {
            all += neighbors.distances(i)[..count]
                .iter()
                .map(|&d| f64::from(d))
                .sum::<f64>()
        });
        let mean = all / (n * count) as f64;
        let rows: Vec<Vec<(u32, f32)>> = (0..n)
            .into_par_iter()
            .map(|i| {
                let weights = memberships(&neighbors.distances(i)[..count], mean);
                let mut row: Vec<(u32, f32)> = neighbors.indices(i)[..count].iter().copied().zip(weights).collect();
                row.sort_unstable_by_key(|&(j, _)| j);
                row
            })
            .collect();
        // Filled in ascending order of i, so that the rows of the transpose are sorted too.
        let mut transposed: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
        for (i, row) in rows.iter().enumerate() {
            row.iter()
                .for_each(|&(j, w)| transposed[j as usize].push((i as u32, w)));
        }
        let merged: Vec<Vec<(u32, f32)>> = rows.par_iter().zip(&transposed).map(|(a, b)| union(a, b)).collect();
        let mut offsets = Vec::with_capacity(n + 1);
        offsets.push(0);
        for row in &merged {
            offsets.push(offsets[offsets.len() - 1] + row.len());
        }
        let (columns, weights) = merged.into_iter().flatten().unzip();
        Self {
            offsets,
            columns,
            weights,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Columns and weights of row `i`.
    pub(super) fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[i]..self.offsets[i + 1];
        (&self.columns[range.clone()], &self.weights[range])
    }

    /// The largest weight.
    pub(super) fn strongest(&self) -> f32 {
        self.weights.iter().copied().fold(0.0, f32::max)
    }

    /// Whether every point can be reached from every other.
    pub(super) fn is_connected(&self) -> bool {
        let mut seen = vec![false; self.len()];
        let mut waiting = vec![0u32];
        let mut count = 0;
        while let Some(i) = waiting.pop() {
            if !std::mem::replace(&mut seen[i as usize], true) {
                count += 1;
                waiting.extend(self.row(i as usize).0.iter().filter(|&&j| !seen[j as usize]));
            }
        }
        count == self.len()
    }
}

/// Fuzzy memberships of ascending distances: 1 for the nearest, then falling exponentially, so that they sum to
/// log2 of the number of neighbors, the point itself counted.
pub(super) fn memberships(distances: &[f32], mean: f64) -> Vec<f32> {
    let target = ((distances.len() + 1) as f64).log2();
    // Local connectivity 1: the nearest neighbor that is not a duplicate is certain.
    let nearest = distances.iter().copied().find(|&d| d != 0.0).map_or(0.0, f64::from);
    let excess: Vec<f64> = distances.iter().map(|&d| (f64::from(d) - nearest).max(0.0)).collect();
    let sum = |width: f64| {
        excess
            .iter()
            .map(|&d| if d > 0.0 { (-d / width).exp() } else { 1.0 })
            .sum::<f64>()
    };
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut width = 1.0;
    for _ in 0..64 {
        let value = sum(width);
        if (value - target).abs() < 1e-5 {
            break;
        }
        if value > target {
            high = width;
            width = 0.5 * (low + high);
        } else {
            low = width;
            width = if high.is_finite() {
                0.5 * (low + high)
            } else {
                2.0 * width
            };
        }
    }
    let own = excess.iter().sum::<f64>() / excess.len() as f64 + nearest;
    let width = width
        .max(NARROWEST * if nearest > 0.0 { own } else { mean })
        .max(f64::MIN_POSITIVE);
    excess
        .iter()
        .map(|&d| if d > 0.0 { (-d / width).exp() as f32 } else { 1.0 })
        .collect()
}

/// Fuzzy union of two sorted rows, without edges that vanish in single precision.
fn union(a: &[(u32, f32)], b: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let left = a.get(i).map_or(u32::MAX, |x| x.0);
        let right = b.get(j).map_or(u32::MAX, |x| x.0);
        let (mut x, mut y) = (0.0, 0.0);
        if left <= right {
            x = a[i].1;
            i += 1;
        }
        if right <= left {
            y = b[j].1;
            j += 1;
        }
        let weight = x + y - x * y;
        if weight > 0.0 {
            out.push((left.min(right), weight));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{Metric, rng::Rng};

    #[test]
    fn memberships_sum_to_the_logarithm() {
        let mut rng = Rng::new(5, 5);
        let mut distances: Vec<f32> = (0..14).map(|_| 3.0 + rng.unit() as f32).collect();
        distances.sort_by(f32::total_cmp);
        let weights = memberships(&distances, 3.5);
        assert_eq!(weights[0], 1.0);
        assert!((weights.iter().sum::<f32>() - 15f32.log2()).abs() < 1e-4);
        // More duplicates than the sum allows: they keep their certainty, the rest gets nothing.
        let weights = memberships(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 9.0], 1.0);
        assert_eq!(weights[..7], [1.0; 7]);
        assert!(memberships(&[0.0; 5], 0.0).iter().all(|&w| w == 1.0));
    }

    #[test]
    fn unions_are_symmetric_and_follow_the_formula() {
        let mut rng = Rng::new(6, 0);
        let points = Array2::from_shape_simple_fn((200, 4), || rng.normal() as f32);
        let neighbors = Neighbors::exact(points.view(), 14, Metric::EUCLIDEAN, &()).unwrap();
        let graph = Graph::new(&neighbors, 14);
        let (mut directed, mut dense) = (Array2::<f32>::zeros((200, 200)), Array2::<f32>::zeros((200, 200)));
        for i in 0..200 {
            let weights = memberships(neighbors.distances(i), 1.0);
            neighbors
                .indices(i)
                .iter()
                .zip(weights)
                .for_each(|(&j, w)| directed[[i, j as usize]] = w);
            let (columns, weights) = graph.row(i);
            columns
                .iter()
                .zip(weights)
                .for_each(|(&j, &w)| dense[[i, j as usize]] = w);
        }
        let expected = &directed + &directed.t() - &directed * &directed.t();
        assert!((&dense - &expected).iter().all(|x| x.abs() < 1e-6));
        assert_eq!(dense, dense.t());
    }

    #[test]
    fn two_islands_are_not_connected() {
        let points = Array2::from_shape_fn((20, 1), |(i, _)| if i < 10 { i as f32 } else { 30.0 + i as f32 });
        let graph = |k| Graph::new(&Neighbors::exact(points.view(), k, Metric::EUCLIDEAN, &()).unwrap(), k);
        assert!(!graph(4).is_connected());
        assert!(graph(12).is_connected());
    }
}
