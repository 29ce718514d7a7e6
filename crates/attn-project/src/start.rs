//! The layout that t-SNE and UMAP start from.

use attn_core::Progress;
use ndarray::{Array2, s};

use crate::{Result, method::FitInput, pca::Components, rng::Rng};

/// Principal components of the points, scaled so that the widest axis has standard deviation `deviation`, plus
/// normal noise of `jitter` times that, which separates duplicates. Points without extent start as noise.
pub(crate) fn principal(
    input: &FitInput<'_>,
    deviation: f64,
    jitter: f64,
    progress: &dyn Progress,
) -> Result<Array2<f32>> {
    let points = input.points;
    let mut layout = Array2::<f32>::zeros((points.nrows(), input.dims.count()));
    let count = input.dims.count().min(points.ncols());
    let pca = Components::fit(points, count, progress)?;
    let widest = pca.explained_variance()[0].sqrt();
    let noise = if widest > 0.0 {
        let coordinates = pca.transform(points)?;
        let scale = deviation / widest;
        layout
            .slice_mut(s![.., ..count])
            .zip_mut_with(&coordinates, |out, &x| *out = (f64::from(x) * scale) as f32);
        jitter * deviation
    } else {
        deviation
    };
    let mut rng = Rng::new(input.seed, 0);
    layout.mapv_inplace(|x| x + (noise * rng.normal()) as f32);
    Ok(layout)
}

/// Rows as points.
pub(crate) fn rows<const D: usize>(layout: &Array2<f32>) -> Vec<[f32; D]> {
    layout
        .rows()
        .into_iter()
        .map(|row| std::array::from_fn(|c| row[c]))
        .collect()
}

/// Points as rows.
pub(crate) fn matrix<const D: usize>(points: &[[f32; D]]) -> Array2<f32> {
    Array2::from_shape_fn((points.len(), D), |(i, c)| points[i][c])
}
