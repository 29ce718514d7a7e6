//! Exact nearest neighbours: all pairs, in blocks.
//!
//! For tens of thousands of points in 64 dimensions all pairs are faster than any index: the products run near the
//! machine's peak. The few candidates of a row are measured again from their differences, so that duplicates are at
//! distance 0 and rounding in the products does not reorder near ties.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use attn_core::{Progress, progress};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    kernel::{Panels, Queries, ROWS},
    select::{Candidate, Nearest},
};
use crate::{Error, metric::Space};

/// A few more than asked for, so that rounding in the products cannot lose one at the border.
pub(super) fn kept(k: usize, n: usize) -> usize {
    (k + 8).min(n - 1)
}

/// Indices and distances of the `k` nearest of every point.
pub(super) fn search(space: &Space, k: usize, progress: &dyn Progress) -> Result<(Vec<u32>, Vec<f32>), Error> {
    let n = space.len();
    let mut indices = vec![0u32; n * k];
    let mut distances = vec![0.0f32; n * k];
    let panels = Panels::spread(space);
    let done = AtomicUsize::new(0);
    indices
        .par_chunks_mut(ROWS * k)
        .zip(distances.par_chunks_mut(ROWS * k))
        .enumerate()
        .try_for_each(|(block, (indices, distances))| {
            let rows = block * ROWS..block * ROWS + indices.len() / k;
            let count = rows.len();
            let mut queries = Queries::new(
                rows.clone().map(|i| (i as u32, space.row(i))),
                space.rows.ncols(),
                kept(k, n),
            );
            queries.scan_all(&panels, kept(k, n), |i| space.row(i as usize));
            let slots = indices.chunks_mut(k).zip(distances.chunks_mut(k));
            for ((i, nearest), (indices, distances)) in rows.zip(&mut queries.nearest).zip(slots) {
                finish(space, i, nearest, indices, distances);
            }
            let finished = done.fetch_add(count, Relaxed) + count;
            progress::step(progress, "neighbours", finished, n)
        })?;
    Ok((indices, distances))
}

/// Measures what was found for point `i` exactly, and writes the nearest in order.
pub(super) fn finish(space: &Space, i: usize, nearest: &mut Nearest, indices: &mut [u32], distances: &mut [f32]) {
    let mut exact = nearest.take();
    pulp::Arch::new().dispatch(Measure {
        space,
        i,
        candidates: &mut exact,
    });
    exact.sort_unstable();
    for ((index, distance), candidate) in indices.iter_mut().zip(distances).zip(exact) {
        *index = candidate.point();
        *distance = candidate.score();
    }
}

/// Replaces the scores of candidates by their distances from point `i`.
pub(super) struct Measure<'a> {
    pub(super) space: &'a Space,
    pub(super) i: usize,
    pub(super) candidates: &'a mut [Candidate],
}

impl WithSimd for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for candidate in self.candidates {
            let point = candidate.point();
            *candidate = Candidate::new(self.space.distance(simd, self.i, point as usize), point);
        }
    }
}
