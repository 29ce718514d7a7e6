//! Label noise: examples ranked by how little a training could make of their label, and how well the ranking finds planted ones.

use serde::{Deserialize, Serialize};

use super::dynamics::ExampleDynamics;

/// The statistic that examples are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseScore {
    /// Least area under the margin first (Pleiss et al. 2020).
    #[default]
    Aum,
    /// Largest EL2N first (Paul et al. 2021).
    El2n,
    /// Least confidence first (Swayamdipta et al. 2020).
    Confidence,
    /// Largest loss first.
    Loss,
}

impl NoiseScore {
    /// Every score.
    pub const ALL: [Self; 4] = [Self::Aum, Self::El2n, Self::Confidence, Self::Loss];

    /// Its name, as columns have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aum => "aum",
            Self::El2n => "el2n",
            Self::Confidence => "confidence",
            Self::Loss => "loss",
        }
    }

    /// How suspicious an example is: larger is more. NaN where the log does not give it.
    pub fn of(self, dynamics: &ExampleDynamics) -> f32 {
        match self {
            Self::Aum => -dynamics.aum,
            Self::El2n => dynamics.el2n,
            Self::Confidence => -dynamics.confidence,
            Self::Loss => dynamics.loss,
        }
    }
}

/// Examples by suspicion, most suspicious first. Examples without the score are left out; ties go to the first.
pub fn suspects(dynamics: &[ExampleDynamics], among: impl IntoIterator<Item = usize>, score: NoiseScore) -> Vec<usize> {
    let of = |example: usize| dynamics.get(example).map_or(f32::NAN, |found| score.of(found));
    let mut ranked: Vec<usize> = among.into_iter().filter(|&example| !of(example).is_nan()).collect();
    ranked.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(a.cmp(&b)));
    ranked
}

/// How well a ranking finds what was planted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NoisePrecision {
    /// Ranked examples.
    pub ranked: usize,
    /// Planted ones among them.
    pub planted: usize,
    /// Share of planted ones among the first `planted`. A random ranking has `planted / ranked`.
    pub precision: f64,
    /// Mean over planted examples of the precision down to each (average precision); 1 if all stand first.
    pub average: f64,
    /// Probability that a planted example stands before another one (area under the ROC curve).
    pub auc: f64,
}

impl NoisePrecision {
    /// Of a ranking; `None` if nothing or everything was planted.
    ///
    /// ```
    /// use attn_analyze::training::NoisePrecision;
    ///
    /// // Of five, the first and the third were planted: precision at 2 is 1/2, average (1 + 2/3) / 2, AUC 5/6.
    /// let found = NoisePrecision::of(&[4, 0, 2, 1, 3], |example| example == 4 || example == 2).unwrap();
    /// assert_eq!((found.precision, found.planted), (0.5, 2));
    /// assert!((found.average - 5.0 / 6.0).abs() < 1e-12 && (found.auc - 5.0 / 6.0).abs() < 1e-12);
    /// ```
    pub fn of(ranking: &[usize], planted: impl Fn(usize) -> bool) -> Option<Self> {
        let hits: Vec<bool> = ranking.iter().map(|&example| planted(example)).collect();
        let count = hits.iter().filter(|hit| **hit).count();
        let others = hits.len() - count;
        if count == 0 || others == 0 {
            return None;
        }
        let first = hits.iter().take(count).filter(|hit| **hit).count();
        let (mut seen, mut average, mut before) = (0_usize, 0.0, 0_usize);
        for (place, hit) in hits.iter().enumerate() {
            if *hit {
                seen += 1;
                average += seen as f64 / (place + 1) as f64;
                // Others that stand behind this one.
                before += others - (place + 1 - seen);
            }
        }
        Some(Self {
            ranked: hits.len(),
            planted: count,
            precision: first as f64 / count as f64,
            average: average / count as f64,
            auc: before as f64 / (count as f64 * others as f64),
        })
    }
}
