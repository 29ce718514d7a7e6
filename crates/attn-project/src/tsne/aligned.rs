//! t-SNE of the same points in several states, optimised together: the sum of all divergences and a penalty on
//! movement between successive pictures (Rauber, Falcão and Telea, *Visualizing time-dependent data using dynamic
//! t-SNE*, EuroVis 2016, equation 2).

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{CHUNK, FEW, Grid, Motion, Repulsion, START, Tree, TsneParams, affinity::Affinities, centre, divergence};
use crate::{Dims, Error, Neighbors, projection::initial_layout};

/// Maps and divergences of all frames; `points` of the first give the start of all. The tables have the neighbours that
/// the parameters ask for.
pub(crate) fn tsne_aligned(
    points: ArrayView2<'_, f32>,
    tables: &[Neighbors],
    dims: Dims,
    params: &TsneParams,
    strength: f32,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<(Array2<f32>, f32)>, Error> {
    params.check()?;
    let n = points.nrows();
    let perplexity = params.effective_perplexity(n);
    let affinities: Vec<Affinities> = tables
        .iter()
        .map(|table| Affinities::new(table, params.neighbors(n).min(table.k()), perplexity))
        .collect();
    let start = initial_layout(points, dims, START, 0.01, seed, progress)?;
    match dims {
        Dims::Two if n <= FEW => descend::<2, _>(start, &affinities, params, strength, || Tree::new(0.0), progress),
        Dims::Two => descend::<2, _>(
            start,
            &affinities,
            params,
            strength,
            || Grid::new(params.theta),
            progress,
        ),
        Dims::Three => descend::<3, _>(
            start,
            &affinities,
            params,
            strength,
            || Tree::new(params.theta),
            progress,
        ),
    }
}

/// One frame on its way.
struct Frame<const D: usize, F> {
    field: F,
    y: Vec<[f32; D]>,
    next: Vec<[f32; D]>,
    repulsion: Vec<[f32; D]>,
    motion: Vec<Motion<D>>,
}

fn descend<const D: usize, F: Repulsion<D>>(
    start: Array2<f32>,
    affinities: &[Affinities],
    params: &TsneParams,
    strength: f32,
    field: impl Fn() -> F,
    progress: &dyn Progress,
) -> Result<Vec<(Array2<f32>, f32)>, Error> {
    let n = start.nrows();
    let y: Vec<[f32; D]> = start
        .rows()
        .into_iter()
        .map(|row| std::array::from_fn(|c| row[c]))
        .collect();
    let still = Motion {
        velocity: [0.0; D],
        gain: [1.0; D],
    };
    let mut frames: Vec<Frame<D, F>> = affinities
        .iter()
        .map(|_| Frame {
            field: field(),
            next: y.clone(),
            repulsion: vec![[0.0; D]; n],
            motion: vec![still; n],
            y: y.clone(),
        })
        .collect();
    let total = params.exaggerated_iterations + params.iterations;
    for iteration in 0..total {
        progress::step(progress, "aligned t-SNE", iteration, total)?;
        let early = iteration < params.exaggerated_iterations;
        let exaggeration = if early { params.exaggeration } else { 1.0 };
        let momentum = if early { 0.5 } else { 0.8 };
        let rate = params.learning_rate.unwrap_or(n as f32 / exaggeration);
        // A point's affinities sum to about 1 / n: so much pulls a point at strength 1.
        let hold = exaggeration * strength / n as f32;
        for t in 0..frames.len() {
            let (before, rest) = frames.split_at_mut(t);
            let Some((frame, after)) = rest.split_first_mut() else {
                continue;
            };
            let sum = frame
                .field
                .repulsion(&frame.y, &mut frame.repulsion)
                .max(f64::MIN_POSITIVE);
            let away = (1.0 / sum) as f32;
            let neighbors: Vec<&[[f32; D]]> = before
                .last()
                .into_iter()
                .chain(after.first())
                .map(|other| other.y.as_slice())
                .collect();
            let (y, repulsion) = (&frame.y, &frame.repulsion);
            frame
                .next
                .par_chunks_mut(CHUNK)
                .zip(frame.motion.par_chunks_mut(CHUNK))
                .enumerate()
                .for_each(|(chunk, (next, motion))| {
                    for (offset, (next, motion)) in next.iter_mut().zip(motion).enumerate() {
                        let i = chunk * CHUNK + offset;
                        let pull = pull(&affinities[t], y, i);
                        let gradient = std::array::from_fn(|c| {
                            let held: f32 = neighbors.iter().map(|other| y[i][c] - other[i][c]).sum();
                            exaggeration * pull[c] - away * repulsion[i][c] + hold * held
                        });
                        *next = motion.advance(&y[i], gradient, momentum, rate);
                    }
                });
        }
        // All frames have seen the others as they were; now they move.
        for frame in &mut frames {
            centre(&mut frame.next);
            std::mem::swap(&mut frame.y, &mut frame.next);
        }
    }
    progress::step(progress, "aligned t-SNE", total, total)?;
    frames
        .into_iter()
        .zip(affinities)
        .map(|(mut frame, affinities)| {
            let sum = frame
                .field
                .repulsion(&frame.y, &mut frame.repulsion)
                .max(f64::MIN_POSITIVE);
            let kl = divergence(affinities, &frame.y, sum) as f32;
            let flat = frame.y.into_iter().flatten().collect();
            let map = Array2::from_shape_vec((n, D), flat).map_err(|e| Error::shape("map", format!("{n} x {D}"), e))?;
            Ok((map, kl))
        })
        .collect()
}

/// `Σ_j p_ij (y_i - y_j) / (1 + |y_i - y_j|²)`.
fn pull<const D: usize>(affinities: &Affinities, y: &[[f32; D]], i: usize) -> [f32; D] {
    let (columns, values) = affinities.row(i);
    let mut sum = [0.0f32; D];
    for (&j, &p) in columns.iter().zip(values) {
        let difference: [f32; D] = std::array::from_fn(|c| y[i][c] - y[j as usize][c]);
        let weight = p / (1.0 + difference.iter().map(|x| x * x).sum::<f32>());
        (0..D).for_each(|c| sum[c] += weight * difference[c]);
    }
    sum
}
