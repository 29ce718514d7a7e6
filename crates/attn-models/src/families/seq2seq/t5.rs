//! T5: an encoder-decoder of text, RMS norms before each sublayer, a bias by relative offset instead of positions.
//!
//! Raffel et al. 2020, <https://arxiv.org/abs/1910.10683>; gated MLPs and untied logits since v1.1 (Shazeer 2020),
//! which Flan-T5 (Chung et al. 2022) and [mT5](super::mt5) share.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google-t5/t5-small, t5-base, t5-large | `T5ForConditionalGeneration` |
//! | google/t5-v1_1-small, google/flan-t5-small and siblings | `T5ForConditionalGeneration`, gated |
//! | bare models | `T5Model` |

use attn_core::{Attention, Side, model::Positions};

use super::{EncoderDecoder, Entry, Head, Layer, Placement, Stack};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, OffsetBias, Qkv, ScoreTerms},
    families::{Config, Network},
};

/// Scores are not scaled: the initialization of the query weights takes its place.
const SCALE: f64 = 1.0;

/// Names that all families have in common, and those of this network.
const NAMES: &[(&str, &str)] = &[
    ("head_dim", "d_kv"),
    ("hidden_size", "d_model"),
    ("num_attention_heads", "num_heads"),
    ("num_hidden_layers", "num_layers"),
];

/// Values of the options that a configuration leaves out.
pub(super) struct Defaults {
    pub(super) family: &'static str,
    pub(super) heads: usize,
    pub(super) layers: usize,
    pub(super) inner: usize,
    pub(super) vocab_size: usize,
    pub(super) feed_forward: &'static str,
    /// Whether the map to words is the table of word embeddings.
    pub(super) tied: bool,
}

const T5: Defaults = Defaults {
    family: "t5",
    heads: 8,
    layers: 6,
    inner: 2048,
    vocab_size: 32_128,
    feed_forward: "relu",
    tied: true,
};

/// The sizes and options both stacks share.
struct Options {
    hidden: usize,
    shape: HeadShape,
    inner: usize,
    activation: Activation,
    gated: bool,
    epsilon: f64,
    buckets: usize,
    max_distance: usize,
}

impl Options {
    fn read(config: &Config, defaults: &Defaults) -> Result<Self> {
        let heads = config.size_or("num_heads", defaults.heads)?;
        let (activation, gated) = feed_forward(config, defaults.feed_forward)?;
        let options = Self {
            hidden: config.size_or("d_model", 512)?,
            shape: HeadShape::full(heads, config.size_or("d_kv", 64)?),
            inner: config.size_or("d_ff", defaults.inner)?,
            activation,
            gated,
            epsilon: config.positive_or("layer_norm_epsilon", 1e-6)?,
            buckets: config.size_or("relative_attention_num_buckets", 32)?,
            max_distance: config.size_or("relative_attention_max_distance", 128)?,
        };
        if options.max_distance <= options.buckets / 2 {
            // Half of a decoder's buckets are exact; the others reach from there to the distance.
            let buckets = options.buckets;
            let least = format!("more than half of `relative_attention_num_buckets` = {buckets}");
            return Err(config.wrong("relative_attention_max_distance", least));
        }
        Ok(options)
    }
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    build_with(config, name, weights, &T5)
}

pub(super) fn build_with(
    config: &Config,
    name: &str,
    weights: &Weights,
    defaults: &Defaults,
) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    let options = Options::read(config, defaults)?;
    let vocab_size = config.size_or("vocab_size", defaults.vocab_size)?;
    let encoder_layers = config.layers_in("num_layers", defaults.layers, &weights.at("encoder.block"))?;
    let decoder_layers = config.layers_in("num_decoder_layers", encoder_layers, &weights.at("decoder.block"))?;
    let words = Embedding::load(&weights.at("shared"), vocab_size, options.hidden)?;
    let head = head(config, weights, &words, &options, defaults)?;
    let encoder = stack(weights, Side::Encoder, &words, encoder_layers, &options)?;
    let decoder = stack(weights, Side::Decoder, &words, decoder_layers, &options)?;
    let stacks = [&encoder, &decoder];
    Ok(Box::new(EncoderDecoder {
        info: EncoderDecoder::facts(name, defaults.family, None, Positions::RelativeBias, stacks),
        device: weights.device().clone(),
        encoder,
        decoder,
        head,
    }))
}

fn head(
    config: &Config,
    weights: &Weights,
    words: &Embedding,
    options: &Options,
    defaults: &Defaults,
) -> Result<Option<Head>> {
    let tied = config.flag_or("tie_word_embeddings", defaults.tied)?;
    // Newer configurations have an option for it; older ones scale where the embeddings are tied.
    let scaled = config.flag_or("scale_decoder_outputs", tied)?;
    let generates = config
        .architecture()
        .is_some_and(|name| name.ends_with("ForConditionalGeneration"));
    if !generates {
        return Ok(None);
    }
    let map = weights.optional("head", || match tied {
        true => Linear::tied(words.tied(), None),
        false => Linear::load(&weights.at("lm_head"), options.hidden, words.size().0, false),
    })?;
    let Some(map) = map else { return Ok(None) };
    let factor = if scaled {
        1.0 / (options.hidden as f64).sqrt()
    } else {
        1.0
    };
    Ok(Some(Head { map, factor }))
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

fn stack(weights: &Weights, side: Side, words: &Embedding, layers: usize, options: &Options) -> Result<Stack> {
    let weights = weights.at(match side {
        Side::Encoder => "encoder",
        Side::Decoder => "decoder",
    });
    let bias = weights
        .at("block.0.layer.0.SelfAttention.relative_attention_bias")
        .get("weight", [options.buckets, options.shape.heads])?;
    let offsets = OffsetBias::table(bias, side == Side::Encoder, options.max_distance)?;
    Ok(Stack {
        side,
        entry: Entry::Words {
            table: words.clone(),
            factor: 1.0,
        },
        placement: Placement::Relative(offsets),
        embedding_norm: None,
        pre_norm: true,
        layers: (0..layers)
            .map(|number| layer(&weights.at(format_args!("block.{number}")), side, number, options))
            .collect::<Result<_>>()?,
        final_norm: Some(Norm::rms(
            &weights.at("final_layer_norm"),
            options.hidden,
            options.epsilon,
        )?),
    })
}

fn layer(weights: &Weights, side: Side, layer: usize, options: &Options) -> Result<Layer> {
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
            qkv: Qkv::Separate {
                query: linear(&format!("{name}.q"), hidden, wide)?,
                key: linear(&format!("{name}.k"), hidden, wide)?,
                value: linear(&format!("{name}.v"), hidden, wide)?,
            },
            norms: None,
            output: linear(&format!("{name}.o"), wide, hidden)?,
            terms: ScoreTerms::default(),
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
    Ok(Layer {
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
