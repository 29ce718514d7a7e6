//! Principal components: the linear projection that keeps most variance (Pearson 1901).
//!
//! Directions and large distances mean what they show; neighborhoods overlap. The metric plays no part.

mod components;
mod covariance;

use attn_core::Progress;
use ndarray::ArrayView2;

pub use self::components::Components;
use crate::{
    Embedding, ProjectionMethod, Result,
    method::FitInput,
    place::{NewPoint, Placement},
};

/// Diagnostic of an embedding: each axis' share of the variance.
pub const EXPLAINED_VARIANCE: &str = "explained_variance";

/// Raised whenever coordinates change, so that layouts kept from before are made again.
pub(crate) const REVISION: u32 = 2;

/// The method: principal components as axes. Fast, linear, no parameters.
///
/// Not for groups that are curved or many: t-SNE and UMAP separate what lies on top of each other here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pca;

impl ProjectionMethod for Pca {
    fn name(&self) -> &str {
        "PCA"
    }

    fn key(&self) -> &str {
        "pca"
    }

    fn revisions(&self) -> Vec<u32> {
        vec![REVISION]
    }

    fn fit(&self, input: &FitInput<'_>, progress: &dyn Progress) -> Result<Embedding> {
        let components = Components::fit(input.points, input.dims.count(), progress)?;
        let embedding = Embedding::new(components.transform(input.points)?);
        Ok(embedding.report(EXPLAINED_VARIANCE, components.explained_variance_ratio()))
    }

    fn placement(
        &self,
        input: &FitInput<'_>,
        embedding: &Embedding,
        progress: &dyn Progress,
    ) -> Result<Option<Box<dyn Placement>>> {
        let components = Components::fit(input.points, embedding.points.ncols(), progress)?;
        Ok(Some(Box::new(Linear(components))))
    }
}

/// A new point goes where its coordinates along the components are: far stays far.
#[derive(Debug)]
struct Linear(Components);

impl Placement for Linear {
    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()> {
        let row = ArrayView2::from_shape((1, point.row.len()), point.row);
        let row = row.map_err(|e| crate::Error::shape("points", "rows", e))?;
        let place = self.0.transform(row)?;
        out.iter_mut().zip(&place).for_each(|(out, &x)| *out = x);
        Ok(())
    }
}
