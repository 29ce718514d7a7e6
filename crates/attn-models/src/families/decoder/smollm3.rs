//! SmolLM3: Llama's network in which some layers, every fourth, are told no positions (Yang et al. 2025,
//! <https://arxiv.org/abs/2501.18795>).
//!
//! Bakouch et al. 2025, "SmolLM3: smol, multilingual, long-context reasoner".
//!
//! | checkpoint | architecture |
//! |---|---|
//! | HuggingFaceTB/SmolLM3-3B, SmolLM3-3B-Base | `SmolLM3ForCausalLM` |
//! | fine-tuned classifiers | `SmolLM3ForSequenceClassification` |
//! | bare models | `SmolLM3Model` |

use attn_core::model::Mask;

use super::{
    Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words,
    plan::Plan,
    windows::{by_layer, window},
};
use crate::{
    Result, Weights,
    blocks::{Activation, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 2048),
    ("num_attention_heads", 16),
    ("num_key_value_heads", 4),
    ("vocab_size", 128_256),
    ("max_position_embeddings", 32768),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    let plan = Plan::read(config, weights, 36)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let bias = config.flag_or("attention_bias", false)?;
    let mlp_bias = config.flag_or("mlp_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = plan.rotary(RotaryOptions {
        theta: ("rope_theta", 2e6),
        ..RotaryOptions::default()
    })?;
    let rotated = rotated_layers(config, plan.count)?;
    let window = match config.flag_or("use_sliding_window", false)? {
        true => window(config, None)?,
        false => Mask::Causal,
    };
    let masks = by_layer(config, plan.count, window, |layer| !rotated[layer])?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str| Norm::rms(&weights.at(name), plan.hidden, epsilon);
        Ok(Layer {
            mask: masks[layer],
            rotation: rotated[layer].then_some(0),
            attention_norms: Norms::before(norm("input_layernorm")?),
            attention: plan.attention(layer, weights, "o_proj", (bias, bias))?,
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm")?),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, mlp_bias)?.into(),
        })
    })?;
    let parts = Parts {
        family: "smollm3",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}

/// Whether each layer is told positions: its number in `no_rope_layers` is not 0, or without that list it is not one of
/// every `no_rope_layer_interval`.
fn rotated_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    let Some(list) = config.get("no_rope_layers") else {
        let interval = config.size_or("no_rope_layer_interval", 4)?;
        return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    let numbers = list.as_array().filter(|list| list.len() == layers);
    let rotated = numbers.and_then(|list| list.iter().map(|number| Some(number.as_u64()? != 0)).collect());
    rotated.ok_or_else(|| config.wrong("no_rope_layers", format!("a list of {layers} numbers, 0 or 1")))
}
