//! UMAP of the same points in several states, optimized together: after its own springs have moved it, every point is
//! drawn towards where it is in the frames before and after (the regularization of umap-learn's AlignedUMAP, with a
//! window of one).

use attn_core::{Progress, progress};
use ndarray::Array2;
use rayon::prelude::*;

use super::springs::Springs;
use crate::{Result, stages, start};

/// The layouts of all frames, from one start.
pub(super) fn optimize_together<const D: usize>(
    start: &Array2<f32>,
    springs: &[Springs<'_>],
    epochs: usize,
    strength: f32,
    progress: &dyn Progress,
) -> Result<Vec<Array2<f32>>> {
    let mut maps: Vec<Vec<[f32; D]>> = vec![start::rows(start); springs.len()];
    for epoch in 0..epochs {
        progress::step(progress, stages::ALIGNED_UMAP, epoch, epochs)?;
        let rate = 1.0 - epoch as f32 / epochs as f32;
        let mut moved: Vec<_> = springs
            .iter()
            .zip(&maps)
            .map(|(springs, y)| springs.pull(y, epoch, rate))
            .collect();
        for (t, out) in moved.iter_mut().enumerate() {
            let near: Vec<&Vec<[f32; D]>> = t
                .checked_sub(1)
                .into_iter()
                .chain(Some(t + 1))
                .filter_map(|s| maps.get(s))
                .collect();
            // A share of the way, so that no strength can overshoot. It fades more slowly than the springs: what
            // their pushes moved apart by chance comes together in the end.
            let share = strength * rate.sqrt().sqrt() / near.len().max(1) as f32;
            out.par_iter_mut().enumerate().for_each(|(i, point)| {
                let from = *point;
                for other in &near {
                    (0..D).for_each(|c| point[c] += share * (other[i][c] - from[c]));
                }
            });
        }
        maps = moved;
    }
    progress::step(progress, stages::ALIGNED_UMAP, epochs, epochs)?;
    Ok(maps.iter().map(|map| start::matrix(map)).collect())
}
