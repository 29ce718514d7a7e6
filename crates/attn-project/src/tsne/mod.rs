//! t-SNE: a map in which neighbours stay neighbours (van der Maaten and Hinton, *Visualizing data using t-SNE*,
//! JMLR 2008).
//!
//! Best practice since: principal components as the start (Kobak and Berens, *The art of using t-SNE for
//! single-cell transcriptomics*, Nature Communications 2019), a learning rate that grows with the number of
//! points (Belkina et al., Nature Communications 2019), repulsion from a tree, or in the plane from a grid where the
//! points lie densely.

mod affinity;
mod descent;
mod grid;
pub(crate) mod place;
mod problem;
mod tree;

use attn_core::Progress;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

pub use self::problem::{TsneProblem, TsneStep};
use self::{affinity::Affinities, descent::descend, grid::Grid, tree::Tree};
use crate::{Dims, Error, Neighbors, projection::initial_layout};

/// Raised whenever coordinates change, so that pictures kept from before are made again.
pub(crate) const REVISION: u32 = 1;

/// Up to so many points of the plane all pairs are summed, which is as fast as the grid and exact.
const FEW: usize = 400;
/// Standard deviation of the start along its widest axis.
const START: f64 = 1e-4;

/// Parameters of t-SNE. The defaults are today's best practice; [`TsneParams::published`] are those of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TsneParams {
    /// Effective number of neighbours, at least 1. Default 30. Every point needs three times as many neighbours;
    /// where there are not so many points, a third of the other points is used.
    pub perplexity: f32,
    /// Further perplexities, each at least 1: affinities are then the mean of those at every perplexity, so that a picture
    /// can show both near neighbourhoods and the larger shape. Default none. For large clouds Kobak and Berens (2019)
    /// advise 30 and a hundredth of the points. Costs neighbours: three times the largest perplexity.
    pub further_perplexities: [Option<f32>; 3],
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
            further_perplexities: [None; 3],
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

    /// Neighbours each of `points` points needs: three times the largest perplexity, or all the others if those are fewer.
    pub fn neighbors(&self, points: usize) -> usize {
        ((3.0 * self.largest_perplexity()) as usize).clamp(1, points.saturating_sub(1).max(1))
    }

    /// The perplexity used for `points` points: a third of the other points is the most they allow.
    pub fn effective_perplexity(&self, points: usize) -> f32 {
        self.perplexity.min(points.saturating_sub(1) as f32 / 3.0).max(1.0)
    }

    /// Every perplexity used for `points` points, [`effective_perplexity`](Self::effective_perplexity) first, without
    /// those that are equal then.
    pub fn effective_perplexities(&self, points: usize) -> Vec<f32> {
        let mut used: Vec<f32> = Vec::new();
        for perplexity in self.perplexities() {
            let alone = Self { perplexity, ..*self }.effective_perplexity(points);
            if !used.contains(&alone) {
                used.push(alone);
            }
        }
        used
    }

    fn perplexities(&self) -> impl Iterator<Item = f32> {
        std::iter::once(self.perplexity).chain(self.further_perplexities.into_iter().flatten())
    }

    pub(crate) fn largest_perplexity(&self) -> f32 {
        self.perplexities().fold(1.0, f32::max)
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
        for perplexity in self.further_perplexities.into_iter().flatten() {
            number("further_perplexities", perplexity, 1.0)?;
        }
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
    let tables = std::slice::from_ref(neighbors);
    let mut maps = tsne_aligned(points, tables, dims, params, 0.0, seed, progress)?;
    maps.pop()
        .ok_or_else(|| Error::shape("neighbors", "a table of neighbours", "none"))
}

/// The same for the same points in several states, a table each, which are optimised together; `points` of the first
/// give the start of all, and `strength` how firmly each map is held by those before and after.
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
    let count = params.neighbors(n);
    if let Some(table) = tables.iter().find(|table| table.k() < count) {
        let (neighbors, largest) = (table.k(), table.k() as f32 / 3.0);
        return Err(Error::PerplexityTooLarge {
            perplexity: params.largest_perplexity(),
            neighbors,
            largest,
        });
    }
    let perplexities = params.effective_perplexities(n);
    let affinities: Vec<Affinities> = tables
        .iter()
        .map(|table| Affinities::new(table, count, &perplexities))
        .collect();
    let start = initial_layout(points, dims, START, 0.01, seed, progress)?;
    let theta = params.theta;
    match dims {
        Dims::Two if n <= FEW => descend::<2, _>(start, &affinities, params, strength, || Tree::new(0.0), progress),
        Dims::Two => descend::<2, _>(start, &affinities, params, strength, || Grid::new(theta), progress),
        Dims::Three => descend::<3, _>(start, &affinities, params, strength, || Tree::new(theta), progress),
    }
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
