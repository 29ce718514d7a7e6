//! What a pass with gradients keeps until its backward pass, estimated before it runs.
//!
//! candle keeps every result that a gradient flows through. Those that grow with the square of the tokens are the scores of
//! every layer and what is made of them; a pass without gradients has them of one layer at a time, in blocks.

use attn_core::{Limits, Side, model::AttentionInfo};
use candle_core::Tensor;

use crate::{
    Inputs, Model, Point, Result, Site, blocks::OFFSET_TENSORS, inputs::batch_size, layout::Layout, model::Hearing,
};

/// Tensors of the size of the scores that a layer makes: products, scaled, with mask and bias, without the largest, their
/// exponentials, and the attention.
const SCORES: usize = 6;

/// Further ones of a layer whose scores are capped: divided, bounded, multiplied.
const CAPPED: usize = 3;

/// Refuses a batch whose attentions cannot all be kept.
///
/// `detached` says that no gradient flows into attention: a layer then leaves nothing but the attention itself.
///
/// # Errors
/// [`attn_core::Error::Memory`].
pub(crate) fn check(model: &Model, inputs: &Inputs, layout: &Layout, detached: bool) -> Result<()> {
    let longest = [Side::Encoder, Side::Decoder].map(|side| tokens(model, inputs, side));
    let (attentions, needed) = cost(model, inputs, layout, detached);
    let what = format_args!(
        "a pass with gradients through {attentions} attentions, {} x {} tokens",
        batch_size(inputs),
        longest[0].max(longest[1])
    );
    Ok(model.limits().check(what, needed)?)
}

/// Bytes that the attentions of a batch take until its backward pass.
pub(crate) fn needed(model: &Model, inputs: &Inputs) -> u64 {
    cost(model, inputs, &model.layout(inputs), false).1
}

/// How many attentions run, and the bytes that they take.
fn cost(model: &Model, inputs: &Inputs, layout: &Layout, detached: bool) -> (usize, u64) {
    let rows = batch_size(inputs);
    let tokens = [Side::Encoder, Side::Decoder].map(|side| tokens(model, inputs, side));
    let of = |side: Side| tokens[usize::from(side == Side::Decoder)];
    let (mut attentions, mut needed) = (0, 0_u64);
    for info in &model.info().attentions {
        let (queries, keys) = (of(info.attention.query_side()), of(info.attention.key_side()));
        let runs = |&layer: &usize| !layout.leaves_out(Site::new(info.attention, layer, Point::Scores));
        for layer in info.attending_layers().filter(runs) {
            let scores = Limits::size(&[rows, info.heads_of(layer), queries, keys], size_of::<f32>());
            let kept = if detached { 1 } else { tensors(info, layer) };
            needed = needed.saturating_add(scores.saturating_mul(kept as u64));
            attentions += 1;
        }
    }
    (attentions, needed)
}

fn tensors(info: &AttentionInfo, layer: usize) -> usize {
    let capped = info.layers.get(layer).is_some_and(|layer| layer.soft_cap.is_some());
    let offsets = info.relative_vectors.is_some();
    SCORES + if capped { CAPPED } else { 0 } + if offsets { OFFSET_TENSORS } else { 0 }
}

/// Tokens of a side; 0 where the inputs do not say. The model refuses those that are wrong.
fn tokens(model: &Model, inputs: &Inputs, side: Side) -> usize {
    let columns = |ids: &Option<Tensor>| ids.as_ref().and_then(|ids| ids.dims().get(1).copied());
    let two = model.info().attention(attn_core::Attention::Cross).is_some();
    if two && side == Side::Decoder {
        return columns(&inputs.decoder_input_ids).unwrap_or(0);
    }
    let image = || match inputs.pixel_values.as_ref()?.dims() {
        &[_, _, height, width] => Some(model.vision()?.at(height, width)?.tokens()),
        _ => None,
    };
    let sound = || match model.hearing()? {
        Hearing::Features { positions, .. } => Some(positions),
        samples @ Hearing::Samples(_) => columns(&inputs.input_values).map(|count| samples.positions(count)),
    };
    columns(&inputs.input_ids).or_else(image).or_else(sound).unwrap_or(0)
}
