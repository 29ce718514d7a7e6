//! From a prediction to the clusters that carried it: integrated gradients of the class that won over the runner-up.

use std::error::Error;

use attn_sdk::{
    analyze::concepts::{Carried, Words, carried},
    core::Side,
    models::{Baseline, Capturer, Inputs, Target, integrated_gradients},
};
use serde::Serialize;

use super::{
    common::Terminal,
    study::{Corpus, Layer},
};

/// Steps of the integral. More only matter to activations with kinks; the gap says whether they were enough.
const STEPS: usize = 200;

/// A prediction in terms of clusters.
#[derive(Serialize)]
pub(crate) struct Explanation {
    /// Index of the sentence.
    pub(crate) sentence: usize,
    pub(crate) class: String,
    pub(crate) probability: f64,
    /// The second best class: weights speak for the first and against this one.
    pub(crate) against: String,
    /// The difference of the two classes' logits, and what it is for a sentence of padding.
    pub(crate) value: f32,
    pub(crate) baseline: f32,
    /// The share of the difference that the integral misses.
    pub(crate) gap: f64,
    /// Per layer of the study.
    pub(crate) layers: Vec<Carried>,
}

/// Explains the prediction for sentence `number` (from 1); `None` if the model predicts no class.
pub(crate) fn explain(
    capturer: &Capturer,
    corpus: &Corpus,
    words: &Words,
    layers: &[Layer],
    number: usize,
    terminal: &Terminal,
) -> Result<Option<Explanation>, Box<dyn Error>> {
    let (model, Some(tokenizer)) = (capturer.model(), capturer.tokenizer()) else {
        return Ok(None);
    };
    if model.labels().len() < 2 {
        return Ok(None);
    }
    let Some(sentence) = number.checked_sub(1).filter(|&at| at < corpus.text.sentences.len()) else {
        let last = corpus.text.sentences.len();
        return Err(format!("--explain: expected a sentence from 1 to {last}, found {number}").into());
    };
    let ids = tokenizer
        .encode(&corpus.text.sentences[sentence].text, model.info())?
        .ids();
    let padding = ["[PAD]", "<pad>"].iter().find_map(|token| tokenizer.id(token));
    let inputs = Inputs::from_ids(&[ids], padding.unwrap_or(0))?;
    let Some(logits) = model
        .forward(&inputs, &mut ())?
        .logits
        .filter(|logits| logits.rank() == 2)
    else {
        return Ok(None);
    };
    let logits: Vec<f32> = logits.get(0)?.to_vec1()?;
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let (class, against) = (order[0], order[1]);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - logits[class]).exp()).sum();
    let baseline = match padding {
        Some(padding) => Baseline::token(&inputs, padding, &tokenizer.special_ids())?,
        None => Baseline::Zero,
    };
    let target = Target::Class(class).minus(Target::Class(against));
    let mut found = integrated_gradients(model, &inputs, &[target], &baseline, STEPS, &mut (), terminal)?;
    let found = found.pop().ok_or("no attribution for the sentence")?;
    let side = if found.scores.encoder.is_empty() {
        Side::Decoder
    } else {
        Side::Encoder
    };
    let weights = found.scores.side(side);
    let layers = layers
        .iter()
        .map(|layer| carried(&layer.partition, words, sentence, weights))
        .collect::<Result<_, _>>()?;
    let name = |class: usize| model.labels().get(class).cloned().unwrap_or_else(|| class.to_string());
    Ok(Some(Explanation {
        sentence,
        class: name(class),
        probability: 1.0 / total,
        against: name(against),
        value: found.value,
        baseline: found.baseline,
        gap: found.relative_gap(),
        layers,
    }))
}
