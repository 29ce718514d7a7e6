//! T5: an encoder-decoder of text, RMS norms before each sublayer, a bias by relative offset instead of positions.
//!
//! Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>; gated MLPs and untied logits since v1.1 (Shazeer 2020),
//! which mT5 (Xue et al. 2021, <https://arxiv.org/abs/2010.11934>) and Flan-T5 (Chung et al. 2022) share.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google-t5/t5-small, t5-base, t5-large | `T5ForConditionalGeneration` |
//! | google/t5-v1_1-small, google/flan-t5-small and siblings | `T5ForConditionalGeneration`, gated |
//! | google/mt5-small and siblings | `MT5ForConditionalGeneration` |
//! | bare models | `T5Model` |

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions, RelativeBias, Side};
use candle_core::{Device, Tensor};

use super::Network;
use crate::{
    Inputs, Output, Result, Site, Weights,
    blocks::{Activation, Embedding, Linear, Mlp, MultiHead, Norm, Pass, Projection, Shape, additive_mask},
    config::Config,
    inputs::{self, Tokens},
};

/// Scores are not scaled: the initialisation of the query weights takes its place.
const SCALE: f64 = 1.0;

struct T5 {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    encoder: Stack,
    decoder: Stack,
    /// The map to the vocabulary, and the factor on what it reads.
    head: Option<(Linear, f64)>,
}

/// The encoder or the decoder.
struct Stack {
    side: Side,
    layers: Vec<Layer>,
    /// Bias per bucket and head, `[buckets, heads]`, shared by all layers.
    bias: Tensor,
    /// The same as facts, for its buckets.
    buckets: RelativeBias,
    final_norm: Norm,
}

struct Layer {
    attention: MultiHead,
    attention_norm: Norm,
    /// The decoder's attention to the encoder.
    cross: Option<(MultiHead, Norm)>,
    mlp: Mlp,
    mlp_norm: Norm,
}

/// The sizes and options both stacks share.
struct Options {
    hidden: usize,
    shape: Shape,
    inner: usize,
    activation: Activation,
    gated: bool,
    epsilon: f64,
    buckets: usize,
    max_distance: usize,
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let family = config.text("model_type")?.unwrap_or("t5").to_owned();
    let multilingual = family == "mt5";
    let heads = config.size_or("num_heads", if multilingual { 6 } else { 8 })?;
    let (activation, gated) = feed_forward(config, if multilingual { "gated-gelu" } else { "relu" })?;
    let options = Options {
        hidden: config.size_or("d_model", 512)?,
        shape: Shape {
            heads,
            kv_heads: heads,
            head_dim: config.size_or("d_kv", 64)?,
        },
        inner: config.size_or("d_ff", if multilingual { 1024 } else { 2048 })?,
        activation,
        gated,
        epsilon: config.positive_or("layer_norm_epsilon", 1e-6)?,
        buckets: config.size_or("relative_attention_num_buckets", 32)?,
        max_distance: config.size_or("relative_attention_max_distance", 128)?,
    };
    if options.max_distance <= options.buckets / 2 {
        // Half of a decoder's buckets are exact; the others reach from there to the distance.
        let least = format!(
            "more than half of `relative_attention_num_buckets` = {}",
            options.buckets
        );
        return Err(config.wrong("relative_attention_max_distance", least));
    }
    let vocab_size = config.size_or("vocab_size", if multilingual { 250_112 } else { 32_128 })?;
    let encoder_layers = config.size_or("num_layers", if multilingual { 8 } else { 6 })?;
    let decoder_layers = config.size_or("num_decoder_layers", encoder_layers)?;

    let words = Embedding::load(&weights.at("shared"), vocab_size, options.hidden)?;
    let tied = config.flag_or("tie_word_embeddings", !multilingual)?;
    let generates = config
        .architecture()
        .is_some_and(|name| name.ends_with("ForConditionalGeneration"));
    let head = match (generates, tied) {
        (false, _) => None,
        (true, true) => Some(Linear::tied(words.table(), None)?),
        (true, false) => Some(Linear::load(&weights.at("lm_head"), options.hidden, vocab_size, false)?),
    };
    // Newer configurations say it in so many words; older ones scale where the embeddings are tied.
    let shrunk = config.flag_or("scale_decoder_outputs", tied)?;
    let factor = if shrunk {
        1.0 / (options.hidden as f64).sqrt()
    } else {
        1.0
    };
    let encoder = Stack::read(weights, Side::Encoder, encoder_layers, &options)?;
    let decoder = Stack::read(weights, Side::Decoder, decoder_layers, &options)?;

