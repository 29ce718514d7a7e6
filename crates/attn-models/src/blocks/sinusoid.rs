//! Fixed sinusoidal positions (Vaswani et al. 2017, section 3.5) in the two layouts that are published: the first half
//! of a vector holds sines, the second cosines.

use candle_core::{Device, Tensor};

use crate::Result;

/// How fast the wavelengths grow along the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wavelengths {
    /// Pair `i` of `n` has `10000^(i / n)`: the paper's, Marian and Pegasus.
    Paper,
    /// Pair `i` of `n` has `10000^(i / (n - 1))`, so that the last one is reached: tensor2tensor, fairseq, M2M100.
    Closed,
}

/// A table `[positions, width]`.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle).
pub fn sinusoids(wavelengths: Wavelengths, positions: usize, width: usize, device: &Device) -> Result<Tensor> {
    // With an odd width the paper's layout has one sine more, fairseq's a zero at the end.
    let sines = match wavelengths {
        Wavelengths::Paper => width.div_ceil(2),
        Wavelengths::Closed => width / 2,
    };
    let frequency = |pair: usize| {
        let share = match wavelengths {
            Wavelengths::Paper => 2.0 * pair as f64 / width as f64,
            Wavelengths::Closed => pair as f64 / (sines.max(2) - 1) as f64,
        };
        10_000_f64.powf(-share)
    };
    let frequencies: Vec<f64> = (0..sines).map(frequency).collect();
    let mut values = Vec::with_capacity(positions * width);
    for position in 0..positions {
        let angle = |column: usize| position as f64 * frequencies[column % sines];
        for column in 0..width {
            let value = match column {
                _ if column < sines => angle(column).sin(),
                _ if column < 2 * sines => angle(column).cos(),
                _ => 0.0,
            };
            values.push(value as f32);
        }
    }
    Ok(Tensor::from_vec(values, (positions, width), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_their_definitions() {
        let row = |wavelengths, position: usize| -> Vec<f32> {
            sinusoids(wavelengths, 4, 4, &Device::Cpu).unwrap().to_vec2().unwrap()[position].clone()
        };
        // Wavelengths 1 and 100 against 1 and 10000.
        let close = |found: Vec<f32>, expected: [f64; 4]| {
            let worst = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
            assert!(worst.fold(0.0, f64::max) < 1e-6, "{found:?} instead of {expected:?}");
        };
        close(
            row(Wavelengths::Paper, 3),
            [3_f64.sin(), 0.03_f64.sin(), 3_f64.cos(), 0.03_f64.cos()],
        );
        close(
            row(Wavelengths::Closed, 3),
            [3_f64.sin(), 0.0003_f64.sin(), 3_f64.cos(), 0.0003_f64.cos()],
        );
        close(row(Wavelengths::Closed, 0), [0.0, 0.0, 1.0, 1.0]);
    }
}
