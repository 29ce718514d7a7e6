//! Matrix products, row arithmetic, and the checks every entry point makes on its points.

use ndarray::{ArrayView2, ArrayViewMut2, LinalgScalar, linalg::general_mat_mul};

use crate::Error;

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

/// Squared Euclidean distance, from differences: exactly 0 for equal rows.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum_lanes(a, b, |x, y| (x - y) * (x - y))
}

/// Dot product.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_lanes(a, b, |x, y| x * y)
}

/// Sums `term` over both rows in eight lanes, which the compiler turns into vector instructions.
fn sum_lanes(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(&x, &y)| term(x, y))
        .sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += term(x[lane], y[lane]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Refuses NaN and infinity, naming the place.
pub(crate) fn check_finite(what: &'static str, points: ArrayView2<'_, f32>) -> Result<(), Error> {
    for (row, values) in points.rows().into_iter().enumerate() {
        if let Some(column) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite {
                what,
                row,
                column,
                value: values[column],
            });
        }
    }
    Ok(())
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
    fn places_of_bad_values_are_named() {
        let points = array![[0.0, 1.0], [2.0, f32::NAN]];
        let error = check_finite("points", points.view()).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, column: 1, .. }), "{error}");
    }
}
