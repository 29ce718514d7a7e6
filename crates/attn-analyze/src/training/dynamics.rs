//! Training dynamics of each example: the data map of Swayamdipta et al. (2020), forgetting events of Toneva et al. (2019), the
//! area under the margin of Pleiss et al. (2020), EL2N of Paul et al. (2021).

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    distributions::t_quantile,
    log::{Log, Task},
    outcome::Outcome,
};

/// Which moments count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DynamicsParams {
    /// First moments that are dropped: the model is still far from what it learns. Default 0.
    pub burn_in: usize,
    /// Whether predictions before any training (epoch 0) count. Default no: they are not dynamics of the training.
    pub before_training: bool,
    /// Level of the confidence intervals. Default 0.95.
    pub level: f64,
    /// Regression: an answer is right within this much of the gold number. Default: half the standard deviation of the gold numbers.
    pub tolerance: Option<f32>,
}

impl Default for DynamicsParams {
    fn default() -> Self {
        Self {
            burn_in: 0,
            before_training: false,
            level: 0.95,
            tolerance: None,
        }
    }
}

/// What an example did over the moments of a training. NaN stands for what the log does not give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExampleDynamics {
    /// Moments that were counted; 0 for an example without predictions.
    pub moments: u32,
    /// Mean over moments of the probability of the gold answer, 0 to 1. Regression: of `exp(-error / s)`, with `s` the standard
    /// deviation of the gold numbers.
    pub confidence: f32,
    /// Population standard deviation of the same.
    pub variability: f32,
    /// Half the width of the confidence interval of `confidence`: Student's t over moments. NaN for one moment.
    pub interval: f32,
    /// Share of the moments with a right answer, 0 to 1.
    pub correctness: f32,
    /// Number of times that a wrong answer follows a right one. NaN where no moment tells.
    pub forgetting: f32,
    /// Whether the answer was ever right. Examples that are never learned have no forgetting events and are a class of their own.
    pub learned: bool,
    /// `confidence * (1 - confidence)`.
    pub closeness: f32,
    /// Area under the margin: mean over moments of gold logit minus largest other logit.
    pub aum: f32,
    /// Mean over moments of |p - onehot|.
    pub el2n: f32,
    /// Mean loss over moments.
    pub loss: f32,
}

impl ExampleDynamics {
    const NONE: Self = Self {
        moments: 0,
        confidence: f32::NAN,
        variability: f32::NAN,
        interval: f32::NAN,
        correctness: f32::NAN,
        forgetting: f32::NAN,
        learned: false,
        closeness: f32::NAN,
        aum: f32::NAN,
        el2n: f32::NAN,
        loss: f32::NAN,
    };
}

/// Scale of a regression: how far answers may lie from the gold numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Standard deviation of the gold numbers; of several per example the root of the mean variance.
    pub spread: f32,
    /// Largest error of a right answer.
    pub tolerance: f32,
}

impl Scale {
    /// The scale of a log; `None` for other tasks.
    pub fn of(log: &Log, tolerance: Option<f32>) -> Option<Self> {
        if log.task() != Some(Task::Regression) {
            return None;
        }
        let golds = || log.examples().iter().filter_map(|example| example.gold.numbers());
        let outputs = golds().map(|gold| gold.len()).max().unwrap_or(0);
        // Per number: how many, their mean, the squares of the differences to it.
        let mut sums = vec![(0.0_f64, 0.0_f64, 0.0_f64); outputs];
        for gold in golds() {
            for ((count, mean, squares), value) in sums.iter_mut().zip(gold) {
                *count += 1.0;
                let before = f64::from(value) - *mean;
                *mean += before / *count;
                *squares += before * (f64::from(value) - *mean);
            }
        }
        let variances = sums.iter().map(|(count, _, squares)| squares / count.max(1.0));
        let spread = (variances.sum::<f64>() / outputs.max(1) as f64).sqrt() as f32;
        let spread = if spread > 0.0 { spread } else { 1.0 };
        Some(Self {
            spread,
            tolerance: tolerance.filter(|tolerance| *tolerance >= 0.0).unwrap_or(0.5 * spread),
        })
    }

    /// Probability of the gold answer and whether it is right, by the scale of a regression if there is one.
    pub fn judge(scale: Option<Self>, outcome: &Outcome) -> (f32, Option<bool>) {
        match scale {
            Some(scale) => {
                let right = outcome.is_right().unwrap_or(outcome.error <= scale.tolerance);
                ((-outcome.error / scale.spread).exp(), Some(right))
            }
            None => (outcome.gold, outcome.is_right()),
        }
    }
}

