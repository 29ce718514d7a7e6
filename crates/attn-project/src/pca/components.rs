//! The components of a cloud, by its covariance or by a randomized search.
//!
//! The covariance is summed over blocks of rows. Where there are so many dimensions that it would be too large, it is
//! never written down: a randomized search (Halko, Martinsson and Tropp, *Finding structure with randomness*, SIAM
//! Review 2011) only asks what it makes of some vectors.

use attn_core::{Progress, progress};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::covariance::{covariance, unit};
use crate::{
    Error, Result, eigen,
    linalg::{check_points, is_usable, matmul},
    stages,
};

/// Rows of one task.
const BLOCK: usize = 2048;

/// Up to this many dimensions all eigenvectors cost less than an iteration for a few.
const DENSE: usize = 160;

/// Above so many dimensions the covariance is not written down.
const WIDE: usize = 1024;
/// Elements that a block of the randomized search has about, and sums that are kept apart, however many threads there
/// are.
const ELEMENTS: usize = 1 << 18;
const STRANDS: usize = 16;
/// Largest residual of an eigenvector, as a share of the largest eigenvalue, and most restarts to reach it.
const TOLERANCE: f64 = 1e-9;
const RESTARTS: usize = 100;

/// Principal components of a cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    mean: Array1<f64>,
    components: Array2<f64>,
    explained_variance: Vec<f64>,
    explained_variance_ratio: Vec<f64>,
}

impl Components {
    /// Finds the first `count` components of `points` `[point, dimension]`.
    ///
    /// The sign of a component is chosen so that its largest coefficient (by magnitude, the first of equals) is
    /// positive: the same points always give the same layout.
    ///
    /// ```
    /// let points = ndarray::array![[0.0f32, 0.0], [2.0, 1.0], [4.0, 2.0]];
    /// let pca = attn_project::pca::Components::fit(points.view(), 1, &())?;
    /// assert!((pca.explained_variance_ratio()[0] - 1.0).abs() < 1e-6);
    /// assert!((pca.transform(points.view())?[[2, 0]] - 5.0f32.sqrt()).abs() < 1e-6);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] below 2 points, [`Error::Parameter`] if `count` is 0 or above the number of
    /// dimensions, [`Error::NotFinite`], [`Error::TooLarge`], [`Error::Cancelled`].
    pub fn fit(points: ArrayView2<'_, f32>, count: usize, progress: &dyn Progress) -> Result<Self> {
        let d = points.ncols();
        if d > WIDE {
            return Self::fit_randomized(points, count, 0, progress);
        }
        check(points, count)?;
        let (mean, covariance) = covariance(points, progress)?;
        let total: f64 = covariance.diag().sum();
        let (values, components) = if d <= DENSE {
            eigen::symmetric(covariance)
        } else {
            eigen::leading(d, count, TOLERANCE, RESTARTS, 0, |block| {
                let mut out = Array2::zeros(block.raw_dim());
                matmul(block, covariance.view(), out.view_mut(), false);
                Ok(out)
            })?
        };
        Ok(Self::new(mean, &values, components, count, total))
    }

