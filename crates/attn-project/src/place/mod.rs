//! New points in an existing layout, which does not move for them.
//!
//! As openTSNE (Poličar, Stražar and Zupan, *Embedding to reference t-SNE space addresses batch effects in
//! single-cell classification*, Machine Learning 2023) and umap-learn do it: the nearest old points are found, the
//! new point starts at their weighted mean, and a few steps against the old points, which stay, settle it.

#[cfg(test)]
mod tests;

use std::{fmt::Debug, sync::Arc};

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::{
    Embedding, Error, Method, Projector, Result,
    linalg::check_points,
    method::{Dims, FitInput},
    neighbors::reference::{Reference, hash},
    projector::Points,
    stages,
};

/// New points placed by one task.
const CHUNK: usize = 8;

/// A point to be placed, and its nearest old points.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NewPoint<'a> {
    /// Its coordinates, finite and of moderate size.
    pub row: &'a [f32],
    /// Old points near it, nearest first, as many as [`Placement::neighbors`] asks for.
    pub neighbors: &'a [u32],
    /// Their distances.
    pub distances: &'a [f32],
    /// A seed that depends on nothing but the point.
    pub seed: u64,
}

/// What puts new points into one layout. Made by [`ProjectionMethod::placement`](crate::ProjectionMethod::placement).
pub trait Placement: Debug + Send + Sync {
    /// Nearest old points that a new one needs to know. Default 0: none are searched, and a point that equals an old
    /// one is placed as any other. Otherwise that one is put exactly onto the old one.
    fn neighbors(&self) -> usize {
        0
    }

    /// Writes the coordinates, 2 or 3 finite numbers, of one new point. They must depend on that point alone.
    ///
    /// # Errors
    /// Any; [`Error::method`] for errors of other crates.
    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()>;
}

/// A layout that can take new points: the old points, their coordinates, and how they were found.
///
/// Owns what it needs: about as much memory as the points themselves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FittedProjection {
    method: Method,
    embedding: Embedding,
    columns: usize,
    placement: Arc<dyn Placement>,
    /// The old points, if their neighbors are needed.
    reference: Option<Arc<Reference>>,
}

