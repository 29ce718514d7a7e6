//! The measured effect of ablating each head alone, over a labeled set.
//!
//! The layers below a head do not know of its ablation: their states are computed once per batch and kept, and the pass without
//! the head starts at its layer. Memory holds the states of one batch.

use std::collections::BTreeSet;

use attn_core::{HeadId, Limits, Progress, progress::step};
use attn_models::{
    Capturer, Inputs, Point, Site,
    intervene::{Edit, Intervention, Interventions, Means},
    record::Recorder,
    start::Start,
};
use serde::{Deserialize, Serialize};

use super::{LabeledSet, Metric, Outcome, PruningParams};
use crate::Error;

/// What stands in for the output of an ablated head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ablate {
    /// Zeros.
    Zero,
    /// Its mean over all tokens of the set.
    Mean,
}

/// How well a model does over a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean loss over the examples: see [`Labels`](super::Labels).
    pub loss: f64,
    /// Value of the metric.
    pub metric: f64,
    /// Which metric it is.
    pub kind: Metric,
    /// Each example, in the order of the set.
    pub examples: Vec<Outcome>,
}

impl Evaluation {
    fn of(kind: Metric, examples: Vec<Outcome>) -> Self {
        Self {
            loss: mean_loss(&examples),
            metric: kind.value(&examples),
            kind,
            examples,
        }
    }

    /// The metric for readers: `accuracy 93.1 %`.
    pub fn text(&self) -> String {
        format!("{} {}", self.kind.name(), self.kind.text(self.metric))
    }
}

/// Mean loss over examples.
pub(super) fn mean_loss(examples: &[Outcome]) -> f64 {
    examples.iter().map(|outcome| outcome.loss).sum::<f64>() / examples.len().max(1) as f64
}

/// The model as it is, and without each head alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What stood in for the heads.
    pub ablate: Ablate,
    /// The heads, in the order of the model.
    pub heads: Vec<HeadId>,
    /// The model with all of them.
    pub whole: Evaluation,
    /// Without each of `heads`.
    pub without: Vec<Evaluation>,
}

impl Measured {
    /// The increase of the mean loss without each head.
    pub fn loss_increase(&self) -> Vec<f64> {
        self.without
            .iter()
            .map(|without| without.loss - self.whole.loss)
            .collect()
    }

    /// The decrease of the metric without each head.
    pub fn metric_decrease(&self) -> Vec<f64> {
        self.without
            .iter()
            .map(|without| self.whole.metric - without.metric)
            .collect()
    }

    /// The increase of the loss of one example without each head.
    pub fn of_example(&self, example: usize) -> Option<Vec<f64>> {
        let whole = self.whole.examples.get(example)?;
        let increase = |without: &Evaluation| Some(without.examples.get(example)?.loss - whole.loss);
        self.without.iter().map(increase).collect()
    }

    /// The increase of the mean loss over some examples, by their places.
    pub(super) fn over(&self, places: &[usize]) -> Vec<f64> {
        let loss = |evaluation: &Evaluation| {
            let losses = places.iter().filter_map(|&at| evaluation.examples.get(at));
            losses.map(|outcome| outcome.loss).sum::<f64>() / places.len().max(1) as f64
        };
        self.without
            .iter()
            .map(|without| loss(without) - loss(&self.whole))
            .collect()
    }
}

