//! Examples with what is right for them, and how well a model does on each.

use attn_analyze::training::{Log, Scale};
use attn_core::{Attention, Rng, Sequence, Side, Token};
use attn_models::{
    Capturer, Inputs, Model,
    attribute::{Examples, Labels, Target},
    candle::{DType, Tensor},
};

use super::{Metric, Outcome, gold::Asked, metric::outcome};
use crate::{Error, image::image_of};

/// Share of the tokens that are masked for a masked language model (Devlin et al. 2019).
const MASKED: f64 = 0.15;
/// Examples that a note names.
const NAMED: usize = 5;

/// A sequence and what is right for it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabeledExample {
    /// The sequence; its name is the id of the example.
    pub sequence: Sequence,
    /// Which of two texts each token belongs to (`token_type_ids`); empty for a single text.
    pub types: Vec<u32>,
    /// What is right.
    pub labels: Labels,
}

impl LabeledExample {
    /// The output of a head of classes that the example is about: its class, the first label that holds (or the first of all if
    /// none does), the number. `None` for tokens.
    pub fn class(&self) -> Option<usize> {
        match &self.labels {
            Labels::Class(class) => Some(*class as usize),
            Labels::Set(set) => Some(set.iter().position(|&holds| holds).unwrap_or(0)),
            Labels::Number(_) => Some(0),
            Labels::Tokens(_) => None,
        }
    }
}

/// Examples that a model is asked about, all for the same kind of answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabeledSet {
    examples: Vec<LabeledExample>,
    /// The largest error of a right number.
    tolerance: f64,
    /// What was left out, a sentence each.
    notes: Vec<String>,
}

impl LabeledSet {
    /// Of sequences of the model, as a capture has them. A head of classes is asked for the
    /// [`label`](attn_core::Sequence::label): a class by its name or its number, labels by theirs between `+` or `,`, or a number; a
    /// decoder for the next tokens; an encoder-decoder for its target; a masked language model for 15 % of the tokens, which are
    /// masked (a seeded sample). Sequences without a known label are left out, and [`notes`](Self::notes) say so.
    ///
    /// # Errors
    /// [`Error::NothingLabeled`] if nothing is left: the model predicts nothing, or no label is one that its head needs.
    pub fn of(capturer: &Capturer, sequences: impl IntoIterator<Item = Sequence>, seed: u64) -> Result<Self, Error> {
        let model = capturer.model();
        let info = model.info();
        let decodes = info.attention(Attention::DecoderSelf).is_some();
        let crosses = info.attention(Attention::Cross).is_some();
        let mask = ["[MASK]", "<mask>"]
            .iter()
            .find_map(|mask| capturer.tokenizer().and_then(|tokenizer| tokenizer.id(mask)));
        let asked = Asked::of(model, None);
        let (mut examples, mut without, mut short) = (Vec::new(), LeftOut::default(), LeftOut::default());
        for (index, mut sequence) in sequences.into_iter().enumerate() {
            let labels = if let Some(asked) = asked {
                let Some(labels) = sequence.label.as_deref().and_then(|label| asked.text(label)) else {
                    without.push(&sequence.name);
                    continue;
                };
                labels
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
            if matches!(&labels, Labels::Tokens(tokens) if !tokens.iter().skip(shifted).any(Option::is_some)) {
                short.push(&sequence.name);
                continue;
            }
            examples.push(LabeledExample {
                sequence,
                types: Vec::new(),
                labels,
            });
        }
        let needed = asked.map_or_else(String::new, |asked| asked.expected());
        let notes = [
            without.note(&format!("{needed} as label")),
            short.note("a token to predict"),
        ];
        Self::checked(model, examples, notes.into_iter().flatten().collect())
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

    /// Of the examples of a training log that have a text and the gold answer that the head of the model needs: a class, 0 or 1 per
    /// label, or a number. A text with a TAB is a pair of texts. What is left out is named in [`notes`](Self::notes).
    ///
    /// # Errors
    /// As [`of`](Self::of), and those of the tokenizer.
    pub fn of_log(capturer: &Capturer, log: &Log, examples: impl IntoIterator<Item = usize>) -> Result<Self, Error> {
        let model = capturer.model();
        let asked = Asked::of(model, log.task());
        let (Some(tokenizer), Some(asked)) = (capturer.tokenizer(), asked) else {
            return Err(nothing(model, &[]));
        };
        let (mut found, mut without) = (Vec::new(), LeftOut::default());
        for at in examples {
            let Some(example) = log.examples().get(at) else {
                continue;
            };
            let (Some(text), Some(labels)) = (example.text.as_deref(), asked.gold(log, at)) else {
                without.push(&example.id);
                continue;
            };
            let encoded = match text.split_once('\t') {
                Some((one, other)) => tokenizer.encode_pair(one, other, model.info()),
                None => tokenizer.encode(text, model.info()),
            };
            let Ok(encoded) = encoded else {
                without.push(&example.id);
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
                labels,
            });
        }
        let note = without.note(&format!("a text, and {} in `gold`", asked.expected()));
        let set = Self::checked(model, found, note.into_iter().collect())?;
        // Right as in the data map of the same log.
        let scale = Scale::of(log, None);
        Ok(Self {
            tolerance: scale.map_or(set.tolerance, |scale| f64::from(scale.tolerance)),
            ..set
        })
    }

    /// Of examples at hand, such as pairs of sentences with their token types.
    ///
    /// # Errors
    /// [`Error::NothingLabeled`] without examples; [`Error::Shape`] for labels or types of another length than the tokens, for labels
    /// that the model does not have, for a number that is none, and for labels of several kinds.
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
                    _ => ("labels of an example", tokens, true),
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
        Self::checked(model, examples, Vec::new())
    }