impl FittedProjection {
    /// Projects `points` `[point, dimension]` as [`Projector::fit`] does, and keeps what new points need.
    ///
    /// ```
    /// use attn_project::{FittedProjection, Projector, umap::Umap};
    /// let points = ndarray::Array2::from_shape_fn((90, 5), |(i, j)| (i % 3) as f32 * 9.0 + ((i * (j + 2)) as f32).sin());
    /// let fitted = FittedProjection::fit(points.view(), &Projector::new(Umap::default()), &())?;
    /// let sentence = points.slice(ndarray::s![..4, ..]).to_owned() + 0.1;
    /// let placed = fitted.transform(sentence.view(), &())?;
    /// assert_eq!(placed.dim(), (4, 2));
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Projector::fit`] and [`new`](Self::new).
    pub fn fit<'a>(points: impl Into<Points<'a>>, projector: &Projector, progress: &dyn Progress) -> Result<Self> {
        let points = points.into();
        let embedding = projector.fit(points, progress)?;
        Self::new(points.rows(), embedding, projector, progress)
    }

    /// The same for an existing layout, for example that of a [`HeadProjection`](crate::HeadProjection). `points`,
    /// method and metric must be those it was made with.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the method cannot place new points, [`Error::Shape`] if the layout has not one row per
    /// point and two or three columns, and the errors of [`Projector::fit`] for the points.
    pub fn new(
        points: ArrayView2<'_, f32>,
        embedding: Embedding,
        projector: &Projector,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (rows, columns) = embedding.points.dim();
        let input = FitInput {
            dims: match (columns, rows == points.nrows()) {
                (2, true) => Dims::Two,
                (3, true) => Dims::Three,
                _ => {
                    let expected = format!("{} rows, as the points, of 2 or 3 columns", points.nrows());
                    return Err(Error::shape("embedding", expected, format!("{rows} of {columns}")));
                }
            },
            ..projector.prepare(points.reborrow())?
        };
        check_points("embedding", embedding.points.view())?;
        let method = &projector.method;
        let Some(placement) = method.placement(&input, &embedding, progress)? else {
            return Err(Error::unsupported(method.name(), "placing new points"));
        };
        let near = placement.neighbors() > 0;
        Ok(Self {
            method: method.clone(),
            embedding,
            columns: points.ncols(),
            placement: placement.into(),
            reference: near.then(|| Arc::new(Reference::new(points, projector.metric.clone()))),
        })
    }

    /// The layout of the old points.
    pub fn embedding(&self) -> &Embedding {
        &self.embedding
    }

    /// How it was made.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Number of old points.
    pub fn len(&self) -> usize {
        self.embedding.points.nrows()
    }

    /// Whether there are no old points. Never true.
    pub fn is_empty(&self) -> bool {
        self.embedding.points.is_empty()
    }

    /// Coordinates `[point, 2 or 3]` of new points `[point, dimension]` of the same space. Old points do not move.
    ///
    /// Each new point is placed by itself: its place depends neither on the others nor on their order or number.
    /// Under t-SNE, UMAP and MDS a point that equals an old one (under the cosine: has its direction) is put exactly
    /// onto it, the first of several; under t-SNE and UMAP any other lies among its nearest old points, also one that
    /// is far from all of them: the layout has no place for what it has not seen. PCA is linear and has: there, far
    /// stays far.
    ///
    /// Time grows with new times old points.
    ///
    /// # Errors
    /// [`Error::Shape`] if the points have another number of columns than the old ones, [`Error::NotFinite`],
    /// [`Error::TooLarge`], [`Error::Cancelled`], and those of a host's method.
    pub fn transform(&self, points: ArrayView2<'_, f32>, progress: &dyn Progress) -> Result<Array2<f32>> {
        if points.ncols() != self.columns {
            let expected = format!("{} columns", self.columns);
            return Err(Error::shape("points", expected, points.ncols()));
        }
        check_points("points", points)?;
        let (count, dims) = (points.nrows(), self.embedding.points.ncols());
        let raw = points.as_standard_layout();
        let prepared = self.reference.as_ref().map(|reference| reference.prepare(points));
        let raw = raw.as_slice().unwrap_or_default();
        let prepared = prepared.as_ref().and_then(|prepared| prepared.as_slice());
        let mut placed = Array2::<f32>::zeros((count, dims));
        let flat = placed.as_slice_mut().unwrap_or_default();
        progress::step(progress, stages::PLACEMENT, 0, count)?;
        flat.par_chunks_mut(CHUNK * dims)
            .enumerate()
            .try_for_each(|(chunk, slots)| {
                progress::step(progress, stages::PLACEMENT, chunk * CHUNK, count)?;
                let first = chunk * CHUNK * self.columns;
                let rows = first..first + slots.len() / dims * self.columns;
                let prepared = prepared.map(|prepared| &prepared[rows.clone()]);
                self.place(&raw[rows], prepared, slots)
            })?;
        progress::step(progress, stages::PLACEMENT, count, count)?;
        Ok(placed)
    }

    /// Places some rows, which are also given as the reference knows them.
    fn place(&self, rows: &[f32], prepared: Option<&[f32]>, slots: &mut [f32]) -> Result<()> {
        let near = match (&self.reference, prepared) {
            (Some(reference), Some(prepared)) => reference.nearest_of(prepared, self.placement.neighbors())?,
            _ => Vec::new(),
        };
        let known = prepared.unwrap_or(rows).chunks_exact(self.columns);
        let outs = slots.chunks_mut(self.embedding.points.ncols());
        for (at, ((row, known), out)) in rows.chunks_exact(self.columns).zip(known).zip(outs).enumerate() {
            let near = near.get(at);
            if let Some(same) = near.and_then(|near| near.same) {
                let old = self.embedding.points.row(same as usize);
                out.iter_mut().zip(old).for_each(|(out, &old)| *out = old);
                continue;
            }
            let point = NewPoint {
                row,
                neighbors: near.map_or(&[], |near| &near.indices),
                distances: near.map_or(&[], |near| &near.distances),
                seed: hash(known),
            };
            self.placement.place(&point, out)?;
            if !out.iter().all(|x| x.is_finite()) {
                return Err(Error::shape("coordinates", "finite numbers", format!("{out:?}")));
            }
        }
        Ok(())
    }
}
