//! Feature `linfa`: this crate's search for linfa's algorithms, and linfa's transformers as projection methods.
//!
//! ```
//! use attn_project::linfa::Search;
//! use linfa::{prelude::ParamGuard, traits::Transformer};
//! use linfa_clustering::Dbscan;
//! use linfa_nn::distance::L2Dist;
//!
//! let points = ndarray::Array2::from_shape_fn((60, 8), |(i, j)| (i % 3) as f32 * 9.0 + ((i * (j + 2)) as f32).sin());
//! let clusters = Dbscan::params_with(4, L2Dist, Search).tolerance(4.0).check()?.transform(&points);
//! assert_eq!(clusters.iter().flatten().max(), Some(&2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    any::type_name,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use ::linfa::{Float, traits::Transformer};
use attn_core::Progress;
use linfa_nn::{
    BuildError, NearestNeighbour, NearestNeighbourIndex, NnError,
    distance::{Distance, L2Dist},
};
use ndarray::{Array2, ArrayBase, ArrayView1, ArrayView2, Data, Ix2};
pub use {::linfa, linfa_nn};

use crate::{
    Embedding, Error, Metric, ProjectionMethod, Result,
    linalg::LARGEST,
    method::FitInput,
    neighbors::reference::Reference,
    place::{NewPoint, Placement},
};

/// This crate's exact search as a [`NearestNeighbour`]: what linfa's DBSCAN, OPTICS and others search with.
///
/// Several times as fast as linfa's trees in tens of dimensions, where these compare nearly all pairs too. For
/// [`L2Dist`] candidates are found in single precision and measured again by linfa's distance in its own, so that the
/// answer is linfa's; any other distance is computed for all points. Points that are not finite or larger than 10^33
/// are compared one by one, as linfa does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Search;

impl NearestNeighbour for Search {
    fn from_batch_with_leaf_size<'a, F: Float, DT: Data<Elem = F>, D: 'a + Distance<F>>(
        &self,
        batch: &'a ArrayBase<DT, Ix2>,
        leaf_size: usize,
        dist_fn: D,
    ) -> std::result::Result<Box<dyn 'a + Send + Sync + NearestNeighbourIndex<F>>, BuildError> {
        if batch.ncols() == 0 {
            return Err(BuildError::ZeroDimension);
        }
        if leaf_size == 0 {
            return Err(BuildError::EmptyLeaf);
        }
        let single = batch.mapv(|x| x.to_f32().unwrap_or(f32::NAN));
        let usable = single.iter().all(|x| x.abs() <= LARGEST) && batch.nrows() > 0;
        Ok(Box::new(Index {
            points: batch.view(),
            // The only thing that can be asked of a type without its being `'static`.
            reference: (usable && type_name::<D>() == type_name::<L2Dist>())
                .then(|| Reference::new(single.view(), Metric::EUCLIDEAN)),
            distance: dist_fn,
        }))
    }
}

struct Index<'a, F: Float, D> {
    points: ArrayView2<'a, F>,
    reference: Option<Reference>,
    distance: D,
}

type Found<'i, F> = std::result::Result<Vec<(ArrayView1<'i, F>, usize)>, NnError>;

impl<F: Float, D: Distance<F>> Index<'_, F, D> {
    /// Points by linfa's own measure, nearest first.
    fn measured(&self, point: ArrayView1<'_, F>, candidates: impl Iterator<Item = usize>) -> Vec<(F, usize)> {
        let measure = |j: usize| (self.distance.rdistance(point.reborrow(), self.points.row(j)), j);
        let mut found: Vec<(F, usize)> = candidates.map(measure).collect();
        found.sort_by(|a, b| {
            a.0.partial_cmp(&b.0)
                .unwrap_or(std::cmp::Ordering::Equal)
                .then(a.1.cmp(&b.1))
        });
        found
    }

    /// The search in single precision, and a point in its form.
    fn single(&self, point: &ArrayView1<'_, F>) -> Option<(&Reference, Vec<f32>)> {
        let reference = self.reference.as_ref()?;
        let row = point
            .mapv(|x| x.to_f32().unwrap_or(f32::NAN))
            .insert_axis(ndarray::Axis(0));
        let usable = row.iter().all(|x| x.abs() <= LARGEST);
        usable.then(|| (reference, reference.prepare(row.view()).into_iter().collect()))
    }

    fn rows(&self, found: impl Iterator<Item = usize>) -> Vec<(ArrayView1<'_, F>, usize)> {
        found.map(|j| (self.points.row(j), j)).collect()
    }
}

