//! Exact nearest neighbours by blocked matrix products.
//!
//! For tens of thousands of points in 64 dimensions all pairs are faster than any index: the products run near
//! the machine's peak, and the selection looks at most products once, sixteen at a time: a sample of the first
//! ones gives a threshold that few can be below, and the worst of the best found so far is the threshold for
//! the rest. The few candidates of a row are measured again from their differences, so that duplicates are at
//! distance 0 and rounding in the products does not reorder near ties.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use crate::{Error, Metric, metric::Space};

/// Rows and columns of one block of products: 64 x 4096 x 4 bytes stay in a core's second-level cache.
const ROWS: usize = 64;
const COLUMNS: usize = 4096;

/// The `k` nearest neighbours of every point, without the point itself, nearest first; ties by lower index.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    k: usize,
    metric: Metric,
    indices: Vec<u32>,
    distances: Vec<f32>,
}

impl Neighbors {
    /// Finds the exact `k` nearest neighbours of every row of `points` `[point, dimension]`.
    ///
    /// Time grows with the square of the number of points (10,112 x 64, k = 90: about one CPU second), memory with `points * k`. Same result, to the bit, on any number of threads.
    ///
    /// ```
    /// use attn_project::{Metric, Neighbors};
    /// let points = ndarray::array![[0.0f32, 0.0], [1.0, 0.0], [5.0, 0.0]];
    /// let neighbors = Neighbors::exact(points.view(), 1, Metric::Euclidean, &())?;
    /// assert_eq!(neighbors.indices(2), [1]);
    /// assert_eq!(neighbors.distances(2), [4.0]);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] if there are not `k + 1` points, [`Error::Parameter`] if `k` is 0,
    /// [`Error::NotFinite`], [`Error::Shape`] without columns, [`Error::Cancelled`].
    pub fn exact(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: Metric,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        if k == 0 {
            return Err(Error::parameter("k", "at least 1", k));
        }
        let n = points.nrows();
        if n <= k {
            return Err(Error::TooFewPoints {
                what: "nearest neighbours",
                needed: k + 1,
                found: n,
            });
        }
        let space = Space::new(points, metric)?;
        let mut indices = vec![0u32; n * k];
        let mut distances = vec![0.0f32; n * k];
        let done = AtomicUsize::new(0);
        indices
            .par_chunks_mut(ROWS * k)
            .zip(distances.par_chunks_mut(ROWS * k))
            .enumerate()
            .try_for_each(|(block, (indices, distances))| {
                search_block(&space, block * ROWS, k, indices, distances);
                let finished = done.fetch_add(indices.len() / k, Relaxed) + indices.len() / k;
                progress::step(progress, "neighbours", finished, n)
            })?;
        Ok(Self {
            k,
            metric,
            indices,
            distances,
        })
    }

    /// Neighbours per point.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The metric they were found with.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.indices.len() / self.k
    }

    /// Whether there are no points. Never true: a table has at least two.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The neighbours of `point`, nearest first.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn indices(&self, point: usize) -> &[u32] {
        &self.indices[point * self.k..(point + 1) * self.k]
    }

    /// The distances of the neighbours of `point`, ascending.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn distances(&self, point: usize) -> &[f32] {
        &self.distances[point * self.k..(point + 1) * self.k]
    }
}

/// Fills the neighbours of the rows from `first` on.
fn search_block(space: &Space, first: usize, k: usize, indices: &mut [u32], distances: &mut [f32]) {
    let (n, rows) = (space.len(), indices.len() / k);
    // A few more than asked for, so that rounding in the products cannot lose one at the border.
    let kept = (k + 8).min(n - 1);
    let mut nearest: Vec<Nearest> = (0..rows).map(|_| Nearest::new(kept)).collect();
    let mut products = Array2::<f32>::zeros((rows, COLUMNS));
    let left = space.rows.slice(s![first..first + rows, ..]);
    for start in (0..n).step_by(COLUMNS) {
        let end = (start + COLUMNS).min(n);
        let mut block = products.slice_mut(s![.., ..end - start]);
        space.products(left, start..end, block.view_mut());
        for (r, nearest) in nearest.iter_mut().enumerate() {
            let mut row = block.row_mut(r);
            if (start..end).contains(&(first + r)) {
                row[first + r - start] = f32::NEG_INFINITY; // a point is not its own neighbour
            }
            nearest.scan(
                &space.bias[start..end],
                row.as_slice().unwrap_or_default(),
                start as u32,
            );
        }
    }
    for (r, mut nearest) in nearest.into_iter().enumerate() {
        let mut exact = nearest.take();
        exact
            .iter_mut()
            .for_each(|c| *c = Candidate::new(space.distance(first + r, c.point() as usize), c.point()));
        exact.sort_unstable();
        for (slot, candidate) in exact.into_iter().take(k).enumerate() {
            indices[r * k + slot] = candidate.point();
            distances[r * k + slot] = candidate.score();
        }
    }
}

