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
//! Mistral, Qwen2 and Qwen3 are this network with other options ([`Variant`]); each has a file.

use attn_core::model::Mask;
use serde_json::Value;

use super::{
    Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words,
    plan::Plan,
    windows::{by_layer, window},
};
use crate::{
    Result, Weights,
    blocks::{Activation, HeadNorms, MultiHead, Norm, RotaryOptions},
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

/// The width of a window that the configuration leaves out.
const WIDTH: usize = 4096;

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    build_variant(config, name, weights, &LLAMA)
}

impl Windows {
    /// The mask of each layer.
    fn masks(&self, config: &Config, layers: usize) -> Result<Vec<Mask>> {
        match self {
            Self::None => Ok(vec![Mask::Causal; layers]),
            Self::All => Ok(vec![window(config, Some(WIDTH))?; layers]),
            Self::Upper => {
                let window = match config.flag_or("use_sliding_window", false)? {
                    true => window(config, Some(WIDTH))?,
                    false => Mask::Causal,
                };
                // None of the layers has a window where the number is beyond them.
                let first = match config.get("max_window_layers").and_then(Value::as_u64) {
                    Some(0) => 0,
                    _ => config.size_or("max_window_layers", 28)?,
                };
                by_layer(config, layers, window, |layer| layer >= first)
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
    let plan = Plan::read(config, weights, 32)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let biases = match variant.biases {
        Some(biases) => biases,
        None => {
            let bias = config.flag_or("attention_bias", false)?;
            (bias, bias)
        }
    };
    let mlp_bias = variant.mlp_bias && config.flag_or("mlp_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = plan.rotary(RotaryOptions::default())?;
    let masks = variant.windows.masks(config, plan.count)?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str, width| Norm::rms(&weights.at(name), width, epsilon);
        let head_norm = |name: &str| norm(name, plan.shape.head_dim);
        Ok(Layer {
            mask: masks[layer],
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm", plan.hidden)?),
            attention: MultiHead {
                norms: match variant.norms {
                    true => Some(HeadNorms {
                        query: head_norm("self_attn.q_norm")?,
                        key: head_norm("self_attn.k_norm")?,
                        joint: false,
                    }),
                    false => None,
                },
                ..plan.attention(layer, weights, "o_proj", biases)?
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm", plan.hidden)?),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, mlp_bias)?.into(),
        })
    })?;
    let parts = Parts {
        family: variant.family,
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap::default(),
    };
    Decoder::build(config, name, weights, parts)
}
