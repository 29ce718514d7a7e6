//! Llama: a causal decoder of text, RMS norms before each sublayer, rotary positions, gated MLP, grouped heads.
//!
//! Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>; grouped heads since <https://arxiv.org/abs/2307.09288>;
//! longer contexts since <https://arxiv.org/abs/2407.21783>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | meta-llama/Llama-2-7b-hf, Meta-Llama-3-8B, Llama-3.2-1B | `LlamaForCausalLM` |
//! | TinyLlama/TinyLlama-1.1B-Chat-v1.0, HuggingFaceTB/SmolLM2-135M | `LlamaForCausalLM` |
//! | fine-tuned classifiers | `LlamaForSequenceClassification` |
//! | bare models | `LlamaModel` |
//!
//! Mistral and Qwen are this network with other options ([`Variant`]); each has a file.

use attn_core::{Attention, Mask};

use super::{CausalHead, Decoder, Layer, Placement, WordMap};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, Rotary, RotaryOptions, ScoreTerms},
    families::{Config, Network},
};

/// What tells the families of this network apart.
pub(super) struct Variant {
    pub(super) family: &'static str,
    /// Sizes where the configuration has none.
    pub(super) defaults: &'static [(&'static str, usize)],
    /// Biases of queries, keys and values, and of the output; `attention_bias` where neither is fixed.
    pub(super) biases: Option<(bool, bool)>,
    /// Whether `mlp_bias` is an option.
    pub(super) mlp_bias: bool,
    /// Whether queries and keys are normed per head.
    pub(super) norms: bool,
    pub(super) windows: Windows,
}

/// Which layers see only the last tokens.
pub(super) enum Windows {
    None,
    /// Every layer, unless `sliding_window` is null.
    All,
    /// Those named in `layer_types`, or from `max_window_layers` on, if `use_sliding_window` is set.
    Upper,
}

const LLAMA: Variant = Variant {
    family: "llama",
    defaults: &[],
    biases: None,
    mlp_bias: true,
    norms: false,
    windows: Windows::None,
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    build_variant(config, name, weights, &LLAMA)
}

impl Windows {
    /// The mask of each layer.
    fn masks(&self, config: &Config, layers: usize) -> Result<Vec<Mask>> {
        let window = |given: bool| -> Result<Mask> {
            Ok(if given && !config.is_null("sliding_window") {
                Mask::Window {
                    width: config.size_or("sliding_window", 4096)?,
                }
            } else {
                Mask::Causal
            })
        };
        match self {
            Self::None => Ok(vec![Mask::Causal; layers]),
            Self::All => Ok(vec![window(true)?; layers]),
            Self::Upper => {
                let window = window(config.flag_or("use_sliding_window", false)?)?;
                let Some(types) = config.get("layer_types") else {
                    // None of the layers has a window where the number is beyond them.
                    let first = match config.get("max_window_layers").and_then(serde_json::Value::as_u64) {
                        Some(0) => 0,
                        _ => config.size_or("max_window_layers", 28)?,
                    };
                    let mask = |layer| if layer < first { Mask::Causal } else { window };
                    return Ok((0..layers).map(mask).collect());
                };
                let types = types.as_array().filter(|types| types.len() == layers);
                let types = types.ok_or_else(|| config.wrong("layer_types", format!("a list of {layers} names")))?;
                let mask = |kind: &serde_json::Value| match kind.as_str() {
                    Some("full_attention") => Ok(Mask::Causal),
                    Some("sliding_attention") if window != Mask::Causal => Ok(window),
                    Some("sliding_attention") => {
                        Err(config.wrong("sliding_window", "a width: `layer_types` has sliding attention"))
                    }
                    _ => Err(config.unsupported("layer_types", "full_attention, sliding_attention")),
                };
                types.iter().map(mask).collect()
            }
        }
    }
}

pub(super) fn build_variant(
    config: &Config,
    name: &str,
    weights: &Weights,
    variant: &Variant,
) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(variant.defaults);
    let root = weights.below("model");
    let hidden = config.size_or("hidden_size", 4096)?;
    let heads = config.size_or("num_attention_heads", 32)?;
    let kv_heads = config.size_or("num_key_value_heads", heads)?;
    config.divide("num_attention_heads", heads, "num_key_value_heads", kv_heads)?;
    let head_dim = match config.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None => config.divide("hidden_size", hidden, "num_attention_heads", heads)?,
    };
    let layers = config.layers_in("num_hidden_layers", 32, &root.at("layers"))?;
    let inner = config.size_or("intermediate_size", 11008)?;
    let vocab_size = config.size_or("vocab_size", 32000)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let (input_bias, output_bias) = match variant.biases {
        Some(biases) => biases,
        None => {
            let bias = config.flag_or("attention_bias", false)?;
            (bias, bias)
        }
    };
    let mlp_bias = variant.mlp_bias && config.flag_or("mlp_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = Rotary::read(config, RotaryOptions::default(), head_dim, max_tokens, weights.device())?;
    let masks = variant.windows.masks(config, layers)?;
    let scale = 1.0 / (head_dim as f64).sqrt();

    let words = Embedding::load(&root.at("embed_tokens"), vocab_size, hidden)?;
    let output = WordMap {
        name: "lm_head",
        tied: false,
    };
    let (head, labels) = CausalHead::load(config, weights, &words, output)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let norm = |name: &str| Norm::rms(&weights.at(name), head_dim, epsilon);
        Ok(Layer {
            mask: masks[layer],
            attention_norm: Norm::rms(&weights.at("input_layernorm"), hidden, epsilon)?,
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape {
                    heads,
                    kv_heads,
                    head_dim,
                },
                scale,
                qkv: Qkv::Separate {
                    query: linear("self_attn.q_proj", hidden, heads * head_dim, input_bias)?,
                    key: linear("self_attn.k_proj", hidden, kv_heads * head_dim, input_bias)?,
                    value: linear("self_attn.v_proj", hidden, kv_heads * head_dim, input_bias)?,
                },
                norms: if variant.norms {
                    Some((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?))
                } else {
                    None
                },
                output: linear("self_attn.o_proj", heads * head_dim, hidden, output_bias)?,
                terms: ScoreTerms::default(),
            },
            mlp_norm: Norm::rms(&weights.at("post_attention_layernorm"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("mlp.up_proj", hidden, inner, mlp_bias)?,
                gate: Some(linear("mlp.gate_proj", hidden, inner, mlp_bias)?),
                down: linear("mlp.down_proj", inner, hidden, mlp_bias)?,
                activation,
            },
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let max_tokens = rotary.max_tokens();
    let placement = Placement::Rotary(rotary);
    Ok(Box::new(Decoder {
        info: Decoder::facts(name, variant.family, max_tokens, &words, &placement, &layers),
        device: weights.device().clone(),
        words,
        placement,
        parallel: false,
        layers,
        final_norm: Norm::rms(&root.at("norm"), hidden, epsilon)?,
        head,
        labels,
    }))
}
