//! Tests of hypotheses about heads: ablate heads or knock out edges, and measure the change of loss and output over a data
//! set, beside random heads.
//!
//! Where a head looks says little of what the model needs it for (Jain and Wallace 2019); an intervention does (Michel et al.
//! 2019; Vig et al. 2020). Differences are paired: the model reads each sequence unchanged and changed.

mod edges;
mod estimate;
mod knock_out;
mod question;
mod run;

use attn_core::Rng;
use attn_core::{HeadId, Progress, Sequence};
use attn_models::{Capturer, intervene::Edit};
use serde::Serialize;

use self::run::{Change, Runner};
pub use self::{
    edges::Edges,
    estimate::Estimate,
    knock_out::{KnockOut, RandomEdges, knock_out},
    question::{Answer, Question},
};
use crate::Error;

/// Settings of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct ExperimentParams {
    /// Sets of random heads to compare with. Default 20.
    pub random: usize,
    /// Resamples of the sequences behind a confidence interval. Default 1000.
    pub resamples: usize,
    /// Share of the ordinary tokens that are masked for a masked language model. Default 0.15.
    pub masked: f64,
    /// Token slots of a batch. Default 512: outputs over a vocabulary take much memory.
    pub batch_tokens: usize,
    /// Seed of masks, random heads and resamples. Default 0.
    pub seed: u64,
}

impl Default for ExperimentParams {
    fn default() -> Self {
        Self {
            random: 20,
            resamples: 1000,
            masked: 0.15,
            batch_tokens: 512,
            seed: 0,
        }
    }
}

/// Predictions that the loss is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// The next token, at every token but the last.
    NextToken,
    /// Tokens that were masked.
    MaskedToken,
    /// The class of a sequence, where its [`label`](attn_core::Sequence::label) is one of the model's.
    Class,
    /// No loss: the model predicts no tokens, and the data has no labels of its classes.
    None,
}

/// Measure of a change of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Distance {
    /// Kullback-Leibler divergence of the changed predictions from the model's own, in nats; mean over tokens.
    Divergence,
    /// One minus the cosine between last hidden states; mean over tokens. For models without a head that predicts.
    Cosine,
}

/// Effect of a change over a data set. Estimates are means over sequences with 95 % intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// Predictions that the loss is taken of.
    pub task: Task,
    /// Cross-entropy of the unchanged model, in nats per token; `None` without a task.
    pub loss: Option<Estimate>,
    /// Increase of the loss.
    pub loss_change: Option<Estimate>,
    /// Measure of the output's change.
    pub distance: Distance,
    /// Change of the output.
    pub output_change: Estimate,
    /// Share of sequences whose most likely class stays; `None` for a model without classes.
    pub agreement: Option<Estimate>,
    /// Sequences that were read.
    pub sequences: usize,
}

/// Effect of an ablation of heads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ablation {
    /// The heads.
    pub heads: Vec<HeadId>,
    /// The effect.
    pub effect: Effect,
    /// The effects of as many random heads, each time others.
    pub random: Vec<RandomHeads>,
    /// Number of random sets whose effect is at least as large: on the loss, or on the output where there is no loss.
    pub reached: usize,
    /// Their share, these heads counted as a random set: `(1 + reached) / (1 + random)`. A small share says that these heads
    /// matter more than others.
    pub p_value: f64,
}

/// Random heads that were ablated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RandomHeads {
    /// The heads.
    pub heads: Vec<HeadId>,
    /// Mean increase of the loss.
    pub loss_change: Option<f64>,
    /// Mean change of the output.
    pub output_change: f64,
}

/// Ablates heads and measures the effect, beside as many random heads of the same kinds of attention.
///
/// `sequences` are those of a capture of the same model: text, pairs of text, or images whose files are still there. Time is
/// that of `random + 2` runs over them.
///
/// # Errors
/// [`Error::NoHeads`] without heads, [`Error::NotAnImage`] for images without a known file, those of
/// [`Interventions::new`](attn_models::intervene::Interventions::new) for heads that do not exist, and of the model's run.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_embedded::sentences;
/// use attn_models::Capturer;
/// use attn_study::experiment::{ExperimentParams, ablate};
///
/// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
/// let capture = capturer.capture_lines(sentences().take(8))?;
/// let heads = [HeadId::new(Attention::DecoderSelf, 1, 2)];
/// let params = ExperimentParams { random: 2, ..ExperimentParams::default() };
/// let ablation = ablate(&capturer, capture.sequences(), &heads, &params, &())?;
/// let loss = ablation.effect.loss_change.unwrap();
/// assert!(loss.low <= loss.mean && loss.mean <= loss.high);
/// # Ok::<(), attn_study::Error>(())
/// ```
pub fn ablate(
    capturer: &Capturer,
    sequences: &[Sequence],
    heads: &[HeadId],
    params: &ExperimentParams,
    progress: &dyn Progress,
) -> Result<Ablation, Error> {
    if heads.is_empty() {
        return Err(Error::NoHeads);
    }
    let all: Vec<HeadId> = capturer.model().info().heads().collect();
    let sets = random_sets(&all, heads, params);
    let variant = |at: usize, _: usize, _: &Sequence| without(at.checked_sub(1).map_or(heads, |set| &sets[set]));
    let effects = run_all(capturer, sequences, 1 + sets.len(), &variant, params, progress)?;
    let (effect, others) = effects.split_first().ok_or(Error::NoHeads)?;
    let random = sets.iter().cloned().zip(others);
    Ok(Ablation {
        heads: heads.to_vec(),
        effect: effect.clone(),
        random: random.map(|(heads, effect)| RandomHeads::new(heads, effect)).collect(),
        reached: reached(effect, others),
        p_value: p_value(reached(effect, others), others.len()),
    })
}

