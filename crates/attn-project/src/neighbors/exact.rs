//! Exact nearest neighbors: all pairs, in blocks.
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
use crate::{Error, Result, metric::Space, stages};

/// A few more than asked for, so that rounding in the products cannot lose one at the border.
pub(super) fn kept(k: usize, n: usize) -> usize {
    (k + 8).min(n - 1)
}

/// Indices and distances of the `k` nearest of every point.
pub(super) fn search(space: &Space<'_>, k: usize, progress: &dyn Progress) -> Result<(Vec<u32>, Vec<f32>)> {
    let n = space.len();
    let mut indices = vec![0u32; n * k];
    let mut distances = vec![0.0f32; n * k];
    let panels = Panels::spread(space);
    let found = match pairs::search(space, &panels, kept(k, n), progress)? {
        Some(found) => found,
        None => all_rows(space, &panels, kept(k, n), progress)?,
    };
    let unsure: Vec<usize> = indices
        .par_chunks_mut(k)
        .zip(distances.par_chunks_mut(k))
        .zip(found)
        .enumerate()
        .filter_map(|(i, ((indices, distances), mut found))| {
            measure(space, i, &mut found);
            write(&found, indices, distances);
            (!is_sure(space, i, k, &found)).then_some(i)
        })
        .collect();
    settle(space, &panels, &unsure, &mut indices, &mut distances);
    Ok((indices, distances))
}

/// Whether no point can be nearer than the `k` nearest of the candidates, which are in order, although they were
/// chosen by rounded scores: the score of the farthest candidate was no better than that of any point that was passed
/// over.
pub(super) fn is_sure(space: &Space<'_>, i: usize, k: usize, candidates: &[Candidate]) -> bool {
    let half_squared = |candidate: &Candidate| space.half_squared(candidate.score());
    let farthest = candidates.last().and_then(half_squared);
    let (Some(kth), Some(farthest)) = (candidates.get(k - 1).and_then(half_squared), farthest) else {
        return true;
    };
    candidates.len() + 1 == space.len() || kth + 2.0 * space.rounding(i, farthest).1 < farthest
}

/// Finds the neighbors of some points anew: every point is measured that rounding may have made look farther than those
/// found till now.
pub(super) fn settle(space: &Space<'_>, panels: &Panels, unsure: &[usize], indices: &mut [u32], distances: &mut [f32]) {
    let k = indices.len() / space.len();
    let settled: Vec<Vec<Candidate>> = unsure
        .par_chunks(ROWS)
        .flat_map_iter(|rows| {
            let rows_of = rows.iter().map(|&i| (i as u32, space.row(i)));
            let mut queries = Queries::new(rows_of, space.rows.ncols(), 0);
            for (&i, nearest) in rows.iter().zip(&mut queries.nearest) {
                let reach = space.half_squared(distances[i * k + k - 1]).unwrap_or(f32::INFINITY);
                let (offset, error) = space.rounding(i, reach);
                *nearest = Nearest::below(reach - offset + error);
            }
            queries.scan(panels, 0..panels.len());
            rows.iter().zip(queries.nearest).map(|(&i, mut nearest)| {
                let mut found = nearest.take();
                measure(space, i, &mut found);
                found.truncate(k);
                found
            })
        })
        .collect();
    for (&i, found) in unsure.iter().zip(&settled) {
        write(
            found,
            &mut indices[i * k..(i + 1) * k],
            &mut distances[i * k..(i + 1) * k],
        );
    }
}

/// The nearest of measured candidates.
pub(super) fn write(nearest: &[Candidate], indices: &mut [u32], distances: &mut [f32]) {
    for ((index, distance), candidate) in indices.iter_mut().zip(distances).zip(nearest) {
        *index = candidate.point();
        *distance = candidate.score();
    }
}

/// The `kept` nearest of every point, in no particular order, each point for itself.
fn all_rows(space: &Space<'_>, panels: &Panels, kept: usize, progress: &dyn Progress) -> Result<Vec<Vec<Candidate>>> {
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
            progress::step(progress, stages::NEIGHBORS, finished, n)?;
            Ok(queries.nearest.iter_mut().map(Nearest::take).collect())
        })
        .collect::<Result<_, Error>>()?;
    Ok(blocks.into_iter().flatten().collect())
}

/// Measures the candidates of point `i` exactly, and puts the nearest first.
pub(super) fn measure(space: &Space<'_>, i: usize, candidates: &mut [Candidate]) {
    pulp::Arch::new().dispatch(Measure { space, i, candidates });
    candidates.sort_unstable();
}

/// Replaces the scores of candidates by their distances from point `i`.
struct Measure<'a, 'b> {
    space: &'a Space<'b>,
    i: usize,
    candidates: &'a mut [Candidate],
}

impl WithSimd for Measure<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for candidate in self.candidates {
            let point = candidate.point();
            *candidate = Candidate::new(self.space.distance(simd, self.i, point as usize), point);
        }
    }
}
