//! Exact neighbors under a metric without a kernel: every pair is measured by the metric itself.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use attn_core::{Progress, progress};
use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{exact::write, select::Candidate};
use crate::{Error, Metric, Result, linalg::check_points, stages};

/// Points of one task.
const CHUNK: usize = 32;

/// Indices and distances of the `k` nearest of every point.
pub(super) fn search(
    points: ArrayView2<'_, f32>,
    k: usize,
    metric: &Metric,
    progress: &dyn Progress,
) -> Result<(Vec<u32>, Vec<f32>)> {
    check_points("points", points)?;
    let (n, width) = points.dim();
    if width == 0 {
        return Err(Error::shape(
            "points",
            "at least one column",
            format!("{:?}", points.dim()),
        ));
    }
    let points = points.as_standard_layout();
    let flat = points.as_slice().unwrap_or_default();
    let (mut indices, mut distances) = (vec![0u32; n * k], vec![0.0f32; n * k]);
    let done = AtomicUsize::new(0);
    indices
        .par_chunks_mut(CHUNK * k)
        .zip(distances.par_chunks_mut(CHUNK * k))
        .enumerate()
        .try_for_each(|(chunk, (indices, distances))| {
            let slots = indices.chunks_mut(k).zip(distances.chunks_mut(k));
            for (row, (indices, distances)) in slots.enumerate() {
                let i = chunk * CHUNK + row;
                let mut near = nearest(&flat[i * width..(i + 1) * width], flat, metric, Some(i))?;
                near.select_nth_unstable(k - 1);
                near.truncate(k);
                near.sort_unstable();
                write(&near, indices, distances);
            }
            let finished = done.fetch_add(indices.len() / k, Relaxed) + indices.len() / k;
            Ok::<(), Error>(progress::step(progress, stages::NEIGHBORS, finished, n)?)
        })?;
    Ok((indices, distances))
}

/// All points but one with their distances from a row, in no particular order.
pub(super) fn nearest(row: &[f32], flat: &[f32], metric: &Metric, own: Option<usize>) -> Result<Vec<Candidate>> {
    let distances = metric.distances(row, flat)?.into_iter().enumerate();
    Ok(distances
        .filter(|(j, _)| Some(*j) != own)
        .map(|(j, distance)| Candidate::new(distance, j as u32))
        .collect())
}