impl<F: Float, D: Distance<F>> NearestNeighbourIndex<F> for Index<'_, F, D> {
    fn k_nearest(&self, point: ArrayView1<'_, F>, k: usize) -> Found<'_, F> {
        if point.len() != self.points.ncols() {
            return Err(NnError::WrongDimension);
        }
        // A few more than asked for, so that rounding cannot lose one at the border.
        let near = self.single(&point).filter(|_| k > 0);
        let near = near.and_then(|(reference, row)| reference.nearest(&row, k + 8).ok());
        let found = match near {
            Some(near) => self.measured(point, near.indices.into_iter().map(|j| j as usize)),
            None => self.measured(point, 0..self.points.nrows()),
        };
        Ok(self.rows(found.into_iter().take(k).map(|found| found.1)))
    }

    fn within_range(&self, point: ArrayView1<'_, F>, range: F) -> Found<'_, F> {
        if point.len() != self.points.ncols() {
            return Err(NnError::WrongDimension);
        }
        // A little farther, so that rounding cannot lose one at the border.
        let radius = range.to_f32().unwrap_or(f32::NAN) * (1.0 + 1e-4) + f32::MIN_POSITIVE;
        let near = self.single(&point).filter(|_| radius.is_finite());
        let near = near.and_then(|(reference, row)| reference.within(&row, radius).ok());
        let found = match near {
            Some(near) => self.measured(point, near.into_iter().map(|(j, _)| j as usize)),
            None => self.measured(point, 0..self.points.nrows()),
        };
        let bound = self.distance.dist_to_rdist(range);
        let inside = found.into_iter().filter(|found| found.0 < bound);
        Ok(self.rows(inside.map(|found| found.1)))
    }
}

/// A method of linfa's: something that is fitted to points and transforms them, such as a random projection.
///
/// The function fits it to points `[point, dimension]` in double precision, for so many dimensions, with a seed; what
/// it returns also places new points. What comes out is checked as that of any method: another shape, NaN and
/// infinity are errors. A method that works up to some number of points has [`at_most`](Self::at_most). A panic inside linfa
/// is an error too, where panics unwind: the `Pca` of linfa-reduction 0.8 panics from some 10,000 points on. Use
/// [`Pca`](crate::pca::Pca).
///
/// ```
/// use attn_project::{Projector, linfa::FromLinfa};
/// use linfa::traits::Fit;
/// use linfa_reduction::random_projection::GaussianRandomProjection;
///
/// let method = FromLinfa::new("random projection", |points, dims, _seed| {
///     let data = linfa::DatasetBase::from(points.clone());
///     GaussianRandomProjection::<f64>::params().target_dim(dims).fit(&data)
/// });
/// let points = ndarray::Array2::from_shape_fn((40, 9), |(i, j)| ((i * (j + 2)) as f32).sin());
/// assert_eq!(Projector::new(method).fit(points.view(), &())?.points.dim(), (40, 2));
/// # Ok::<(), attn_project::Error>(())
/// ```
pub struct FromLinfa<B> {
    name: String,
    at_most: usize,
    fit: B,
}

/// What a method of linfa gives, or its panic as an error.
fn guarded<T>(name: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing of a call that panicked is used again: what it works on is its own, or is only read.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Error::method(
            name,
            format!("panicked: {}", text.unwrap_or("without a message")),
        ))
    })
}

impl<B, T, E> FromLinfa<B>
where
    B: Fn(&Array2<f64>, usize, u64) -> std::result::Result<T, E> + Send + Sync + 'static,
    T: for<'x> Transformer<&'x Array2<f64>, Array2<f64>> + Send + Sync + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    /// A method of this name, which must tell its parameters too.
    pub fn new(name: impl Into<String>, fit: B) -> Self {
        Self {
            name: name.into(),
            at_most: usize::MAX,
            fit,
        }
    }

    /// The same, refusing more points than these before the method is called.
    #[must_use]
    pub fn at_most(self, points: usize) -> Self {
        Self {
            at_most: points,
            ..self
        }
    }

    fn fitted(&self, input: &FitInput<'_>) -> Result<(T, Array2<f64>)> {
        let (n, columns) = input.points.dim();
        let dims = input.dims.count();
        if columns < dims {
            let expected = format!("at least {dims} dimensions for {}", self.name);
            return Err(Error::parameter("points", expected, columns));
        }
        if n <= dims {
            return Err(Error::too_few(self.name.clone(), dims + 1, n));
        }
        if n > self.at_most {
            let expected = format!("at most {} points for {}", self.at_most, self.name);
            return Err(Error::parameter("points", expected, n));
        }
        let points = input.points.mapv(f64::from);
        let fit = || (self.fit)(&points, dims, input.seed).map_err(|error| Error::method(&self.name, error));
        let fitted = guarded(&self.name, fit)?;
        Ok((fitted, points))
    }
}

impl<B> fmt::Debug for FromLinfa<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromLinfa").field(&self.name).finish()
    }
}

impl<B, T, E> ProjectionMethod for FromLinfa<B>
where
    B: Fn(&Array2<f64>, usize, u64) -> std::result::Result<T, E> + Send + Sync + 'static,
    T: for<'x> Transformer<&'x Array2<f64>, Array2<f64>> + Send + Sync + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn fit(&self, input: &FitInput<'_>, _: &dyn Progress) -> Result<Embedding> {
        let (fitted, points) = self.fitted(input)?;
        let places = guarded(&self.name, || Ok(fitted.transform(&points)))?;
        Ok(Embedding::new(places.mapv(|x| x as f32)))
    }

    fn placement(&self, input: &FitInput<'_>, _: &Embedding, _: &dyn Progress) -> Result<Option<Box<dyn Placement>>> {
        let (fitted, _) = self.fitted(input)?;
        Ok(Some(Box::new(Fitted(self.name.clone(), fitted))))
    }
}

/// The method's name, and what it was fitted to.
struct Fitted<T>(String, T);

impl<T> fmt::Debug for Fitted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<T>())
    }
}

impl<T> Placement for Fitted<T>
where
    T: for<'x> Transformer<&'x Array2<f64>, Array2<f64>> + Send + Sync,
{
    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()> {
        let row = Array2::from_shape_fn((1, point.row.len()), |(_, column)| f64::from(point.row[column]));
        let place = guarded(&self.0, || Ok(self.1.transform(&row)))?;
        if place.len() != out.len() {
            return Err(Error::shape("coordinates", out.len(), place.len()));
        }
        out.iter_mut().zip(&place).for_each(|(out, &x)| *out = x as f32);
        Ok(())
    }
}