impl RandomHeads {
    fn new(heads: Vec<HeadId>, effect: &Effect) -> Self {
        Self {
            heads,
            loss_change: effect.loss_change.map(|change| change.mean),
            output_change: effect.output_change.mean,
        }
    }
}

/// The edits of a variant for a sequence: number of the variant, number of the sequence, the sequence.
type Edits<'a> = dyn Fn(usize, usize, &Sequence) -> Vec<Edit> + Sync + 'a;

/// The effects of all variants.
fn run_all(
    capturer: &Capturer,
    sequences: &[Sequence],
    variants: usize,
    edits: &Edits<'_>,
    params: &ExperimentParams,
    progress: &dyn Progress,
) -> Result<Vec<Effect>, Error> {
    let runner = Runner::new(capturer, sequences, params)?;
    let changes = runner.run(variants, edits, progress)?;
    Ok(changes.iter().map(|changes| effect(&runner, changes, params)).collect())
}

/// Number of random variants whose effect is at least as large: on the loss where there is one, else on the output.
fn reached(own: &Effect, random: &[Effect]) -> usize {
    let reaches = |random: &&Effect| match (own.loss_change, random.loss_change) {
        (Some(own), Some(random)) => random.mean >= own.mean,
        _ => random.output_change.mean >= own.output_change.mean,
    };
    random.iter().filter(reaches).count()
}

/// Share of random variants that reach the effect, the variant in question counted as one.
fn p_value(reached: usize, random: usize) -> f64 {
    (1 + reached) as f64 / (1 + random) as f64
}

/// Changes the model in any way, each sequence in its own (edges between certain words, say), and measures the effect. Tokens of
/// edits are counted within the sequence.
///
/// # Errors
/// As [`ablate`].
pub fn intervene(
    capturer: &Capturer,
    sequences: &[Sequence],
    edits: &(dyn Fn(&Sequence) -> Vec<Edit> + Sync),
    params: &ExperimentParams,
    progress: &dyn Progress,
) -> Result<Effect, Error> {
    let variant = |_: usize, _: usize, sequence: &Sequence| edits(sequence);
    let effects = run_all(capturer, sequences, 1, &variant, params, progress)?;
    effects.into_iter().next().ok_or(Error::NoHeads)
}

fn without(heads: &[HeadId]) -> Vec<Edit> {
    let edit = |head: &HeadId| Edit::HeadMask {
        heads: (*head).into(),
        factor: 0.0,
    };
    heads.iter().map(edit).collect()
}

/// Sets of as many heads of the same kinds of attention, others than these where there are enough.
fn random_sets(all: &[HeadId], heads: &[HeadId], params: &ExperimentParams) -> Vec<Vec<HeadId>> {
    let set = |index: usize| {
        let mut rng = Rng::new(params.seed, &[1, index]);
        let mut chosen: Vec<HeadId> = Vec::with_capacity(heads.len());
        let mut kinds: Vec<_> = heads.iter().map(|head| head.attention).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let count = heads.iter().filter(|head| head.attention == kind).count();
            let of_kind = all.iter().filter(|head| head.attention == kind);
            let others: Vec<HeadId> = of_kind.clone().filter(|head| !heads.contains(head)).copied().collect();
            let pool = if others.len() >= count {
                others
            } else {
                of_kind.copied().collect()
            };
            chosen.extend(rng.sample(pool.len(), count).into_iter().map(|index| pool[index]));
        }
        chosen
    };
    (0..params.random).map(set).collect()
}

fn effect(runner: &Runner<'_>, changes: &[Change], params: &ExperimentParams) -> Effect {
    let estimate = |value: &dyn Fn(&Change) -> Option<f64>| {
        let values: Vec<f64> = changes.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| Estimate::of(&values, params.resamples, params.seed))
    };
    Effect {
        task: runner.task(),
        loss: estimate(&|change| change.loss.map(|(before, _)| before)),
        loss_change: estimate(&|change| change.loss.map(|(before, after)| after - before)),
        distance: runner.distance(),
        output_change: estimate(&|change| Some(change.output)).unwrap_or_default(),
        agreement: estimate(&|change| change.same.map(|same| f64::from(u8::from(same)))),
        sequences: changes.len(),
    }
}