    let attention = |attention, layers, mask, relative_bias| AttentionInfo {
        attention,
        heads,
        kv_heads: heads,
        head_dim: options.shape.head_dim,
        layers: vec![
            LayerAttention {
                scale: SCALE as f32,
                mask
            };
            layers
        ],
        relative_bias,
    };
    Ok(Box::new(T5 {
        info: ModelInfo {
            name: name.to_owned(),
            family,
            hidden_size: options.hidden,
            vocab_size: Some(vocab_size),
            max_tokens: None,
            positions: Positions::RelativeBias,
            attentions: vec![
                attention(
                    Attention::EncoderSelf,
                    encoder_layers,
                    Mask::Full,
                    Some(encoder.buckets.clone()),
                ),
                attention(
                    Attention::DecoderSelf,
                    decoder_layers,
                    Mask::Causal,
                    Some(decoder.buckets.clone()),
                ),
                attention(Attention::Cross, decoder_layers, Mask::Full, None),
            ],
        },
        device: weights.device().clone(),
        words,
        encoder,
        decoder,
        head: head.map(|head| (head, factor)),
    }))
}

/// `feed_forward_proj`: an activation, `gated-` before it where the MLP has a gate.
fn feed_forward(config: &Config, default: &str) -> Result<(Activation, bool)> {
    let text = config.text("feed_forward_proj")?.unwrap_or(default);
    let (gated, name) = match text.strip_prefix("gated-") {
        Some(name) => (true, name),
        None => (false, text),
    };
    let activation = match name {
        "relu" => Activation::Relu,
        // The gated kind was trained with the approximation (Shazeer 2020, in the code of Raffel et al.).
        "gelu" if gated => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        "gelu_new" => Activation::GeluTanh,
        "silu" | "swish" => Activation::Silu,
        _ => {
            return Err(config.unsupported(
                "feed_forward_proj",
                "relu, gelu, gelu_new, silu, with or without `gated-`",
            ));
        }
    };
    Ok((activation, gated))
}

impl Stack {
    fn read(weights: &Weights, side: Side, layers: usize, options: &Options) -> Result<Self> {
        let weights = weights.at(match side {
            Side::Encoder => "encoder",
            Side::Decoder => "decoder",
        });
        let bias = weights
            .at("block.0.layer.0.SelfAttention.relative_attention_bias")
            .get("weight", [options.buckets, options.shape.heads])?;
        let buckets = RelativeBias {
            bidirectional: side == Side::Encoder,
            max_distance: options.max_distance,
            table: bias.t()?.contiguous()?.to_vec2()?,
        };
        Ok(Self {
            side,
            layers: (0..layers)
                .map(|layer| Layer::read(&weights.at(format_args!("block.{layer}")), side, layer, options))
                .collect::<Result<_>>()?,
            bias,
            buckets,
            final_norm: Norm::rms(&weights.at("final_layer_norm"), options.hidden, options.epsilon)?,
        })
    }

    /// What is added to the scores of the queries from number `past` on: `[1, heads, queries, keys]`.
    fn relative_bias(&self, past: usize, keys: usize, device: &Device) -> Result<Tensor> {
        let buckets: Vec<u32> = (past..keys)
            .flat_map(|query| (0..keys).map(move |key| (query, key)))
            .filter_map(|(query, key)| u32::try_from(self.buckets.bucket(query, key)).ok())
            .collect();
        let bias = self.bias.index_select(&Tensor::new(buckets, device)?, 0)?;
        Ok(bias.t()?.reshape((1, (), keys - past, keys))?)
    }
}

