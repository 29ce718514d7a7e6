//! Mean and covariance of rows, which are read once.
//!
//! Some rows at a time are centered by their own mean and multiplied in single precision, which errs by less than the
//! values' own rounding; their sums are joined in double (Chan, Golub and LeVeque, *Updating formulae and a pairwise
//! algorithm for computing sample variances*, 1979), so that a distant mean costs no digits.

use attn_core::{Progress, progress};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    Result,
    linalg::{PANEL, TILE, check_points, is_usable, products},
    stages,
};

/// Rows whose products are added in single precision.
const ROWS: usize = 512;
/// Elements of the products of blocks that are in memory together.
const AT_ONCE: usize = 1 << 22;

/// The mean of the rows and `Σ (x - mean)(x - mean)ᵀ / (n - 1)`.
///
/// Blocks of rows, and stripes of a block, are computed in parallel; every element is summed in the same order on any
/// number of threads.
pub(super) fn covariance(points: ArrayView2<'_, f32>, progress: &dyn Progress) -> Result<(Array1<f64>, Array2<f64>)> {
    let (n, d) = points.dim();
    let mut joined = Joined {
        rows: 0,
        mean: Array1::zeros(d),
        products: Array2::zeros((d, d)),
    };
    let at_once = (AT_ONCE / (d * d).max(1)).clamp(1, 64);
    let blocks: Vec<_> = points.axis_chunks_iter(Axis(0), ROWS).collect();
    for blocks in blocks.chunks(at_once) {
        progress::step(progress, stages::PCA, joined.rows, n)?;
        let blocks: Vec<Option<Block>> = blocks.par_iter().map(|rows| Block::new(*rows)).collect();
        for block in blocks {
            match block {
                Some(block) => joined.add(&block),
                // The first of these values is named.
                None => check_points("points", points)?,
            }
        }
    }
    let Joined { mean, mut products, .. } = joined;
    for i in 0..d {
        for j in 0..i {
            products[[i, j]] = products[[j, i]];
        }
    }
    products /= (n.max(2) - 1) as f64;
    Ok((mean, products))
}

/// Some rows: how many, their mean, and the products of what they differ from it by.
struct Block {
    rows: usize,
    mean: Array1<f64>,
    /// A power of two: products are of values in this unit, so that they neither overflow nor vanish.
    unit: f64,
    /// `[panel, dimension, PANEL]`, the dimensions filled up to whole tiles; only on and above the diagonal.
    products: Vec<f32>,
}

impl Block {
    /// `None` if a value is not finite or too large.
    fn new(rows: ArrayView2<'_, f32>) -> Option<Self> {
        let (n, d) = rows.dim();
        let (panels, tiles) = (d.div_ceil(PANEL), d.div_ceil(TILE));
        let mut mean = vec![0.0; d];
        let mut values = vec![0.0; panels * n * PANEL];
        let mut turned = vec![0.0; tiles * n * TILE];
        let rows = rows.as_standard_layout();
        let unit = pulp::Arch::new().dispatch(Center {
            rows: rows.as_slice().unwrap_or_default(),
            mean: &mut mean,
            panels: &mut values,
            tiles: &mut turned,
        })?;
        let mut products = vec![0.0f32; panels * tiles * TILE * PANEL];
        products
            .par_chunks_mut(tiles * TILE * PANEL)
            .zip(values.par_chunks(n * PANEL))
            .enumerate()
            .for_each(|(panel, (out, values))| {
                pulp::Arch::new().dispatch(Stripe {
                    panel: values.as_chunks().0,
                    tiles: &turned,
                    end: (panel + 1) * PANEL,
                    out: out.as_chunks_mut().0,
                });
            });
        Some(Self {
            rows: n,
            mean: mean.into(),
            unit,
            products,
        })
    }
}

/// Writes the mean of some rows, and what they differ from it by, in panels and in tiles; gives the unit, or nothing
/// if a value is not finite or too large.
struct Center<'a> {
    rows: &'a [f32],
    mean: &'a mut [f64],
    /// `[panel, row, PANEL]`
    panels: &'a mut [f32],
    /// `[tile, row, TILE]`
    tiles: &'a mut [f32],
}

