//! A new point in a t-SNE layout: the divergence of its own neighborhood, minimized against points that stay.
//!
//! As in openTSNE the new point has a narrow neighborhood (perplexity 5) and its affinities count one and a half
//! times, which keeps it from being pushed to the rim of a dense group (Poličar, Stražar and Zupan 2023). Each new
//! point alone minimizes
//!
//! ```text
//! E(y) = a Σ_j p_j ln(1 + |y - y_j|²) + ln Σ_k 1 / (1 + |y - y_k|²)
//! ```
//!
//! by steps of the spectral direction (Vladymyrov and Carreira-Perpiñán, *Partial-Hessian strategies for fast learning
//! of nonlinear embeddings*, ICML 2012): the gradient divided by the curvature of the attraction, halved while the
//! objective would rise. A dozen steps do what hundreds of plain ones do.

use ndarray::Array2;
use pulp::{Simd, WithSimd};

use super::{TsneParams, affinity::calibrated};
use crate::{
    Metric, Result,
    place::{NewPoint, Placement},
    start,
};

/// Perplexity of a new point, and neighbors per unit of it.
const PERPLEXITY: f32 = 5.0;
const WIDTH: f32 = 3.0;
/// Factor on the affinities of a new point.
const EXAGGERATION: f64 = 1.5;
/// Evaluations of the objective for one point.
const EVALUATIONS: usize = 25;
/// A step shorter than this is the last: layouts are some hundred units wide, so that it is a tenth of a pixel.
const SHORTEST: f64 = 1e-2;

/// Old coordinates, also by axes, so that sums over all of them run in vector instructions.
#[derive(Debug)]
pub(super) struct Settled<const D: usize> {
    old: Vec<[f32; D]>,
    axes: [Vec<f32>; D],
    perplexity: f32,
    metric: Metric,
}

/// Value, gradient (over two) and curvature of the attraction.
struct Objective<const D: usize> {
    value: f64,
    gradient: [f64; D],
    curvature: f64,
}

impl<const D: usize> Settled<D> {
    pub(super) fn new(old: &Array2<f32>, params: &TsneParams, metric: Metric) -> Self {
        let old: Vec<[f32; D]> = start::rows(old);
        let most = (old.len() as f32 / WIDTH).max(1.0);
        Self {
            axes: std::array::from_fn(|c| old.iter().map(|y| y[c]).collect()),
            old,
            perplexity: PERPLEXITY.min(params.perplexity).min(most),
            metric,
        }
    }

    /// The place of a point whose nearest old points are `near`, at these squared distances.
    fn minimum(&self, near: &[u32], squared: Vec<f64>) -> [f32; D] {
        let weights = calibrated(squared, f64::from(self.perplexity).ln());
        let mut y = [0.0f64; D];
        for (&j, weight) in near.iter().zip(&weights) {
            (0..D).for_each(|c| y[c] += weight * f64::from(self.old[j as usize][c]));
        }
        let mut here = self.objective(&y, near, &weights);
        let mut share = 1.0;
        for _ in 1..EVALUATIONS {
            let step = here.gradient.map(|g| -share * g / here.curvature);
            let length = step.iter().map(|s| s * s).sum::<f64>().sqrt();
            if length.is_nan() || length <= SHORTEST {
                break;
            }
            let next = std::array::from_fn(|c| y[c] + step[c]);
            let there = self.objective(&next, near, &weights);
            if there.value <= here.value {
                (y, here, share) = (next, there, 1.0);
            } else {
                share *= 0.5;
            }
        }
        y.map(|x| x as f32)
    }

    fn objective(&self, y: &[f64; D], near: &[u32], weights: &[f64]) -> Objective<D> {
        let (mut value, mut gradient, mut curvature) = (0.0, [0.0; D], f64::MIN_POSITIVE);
        for (&j, weight) in near.iter().zip(weights) {
            let difference: [f64; D] = std::array::from_fn(|c| y[c] - f64::from(self.old[j as usize][c]));
            let squared = difference.iter().map(|x| x * x).sum::<f64>();
            let pull = EXAGGERATION * weight / (1.0 + squared);
            value += EXAGGERATION * weight * squared.ln_1p();
            curvature += pull;
            (0..D).for_each(|c| gradient[c] += pull * difference[c]);
        }
        let (sum, push) = self.repulsion(&y.map(|x| x as f32));
        (0..D).for_each(|c| gradient[c] -= push[c] / sum);
        Objective {
            value: value + sum.ln(),
            gradient,
            curvature,
        }
    }

    /// `Σ_k w_k` and `Σ_k w_k² (y - y_k)` with `w = 1 / (1 + d²)`.
    fn repulsion(&self, y: &[f32; D]) -> (f64, [f64; D]) {
        pulp::Arch::new().dispatch(Repulsion { axes: &self.axes, y })
    }
}

