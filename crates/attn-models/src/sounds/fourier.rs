//! The discrete Fourier transform of any length by its prime factors (Cooley and Tukey 1965). The windows of speech models have
//! 400 samples, which is no power of 2.

use std::f64::consts::TAU;

/// A complex number.
type Complex = (f64, f64);

/// A transform of one length.
pub(super) struct Fourier {
    /// `exp(-2 pi i k / length)`.
    roots: Vec<Complex>,
    /// Prime factors of the length.
    factors: Vec<usize>,
}

impl Fourier {
    pub(super) fn new(length: usize) -> Self {
        let angle = |k: usize| -TAU * k as f64 / length as f64;
        let mut factors = Vec::new();
        let (mut rest, mut factor) = (length, 2);
        while rest > 1 {
            while rest.is_multiple_of(factor) {
                factors.push(factor);
                rest /= factor;
            }
            factor += 1;
            if factor * factor > rest && rest > 1 {
                factors.push(rest);
                rest = 1;
            }
        }
        Self {
            roots: (0..length).map(|k| (angle(k).cos(), angle(k).sin())).collect(),
            factors,
        }
    }

    /// The squared absolute values of the lower half of the spectrum, from frequency 0 to the highest.
    pub(super) fn power(&self, signal: &[f64]) -> Vec<f64> {
        let length = self.roots.len();
        let spectrum = self.transform(signal, 0, 1, &self.factors);
        let lower = spectrum.into_iter().take(length / 2 + 1);
        lower.map(|(re, im)| re * re + im * im).collect()
    }

    /// The transform of every `stride`-th sample from `first` on; `factors` are those of their number.
    fn transform(&self, signal: &[f64], first: usize, stride: usize, factors: &[usize]) -> Vec<Complex> {
        let total = self.roots.len();
        let Some((&parts, factors)) = factors.split_first() else {
            return vec![(signal.get(first).copied().unwrap_or(0.0), 0.0)];
        };
        let transformed: Vec<Vec<Complex>> = (0..parts)
            .map(|part| self.transform(signal, first + part * stride, stride * parts, factors))
            .collect();
        let within = transformed.first().map_or(1, Vec::len);
        let length = within * parts;
        let value = |k: usize| {
            let terms = transformed.iter().enumerate().map(|(part, values)| {
                let (re, im) = values[k % within];
                // The root of this length is that of the whole one at `stride` times the place.
                let (cos, sin) = self.roots[part * k % length * stride % total];
                (re * cos - im * sin, re * sin + im * cos)
            });
            terms.fold((0.0, 0.0), |sum, term| (sum.0 + term.0, sum.1 + term.1))
        };
        (0..length).map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the sum of the definition.
    #[test]
    fn powers_are_those_of_the_definition() {
        for length in [1, 2, 3, 4, 5, 7, 12, 25, 30, 32, 49, 97] {
            let signal: Vec<f64> = (0..length)
                .map(|at| (at as f64 * 1.7).sin() + 0.1 * at as f64)
                .collect();
            let found = Fourier::new(length).power(&signal);
            assert_eq!(found.len(), length / 2 + 1);
            for (k, found) in found.into_iter().enumerate() {
                let sum = |part: fn(f64) -> f64| -> f64 {
                    let angle = |at: usize| TAU * (k * at) as f64 / length as f64;
                    signal.iter().enumerate().map(|(at, x)| x * part(angle(at))).sum()
                };
                let wanted = sum(f64::cos).powi(2) + sum(f64::sin).powi(2);
                assert!(
                    (found - wanted).abs() < 1e-9 * (1.0 + wanted),
                    "{length} {k}: {found} {wanted}"
                );
            }
        }
    }
}
