//! t-SNE ready to be optimized elsewhere, such as on a GPU: the affinities, the start, the schedule, and what makes an
//! embedding of the map that was reached.

use attn_core::Progress;
use ndarray::{Array2, ArrayView2};

use super::{
    AttentionTsne, START, Tsne, TsneParams,
    affinity::Affinities,
    descent::{center, divergence},
};
use crate::{Embedding, Error, Projector, Result, Warning, linalg::check_points, projector::Points, start, warnings};

/// What one iteration of t-SNE multiplies with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TsneStep {
    /// Factor on the attraction.
    pub exaggeration: f32,
    /// Share of the velocity that is kept.
    pub momentum: f32,
    /// Step per unit of gradient.
    pub rate: f32,
}

impl TsneStep {
    /// The step of iteration `iteration`, from 0, for `n` points.
    pub(super) fn at(iteration: usize, params: &TsneParams, n: usize) -> Self {
        let early = iteration < params.exaggerated_iterations;
        let exaggeration = if early { params.exaggeration } else { 1.0 };
        Self {
            exaggeration,
            momentum: if early { 0.5 } else { 0.8 },
            rate: params.learning_rate.unwrap_or(n as f32 / exaggeration),
        }
    }
}

/// A t-SNE that another machine optimizes.
///
/// It moves the map from [`start`](Self::start) for as many [`iterations`](Self::iterations) as there are, each along
///
/// ```text
/// exaggeration Σ_j p_ij w_ij (y_i - y_j) - Σ_j w_ij² (y_i - y_j) / Σ_kl w_kl,    w_ij = 1 / (1 + |y_i - y_j|²)
/// ```
///
/// with the momentum and rate of [`step`](Self::step), and hands the map to [`embedding`](Self::embedding).
///
/// ```
/// use attn_project::{Neighbors, Projector, metric::Euclidean, tsne::{Tsne, TsneParams, TsneProblem}};
/// let points = ndarray::Array2::from_shape_fn((40, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
/// let projector = Projector::new(Tsne::new(TsneParams { perplexity: 5.0, ..TsneParams::default() })?);
/// let neighbors = Neighbors::exact(points.view(), 15, Euclidean, &())?;
/// let problem = TsneProblem::new(&projector, (points.view(), &neighbors), &())?;
/// let (offsets, columns, values) = problem.affinities();
/// assert_eq!((offsets.len(), columns.len()), (41, values.len()));
/// assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
/// assert_eq!(problem.step(0).exaggeration, 12.0);
/// assert_eq!(problem.step(250).exaggeration, 1.0);
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Debug)]
pub struct TsneProblem {
    params: TsneParams,
    affinities: Affinities,
    start: Array2<f32>,
    warnings: Vec<Warning>,
}

impl TsneProblem {
    /// Calibrates the affinities on the neighbor table of points, `(points, &table)`, and lays out the start.
    ///
    /// # Errors
    /// As [`Projector::fit`]; [`Error::Unsupported`] if its method is neither [`Tsne`] nor [`AttentionTsne`],
    /// [`Error::Parameter`] without a table.
    pub fn new<'a>(projector: &Projector, points: impl Into<Points<'a>>, progress: &dyn Progress) -> Result<Self> {
        let points: Points<'_> = points.into();
        let method = &projector.method;
        let (along, tsne) = (method.downcast::<AttentionTsne>(), method.downcast::<Tsne>());
        let params = match (along, tsne) {
            (Some(along), _) => along.params().tsne,
            (None, Some(tsne)) => *tsne.params(),
            (None, None) => return Err(Error::unsupported(method.name(), "a descent as t-SNE")),
        };
        let input = projector.prepare(points.reborrow())?;
        let n = input.points.nrows();
        let near = Affinities::new(input.table()?, params.neighbors(n), &params.effective_perplexities(n));
        Ok(Self {
            params,
            affinities: match along {
                Some(along) => along.linked(&input, near),
                None => near,
            },
            start: start::principal(&input, START, 0.01, progress)?,
            warnings: warnings::of(&projector.method, &input),
        })
    }

    /// Where the points start, `[point, 2 or 3]`.
    pub fn start(&self) -> ArrayView2<'_, f32> {
        self.start.view()
    }

    /// The symmetric affinities `p_ij`, which sum to 1, by rows: the entries of row `i` are those from `offsets[i]` to
    /// `offsets[i + 1]`; then columns, ascending within a row, and values.
    pub fn affinities(&self) -> (&[usize], &[u32], &[f32]) {
        self.affinities.parts()
    }

    /// Iterations in all.
    pub fn iterations(&self) -> usize {
        self.params.exaggerated_iterations + self.params.iterations
    }

    /// What iteration `iteration`, from 0, multiplies with.
    pub fn step(&self, iteration: usize) -> TsneStep {
        TsneStep::at(iteration, &self.params, self.start.nrows())
    }

    /// The embedding: `map` `[point, 2 or 3]` centered, and its divergence. `pairs` is `Σ_kl w_kl` over all ordered
    /// pairs of different points of the map.
    ///
    /// # Errors
    /// [`Error::Shape`] if the map has another shape than the start, [`Error::NotFinite`] if it is not finite,
    /// [`Error::Parameter`] if `pairs` is not a positive number.
    pub fn embedding(self, map: Array2<f32>, pairs: f64) -> Result<Embedding> {
        if map.dim() != self.start.dim() {
            let shape = |dim| format!("{dim:?}");
            return Err(Error::shape("map", shape(self.start.dim()), shape(map.dim())));
        }
        check_points("map", map.view())?;
        if !(pairs.is_finite() && pairs > 0.0) {
            return Err(Error::parameter("pairs", "a positive number", pairs));
        }
        let (points, kl) = match map.ncols() {
            2 => self.judge::<2>(&map, pairs),
            _ => self.judge::<3>(&map, pairs),
        };
        Ok(Embedding {
            warnings: self.warnings,
            ..self.params.embedding(points, kl)
        })
    }

    fn judge<const D: usize>(&self, map: &Array2<f32>, pairs: f64) -> (Array2<f32>, f64) {
        let mut y: Vec<[f32; D]> = start::rows(map);
        center(&mut y);
        (start::matrix(&y), divergence(&self.affinities, &y, pairs))
    }
}
