//! The curve `1 / (1 + a d^2b)` that says how near two points of a UMAP picture are, and its gradients.
//!
//! Powers are the cost of UMAP's optimisation; the gradients depend on the squared distance only, so they are
//! read from a table over its binary digits: the exponent and the first bits of the mantissa name the
//! interval, the other bits interpolate. The relative error is below 1e-3.

/// Mantissa bits that name an interval.
const BITS: u32 = 5;
/// The table covers squared distances from `2^-24` to `2^24`; nearer and farther ones are clamped.
const LOWEST: f32 = 5.960_464_5e-8;
const HIGHEST: f32 = 16_777_215.0;

pub(super) struct Curve {
    /// Coefficients of attraction and repulsion at the interval borders.
    table: Vec<[f32; 2]>,
}

impl Curve {
    /// The curve nearest to 1 below `min_dist` and falling like `exp(-(d - min_dist) / spread)` beyond.
    pub(super) fn new(min_dist: f32, spread: f32) -> Self {
        let (a, b) = fit(f64::from(min_dist), f64::from(spread));
        let intervals = ((HIGHEST.to_bits() - LOWEST.to_bits()) >> (23 - BITS)) + 2;
        let border = |i: u32| f64::from(f32::from_bits(LOWEST.to_bits() + (i << (23 - BITS))));
        let table = (0..intervals)
            .map(|i| {
                let squared = border(i);
                let power = a * squared.powf(b);
                let attraction = -2.0 * b * (power / squared) / (1.0 + power);
                let repulsion = 2.0 * b / ((0.001 + squared) * (1.0 + power));
                [attraction as f32, repulsion as f32]
            })
            .collect();
        Self { table }
    }

    /// Gradient of the attraction per unit of difference: `-2 a b d^(2b - 2) / (1 + a d^2b)`.
    pub(super) fn attraction(&self, squared: f32) -> f32 {
        self.look_up(squared, 0)
    }

    /// Gradient of the repulsion per unit of difference: `2 b / ((0.001 + d²) (1 + a d^2b))`.
    pub(super) fn repulsion(&self, squared: f32) -> f32 {
        self.look_up(squared, 1)
    }

    #[inline(always)]
    fn look_up(&self, squared: f32, which: usize) -> f32 {
        let bits = squared.clamp(LOWEST, HIGHEST).to_bits() - LOWEST.to_bits();
        let index = (bits >> (23 - BITS)) as usize;
        let part = (bits & ((1 << (23 - BITS)) - 1)) as f32 * (1.0 / (1u32 << (23 - BITS)) as f32);
        let (low, high) = (self.table[index][which], self.table[index + 1][which]);
        low + part * (high - low)
    }
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
    fn the_table_is_accurate() {
        let curve = Curve::new(0.1, 1.0);
        let (a, b) = fit(0.1, 1.0);
        for i in 0..2000 {
            let squared = (f64::from(i) / 2000.0 * 24.0 - 12.0).exp();
            let power = a * squared.powf(b);
            let attraction = -2.0 * a * b * squared.powf(b - 1.0) / (1.0 + power);
            let repulsion = 2.0 * b / ((0.001 + squared) * (1.0 + power));
            let close = |found: f32, truth: f64| (f64::from(found) / truth - 1.0).abs() < 1e-3;
            assert!(close(curve.attraction(squared as f32), attraction), "{squared}");
            assert!(close(curve.repulsion(squared as f32), repulsion), "{squared}");
        }
        assert!(curve.attraction(0.0).is_finite() && curve.repulsion(f32::INFINITY).is_finite());
    }
}
