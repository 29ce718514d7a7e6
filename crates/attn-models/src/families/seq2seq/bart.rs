//! BART: an encoder-decoder of text with learned positions, norms after each sublayer and one of the embeddings.
//!
//! Lewis et al. 2020, <https://arxiv.org/abs/1910.13461>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/bart-base, bart-large-cnn, sshleifer/distilbart-cnn-12-6 | `BartForConditionalGeneration` |
//! | bare models | `BartModel` |
//!
//! mBART, Marian, M2M100 and Pegasus are this network with other options ([`Variant`]); each has a file.

use attn_core::{Attention, Side, model::Positions};

use super::{EncoderDecoder, Entry, Head, Layer, Placement, PositionTable, Stack};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, ScoreTerms, Wavelengths, sinusoids},
    families::{Config, Network},
};

/// The epsilon of every norm: these configurations have no option for it.
const EPSILON: f64 = 1e-5;

/// Fixed positions beyond this many numbers (256 MiB) come from a corrupt configuration.
const LARGEST_TABLE: usize = 1 << 26;

/// Names that all families have in common, and those of this network.
const NAMES: &[(&str, &str)] = &[
    ("hidden_size", "d_model"),
    ("num_attention_heads", "encoder_attention_heads"),
];

/// What tells the families of this network apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// The family's name.
    pub(super) family: &'static str,
    /// Norms before each sublayer and one at the end, instead of after each sublayer.
    pub(super) pre_norm: bool,
    /// A norm of the sum of words and positions.
    pub(super) embedding_norm: bool,
    /// Fixed positions; learned ones without.
    pub(super) sinusoids: Option<Wavelengths>,
    /// Row of the table that holds position 0.
    pub(super) first_row: usize,
    /// Positions count real tokens only, and padding has none.
    pub(super) skips_padding: bool,
    /// Whether logits have a bias.
    pub(super) logits_bias: bool,
    /// Whether word embeddings are scaled unless the configuration says otherwise.
    pub(super) scaled: bool,
    /// Whether keys have a bias.
    pub(super) key_bias: bool,
    /// The name of a map to words of its own.
    pub(super) head: &'static str,
}

pub(super) const BART: Variant = Variant {
    family: "bart",
    pre_norm: false,
    embedding_norm: true,
    sinusoids: None,
    first_row: 2,
    skips_padding: false,
    logits_bias: true,
    scaled: false,
    key_bias: true,
    head: "lm_head",
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    build_variant(config, name, weights, &BART)
}

pub(super) fn build_variant(
    config: &Config,
    name: &str,
    weights: &Weights,
    variant: &Variant,
) -> Result<Box<dyn Network>> {
    let config = config.with_names(NAMES)?;
    // Beside `encoder_layers` the reference keeps `num_hidden_layers`, which a pruned model may leave as it was.
    let config = &match config.optional_size("num_hidden_layers")? {
        Some(layers) => config.with_defaults(&[("encoder_layers", layers)]),
        None => config,
    };
    let sizes = Sizes::read(config, variant)?;
    let root = weights.below("model");
    // One table for both stacks, unless the checkpoint keeps one for each.
    let words = |side: &str, rows: usize| {
        let own = root.at(format_args!("{side}.embed_tokens"));
        if !sizes.one_vocabulary || (!sizes.tied && own.stores("weight")) {
            Embedding::load(&own, rows, sizes.hidden)
        } else {
            Embedding::load(&root.at("shared"), rows, sizes.hidden)
        }
    };
    let encoder = StackSizes::read(config, "encoder", &sizes, &root)?;
    let decoder = StackSizes::read(config, "decoder", &sizes, &root)?;
    let entry = |table| Entry::Words {
        table,
        factor: sizes.word_factor,
    };
    let encoder_words = entry(words("encoder", sizes.vocab_size)?);
    let decoder_table = words("decoder", sizes.target_size)?;
    let head = head(config, weights, &decoder_table, &sizes, variant)?;
    let decoder_words = entry(decoder_table);
    let encoder = stack(
        &root.at("encoder"),
        Side::Encoder,
        encoder_words,
        &encoder,
        &sizes,
        variant,
    )?;
    let decoder = stack(
        &root.at("decoder"),
        Side::Decoder,
        decoder_words,
        &decoder,
        &sizes,
        variant,
    )?;
    let positions = match variant.sinusoids {
        Some(_) => Positions::Sinusoidal,
        None => Positions::Learned,
    };
    let max_tokens = Some(sizes.max_tokens);
    Ok(Box::new(EncoderDecoder {
        head,
        info: EncoderDecoder::facts(name, variant.family, max_tokens, positions, [&encoder, &decoder]),
        device: weights.device().clone(),
        encoder,
        decoder,
    }))
}

