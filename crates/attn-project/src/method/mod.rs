//! Projection methods: what one implements, and how built-in ones and those of a host are named, kept and called.

mod embedding;
mod handle;
mod links;
mod list;
#[cfg(test)]
mod tests;

use std::{any::Any, fmt::Debug};

use attn_core::Progress;
use ndarray::ArrayView2;
use serde_json::Value;

pub(crate) use self::handle::json;
pub use self::{
    embedding::{Diagnostic, Dims, Embedding},
    handle::Method,
    links::Links,
    list::Methods,
};
use crate::{Metric, Neighbors, Result, Warning, place::Placement};

/// Points that a method may work with, checked by [`Projector`](crate::Projector): finite, of moderate size, at least
/// [`ProjectionMethod::min_points`], with at least one column.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FitInput<'a> {
    /// `[point, dimension]`.
    pub points: ArrayView2<'a, f32>,
    /// The nearest neighbors of every point, at least as many as [`ProjectionMethod::neighbors`] asks for; `None` if it
    /// asks for none.
    pub neighbors: Option<&'a Neighbors>,
    /// Points to be laid near each other whatever their distance: see [`ProjectionMethod::wants_links`]. `None` if the caller
    /// knows none.
    pub links: Option<&'a Links>,
    /// Dimensions of the layout.
    pub dims: Dims,
    /// Distance between points.
    pub metric: &'a Metric,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl<'a> FitInput<'a> {
    /// The neighbor table of a method that asked for one.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a method that asked for none.
    pub fn table(&self) -> Result<&'a Neighbors> {
        self.neighbors
            .ok_or_else(|| crate::Error::parameter("neighbors", "a table of neighbors", "none"))
    }
}

/// A way to lay points out in the plane or in space.
///
/// The built-in [`Pca`](crate::pca::Pca), [`Tsne`](crate::tsne::Tsne), [`Umap`](crate::umap::Umap) and
/// [`Mds`](crate::mds::Mds) implement it, and so may a host: a [`Method`] is made of any of them, and goes wherever a
/// method is taken. [`name`](Self::name) and [`fit`](Self::fit) are enough; the rest adds abilities.
///
/// ```
/// use attn_project::{Embedding, ProjectionMethod, Projector, Result, attn_core::Progress, method::FitInput};
/// use ndarray::Array2;
///
/// /// Points on a circle, in their order.
/// #[derive(Debug)]
/// struct Circle;
///
/// impl ProjectionMethod for Circle {
///     fn name(&self) -> &str {
///         "circle"
///     }
///
///     fn fit(&self, input: &FitInput<'_>, _: &dyn Progress) -> Result<Embedding> {
///         let turn = std::f32::consts::TAU / input.points.nrows() as f32;
///         let place = |(i, axis): (usize, usize)| match axis {
///             0 => (i as f32 * turn).cos(),
///             1 => (i as f32 * turn).sin(),
///             _ => 0.0,
///         };
///         Ok(Embedding::new(Array2::from_shape_fn((input.points.nrows(), input.dims.count()), place)))
///     }
/// }
///
/// let points = Array2::from_shape_fn((12, 5), |(i, j)| (i * j) as f32);
/// let embedding = Projector::new(Circle).fit(points.view(), &())?;
/// assert_eq!(embedding.points.dim(), (12, 2));
/// # Ok::<(), attn_project::Error>(())
/// ```
pub trait ProjectionMethod: Any + Debug + Send + Sync {
    /// Name in captions and errors, such as `t-SNE`.
    fn name(&self) -> &str;

    /// Name in files and on command lines, such as `tsne`. Default: [`name`](Self::name).
    fn key(&self) -> &str {
        self.name()
    }

    /// Parameters as JSON, `Null` without any (the default). With [`key`](Self::key) and [`revisions`](Self::revisions)
    /// they must tell all that coordinates depend on besides the points: files keep them, and an
    /// [`AtlasCache`](crate::atlas::AtlasCache) takes heads with the same three for the same.
    fn params(&self) -> Value {
        Value::Null
    }

    /// Numbers raised whenever the same points and parameters give other coordinates. Default: none.
    fn revisions(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Fewest points that can be laid out. Default 2.
    fn min_points(&self) -> usize {
        2
    }

    /// Neighbors needed by each of `points` points. Default 0: none are searched, and [`FitInput::neighbors`] is
    /// `None`.
    fn neighbors(&self, points: usize) -> usize {
        let _ = points;
        0
    }

    /// Whether it reads [`FitInput::links`]: of a head, each query is then linked to the keys of its sequence with its
    /// attention as the weight. Default: no. A method must do without them too, for points that are not a head's.
    fn wants_links(&self) -> bool {
        false
    }

    /// Lays the points out. Must give one finite row of [`Dims::count`] columns for each; the same input must give the
    /// same coordinates on any number of threads. Warnings are added by the caller.
    ///
    /// # Errors
    /// Any; [`Error::method`](crate::Error::method) for errors of other crates.
    fn fit(&self, input: &FitInput<'_>, progress: &dyn Progress) -> Result<Embedding>;

    /// Lays out the same points in several states together, each held by itself in the frames before and after with a
    /// `strength` from 0 to 1. `None`, the default, for a method that cannot: frames are then laid out one by one and
    /// turned onto each other. Frames have equally many points, at least one frame is there.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    fn fit_aligned(
        &self,
        frames: &[FitInput<'_>],
        strength: f32,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Embedding>>> {
        let _ = (frames, strength, progress);
        Ok(None)
    }

    /// What places new points into `embedding`, a layout of `input` (whose table is `None`). `None`, the default, for a
    /// method that cannot.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    fn placement(
        &self,
        input: &FitInput<'_>,
        embedding: &Embedding,
        progress: &dyn Progress,
    ) -> Result<Option<Box<dyn Placement>>> {
        let _ = (input, embedding, progress);
        Ok(None)
    }

    /// What a reader should know before believing the layout, beyond what holds for every method with neighbors
    /// (pieces, duplicates, rows of zeros), which the caller adds. Default: nothing.
    fn warnings(&self, input: &FitInput<'_>) -> Vec<Warning> {
        let _ = input;
        Vec::new()
    }
}
