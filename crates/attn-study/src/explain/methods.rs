//! The methods, each as one score per token.

use attn_core::{Attention, Progress, Side, ndarray::Array2};
use attn_models::{
    Capturer, Inputs, Point, Site,
    attribute::{Baseline, Target, TokenScores, input_gradients, integrated_gradients, propagate_relevance},
    candle,
    record::Recorder,
};

use super::{Attribution, ExplainParams, ExplainedToken, Method};
use crate::{
    Error,
    pruning::{LabeledExample, is_causal, output_side},
};

pub(super) fn all(
    capturer: &Capturer,
    example: &LabeledExample,
    tokens: &[ExplainedToken],
    target: &Target,
    params: &ExplainParams,
    progress: &dyn Progress,
    notes: &mut Vec<String>,
) -> Result<(f64, Vec<Attribution>), Error> {
    let model = capturer.model();
    let inputs = crate::pruning::inputs_of(capturer, &[example])?;
    let targets = std::slice::from_ref(target);
    let plain = |method, scores| Attribution {
        method,
        scores,
        gap: None,
        beside: None,
        steps: None,
        removal: None,
    };
    let per_token = |scores: Option<&TokenScores>| {
        let scores = scores.cloned().unwrap_or_default();
        let both = scores
            .encoder
            .iter()
            .chain(&scores.decoder)
            .map(|&score| f64::from(score));
        // A class token of an image has no embedding of a patch.
        let mut all: Vec<f64> = both.collect();
        while all.len() < tokens.len() {
            all.insert(0, 0.0);
        }
        all
    };
    let gradients = input_gradients(model, &inputs, targets, &mut ())?;
    let value = gradients.values.first().copied().map_or(0.0, f64::from);
    let mut found = vec![
        plain(Method::Gradient, per_token(gradients.lengths()?.first())),
        plain(Method::InputGradient, per_token(gradients.times_input()?.first())),
    ];
    let baseline = match neutral(capturer) {
        Some(token) if inputs.input_ids.is_some() => Baseline::token(&inputs, token, &kept(example))?,
        _ => Baseline::Zero,
    };
    let mut steps = params.steps.max(1);
    loop {
        let integrated = integrated_gradients(model, &inputs, targets, &baseline, steps, &mut (), progress)?;
        let Some(integrated) = integrated.first() else { break };
        let gap = integrated.relative_gap();
        if gap > params.gap && steps * 2 <= params.most_steps {
            steps *= 2;
            continue;
        }
        if gap > params.gap {
            notes.push(format!(
                "integrated gradients miss {:.1} % of the change after {steps} steps",
                100.0 * gap
            ));
        }
        found.push(Attribution {
            gap: Some(gap),
            steps: Some(steps),
            ..plain(Method::IntegratedGradients, per_token(Some(&integrated.scores)))
        });
        break;
    }
    let relevance = propagate_relevance(model, &inputs, targets, params.epsilon, &mut ())?;
    if let Some(relevance) = relevance.first() {
        let gap = relevance.relative_gap();
        if gap > params.gap {
            notes.push(format!("relevance propagation loses {:.1} % of the value", 100.0 * gap));
        }
        found.push(Attribution {
            gap: Some(gap),
            beside: Some(relevance.bias_share() + relevance.positions.sum() / f64::from(relevance.value)),
            ..plain(Method::Relevance, per_token(Some(&relevance.tokens)))
        });
    }
    let rollout = rollout(capturer, &inputs, target)?;
    if rollout.len() == tokens.len() {
        found.push(plain(Method::Rollout, rollout));
    } else {
        notes.push("no attention rollout: this target is not read from one token".to_owned());
    }
    Ok((value, found))
}

/// A token that says nothing: that of masks, or of padding.
pub(super) fn neutral(capturer: &Capturer) -> Option<u32> {
    let tokenizer = capturer.tokenizer()?;
    [
        "[MASK]",
        "<mask>",
        "[PAD]",
        "<pad>",
        "<|endoftext|>",
        "</s>",
        "[UNK]",
        "<unk>",
    ]
    .iter()
    .find_map(|token| tokenizer.id(token))
}

/// The ids of special tokens of an example, which stay.
fn kept(example: &LabeledExample) -> Vec<u32> {
    let both = example.sequence.encoder.iter().chain(&example.sequence.decoder);
    both.filter(|token| token.special)
        .filter_map(|token| token.id)
        .collect()
}

