//! Gemma: Llama's network with norms that multiply by one plus their weight, scaled words, a tanh GELU as the gate and a
//! head width of its own.
//!
//! Gemma Team 2024, <https://arxiv.org/abs/2403.08295>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/gemma-2b, gemma-7b, gemma-1.1-2b-it, codegemma-2b | `GemmaForCausalLM` |
//! | fine-tuned classifiers | `GemmaForSequenceClassification` |
//! | bare models | `GemmaModel` |

use attn_core::model::Mask;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan};
use crate::{
    Result, Weights,
    blocks::{Activation, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 3072),
    ("num_attention_heads", 16),
    ("num_key_value_heads", 16),
    ("head_dim", 256),
    ("intermediate_size", 24576),
    ("vocab_size", 256_000),
    ("max_position_embeddings", 8192),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    config.refuse_flag("use_bidirectional_attention")?;
    let plan = Plan::read(config, weights, 28)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let bias = config.flag_or("attention_bias", false)?;
    let activation = activation(config)?;
    let rotary = plan.rotary(RotaryOptions::default())?;
    let norm = |weights: &Weights| Norm::rms_about_one(weights, plan.hidden, epsilon);
    let layers = plan.layers(|layer, weights| {
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::before(norm(&weights.at("input_layernorm"))?),
            attention: plan.attention(layer, weights, "o_proj", (bias, bias))?,
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm(&weights.at("post_attention_layernorm"))?),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, false)?.into(),
        })
    })?;
    let parts = Parts {
        family: "gemma",
        words: Words {
            factor: (plan.hidden as f64).sqrt(),
            ..Words::plain(plan.words()?)
        },
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: norm(&plan.root.at("norm"))?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}

/// The gate's activation. The first checkpoints were published with `gelu` as `hidden_act`, which was to be the tanh
/// one they were trained with; those since have `hidden_activation` too, or name the right one.
fn activation(config: &Config) -> Result<Activation> {
    let key = match config.get("hidden_activation") {
        Some(_) => "hidden_activation",
        None => "hidden_act",
    };
    Ok(match Activation::read(config, key, Activation::GeluTanh)? {
        Activation::Gelu if key == "hidden_act" => Activation::GeluTanh,
        activation => activation,
    })
}
