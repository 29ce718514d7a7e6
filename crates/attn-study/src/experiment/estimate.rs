//! A mean and how sure it is.

use attn_core::Rng;
use serde::Serialize;

/// A mean over sequences with its 95 % confidence interval: percentiles of means over resampled sequences (the bootstrap, Efron
/// 1979).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// Of these values, one per sequence.
    pub(crate) fn of(values: &[f64], resamples: usize, seed: u64) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let mut means: Vec<f64> = (0..resamples)
            .map(|resample| {
                let mut rng = Rng::new(seed, &[2, resample]);
                let drawn = (0..values.len()).map(|_| values[rng.below(values.len())]);
                drawn.sum::<f64>() / count
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * means.len().saturating_sub(1) as f64;
            means.get(place.round() as usize).copied().unwrap_or(mean)
        };
        Self {
            mean,
            low: at(0.025),
            high: at(0.975),
        }
    }

    /// Whether the interval leaves 0 out.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_normal_theory_for_many_values() {
        let mut rng = Rng::new(5, &[]);
        let values: Vec<f64> = (0..400).map(|_| 3.0 + rng.normal()).collect();
        let estimate = Estimate::of(&values, 2000, 0);
        let mean = values.iter().sum::<f64>() / 400.0;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
        let half = 1.96 * deviation / 20.0;
        assert!((estimate.mean - mean).abs() < 1e-12);
        assert!(
            (estimate.low - (mean - half)).abs() < 0.15 * half,
            "{estimate:?} {half}"
        );
        assert!(
            (estimate.high - (mean + half)).abs() < 0.15 * half,
            "{estimate:?} {half}"
        );
        assert!(estimate.is_clear());
    }

    #[test]
    fn one_value_is_its_own_interval_and_none_is_nothing() {
        assert_eq!(
            Estimate::of(&[2.5], 10, 0),
            Estimate {
                mean: 2.5,
                low: 2.5,
                high: 2.5
            }
        );
        assert_eq!(Estimate::of(&[], 10, 0), Estimate::default());
    }
}
