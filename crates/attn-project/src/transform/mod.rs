//! New points in an old picture, which does not move for them.
//!
//! As openTSNE (Poličar, Stražar and Zupan, *Embedding to reference t-SNE space addresses batch effects in
//! single-cell classification*, Machine Learning 2023) and umap-learn do it: the nearest old points are found, the
//! new point starts at their weighted mean, and a few steps against the old points, which stay, settle it.

mod reference;
#[cfg(test)]
mod tests;

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use self::reference::Reference;
use crate::{
    Dims, Embedding, Error, Method, Metric, Pca, linalg::check_finite, project, tsne::place as tsne_place,
    umap::place as umap_place,
};

/// New points placed by one task.
const CHUNK: usize = 8;

/// A picture that can take new points: the old points, their coordinates, and how they were found.
///
/// Owns what it needs: about as much memory as the points themselves.
#[derive(Debug, Clone)]
pub struct FittedProjection {
    method: Method,
    dims: Dims,
    embedding: Embedding,
    placer: Placer,
}

/// How a new point finds its place.
#[derive(Debug, Clone)]
enum Placer {
    Linear(Pca),
    Near(Reference),
}

impl FittedProjection {
    /// Projects `points` `[point, dimension]` as [`project()`] does, and keeps what new points need.
    ///
    /// ```
    /// use attn_project::{Dims, FittedProjection, Method, Metric, UmapParams};
    /// let points = ndarray::Array2::from_shape_fn((90, 5), |(i, j)| (i % 3) as f32 * 9.0 + ((i * (j + 2)) as f32).sin());
    /// let umap = Method::Umap(UmapParams::default());
    /// let fitted = FittedProjection::fit(points.view(), &umap, Dims::Two, Metric::Euclidean, 0, &())?;
    /// let sentence = points.slice(ndarray::s![..4, ..]).to_owned() + 0.1;
    /// let placed = fitted.transform(sentence.view(), &())?;
    /// assert_eq!(placed.dim(), (4, 2));
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`project()`].
    pub fn fit(
        points: ArrayView2<'_, f32>,
        method: &Method,
        dims: Dims,
        metric: Metric,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let embedding = project(points, method, dims, metric, seed, progress)?;
        Self::new(points, embedding, method, metric, progress)
    }

    /// The same for a picture that is there already, for example that of a
    /// [`HeadProjection`](crate::HeadProjection). `points`, `method` and `metric` must be those it was made with.
    ///
    /// # Errors
    /// [`Error::Shape`] if the picture has not one row per point and two or three columns, [`Error::NotFinite`],
    /// [`Error::TooFewPoints`] and [`Error::Parameter`] as [`project()`], [`Error::Cancelled`].
    pub fn new(
        points: ArrayView2<'_, f32>,
        embedding: Embedding,
        method: &Method,
        metric: Metric,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        method.check(points)?;
        let (rows, columns) = embedding.points.dim();
        let dims = match (columns, rows == points.nrows()) {
            (2, true) => Dims::Two,
            (3, true) => Dims::Three,
            _ => {
                return Err(Error::shape(
                    "embedding",
                    format!("{} rows, as the points, of 2 or 3 columns", points.nrows()),
                    format!("{rows} of {columns}"),
                ));
            }
        };
        check_finite("embedding", embedding.points.view())?;
        let placer = match method {
            Method::Pca => Placer::Linear(Pca::fit(points, dims.count(), progress)?),
            Method::Tsne(_) | Method::Umap(_) => Placer::Near(Reference::new(points, metric)),
        };
        Ok(Self {
            method: *method,
            dims,
            embedding,
            placer,
        })
    }

    /// The picture of the old points.
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
    /// Each new point is placed by itself: its place depends neither on the others nor on their order or number. A
    /// point that equals an old one (under the cosine: has its direction) is put exactly onto it, the first of
    /// several; otherwise it comes to lie among its nearest old points. A point far from all of them also does: the
    /// picture has no place for what it has not seen. PCA is linear and has: there, far stays far.
    ///
    /// Time grows with new times old points.
    ///
    /// # Errors
    /// [`Error::Shape`] if the points have another number of columns than the old ones, [`Error::NotFinite`],
    /// [`Error::Cancelled`].
    pub fn transform(&self, points: ArrayView2<'_, f32>, progress: &dyn Progress) -> Result<Array2<f32>, Error> {
        let reference = match &self.placer {
            Placer::Linear(pca) => {
                progress::step(progress, "placement", 0, points.nrows())?;
                return pca.transform(points);
            }
            Placer::Near(reference) => reference,
        };
        if points.ncols() != reference.columns() {
            return Err(Error::shape(
                "points",
                format!("{} columns", reference.columns()),
                points.ncols(),
            ));
        }
        check_finite("points", points)?;
        match self.dims {
            Dims::Two => self.place::<2>(reference, points, progress),
            Dims::Three => self.place::<3>(reference, points, progress),
        }
    }

    fn place<const D: usize>(
        &self,
        reference: &Reference,
        points: ArrayView2<'_, f32>,
        progress: &dyn Progress,
    ) -> Result<Array2<f32>, Error> {
        let map = &self.embedding.points;
        let old: Vec<[f32; D]> = map
            .rows()
            .into_iter()
            .map(|row| std::array::from_fn(|c| row[c]))
            .collect();
        let settle = match &self.method {
            Method::Tsne(params) => Settle::Tsne(tsne_place::Placement::new(&old, params)),
            Method::Umap(params) => Settle::Umap(umap_place::Placement::new(&old, params)),
            Method::Pca => return Err(Error::parameter("method", "t-SNE or UMAP", self.method.name())),
        };
        let rows = reference.prepare(points);
        let count = rows.nrows();
        let mut placed = vec![[0.0f32; D]; count];
        placed
            .par_chunks_mut(CHUNK)
            .enumerate()
            .try_for_each(|(chunk, placed)| {
                progress::step(progress, "placement", chunk * CHUNK, count)?;
                for (offset, slot) in placed.iter_mut().enumerate() {
                    let row = rows.row(chunk * CHUNK + offset);
                    let row = row.as_slice().unwrap_or_default();
                    let width = match &settle {
                        Settle::Tsne(placement) => placement.neighbors(),
                        Settle::Umap(placement) => placement.neighbors(),
                    };
                    let near = reference.nearest(row, width);
                    *slot = match (near.same, &settle) {
                        (Some(same), _) => old[same as usize],
                        (None, Settle::Tsne(placement)) => {
                            let squared = near.distances.iter().map(|&d| reference.metric().squared(d)).collect();
                            placement.place(&near.indices, squared)
                        }
                        (None, Settle::Umap(placement)) => {
                            placement.place(&near.indices, &near.distances, reference::hash(row))
                        }
                    };
                }
                Ok::<(), Error>(())
            })?;
        progress::step(progress, "placement", count, count)?;
        let flat = placed.into_iter().flatten().collect();
        Array2::from_shape_vec((count, D), flat).map_err(|e| Error::shape("map", format!("{count} x {D}"), e))
    }
}

/// The last steps, after the method.
enum Settle<'a, const D: usize> {
    Tsne(tsne_place::Placement<'a, D>),
    Umap(umap_place::Placement<'a, D>),
}
