//! What the towers of models of images and captions have in common: their layers, and the network of the towers of text.
//!
//! A checkpoint of both towers is opened as its vision model; [`Towers`](crate::towers::Towers) opens both.

use attn_core::{
    Attention, ModelInfo, Side,
    model::{Mask, Positions},
};
use candle_core::{Device, Tensor};

use super::{Config, Network};
use crate::{
    Inputs, Result, Site, Weights,
    blocks::{
        Activation, Bias, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Pass, Qkv, Rotation, ScoreTerms,
        additive_mask,
    },
    inputs::Tokens,
    model::Output,
};

/// A layer with a norm before each sublayer.
pub(super) struct Layer {
    pub(super) attention_norm: Norm,
    pub(super) attention: MultiHead,
    pub(super) mlp_norm: Norm,
    pub(super) mlp: Mlp,
}

/// The widths of a layer of CLIP or SigLIP.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) epsilon: f64,
    pub(super) activation: Activation,
}

impl Layer {
    /// A layer under the names of CLIP and SigLIP, whose towers of text and images are alike.
    pub(super) fn load_tower(weights: &Weights, attention: Attention, layer: usize, widths: &Widths) -> Result<Self> {
        let Widths {
            hidden,
            heads,
            inner,
            epsilon,
            activation,
        } = *widths;
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
        let head_dim = hidden / heads;
        Ok(Self {
            attention_norm: Norm::layer(&weights.at("layer_norm1"), hidden, epsilon)?,
            attention: MultiHead {
                attention,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::Separate {
                    query: linear("self_attn.q_proj", hidden, hidden)?,
                    key: linear("self_attn.k_proj", hidden, hidden)?,
                    value: linear("self_attn.v_proj", hidden, hidden)?,
                },
                norms: None,
                output: linear("self_attn.out_proj", hidden, hidden)?,
                terms: ScoreTerms::default(),
            },
            mlp_norm: Norm::layer(&weights.at("layer_norm2"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("mlp.fc1", hidden, inner)?,
                gate: None,
                down: linear("mlp.fc2", inner, hidden)?,
                activation,
            },
        })
    }

    /// `[batch, tokens, hidden]` to the same shape.
    pub(super) fn forward(
        &self,
        x: Tensor,
        bias: Option<&Bias>,
        rotation: Option<&Rotation>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let (side, layer) = (self.attention.attention.query_side(), self.attention.layer);
        let x = pass.tap(Site::hidden(side, layer), x)?;
        let normed = self.attention_norm.forward(&x, pass)?;
        let x = (self.attention.forward(&normed, &normed, bias, rotation, pass)? + x)?;
        let inner = self.mlp.forward(&self.mlp_norm.forward(&x, pass)?, pass)?;
        Ok((pass.tap(Site::mlp(side, layer), inner)? + x)?)
    }
}

/// What tells the towers of text apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    pub(super) family: &'static str,
    pub(super) attention: Attention,
    pub(super) mask: Mask,
    pub(super) epsilon: f64,
    pub(super) activation: Activation,
    /// Sizes that the configuration may leave out.
    pub(super) defaults: &'static [(&'static str, usize)],
}

/// A tower of text.
pub(super) struct TextTower {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    positions: Embedding,
    mask: Mask,
    layers: Vec<Layer>,
    final_norm: Norm,
    read: ReadToken,
    /// From the token that is read to the space where texts and images are compared.
    map: Option<Linear>,
}

/// The token whose state stands for the text.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadToken {
    /// The last one, padding or not.
    Last,
    /// The first of those with the highest id.
    Highest,
    /// The first with this id; the first of all where there is none.
    First(u32),
}

impl ReadToken {
    fn place(self, ids: &[u32]) -> usize {
        let first = |wanted: Option<u32>| ids.iter().position(|id| Some(*id) == wanted).unwrap_or(0);
        match self {
            Self::Last => ids.len().saturating_sub(1),
            Self::Highest => first(ids.iter().max().copied()),
            Self::First(id) => first(Some(id)),
        }
    }
}

