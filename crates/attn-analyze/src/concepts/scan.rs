//! The clusters that may cost least to join, by products of matrices: of some clusters, or of all of them at once, when each
//! pair is looked at only once. Costs are lower bounds: what rounding may have added is taken off.

use attn_core::{Progress, progress::step};
use ndarray::{Array2, ArrayView2, linalg::general_mat_mul};
use rayon::prelude::*;

use super::points::Slack;
use crate::Error;

/// Clusters compared with others at a time: their costs fit the second-level cache.
const TILE: usize = 512;

/// Centroids in a [`Frame`](super::points::Frame), `[cluster, dimension]`, their squared lengths, and how many points each
/// stands for.
pub(super) struct Clusters<'a> {
    pub(super) dims: usize,
    pub(super) centroids: &'a [f32],
    pub(super) norms: &'a [f32],
    pub(super) sizes: &'a [f32],
}

/// The lists of a tile, lent to the thread that compares it.
type Lists = Vec<Nearest>;

impl Clusters<'_> {
    /// The `kept` cheapest partners of each of `rows` by the least that they may cost, ascending.
    pub(super) fn nearest_of(&self, rows: &[usize], kept: usize) -> Vec<Vec<(f32, u32)>> {
        let mut own = Vec::with_capacity(rows.len() * self.dims);
        for &row in rows {
            own.extend_from_slice(&self.centroids[row * self.dims..(row + 1) * self.dims]);
        }
        let mut best: Lists = rows.iter().map(|_| Nearest::new(kept)).collect();
        let mut costs = Array2::<f32>::zeros((rows.len(), TILE));
        for tile in 0..self.tiles() {
            let (start, width) = self.tile(tile);
            let mut costs = costs.slice_mut(ndarray::s![.., ..width]);
            self.products(&own, start, width, &mut costs);
            for ((&row, best), mut costs) in rows.iter().zip(&mut best).zip(costs.rows_mut()) {
                let Some(costs) = costs.as_slice_mut() else { continue };
                self.costs(row, start, costs);
                best.add(costs, start);
            }
        }
        best.into_iter().map(|best| best.0).collect()
    }

    /// The same for every cluster, in half the time: what a tile costs another is what the other costs it.
    ///
    /// Tiles meet as in a tournament: in each round every tile meets one other, all meetings at once, so that no two
    /// threads write to one list and the order is the same on any number of them.
    pub(super) fn nearest_of_all(&self, kept: usize, progress: &dyn Progress) -> Result<Vec<Vec<(f32, u32)>>, Error> {
        const STAGE: &str = "nearest clusters";
        let tiles = self.tiles();
        let new = |tile| (0..self.tile(tile).1).map(|_| Nearest::new(kept)).collect();
        let mut lists: Vec<Lists> = (0..tiles).map(new).collect();
        step(progress, STAGE, 0, tiles)?;
        lists
            .par_iter_mut()
            .enumerate()
            .for_each(|(tile, lists)| self.meet(tile, lists, tile, &mut []));
        // The circle method: one place stays, the others turn by one each round. With an odd number one place is empty.
        let turning = (tiles + tiles % 2).saturating_sub(1);
        for round in 0..turning {
            step(progress, STAGE, (round + 1).min(tiles), tiles)?;
            let pair = |at: usize| match at {
                0 => (turning, round),
                _ => ((round + at) % turning, (round + turning - at) % turning),
            };
            let pairs = (0..turning.div_ceil(2))
                .map(pair)
                .filter(|&(a, b)| a < tiles && b < tiles);
            let mut meetings: Vec<(usize, usize, Lists, Lists)> = pairs
                .map(|(a, b)| (a, b, std::mem::take(&mut lists[a]), std::mem::take(&mut lists[b])))
                .collect();
            meetings
                .par_iter_mut()
                .for_each(|(a, b, ours, theirs)| self.meet(*a, ours, *b, theirs));
            for (a, b, ours, theirs) in meetings {
                lists[a] = ours;
                lists[b] = theirs;
            }
        }
        step(progress, STAGE, tiles, tiles)?;
        Ok(lists.into_iter().flatten().map(|best| best.0).collect())
    }

    /// Compares two tiles, or one with itself, when `theirs` is empty.
    fn meet(&self, a: usize, ours: &mut [Nearest], b: usize, theirs: &mut [Nearest]) {
        let ((start_a, height), (start_b, width)) = (self.tile(a), self.tile(b));
        let own = &self.centroids[start_a * self.dims..(start_a + height) * self.dims];
        let mut costs = Array2::<f32>::zeros((height, width));
        self.products(own, start_b, width, &mut costs.view_mut());
        for (at, (mut costs, best)) in costs.rows_mut().into_iter().zip(ours).enumerate() {
            let Some(costs) = costs.as_slice_mut() else { continue };
            self.costs(start_a + at, start_b, costs);
            best.add(costs, start_b);
        }
        // Columns are turned into rows a few at a time: as many as a line of the cache holds.
        const COLUMNS: usize = 16;
        let mut turned = vec![0.0; COLUMNS * height];
        for (start, theirs) in theirs.chunks_mut(COLUMNS).enumerate() {
            let columns = COLUMNS * start..COLUMNS * start + theirs.len();
            for (row, costs) in costs.slice(ndarray::s![.., columns]).rows().into_iter().enumerate() {
                costs
                    .iter()
                    .enumerate()
                    .for_each(|(column, &cost)| turned[column * height + row] = cost);
            }
            for (best, costs) in theirs.iter_mut().zip(turned.chunks(height)) {
                best.add(costs, start_a);
            }
        }
    }

    fn tiles(&self) -> usize {
        self.norms.len().div_ceil(TILE)
    }

    /// Where a tile starts, and how many clusters it has.
    fn tile(&self, tile: usize) -> (usize, usize) {
        (tile * TILE, TILE.min(self.norms.len() - tile * TILE))
    }

    /// -2 times the products of some centroids with those of a stretch.
    fn products(&self, own: &[f32], start: usize, width: usize, out: &mut ndarray::ArrayViewMut2<'_, f32>) {
        let tile = &self.centroids[start * self.dims..(start + width) * self.dims];
        if let (Ok(own), Ok(tile)) = (
            ArrayView2::from_shape((out.nrows(), self.dims), own),
            ArrayView2::from_shape((width, self.dims), tile),
        ) {
            general_mat_mul(-2.0, &own, &tile.t(), 0.0, out);
        }
    }

    /// Turns the products of one cluster into the least that joining may cost; joining with itself is out of the question.
    fn costs(&self, row: usize, start: usize, products: &mut [f32]) {
        let (norm, size, slack) = (self.norms[row], self.sizes[row], Slack::new(self.dims));
        let others = start..start + products.len();
        let (norms, sizes) = (&self.norms[others.clone()], &self.sizes[others.clone()]);
        for ((cost, &other), &other_size) in products.iter_mut().zip(norms).zip(sizes) {
            let distance = norm + other + *cost - slack.of(norm + other);
            *cost = distance * (size * other_size / (size + other_size));
        }
        if others.contains(&row) {
            products[row - start] = f32::INFINITY;
        }
    }
}

/// The lowest costs seen so far, ascending.
struct Nearest(Vec<(f32, u32)>, usize);

impl Nearest {
    fn new(kept: usize) -> Self {
        Self(Vec::with_capacity(kept + 1), kept)
    }

    fn add(&mut self, costs: &[f32], start: usize) {
        for (at, costs) in costs.chunks(16).enumerate() {
            let limit = self.limit();
            // Most chunks hold nothing of interest: one comparison for all of them.
            if costs.iter().fold(f32::INFINITY, |low, &cost| low.min(cost)) >= limit {
                continue;
            }
            for (j, &cost) in costs.iter().enumerate() {
                if cost < self.limit() {
                    let place = self.0.partition_point(|&(other, _)| other <= cost);
                    self.0.insert(place, (cost, (start + 16 * at + j) as u32));
                    self.0.truncate(self.1);
                }
            }
        }
    }

    fn limit(&self) -> f32 {
        if self.0.len() < self.1 {
            return f32::INFINITY;
        }
        self.0.last().map_or(f32::INFINITY, |&(cost, _)| cost)
    }
}
