//! UMAP of the same points in several states, optimised together: after its own springs have moved it, every point is
//! drawn towards where it is in the pictures before and after (the regularisation of umap-learn's AlignedUMAP, with a
//! window of one).

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{NOISE, START, Start, UmapParams, graph::Graph, spectral, springs::Springs};
use crate::{Dims, Error, Neighbors, projection::initial_layout};

/// Maps of all frames; `points` and graph of the first give the start of all. The tables have the neighbours that the
/// parameters ask for.
pub(crate) fn umap_aligned(
    points: ArrayView2<'_, f32>,
    tables: &[Neighbors],
    dims: Dims,
    params: &UmapParams,
    strength: f32,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Array2<f32>>, Error> {
    params.check()?;
    let count = params.neighbors(points.nrows());
    let graphs: Vec<Graph> = tables
        .iter()
        .map(|table| Graph::new(table, count.min(table.k())))
        .collect();
    let start = match (params.start, graphs.first()) {
        (Start::Spectral, Some(graph)) if graph.is_connected() => {
            spectral::layout(graph, dims, START, NOISE, seed, progress)?
        }
        _ => initial_layout(points, dims, START, NOISE, seed, progress)?,
    };
    match dims {
        Dims::Two => optimise::<2>(start, &graphs, params, strength, seed, progress),
        Dims::Three => optimise::<3>(start, &graphs, params, strength, seed, progress),
    }
}

fn optimise<const D: usize>(
    start: Array2<f32>,
    graphs: &[Graph],
    params: &UmapParams,
    strength: f32,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Array2<f32>>, Error> {
    let n = start.nrows();
    let y: Vec<[f32; D]> = start
        .rows()
        .into_iter()
        .map(|row| std::array::from_fn(|c| row[c]))
        .collect();
    let mut maps = vec![y; graphs.len()];
    let springs: Vec<Springs<'_>> = graphs
        .iter()
        // The same pushes in every frame, so that chance does not tell them apart.
        .map(|graph| Springs::new(graph, params, seed))
        .collect();
    let epochs = params.epochs.unwrap_or(if n <= 10_000 { 500 } else { 200 });
    for epoch in 0..epochs {
        progress::step(progress, "aligned UMAP", epoch, epochs)?;
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
    progress::step(progress, "aligned UMAP", epochs, epochs)?;
    maps.into_iter()
        .map(|y| {
            let flat = y.into_iter().flatten().collect();
            Array2::from_shape_vec((n, D), flat).map_err(|e| Error::shape("map", format!("{n} x {D}"), e))
        })
        .collect()
}
