//! Log-mel features as Whisper takes them (Radford et al. 2022, <https://arxiv.org/abs/2212.04356>, section 2.2).
//!
//! Windows of Hann around every `hop`-th sample, the sound mirrored at its ends; the power of their spectra; sums over
//! triangles that are evenly spaced on the mel scale of Slaney 1998 ("Auditory Toolbox", version 2), each of area 1; their
//! logarithms to base 10, at least 8 below the largest, shifted and scaled by 4.

use std::f64::consts::TAU;

use rayon::prelude::*;

use super::fourier::Fourier;

/// The highest frequency of a filter, in Hz.
const HIGHEST: f64 = 8_000.0;

/// Powers below this count as this.
const SILENCE: f64 = 1e-10;

/// Features of sounds of one length.
pub(super) struct Mel {
    hop: usize,
    window: Vec<f64>,
    fourier: Fourier,
    /// For each bin, the first frequency that counts, and the weights from it on.
    filters: Vec<(usize, Vec<f64>)>,
}

impl Mel {
    /// Of `bins` filters on windows of `length` samples at `rate` samples per second.
    pub(super) fn new(bins: usize, length: usize, hop: usize, rate: u32) -> Self {
        Self {
            hop,
            window: (0..length)
                .map(|at| 0.5 - 0.5 * (TAU * at as f64 / length as f64).cos())
                .collect(),
            fourier: Fourier::new(length),
            filters: filters(bins, length, rate),
        }
    }

    /// `[bins, frames]`, row by row, one frame for every `hop` samples.
    pub(super) fn features(&self, samples: &[f32]) -> Vec<f32> {
        let frames = samples.len() / self.hop;
        let bins = self.filters.len();
        let logarithms: Vec<Vec<f64>> = (0..frames)
            .into_par_iter()
            .map(|frame| {
                let power = self.fourier.power(&self.windowed(samples, frame * self.hop));
                let of_filter = |(first, weights): &(usize, Vec<f64>)| {
                    let weighted = weights.iter().zip(power.iter().skip(*first));
                    let sum: f64 = weighted.map(|(weight, power)| weight * power).sum();
                    sum.max(SILENCE).log10()
                };
                self.filters.iter().map(of_filter).collect()
            })
            .collect();
        let largest = logarithms.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut features = vec![0.0; bins * frames];
        for (frame, column) in logarithms.iter().enumerate() {
            for (bin, &logarithm) in column.iter().enumerate() {
                features[bin * frames + frame] = ((logarithm.max(largest - 8.0) + 4.0) / 4.0) as f32;
            }
        }
        features
    }

    /// The window around a sample. Beyond its ends the sound is mirrored, without repeating its first and last sample.
    fn windowed(&self, samples: &[f32], center: usize) -> Vec<f64> {
        let half = self.window.len() / 2;
        let last = samples.len().saturating_sub(1);
        let weighted = self.window.iter().enumerate().map(|(at, weight)| {
            let place = (center + at).abs_diff(half);
            let before = center + at < half;
            // A sound shorter than half a window is mirrored again and again.
            let place = match (before || place > last, last) {
                (true, 0) => 0,
                (true, last) => {
                    let turn = place % (2 * last);
                    turn.min(2 * last - turn)
                }
                (false, _) => place,
            };
            weight * f64::from(samples.get(place).copied().unwrap_or(0.0))
        });
        weighted.collect()
    }
}

/// Triangles on the frequencies of a spectrum.
fn filters(bins: usize, length: usize, rate: u32) -> Vec<(usize, Vec<f64>)> {
    let corner = |at: usize| hertz(mel(HIGHEST) * at as f64 / (bins + 1) as f64);
    let frequency = |at: usize| at as f64 * f64::from(rate) / length as f64;
    let filter = |bin: usize| {
        let (low, middle, high) = (corner(bin), corner(bin + 1), corner(bin + 2));
        let height = 2.0 / (high - low);
        let weight = |at: usize| {
            let own = frequency(at);
            let rising = (own - low) / (middle - low);
            let falling = (high - own) / (high - middle);
            height * rising.min(falling).max(0.0)
        };
        let all: Vec<f64> = (0..=length / 2).map(weight).collect();
        let first = all.iter().position(|&weight| weight > 0.0).unwrap_or(0);
        let last = all.iter().rposition(|&weight| weight > 0.0).map_or(0, |last| last + 1);
        (first, all.get(first..last).unwrap_or_default().to_vec())
    };
    (0..bins).map(filter).collect()
}

/// Linear below 1000 Hz, logarithmic above: 27 steps for a factor of 6.4.
fn mel(hertz: f64) -> f64 {
    match hertz < 1_000.0 {
        true => 3.0 * hertz / 200.0,
        false => 15.0 + (hertz / 1_000.0).ln() * 27.0 / 6.4_f64.ln(),
    }
}

fn hertz(mel: f64) -> f64 {
    match mel < 15.0 {
        true => 200.0 * mel / 3.0,
        false => 1_000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_that_of_slaney() {
        assert_eq!(mel(500.0), 7.5);
        assert_eq!(mel(1_000.0), 15.0);
        assert!((mel(6_400.0) - 42.0).abs() < 1e-12);
        for frequency in [40.0, 999.0, 1_000.0, 3_333.0, 8_000.0] {
            assert!((hertz(mel(frequency)) - frequency).abs() < 1e-9);
        }
    }

    /// Areas over a fine spectrum, in Hz.
    #[test]
    fn filters_have_area_one() {
        let length = 16_000;
        for (_, weights) in filters(20, length, 16_000) {
            let area: f64 = weights.iter().sum();
            assert!((area - 1.0).abs() < 1e-3, "{area}");
        }
    }

    #[test]
    fn ends_are_mirrored() {
        let mel = Mel::new(4, 8, 2, 16_000);
        let plain = Mel {
            window: vec![1.0; 8],
            ..mel
        };
        let samples: Vec<f32> = (0..6).map(|at| at as f32).collect();
        assert_eq!(plain.windowed(&samples, 0), [4.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(plain.windowed(&samples, 4), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0]);
        assert_eq!(plain.windowed(&[1.0, 2.0], 0), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        assert_eq!(plain.windowed(&[7.0], 0), [7.0; 8]);
    }
}