impl<const D: usize> Placement for Settled<D> {
    fn neighbors(&self) -> usize {
        ((WIDTH * self.perplexity) as usize).clamp(1, self.old.len())
    }

    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()> {
        let squared = point.distances.iter().map(|&d| self.metric.squared(d)).collect();
        out.copy_from_slice(&self.minimum(point.neighbors, squared));
        Ok(())
    }
}

/// The sums over all old points, in lanes, block by block.
struct Repulsion<'a, const D: usize> {
    axes: &'a [Vec<f32>; D],
    y: &'a [f32; D],
}

impl<const D: usize> WithSimd for Repulsion<'_, D> {
    type Output = (f64, [f64; D]);

    // Plain loops: closures would be compiled on their own, for the oldest processor.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (f64, [f64; D]) {
        const LANES: usize = 16;
        const BLOCK: usize = 32 * LANES;
        let Self { axes, y } = self;
        let n = axes[0].len();
        let (mut sum, mut push) = (0.0f64, [0.0f64; D]);
        let mut start = 0;
        while start < n {
            let end = (start + BLOCK).min(n);
            let (mut sums, mut pushes) = ([0.0f32; LANES], [[0.0f32; LANES]; D]);
            let mut first = start;
            while first < end {
                let here = LANES.min(end - first);
                // Where there is no point, one infinitely far away, whose weight is 0.
                let mut difference = [[f32::MAX; LANES]; D];
                let mut weights = [1.0f32; LANES];
                for c in 0..D {
                    if here == LANES {
                        let places = &axes[c][first..first + LANES];
                        for lane in 0..LANES {
                            difference[c][lane] = y[c] - places[lane];
                        }
                    } else {
                        for lane in 0..here {
                            difference[c][lane] = y[c] - axes[c][first + lane];
                        }
                    }
                    for lane in 0..LANES {
                        weights[lane] += difference[c][lane] * difference[c][lane];
                    }
                }
                for lane in 0..LANES {
                    weights[lane] = 1.0 / weights[lane];
                    sums[lane] += weights[lane];
                }
                for c in 0..D {
                    for lane in 0..LANES {
                        pushes[c][lane] += weights[lane] * weights[lane] * difference[c][lane];
                    }
                }
                first += LANES;
            }
            for lane in 0..LANES {
                sum += f64::from(sums[lane]);
                for c in 0..D {
                    push[c] += f64::from(pushes[c][lane]);
                }
            }
            start = end;
        }
        (sum.max(f64::MIN_POSITIVE), push)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsne::tests::cloud;

    fn settled<const D: usize>(old: &[[f32; D]]) -> Settled<D> {
        Settled::new(&start::matrix(old), &TsneParams::default(), Metric::EUCLIDEAN)
    }

    #[test]
    fn gradient_and_value_from_the_definition() {
        let old = cloud::<3>(101, 3.0);
        let placement = settled(&old);
        let (near, weights) = ([4u32, 9, 50], [0.5, 0.3, 0.2]);
        let value = |y: &[f64; 3]| {
            let squared = |j: usize| (0..3).map(|c| (y[c] - f64::from(old[j][c])).powi(2)).sum::<f64>();
            let pull: f64 = near
                .iter()
                .zip(weights)
                .map(|(&j, w)| w * squared(j as usize).ln_1p())
                .sum();
            EXAGGERATION * pull + (0..101).map(|k| 1.0 / (1.0 + squared(k))).sum::<f64>().ln()
        };
        let y = [0.3, -0.8, 1.1];
        let found = placement.objective(&y, &near, &weights);
        assert!((found.value - value(&y)).abs() < 1e-5);
        for c in 0..3 {
            let (mut up, mut down) = (y, y);
            up[c] += 1e-4;
            down[c] -= 1e-4;
            let slope = (value(&up) - value(&down)) / 2e-4;
            assert!(
                (2.0 * found.gradient[c] - slope).abs() < 1e-4,
                "{} {slope}",
                found.gradient[c]
            );
        }
    }

    #[test]
    fn the_place_is_a_minimum() {
        let old = cloud::<2>(300, 5.0);
        let placement = settled(&old);
        let near: Vec<u32> = (0..15).map(|j| j * 7).collect();
        let squared: Vec<f64> = (0..15).map(|j| 1.0 + 0.2 * f64::from(j)).collect();
        let weights = calibrated(squared.clone(), f64::from(placement.perplexity).ln());
        let place = placement.minimum(&near, squared).map(f64::from);
        let least = placement.objective(&place, &near, &weights).value;
        for (dx, dy) in [(0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)] {
            let value = placement
                .objective(&[place[0] + dx, place[1] + dy], &near, &weights)
                .value;
            assert!(value > least, "{value} {least}");
        }
    }
}
