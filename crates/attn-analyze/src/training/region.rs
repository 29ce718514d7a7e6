//! Regions of the data map.

use serde::{Deserialize, Serialize};

use super::dynamics::ExampleDynamics;

/// A region of the data map, as Swayamdipta et al. (2020) cut it: a share of the examples at one end of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Largest confidence.
    Easy,
    /// Largest variability.
    Ambiguous,
    /// Least confidence.
    Hard,
}

impl Region {
    /// All regions.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Ambiguous, Self::Hard];

    /// The share of the paper: a third.
    pub const SHARE: f64 = 0.33;

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Ambiguous => "ambiguous",
            Self::Hard => "hard",
        }
    }

    /// The examples of the region, from its end inwards: `share` of those with predictions, rounded. Regions may overlap. Ties go to
    /// the first.
    pub fn examples(
        self,
        dynamics: &[ExampleDynamics],
        among: impl IntoIterator<Item = usize>,
        share: f64,
    ) -> Vec<usize> {
        let of = |example: usize| {
            dynamics.get(example).map_or(f32::NAN, |found| match self {
                Self::Easy => found.confidence,
                Self::Ambiguous => found.variability,
                Self::Hard => -found.confidence,
            })
        };
        let mut ranked: Vec<usize> = among.into_iter().filter(|&example| !of(example).is_nan()).collect();
        ranked.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(a.cmp(&b)));
        let count = (share.clamp(0.0, 1.0) * ranked.len() as f64).round() as usize;
        ranked.truncate(count);
        ranked
    }
}
