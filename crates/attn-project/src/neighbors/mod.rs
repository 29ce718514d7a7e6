//! Nearest neighbours: what t-SNE, UMAP and every count in the space are built on.

mod cells;
mod exact;
mod kernel;
mod pairs;
mod search;
mod select;

use attn_core::Progress;
use ndarray::ArrayView2;

pub(crate) use self::select::Nearest;
pub use self::{cells::ApproximateParams, search::NeighborSearch};
use crate::{Error, Metric, metric::Space};

/// Raised whenever neighbours change, so that heads kept from before are made again.
pub(crate) const REVISION: u32 = 2;

/// The `k` nearest neighbours of every point, without the point itself, nearest first; ties by lower index.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    k: usize,
    metric: Metric,
    indices: Vec<u32>,
    distances: Vec<f32>,
}

impl Neighbors {
    /// Finds the exact `k` nearest neighbours of every row of `points` `[point, dimension]`.
    ///
    /// Time grows with the square of the number of points (64 dimensions, k = 90: 0.4 CPU seconds for 10,112, 20 for
    /// 100,000), memory with `points * (k + dimensions)`. Same result, to the bit, on any number of threads.
    ///
    /// Candidates are ranked by products in single precision and measured again from their differences, a few more than
    /// `k`; all that the products' rounding leaves in doubt, where those are not enough. Distances are those of
    /// the differences in single precision.
    ///
    /// ```
    /// use attn_project::{Metric, Neighbors};
    /// let points = ndarray::array![[0.0f32, 0.0], [1.0, 0.0], [5.0, 0.0]];
    /// let neighbors = Neighbors::exact(points.view(), 1, Metric::Euclidean, &())?;
    /// assert_eq!(neighbors.indices(2), [1]);
    /// assert_eq!(neighbors.distances(2), [4.0]);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] if there are not `k + 1` points, [`Error::Parameter`] if `k` is 0,
    /// [`Error::NotFinite`], [`Error::Shape`] without columns, [`Error::Cancelled`].
    pub fn exact(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: Metric,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let space = prepared(points, k, metric)?;
        let (indices, distances) = exact::search(&space, k, progress)?;
        Ok(Self {
            k,
            metric,
            indices,
            distances,
        })
    }

    /// Finds about the `k` nearest neighbours of every row, and the share of the true ones among them (the recall,
    /// measured on [`ApproximateParams::sample`] points). For more points than all pairs can be afforded.
    ///
    /// Time grows about with the power 1.5 of the number of points, memory with `points * (k + dimensions)`. Same
    /// result, to the bit, on any number of threads. Distances are exact; a row may lack a near point, never repeat one.
    /// With [`Metric::InnerProduct`] long rows are near to everything and lie in few cells, so that most cells must be
    /// looked through: the recall holds, the gain is small.
    ///
    /// ```
    /// use attn_project::{ApproximateParams, Metric, Neighbors};
    /// let points = ndarray::Array2::from_shape_fn((500, 3), |(i, j)| ((i * (j + 3)) as f32 * 0.37).sin());
    /// let (neighbors, recall) =
    ///     Neighbors::approximate(points.view(), 10, Metric::Euclidean, &ApproximateParams::default(), &())?;
    /// assert_eq!(neighbors.len(), 500);
    /// assert!(recall > 0.9);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Neighbors::exact`]; also [`Error::Parameter`] for a recall outside `(0, 1]` or an empty sample.
    pub fn approximate(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: Metric,
        params: &ApproximateParams,
        progress: &dyn Progress,
    ) -> Result<(Self, f32), Error> {
        params.check()?;
        let space = prepared(points, k, metric)?;
        let (indices, distances, recall) = cells::search(&space, k, params, progress)?;
        let neighbors = Self {
            k,
            metric,
            indices,
            distances,
        };
        Ok((neighbors, recall))
    }

    /// Finds neighbours exactly up to [`Neighbors::EXACT_UP_TO`] points, beyond that approximately with the default
    /// [`ApproximateParams`], so that about 3 of 1,000 are missed.
    ///
    /// # Errors
    /// As [`Neighbors::exact`].
    pub fn search(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: Metric,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        if points.nrows() <= Self::EXACT_UP_TO {
            return Self::exact(points, k, metric, progress);
        }
        Self::approximate(points, k, metric, &ApproximateParams::default(), progress).map(|(neighbors, _)| neighbors)
    }

    /// Most points that [`Neighbors::search`] compares with all others. From some 10,000 points on the approximate search
    /// is faster, but below this the exact one takes only some two CPU seconds (64 dimensions, k = 90).
    pub const EXACT_UP_TO: usize = 30_000;

    /// Neighbours per point.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The metric they were found with.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.indices.len() / self.k
    }

    /// Whether there are no points. Never true: a table has at least two.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The neighbours of `point`, nearest first.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn indices(&self, point: usize) -> &[u32] {
        &self.indices[point * self.k..(point + 1) * self.k]
    }

    /// The distances of the neighbours of `point`, ascending.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn distances(&self, point: usize) -> &[f32] {
        &self.distances[point * self.k..(point + 1) * self.k]
    }
}

/// The points, once it is sure that each has `k` others.
fn prepared(points: ArrayView2<'_, f32>, k: usize, metric: Metric) -> Result<Space<'_>, Error> {
    if k == 0 {
        return Err(Error::parameter("k", "at least 1", k));
    }
    let n = points.nrows();
    if n <= k {
        return Err(Error::TooFewPoints {
            what: "nearest neighbours",
            needed: k + 1,
            found: n,
        });
    }
    Space::new(points, metric)
}

#[cfg(test)]
mod tests;