/// The sizes and options both stacks share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) hidden: usize,
    /// Of the encoder.
    vocab_size: usize,
    /// Of the decoder.
    pub(super) target_size: usize,
    pub(super) max_tokens: usize,
    pub(super) activation: Activation,
    /// Factor on word embeddings.
    pub(super) word_factor: f64,
    tied: bool,
    one_vocabulary: bool,
    padding: u32,
    key_bias: bool,
}

impl Sizes {
    /// The same with tables of positions of another length.
    pub(super) fn of_length(self, max_tokens: usize) -> Self {
        Self { max_tokens, ..self }
    }

    pub(super) fn read(config: &Config, variant: &Variant) -> Result<Self> {
        let hidden = config.size_or("d_model", 1024)?;
        let vocab_size = config.size("vocab_size")?;
        let max_tokens = config.size_or("max_position_embeddings", 1024)?;
        let activation = Activation::read(config, "activation_function", Activation::Gelu)?;
        let scaled = config.flag_or("scale_embedding", variant.scaled)?;
        let tied = config.flag_or("tie_word_embeddings", true)?;
        let one_vocabulary = config.flag_or("share_encoder_decoder_embeddings", true)?;
        let target_size = if one_vocabulary {
            vocab_size
        } else {
            config.size_or("decoder_vocab_size", vocab_size)?
        };
        if variant.sinusoids.is_some() && max_tokens.saturating_mul(hidden) > LARGEST_TABLE {
            let most = LARGEST_TABLE / hidden;
            let expected = format!("at most {most} for `d_model` = {hidden}");
            return Err(config.wrong("max_position_embeddings", expected));
        }
        Ok(Self {
            hidden,
            vocab_size,
            target_size,
            max_tokens,
            activation,
            word_factor: if scaled { (hidden as f64).sqrt() } else { 1.0 },
            tied,
            one_vocabulary,
            padding: match variant.skips_padding {
                true => config.id_or("pad_token_id", 1)?,
                false => config.id("pad_token_id")?.unwrap_or(1),
            },
            key_bias: variant.key_bias,
        })
    }
}

/// The sizes of one stack as the configuration names them.
pub(super) struct StackSizes {
    layers: usize,
    shape: HeadShape,
    inner: usize,
}

impl StackSizes {
    pub(super) fn read(config: &Config, side: &str, sizes: &Sizes, root: &Weights) -> Result<Self> {
        let heads_key = format!("{side}_attention_heads");
        let layers = config.layers_in(&format!("{side}_layers"), 12, &root.at(format_args!("{side}.layers")))?;
        let heads = config.size_or(&heads_key, 16)?;
        let inner = config.size_or(&format!("{side}_ffn_dim"), 4096)?;
        let head_dim = config.divide("d_model", sizes.hidden, &heads_key, heads)?;
        Ok(Self {
            layers,
            shape: HeadShape::full(heads, head_dim),
            inner,
        })
    }
}

