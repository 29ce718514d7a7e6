//! StarCoder2: a decoder of code with layer norms, rotary positions, grouped heads, a plain MLP and a window.
//!
//! Lozhkov et al. 2024, <https://arxiv.org/abs/2402.19173>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | bigcode/starcoder2-3b, starcoder2-7b, starcoder2-15b | `Starcoder2ForCausalLM` |
//! | fine-tuned classifiers | `Starcoder2ForSequenceClassification` |
//! | bare models | `Starcoder2Model` |

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan, windows::window};
use crate::{
    Result, Weights,
    blocks::{Activation, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 3072),
    ("num_attention_heads", 24),
    ("num_key_value_heads", 2),
    ("intermediate_size", 12288),
    ("vocab_size", 49152),
    ("max_position_embeddings", 4096),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    let plan = Plan::read(config, weights, 30)?;
    let epsilon = config.positive_or("norm_epsilon", 1e-5)?;
    let bias = config.flag_or("use_bias", true)?;
    let activation = Activation::read(config, "hidden_act", Activation::GeluTanh)?;
    let rotary = plan.rotary(RotaryOptions::default())?;
    let mask = window(config, None)?;
    let norm = |weights: &Weights| Norm::layer(weights, plan.hidden, epsilon);
    let layers = plan.layers(|layer, weights| {
        Ok(Layer {
            mask,
            rotation: Some(0),
            attention_norms: Norms::before(norm(&weights.at("input_layernorm"))?),
            attention: plan.attention(layer, weights, "o_proj", (bias, bias))?,
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm(&weights.at("post_attention_layernorm"))?),
            mlp: plan
                .plain(&weights.at("mlp"), ("c_fc", "c_proj"), activation, bias)?
                .into(),
        })
    })?;
    let parts = Parts {
        family: "starcoder2",
        words: Words::plain(plan.words()?),
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
