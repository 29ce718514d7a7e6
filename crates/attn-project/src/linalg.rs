//! Matrix products, row arithmetic, and the checks every entry point makes on its points.

use ndarray::{ArrayView2, ArrayViewMut2, LinalgScalar, linalg::general_mat_mul};
use pulp::{Simd, WithSimd};

use crate::{Error, Result};

/// `out = a b`, or `out += a b` if `accumulate`, on the calling thread. The bits depend on the shapes only.
pub(crate) fn matmul<T: LinalgScalar>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    mut out: ArrayViewMut2<'_, T>,
    accumulate: bool,
) {
    let start = if accumulate { T::one() } else { T::zero() };
    general_mat_mul(T::one(), &a, &b, start, &mut out);
}

/// Columns side by side in a panel: a multiple of two vectors of any width.
pub(crate) const PANEL: usize = 32;
/// Rows of a tile: with two vectors each they fill the sixteen registers of AVX2.
pub(crate) const TILE: usize = 6;

/// The products of a tile `[dimension, TILE]` with the two vectors `pair` of a panel `[dimension, PANEL]`, summed in
/// registers over the dimensions.
#[inline(always)]
pub(crate) fn products<S: Simd>(
    simd: S,
    tile: &[[f32; TILE]],
    panel: &[[f32; PANEL]],
    pair: usize,
) -> [[S::f32s; 2]; TILE] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; TILE];
    for (left, right) in tile.iter().zip(panel) {
        let right = S::as_simd_f32s(right).0;
        let right = [right[2 * pair], right[2 * pair + 1]];
        for r in 0..TILE {
            let left = simd.splat_f32s(left[r]);
            sums[r][0] = simd.mul_add_e_f32s(left, right[0], sums[r][0]);
            sums[r][1] = simd.mul_add_e_f32s(left, right[1], sums[r][1]);
        }
    }
    sums
}

/// Squared Euclidean distance, from differences: exactly 0 for equal rows.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(Pair { a, b, product: false })
}

/// Dot product.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(Pair { a, b, product: true })
}

/// Two rows, of which the dot product or the squared distance is wanted.
struct Pair<'a> {
    a: &'a [f32],
    b: &'a [f32],
    product: bool,
}

impl WithSimd for Pair<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        sum(simd, self.a, self.b, self.product)
    }
}

/// `Σ a b` or `Σ (a - b)²`, where the instructions have been chosen already. Two sums side by side, so that one need
/// not wait for the other.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, a: &[f32], b: &[f32], product: bool) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut sums = [simd.splat_f32s(0.0); 2];
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        sums[i % 2] = add_term(simd, a, b, product, sums[i % 2]);
    }
    if !a_rest.is_empty() {
        let (a, b) = (simd.partial_load_f32s(a_rest), simd.partial_load_f32s(b_rest));
        sums[0] = add_term(simd, a, b, product, sums[0]);
    }
    simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))
}

#[inline(always)]
fn add_term<S: Simd>(simd: S, a: S::f32s, b: S::f32s, product: bool, sum: S::f32s) -> S::f32s {
    if product {
        simd.mul_add_e_f32s(a, b, sum)
    } else {
        let difference = simd.sub_f32s(a, b);
        simd.mul_add_e_f32s(difference, difference, sum)
    }
}

/// Largest magnitude of a coordinate: distances between points of up to 10^10 dimensions then fit single precision.
pub(crate) const LARGEST: f32 = 1e33;

/// The one rule for coordinates `[point, dimension]` that come in: finite, and at most 10^33 in magnitude. Names the first
/// place that breaks it. Everything in this crate that takes points asks it by itself; it is public for other methods on
/// points.
///
/// ```
/// use attn_project::{Error, check_points};
/// let points = ndarray::array![[0.0_f32, 1.0], [1e34, 2.0]];
/// let error = check_points("points", points.view()).unwrap_err();
/// assert!(matches!(error, Error::TooLarge { row: 1, column: 0, .. }));
/// ```
///
/// # Errors
/// [`Error::NotFinite`], [`Error::TooLarge`].
pub fn check_points(what: &'static str, points: ArrayView2<'_, f32>) -> Result<()> {
    for (row, values) in points.rows().into_iter().enumerate() {
        if let Some(column) = values.iter().position(|value| !is_usable(*value)) {
            let value = values[column];
            return Err(match value.is_finite() {
                false => Error::NotFinite {
                    what,
                    row,
                    column,
                    value,
                },
                true => Error::TooLarge {
                    what,
                    row,
                    column,
                    value,
                    limit: LARGEST,
                },
            });
        }
    }
    Ok(())
}

/// Refuses NaN and infinity alone: for coordinates that come out.
pub(crate) fn check_finite(what: &'static str, points: ArrayView2<'_, f32>) -> Result<()> {
    match points.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => check_points(what, points),
    }
}

/// Whether a coordinate may come in; NaN may not.
pub(crate) fn is_usable(value: f32) -> bool {
    value.abs() <= LARGEST
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array, s};

    use super::*;

    #[test]
    fn products_of_strided_views() {
        let a = Array2::from_shape_fn((5, 7), |(i, j)| (i * 3 + j) as f64 - 6.0);
        let b = Array2::from_shape_fn((9, 7), |(i, j)| (i as f64 - j as f64) * 0.5);
        let mut out = Array2::ones((5, 12));
        matmul(a.view(), b.t(), out.slice_mut(s![.., 2..11]), false);
        assert_eq!(out.slice(s![.., 2..11]), a.dot(&b.t()));
        assert!(out.column(1).iter().chain(out.column(11)).all(|&x| x == 1.0));
        matmul(a.view(), b.t(), out.slice_mut(s![.., 2..11]), true);
        assert_eq!(out.slice(s![.., 2..11]), a.dot(&b.t()) * 2.0);
    }

    #[test]
    fn sums_over_rows_of_any_length() {
        for n in 0..40 {
            let a: Vec<f32> = (0..n).map(|i| i as f32 - 7.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i * i % 11) as f32).collect();
            let pairs = || a.iter().zip(&b);
            assert_eq!(dot(&a, &b), pairs().map(|(x, y)| x * y).sum::<f32>());
            assert_eq!(
                squared_distance(&a, &b),
                pairs().map(|(x, y)| (x - y).powi(2)).sum::<f32>()
            );
        }
    }

    #[test]
    fn places_of_bad_values_are_named() {
        let points = array![[0.0, 1.0], [2.0, f32::NAN]];
        let error = check_points("points", points.view()).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
        let points = array![[0.0, -1e33], [3e38, 0.0]];
        let error = check_points("points", points.view()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { row: 1, column: 0, .. }), "{error}");
    }
}
