//! Nearest neighbors: what t-SNE, UMAP and every count in the space are built on.
//!
//! [`Neighbors`] is a table, of all points at once. A [`NeighborSearch`] also answers for new points, and within a
//! radius.

mod candidates;
mod cells;
mod exact;
mod half;
#[cfg(all(feature = "hnsw", not(target_arch = "wasm32")))]
mod hnsw;
mod kernel;
mod pairs;
mod pairwise;
mod partition;
pub(crate) mod reference;
mod search;
mod select;

use std::borrow::Cow;

use attn_core::Progress;
use ndarray::ArrayView2;

#[cfg(all(feature = "hnsw", not(target_arch = "wasm32")))]
pub use self::hnsw::{Hnsw, HnswParams};
pub(crate) use self::select::Nearest;
pub use self::{
    candidates::CandidateSearch,
    cells::{ApproximateParams, Cells},
    half::{HalfCells, HalfCellsParams, HalfExact, HalfRows},
    search::{Exact, Matches, NeighborSearch},
};
use crate::{
    Error, Metric, Result,
    linalg::check_points,
    metric::{Kernel, Space},
};

/// Raised whenever neighbors change, so that heads kept from before are made again.
pub(crate) const REVISION: u32 = 2;

/// The `k` nearest neighbors of every point, without the point itself, nearest first; ties by lower index.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    k: usize,
    metric: Metric,
    indices: Vec<u32>,
    distances: Vec<f32>,
}

impl Neighbors {
    /// Finds the exact `k` nearest neighbors of every row of `points` `[point, dimension]`.
    ///
    /// Time grows with the square of the number of points (64 dimensions, k = 90: 0.4 CPU seconds for 10,112, 20 for
    /// 100,000), memory with `points * (k + dimensions)`. Same result, to the bit, on any number of threads.
    ///
    /// Candidates are ranked by products in single precision and measured again from their differences, a few more than
    /// `k`; all that the products' rounding leaves in doubt, where those are not enough. Distances are those of the
    /// differences in single precision. A metric without a [`Kernel`] is measured pair by pair, tens of times slower.
    ///
    /// ```
    /// use attn_project::{Neighbors, metric::Euclidean};
    /// let points = ndarray::array![[0.0f32, 0.0], [1.0, 0.0], [5.0, 0.0]];
    /// let neighbors = Neighbors::exact(points.view(), 1, Euclidean, &())?;
    /// assert_eq!(neighbors.indices(2), [1]);
    /// assert_eq!(neighbors.distances(2), [4.0]);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] if there are not `k + 1` points, [`Error::Parameter`] if `k` is 0, [`Error::NotFinite`],
    /// [`Error::TooLarge`], [`Error::Shape`] without columns, [`Error::Cancelled`].
    pub fn exact(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: impl Into<Metric>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let metric = metric.into();
        check_count(points.nrows(), k)?;
        let (indices, distances) = match metric.kernel() {
            Kernel::Pairs => pairwise::search(points, k, &metric, progress)?,
            _ => exact::search(&prepared(points, k, &metric)?, k, progress)?,
        };
        Ok(Self {
            k,
            metric,
            indices,
            distances,
        })
    }

