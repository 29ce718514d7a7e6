//! One model asked about one set again and again, with other heads off each time: nothing is computed twice.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::{HeadId, Limits, Progress, progress::step};
use attn_models::{Capturer, Point, intervene::Interventions, record::Recorder, start::Start};

use super::{
    CurveStep, LabeledSet, Measured, Metric, Outcome, PruningParams, evaluate,
    measure::{check_states, mean_loss, place, read, zeros},
};
use crate::Error;

/// Loss and metric of the model without some heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) loss: f64,
    pub(super) metric: f64,
}

impl Level {
    fn of(kind: Metric, examples: &[Outcome]) -> Self {
        Self {
            loss: mean_loss(examples),
            metric: kind.value(examples),
        }
    }
}

/// What is known of a model over a set, by the heads that are off.
pub(super) struct Evaluator<'a> {
    pub(super) capturer: &'a Capturer,
    pub(super) set: &'a LabeledSet,
    pub(super) params: &'a PruningParams,
    known: BTreeMap<BTreeSet<HeadId>, Level>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(capturer: &'a Capturer, set: &'a LabeledSet, params: &'a PruningParams) -> Self {
        Self {
            capturer,
            set,
            params,
            known: BTreeMap::new(),
        }
    }

    /// Takes in what was measured over the same set, with zeros, while `off` were off.
    pub(super) fn learn(&mut self, off: &BTreeSet<HeadId>, measured: &Measured) {
        self.known
            .insert(off.clone(), Level::of(self.set.metric(), &measured.whole.examples));
        for (head, without) in measured.heads.iter().zip(&measured.without) {
            let mut off = off.clone();
            off.insert(*head);
            self.known.insert(off, Level::of(self.set.metric(), &without.examples));
        }
    }

    /// The model without these heads.
    pub(super) fn without(&mut self, off: &BTreeSet<HeadId>, progress: &dyn Progress) -> Result<Level, Error> {
        if let Some(known) = self.known.get(off) {
            return Ok(*known);
        }
        let found = evaluate(self.capturer, self.set, off, self.params, progress)?;
        let level = Level::of(self.set.metric(), &found.examples);
        self.known.insert(off.clone(), level);
        Ok(level)
    }

    /// The model as heads go one after the other. Each pass starts at the lowest layer that lost a head since the one before, from
    /// whose states it goes on.
    pub(super) fn along(
        &mut self,
        order: &[HeadId],
        (progress, what): (&dyn Progress, &str),
    ) -> Result<Vec<CurveStep>, Error> {
        let sets: Vec<BTreeSet<HeadId>> = (0..=order.len())
            .map(|removed| order.iter().take(removed).copied().collect())
            .collect();
        let missing: Vec<usize> = (0..sets.len())
            .filter(|&at| !self.known.contains_key(&sets[at]))
            .collect();
        let model = self.capturer.model();
        let needed = Limits::size(&[missing.len(), self.set.len()], size_of::<Outcome>());
        model.limits().check("a pruning curve over every example", needed)?;
        let mut found = vec![vec![Outcome::default(); self.set.len()]; missing.len()];
        let batches = self.set.batches(self.params.batch_tokens);
        let total = batches.len() * missing.len();
        for (part, batch) in batches.iter().enumerate() {
            let inputs = self.set.inputs(self.capturer, batch)?;
            check_states(self.capturer, &inputs)?;
            let mut states = Recorder::of(&[Point::Hidden]);
            let mut last = None;
            for (slot, (&at, found)) in missing.iter().zip(&mut found).enumerate() {
                step(progress, what, part * missing.len() + slot, total)?;
                // What is below the heads that went since the last pass is as it was.
                let gone = last.and_then(|last: usize| order.get(last..at));
                let lowest =
                    gone.and_then(|gone| gone.iter().min_by_key(|head| (head.attention.query_side(), head.layer)));
                let start = lowest
                    .map(|head| Start::below(model.info(), head.attention, head.layer, &states))
                    .transpose()?;
                let mut tap = (Interventions::new(model.info(), zeros(&sets[at]))?, &mut states);
                let output = match &start {
                    Some(start) => model.forward_from(&inputs, start, &mut tap)?,
                    None => model.forward(&inputs, &mut tap)?,
                };
                last = Some(at);
                place(
                    found,
                    batch,
                    read(self.capturer, self.set, batch, output.logits.as_ref())?,
                );
            }
        }
        for (at, found) in missing.into_iter().zip(found) {
            self.known
                .insert(sets[at].clone(), Level::of(self.set.metric(), &found));
        }
        let _ = progress.update(what, total, total);
        let steps = sets.iter().enumerate().filter_map(|(removed, off)| {
            let Level { loss, metric } = *self.known.get(off)?;
            Some(CurveStep { removed, loss, metric })
        });
        Ok(steps.collect())
    }
}
