//! The curve `1 / (1 + a d^2b)` that says how near two points of a UMAP layout are, and its gradients.
//!
//! Powers are the cost of UMAP's optimization. Here a power is two short polynomials, for logarithm and exponential of
//! base two, without branches or tables, so that loops over many distances become vector instructions. The relative
//! error is below 2e-4.

use std::f32::consts::SQRT_2;

/// Squared distances from `2^-24` to `2^24`; nearer and farther ones are clamped.
const LOWEST: f32 = 5.960_464_5e-8;
const HIGHEST: f32 = 16_777_216.0;

/// `log2(1 + t) / t` from `√½ - 1` to `√2 - 1`: the polynomial through the Chebyshev points.
const LOG2: [f32; 5] = [1.442_640_4, -0.720_629_2, 0.485_737_83, -0.389_675_23, 0.250_287_86];
/// `2^t` from -½ to ½, likewise.
const EXP2: [f32; 4] = [0.999_924_54, 0.693_136_75, 0.242_639_48, 0.055_838_283];

#[derive(Debug, Clone, Copy)]
pub(super) struct Curve {
    log2_a: f32,
    b: f32,
}

impl Curve {
    /// The curve nearest to 1 below `min_dist` and falling like `exp(-(d - min_dist) / spread)` beyond.
    pub(super) fn new(min_dist: f32, spread: f32) -> Self {
        let (a, b) = fit(f64::from(min_dist), f64::from(spread));
        Self {
            log2_a: a.log2() as f32,
            b: b as f32,
        }
    }

    /// Gradient of the attraction per unit of difference: `-2 a b d^(2b - 2) / (1 + a d^2b)`.
    #[inline(always)]
    pub(super) fn attraction(self, squared: f32) -> f32 {
        let squared = squared.clamp(LOWEST, HIGHEST);
        let power = self.power(squared);
        -2.0 * self.b * power / (squared * (1.0 + power))
    }

    /// Gradient of the repulsion per unit of difference: `2 b / ((0.001 + d²) (1 + a d^2b))`.
    #[inline(always)]
    pub(super) fn repulsion(self, squared: f32) -> f32 {
        let squared = squared.clamp(LOWEST, HIGHEST);
        2.0 * self.b / ((0.001 + squared) * (1.0 + self.power(squared)))
    }

    /// `a d^2b`, between the smallest and the largest number.
    #[inline(always)]
    fn power(self, squared: f32) -> f32 {
        exp2((self.log2_a + self.b * log2(squared)).clamp(-60.0, 60.0))
    }
}

/// For positive normal numbers.
#[inline(always)]
fn log2(x: f32) -> f32 {
    // Digits of a number between √½ and √2, and the power of two that it is taken times.
    let above = x.to_bits().wrapping_sub((0.5 * SQRT_2).to_bits());
    let exponent = (above as i32) >> 23;
    let t = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32)) - 1.0;
    let [c0, c1, c2, c3, c4] = LOG2;
    // Grouped so that few steps wait for others.
    let (square, low, high) = (t * t, c0 + c1 * t, c2 + c3 * t);
    exponent as f32 + t * (low + square * (high + square * c4))
}

/// For numbers from -126 to 126.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Beside so large a number no digits after the point are left, and the last ones before it are those of the nearest
    // integer.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x + ROUND;
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let t = x - (rounded - ROUND);
    let [c0, c1, c2, c3] = EXP2;
    scale * ((c0 + c1 * t) + t * t * (c2 + c3 * t))
}

/// Least squares over 300 distances up to three spreads, as the reference implementation does it, by
/// Levenberg-Marquardt steps on (a, b).
fn fit(min_dist: f64, spread: f64) -> (f64, f64) {
    let samples: Vec<(f64, f64)> = (0..300)
        .map(|i| {
            let x = 3.0 * spread * f64::from(i) / 299.0;
            (
                x,
                if x < min_dist {
                    1.0
                } else {
                    (-(x - min_dist) / spread).exp()
                },
            )
        })
        .collect();
    let cost = |a: f64, b: f64| samples.iter().map(|&(x, y)| (curve(x, a, b) - y).powi(2)).sum::<f64>();
    let (mut a, mut b, mut damping) = (1.0f64, 1.0f64, 1e-3);
    for _ in 0..200 {
        let (mut aa, mut ab, mut bb, mut ga, mut gb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(x, y) in &samples[1..] {
            let value = curve(x, a, b);
            let power = x.powf(2.0 * b);
            let da = -value * value * power;
            let db = da * a * 2.0 * x.ln();
            let error = y - value;
            aa += da * da;
            ab += da * db;
            bb += db * db;
            ga += da * error;
            gb += db * error;
        }
        let (daa, dbb) = (aa * (1.0 + damping), bb * (1.0 + damping));
        let determinant = daa * dbb - ab * ab;
        let step = ((dbb * ga - ab * gb) / determinant, (daa * gb - ab * ga) / determinant);
        let (next_a, next_b) = (a + step.0, b + step.1);
        if next_a > 0.0 && next_b > 0.0 && cost(next_a, next_b) <= cost(a, b) {
            (a, b) = (next_a, next_b);
            damping = (damping * 0.2).max(1e-12);
            if step.0.abs() < 1e-12 * a && step.1.abs() < 1e-12 * b {
                break;
            }
        } else {
            damping *= 10.0;
        }
    }
    (a, b)
}

fn curve(x: f64, a: f64, b: f64) -> f64 {
    1.0 / (1.0 + a * x.powf(2.0 * b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that umap-learn 0.5's `find_ab_params` gives.
    #[test]
    fn parameters_of_the_reference_implementation() {
        for (spread, min_dist, a, b) in [
            (1.0, 0.1, 1.576_943_46, 0.895_060_88),
            (1.0, 0.5, 0.583_030_02, 1.334_167_01),
        ] {
            let found = fit(min_dist, spread);
            assert!(
                (found.0 - a).abs() < 1e-4 && (found.1 - b).abs() < 1e-4,
                "{found:?} {a} {b}"
            );
        }
    }

    #[test]
    fn gradients_follow_the_formulas() {
        for (min_dist, spread) in [(0.1f32, 1.0f32), (0.0, 1.0), (1.0, 1.0), (0.5, 20.0)] {
            let curve = Curve::new(min_dist, spread);
            let (a, b) = fit(f64::from(min_dist), f64::from(spread));
            for i in 0..2000 {
                let squared = (f64::from(i) / 2000.0 * 32.0 - 16.0).exp();
                let power = a * squared.powf(b);
                let attraction = -2.0 * a * b * squared.powf(b - 1.0) / (1.0 + power);
                let repulsion = 2.0 * b / ((0.001 + squared) * (1.0 + power));
                let close = |found: f32, truth: f64| (f64::from(found) / truth - 1.0).abs() < 2e-4;
                assert!(close(curve.attraction(squared as f32), attraction), "{squared}");
                assert!(close(curve.repulsion(squared as f32), repulsion), "{squared}");
            }
            assert!(curve.attraction(0.0).is_finite() && curve.repulsion(f32::INFINITY).is_finite());
        }
    }
}
