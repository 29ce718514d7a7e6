//! Kernels for the CPU: bias with activation, and scaled, masked softmax, each one pass in place.
//!
//! In a BERT-base layer the exponentials and error functions of the standard library cost as much as a matrix
//! product, and each of candle's element-wise operations another trip through memory. Here they are written
//! without branches, so that the compiler vectorizes them, and run over rows in parallel. Every row is computed
//! alike on any number of threads, so results do not depend on it. They work in place on the fresh result of a
//! matrix product. Where gradients are wanted, the operations in [`gradients`](super::gradients) are made of them.

mod activation;
mod softmax;

use candle_core::{CpuStorage, Device, Layout, Result, Tensor, bail};

pub(super) use self::{
    activation::{apply_slope, bias_activation, bias_activation_of},
    softmax::{Softmax, scaled_softmax, softmax_gradient},
};

/// Rows are handed to threads in runs of about this many numbers.
pub(super) const RUN: usize = 1 << 14;

/// A function whose loops are compiled for several generations of processors, one of which is chosen as it is called. The
/// numbers do not depend on the choice: sums have an order of their own.
macro_rules! vectorized {
    ($(#[$attribute:meta])* fn $name:ident<$life:lifetime>($($argument:ident: $kind:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        fn $name<$life>($($argument: $kind),*) {
            struct Task<$life> {
                $($argument: $kind),*
            }
            impl<$life> pulp::WithSimd for Task<$life> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Task { $($argument),* });
        }
    };
}
pub(super) use vectorized;

/// Whether the kernels apply: they know the CPU and f32.
pub(super) fn apply_to(x: &Tensor) -> bool {
    matches!(x.device(), Device::Cpu) && x.dtype() == candle_core::DType::F32
}

pub(super) fn slice<'s>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets().and_then(|(start, end)| all.get(start..end)) {
        Some(slice) => Ok(slice),
        None => bail!("expected a contiguous tensor"),
    }
}

fn slice_mut<'s>(storage: &'s mut CpuStorage, layout: &Layout) -> Result<&'s mut [f32]> {
    let CpuStorage::F32(all) = storage else {
        bail!("expected f32")
    };
    match layout
        .contiguous_offsets()
        .and_then(|(start, end)| all.get_mut(start..end))
    {
        Some(slice) => Ok(slice),
        None => bail!("expected a contiguous tensor"),
    }
}

/// Numbers that are added or compared side by side, in an order that does not depend on the processor.
const LANES: usize = 16;

/// Unlike `f32::max` without a rule for NaN, which would cost a branch.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
pub(super) fn sum(row: &[f32]) -> f32 {
    fold(row, 0.0, |sum, value| sum + value, |a, b| a + b)
}

#[inline(always)]
pub(super) fn sum_of_squares(row: &[f32]) -> f32 {
    fold(row, 0.0, |sum, value| sum + value * value, |a, b| a + b)
}

#[inline(always)]
fn fold(row: &[f32], start: f32, step: impl Fn(f32, f32) -> f32, merge: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, *value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, *value);
    }
    lanes.into_iter().fold(start, merge)
}

/// The sum of products, in the order of [`sum`].
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *lane += a * b;
    }
    lanes.into_iter().sum()
}

/// Rows that are added up before their sum is added to that of others: the error then grows with the blocks.
const BLOCK: usize = 64;

/// The sum of all rows.
pub(super) fn column_sums(rows: &[f32], width: usize) -> Vec<f32> {
    let mut total = vec![0.0; width];
    let mut partial = vec![0.0; width];
    for rows in rows.chunks(BLOCK * width.max(1)) {
        partial.fill(0.0);
        add_rows(&mut partial, rows);
        add_rows(&mut total, &partial);
    }
    total
}

vectorized! {
    fn add_rows<'a>(sums: &'a mut [f32], rows: &'a [f32]) {
        for row in rows.chunks_exact(sums.len().max(1)) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_columns_and_products_are_exact_to_rounding() {
        let (rows, width) = (3 * BLOCK + 5, 37);
        let numbers: Vec<f32> = (0..rows * width).map(|at| (at as f32 * 0.7).sin()).collect();
        for (column, found) in column_sums(&numbers, width).into_iter().enumerate() {
            let column = numbers.iter().skip(column).step_by(width);
            let wanted: f64 = column.map(|&value| f64::from(value)).sum();
            assert!((f64::from(found) - wanted).abs() < 1e-5, "{found} instead of {wanted}");
        }
        let (a, b) = (&numbers[..101], &numbers[200..301]);
        let wanted: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        assert!((f64::from(dot(a, b)) - wanted).abs() < 1e-5);
    }
}