/// The dynamics of every example of a log.
///
/// ```
/// use attn_analyze::training::{DynamicsParams, LogReader, dynamics};
///
/// let mut reader = LogReader::default();
/// let lines = br#"{"kind":"prediction","id":"a","epoch":1,"gold":0,"probabilities":[0.8,0.2]}
/// {"kind":"prediction","id":"a","epoch":2,"gold":0,"probabilities":[0.4,0.6]}"#;
/// reader.push(&mut reader.file("log.jsonl"), lines, &())?;
/// let found = dynamics(reader.log(), &DynamicsParams::default())[0];
/// assert!((found.confidence - 0.6).abs() < 1e-6 && (found.variability - 0.2).abs() < 1e-6);
/// assert_eq!((found.correctness, found.forgetting, found.learned), (0.5, 1.0, true));
/// # Ok::<(), attn_analyze::Error>(())
/// ```
pub fn dynamics(log: &Log, params: &DynamicsParams) -> Vec<ExampleDynamics> {
    let scale = Scale::of(log, params.tolerance);
    let counted = counted_moments(log, params);
    // A log by steps has many moments, but few numbers of outcomes per example.
    let counts: BTreeSet<usize> = (0..log.examples().len())
        .map(|example| outcomes(log, example, &counted).count())
        .collect();
    let quantiles: BTreeMap<usize, f64> = counts
        .into_iter()
        .filter(|count| *count > 1)
        .map(|count| (count, t_quantile(0.5 + 0.5 * params.level, count as f64 - 1.0)))
        .collect();
    let of = |example| of_example(log, example, &counted, scale, &quantiles);
    (0..log.examples().len()).into_par_iter().map(of).collect()
}

/// Whether each moment of a log counts.
pub fn counted_moments(log: &Log, params: &DynamicsParams) -> Vec<bool> {
    let mut dropped = 0;
    let counts = log.moments().iter().map(|moment| {
        if moment.is_start() && !params.before_training {
            return false;
        }
        dropped += 1;
        dropped > params.burn_in
    });
    counts.collect()
}

/// The outcomes that count.
fn outcomes<'a>(log: &'a Log, example: usize, counted: &'a [bool]) -> impl Iterator<Item = &'a Outcome> {
    let there = log
        .outcomes(example)
        .filter(|(moment, _)| counted.get(*moment) == Some(&true));
    there.map(|(_, outcome)| outcome)
}

fn of_example(
    log: &Log,
    example: usize,
    counted: &[bool],
    scale: Option<Scale>,
    quantiles: &BTreeMap<usize, f64>,
) -> ExampleDynamics {
    let outcomes: Vec<&Outcome> = outcomes(log, example, counted).collect();
    if outcomes.is_empty() {
        return ExampleDynamics::NONE;
    }
    let count = outcomes.len() as f64;
    let judged: Vec<(f32, Option<bool>)> = outcomes.iter().map(|outcome| Scale::judge(scale, outcome)).collect();
    let mean = |value: &dyn Fn(&Outcome) -> f32| {
        let sum: f64 = outcomes.iter().map(|outcome| f64::from(value(outcome))).sum();
        sum / count
    };
    let confidence = judged.iter().map(|(gold, _)| f64::from(*gold)).sum::<f64>() / count;
    let squares: f64 = judged
        .iter()
        .map(|(gold, _)| (f64::from(*gold) - confidence).powi(2))
        .sum();
    let variability = (squares / count).sqrt();
    // The standard error has the sample's deviation, with one degree of freedom less.
    let error = (squares / (count - 1.0) / count).sqrt();
    let quantile = quantiles.get(&outcomes.len()).copied().unwrap_or(f64::NAN);
    let told: Vec<bool> = judged.iter().filter_map(|(_, right)| *right).collect();
    let right = told.iter().filter(|right| **right).count();
    let lost = told.windows(2).filter(|pair| pair[0] && !pair[1]).count();
    let or_nan = |value: f64| if told.is_empty() { f32::NAN } else { value as f32 };
    ExampleDynamics {
        moments: u32::try_from(outcomes.len()).unwrap_or(u32::MAX),
        confidence: confidence as f32,
        variability: variability as f32,
        interval: (quantile * error) as f32,
        correctness: or_nan(right as f64 / told.len() as f64),
        forgetting: or_nan(lost as f64),
        learned: right > 0,
        closeness: (confidence * (1.0 - confidence)) as f32,
        aum: mean(&|outcome| outcome.margin) as f32,
        el2n: mean(&|outcome| outcome.error) as f32,
        loss: mean(&|outcome| outcome.loss) as f32,
    }
}
