//! t-SNE: a map in which neighbours stay neighbours (van der Maaten and Hinton, *Visualizing data using t-SNE*,
//! JMLR 2008).
//!
//! Best practice since: principal components as the start (Kobak and Berens, *The art of using t-SNE for
//! single-cell transcriptomics*, Nature Communications 2019), a learning rate that grows with the number of
//! points (Belkina et al., Nature Communications 2019), repulsion from a tree, or in the plane from a grid where the
//! points lie densely.

mod affinity;
pub(crate) mod aligned;
mod grid;
pub(crate) mod place;
mod problem;
mod tree;

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::problem::{TsneProblem, TsneStep};
use self::{affinity::Affinities, grid::Grid, tree::Tree};
use crate::{Dims, Error, Neighbors, projection::initial_layout};

/// Points moved by one task.
const CHUNK: usize = 256;
/// Up to so many points of the plane all pairs are summed, which is as fast as the grid and exact.
const FEW: usize = 400;
/// No point moves farther than this in one iteration.
const LONGEST_STEP: f32 = 5.0;
/// Standard deviation of the start along its widest axis.
const START: f64 = 1e-4;

/// Parameters of t-SNE. The defaults are today's best practice; [`TsneParams::published`] are those of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TsneParams {
    /// Effective number of neighbours, at least 1. Default 30. Every point needs three times as many neighbours;
    /// where there are not so many points, a third of the other points is used.
    pub perplexity: f32,
    /// Factor on the attraction during the first phase, in which clusters find each other. Default 12.
    pub exaggeration: f32,
    /// Iterations of the first phase. Default 250.
    pub exaggerated_iterations: usize,
    /// Iterations after it. Default 500.
    pub iterations: usize,
    /// Step per unit of gradient. Default: the number of points divided by the exaggeration of the phase,
    /// so that a step undoes a constant share of the attraction whatever the number of points.
    pub learning_rate: Option<f32>,
    /// Accuracy of the tree of far points: a cell counts as one point if its width is below `theta` times its
    /// distance. Default 0.5; smaller is slower and more exact. In the plane a grid takes the tree's place where that is
    /// faster.
    pub theta: f32,
}

impl Default for TsneParams {
    fn default() -> Self {
        Self {
            perplexity: 30.0,
            exaggeration: 12.0,
            exaggerated_iterations: 250,
            iterations: 500,
            learning_rate: None,
            theta: 0.5,
        }
    }
}

impl TsneParams {
    /// The parameters of the projections in AttentionViz (Yeh et al. 2023): perplexity 50, 300 iterations in
    /// all. Too few to converge: for reproducing a figure, not for reading one. The paper's metric is
    /// [`Metric::Cosine`](crate::Metric::Cosine).
    pub fn published() -> Self {
        Self {
            perplexity: 50.0,
            exaggerated_iterations: 250,
            iterations: 50,
            ..Self::default()
        }
    }

    /// Neighbours each of `points` points needs: three times the perplexity, or all the others if those are fewer.
    pub fn neighbors(&self, points: usize) -> usize {
        ((3.0 * self.perplexity) as usize).clamp(1, points.saturating_sub(1).max(1))
    }

    /// The perplexity used for `points` points: a third of the other points is the most they allow.
    pub fn effective_perplexity(&self, points: usize) -> f32 {
        self.perplexity.min(points.saturating_sub(1) as f32 / 3.0).max(1.0)
    }

    /// Refuses values that no run could use.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the parameter.
    pub fn check(&self) -> Result<(), Error> {
        let number = |parameter, value: f32, least: f32| {
            if value.is_finite() && value >= least {
                Ok(())
            } else {
                Err(Error::parameter(
                    parameter,
                    format!("a finite number, at least {least}"),
                    value,
                ))
            }
        };
        number("perplexity", self.perplexity, 1.0)?;
        number("exaggeration", self.exaggeration, 1.0)?;
        number("theta", self.theta, 0.01)?;
        if let Some(rate) = self.learning_rate
            && !(rate > 0.0 && rate <= 1e9)
        {
            return Err(Error::parameter("learning_rate", "above 0, at most 1e9", rate));
        }
        if self.exaggerated_iterations.saturating_add(self.iterations) == 0 {
            return Err(Error::parameter(
                "iterations",
                "at least one in both phases together",
                0,
            ));
        }
        Ok(())
    }
}

