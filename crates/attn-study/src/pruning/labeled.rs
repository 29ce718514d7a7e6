//! Examples with what is right for them, and how well a model does on each.

use attn_analyze::training::Log;
use attn_core::{Attention, Rng, Sequence, Side, Token};
use attn_models::{
    Capturer, Inputs, Model,
    attribute::{Examples, Target},
    candle::{DType, Tensor},
};

use super::Outcome;
use crate::{Error, image::image_of, rows::likeliest};

/// Share of the tokens that are masked for a masked language model (Devlin et al. 2019).
const MASKED: f64 = 0.15;

/// What is right for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// The class of the sequence.
    Class(u32),
    /// A token at each place of the output, `None` where none counts. A causal model predicts the token of a place from those
    /// before it; an encoder-decoder and a masked language model predict it at the place itself.
    Tokens(Vec<Option<u32>>),
}

/// A sequence and what is right for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabeledExample {
    /// The sequence; its name is the id of the example.
    pub sequence: Sequence,
    /// Which of two texts each token belongs to (`token_type_ids`); empty for a single text.
    pub types: Vec<u32>,
    /// What is right.
    pub labels: Labels,
}

/// Examples that a model is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabeledSet {
    examples: Vec<LabeledExample>,
    /// What was left out, a sentence each.
    notes: Vec<String>,
}

impl LabeledSet {
    /// Of sequences of the model, as a capture has them. A classifier is asked for the
    /// [`label`](attn_core::Sequence::label), a class by its name or its number; a decoder for the next tokens; an
    /// encoder-decoder for its target; a masked language model for 15 % of the tokens, which are masked (a seeded sample).
    /// Sequences without a known label are left out, and [`notes`](Self::notes) say so.
    ///
    /// # Errors
    /// [`Error::NothingLabeled`] if nothing is left: the model predicts nothing, or no label is one of its classes.
    pub fn of(capturer: &Capturer, sequences: impl IntoIterator<Item = Sequence>, seed: u64) -> Result<Self, Error> {
        let model = capturer.model();
        let info = model.info();
        let decodes = info.attention(Attention::DecoderSelf).is_some();
        let crosses = info.attention(Attention::Cross).is_some();
        let mask = ["[MASK]", "<mask>"]
            .iter()
            .find_map(|mask| capturer.tokenizer().and_then(|tokenizer| tokenizer.id(mask)));
        let classes = model.labels();
        let (mut set, mut without, mut short) = (Self::default(), 0, 0);
        for (index, mut sequence) in sequences.into_iter().enumerate() {
            let labels = if !classes.is_empty() {
                let class = sequence.label.as_deref().and_then(|label| class_of(classes, label));
                let Some(class) = class else {
                    without += 1;
                    continue;
                };
                Labels::Class(class)
            } else if crosses {
                // The place of a token predicts the one after it.
                let next = sequence.decoder.iter().skip(1).map(|token| token.id);
                Labels::Tokens(next.chain([None]).take(sequence.decoder.len()).collect())
            } else if decodes {
                Labels::Tokens(sequence.decoder.iter().map(|token| token.id).collect())
            } else if let Some(mask) = mask {
                Labels::Tokens(masked(&mut sequence.encoder, mask, &mut Rng::new(seed, &[0, index])))
            } else {
                continue;
            };
            let shifted = usize::from(decodes && !crosses);
            let counts = match &labels {
                Labels::Class(_) => true,
                Labels::Tokens(tokens) => tokens.iter().skip(shifted).any(Option::is_some),
            };
            if counts {
                let types = Vec::new();
                set.examples.push(LabeledExample {
                    sequence,
                    types,
                    labels,
                });
            } else {
                short += 1;
            }
        }
        if without > 0 {
            set.notes.push(format!(
                "{without} examples are left out: their label is none of the model's classes ({})",
                classes.join(", ")
            ));
        }
        if short > 0 {
            set.notes
                .push(format!("{short} examples are left out: they have no token to predict"));
        }
        set.checked(model)
    }

    /// Of texts with their labels. Of an encoder-decoder the texts are source, TAB, target.
    ///
    /// # Errors
    /// As [`of`](Self::of), and those of the tokenizer.
    pub fn texts<T: AsRef<str>>(
        capturer: &Capturer,
        texts: impl IntoIterator<Item = (T, Option<String>)>,
    ) -> Result<Self, Error> {
        let (texts, labels): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let texts: Vec<String> = texts.iter().map(|text| text.as_ref().to_owned()).collect();
        let count = texts.len();
        let capture = capturer.capture_lines(texts)?;
        let sequences = capture.sequences();
        if sequences.len() != count {
            return Err(Error::Shape {
                what: "texts of a labeled set",
                expected: format!("{count} texts with at least one token"),
                found: sequences.len().to_string(),
            });
        }
        let labeled = sequences
            .iter()
            .cloned()
            .zip(labels)
            .map(|(sequence, label)| Sequence { label, ..sequence });
        Self::of(capturer, labeled, 0)
    }

