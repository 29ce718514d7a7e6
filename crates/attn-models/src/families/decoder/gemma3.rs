//! Gemma 3, its text models: Gemma with norms around each sublayer, norms of queries and keys, and mostly local layers
//! whose rotation has a base of its own.
//!
//! Gemma Team 2025, <https://arxiv.org/abs/2503.19786>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/gemma-3-270m, gemma-3-1b-pt, gemma-3-1b-it | `Gemma3ForCausalLM` |
//! | fine-tuned classifiers | `Gemma3TextForSequenceClassification` |
//! | bare models | `Gemma3TextModel` |

use attn_core::model::Mask;

use super::{
    Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words,
    plan::Plan,
    windows::{FULL, SLIDING, by_layer},
};
use crate::{
    Result, Weights,
    blocks::{Activation, HeadNorms, MultiHead, Norm, RotaryLayers, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 2304),
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("intermediate_size", 9216),
    ("vocab_size", 262_208),
    ("max_position_embeddings", 131_072),
    ("sliding_window", 4096),
];

/// The name that an option has in newer files.
const NAMES: &[(&str, &str)] = &[("_sliding_window_pattern", "sliding_window_pattern")];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS).with_names(NAMES)?;
    config.refuse_flag("use_bidirectional_attention")?;
    if config.get("attn_logit_softcapping").is_some() {
        return Err(config.unsupported("attn_logit_softcapping", "null"));
    }
    let plan = Plan::read(config, weights, 26)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let bias = config.flag_or("attention_bias", false)?;
    let activation = Activation::read(config, "hidden_activation", Activation::GeluTanh)?;
    let scale = 1.0 / config.positive_or("query_pre_attn_scalar", 256.0)?.sqrt();
    let cap = match config.get("final_logit_softcapping") {
        Some(_) => Some(config.positive_or("final_logit_softcapping", 1.0)?),
        None => None,
    };
    // Full layers and the others, in the order of `rotation` below.
    let rotations = [
        ("rope_theta", 1e6, FULL, true),
        ("rope_local_base_freq", 1e4, SLIDING, false),
    ];
    let rotations = rotations.map(|(key, theta, name, main)| {
        plan.rotary(RotaryOptions {
            theta: (key, theta),
            layers: RotaryLayers::Kind { name, main },
            ..RotaryOptions::default()
        })
    });
    let rotations = rotations.into_iter().collect::<Result<Vec<_>>>()?;
    let pattern = config.size_or("sliding_window_pattern", 6)?;
    let window = Mask::Window {
        width: config.size("sliding_window")?,
    };
    let masks = by_layer(config, plan.count, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str, width| Norm::rms_about_one(&weights.at(name), width, epsilon);
        let (wide, narrow) = (|name| norm(name, plan.hidden), |name| norm(name, plan.shape.head_dim));
        Ok(Layer {
            mask: masks[layer],
            rotation: Some(usize::from(masks[layer] != Mask::Causal)),
            attention_norms: Norms::around(wide("input_layernorm")?, wide("post_attention_layernorm")?),
            attention: MultiHead {
                scale,
                norms: Some(HeadNorms {
                    query: narrow("self_attn.q_norm")?,
                    key: narrow("self_attn.k_norm")?,
                    joint: false,
                }),
                ..plan.attention(layer, weights, "o_proj", (bias, bias))?
            },
            reads: Reads::Attended,
            mlp_norms: Norms::around(wide("pre_feedforward_layernorm")?, wide("post_feedforward_layernorm")?),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, false)?.into(),
        })
    })?;
    let parts = Parts {
        family: "gemma3_text",
        words: Words {
            factor: (plan.hidden as f64).sqrt(),
            ..Words::plain(plan.words()?)
        },
        placement: Placement::Rotary(rotations),
        layers,
        final_norm: Norm::rms_about_one(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap {
            tied: true,
            cap,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