impl WithSimd for Center<'_> {
    type Output = Option<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<f64> {
        let d = self.mean.len();
        let n = self.rows.len() / d;
        let mut magnitudes = vec![0u32; d];
        for row in self.rows.chunks_exact(d) {
            for c in 0..d {
                self.mean[c] += f64::from(row[c]);
            }
            for c in 0..d {
                // Magnitudes order like their bits, and integers, unlike floats, may be compared in any order.
                magnitudes[c] = magnitudes[c].max(row[c].to_bits() & 0x7fff_ffff);
            }
        }
        let unit = unit(f32::from_bits(magnitudes.into_iter().max().unwrap_or(0)))?;
        let (per_row, per_unit) = (1.0 / n as f64, 1.0 / unit);
        for mean in self.mean.iter_mut() {
            *mean *= per_row;
        }
        let mut centered = vec![0.0f32; d];
        for (i, row) in self.rows.chunks_exact(d).enumerate() {
            for c in 0..d {
                centered[c] = ((f64::from(row[c]) - self.mean[c]) * per_unit) as f32;
            }
            let (full, rest) = centered.as_chunks::<PANEL>();
            for (panel, some) in full.iter().enumerate() {
                self.panels[(panel * n + i) * PANEL..][..PANEL].copy_from_slice(some);
            }
            if !rest.is_empty() {
                self.panels[(full.len() * n + i) * PANEL..][..rest.len()].copy_from_slice(rest);
            }
            let (full, rest) = centered.as_chunks::<TILE>();
            for (tile, some) in full.iter().enumerate() {
                self.tiles[(tile * n + i) * TILE..][..TILE].copy_from_slice(some);
            }
            if !rest.is_empty() {
                self.tiles[(full.len() * n + i) * TILE..][..rest.len()].copy_from_slice(rest);
            }
        }
        Some(unit)
    }
}

/// A power of two near a magnitude; `None` if that is not finite or too large.
pub(super) fn unit(largest: f32) -> Option<f64> {
    is_usable(largest).then(|| match largest {
        0.0 => 1.0,
        largest => f64::from(largest).log2().floor().exp2(),
    })
}

/// Products of a panel of columns with all columns before its end.
struct Stripe<'a> {
    /// `[row, PANEL]`
    panel: &'a [[f32; PANEL]],
    /// `[tile, row, TILE]`
    tiles: &'a [f32],
    /// The first column behind the panel.
    end: usize,
    out: &'a mut [[f32; PANEL]],
}

impl WithSimd for Stripe<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let tiles = self.tiles.chunks_exact(self.panel.len() * TILE);
        for (tile, out) in tiles.zip(self.out.chunks_exact_mut(TILE)).take(self.end.div_ceil(TILE)) {
            for pair in 0..PANEL / (2 * S::F32_LANES) {
                let sums = products(simd, tile.as_chunks().0, self.panel, pair);
                for (out, sums) in out.iter_mut().zip(sums) {
                    let out = S::as_mut_simd_f32s(out).0;
                    (out[2 * pair], out[2 * pair + 1]) = (sums[0], sums[1]);
                }
            }
        }
    }
}

/// What is known of all rows so far.
struct Joined {
    rows: usize,
    mean: Array1<f64>,
    /// On and above the diagonal.
    products: Array2<f64>,
}

impl Joined {
    fn add(&mut self, block: &Block) {
        let d = self.mean.len();
        let (before, added) = (self.rows as f64, block.rows as f64);
        let between = before * added / (before + added);
        let square = block.unit * block.unit;
        let height = d.div_ceil(TILE) * TILE;
        let differences = &block.mean - &self.mean;
        for (i, mut row) in self.products.rows_mut().into_iter().enumerate() {
            let far = between * differences[i];
            for j in i..d {
                let product = block.products[(j / PANEL * height + i) * PANEL + j % PANEL];
                row[j] += square * f64::from(product) + far * differences[j];
            }
        }
        self.rows += block.rows;
        self.mean.scaled_add(added / (before + added), &differences);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, rng::Rng};

    #[test]
    fn the_covariance_is_that_of_the_definition() {
        let mut rng = Rng::new(4, 0);
        let cases = [
            (1300, 5, 1.0, 0.0),
            (1300, 5, 1.0, 1000.0),
            (1300, 5, 1e30, 0.0),
            (1300, 5, 1e-30, 0.0),
            (700, 70, 1.0, 3.0),
            (2, 33, 1.0, 0.0),
        ];
        for (n, d, scale, offset) in cases {
            // Rows that rise, so that blocks differ in their means.
            let points = Array2::from_shape_fn((n, d), |(i, _)| {
                (scale * (rng.normal() + offset + i as f64 / 500.0)) as f32
            });
            let (mean, found) = covariance(points.view(), &()).unwrap();
            let exact = points.mapv(f64::from);
            let true_mean = exact.mean_axis(Axis(0)).unwrap();
            let centered = exact - &true_mean;
            let truth = centered.t().dot(&centered) / (n - 1) as f64;
            let error = (&found - &truth).mapv(f64::abs).into_iter().fold(0.0, f64::max);
            assert!(error < 1e-6 * scale * scale, "{n} x {d}, {scale} {offset}: {error}");
            assert!(
                (mean - true_mean)
                    .iter()
                    .all(|x| x.abs() < 1e-9 * scale * (1.0 + offset))
            );
        }
    }

    #[test]
    fn bad_values_are_named() {
        let mut points = Array2::<f32>::zeros((1500, 3));
        points[[1400, 2]] = f32::NEG_INFINITY;
        points[[1200, 1]] = f32::NAN;
        let error = covariance(points.view(), &()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NotFinite {
                    row: 1200,
                    column: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
}