    /// Of the examples of a training log that have a text and a class. A text with a TAB is a pair of texts.
    ///
    /// # Errors
    /// As [`of`](Self::of), and those of the tokenizer.
    pub fn of_log(capturer: &Capturer, log: &Log, examples: impl IntoIterator<Item = usize>) -> Result<Self, Error> {
        let model = capturer.model();
        let tokenizer = capturer.tokenizer().ok_or_else(|| Error::NothingLabeled {
            model: model.info().name.clone(),
            classes: model.labels().to_vec(),
        })?;
        let (mut found, mut without) = (Vec::new(), 0);
        for at in examples {
            let example = log.examples().get(at);
            let text = example.and_then(|example| Some((example, example.text.as_deref()?)));
            let class = class_of(model.labels(), &log.gold(at));
            let (Some((example, text)), Some(class)) = (text, class) else {
                without += 1;
                continue;
            };
            let encoded = match text.split_once('\t') {
                Some((one, other)) => tokenizer.encode_pair(one, other, model.info()),
                None => tokenizer.encode(text, model.info()),
            };
            let Ok(encoded) = encoded else {
                without += 1;
                continue;
            };
            let sequence = Sequence::new(&*example.id).with_text(text);
            let sequence = Sequence {
                label: Some(log.gold(at)),
                cut_from: encoded.cut_from,
                ..sequence.with_tokens(output_side(model), encoded.tokens)
            };
            found.push(LabeledExample {
                sequence,
                // Of a single text the types say nothing.
                types: if encoded.types.contains(&1) {
                    encoded.types
                } else {
                    Vec::new()
                },
                labels: Labels::Class(class),
            });
        }
        let mut set = Self::from_examples(model, found)?;
        if without > 0 {
            set.notes.push(format!(
                "{without} examples are left out: they have no text, or a label that is none of the model's classes"
            ));
        }
        Ok(set)
    }

    /// Of examples at hand, such as pairs of sentences with their token types.
    ///
    /// # Errors
    /// [`Error::NothingLabeled`] without examples, [`Error::Shape`] for labels or types of another length than the tokens.
    pub fn from_examples(model: &Model, examples: Vec<LabeledExample>) -> Result<Self, Error> {
        let side = output_side(model);
        for example in &examples {
            let tokens = example.sequence.tokens(side).len();
            let lengths = [
                (
                    "token types of an example",
                    example.types.len(),
                    example.types.is_empty(),
                ),
                match &example.labels {
                    Labels::Tokens(labels) => ("labels of an example", labels.len(), false),
                    Labels::Class(_) => ("labels of an example", tokens, true),
                },
            ];
            for (what, found, any) in lengths {
                if !any && found != tokens {
                    return Err(Error::Shape {
                        what,
                        expected: format!("{tokens}, one per token of {}", example.sequence.name),
                        found: found.to_string(),
                    });
                }
            }
        }
        let notes = Vec::new();
        Self { examples, notes }.checked(model)
    }

    fn checked(self, model: &Model) -> Result<Self, Error> {
        if self.examples.is_empty() {
            return Err(Error::NothingLabeled {
                model: model.info().name.clone(),
                classes: model.labels().to_vec(),
            });
        }
        Ok(self)
    }