/// Rollout to the token that the target is read from: what each token gives, the encoder's first. Empty for a target that is not
/// read from one token.
fn rollout(capturer: &Capturer, inputs: &Inputs, target: &Target) -> Result<Vec<f64>, Error> {
    let model = capturer.model();
    let mut run = Recorder::of(&[Point::Attention]);
    model.forward(inputs, &mut run)?;
    let mixing = |attention: Attention, layer: usize| -> Result<Option<Array2<f64>>, Error> {
        let Some(tensor) = run.tensors.get(&Site::new(attention, layer, Point::Attention)) else {
            return Ok(None);
        };
        let mean = tensor
            .get(0)
            .and_then(|own| own.mean(0))
            .and_then(|mean| mean.to_vec2::<f32>());
        let mean = mean.map_err(|error: candle::Error| Error::Models(error.into()))?;
        let columns = mean.first().map_or(0, Vec::len);
        let shape = (mean.len(), columns);
        Ok(Some(Array2::from_shape_fn(shape, |(row, column)| {
            f64::from(mean[row][column])
        })))
    };
    // Half of a state comes from what it was, half from what it reads.
    let mix = |own: Array2<f64>, read: Array2<f64>| 0.5 * own + 0.5 * read;
    let stack = |attention: Attention| -> Result<Option<Array2<f64>>, Error> {
        let mut rolled: Option<Array2<f64>> = None;
        for layer in 0.. {
            let Some(mixing) = mixing(attention, layer)? else { break };
            let before = rolled.unwrap_or_else(|| Array2::eye(mixing.ncols()));
            let read = mixing.dot(&before);
            rolled = Some(mix(before, read));
        }
        Ok(rolled)
    };
    let encoder = stack(Attention::EncoderSelf)?;
    let Some((side, row)) = read_from(capturer, inputs, target) else {
        return Ok(Vec::new());
    };
    let crosses = model.info().attention(Attention::Cross).is_some();
    if side == Side::Encoder {
        return Ok(encoder
            .filter(|rolled| row < rolled.nrows())
            .map_or_else(Vec::new, |rolled| rolled.row(row).to_vec()));
    }
    if !crosses {
        let rolled = stack(Attention::DecoderSelf)?.filter(|rolled| row < rolled.nrows());
        return Ok(rolled.map_or_else(Vec::new, |rolled| rolled.row(row).to_vec()));
    }
    // What the states of the decoder hold of its own tokens, and of the encoder's.
    let Some(encoder) = encoder else { return Ok(Vec::new()) };
    let mut held: Option<(Array2<f64>, Array2<f64>)> = None;
    for layer in 0.. {
        let (Some(own), Some(cross)) = (mixing(Attention::DecoderSelf, layer)?, mixing(Attention::Cross, layer)?)
        else {
            break;
        };
        let tokens = own.nrows();
        let (decoder, source) = held.unwrap_or_else(|| (Array2::eye(tokens), Array2::zeros((tokens, encoder.nrows()))));
        let decoder = mix(decoder.clone(), own.dot(&decoder));
        let source = mix(source.clone(), own.dot(&source));
        held = Some((0.5 * decoder, mix(source, cross.dot(&encoder))));
    }
    Ok(match held.filter(|(decoder, _)| row < decoder.nrows()) {
        Some((decoder, source)) => source.row(row).iter().chain(decoder.row(row)).copied().collect(),
        None => Vec::new(),
    })
}

/// The token whose last state a target is read from.
fn read_from(capturer: &Capturer, inputs: &Inputs, target: &Target) -> Option<(Side, usize)> {
    let model = capturer.model();
    let side = output_side(model);
    match target {
        // Of an encoder the first token, of a decoder the last.
        Target::Class(_) if is_causal(model) => {
            let tokens = inputs.input_ids.as_ref()?.dims().get(1).copied()?;
            Some((side, tokens.checked_sub(1)?))
        }
        Target::Class(_) => Some((side, 0)),
        Target::Token { position, .. } => Some((side, *position)),
        Target::Difference(this, other) => {
            let this = read_from(capturer, inputs, this)?;
            (read_from(capturer, inputs, other)? == this).then_some(this)
        }
        _ => None,
    }
}