    /// Finds about the `k` nearest neighbors of every row, and the share of the true ones among them (the recall,
    /// measured on [`ApproximateParams::sample`] points). For more points than all pairs can be afforded.
    ///
    /// Time grows about with the power 1.5 of the number of points, memory with `points * (k + dimensions)`. Same
    /// result, to the bit, on any number of threads. Distances are exact; a row may lack a near point, never repeat
    /// one. With [`InnerProduct`](crate::metric::InnerProduct) long rows are near to everything and lie in few cells,
    /// so that most cells must be looked through: the recall holds, the gain is small. A metric without a [`Kernel`]
    /// has no cells: its search is the exact one.
    ///
    /// ```
    /// use attn_project::{Neighbors, metric::Euclidean, neighbors::ApproximateParams};
    /// let points = ndarray::Array2::from_shape_fn((500, 3), |(i, j)| ((i * (j + 3)) as f32 * 0.37).sin());
    /// let (neighbors, recall) =
    ///     Neighbors::approximate(points.view(), 10, Euclidean, &ApproximateParams::default(), &())?;
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
        metric: impl Into<Metric>,
        params: &ApproximateParams,
        progress: &dyn Progress,
    ) -> Result<(Self, f32)> {
        let metric = metric.into();
        params.check()?;
        if metric.kernel() == Kernel::Pairs {
            return Ok((Self::exact(points, k, metric, progress)?, 1.0));
        }
        let space = prepared(points, k, &metric)?;
        let (indices, distances, recall) = partition::search(&space, k, params, progress)?;
        let neighbors = Self {
            k,
            metric,
            indices,
            distances,
        };
        Ok((neighbors, recall))
    }

    /// Finds neighbors exactly up to [`Neighbors::EXACT_UP_TO`] points, beyond that approximately with the default
    /// [`ApproximateParams`], so that about 3 of 1,000 are missed.
    ///
    /// # Errors
    /// As [`Neighbors::exact`].
    pub fn search(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: impl Into<Metric>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if points.nrows() <= Self::EXACT_UP_TO {
            return Self::exact(points, k, metric, progress);
        }
        Self::approximate(points, k, metric, &ApproximateParams::default(), progress).map(|(neighbors, _)| neighbors)
    }

    /// Finds neighbors with a share of the true ones, and gives the share that was measured. `recall` 1 is the exact search, which
    /// measures nothing; `None` chooses as [`Neighbors::search`] does.
    ///
    /// ```
    /// use attn_project::{Neighbors, metric::Euclidean};
    /// let points = ndarray::array![[0.0], [1.0], [3.0_f32]];
    /// let (table, recall) = Neighbors::with_recall(points.view(), 1, Euclidean, None, 0, &())?;
    /// assert_eq!((table.indices(2), recall), ([1].as_slice(), None));
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Neighbors::approximate`].
    pub fn with_recall(
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: impl Into<Metric>,
        recall: Option<f32>,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<(Self, Option<f32>)> {
        let params = ApproximateParams {
            seed,
            ..ApproximateParams::default()
        };
        let small = points.nrows() <= Self::EXACT_UP_TO;
        let recall = recall.unwrap_or(if small { 1.0 } else { params.recall });
        if recall == 1.0 {
            return Ok((Self::exact(points, k, metric, progress)?, None));
        }
        let params = ApproximateParams { recall, ..params };
        let (table, measured) = Self::approximate(points, k, metric, &params, progress)?;
        Ok((table, Some(measured)))
    }

    /// Most points that [`Neighbors::search`] compares with all others. From some 10,000 points on the approximate
    /// search is faster, but below this the exact one takes only some two CPU seconds (64 dimensions, k = 90).
    pub const EXACT_UP_TO: usize = 30_000;

    /// A table found elsewhere, by another library or from a matrix of distances: `k` neighbors of every point,
    /// `[point, neighbor]`, without the point itself, nearest first.
    ///
    /// ```
    /// use attn_project::{Neighbors, metric::Euclidean};
    /// // Three points on a line: each with its nearest.
    /// let table = Neighbors::from_parts(1, Euclidean, vec![1, 0, 1], vec![1.0, 1.0, 4.0])?;
    /// assert_eq!(table.indices(2), [1]);
    /// // A point is not its own neighbor.
    /// assert!(Neighbors::from_parts(1, Euclidean, vec![0, 0, 1], vec![1.0, 1.0, 4.0]).is_err());
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] if `k` is 0; [`Error::Shape`] if the two are not equally long or no multiple of `k`, if an
    /// index is not that of another point or comes twice in a row, or if distances are not ascending;
    /// [`Error::NotFinite`] for a distance.
    pub fn from_parts(k: usize, metric: impl Into<Metric>, indices: Vec<u32>, distances: Vec<f32>) -> Result<Self> {
        if k == 0 {
            return Err(Error::parameter("k", "at least 1", k));
        }
        let n = indices.len() / k;
        if n == 0 || indices.len() != n * k || distances.len() != indices.len() {
            let found = format!("{} indices and {} distances", indices.len(), distances.len());
            return Err(Error::shape("neighbors", format!("{k} of both for each point"), found));
        }
        for (i, (indices, distances)) in indices.chunks(k).zip(distances.chunks(k)).enumerate() {
            check_row(i, n, indices, distances)?;
        }
        Ok(Self {
            k,
            metric: metric.into(),
            indices,
            distances,
        })
    }

    /// Neighbors per point.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The metric they were found with.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.indices.len() / self.k
    }

    /// Whether there are no points. Never true: a table has at least two.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The neighbors of `point`, nearest first.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn indices(&self, point: usize) -> &[u32] {
        &self.indices[point * self.k..(point + 1) * self.k]
    }

    /// The distances of the neighbors of `point`, ascending.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn distances(&self, point: usize) -> &[f32] {
        &self.distances[point * self.k..(point + 1) * self.k]
    }
}

/// Refuses a row of a table that no search could have given.
fn check_row(point: usize, n: usize, indices: &[u32], distances: &[f32]) -> Result<()> {
    let refused = |expected: &str, found: String| Err(Error::shape("neighbors", expected.to_owned(), found));
    if let Some(column) = distances.iter().position(|distance| !distance.is_finite()) {
        return Err(Error::NotFinite {
            what: "distances",
            row: point,
            column,
            value: distances[column],
        });
    }
    if !distances.is_sorted() {
        return refused("ascending distances", format!("{distances:?} for point {point}"));
    }
    if let Some(bad) = indices.iter().find(|&&j| j as usize >= n || j as usize == point) {
        return refused(&format!("other points of {n}"), format!("{bad} for point {point}"));
    }
    let mut seen = indices.to_vec();
    seen.sort_unstable();
    match seen.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => refused("every neighbor once", format!("{} twice for point {point}", pair[0])),
        None => Ok(()),
    }
}

/// Refuses a `k` that `n` points do not have.
fn check_count(n: usize, k: usize) -> Result<()> {
    if k == 0 {
        return Err(Error::parameter("k", "at least 1", k));
    }
    if n <= k {
        return Err(Error::too_few(Cow::Borrowed("nearest neighbors"), k + 1, n));
    }
    Ok(())
}

/// The points, once it is sure that each has `k` others.
fn prepared<'a>(points: ArrayView2<'a, f32>, k: usize, metric: &Metric) -> Result<Space<'a>> {
    check_count(points.nrows(), k)?;
    Space::new(points.into(), metric)
}

/// Refuses new points that do not fit the old ones.
fn check_query(points: ArrayView2<'_, f32>, columns: usize) -> Result<()> {
    if points.ncols() != columns {
        return Err(Error::shape("points", format!("{columns} columns"), points.ncols()));
    }
    check_points("points", points)
}

#[cfg(test)]
mod tests;