/// A score and the point it belongs to in one integer, whose order is by score, then by point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate(u64);

impl Candidate {
    fn new(score: f32, point: u32) -> Self {
        // Positive floats order like their bits; negative ones the other way round. -0 counts as 0.
        let bits = (score + 0.0).to_bits();
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(point))
    }

    pub(crate) fn point(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn score(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered >> 31 == 1 {
            ordered & !(1 << 31)
        } else {
            !ordered
        })
    }
}

/// The `capacity` smallest scores seen so far.
pub(crate) struct Nearest {
    capacity: usize,
    threshold: f32,
    found: Vec<Candidate>,
}

impl Nearest {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            threshold: f32::INFINITY,
            found: Vec::with_capacity(4 * capacity),
        }
    }

    /// Offers the scores `bias - products` of the points `first..`; calls must come in ascending order.
    pub(crate) fn scan(&mut self, bias: &[f32], products: &[f32], first: u32) {
        if self.threshold == f32::INFINITY {
            self.threshold = self.guess(bias, products);
        }
        self.collect(bias, products, first);
        if self.found.len() < self.capacity {
            // The sample was not typical: nothing is lost, everything is looked at again.
            self.found.retain(|candidate| candidate.point() < first);
            self.threshold = f32::INFINITY;
            self.collect(bias, products, first);
        }
        self.compact();
    }

    /// A score that somewhat more than `capacity` are probably below, from every eighth.
    fn guess(&self, bias: &[f32], products: &[f32]) -> f32 {
        const STRIDE: usize = 8;
        let rank = self.capacity / STRIDE;
        let rank = rank + rank / 4 + 4;
        let mut sample: Vec<f32> = bias
            .iter()
            .zip(products)
            .step_by(STRIDE)
            .map(|(bias, product)| bias - product)
            .collect();
        if 2 * rank >= sample.len() {
            return f32::INFINITY;
        }
        *sample.select_nth_unstable_by(rank, f32::total_cmp).1
    }

    /// Adds every score below the threshold.
    fn collect(&mut self, bias: &[f32], products: &[f32], first: u32) {
        let threshold = self.threshold;
        let mut start = first;
        for (bias, products) in bias.chunks(CHUNK).zip(products.chunks(CHUNK)) {
            let (from, end) = (start, start + bias.len() as u32);
            start = end;
            if let (Ok(bias), Ok(products)) = (bias.try_into(), products.try_into())
                && least(bias, products) >= threshold
            {
                continue;
            }
            for ((bias, product), point) in bias.iter().zip(products).zip(from..end) {
                let score = bias - product;
                if score < threshold {
                    self.found.push(Candidate::new(score, point));
                }
            }
        }
    }

    /// Keeps the best; later points must beat the worst of them, equal ones have a higher index and lose.
    fn compact(&mut self) {
        if self.found.len() >= self.capacity {
            let (_, &mut worst, _) = self.found.select_nth_unstable(self.capacity - 1);
            self.found.truncate(self.capacity);
            self.threshold = worst.score();
        }
    }

    /// The best, in no particular order.
    pub(crate) fn take(&mut self) -> Vec<Candidate> {
        self.threshold = f32::INFINITY;
        std::mem::take(&mut self.found)
    }
}

const CHUNK: usize = 16;

