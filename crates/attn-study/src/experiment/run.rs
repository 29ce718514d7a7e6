//! The runs of an experiment: batch by batch, the unchanged model, then every variant. Memory holds the outputs of two runs of
//! one batch.

use attn_core::Rng;
use attn_core::{Attention, Limits, Progress, Sequence, Side, progress::step};
use attn_models::{
    Capturer, Inputs,
    candle::Tensor,
    generate::log_softmax,
    images::Image,
    intervene::{Intervention, Interventions},
    model::Output,
};
use rayon::prelude::*;

use super::{Distance, Edits, ExperimentParams, Task};
use crate::{
    Error,
    image::image_of,
    rows::{cosine, likeliest},
};

/// Effect of a change on one sequence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Mean cross-entropy before and after; `None` where nothing is predicted.
    pub(super) loss: Option<(f64, f64)>,
    /// Change of the output.
    pub(super) output: f64,
    /// Whether the most likely class is the same; `None` for a model without classes.
    pub(super) same: Option<bool>,
}

pub(super) struct Runner<'a> {
    capturer: &'a Capturer,
    items: Vec<Item<'a>>,
    params: &'a ExperimentParams,
    task: Task,
    distance: Distance,
    /// Whether the output is one row of classes per sequence.
    classifies: bool,
    /// The side of the tokens in the output.
    side: Side,
    /// Numbers of a row of the output, at most.
    width: usize,
}

/// A sequence as the model reads it.
struct Item<'a> {
    sequence: &'a Sequence,
    encoder: Vec<u32>,
    decoder: Vec<u32>,
    image: Option<Image>,
    /// Tokens of the output whose prediction counts, with the right ids.
    targets: Vec<(usize, u32)>,
}