/// What moves the points apart: the numerator `Σ_j (y_i - y_j) / (1 + |y_i - y_j|²)²` of the repulsion, and its
/// denominator, the sum of `1 / (1 + |y_i - y_j|²)` over all ordered pairs.
trait Repulsion<const D: usize> {
    fn repulsion(&mut self, y: &[[f32; D]], out: &mut [[f32; D]]) -> f64;
}

/// Runs t-SNE on a neighbour table; `points` only give the start. Returns the map and its Kullback-Leibler
/// divergence.
pub(crate) fn tsne(
    points: ArrayView2<'_, f32>,
    neighbors: &Neighbors,
    dims: Dims,
    params: &TsneParams,
    seed: u64,
    progress: &dyn Progress,
) -> Result<(Array2<f32>, f32), Error> {
    params.check()?;
    let count = params.neighbors(neighbors.len());
    if neighbors.k() < count {
        let (neighbors, largest) = (neighbors.k(), neighbors.k() as f32 / 3.0);
        return Err(Error::PerplexityTooLarge {
            perplexity: params.perplexity,
            neighbors,
            largest,
        });
    }
    let affinities = Affinities::new(neighbors, count, params.effective_perplexity(neighbors.len()));
    let start = initial_layout(points, dims, START, 0.01, seed, progress)?;
    match dims {
        Dims::Two if neighbors.len() <= FEW => descend::<2>(start, &affinities, params, &mut Tree::new(0.0), progress),
        Dims::Two => descend::<2>(start, &affinities, params, &mut Grid::new(params.theta), progress),
        Dims::Three => descend::<3>(start, &affinities, params, &mut Tree::new(params.theta), progress),
    }
}

/// Velocity and gain of a point.
#[derive(Clone, Copy)]
struct Motion<const D: usize> {
    velocity: [f32; D],
    gain: [f32; D],
}

fn descend<const D: usize>(
    start: Array2<f32>,
    affinities: &Affinities,
    params: &TsneParams,
    field: &mut impl Repulsion<D>,
    progress: &dyn Progress,
) -> Result<(Array2<f32>, f32), Error> {
    let n = affinities.len();
    let mut y: Vec<[f32; D]> = start
        .rows()
        .into_iter()
        .map(|row| std::array::from_fn(|c| row[c]))
        .collect();
    let mut next = y.clone();
    let mut repulsion = vec![[0.0f32; D]; n];
    let mut motion = vec![
        Motion {
            velocity: [0.0; D],
            gain: [1.0; D]
        };
        n
    ];
    let total = params.exaggerated_iterations + params.iterations;
    for iteration in 0..total {
        progress::step(progress, "t-SNE", iteration, total)?;
        let early = iteration < params.exaggerated_iterations;
        let exaggeration = if early { params.exaggeration } else { 1.0 };
        let momentum = if early { 0.5 } else { 0.8 };
        let rate = params.learning_rate.unwrap_or(n as f32 / exaggeration);
        let sum = field.repulsion(&y, &mut repulsion).max(f64::MIN_POSITIVE);
        let away = (1.0 / sum) as f32;
        next.par_chunks_mut(CHUNK)
            .zip(motion.par_chunks_mut(CHUNK))
            .enumerate()
            .for_each(|(chunk, (next, motion))| {
                pulp::Arch::new().dispatch(Move {
                    affinities,
                    y: &y,
                    repulsion: &repulsion,
                    first: chunk * CHUNK,
                    next,
                    motion,
                    exaggeration,
                    away,
                    momentum,
                    rate,
                });
            });
        centre(&mut next);
        std::mem::swap(&mut y, &mut next);
    }
    progress::step(progress, "t-SNE", total, total)?;
    let sum = field.repulsion(&y, &mut repulsion).max(f64::MIN_POSITIVE);
    let kl = divergence(affinities, &y, sum);
    let flat = y.iter().flatten().copied().collect();
    let map = Array2::from_shape_vec((n, D), flat).map_err(|e| Error::shape("map", format!("{n} x {D}"), e))?;
    Ok((map, kl as f32))
}