    /// The examples.
    pub fn examples(&self) -> &[LabeledExample] {
        &self.examples
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// What was left out, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Some of the examples, by their places; places beyond the last are left out.
    pub fn subset(&self, places: &[usize]) -> Self {
        let examples = places.iter().filter_map(|&at| self.examples.get(at).cloned());
        Self {
            examples: examples.collect(),
            notes: Vec::new(),
        }
    }

    /// Two halves, each a seeded sample in the order of the set, with its notes. Of one example the second is empty.
    pub fn halves(&self, seed: u64) -> [Self; 2] {
        let mut places = Rng::new(seed, &[8]).permutation(self.len());
        let mut rest = places.split_off(self.len().div_ceil(2));
        places.sort_unstable();
        rest.sort_unstable();
        [places, rest].map(|places| Self {
            notes: self.notes.clone(),
            ..self.subset(&places)
        })
    }

    /// The examples of a log that a model was not trained on: those of another split than `train`, or all where none is named.
    pub fn dev_places(log: &Log) -> Vec<usize> {
        let trained = |split: &str| ["train", "training"].contains(&split);
        let is_dev = |at: &usize| {
            log.examples()[*at]
                .split
                .as_deref()
                .is_some_and(|split| !trained(split))
        };
        let dev: Vec<usize> = (0..log.examples().len()).filter(is_dev).collect();
        match dev.is_empty() {
            true => (0..log.examples().len()).collect(),
            false => dev,
        }
    }

    /// At most so many examples: a seeded sample, in their order. A note says how many of how many.
    pub fn sample(&self, most: usize, seed: u64) -> Self {
        if self.len() <= most {
            return self.clone();
        }
        let mut places = Rng::new(seed, &[3]).sample(self.len(), most);
        places.sort_unstable();
        let mut sample = self.subset(&places);
        sample.notes.clone_from(&self.notes);
        sample.notes.push(format!(
            "{} of {} examples, chosen with seed {seed}",
            sample.len(),
            self.len()
        ));
        sample
    }

    /// Places of the examples in batches of at most so many token slots: examples of similar length together.
    pub(crate) fn batches(&self, slots: usize) -> Vec<Vec<usize>> {
        let length = |at: usize| {
            let sequence = &self.examples[at].sequence;
            sequence.encoder.len().max(sequence.decoder.len())
        };
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&at| (length(at), at));
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for at in order {
            match batches.last_mut() {
                Some(batch) if (batch.len() + 1) * length(at) <= slots => batch.push(at),
                _ => batches.push(vec![at]),
            }
        }
        batches
    }

    /// The inputs of a batch.
    pub(crate) fn inputs(&self, capturer: &Capturer, batch: &[usize]) -> Result<Inputs, Error> {
        let examples: Vec<&LabeledExample> = batch.iter().filter_map(|&at| self.examples.get(at)).collect();
        inputs_of(capturer, &examples)
    }

    /// A batch with the loss of each of its examples as target.
    pub(crate) fn losses(&self, capturer: &Capturer, batch: &[usize]) -> Result<Examples, Error> {
        let inputs = self.inputs(capturer, batch)?;
        let places = output_places(capturer.model(), &inputs);
        let target = |example: &LabeledExample| Target::Loss {
            labels: match &example.labels {
                Labels::Class(class) => vec![Some(*class)],
                Labels::Tokens(tokens) => {
                    let padding = places.saturating_sub(tokens.len());
                    tokens
                        .iter()
                        .copied()
                        .chain(std::iter::repeat_n(None, padding))
                        .collect()
                }
            },
        };
        let targets = batch
            .iter()
            .filter_map(|&at| self.examples.get(at))
            .map(target)
            .collect();
        Ok(Examples { inputs, targets })
    }

    /// How well the logits of a batch do.
    pub(crate) fn outcomes(&self, model: &Model, batch: &[usize], logits: &Tensor) -> Result<Vec<Outcome>, Error> {
        let shifted = usize::from(is_causal(model));
        let candle = |error: attn_models::candle::Error| Error::Models(error.into());
        let mut outcomes = Vec::with_capacity(batch.len());
        for (row, &at) in batch.iter().enumerate() {
            let own = logits
                .get(row)
                .and_then(|own| own.to_dtype(DType::F32))
                .map_err(candle)?;
            let width = own.dims().last().copied().unwrap_or(0).max(1);
            let values: Vec<f32> = own.flatten_all().and_then(|own| own.to_vec1()).map_err(candle)?;
            let rows = |place: usize| values.get(place * width..(place + 1) * width);
            let mut outcome = Outcome::default();
            let mut count = 0_usize;
            let mut add = |place: usize, label: u32| -> Result<(), Error> {
                let row = rows(place)
                    .filter(|row| (label as usize) < row.len())
                    .ok_or_else(|| Error::Shape {
                        what: "labels of an example",
                        expected: format!("labels below {width}"),
                        found: format!("{label} at place {place}"),
                    })?;
                outcome.loss += cross_entropy(row, label as usize);
                outcome.right += f64::from(u8::from(likeliest(row) == Some(label as usize)));
                count += 1;
                Ok(())
            };
            match &self.examples[at].labels {
                Labels::Class(class) => add(0, *class)?,
                Labels::Tokens(tokens) => {
                    for (place, label) in tokens.iter().enumerate().skip(shifted) {
                        if let Some(label) = label {
                            add(place - shifted, *label)?;
                        }
                    }
                }
            }
            let count = count.max(1) as f64;
            outcomes.push(Outcome {
                loss: outcome.loss / count,
                right: outcome.right / count,
            });
        }
        Ok(outcomes)
    }
}