impl Layer {
    fn read(weights: &Weights, side: Side, layer: usize, options: &Options) -> Result<Self> {
        let hidden = options.hidden;
        let wide = options.shape.heads * options.shape.head_dim;
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, false);
        let norm = |sublayer: usize| {
            let weights = weights.at(format_args!("layer.{sublayer}.layer_norm"));
            Norm::rms(&weights, hidden, options.epsilon)
        };
        let attention = |attention: Attention, name: &str| -> Result<MultiHead> {
            Ok(MultiHead {
                attention,
                layer,
                shape: options.shape,
                scale: SCALE,
                projection: Projection::Separate {
                    query: linear(&format!("{name}.q"), hidden, wide)?,
                    key: linear(&format!("{name}.k"), hidden, wide)?,
                    value: linear(&format!("{name}.v"), hidden, wide)?,
                },
                norms: None,
                output: linear(&format!("{name}.o"), wide, hidden)?,
            })
        };
        let (own, cross, last) = match side {
            Side::Encoder => (Attention::EncoderSelf, None, 1),
            Side::Decoder => (
                Attention::DecoderSelf,
                Some((attention(Attention::Cross, "layer.1.EncDecAttention")?, norm(1)?)),
                2,
            ),
        };
        let map = |name: &str, inputs, outputs| linear(&format!("layer.{last}.DenseReluDense.{name}"), inputs, outputs);
        let inner = options.inner;
        let (up, gate) = if options.gated {
            (map("wi_1", hidden, inner)?, Some(map("wi_0", hidden, inner)?))
        } else {
            (map("wi", hidden, inner)?, None)
        };
        Ok(Self {
            attention: attention(own, "layer.0.SelfAttention")?,
            attention_norm: norm(0)?,
            cross,
            mlp: Mlp {
                up,
                gate,
                down: map("wo", inner, hidden)?,
                activation: options.activation,
            },
            mlp_norm: norm(last)?,
        })
    }
}

impl Network for T5 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        let (source, target) = inputs::source_and_target(inputs, [&self.words; 2], None, &self.device)?;
        let encoded = pass.encoded(|pass| self.run(&self.encoder, &source, 0, Mask::Full, None, pass))?;
        let past = pass.past();
        let to_source = inputs::source_mask(&source, target.tokens - past, &self.device)?;
        let seen = Some((&encoded, to_source.as_ref()));
        let x = self.run(&self.decoder, &target, past, Mask::Causal, seen, pass)?;
        Ok(Output {
            logits: self.logits(&x, pass)?,
            last_hidden: x,
            pooled: None,
        })
    }

    fn caches(&self) -> bool {
        true
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        // The last state has passed the final norm.
        if layer == self.decoder.layers.len() {
            return self.logits(hidden, pass);
        }
        self.logits(&self.decoder.final_norm.forward(hidden, pass)?, pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let stack = match attention.query_side() {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        };
        let block = stack.layers.get(layer)?;
        match attention {
            Attention::Cross => block.cross.as_ref().map(|(cross, _)| cross),
            Attention::EncoderSelf | Attention::DecoderSelf => Some(&block.attention),
        }
    }
}

impl T5 {
    /// From the decoder's normed last state `[batch, tokens, hidden]`.
    fn logits(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(match &self.head {
            Some((head, factor)) => Some(head.forward(&(x * *factor)?, pass)?),
            None => None,
        })
    }

    /// Runs the tokens of a stack from number `past` on. `source` is what the decoder's cross-attention reads, and the
    /// mask that goes with it.
    fn run(
        &self,
        stack: &Stack,
        tokens: &Tokens,
        past: usize,
        mask: Mask,
        source: Option<(&Tensor, Option<&Tensor>)>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let side = stack.side;
        let (new, all) = (tokens.tokens - past, tokens.tokens);
        let bias = stack.relative_bias(past, all, &self.device)?;
        let bias = pass.tap(Site::positions(side), bias)?;
        let bias = match additive_mask(mask, tokens.padding.as_ref(), new, all, &self.device)? {
            Some(mask) => bias.broadcast_add(&mask)?,
            None => bias,
        };
        let words = self.words.forward(&tokens.ids.narrow(1, past, new)?)?;
        let mut x = pass.tap(Site::embedding(side), words)?;
        for (layer, block) in stack.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(side, layer), x)?;
            let normed = block.attention_norm.forward(&x, pass)?;
            x = (block.attention.forward(&normed, &normed, Some(&bias), None, pass)? + x)?;
            if let (Some((cross, norm)), Some((encoded, to_source))) = (&block.cross, source) {
                let normed = norm.forward(&x, pass)?;
                x = (cross.forward(&normed, encoded, to_source, None, pass)? + x)?;
            }
            let inner = block.mlp.forward(&block.mlp_norm.forward(&x, pass)?, pass)?;
            x = (pass.tap(Site::mlp(side, layer), inner)? + x)?;
        }
        let x = stack.final_norm.forward(&x, pass)?;
        pass.tap(Site::hidden(side, stack.layers.len()), x)
    }
}