/// One iteration of the points `first..`: compiled for the vector instructions that the processor turns out to have.
struct Move<'a, const D: usize> {
    affinities: &'a Affinities,
    y: &'a [[f32; D]],
    repulsion: &'a [[f32; D]],
    first: usize,
    next: &'a mut [[f32; D]],
    motion: &'a mut [Motion<D>],
    exaggeration: f32,
    /// What the repulsions are multiplied by: one over the sum over pairs.
    away: f32,
    momentum: f32,
    rate: f32,
}

impl<const D: usize> WithSimd for Move<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut others = [[0.0f32; GATHERED]; D];
        for (offset, (next, motion)) in self.next.iter_mut().zip(self.motion).enumerate() {
            let i = self.first + offset;
            let pull = attraction(simd, self.affinities, self.y, i, &mut others);
            let mut gradient = [0.0; D];
            for c in 0..D {
                gradient[c] = self.exaggeration * pull[c] - self.away * self.repulsion[i][c];
            }
            *next = motion.advance(&self.y[i], gradient, self.momentum, self.rate);
        }
    }
}

/// Neighbours gathered before they are computed with: enough that the first are out of the way when they are read again,
/// and a multiple of every vector's width.
const GATHERED: usize = 128;

/// `Σ_j p_ij (y_i - y_j) / (1 + |y_i - y_j|²)`; `others` is room for neighbours.
#[inline(always)]
fn attraction<S: Simd, const D: usize>(
    simd: S,
    affinities: &Affinities,
    y: &[[f32; D]],
    i: usize,
    others: &mut [[f32; GATHERED]; D],
) -> [f32; D] {
    let (columns, values) = affinities.row(i);
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let (mut point, mut sums) = ([zero; D], [zero; D]);
    for c in 0..D {
        point[c] = simd.splat_f32s(y[i][c]);
    }
    for (columns, values) in columns.chunks(GATHERED).zip(values.chunks(GATHERED)) {
        for (lane, &j) in columns.iter().enumerate() {
            let other = y[j as usize];
            for c in 0..D {
                others[c][lane] = other[c];
            }
        }
        let (full, rest) = S::as_simd_f32s(values);
        // A last vector that is not full has zeros for the probabilities of whatever lies beyond.
        let last = simd.partial_load_f32s(rest);
        let vectors = full.len() + usize::from(!rest.is_empty());
        for v in 0..vectors {
            let p = if v < full.len() { full[v] } else { last };
            let mut apart = [zero; D];
            let mut squared = one;
            for c in 0..D {
                apart[c] = simd.sub_f32s(point[c], S::as_simd_f32s(&others[c]).0[v]);
                squared = simd.mul_add_e_f32s(apart[c], apart[c], squared);
            }
            let weight = simd.div_f32s(p, squared);
            for c in 0..D {
                sums[c] = simd.mul_add_e_f32s(weight, apart[c], sums[c]);
            }
        }
    }
    let mut pull = [0.0; D];
    for c in 0..D {
        pull[c] = simd.reduce_sum_f32s(sums[c]);
    }
    pull
}

