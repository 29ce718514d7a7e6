//! The prediction of a classifier for one sentence or pair of sentences, attributed to its tokens: the input of
//! [`concepts::Pipeline::explain`](attn_analyze::concepts::Pipeline::explain).

use attn_analyze::concepts::{LayerWeights, Prediction};
use attn_core::{Progress, Side};
use attn_models::{
    Capturer, Inputs,
    attribute::{Baseline, Target, layer_integrated_gradients},
    candle,
    model::Problem,
};

use crate::Error;

/// Steps of the integral of a layer. More only matter to activations with kinks; the gap says whether they were enough.
const STEPS: usize = 200;

/// The most likely class of a sentence, with integrated gradients of its logit minus that of the second most likely class, at the
/// states of every layer. The baseline is a sentence of padding. `None` if the model predicts no classes. With a `second` text the two
/// are read as a pair.
///
/// A model that decides each label by itself ([`Problem::Labels`]) has no second class: the probability is the sigmoid of the logit, and
/// the attribution is that of the logit alone.
///
/// # Errors
/// Those of the model's run; a cancellation.
///
/// ```
/// use attn_core::Side;
/// use attn_models::Capturer;
/// use attn_study::prediction::class_prediction;
///
/// let capturer = Capturer::load(&attn_embedded::SENTIMENT.checkpoint()?)?;
/// let found = class_prediction(&capturer, "i love this film", None, 0, Side::Encoder, &())?.unwrap();
/// assert!(found.probability > 0.5 && found.class != found.against);
/// for layer in &found.layers {
///     let sum: f32 = layer.weights.iter().sum();
///     assert!((sum - (found.value - found.baseline)).abs() < 0.05 * found.value.abs());
/// }
/// // It reads `[CLS]`: nothing else counts in the last layer.
/// assert!(found.layers[4].weights[1..].iter().all(|weight| *weight == 0.0));
/// # Ok::<(), attn_study::Error>(())
/// ```
pub fn class_prediction(
    capturer: &Capturer,
    text: &str,
    second: Option<&str>,
    sentence: usize,
    side: Side,
    progress: &dyn Progress,
) -> Result<Option<Prediction>, Error> {
    let (model, Some(tokenizer)) = (capturer.model(), capturer.tokenizer()) else {
        return Ok(None);
    };
    if model.labels().len() < 2 || model.problem() == Some(Problem::Number) {
        return Ok(None);
    }
    let read = match second {
        Some(second) => tokenizer.encode_pair(text, second, model.info())?,
        None => tokenizer.encode(text, model.info())?,
    };
    let padding = ["[PAD]", "<pad>"].iter().find_map(|token| tokenizer.id(token));
    let mut inputs = Inputs::from_ids(&[read.ids()], padding.unwrap_or(0))?;
    if model.token_types() > 1 {
        inputs.token_type_ids = Inputs::from_ids(&[read.types], 0)?.input_ids;
    }
    let logits = model.forward(&inputs, &mut ())?.logits;
    let Some(logits) = logits.filter(|logits| logits.rank() == 2) else {
        return Ok(None);
    };
    let logits = first_row(&logits).map_err(|error| Error::Models(error.into()))?;
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let [class, against, ..] = order[..] else {
        return Ok(None);
    };
    let each = model.problem() == Some(Problem::Labels);
    let total: f64 = match each {
        true => 1.0 + f64::from(-logits[class]).exp(),
        false => logits.iter().map(|&logit| f64::from(logit - logits[class]).exp()).sum(),
    };
    let baseline = match padding {
        Some(padding) => Baseline::token(&inputs, padding, &tokenizer.special_ids())?,
        None => Baseline::Zero,
    };
    let target = match each {
        true => Target::Class(class),
        false => Target::Class(class).minus(Target::Class(against)),
    };
    let attentions = model.info().attentions.iter();
    let depth = attentions.filter(|info| info.attention.query_side() == side);
    let depth = depth.map(|info| info.layers.len()).max().unwrap_or(0);
    let layers: Vec<usize> = (0..=depth).collect();
    let found = layer_integrated_gradients(model, &inputs, &[target], &baseline, &layers, STEPS, &mut (), progress)?;
    let first: Vec<_> = found.into_iter().filter_map(|layer| layer.into_iter().next()).collect();
    let Some((value, baseline)) = first.first().map(|found| (found.value, found.baseline)) else {
        return Ok(None);
    };
    let name = |class: usize| model.labels().get(class).cloned().unwrap_or_else(|| class.to_string());
    let weights = layers.into_iter().zip(&first).map(|(layer, found)| LayerWeights {
        layer,
        weights: found.scores.side(side).to_vec(),
        gap: found.relative_gap(),
    });
    Ok(Some(Prediction {
        sentence,
        class: name(class),
        probability: 1.0 / total,
        against: if each { String::new() } else { name(against) },
        value,
        baseline,
        layers: weights.collect(),
    }))
}

fn first_row(logits: &candle::Tensor) -> candle::Result<Vec<f32>> {
    logits.get(0)?.to_vec1()
}