impl TextTower {
    /// Reads a tower whose tensors lie below `text_model`; `map` is what the state that is read goes through.
    pub(super) fn build(
        config: &Config,
        name: &str,
        weights: &Weights,
        variant: &Variant,
        read: ReadToken,
        map: impl FnOnce(&Weights, usize) -> Result<Option<Linear>>,
    ) -> Result<Box<dyn Network>> {
        let config = &config.with_defaults(variant.defaults);
        let root = weights.below("text_model");
        let hidden = config.size_or("hidden_size", 768)?;
        let heads = config.size_or("num_attention_heads", 12)?;
        config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
        let widths = Widths {
            hidden,
            heads,
            inner: config.size_or("intermediate_size", 3072)?,
            epsilon: config.positive_or("layer_norm_eps", variant.epsilon)?,
            activation: Activation::read(config, "hidden_act", variant.activation)?,
        };
        let vocab_size = config.size_or("vocab_size", 32000)?;
        let max_tokens = config.size_or("max_position_embeddings", 64)?;
        let layer = |layer: usize| {
            let weights = root.at(format_args!("encoder.layers.{layer}"));
            Layer::load_tower(&weights, variant.attention, layer, &widths)
        };
        let count = config.layers_in("num_hidden_layers", 12, &root.at("encoder.layers"))?;
        let layers = (0..count).map(layer).collect::<Result<Vec<_>>>()?;
        let attention = MultiHead::info(layers.iter().map(|layer| (&layer.attention, variant.mask)));
        let embeddings = root.at("embeddings");
        let table = |name: &str, entries| Embedding::load(&embeddings.at(name), entries, hidden);
        Ok(Box::new(Self {
            info: ModelInfo {
                name: name.to_owned(),
                family: variant.family.to_owned(),
                hidden_size: hidden,
                vocab_size: Some(vocab_size),
                max_tokens: Some(max_tokens),
                positions: Positions::Learned,
                attentions: attention.into_iter().collect(),
            },
            device: weights.device().clone(),
            words: table("token_embedding", vocab_size)?,
            positions: table("position_embedding", max_tokens)?,
            mask: variant.mask,
            layers,
            final_norm: Norm::layer(&root.at("final_layer_norm"), hidden, widths.epsilon)?,
            read,
            map: map(&root, hidden)?,
        }))
    }

    fn side(&self) -> Side {
        let layer = self.layers.first();
        layer.map_or(Side::Encoder, |layer| layer.attention.attention.query_side())
    }

    /// One vector per text, from the normed last layer `[batch, tokens, hidden]`.
    fn pool(&self, x: &Tensor, tokens: &Tokens, pass: &Pass<'_>) -> Result<Tensor> {
        let rows = tokens.ids.to_vec2::<u32>()?.into_iter().enumerate();
        // Rows of the flattened batch; ids fit u32, so that rows of a batch that fits memory do.
        let places = rows.map(|(row, ids)| u32::try_from(row * ids.len() + self.read.place(&ids)).unwrap_or(u32::MAX));
        let places = Tensor::from_iter(places.collect::<Vec<_>>(), x.device())?;
        let read = x.flatten(0, 1)?.index_select(&places, 0)?;
        match &self.map {
            Some(map) => map.forward(&read, pass),
            None => Ok(read),
        }
    }
}

impl Network for TextTower {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask", "position_ids"])?;
        let side = self.side();
        let tokens = inputs.tokens(self.words.size().0, self.info.max_tokens, &self.device)?;
        let positions = inputs.positions(&tokens, self.info.max_tokens)?;
        let count = tokens.tokens;
        let mask = additive_mask(self.mask, tokens.padding.as_ref(), count, count, &self.device)?;
        let words = pass.tap(Site::embedding(side), self.words.forward(&tokens.ids)?)?;
        let vectors = self.positions.forward(&Tensor::new(positions, &self.device)?)?;
        let mut x = words.broadcast_add(&pass.tap(Site::positions(side), vectors)?)?;
        for (index, layer) in self.layers.iter().enumerate() {
            if pass.skips(side, index) {
                continue;
            }
            x = layer.forward(x, mask.as_ref(), None, pass)?;
        }
        // The reference reports the last hidden state before the final norm.
        let x = pass.tap(Site::hidden(side, self.layers.len()), x)?;
        let x = self.final_norm.forward(&x, pass)?;
        Ok(Output {
            logits: None,
            pooled: Some(self.pool(&x, &tokens, pass)?),
            last_hidden: x,
        })
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer)?;
        Some(&block.attention).filter(|block| block.attention == attention)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_that_is_read() {
        let ids = [5, 9, 2, 9, 0];
        assert_eq!(ReadToken::Last.place(&ids), 4);
        assert_eq!(ReadToken::Highest.place(&ids), 1);
        assert_eq!(ReadToken::First(2).place(&ids), 2);
        assert_eq!(ReadToken::First(7).place(&ids), 0);
        assert_eq!(ReadToken::Last.place(&[]), 0);
    }
}