/// The inputs of some examples.
pub(crate) fn inputs_of(capturer: &Capturer, examples: &[&LabeledExample]) -> Result<Inputs, Error> {
    let model = capturer.model();
    if model.vision().is_some() {
        let images = examples.iter().map(|example| image_of(&example.sequence));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        return Ok(capturer.image_inputs(&images)?);
    }
    let rows = |side: Side| {
        let ids = |example: &&LabeledExample| {
            example
                .sequence
                .tokens(side)
                .iter()
                .filter_map(|token| token.id)
                .collect()
        };
        Inputs::from_ids(&examples.iter().map(ids).collect::<Vec<Vec<u32>>>(), 0)
    };
    if model.info().attention(Attention::Cross).is_some() {
        let target = rows(Side::Decoder)?;
        return Ok(Inputs {
            decoder_input_ids: target.input_ids,
            decoder_attention_mask: target.attention_mask,
            ..rows(Side::Encoder)?
        });
    }
    let mut inputs = rows(output_side(model))?;
    if examples.iter().any(|example| example.types.iter().any(|&of| of > 0)) {
        let types: Vec<Vec<u32>> = examples
            .iter()
            .map(|example| match example.types.is_empty() {
                true => vec![0; example.sequence.tokens(output_side(model)).len()],
                false => example.types.clone(),
            })
            .collect();
        inputs.token_type_ids = Inputs::from_ids(&types, 0)?.input_ids;
    }
    Ok(inputs)
}

/// The side of the tokens that a model's output is about.
pub(crate) fn output_side(model: &Model) -> Side {
    match model.info().attention(Attention::DecoderSelf) {
        Some(_) => Side::Decoder,
        None => Side::Encoder,
    }
}

/// Whether a model predicts each token from those before it, in the place of the one before.
pub(crate) fn is_causal(model: &Model) -> bool {
    let attentions = &model.info().attentions;
    attentions.iter().all(|info| info.attention == Attention::DecoderSelf)
}

/// Places of the output of a batch, padding included.
fn output_places(model: &Model, inputs: &Inputs) -> usize {
    let ids = match model.info().attention(Attention::Cross) {
        Some(_) => inputs.decoder_input_ids.as_ref(),
        None => inputs.input_ids.as_ref(),
    };
    ids.and_then(|ids| ids.dims().get(1).copied()).unwrap_or(0)
}

/// A class by its name, or by its number where no class has that name.
pub(crate) fn class_of(classes: &[String], label: &str) -> Option<u32> {
    let by_name = classes.iter().position(|name| name == label);
    let number = || {
        label
            .trim()
            .parse::<usize>()
            .ok()
            .filter(|&class| class < classes.len())
    };
    by_name.or_else(number).and_then(|class| u32::try_from(class).ok())
}

/// Masks some ordinary tokens, at least one, and gives their ids at their places.
fn masked(tokens: &mut [Token], mask: u32, rng: &mut Rng) -> Vec<Option<u32>> {
    let mut labels = vec![None; tokens.len()];
    let ordinary: Vec<usize> = (0..tokens.len()).filter(|&at| !tokens[at].special).collect();
    let wanted = (MASKED * ordinary.len() as f64).round().max(1.0) as usize;
    for place in rng.sample(ordinary.len(), wanted.min(ordinary.len())) {
        let at = ordinary[place];
        labels[at] = tokens[at].id.replace(mask);
    }
    labels
}

/// `-log softmax(row)[label]`, in nats.
fn cross_entropy(row: &[f32], label: usize) -> f64 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&value| f64::from(value - most).exp()).sum();
    sum.ln() - f64::from(row[label] - most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_by_hand() {
        // Two classes with equal logits: ln 2.
        assert!((cross_entropy(&[3.0, 3.0], 1) - 2.0_f64.ln()).abs() < 1e-12);
        // exp(0) : exp(ln 3) = 1 : 3.
        assert!((cross_entropy(&[0.0, 3.0_f32.ln()], 0) - 4.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn classes_are_known_by_name_and_by_number() {
        let classes = ["no", "yes"].map(str::to_owned);
        assert_eq!(
            ["yes", "1", "0 ", "2", "maybe"].map(|label| class_of(&classes, label)),
            [Some(1), Some(1), Some(0), None, None]
        );
    }

    #[test]
    fn masks_keep_what_they_hide() {
        let mut tokens: Vec<Token> = (0..12)
            .map(|id| Token {
                id: Some(id),
                special: id == 0,
                ..Token::default()
            })
            .collect();
        let labels = masked(&mut tokens, 99, &mut Rng::new(1, &[]));
        assert_eq!(labels.iter().flatten().count(), 2);
        for (at, label) in labels.iter().enumerate() {
            let id = tokens[at].id.unwrap() as usize;
            assert_eq!(
                (label.is_some(), label.map_or(at, |label| label as usize)),
                (id == 99, at)
            );
        }
        assert_eq!(tokens[0].id, Some(0));
    }
}
