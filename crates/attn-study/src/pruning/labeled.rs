//! Examples with what is right for them, and how well a model does on each.

use attn_analyze::training::{Gold, Log, Scale};
use attn_core::{Attention, Rng, Sequence, Side, Token};
use attn_models::{
    Capturer, Inputs, Model,
    attribute::{Examples, Labels, Target},
    candle::{DType, Tensor},
};

use super::{
    Metric, Outcome,
    gold::{Asked, of_tokens},
    metric::outcome,
};
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
    /// A text as the model reads it. A TAB separates a pair of texts.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn of_text(capturer: &Capturer, name: &str, text: &str, labels: Labels) -> Result<Self, Error> {
        let model = capturer.model();
        let tokenizer = capturer.tokenizer().ok_or_else(|| nothing(model, &[]))?;
        let encoded = match text.split_once('\t') {
            Some((one, other)) => tokenizer.encode_pair(one, other, model.info())?,
            None => tokenizer.encode(text, model.info())?,
        };
        let sequence = Sequence {
            cut_from: encoded.cut_from,
            ..Sequence::new(name).with_text(text)
        };
        Ok(Self {
            sequence: sequence.with_tokens(output_side(model), encoded.tokens),
            // Of a single text the types say nothing.
            types: if encoded.types.contains(&1) {
                encoded.types
            } else {
                Vec::new()
            },
            labels,
        })
    }

    /// A text, and the text that the model is to write for it: the target of an encoder-decoder, or what a decoder goes on with after
    /// the text, as it stands. Its tokens are asked for.
    ///
    /// # Errors
    /// [`Error::NothingLabeled`] for a model that writes no text, and if no token of the target is left to predict; those of the
    /// tokenizer.
    pub fn of_target(capturer: &Capturer, name: &str, text: &str, target: &str) -> Result<Self, Error> {
        let model = capturer.model();
        let info = model.info();
        let (sequence, labels) = if info.attention(Attention::Cross).is_some() {
            let sequence = capturer.read_pair(text, target)?;
            let labels = next_tokens(&sequence.decoder);
            (sequence, labels)
        } else {
            let tokenizer = capturer
                .tokenizer()
                .filter(|_| is_causal(model) && model.labels().is_empty());
            let tokenizer = tokenizer.ok_or_else(|| nothing(model, &[]))?;
            let whole = format!("{text}{target}");
            let encoded = tokenizer.encode(&whole, info)?;
            let of_target = |token: &Token| token.id.filter(|_| token.span.is_some_and(|(_, end)| end > text.len()));
            let labels = encoded.tokens.iter().map(of_target).collect();
            let sequence = Sequence {
                cut_from: encoded.cut_from,
                ..Sequence::new(name).with_text(whole)
            };
            (sequence.with_tokens(Side::Decoder, encoded.tokens), labels)
        };
        if !has_tokens(&labels, is_causal(model)) {
            return Err(nothing(
                model,
                &["no token of the target is left to predict".to_owned()],
            ));
        }
        Ok(Self {
            sequence: Sequence {
                name: name.to_owned(),
                label: Some(target.to_owned()),
                ..sequence
            },
            types: Vec::new(),
            labels: Labels::Tokens(labels),
        })
    }

    /// What an explanation of it asks of a model: the output that it is about, or the first of its tokens. `None` if the model has no
    /// such output.
    pub fn target(&self, model: &Model) -> Option<Target> {
        self.targets(model).into_iter().next()
    }

    /// All that an explanation may ask: the output that it is about, or each of its tokens.
    pub fn targets(&self, model: &Model) -> Vec<Target> {
        let Labels::Tokens(labels) = &self.labels else {
            let class = self.class().filter(|&class| class < model.labels().len());
            return class.map(Target::Class).into_iter().collect();
        };
        let vocabulary = match model.token_labels().len() {
            0 => model
                .info()
                .vocab_size
                .filter(|_| model.labels().is_empty())
                .unwrap_or(0),
            classes => classes,
        };
        let shifted = usize::from(is_causal(model));
        let labeled = labels.iter().enumerate().skip(shifted);
        let target = |(place, label): (usize, &Option<u32>)| {
            let token = label.filter(|&token| (token as usize) < vocabulary)?;
            let position = place - shifted;
            Some(Target::Token { position, token })
        };
        labeled.filter_map(target).collect()
    }

    /// The output of a head of classes that the example is about: its class, the first label that holds (or the first of all if
    /// none does), the number. `None` for tokens.
    pub fn class(&self) -> Option<usize> {
        match &self.labels {
            Labels::Class(class) => Some(*class as usize),
            Labels::Set(set) => Some(set.iter().position(|&holds| holds).unwrap_or(0)),
            Labels::Numbers(_) => Some(0),
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
            } else if !model.token_labels().is_empty() {
                // A sequence has no label per token.
                continue;
            } else if crosses {
                Labels::Tokens(next_tokens(&sequence.decoder))
            } else if decodes {
                Labels::Tokens(sequence.decoder.iter().map(|token| token.id).collect())
            } else if let Some(mask) = mask {
                Labels::Tokens(masked(&mut sequence.encoder, mask, &mut Rng::new(seed, &[0, index])))
            } else {
                continue;
            };
            if matches!(&labels, Labels::Tokens(tokens) if !has_tokens(tokens, decodes && !crosses)) {
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

    /// Of the examples of a training log that have a text and the gold answer that the model needs. What is left out is named in
    /// [`notes`](Self::notes).
    ///
    /// A head of classes needs a class, 0 or 1 per label, or numbers; a text with a TAB is a pair of texts. A classifier of tokens needs
    /// a class for each token that the model reads, for each token of text, or for each word; a negative one does not count. A model
    /// that writes needs a text as gold answer, whose tokens are asked for (see [`LabeledExample::of_target`]).
    ///
    /// # Errors
    /// As [`of`](Self::of), and those of the tokenizer.
    pub fn of_log(capturer: &Capturer, log: &Log, examples: impl IntoIterator<Item = usize>) -> Result<Self, Error> {
        let model = capturer.model();
        let asked = Asked::of(model, log.task());
        let classes = model.token_labels();
        let writes = asked.is_none() && model.info().attention(Attention::DecoderSelf).is_some();
        if capturer.tokenizer().is_none() || (asked.is_none() && !writes && classes.is_empty()) {
            return Err(nothing(model, &[]));
        }
        let read = |at: usize| {
            let example = log.examples().get(at)?;
            match (&asked, &example.gold) {
                (Some(asked), _) => {
                    let labels = asked.gold(log, at)?;
                    let mut found =
                        LabeledExample::of_text(capturer, &example.id, example.text.as_deref()?, labels).ok()?;
                    found.sequence.label = Some(log.gold(at));
                    Some(found)
                }
                (None, Gold::List(list)) if !classes.is_empty() => {
                    let text = example.text.as_deref()?;
                    let mut found =
                        LabeledExample::of_text(capturer, &example.id, text, Labels::Tokens(Vec::new())).ok()?;
                    let labels = of_tokens(classes, log.labels(), list, found.sequence.tokens(output_side(model)))?;
                    found.labels = Labels::Tokens(Some(labels).filter(|labels| has_tokens(labels, false))?);
                    found.sequence.label = Some(log.gold(at));
                    Some(found)
                }
                (None, Gold::Text(gold)) => {
                    LabeledExample::of_target(capturer, &example.id, example.text.as_deref()?, gold).ok()
                }
                _ => None,
            }
        };
        let (mut found, mut without) = (Vec::new(), LeftOut::default());
        for at in examples {
            match (read(at), log.examples().get(at)) {
                (Some(example), _) => found.push(example),
                (None, Some(example)) => without.push(&example.id),
                (None, None) => {}
            }
        }
        let expected = match asked {
            Some(asked) => asked.expected(),
            None if classes.is_empty() => "a text".to_owned(),
            None => "a class for each token or word".to_owned(),
        };
        let note = without.note(&format!("a text, and {expected} in `gold`"));
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
                Labels::Numbers(numbers) if numbers.len() != classes => {
                    return unfit(format!("{classes} numbers, one per output"), numbers.len().to_string());
                }
                Labels::Numbers(numbers) => {
                    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
                        return unfit("finite numbers".to_owned(), number.to_string());
                    }
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

    /// The largest error of right numbers, the root of their mean square: half of the standard deviation of the gold numbers (of
    /// several the root of the mean variance), of a log those of all its examples. A part of a set keeps that of the whole.
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

/// The standard deviation of the gold numbers, of several the root of the mean variance; 0 without numbers.
fn spread(examples: &[LabeledExample]) -> f64 {
    let numbers: Vec<&[f32]> = examples
        .iter()
        .filter_map(|example| match &example.labels {
            Labels::Numbers(numbers) => Some(numbers.as_slice()),
            _ => None,
        })
        .collect();
    let (outputs, count) = (
        numbers.first().map_or(0, |first| first.len()),
        numbers.len().max(1) as f64,
    );
    let variance = |output: usize| {
        let own = || numbers.iter().filter_map(|row| row.get(output).copied().map(f64::from));
        let mean = own().sum::<f64>() / count;
        own().map(|number| (number - mean).powi(2)).sum::<f64>() / count
    };
    ((0..outputs).map(variance).sum::<f64>() / outputs.max(1) as f64).sqrt()
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

/// What an encoder-decoder predicts: the place of a token predicts the one after it.
fn next_tokens(tokens: &[Token]) -> Vec<Option<u32>> {
    let next = tokens.iter().skip(1).map(|token| token.id);
    next.chain([None]).take(tokens.len()).collect()
}

/// Whether a label is left to predict; a causal model does not predict the first.
fn has_tokens(labels: &[Option<u32>], causal: bool) -> bool {
    labels.iter().skip(usize::from(causal)).any(Option::is_some)
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
