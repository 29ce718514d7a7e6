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
    pairs,
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
    let found = match pairs::search(space, &panels, kept(k, n), progress)? {
        Some(found) => found,
        None => all_rows(space, &panels, kept(k, n), progress)?,
    };
    indices
        .par_chunks_mut(k)
        .zip(distances.par_chunks_mut(k))
        .zip(found)
        .enumerate()
        .for_each(|(i, ((indices, distances), found))| finish(space, i, found, indices, distances));
    Ok((indices, distances))
}

/// The `kept` nearest of every point, in no particular order, each point for itself.
fn all_rows(
    space: &Space,
    panels: &Panels,
    kept: usize,
    progress: &dyn Progress,
) -> Result<Vec<Vec<Candidate>>, Error> {
    let n = space.len();
    let points: Vec<u32> = (0..n as u32).collect();
    let done = AtomicUsize::new(0);
    let blocks: Vec<Vec<Vec<Candidate>>> = points
        .par_chunks(ROWS)
        .map(|rows| {
            let rows_of = rows.iter().map(|&i| (i, space.row(i as usize)));
            let mut queries = Queries::new(rows_of, space.rows.ncols(), kept);
            queries.scan(panels, 0..panels.len());
            let finished = done.fetch_add(rows.len(), Relaxed) + rows.len();
            progress::step(progress, "neighbours", finished, n)?;
            Ok(queries.nearest.iter_mut().map(Nearest::take).collect())
        })
        .collect::<Result<_, Error>>()?;
    Ok(blocks.into_iter().flatten().collect())
}

/// Measures the candidates of point `i` exactly, and writes the nearest in order.
pub(super) fn finish(space: &Space, i: usize, mut exact: Vec<Candidate>, indices: &mut [u32], distances: &mut [f32]) {
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
