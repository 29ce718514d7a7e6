//! What is left of the metric as heads go, one after the other (Michel et al. 2019, figure 3).

use std::collections::BTreeSet;

use attn_core::{HeadId, Progress, Rng, progress::step};
use attn_models::Capturer;
use serde::Serialize;

use super::{Ablate, LabeledSet, Measured, Metric, PruningParams, evaluator::Evaluator, measure};
use crate::Error;

/// The metric along an order of removal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The order's name.
    pub name: String,
    /// Which metric it is.
    pub kind: Metric,
    /// The heads in the order in which they go.
    pub order: Vec<HeadId>,
    /// From no head removed to all of `order`: one step more than heads.
    pub steps: Vec<CurveStep>,
}

/// A place on a [`Curve`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurveStep {
    /// Number of heads removed.
    pub removed: usize,
    /// Mean loss.
    pub loss: f64,
    /// Value of the metric.
    pub metric: f64,
}

impl Curve {
    /// Removes heads one after the other and measures what is left.
    ///
    /// # Errors
    /// As [`evaluate`](super::evaluate).
    pub fn along(
        name: impl Into<String>,
        capturer: &Capturer,
        set: &LabeledSet,
        order: &[HeadId],
        params: &PruningParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        Evaluator::new(capturer, set, params).curve(name, order, (progress, "pruning curve"))
    }

    /// The heads that are gone after so many steps.
    pub fn removed(&self, steps: usize) -> BTreeSet<HeadId> {
        self.order.iter().take(steps).copied().collect()
    }
}

/// Curves of random orders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomCurves {
    /// One per order.
    pub curves: Vec<Curve>,
}

impl RandomCurves {
    /// Least, mean and largest metric after so many heads are gone. `None` without a curve that long.
    pub fn band(&self, removed: usize) -> Option<[f64; 3]> {
        let values: Vec<f64> = self
            .curves
            .iter()
            .filter_map(|curve| Some(curve.steps.get(removed)?.metric))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let least = values.iter().copied().reduce(f64::min)?;
        Some([least, mean, values.iter().copied().reduce(f64::max)?])
    }
}

/// Curves of [`PruningParams::random`] seeded orders of all heads.
///
/// # Errors
/// As [`evaluate`](super::evaluate).
pub fn random_curves(
    capturer: &Capturer,
    set: &LabeledSet,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<RandomCurves, Error> {
    Evaluator::new(capturer, set, params).random(progress)
}

/// The greedy order: in each step goes the head without which the loss is least, given those that are gone.
///
/// The search is over [`PruningParams::greedy_examples`]. Time is that of about `heads² / 2` passes from the layer of a head on.
///
/// # Errors
/// As [`measure`](super::measure).
pub fn greedy(
    capturer: &Capturer,
    set: &LabeledSet,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Vec<HeadId>, Error> {
    Evaluator::new(capturer, set, params).greedy(None, progress)
}

impl Evaluator<'_> {
    /// The curve of an order.
    pub(super) fn curve(
        &mut self,
        name: impl Into<String>,
        order: &[HeadId],
        progress: (&dyn Progress, &str),
    ) -> Result<Curve, Error> {
        Ok(Curve {
            name: name.into(),
            kind: self.set.metric(),
            order: order.to_vec(),
            steps: self.along(order, progress)?,
        })
    }

    /// The curves of random orders.
    pub(super) fn random(&mut self, progress: &dyn Progress) -> Result<RandomCurves, Error> {
        let heads: Vec<HeadId> = self.capturer.model().info().heads().collect();
        let (seed, count) = (self.params.seed, self.params.random);
        let mut curves = Vec::with_capacity(count);
        for index in 0..count {
            step(progress, "random orders", index, count)?;
            let order = Rng::new(seed, &[5, index]).permutation(heads.len());
            let order: Vec<HeadId> = order.into_iter().map(|at| heads[at]).collect();
            curves.push(self.curve(format!("random {}", index + 1), &order, (progress, "random order"))?);
        }
        let _ = progress.update("random orders", count, count);
        Ok(RandomCurves { curves })
    }

    /// The greedy order. `first` is what was measured over the whole set with no head off.
    pub(super) fn greedy(&mut self, first: Option<&Measured>, progress: &dyn Progress) -> Result<Vec<HeadId>, Error> {
        let sample = self.set.sample(self.params.greedy_examples, self.params.seed);
        let whole = sample.len() == self.set.len();
        let heads = self.capturer.model().info().heads().count();
        let total = heads * (heads + 1) / 2;
        let (mut off, mut order) = (BTreeSet::new(), Vec::with_capacity(heads));
        let mut before = 0;
        while order.len() < heads {
            let left = heads - order.len();
            let inner = |_: &str, done: usize, of: usize| {
                let part = (done * left).checked_div(of).unwrap_or(0);
                progress.update("greedy order", before + part, total)
            };
            let anew;
            let measured = match first.filter(|_| whole && off.is_empty()) {
                Some(first) => first,
                None => {
                    anew = measure(self.capturer, &sample, Ablate::Zero, &off, self.params, &inner)?;
                    &anew
                }
            };
            // Every step of the search is a step that no curve has to take again.
            if whole {
                self.learn(&off, measured);
            }
            let losses = measured.heads.iter().zip(&measured.without);
            let Some((&best, _)) = losses.min_by(|(_, a), (_, b)| a.loss.total_cmp(&b.loss)) else {
                break;
            };
            off.insert(best);
            order.push(best);
            before += left;
        }
        let _ = progress.update("greedy order", total, total);
        Ok(order)
    }
}