impl<const D: usize> Motion<D> {
    /// Moves by momentum and gradient; the gain of a coordinate grows while its direction holds (Jacobs 1988).
    #[inline(always)]
    fn advance(&mut self, from: &[f32; D], gradient: [f32; D], momentum: f32, rate: f32) -> [f32; D] {
        for c in 0..D {
            let turned = (gradient[c] > 0.0) == (self.velocity[c] > 0.0);
            self.gain[c] = if turned {
                (self.gain[c] * 0.8).max(0.01)
            } else {
                self.gain[c] + 0.2
            };
            let velocity = momentum * self.velocity[c] - rate * self.gain[c] * gradient[c];
            self.velocity[c] = velocity.clamp(-LONGEST_STEP, LONGEST_STEP);
        }
        let length = self.velocity.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > LONGEST_STEP {
            self.velocity.iter_mut().for_each(|v| *v *= LONGEST_STEP / length);
        }
        std::array::from_fn(|c| from[c] + self.velocity[c])
    }
}

/// Shifts the mean to the origin.
fn centre<const D: usize>(y: &mut [[f32; D]]) {
    let mut mean = [0.0f64; D];
    for point in &*y {
        (0..D).for_each(|c| mean[c] += f64::from(point[c]));
    }
    let mean = mean.map(|m| (m / y.len() as f64) as f32);
    y.iter_mut().for_each(|point| (0..D).for_each(|c| point[c] -= mean[c]));
}

/// `Σ p ln (p / q)` with `q = 1 / ((1 + |y_i - y_j|²) sum)`.
fn divergence<const D: usize>(affinities: &Affinities, y: &[[f32; D]], sum: f64) -> f64 {
    let log_sum = sum.ln();
    let rows: Vec<f64> = (0..y.len())
        .into_par_iter()
        .map(|i| {
            let (columns, values) = affinities.row(i);
            let term = |(&j, &p): (&u32, &f32)| {
                let squared: f64 = (0..D).map(|c| f64::from(y[i][c] - y[j as usize][c]).powi(2)).sum();
                let p = f64::from(p);
                if p > 0.0 {
                    p * (p.ln() + squared.ln_1p() + log_sum)
                } else {
                    0.0
                }
            };
            columns.iter().zip(values).map(term).sum()
        })
        .collect();
    rows.iter().sum()
}

#[cfg(test)]
mod tests {
    use crate::rng::Rng;

    /// Normal points with the given standard deviation.
    pub(super) fn cloud<const D: usize>(n: usize, deviation: f32) -> Vec<[f32; D]> {
        let mut rng = Rng::new(11, D as u64);
        (0..n)
            .map(|_| std::array::from_fn(|_| deviation * rng.normal() as f32))
            .collect()
    }

    /// Repulsion and the sum over pairs, from the definition, in f64.
    pub(super) fn exact<const D: usize>(y: &[[f32; D]]) -> (Vec<[f64; D]>, f64) {
        let mut sum = 0.0;
        let force = (0..y.len())
            .map(|i| {
                let mut force = [0.0; D];
                for j in (0..y.len()).filter(|&j| j != i) {
                    let difference: [f64; D] = std::array::from_fn(|c| f64::from(y[i][c]) - f64::from(y[j][c]));
                    let w = 1.0 / (1.0 + difference.iter().map(|x| x * x).sum::<f64>());
                    sum += w;
                    (0..D).for_each(|c| force[c] += w * w * difference[c]);
                }
                force
            })
            .collect();
        (force, sum)
    }

    /// Largest error of a force, relative to the root mean square of all forces.
    pub(super) fn worst_error<const D: usize>(found: &[[f32; D]], truth: &[[f64; D]]) -> f64 {
        let mean = truth.iter().flatten().map(|x| x * x).sum::<f64>() / truth.len() as f64;
        let error = |(f, t): (&[f32; D], &[f64; D])| (0..D).map(|c| (f64::from(f[c]) - t[c]).powi(2)).sum::<f64>();
        (found.iter().zip(truth).map(error).fold(0.0, f64::max) / mean).sqrt()
    }
}
