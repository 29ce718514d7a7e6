//! t-SNE: a map in which neighbors stay neighbors (van der Maaten and Hinton, *Visualizing data using t-SNE*,
//! JMLR 2008).
//!
//! Best practice since: principal components as the start (Kobak and Berens, *The art of using t-SNE for
//! single-cell transcriptomics*, Nature Communications 2019), a learning rate that grows with the number of
//! points (Belkina et al., Nature Communications 2019), repulsion from a tree, or in the plane from a grid where the
//! points lie densely.

mod affinity;
mod attention;
mod attraction;
mod descent;
mod grid;
mod params;
mod place;
mod problem;
mod tree;

use attn_core::Progress;
use serde_json::Value;

use self::{affinity::Affinities, descent::descend, grid::Grid, place::Settled, tree::Tree};
pub use self::{
    attention::{AttentionTsne, AttentionTsneParams},
    params::TsneParams,
    problem::{TsneProblem, TsneStep},
};
use crate::{
    Dims, Embedding, ProjectionMethod, Result, Warning,
    method::{FitInput, json},
    neighbors, pca,
    place::Placement,
    start,
    warnings::{GROUPING, components},
};

/// Diagnostic of an embedding: the Kullback-Leibler divergence reached, in nats.
pub const KL_DIVERGENCE: &str = "kl_divergence";
/// Diagnostic of an embedding: the perplexity used, the first of several. Below the one asked for if there are few
/// points.
pub const PERPLEXITY: &str = "perplexity";

/// Raised whenever coordinates change, so that layouts kept from before are made again.
pub(crate) const REVISION: u32 = 1;

/// Up to so many points of the plane all pairs are summed, which is as fast as the grid and exact.
const FEW: usize = 400;
/// Standard deviation of the start along its widest axis.
const START: f64 = 1e-4;

/// The method: the most faithful neighborhoods; sizes of groups and distances between them mean little.
///
/// ```
/// use attn_project::{Projector, tsne::{KL_DIVERGENCE, Tsne, TsneParams}};
/// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
/// let tsne = Tsne::new(TsneParams { perplexity: 10.0, ..TsneParams::default() })?;
/// let embedding = Projector::new(tsne).fit(points.view(), &())?;
/// assert!(embedding.diagnostic(KL_DIVERGENCE).unwrap()[0] > 0.0);
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tsne(TsneParams);

impl Tsne {
    /// t-SNE with these parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a value that no run could use.
    pub fn new(params: TsneParams) -> Result<Self> {
        params.check()?;
        Ok(Self(params))
    }

    /// Its parameters.
    pub fn params(&self) -> &TsneParams {
        &self.0
    }

    /// The layouts of several tables of the same points; the first input gives the start of all.
    fn run(&self, frames: &[FitInput<'_>], strength: f32, progress: &dyn Progress) -> Result<Vec<Embedding>> {
        self.run_with(frames, strength, |_, affinities| affinities, progress)
    }

    /// The same with affinities that `change` makes of those of the neighbors.
    fn run_with(
        &self,
        frames: &[FitInput<'_>],
        strength: f32,
        change: impl Fn(&FitInput<'_>, Affinities) -> Affinities,
        progress: &dyn Progress,
    ) -> Result<Vec<Embedding>> {
        let Some(first) = frames.first() else {
            return Ok(Vec::new());
        };
        let (params, n) = (&self.0, first.points.nrows());
        let (count, perplexities) = (params.neighbors(n), params.effective_perplexities(n));
        let affinities = frames
            .iter()
            .map(|frame| Ok(change(frame, Affinities::new(frame.table()?, count, &perplexities))))
            .collect::<Result<Vec<_>>>()?;
        let start = start::principal(first, START, 0.01, progress)?;
        let theta = params.theta;
        let maps = match first.dims {
            Dims::Two if n <= FEW => {
                descend::<2, _>(&start, &affinities, params, strength, || Tree::new(0.0), progress)?
            }
            Dims::Two => descend::<2, _>(&start, &affinities, params, strength, || Grid::new(theta), progress)?,
            Dims::Three => descend::<3, _>(&start, &affinities, params, strength, || Tree::new(theta), progress)?,
        };
        Ok(maps.into_iter().map(|(map, kl)| params.embedding(map, kl)).collect())
    }
}

impl ProjectionMethod for Tsne {
    fn name(&self) -> &str {
        "t-SNE"
    }

    fn key(&self) -> &str {
        "tsne"
    }

    fn params(&self) -> Value {
        json(&self.0)
    }

    fn revisions(&self) -> Vec<u32> {
        // The start is that of PCA.
        vec![pca::REVISION, neighbors::REVISION, REVISION]
    }

    fn min_points(&self) -> usize {
        4
    }

    fn neighbors(&self, points: usize) -> usize {
        self.0.neighbors(points)
    }

    fn fit(&self, input: &FitInput<'_>, progress: &dyn Progress) -> Result<Embedding> {
        let mut found = self.run(std::slice::from_ref(input), 0.0, progress)?;
        found
            .pop()
            .ok_or_else(|| crate::Error::shape("neighbors", "a table of neighbors", "none"))
    }

    fn fit_aligned(
        &self,
        frames: &[FitInput<'_>],
        strength: f32,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Embedding>>> {
        self.run(frames, strength, progress).map(Some)
    }

    fn placement(
        &self,
        input: &FitInput<'_>,
        embedding: &Embedding,
        _: &dyn Progress,
    ) -> Result<Option<Box<dyn Placement>>> {
        let metric = input.metric.clone();
        Ok(Some(match embedding.points.ncols() {
            2 => Box::new(Settled::<2>::new(&embedding.points, &self.0, metric)),
            _ => Box::new(Settled::<3>::new(&embedding.points, &self.0, metric)),
        }))
    }

    fn warnings(&self, input: &FitInput<'_>) -> Vec<Warning> {
        let (params, n) = (&self.0, input.points.nrows());
        let mut found = Vec::new();
        let asked = params.largest_perplexity();
        let used = params.at(asked).effective_perplexity(n);
        if used < asked {
            found.push(Warning::PerplexityReduced { asked, used });
        }
        let Some(table) = input.neighbors else {
            return found;
        };
        // The smallest still shows small groups.
        let perplexity = params.effective_perplexities(n).into_iter().fold(used, f32::min);
        let sizes = components(table, GROUPING.min(self.neighbors(n)).min(table.k()));
        let small: Vec<usize> = sizes.into_iter().filter(|&size| (size as f32) < perplexity).collect();
        if let Some(&smallest) = small.last() {
            found.push(Warning::PerplexityHidesGroups {
                perplexity,
                groups: small.len(),
                smallest,
            });
        }
        found
    }
}

/// What moves the points apart: the numerator `Σ_j (y_i - y_j) / (1 + |y_i - y_j|²)²` of the repulsion, and its
/// denominator, the sum of `1 / (1 + |y_i - y_j|²)` over all ordered pairs.
trait Repulsion<const D: usize> {
    fn repulsion(&mut self, y: &[[f32; D]], out: &mut [[f32; D]]) -> f64;
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
