//! Tables of positions on a grid, brought to another grid by bicubic interpolation (Keys 1981).
//!
//! A vision model learns one vector per patch of the image size it was trained on. For another size the reference
//! resamples that table like an image, and this does the same sums. Rows and columns are independent, so that two small
//! matrices do it; a product of matrices has a gradient, and the table can be trained.

use candle_core::{Device, Tensor};

use crate::Result;

/// How a grid is resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resampling {
    /// Four neighbors, whatever the size; beyond the border its value goes on. Keys' constant is -0.75.
    Plain,
    /// A smaller grid averages over as many neighbors as it skips; the border is where the filter ends. Keys' constant
    /// is -0.5.
    Antialiased,
}

/// `table` `[rows * columns, width]` on a grid of another size: `[new_rows * new_columns, width]`.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) for a table of another size.
pub fn resample(
    table: &Tensor,
    (rows, columns): (usize, usize),
    (new_rows, new_columns): (usize, usize),
    resampling: Resampling,
) -> Result<Tensor> {
    let width = table.dim(1)?;
    let device = table.device();
    let tall = matrix(new_rows, rows, resampling, device)?.matmul(&table.reshape((rows, columns * width))?)?;
    let tall = tall
        .reshape((new_rows, columns, width))?
        .transpose(0, 1)?
        .contiguous()?;
    let wide = matrix(new_columns, columns, resampling, device)?.matmul(&tall.reshape((columns, new_rows * width))?)?;
    let wide = wide.reshape((new_columns, new_rows, width))?.transpose(0, 1)?;
    Ok(wide.contiguous()?.reshape((new_rows * new_columns, width))?)
}

/// `[new, old]`: the weight of each old point in each new one.
fn matrix(new: usize, old: usize, resampling: Resampling, device: &Device) -> Result<Tensor> {
    let ratio = old as f64 / new as f64;
    let mut weights = vec![0.0_f32; new * old];
    for (point, row) in weights.chunks_mut(old.max(1)).enumerate() {
        // The center of the new cell in units of old cells.
        let center = (point as f64 + 0.5) * ratio;
        match resampling {
            Resampling::Plain => {
                let first = (center - 0.5).floor();
                for offset in -1..=2 {
                    let at = first + f64::from(offset);
                    let cell = at.clamp(0.0, old.saturating_sub(1) as f64) as usize;
                    let weight = cubic(center - 0.5 - at, -0.75) as f32;
                    row[cell] += weight;
                }
            }
            Resampling::Antialiased => {
                let stretch = ratio.max(1.0);
                let kernel = |cell: usize| cubic((cell as f64 + 0.5 - center) / stretch, -0.5);
                let sum: f64 = (0..old).map(kernel).sum();
                row.iter_mut()
                    .enumerate()
                    .for_each(|(cell, weight)| *weight = (kernel(cell) / sum) as f32);
            }
        }
    }
    Ok(Tensor::from_vec(weights, (new, old), device)?)
}

/// Keys' cubic convolution kernel with constant `a`.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// A grid whose cell holds `f(row, column)` at the cell's center, and that many rows and columns.
    fn grid(rows: usize, columns: usize, f: impl Fn(f32, f32) -> f32) -> Tensor {
        let cell = |at: usize| f((at / columns) as f32, (at % columns) as f32);
        let cells: Vec<f32> = (0..rows * columns).map(cell).collect();
        Tensor::from_vec(cells, (rows * columns, 1), &Device::Cpu).unwrap()
    }

    #[test]
    fn the_same_grid_is_left_as_it_is() {
        let table = grid(3, 4, |row, column| row * row - 2.0 * column);
        for resampling in [Resampling::Plain, Resampling::Antialiased] {
            let same = resample(&table, (3, 4), (3, 4), resampling).unwrap();
            for (found, expected) in values(&same).iter().zip(values(&table)) {
                assert!((found - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_ramp_stays_a_ramp_away_from_the_border() {
        // Cubic convolution reproduces straight lines: at twice the size, steps of a half.
        let table = grid(8, 6, |row, column| 3.0 * row + column);
        let finer = values(&resample(&table, (8, 6), (16, 12), Resampling::Antialiased).unwrap());
        for row in 4..12 {
            for column in 4..8 {
                let expected = 3.0 * ((row as f32 + 0.5) / 2.0 - 0.5) + (column as f32 + 0.5) / 2.0 - 0.5;
                assert!((finer[row * 12 + column] - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn weights_are_those_of_the_kernel() {
        // One row of three to two cells: centers at 0.25 and 1.75, by hand with a = -0.75.
        let found = values(&matrix(2, 3, Resampling::Plain, &Device::Cpu).unwrap());
        // Distances 1.25, 0.25, 0.75, 1.75 to cells -1 (which is 0), 0, 1, 2.
        let [far, near, next, last] = [-0.105_468_75, 0.878_906_25, 0.261_718_75, -0.035_156_25];
        assert!((found[0] - (far + near)).abs() < 1e-6, "{found:?}");
        assert!(
            (found[1] - next).abs() < 1e-6 && (found[2] - last).abs() < 1e-6,
            "{found:?}"
        );
        // The other end is its mirror image.
        for (cell, weight) in found[..3].iter().enumerate() {
            assert!((found[5 - cell] - weight).abs() < 1e-6);
        }
        // Halving with antialiasing: five of the cells within two strides, each sum 1.
        let halved = values(&matrix(4, 8, Resampling::Antialiased, &Device::Cpu).unwrap());
        for row in halved.chunks(8) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        // Cell 3 of 8 lies half a cell from the second center (at 3.0): distance 0.25 strides.
        let kernel = |x: f64| cubic(x, -0.5);
        let sum: f64 = (0..8).map(|cell| kernel((f64::from(cell) + 0.5 - 3.0) / 2.0)).sum();
        assert!((f64::from(halved[8 + 3]) - (1.5 * 0.015_625 - 2.5 * 0.0625 + 1.0) / sum).abs() < 1e-6);
    }
}