/// How well a model does without some heads. In evaluation mode, as all of this crate.
///
/// # Errors
/// Those of the model's run and of [`Interventions::new`] for heads that do not exist; cancellation.
pub fn evaluate(
    capturer: &Capturer,
    set: &LabeledSet,
    off: &BTreeSet<HeadId>,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Evaluation, Error> {
    let model = capturer.model();
    let mut examples = vec![Outcome::default(); set.len()];
    let batches = set.batches(params.batch_tokens);
    for (done, batch) in batches.iter().enumerate() {
        step(progress, "evaluation", done, batches.len())?;
        let inputs = set.inputs(capturer, batch)?;
        let mut tap = Interventions::new(model.info(), zeros(off))?;
        let output = model.forward(&inputs, &mut tap)?;
        place(
            &mut examples,
            batch,
            read(capturer, set, batch, output.logits.as_ref())?,
        );
    }
    Ok(Evaluation::of(set.metric(), examples))
}

/// The effect of each head alone, by zeros or by means.
///
/// Time is that of one pass (two for means) and, for every head, a pass from its layer on. `off` are heads that are switched off
/// throughout; they are not measured.
///
/// # Errors
/// As [`evaluate`]; [`attn_core::Error::Memory`] if the results take more than the model's limits allow.
pub fn measure(
    capturer: &Capturer,
    set: &LabeledSet,
    ablate: Ablate,
    off: &BTreeSet<HeadId>,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Measured, Error> {
    let model = capturer.model();
    let heads: Vec<HeadId> = model.info().heads().filter(|head| !off.contains(head)).collect();
    let needed = Limits::size(&[heads.len() + 1, set.len()], size_of::<Outcome>());
    model
        .limits()
        .check("the effect of every head on every example", needed)?;
    let edits = edits(capturer, set, ablate, (&heads, off), params, progress)?;
    let mut whole = vec![Outcome::default(); set.len()];
    let mut without = vec![whole.clone(); heads.len()];
    let batches = set.batches(params.batch_tokens);
    let total = batches.len() * (heads.len() + 1);
    for (at, batch) in batches.iter().enumerate() {
        let mut done = at * (heads.len() + 1);
        step(progress, "ablation", done, total)?;
        let inputs = set.inputs(capturer, batch)?;
        check_states(capturer, &inputs)?;
        let mut run = (
            Interventions::new(model.info(), zeros(off))?,
            Recorder::of(&[Point::Hidden]),
        );
        let output = model.forward(&inputs, &mut run)?;
        place(&mut whole, batch, read(capturer, set, batch, output.logits.as_ref())?);
        for ((head, edit), without) in heads.iter().zip(&edits).zip(&mut without) {
            done += 1;
            step(progress, "ablation", done, total)?;
            let start = Start::below(model.info(), head.attention, head.layer, &run.1)?;
            let list = zeros(off).chain([edit.clone()]);
            let mut tap = Interventions::new(model.info(), list)?;
            let output = model.forward_from(&inputs, &start, &mut tap)?;
            place(without, batch, read(capturer, set, batch, output.logits.as_ref())?);
        }
    }
    Ok(Measured {
        ablate,
        heads,
        whole: Evaluation::of(set.metric(), whole),
        without: without
            .into_iter()
            .map(|one| Evaluation::of(set.metric(), one))
            .collect(),
    })
}

/// The ablation of each head.
fn edits(
    capturer: &Capturer,
    set: &LabeledSet,
    ablate: Ablate,
    (heads, off): (&[HeadId], &BTreeSet<HeadId>),
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Vec<Intervention>, Error> {
    let site = |head: &HeadId| Site::new(head.attention, head.layer, Point::HeadOutput);
    let means = match ablate {
        Ablate::Zero => None,
        Ablate::Mean => Some(means(
            capturer,
            set,
            heads.iter().map(site).collect(),
            off,
            params,
            progress,
        )?),
    };
    let edit = |head: &HeadId| {
        let mean = means.as_ref().and_then(|means| means.edit(site(head), head.head));
        mean.map_or_else(|| zero(*head), Intervention::from)
    };
    Ok(heads.iter().map(edit).collect())
}

/// The mean output of every head over the real tokens of the set, with some heads off.
fn means(
    capturer: &Capturer,
    set: &LabeledSet,
    sites: BTreeSet<Site>,
    off: &BTreeSet<HeadId>,
    params: &PruningParams,
    progress: &dyn Progress,
) -> Result<Means, Error> {
    let model = capturer.model();
    let mut means = Means::of(sites);
    let batches = set.batches(params.batch_tokens);
    for (done, batch) in batches.iter().enumerate() {
        step(progress, "means", done, batches.len())?;
        let mut tap = (Interventions::new(model.info(), zeros(off))?, &mut means);
        model.forward(&set.inputs(capturer, batch)?, &mut tap)?;
    }
    Ok(means)
}

fn zero(head: HeadId) -> Intervention {
    let heads = head.into();
    Edit::HeadMask { heads, factor: 0.0 }.into()
}

/// The edits that switch heads off.
pub(crate) fn zeros(off: &BTreeSet<HeadId>) -> impl Iterator<Item = Intervention> + '_ {
    off.iter().map(|&head| zero(head))
}

pub(super) fn read(
    capturer: &Capturer,
    set: &LabeledSet,
    batch: &[usize],
    logits: Option<&attn_models::candle::Tensor>,
) -> Result<Vec<Outcome>, Error> {
    let model = capturer.model();
    let logits = logits.ok_or_else(|| Error::NothingLabeled {
        model: model.info().name.clone(),
        left_out: Vec::new(),
    })?;
    set.outcomes(model, batch, logits)
}

pub(super) fn place(examples: &mut [Outcome], batch: &[usize], outcomes: Vec<Outcome>) {
    for (&at, outcome) in batch.iter().zip(outcomes) {
        if let Some(example) = examples.get_mut(at) {
            *example = outcome;
        }
    }
}

/// Asks for the memory that the states of a batch take.
pub(super) fn check_states(capturer: &Capturer, inputs: &Inputs) -> Result<(), Error> {
    let model = capturer.model();
    let info = model.info();
    let slots = |ids: Option<&attn_models::candle::Tensor>| ids.map_or(0, |ids| ids.elem_count());
    let images = inputs
        .pixel_values
        .as_ref()
        .and_then(|pixels| pixels.dims().first().copied());
    let patches = images.unwrap_or(0) * model.vision().map_or(0, |vision| vision.tokens());
    let tokens = slots(inputs.input_ids.as_ref()).max(slots(inputs.decoder_input_ids.as_ref())) + patches;
    let layers: usize = info.attentions.iter().map(|info| info.layers.len() + 1).sum();
    let needed = Limits::size(&[layers, tokens, info.hidden_size], 4);
    model.limits().check("the states of a batch, of all layers", needed)?;
    Ok(())
}