/// The least `bias - product`, in a shape that compiles to vector instructions.
#[inline(always)]
fn least(bias: &[f32; CHUNK], products: &[f32; CHUNK]) -> f32 {
    let min = |a: f32, b: f32| if a < b { a } else { b };
    let scores: [f32; CHUNK] = std::array::from_fn(|i| bias[i] - products[i]);
    let halves: [f32; 8] = std::array::from_fn(|i| min(scores[i], scores[i + 8]));
    let quarters: [f32; 4] = std::array::from_fn(|i| min(halves[i], halves[i + 4]));
    min(min(quarters[0], quarters[1]), min(quarters[2], quarters[3]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn cloud(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut rng = Rng::new(seed, 0);
        Array2::from_shape_fn((n, d), |(i, _)| (rng.normal() + (i % 5) as f64) as f32)
    }

    /// All distances in f64, sorted by (distance, index).
    fn brute_force(points: &Array2<f32>, i: usize, metric: Metric) -> Vec<(f64, usize)> {
        let x = points.mapv(f64::from);
        let mut all: Vec<(f64, usize)> = (0..x.nrows())
            .filter(|&j| j != i)
            .map(|j| {
                let (a, b) = (x.row(i), x.row(j));
                let distance = match metric {
                    Metric::Euclidean => a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
                    Metric::InnerProduct => -a.dot(&b),
                    Metric::Cosine => {
                        let norms = (a.dot(&a) * b.dot(&b)).sqrt();
                        if norms == 0.0 { 1.0 } else { 1.0 - a.dot(&b) / norms }
                    }
                };
                (distance, j)
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all
    }

    #[test]
    fn agrees_with_brute_force() {
        let mut points = cloud(1500, 19, 3);
        points.row_mut(77).fill(0.0);
        points.row_mut(1400).fill(0.0);
        for metric in [Metric::Euclidean, Metric::Cosine, Metric::InnerProduct] {
            let neighbors = Neighbors::exact(points.view(), 23, metric, &()).unwrap();
            for i in (0..1500).step_by(7) {
                let truth = brute_force(&points, i, metric);
                for (slot, &(distance, _)) in truth.iter().take(23).enumerate() {
                    let found = f64::from(neighbors.distances(i)[slot]);
                    assert!(
                        (found - distance).abs() < 1e-5 * (1.0 + distance.abs()),
                        "{metric:?} {i} {slot}: {found} {distance}"
                    );
                }
                assert!(!neighbors.indices(i).contains(&(i as u32)));
            }
        }
    }

    #[test]
    fn far_from_the_origin() {
        let points = cloud(600, 8, 5) + 1000.0;
        let neighbors = Neighbors::exact(points.view(), 10, Metric::Euclidean, &()).unwrap();
        for i in 0..600 {
            let truth: Vec<u32> = brute_force(&points, i, Metric::Euclidean)
                .iter()
                .take(10)
                .map(|p| p.1 as u32)
                .collect();
            assert_eq!(neighbors.indices(i), truth);
        }
    }

    #[test]
    fn duplicates_are_at_distance_zero_and_ordered_by_index() {
        let mut points = cloud(400, 6, 9);
        for i in (0..400).step_by(4) {
            let first = points.row(0).to_owned();
            points.row_mut(i).assign(&first);
        }
        for metric in [Metric::Euclidean, Metric::Cosine] {
            let neighbors = Neighbors::exact(points.view(), 5, metric, &()).unwrap();
            assert_eq!(neighbors.indices(8), [0, 4, 12, 16, 20]);
            assert_eq!(neighbors.distances(8), [0.0; 5]);
        }
        let equal = Array2::<f32>::from_elem((50, 3), 2.5);
        let neighbors = Neighbors::exact(equal.view(), 4, Metric::Euclidean, &()).unwrap();
        assert_eq!(neighbors.indices(2), [0, 1, 3, 4]);
    }

    #[test]
    fn huge_and_tiny_values() {
        for scale in [1e30f32, 1e-30] {
            let points = cloud(60, 4, 1);
            let plain = Neighbors::exact(points.view(), 5, Metric::Euclidean, &()).unwrap();
            let scaled = Neighbors::exact((points * scale).view(), 5, Metric::Euclidean, &()).unwrap();
            assert_eq!(plain.indices, scaled.indices);
        }
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        let points = cloud(1100, 16, 2);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Neighbors::exact(points.view(), 12, Metric::Cosine, &()).unwrap())
        };
        let one = on(1);
        assert_eq!(one, on(2));
        assert_eq!(one, on(8));
    }

    #[test]
    fn bad_input_is_refused() {
        let mut points = cloud(10, 3, 1);
        let search = |points: &Array2<f32>, k| Neighbors::exact(points.view(), k, Metric::Cosine, &()).unwrap_err();
        assert!(matches!(
            search(&points, 10),
            Error::TooFewPoints {
                needed: 11,
                found: 10,
                ..
            }
        ));
        assert!(matches!(search(&points, 0), Error::Parameter { parameter: "k", .. }));
        points[[4, 2]] = f32::INFINITY;
        assert!(matches!(search(&points, 3), Error::NotFinite { row: 4, column: 2, .. }));
        let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
        points[[4, 2]] = 0.0;
        assert!(
            Neighbors::exact(points.view(), 3, Metric::Cosine, &stop)
                .unwrap_err()
                .is_cancelled()
        );
    }
}