pub(super) fn stack(
    weights: &Weights,
    side: Side,
    entry: Entry,
    own: &StackSizes,
    sizes: &Sizes,
    variant: &Variant,
) -> Result<Stack> {
    let norm = |name: &str, wanted: bool| match wanted {
        true => Norm::layer(&weights.at(name), sizes.hidden, EPSILON).map(Some),
        false => Ok(None),
    };
    Ok(Stack {
        side,
        entry,
        placement: Placement::Added(PositionTable {
            table: positions(&weights.at("embed_positions"), sizes, variant)?,
            first_row: variant.first_row,
            skips: variant.skips_padding.then_some(sizes.padding),
        }),
        embedding_norm: norm("layernorm_embedding", variant.embedding_norm)?,
        pre_norm: variant.pre_norm,
        layers: (0..own.layers)
            .map(|number| layer(&weights.at(format_args!("layers.{number}")), side, number, own, sizes))
            .collect::<Result<_>>()?,
        final_norm: norm("layer_norm", variant.pre_norm)?,
    })
}

fn positions(weights: &Weights, sizes: &Sizes, variant: &Variant) -> Result<Embedding> {
    let rows = sizes.max_tokens + variant.first_row;
    match variant.sinusoids {
        // Some converted checkpoints bring a table of their own instead of the family's.
        Some(wavelengths) if !weights.stores("weight") => {
            let table = sinusoids(wavelengths, rows, sizes.hidden, weights.device())?;
            Ok(Embedding::from_table(table))
        }
        _ => Embedding::load(weights, rows, sizes.hidden),
    }
}

fn layer(weights: &Weights, side: Side, layer: usize, own: &StackSizes, sizes: &Sizes) -> Result<Layer> {
    let hidden = sizes.hidden;
    let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
    let norm = |name: &str| Norm::layer(&weights.at(name), hidden, EPSILON);
    let attention = |attention: Attention, name: &str| -> Result<MultiHead> {
        let map = |part: &str, bias| Linear::load(&weights.at(format_args!("{name}.{part}")), hidden, hidden, bias);
        Ok(MultiHead {
            attention,
            layer,
            shape: own.shape,
            scale: 1.0 / (own.shape.head_dim as f64).sqrt(),
            qkv: Qkv::Separate {
                query: map("q_proj", true)?,
                key: map("k_proj", sizes.key_bias)?,
                value: map("v_proj", true)?,
            },
            norms: None,
            output: map("out_proj", true)?,
            terms: ScoreTerms::default(),
        })
    };
    let (self_attention, cross) = match side {
        Side::Encoder => (Attention::EncoderSelf, None),
        Side::Decoder => (
            Attention::DecoderSelf,
            Some((
                attention(Attention::Cross, "encoder_attn")?,
                norm("encoder_attn_layer_norm")?,
            )),
        ),
    };
    Ok(Layer {
        attention: attention(self_attention, "self_attn")?,
        attention_norm: norm("self_attn_layer_norm")?,
        cross,
        mlp: Mlp {
            up: linear("fc1", hidden, own.inner)?,
            gate: None,
            down: linear("fc2", own.inner, hidden)?,
            activation: sizes.activation,
        },
        mlp_norm: norm("final_layer_norm")?,
    })
}

pub(super) fn head(
    config: &Config,
    weights: &Weights,
    words: &Embedding,
    sizes: &Sizes,
    variant: &Variant,
) -> Result<Option<Head>> {
    let generates = config
        .architecture()
        .is_some_and(|name| name.ends_with("ForConditionalGeneration") || name == "MarianMTModel");
    if !generates {
        return Ok(None);
    }
    let map = weights.optional("head", || match sizes.tied {
        true => Linear::tied(words.tied(), None),
        false => Linear::load(&weights.at(variant.head), sizes.hidden, sizes.target_size, false),
    })?;
    let Some(map) = map else { return Ok(None) };
    let bias = if variant.logits_bias && weights.has("final_logits_bias") {
        Some(weights.get("final_logits_bias", [1, sizes.target_size])?.squeeze(0)?)
    } else {
        None
    };
    Ok(Some(Head {
        map: map.biased(bias),
        factor: 1.0,
    }))
}
