//! The smallest set of heads that keeps a share of the metric.

use std::collections::BTreeSet;

use attn_core::{HeadId, Progress};
use attn_models::Capturer;
use serde::Serialize;

use super::{Curve, LabeledSet, Metric, PruningParams, evaluator::Evaluator};
use crate::Error;

/// The fewest heads that were found to keep [`PruningParams::keep`] of the metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Smallest {
    /// The heads that stay.
    pub kept: Vec<HeadId>,
    /// The heads that go.
    pub removed: Vec<HeadId>,
    /// Which metric it is.
    pub kind: Metric,
    /// The metric of the whole model.
    pub whole: f64,
    /// The metric with the heads that stay.
    pub metric: f64,
    /// The loss with the heads that stay.
    pub loss: f64,
    /// The order whose curve it was found on.
    pub order: String,
    /// Heads that no curve removed and that could go still.
    pub more: usize,
}

impl Smallest {
    /// Takes the longest stretch of the curves that keeps the share, then tries to remove each head that is left, the last of the
    /// order first, until none can go. The smallest of all subsets would take a pass for each of them; this one cannot lose
    /// another head.
    ///
    /// The metric is that of `set`, on which the heads were chosen: [`evaluate`](super::evaluate) on other examples says what it
    /// is worth. `None` without a curve.
    ///
    /// # Errors
    /// As [`evaluate`](super::evaluate).
    pub fn find(
        capturer: &Capturer,
        set: &LabeledSet,
        curves: &[Curve],
        params: &PruningParams,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, Error> {
        Self::search(&mut Evaluator::new(capturer, set, params), curves, progress)
    }

    /// The same with what is known already.
    pub(super) fn search(
        evaluator: &mut Evaluator<'_>,
        curves: &[Curve],
        progress: &dyn Progress,
    ) -> Result<Option<Self>, Error> {
        let Some(whole) = curves
            .iter()
            .find_map(|curve| curve.steps.first())
            .map(|step| step.metric)
        else {
            return Ok(None);
        };
        // A share of a correlation below 0 would be more than it.
        let enough = whole.min(evaluator.params.keep * whole);
        let longest = |curve: &Curve| {
            let good = curve.steps.iter().filter(|step| step.metric >= enough);
            good.map(|step| step.removed).max().unwrap_or(0)
        };
        // Of curves that reach as far the first.
        let mut best: Option<(&Curve, usize)> = None;
        for curve in curves {
            let removed = longest(curve);
            if best.is_none_or(|(_, most)| removed > most) {
                best = Some((curve, removed));
            }
        }
        let Some((curve, removed)) = best else { return Ok(None) };
        let mut off = curve.removed(removed);
        let from_curve = off.len();
        let heads: Vec<HeadId> = evaluator.capturer.model().info().heads().collect();
        let mut found = evaluator.without(&off, progress)?;
        let rest: Vec<HeadId> = curve.order.iter().skip(removed).copied().collect();
        let others = heads.iter().filter(|head| !curve.order.contains(head));
        let candidates: Vec<HeadId> = rest.iter().chain(others).copied().collect();
        loop {
            let mut went = None;
            for (done, &head) in candidates
                .iter()
                .enumerate()
                .filter(|(_, head)| !off.contains(head))
                .collect::<Vec<_>>()
            {
                let mut without = off.clone();
                without.insert(head);
                let inner = |_: &str, _: usize, _: usize| progress.update("smallest set", done, candidates.len());
                let tried = evaluator.without(&without, &inner)?;
                if tried.metric >= enough {
                    went = Some((without, tried));
                    break;
                }
            }
            let Some((without, tried)) = went else { break };
            (off, found) = (without, tried);
        }
        let (removed, kept) = split(&heads, &off);
        Ok(Some(Self {
            more: removed.len() - from_curve,
            kept,
            removed,
            kind: evaluator.set.metric(),
            whole,
            metric: found.metric,
            loss: found.loss,
            order: curve.name.clone(),
        }))
    }
}

fn split(heads: &[HeadId], off: &BTreeSet<HeadId>) -> (Vec<HeadId>, Vec<HeadId>) {
    heads.iter().partition(|head| off.contains(head))
}
