//! The start of UMAP: the smoothest functions on the neighbor graph (Belkin and Niyogi, *Laplacian eigenmaps*,
//! Neural Computation 2003).

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::graph::Graph;
use crate::{Dims, Result, eigen, rng::Rng, stages};

/// A start needs no digits: vectors mixed with some nearly as smooth do as well.
const TOLERANCE: f64 = 1e-3;
const RESTARTS: usize = 10;

/// Eigenvectors of `D^-1/2 W D^-1/2` after the first, which is constant up to the degrees; each axis scaled to
/// standard deviation `deviation`, plus noise.
pub(super) fn layout(
    graph: &Graph,
    dims: Dims,
    (deviation, noise): (f64, f64),
    seed: u64,
    progress: &dyn Progress,
) -> Result<Array2<f32>> {
    let n = graph.len();
    let root: Vec<f64> = (0..n)
        .map(|i| graph.row(i).1.iter().map(|&w| f64::from(w)).sum::<f64>().sqrt())
        .collect();
    let mut steps = 0;
    let (_, vectors) = eigen::leading(n, dims.count() + 1, TOLERANCE, RESTARTS, 0, |block| {
        // How many steps it takes is not known beforehand; more than this are rare.
        progress::step(progress, stages::SPECTRAL_START, steps.min(99), 100)?;
        steps += 1;
        Ok(smooth(graph, &root, block))
    })?;
    let mut layout = Array2::<f32>::zeros((n, dims.count()));
    let mut rng = Rng::new(seed, 0);
    for (mut axis, vector) in layout.columns_mut().into_iter().zip(vectors.rows().into_iter().skip(1)) {
        let scale = deviation * (n as f64).sqrt();
        // Vectors have length 1; the sign that makes the largest element positive, as for components.
        let largest = vector
            .iter()
            .fold(0.0f64, |best, &x| if x.abs() > best.abs() { x } else { best });
        axis.iter_mut()
            .zip(vector)
            .for_each(|(out, &x)| *out = (x * scale * largest.signum()) as f32);
    }
    layout.mapv_inplace(|x| x + (noise * deviation * rng.normal()) as f32);
    Ok(layout)
}

/// One step of a lazy random walk, made symmetric: `(x + D^-1/2 W D^-1/2 x) / 2` for every row of the block.
/// Lazy, so that all eigenvalues are positive and the smoothest functions have the largest.
fn smooth(graph: &Graph, root: &[f64], block: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut out = Array2::zeros(block.raw_dim());
    let rows: Vec<_> = out.axis_iter_mut(Axis(0)).zip(block.axis_iter(Axis(0))).collect();
    rows.into_par_iter().for_each(|(mut out, x)| {
        for i in 0..root.len() {
            let (columns, weights) = graph.row(i);
            let term = |(&j, &w): (&u32, &f32)| f64::from(w) * x[j as usize] / root[j as usize];
            out[i] = 0.5 * (x[i] + columns.iter().zip(weights).map(term).sum::<f64>() / root[i]);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metric, Neighbors};

    /// On a path, the smoothest function orders the points along it.
    #[test]
    fn a_path_is_laid_out_in_order() {
        let points = Array2::from_shape_fn((300, 2), |(i, c)| if c == 0 { i as f32 } else { 0.0 });
        let graph = Graph::new(&Neighbors::exact(points.view(), 6, Metric::EUCLIDEAN, &()).unwrap(), 6);
        let layout = layout(&graph, Dims::Two, (2.5, 0.0), 1, &()).unwrap();
        let first: Vec<f32> = layout.column(0).to_vec();
        let rising = first.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!(!(10..=289).contains(&rising), "{rising}");
        let deviation = (first.iter().map(|x| x * x).sum::<f32>() / 300.0).sqrt();
        assert!((deviation - 2.5).abs() < 1e-3);
    }
}