    /// The same by a randomized search that never writes the covariance down: for very wide points, for which
    /// [`fit`](Self::fit) takes it by itself (above 1,024 dimensions, with seed 0).
    ///
    /// A few random directions (five more than `count`) are sharpened by the covariance, whose products with them are
    /// summed from the points (Halko, Martinsson and Tropp, SIAM Review 2011, section 5; all powers are kept, as by
    /// Musco and Musco, NeurIPS 2015), until the components are exact to a billionth of the largest variance, or
    /// nearly so after a hundred restarts. Memory grows with the number of dimensions, not with its square; time with
    /// points times dimensions. Same seed, same bits, on any number of threads; another seed differs by rounding,
    /// unless variances are equal.
    ///
    /// ```
    /// let points = ndarray::Array2::from_shape_fn((40, 300), |(i, j)| ((i * i) as f32 * 0.1).sin() * (j as f32).cos());
    /// let pca = attn_project::pca::Components::fit_randomized(points.view(), 1, 7, &())?;
    /// assert!((pca.explained_variance_ratio()[0] - 1.0).abs() < 1e-5);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_randomized(
        points: ArrayView2<'_, f32>,
        count: usize,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        check(points, count)?;
        let (mean, unit) = mean(points)?;
        let total = variance(points, &mean, unit);
        let mut steps = 0;
        let (values, components) = eigen::leading(points.ncols(), count, TOLERANCE, RESTARTS, seed, |block| {
            // How many steps it takes is not known beforehand; more than this are rare.
            progress::step(progress, stages::PCA, steps.min(99), 100)?;
            steps += 1;
            Ok(covariance_times(points, &mean, unit, block))
        })?;
        Ok(Self::new(mean, &values, components, count, total))
    }

    fn new(mean: Array1<f64>, values: &[f64], mut components: Array2<f64>, count: usize, total: f64) -> Self {
        components.slice_axis_inplace(Axis(0), (..count).into());
        for mut row in components.rows_mut() {
            let largest = row
                .iter()
                .fold(0.0f64, |best, &x| if x.abs() > best.abs() { x } else { best });
            if largest < 0.0 {
                row.mapv_inplace(|x| -x);
            }
        }
        let explained_variance: Vec<f64> = values.iter().take(count).map(|v| v.max(0.0)).collect();
        let ratio = |v: &f64| if total > 0.0 { v / total } else { 0.0 };
        let explained_variance_ratio = explained_variance.iter().map(ratio).collect();
        Self {
            mean,
            components,
            explained_variance,
            explained_variance_ratio,
        }
    }

    /// Coordinates of any points of the same dimension, `[point, component]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of columns differs from that of the fitted points, [`Error::NotFinite`].
    pub fn transform(&self, points: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        if points.ncols() != self.mean.len() {
            return Err(Error::shape(
                "points",
                format!("{} columns", self.mean.len()),
                points.ncols(),
            ));
        }
        let count = self.components.nrows();
        let offsets: Vec<f64> = self
            .components
            .rows()
            .into_iter()
            .map(|row| row.dot(&self.mean))
            .collect();
        let (rows, components) = (points.as_standard_layout(), self.components.as_standard_layout());
        let (rows, components) = (
            rows.as_slice().unwrap_or_default(),
            components.as_slice().unwrap_or_default(),
        );
        let mut out = Array2::zeros((points.nrows(), count));
        let flat = out.as_slice_mut().unwrap_or_default();
        flat.par_chunks_mut(BLOCK * count)
            .zip(rows.par_chunks(BLOCK * self.mean.len()))
            .for_each(|(out, points)| {
                pulp::Arch::new().dispatch(Coordinates {
                    points,
                    components,
                    offsets: &offsets,
                    width: self.mean.len(),
                    out,
                });
            });
        // What is not finite or too large has no moderate products, so that only these few need to be looked at.
        if out.iter().any(|x| !is_usable(*x)) {
            check_points("points", points)?;
        }
        Ok(out)
    }

    /// The components as rows `[component, dimension]`, of length 1 and at right angles, largest variance first.
    pub fn components(&self) -> ArrayView2<'_, f64> {
        self.components.view()
    }

    /// Variance of the points along each component (divided by `n - 1`).
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// The same as a share of the total variance; 0 if all points are equal.
    pub fn explained_variance_ratio(&self) -> &[f64] {
        &self.explained_variance_ratio
    }
}

/// Refuses too few points and components that are not there.
fn check(points: ArrayView2<'_, f32>, count: usize) -> Result<()> {
    let (n, d) = points.dim();
    if n < 2 {
        return Err(Error::too_few("PCA", 2, n));
    }
    if count == 0 || count > d {
        return Err(Error::parameter(
            "count",
            format!("1 to {d} components, the points' dimensions"),
            count,
        ));
    }
    Ok(())
}

/// Coordinates of some rows along the components, in f64: `x c - mean c` is exact enough without a centered copy.
struct Coordinates<'a> {
    points: &'a [f32],
    components: &'a [f64],
    offsets: &'a [f64],
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Coordinates<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        const LANES: usize = 8;
        let rows = self.points.chunks_exact(self.width);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(self.offsets.len())) {
            let components = self.components.chunks_exact(self.width);
            for ((component, offset), out) in components.zip(self.offsets).zip(out) {
                let ((x, x_rest), (c, c_rest)) = (row.as_chunks::<LANES>(), component.as_chunks::<LANES>());
                let mut lanes = [0.0f64; LANES];
                for (x, c) in x.iter().zip(c) {
                    for lane in 0..LANES {
                        lanes[lane] += f64::from(x[lane]) * c[lane];
                    }
                }
                let mut sum = -offset;
                for (&x, &c) in x_rest.iter().zip(c_rest) {
                    sum += f64::from(x) * c;
                }
                for lane in lanes {
                    sum += lane;
                }
                *out = sum as f32;
            }
        }
    }
}