/// Output of one run for one sequence: rows `[tokens, width]` of log-probabilities or hidden states.
struct Reading {
    rows: Vec<f32>,
    width: usize,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        capturer: &'a Capturer,
        sequences: &'a [Sequence],
        params: &'a ExperimentParams,
    ) -> Result<Self, Error> {
        let info = capturer.model().info();
        let decodes = info.attention(Attention::DecoderSelf).is_some();
        let side = if decodes { Side::Decoder } else { Side::Encoder };
        let mask = ["[MASK]", "<mask>"]
            .iter()
            .find_map(|mask| capturer.tokenizer().and_then(|tokenizer| tokenizer.id(mask)));
        let mut runner = Self {
            capturer,
            items: Vec::new(),
            params,
            task: Task::None,
            distance: Distance::Cosine,
            classifies: false,
            side,
            width: info.vocab_size.unwrap_or(0).max(info.hidden_size),
        };
        let ids = |sequence: &Sequence, side| sequence.tokens(side).iter().filter_map(|token| token.id).collect();
        for sequence in sequences {
            let sees = capturer.model().vision().is_some();
            runner.items.push(Item {
                image: sees.then(|| image_of(sequence)).transpose()?,
                sequence,
                encoder: ids(sequence, Side::Encoder),
                decoder: ids(sequence, Side::Decoder),
                targets: Vec::new(),
            });
        }
        // One forward pass shows the form of the predictions.
        let Some(first) = runner.items.first() else {
            return Ok(runner);
        };
        runner.check(first)?;
        let output = runner.forward(&runner.inputs(&[first])?, None)?;
        let labels = capturer.model().labels();
        let classes = labels.len();
        runner.distance = match output.logits.as_ref().map(Tensor::dims) {
            Some([_, _, _]) => Distance::Divergence,
            Some([_, width]) if *width == classes => {
                runner.classifies = true;
                Distance::Divergence
            }
            _ => Distance::Cosine,
        };
        let read = match (runner.distance, &output.logits) {
            (Distance::Divergence, Some(logits)) => logits,
            _ => &output.last_hidden,
        };
        runner.width = read.dims().last().copied().unwrap_or(0);
        runner.items.iter().try_for_each(|item| runner.check(item))?;
        let class = |item: &Item<'_>| {
            let label = item.sequence.label.as_ref()?;
            labels.iter().position(|name| name == label)
        };
        let labeled = runner.classifies && runner.items.iter().any(|item| class(item).is_some());
        let predicts = output.logits.as_ref().is_some_and(|logits| logits.dims().len() == 3);
        runner.task = match (predicts, decodes, mask) {
            (true, true, _) => Task::NextToken,
            (true, false, Some(_)) => Task::MaskedToken,
            _ if labeled => Task::Class,
            _ => Task::None,
        };
        for (index, item) in runner.items.iter_mut().enumerate() {
            match (runner.task, mask) {
                (Task::NextToken, _) => {
                    item.targets = item
                        .decoder
                        .iter()
                        .copied()
                        .enumerate()
                        .skip(1)
                        .map(|(at, id)| (at - 1, id))
                        .collect();
                }
                (Task::MaskedToken, Some(mask)) => {
                    let mut rng = Rng::new(params.seed, &[0, index]);
                    let tokens = item.sequence.encoder.iter().enumerate();
                    let ordinary: Vec<usize> = tokens.filter(|(_, token)| !token.special).map(|(at, _)| at).collect();
                    let wanted = (params.masked * ordinary.len() as f64).round().max(1.0) as usize;
                    for place in rng.sample(ordinary.len(), wanted.min(ordinary.len())) {
                        let at = ordinary[place];
                        item.targets.push((at, item.encoder[at]));
                        item.encoder[at] = mask;
                    }
                }
                (Task::Class, _) => {
                    let wanted = class(item).and_then(|class| u32::try_from(class).ok());
                    item.targets = wanted.map(|class| (0, class)).into_iter().collect();
                }
                _ => {}
            }
        }
        Ok(runner)
    }

    pub(super) fn task(&self) -> Task {
        self.task
    }

    pub(super) fn distance(&self) -> Distance {
        self.distance
    }

    /// The change of each sequence by each variant.
    pub(super) fn run(
        &self,
        variants: usize,
        edits: &Edits<'_>,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Change>>, Error> {
        let mut changes: Vec<Vec<Option<Change>>> = vec![vec![None; self.items.len()]; variants];
        let batches = self.batches();
        let total = batches.len() * (variants + 1);
        let mut done = 0;
        let mut tick = || {
            done += 1;
            step(progress, "experiment", done - 1, total)
        };
        for batch in &batches {
            tick()?;
            let items: Vec<&Item<'_>> = batch.iter().map(|&at| &self.items[at]).collect();
            let inputs = self.inputs(&items)?;
            let before = self.readings(&items, &inputs, None)?;
            for (variant, changes) in changes.iter_mut().enumerate() {
                tick()?;
                let own = batch.iter().zip(&items).enumerate().flat_map(|(row, (&at, item))| {
                    let edits = edits(variant, at, item.sequence).into_iter();
                    edits.map(move |edit| edit.in_sequences(row))
                });
                let after = self.readings(&items, &inputs, Some(own.collect()))?;
                let found: Vec<Change> = items
                    .par_iter()
                    .zip(before.par_iter().zip(&after))
                    .map(|(item, (before, after))| self.change(item, before, after))
                    .collect();
                for (&at, change) in batch.iter().zip(found) {
                    changes[at] = Some(change);
                }
            }
        }
        Ok(changes
            .into_iter()
            .map(|changes| changes.into_iter().flatten().collect())
            .collect())
    }

    /// Bytes of the outputs of so many sequences: that of the model, and its readings before and after a change.
    fn needed(&self, sequences: usize, longest: usize) -> u64 {
        Limits::size(&[sequences, longest, self.width], 3 * size_of::<f32>())
    }

    /// Refuses a sequence whose outputs take too much even if it is alone in its batch.
    fn check(&self, item: &Item<'_>) -> Result<(), Error> {
        let length = item.sequence.tokens(self.side).len();
        let what = format_args!("the predictions for {}, {length} x {}", item.sequence.name, self.width);
        Ok(self.capturer.model().limits().check(what, self.needed(1, length))?)
    }

    /// Sequences of similar length together, as many as the limits allow.
    fn batches(&self) -> Vec<Vec<usize>> {
        // Patches have no ids.
        let length = |at: usize| {
            let sequence = self.items[at].sequence;
            sequence.encoder.len().max(sequence.decoder.len())
        };
        let limit = self.capturer.model().limits().bytes;
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|&at| (length(at), at));
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for at in order {
            match batches.last_mut() {
                Some(batch)
                    if (batch.len() + 1) * length(at) <= self.params.batch_tokens
                        && self.needed(batch.len() + 1, length(at)) <= limit =>
                {
                    batch.push(at);
                }
                _ => batches.push(vec![at]),
            }
        }
        batches
    }

    fn inputs(&self, items: &[&Item<'_>]) -> Result<Inputs, Error> {
        if self.capturer.model().vision().is_some() {
            let images = items.iter().filter_map(|item| item.image.as_ref());
            return Ok(self.capturer.image_inputs(images)?);
        }
        let rows = |side: Side| {
            let rows = items.iter().map(|item| match side {
                Side::Encoder => item.encoder.clone(),
                Side::Decoder => item.decoder.clone(),
            });
            Inputs::from_ids(&rows.collect::<Vec<_>>(), 0)
        };
        if self.capturer.model().info().attention(Attention::Cross).is_none() {
            return Ok(rows(self.side)?);
        }
        let target = rows(Side::Decoder)?;
        Ok(Inputs {
            decoder_input_ids: target.input_ids,
            decoder_attention_mask: target.attention_mask,
            ..rows(Side::Encoder)?
        })
    }

    fn forward(&self, inputs: &Inputs, edits: Option<Vec<Intervention>>) -> Result<Output, Error> {
        let model = self.capturer.model();
        match edits {
            Some(edits) => {
                let mut tap = Interventions::new(model.info(), edits)?;
                Ok(model.forward(inputs, &mut tap)?)
            }
            None => Ok(model.forward(inputs, &mut ())?),
        }
    }

    fn readings(
        &self,
        items: &[&Item<'_>],
        inputs: &Inputs,
        edits: Option<Vec<Intervention>>,
    ) -> Result<Vec<Reading>, Error> {
        let output = self.forward(inputs, edits)?;
        let tensor = match (self.distance, output.logits) {
            (Distance::Divergence, Some(logits)) => logits,
            _ => output.last_hidden,
        };
        let flat = |tensor: &Tensor| -> Result<Vec<f32>, Error> {
            let tensor = tensor
                .to_dtype(attn_models::candle::DType::F32)
                .and_then(|t| t.flatten_all());
            tensor
                .and_then(|tensor| tensor.to_vec1())
                .map_err(|error| Error::Models(error.into()))
        };
        let mut readings = Vec::with_capacity(items.len());
        for (row, item) in items.iter().enumerate() {
            let own = tensor.get(row).map_err(|error| Error::Models(error.into()))?;
            let width = own.dims().last().copied().unwrap_or(0);
            let mut rows = flat(&own)?;
            if own.dims().len() == 2 && item.image.is_none() {
                // Without the padding.
                let length = if self.side == Side::Decoder {
                    item.decoder.len()
                } else {
                    item.encoder.len()
                };
                rows.truncate(length * width);
            }
            if self.distance == Distance::Divergence {
                rows.par_chunks_mut(width.max(1)).for_each(log_softmax);
            }
            readings.push(Reading { rows, width });
        }
        Ok(readings)
    }

    fn change(&self, item: &Item<'_>, before: &Reading, after: &Reading) -> Change {
        let pairs = before
            .rows
            .chunks(before.width.max(1))
            .zip(after.rows.chunks(after.width.max(1)));
        let count = before.rows.len() / before.width.max(1);
        let moved = pairs.map(|(a, b)| match self.distance {
            Distance::Divergence => divergence(a, b),
            // A state of no length points nowhere.
            Distance::Cosine => 1.0 - cosine(a, b).unwrap_or(1.0),
        });
        let output = moved.sum::<f64>() / count.max(1) as f64;
        let loss = |reading: &Reading| {
            let of = |&(at, id): &(usize, u32)| reading.rows.get(at * reading.width + id as usize);
            let values: Vec<f64> = item
                .targets
                .iter()
                .filter_map(of)
                .map(|value| -f64::from(*value))
                .collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Change {
            loss: loss(before).zip(loss(after)),
            output,
            same: self
                .classifies
                .then(|| likeliest(&before.rows) == likeliest(&after.rows)),
        }
    }
}

/// Of two rows of log-probabilities, in nats; never below 0.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let terms = p.iter().zip(q).map(|(p, q)| f64::from(*p).exp() * f64::from(p - q));
    terms.sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use attn_core::{HeadId, Token};
    use attn_models::{Gradients, Model, Weights};

    use super::*;
    use crate::experiment::ablate;

    const VOCABULARY: usize = 4000;

    fn capturer(limits: Limits) -> Capturer {
        let config = format!(
            r#"{{"model_type": "gpt2", "vocab_size": {VOCABULARY}, "n_positions": 64, "n_embd": 8, "n_layer": 1, "n_head": 2,
                "architectures": ["GPT2LMHeadModel"]}}"#
        );
        let model = Model::build("tiny", &config, &Weights::initialize(1), Gradients::Off).unwrap();
        Capturer::new(model).with_limits(limits)
    }

    fn sequence(length: usize) -> Sequence {
        let token = |at: usize| Token {
            id: u32::try_from(at * 7 % VOCABULARY).ok(),
            ..Token::new("x")
        };
        Sequence::new("line 1").with_tokens(Side::Decoder, (1..=length).map(token))
    }

    #[test]
    fn predictions_beyond_the_limits_are_refused_and_batches_stay_within_them() {
        let params = ExperimentParams {
            random: 0,
            ..ExperimentParams::default()
        };
        let heads = [HeadId::new(Attention::DecoderSelf, 0, 1)];
        let run = |limits: u64, lengths: &[usize]| {
            let sequences: Vec<Sequence> = lengths.iter().map(|&length| sequence(length)).collect();
            ablate(&capturer(Limits::of(limits)), &sequences, &heads, &params, &())
        };
        // Three rows of single precision for each of 20 tokens.
        let fits = (20 * VOCABULARY * 12) as u64;
        for lengths in [&[60][..], &[5, 60]] {
            let Err(Error::Models(attn_models::Error::Core(error)) | Error::Core(error)) = run(fits, lengths) else {
                panic!("{lengths:?} is refused");
            };
            assert_eq!(
                error.to_string(),
                "the predictions for line 1, 60 x 4000: takes 2.75 MiB of memory, at most 938 KiB is allowed"
            );
        }
        // Alone in their batches instead of together.
        let (tight, free) = (run(fits, &[18, 19, 20]).unwrap(), run(u64::MAX, &[18, 19, 20]).unwrap());
        let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(close(tight.effect.output_change.mean, free.effect.output_change.mean));
        assert!(close(tight.effect.loss.unwrap().mean, free.effect.loss.unwrap().mean));
    }
}
