//! Searches that answer for new points too.

use std::fmt::Debug;

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{Neighbors, check_query, reference::Reference};
use crate::{Error, Metric, Result, linalg::check_points, stages};

/// New points of one task.
const CHUNK: usize = 8;

/// Points in a form in which their neighbors can be found: of themselves, of new points, within a radius.
///
/// | search | finds | cost of a query | grows |
/// |---|---|---|---|
/// | [`Exact`] | all | all points | no |
/// | [`Cells`](super::Cells) | a share that is chosen | a few cells | no |
/// | `Hnsw` (feature `hnsw`) | most | a walk on a graph | yes, and is kept on disk |
/// | [`HalfCells`](super::HalfCells) | a share that is chosen | a few cells | no, but is mapped from a file |
///
/// A host's own index implements it, or hands its table over by [`Neighbors::from_parts`].
///
/// ```
/// use attn_project::{metric::Euclidean, neighbors::{Exact, NeighborSearch}};
/// let points = ndarray::array![[0.0f32, 0.0], [1.0, 0.0], [5.0, 0.0]];
/// let search = Exact::new(points.view(), Euclidean)?;
/// let new = ndarray::array![[4.0f32, 0.0]];
/// assert_eq!(search.query(new.view(), 2, &())?.indices(0), [2, 1]);
/// assert_eq!(search.within(new.view(), 1.5, &())?.indices(0), [2]);
/// assert_eq!(search.neighbors(1, &())?.indices(0), [1]);
/// # Ok::<(), attn_project::Error>(())
/// ```
pub trait NeighborSearch: Debug + Send + Sync {
    /// The metric.
    fn metric(&self) -> &Metric;

    /// Number of points.
    fn len(&self) -> usize;

    /// Whether there are no points.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimensions of a point.
    fn columns(&self) -> usize;

    /// The `k` nearest others of every point.
    ///
    /// # Errors
    /// As [`Neighbors::exact`].
    fn neighbors(&self, k: usize, progress: &dyn Progress) -> Result<Neighbors>;

    /// The `k` nearest points of every new point `[point, dimension]`, all points if there are fewer. A new point that
    /// equals one finds it.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `k` is 0, [`Error::Shape`] for another number of columns, [`Error::NotFinite`],
    /// [`Error::TooLarge`], [`Error::Cancelled`].
    fn query(&self, points: ArrayView2<'_, f32>, k: usize, progress: &dyn Progress) -> Result<Matches>;

    /// The points at a distance of at most `radius` from every new point `[point, dimension]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the radius is not finite, else as [`query`](Self::query).
    fn within(&self, points: ArrayView2<'_, f32>, radius: f32, progress: &dyn Progress) -> Result<Matches>;
}

/// Points found for each of several new ones, nearest first; ties by lower index.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matches {
    offsets: Vec<usize>,
    indices: Vec<u32>,
    distances: Vec<f32>,
}

impl Matches {
    /// Matches of each new point: index and distance, nearest first. For implementations of [`NeighborSearch`].
    pub fn from_rows(rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Self {
        let mut matches = Self {
            offsets: vec![0],
            ..Self::default()
        };
        for row in rows {
            matches.indices.extend(row.iter().map(|found| found.0));
            matches.distances.extend(row.iter().map(|found| found.1));
            matches.offsets.push(matches.indices.len());
        }
        matches
    }

    /// Number of new points.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Points found for the new point `point`, nearest first.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn indices(&self, point: usize) -> &[u32] {
        &self.indices[self.offsets[point]..self.offsets[point + 1]]
    }

    /// Their distances, ascending.
    ///
    /// # Panics
    /// Like indexing, if there is no such point.
    pub fn distances(&self, point: usize) -> &[f32] {
        &self.distances[self.offsets[point]..self.offsets[point + 1]]
    }
}

/// A search by comparison with all points: exact, for any metric. About as much memory as the points.
///
/// Not for single queries among millions of points: use [`Cells`](super::Cells) or `Hnsw`.
#[derive(Debug, Clone)]
pub struct Exact {
    points: Array2<f32>,
    reference: Reference,
}

impl Exact {
    /// Prepares points `[point, dimension]`.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without points, [`Error::Shape`] without columns, [`Error::NotFinite`],
    /// [`Error::TooLarge`].
    pub fn new(points: ArrayView2<'_, f32>, metric: impl Into<Metric>) -> Result<Self> {
        check_searched(points)?;
        Ok(Self {
            points: points.as_standard_layout().into_owned(),
            reference: Reference::new(points, metric.into()),
        })
    }
}

/// Refuses points among which nothing can be found.
pub(super) fn check_searched(points: ArrayView2<'_, f32>) -> Result<()> {
    if points.nrows() == 0 {
        return Err(Error::too_few("nearest neighbors", 1, 0));
    }
    if points.ncols() == 0 {
        return Err(Error::shape(
            "points",
            "at least one column",
            format!("{:?}", points.dim()),
        ));
    }
    check_points("points", points)
}

/// Asks for each row of `points` by itself, in parallel.
pub(super) fn each_row(
    points: ArrayView2<'_, f32>,
    progress: &dyn Progress,
    find: impl Fn(&[f32]) -> Result<Vec<(u32, f32)>> + Sync,
) -> Result<Matches> {
    let (n, width) = points.dim();
    let points = points.as_standard_layout();
    let rows: Vec<&[f32]> = points
        .as_slice()
        .unwrap_or_default()
        .chunks_exact(width.max(1))
        .collect();
    let found: Vec<Vec<Vec<(u32, f32)>>> = rows
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(chunk, rows)| {
            progress::step(progress, stages::NEIGHBORS, chunk * CHUNK, n)?;
            rows.iter().map(|row| find(row)).collect::<Result<_>>()
        })
        .collect::<Result<_>>()?;
    progress::step(progress, stages::NEIGHBORS, n, n)?;
    Ok(Matches::from_rows(found.into_iter().flatten()))
}

impl NeighborSearch for Exact {
    fn metric(&self) -> &Metric {
        self.reference.metric()
    }

    fn len(&self) -> usize {
        self.points.nrows()
    }

    fn columns(&self) -> usize {
        self.points.ncols()
    }

    fn neighbors(&self, k: usize, progress: &dyn Progress) -> Result<Neighbors> {
        Neighbors::exact(self.points.view(), k, self.metric(), progress)
    }

    fn query(&self, points: ArrayView2<'_, f32>, k: usize, progress: &dyn Progress) -> Result<Matches> {
        check_query(points, self.columns())?;
        if k == 0 {
            return Err(Error::parameter("k", "at least 1", k));
        }
        let rows = self.reference.prepare(points);
        each_row(rows.view(), progress, |row| Ok(self.reference.nearest(row, k)?.pairs()))
    }

    fn within(&self, points: ArrayView2<'_, f32>, radius: f32, progress: &dyn Progress) -> Result<Matches> {
        check_query(points, self.columns())?;
        check_radius(radius)?;
        let rows = self.reference.prepare(points);
        each_row(rows.view(), progress, |row| self.reference.within(row, radius))
    }
}

/// Refuses a radius that is no number.
pub(super) fn check_radius(radius: f32) -> Result<()> {
    match radius.is_finite() {
        true => Ok(()),
        false => Err(Error::parameter("radius", "a finite number", radius)),
    }
}