/// Mean of the rows, which are checked on the way, and a power of two near the largest value: blocks in parallel, added
/// up in their order.
fn mean(points: ArrayView2<'_, f32>) -> Result<(Array1<f64>, f64)> {
    let blocks: Vec<_> = points.axis_chunks_iter(Axis(0), BLOCK).collect();
    let sums: Vec<(Array1<f64>, u32)> = blocks
        .into_par_iter()
        .map(|block| {
            let mut sum = Array1::<f64>::zeros(block.ncols());
            let mut largest = 0u32;
            for row in block.rows() {
                for (sum, &x) in sum.iter_mut().zip(row) {
                    *sum += f64::from(x);
                    // Magnitudes order like their bits, and integers, unlike floats, may be compared in any order.
                    largest = largest.max(x.to_bits() & 0x7fff_ffff);
                }
            }
            (sum, largest)
        })
        .collect();
    let mut mean = Array1::<f64>::zeros(points.ncols());
    let mut largest = 0u32;
    for (sum, bits) in &sums {
        mean += sum;
        largest = largest.max(*bits);
    }
    let unit = unit(f32::from_bits(largest));
    if unit.is_none() {
        check_points("points", points)?;
    }
    Ok((mean / points.nrows() as f64, unit.unwrap_or(1.0)))
}

/// The blocks of rows that a randomized search goes through, and how many of them follow each other in one sum.
fn strands<'a>(points: &'a ArrayView2<'_, f32>) -> Vec<ArrayView2<'a, f32>> {
    let (n, d) = points.dim();
    let block = (ELEMENTS / d.max(1)).clamp(1, 512);
    let rows = n.div_ceil(STRANDS).div_ceil(block) * block;
    points.axis_chunks_iter(Axis(0), rows.max(1)).collect()
}

/// Some rows, centered, in units of `unit`.
fn centered(rows: ArrayView2<'_, f32>, mean: &Array1<f64>, unit: f64) -> Array2<f64> {
    let mut out = rows.mapv(f64::from);
    for mut row in out.rows_mut() {
        row.zip_mut_with(mean, |x, &m| *x = (*x - m) / unit);
    }
    out
}

/// The sum of all variances.
fn variance(points: ArrayView2<'_, f32>, mean: &Array1<f64>, unit: f64) -> f64 {
    let sums: Vec<f64> = strands(&points)
        .into_par_iter()
        .map(|strand| {
            let row = |row: ndarray::ArrayView1<'_, f32>| {
                let squared = |(&x, &m): (&f32, &f64)| ((f64::from(x) - m) / unit).powi(2);
                row.iter().zip(mean).map(squared).sum::<f64>()
            };
            strand.axis_iter(Axis(0)).map(row).sum()
        })
        .collect();
    sums.iter().sum::<f64>() * unit * unit / (points.nrows() - 1) as f64
}