    fn checked(model: &Model, examples: Vec<LabeledExample>, notes: Vec<String>) -> Result<Self, Error> {
        let Some(metric) = examples.first().map(|example| Metric::of(&example.labels)) else {
            return Err(nothing(model, &notes));
        };
        let classes = model.labels().len();
        for LabeledExample { labels, sequence, .. } in &examples {
            let unfit = |expected: String, found: String| {
                Err(Error::Shape {
                    what: "labels of an example",
                    expected: format!("{expected} for {}", sequence.name),
                    found,
                })
            };
            match labels {
                _ if Metric::of(labels) != metric => {
                    let found = Metric::of(labels).name();
                    return unfit(
                        format!("what {} measures, as for the first", metric.name()),
                        found.to_owned(),
                    );
                }
                Labels::Set(set) if set.len() != classes => {
                    return unfit(format!("{classes} labels"), set.len().to_string());
                }
                Labels::Number(_) if classes != 1 => {
                    return unfit("a head of one number".to_owned(), format!("one of {classes}"));
                }
                Labels::Number(number) if !number.is_finite() => {
                    return unfit("a finite number".to_owned(), number.to_string());
                }
                _ => {}
            }
        }
        Ok(Self {
            tolerance: 0.5 * spread(&examples),
            examples,
            notes,
        })
    }

    /// The metric of its kind of labels.
    pub fn metric(&self) -> Metric {
        self.examples
            .first()
            .map_or_else(Metric::default, |example| Metric::of(&example.labels))
    }

    /// The largest error of a right number: half of the standard deviation of the gold numbers, of a log those of all its examples.
    /// A part of a set keeps that of the whole.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
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
            tolerance: self.tolerance,
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
        let target = |example: &LabeledExample| {
            let mut labels = example.labels.clone();
            if let Labels::Tokens(tokens) = &mut labels {
                tokens.resize(places.max(tokens.len()), None);
            }
            Target::Loss { labels }
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
        let of = |(row, &at): (usize, &usize)| {
            let own = logits
                .get(row)
                .and_then(|own| own.to_dtype(DType::F32))
                .map_err(candle)?;
            let width = own.dims().last().copied().unwrap_or(0).max(1);
            let values: Vec<f32> = own.flatten_all().and_then(|own| own.to_vec1()).map_err(candle)?;
            outcome(&self.examples[at].labels, &values, width, shifted, self.tolerance)
        };
        batch.iter().enumerate().map(of).collect()
    }
}

/// Examples that are left out, by name.
#[derive(Debug, Default)]
struct LeftOut {
    first: Vec<String>,
    count: usize,
}

impl LeftOut {
    fn push(&mut self, name: &str) {
        if self.first.len() < NAMED {
            self.first.push(name.to_owned());
        }
        self.count += 1;
    }

    fn note(&self, expected: &str) -> Option<String> {
        let names = self.first.join(", ");
        let names = match self.count - self.first.len() {
            0 => names,
            more => format!("{names} and {more} more"),
        };
        let are = if self.count == 1 { "example is" } else { "examples are" };
        (self.count > 0).then(|| format!("{} {are} left out, expected {expected}: {names}", self.count))
    }
}

/// The error of a set without examples.
fn nothing(model: &Model, notes: &[String]) -> Error {
    Error::NothingLabeled {
        model: model.info().name.clone(),
        left_out: notes.to_vec(),
    }
}

/// The standard deviation of the gold numbers; 0 without numbers.
fn spread(examples: &[LabeledExample]) -> f64 {
    let number = |example: &LabeledExample| match example.labels {
        Labels::Number(number) => Some(f64::from(number)),
        _ => None,
    };
    let numbers: Vec<f64> = examples.iter().filter_map(number).collect();
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt()
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

#[cfg(test)]
mod tests {
    use super::*;

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
