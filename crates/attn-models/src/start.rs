//! Passes that start at a layer: the states below it are those of an earlier pass over the same inputs.

use std::collections::BTreeMap;

use attn_core::{Attention, ModelInfo, Side};
use candle_core::Tensor;

use crate::{Error, Point, Result, Site, record::Recorder};

/// Where a pass starts, for [`Model::forward_from`](crate::Model::forward_from): the states of an earlier pass over the same
/// inputs, so that what lies below a change need not run again.
///
/// ```
/// use attn_core::Attention;
/// use attn_models::{
///     Gradients, Inputs, Model, Point, Weights, intervene::{Edit, Heads, Interventions}, record::Recorder, start::Start,
/// };
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 3, "n_head": 2}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let inputs = Inputs::from_ids(&[vec![5, 6, 7]], 0)?;
/// let mut run = Recorder::of(&[Point::Hidden]);
/// model.forward(&inputs, &mut run)?;
///
/// // Layers 0 and 1 are not run again.
/// let start = Start::below(model.info(), Attention::DecoderSelf, 2, &run)?;
/// let off = Edit::HeadMask { heads: Heads::new(Attention::DecoderSelf, 2, 1), factor: 0.0 };
/// let mut tap = Interventions::new(model.info(), [off.into()])?;
/// let fast = model.forward_from(&inputs, &start, &mut tap)?.last_hidden;
/// let slow = model.forward(&inputs, &mut tap)?.last_hidden;
/// assert_eq!(fast.to_vec3::<f32>()?, slow.to_vec3::<f32>()?);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Start {
    /// Per stack the layer that runs first, and the residual stream before it.
    states: BTreeMap<Side, (usize, Tensor)>,
    /// The residual stream before the layers that do not run, where it is known: some heads read the states of all layers.
    below: BTreeMap<(Side, usize), Tensor>,
}

impl Start {
    /// The start for a change inside a layer's attention. Of the stack that asks, the layers below are left out; for a
    /// change in a decoder, the whole encoder too. `run` has recorded [`Point::Hidden`] in a pass over the same inputs.
    ///
    /// # Errors
    /// [`Error::Intervention`] for an attention or a layer that the model does not have, and for a run without the states.
    pub fn below(info: &ModelInfo, attention: Attention, layer: usize, run: &Recorder) -> Result<Self> {
        let wrong = |expected: String, found: String| Error::Intervention {
            place: format!("start of a pass at {attention} of layer {layer}"),
            expected,
            found,
        };
        let layers = |attention| info.attention(attention).map_or(0, |info| info.layers.len());
        if layer >= layers(attention) {
            return Err(wrong(
                format!("a layer below {}", layers(attention)),
                format!("layer {layer}"),
            ));
        }
        let side = attention.query_side();
        let mut wanted = vec![(side, layer)];
        let encoder = layers(Attention::EncoderSelf);
        if side == Side::Decoder && encoder > 0 {
            wanted.push((Side::Encoder, encoder));
        }
        let (mut states, mut below) = (BTreeMap::new(), BTreeMap::new());
        for (side, layer) in wanted {
            let site = Site::hidden(side, layer);
            let state = run.tensors.get(&site);
            let state = state.ok_or_else(|| wrong(format!("a run that has recorded the {site}"), "none".to_owned()))?;
            states.insert(side, (layer, state.detach()));
            let known = |layer| Some(((side, layer), run.tensors.get(&Site::hidden(side, layer))?.detach()));
            below.extend((0..layer).filter_map(known));
        }
        Ok(Self { states, below })
    }

    /// The start of a decoder that reads sources which an earlier pass has encoded, whatever it writes: `encoded` is the last
    /// [`Point::Hidden`] of the encoder, `[1, tokens, hidden]`, of a source that stands `rows` times in the inputs.
    ///
    /// # Errors
    /// [`Error::Candle`] for a state of more than one source.
    pub fn encoded(info: &ModelInfo, encoded: &Tensor, rows: usize) -> Result<Self> {
        let layers = info
            .attention(Attention::EncoderSelf)
            .map_or(0, |info| info.layers.len());
        let (_, tokens, hidden) = encoded.dims3()?;
        let state = encoded.detach().broadcast_as((rows, tokens, hidden))?.contiguous()?;
        Ok(Self {
            states: [(Side::Encoder, (layers, state))].into(),
            below: BTreeMap::new(),
        })
    }

    /// The start at known states: of each stack the layer that runs first, and what comes into it; and what comes into layers,
    /// of which those below it count.
    pub(crate) fn at(states: BTreeMap<Side, (usize, Tensor)>, below: BTreeMap<(Side, usize), Tensor>) -> Self {
        Self { states, below }
    }

    /// The state before a layer that does not run, as it was in the earlier pass; `None` where that is not known.
    pub(crate) fn state_below(&self, side: Side, layer: usize) -> Option<&Tensor> {
        self.below.get(&(side, layer))
    }

    /// Of each stack the layer that runs first.
    pub(crate) fn layers(&self) -> BTreeMap<Side, usize> {
        self.states.iter().map(|(&side, &(first, _))| (side, first)).collect()
    }

    /// Whether a layer lies below the start.
    pub(crate) fn skips(&self, side: Side, layer: usize) -> bool {
        self.states.get(&side).is_some_and(|(first, _)| layer < *first)
    }

    /// The tensor a pass goes on with at a site: the state where it starts.
    pub(crate) fn enter(&self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let known = self.states.get(&site.side());
        match known.filter(|(first, _)| site.point == Point::Hidden && site.layer == *first) {
            Some((_, state)) if state.dims() == tensor.dims() => Ok(state.clone()),
            Some((_, state)) => Err(Error::Tap {
                site: site.to_string(),
                expected: tensor.dims().to_vec(),
                found: state.dims().to_vec(),
            }),
            None => Ok(tensor),
        }
    }
}