/// The covariance times the rows of `vectors`, in double precision.
fn covariance_times(
    points: ArrayView2<'_, f32>,
    mean: &Array1<f64>,
    unit: f64,
    vectors: ArrayView2<'_, f64>,
) -> Array2<f64> {
    let (n, d) = points.dim();
    let block = (ELEMENTS / d.max(1)).clamp(1, 512);
    let sums: Vec<Array2<f64>> = strands(&points)
        .into_par_iter()
        .map(|strand| {
            let mut sum = Array2::zeros(vectors.raw_dim());
            for rows in strand.axis_chunks_iter(Axis(0), block) {
                let rows = centered(rows, mean, unit);
                let mut along = Array2::zeros((vectors.nrows(), rows.nrows()));
                matmul(vectors, rows.t(), along.view_mut(), false);
                matmul(along.view(), rows.view(), sum.view_mut(), true);
            }
            sum
        })
        .collect();
    let mut out = Array2::<f64>::zeros(vectors.raw_dim());
    for sum in &sums {
        out += sum;
    }
    out *= unit * unit / (n - 1) as f64;
    out
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_ellipse_with_known_axes() {
        // Points ±a u, ±b v with u, v orthonormal: covariance 2 a²/3 u uᵀ + 2 b²/3 v vᵀ, mean far away.
        let (u, v) = ([0.6f32, 0.8, 0.0], [0.0f32, 0.0, 1.0]);
        let points = Array2::from_shape_fn((4, 3), |(i, j)| match i {
            0 => 3.0 * u[j],
            1 => -3.0 * u[j],
            2 => 0.5 * v[j],
            _ => -0.5 * v[j],
        }) + 64.0;
        let pca = Components::fit(points.view(), 3, &()).unwrap();
        for (found, expected) in pca.explained_variance().iter().zip([6.0, 1.0 / 6.0, 0.0]) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        for j in 0..3 {
            assert!((pca.components()[[0, j]] - f64::from(u[j])).abs() < 1e-5);
            assert!((pca.components()[[1, j]] - f64::from(v[j])).abs() < 1e-5);
        }
        assert!((pca.explained_variance_ratio().iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn all_components_reconstruct_the_points() {
        let mut rng = Rng::new(3, 0);
        let points = Array2::from_shape_fn((90, 12), |(_, j)| (rng.normal() * (j + 1) as f64) as f32 + 5.0);
        let pca = Components::fit(points.view(), 12, &()).unwrap();
        let coordinates = pca.transform(points.view()).unwrap().mapv(f64::from);
        let again = coordinates.dot(&pca.components()) + &pca.mean;
        assert!((again - points.mapv(f64::from)).iter().all(|x| x.abs() < 1e-4));
    }

    #[test]
    fn many_dimensions_by_iteration() {
        // Variances 300, 290, 280 on three planted axes, about 1 on the 397 others.
        let mut rng = Rng::new(8, 0);
        let points = Array2::from_shape_fn((3000, 400), |(_, j)| {
            let deviation = if j < 3 { (300.0 - 10.0 * j as f64).sqrt() } else { 1.0 };
            (rng.normal() * deviation) as f32
        });
        let pca = Components::fit(points.view(), 3, &()).unwrap();
        let (values, vectors) = eigen::symmetric(covariance(points.view(), &()).unwrap().1);
        for i in 0..3 {
            assert!((pca.explained_variance()[i] / values[i] - 1.0).abs() < 1e-6);
            assert!((pca.components().row(i).dot(&vectors.row(i)).abs() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_randomized_search_finds_what_the_covariance_has() {
        // A spectrum that falls slowly, a distant mean, many and few rows, and values that overflow when squared.
        for (n, d, scale) in [(900, 70, 1.0), (40, 300, 1.0), (700, 130, 1e25)] {
            let mut rng = Rng::new(6, d as u64);
            let points = Array2::from_shape_fn((n, d), |(_, j)| {
                (scale * (rng.normal() / (1.0 + j as f64).sqrt() + 3.0)) as f32
            });
            let (values, vectors) = eigen::symmetric(covariance(points.view(), &()).unwrap().1);
            let total: f64 = values.iter().sum();
            for seed in [0, 9] {
                let pca = Components::fit_randomized(points.view(), 4, seed, &()).unwrap();
                for i in 0..4 {
                    let [found, ratio] = [pca.explained_variance()[i], pca.explained_variance_ratio()[i]];
                    assert!(
                        (found / values[i] - 1.0).abs() < 1e-5,
                        "{n} x {d}: {found} {}",
                        values[i]
                    );
                    assert!((ratio / (values[i] / total) - 1.0).abs() < 1e-5);
                    let along = pca.components().row(i).dot(&vectors.row(i)).abs();
                    assert!((along - 1.0).abs() < 1e-6, "{n} x {d}: {along}");
                }
                let on = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| Components::fit_randomized(points.view(), 4, seed, &()).unwrap())
                };
                assert_eq!(on(1), on(3));
            }
        }
    }

    #[test]
    fn very_wide_points() {
        // Two planted directions among 3,000: the covariance would have nine million elements.
        let mut rng = Rng::new(2, 0);
        let points = Array2::from_shape_fn((60, 3000), |(i, j)| {
            let planted =
                if j == 1000 { 30.0 * (i as f64).sin() } else { 0.0 } + if j == 2000 { i as f64 } else { 0.0 };
            (planted + 0.1 * rng.normal()) as f32
        });
        let pca = Components::fit(points.view(), 2, &()).unwrap();
        assert_eq!(pca, Components::fit_randomized(points.view(), 2, 0, &()).unwrap());
        // Sample variances of the planted columns, which are nearly uncorrelated.
        for axis in [1000, 2000] {
            let (found, vector) = (0..2)
                .map(|i| (pca.explained_variance()[i], pca.components()[[i, axis]]))
                .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
                .unwrap();
            let column = points.column(axis).mapv(f64::from);
            let variance = column.var(1.0);
            assert!(
                vector.abs() > 0.95 && (found / variance - 1.0).abs() < 0.1,
                "{vector} {found} {variance}"
            );
        }
        let stop = |_: &str, done: usize, _: usize| match done {
            0..3 => std::ops::ControlFlow::Continue(()),
            _ => std::ops::ControlFlow::Break(()),
        };
        assert!(Components::fit(points.view(), 2, &stop).unwrap_err().is_cancelled());
    }

    #[test]
    fn equal_points_are_no_failure() {
        let points = Array2::from_elem((9, 4), 1.5f32);
        let pca = Components::fit(points.view(), 2, &()).unwrap();
        assert_eq!(pca.explained_variance_ratio(), [0.0, 0.0]);
        assert!(pca.transform(points.view()).unwrap().iter().all(|&x| x == 0.0));
    }

    #[test]
    fn bad_input_is_refused() {
        let points = Array2::<f32>::zeros((5, 2));
        assert!(matches!(
            Components::fit(points.view(), 3, &()),
            Err(Error::Parameter { name: "count", .. })
        ));
        assert!(matches!(
            Components::fit(points.slice(s![..1, ..]), 1, &()),
            Err(Error::TooFewPoints { .. })
        ));
        let pca = Components::fit(points.view(), 2, &()).unwrap();
        assert!(matches!(
            pca.transform(Array2::zeros((1, 3)).view()),
            Err(Error::Shape { .. })
        ));
    }
}
