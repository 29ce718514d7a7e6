//! Gemma 2: Gemma with norms around each sublayer, soft caps on scores and logits, and a window in every second layer.
//!
//! Gemma Team 2024, <https://arxiv.org/abs/2408.00118>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/gemma-2-2b, gemma-2-9b-it, gemma-2-27b | `Gemma2ForCausalLM` |
//! | fine-tuned classifiers | `Gemma2ForSequenceClassification` |
//! | bare models | `Gemma2Model` |

use attn_core::model::Mask;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan, windows::by_layer};
use crate::{
    Result, Weights,
    blocks::{Activation, MultiHead, Norm, RotaryOptions, ScoreTerms},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 2304),
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("intermediate_size", 9216),
    ("vocab_size", 256_000),
    ("max_position_embeddings", 8192),
    ("sliding_window", 4096),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    config.refuse_flag("use_bidirectional_attention")?;
    let plan = Plan::read(config, weights, 26)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let bias = config.flag_or("attention_bias", false)?;
    let activation = Activation::read(config, "hidden_activation", Activation::GeluTanh)?;
    let scale = 1.0 / config.positive_or("query_pre_attn_scalar", 256.0)?.sqrt();
    let soft_cap = cap(config, "attn_logit_softcapping", 50.0)?;
    let rotary = plan.rotary(RotaryOptions::default())?;
    let window = Mask::Window {
        width: config.size("sliding_window")?,
    };
    let masks = by_layer(config, plan.count, window, |layer| layer.is_multiple_of(2))?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str| Norm::rms_about_one(&weights.at(name), plan.hidden, epsilon);
        Ok(Layer {
            mask: masks[layer],
            rotation: Some(0),
            attention_norms: Norms::around(norm("input_layernorm")?, norm("post_attention_layernorm")?),
            attention: MultiHead {
                scale,
                terms: ScoreTerms {
                    soft_cap,
                    ..ScoreTerms::default()
                },
                ..plan.attention(layer, weights, "o_proj", (bias, bias))?
            },
            reads: Reads::Attended,
            mlp_norms: Norms::around(norm("pre_feedforward_layernorm")?, norm("post_feedforward_layernorm")?),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, false)?.into(),
        })
    })?;
    let parts = Parts {
        family: "gemma2",
        words: Words {
            factor: (plan.hidden as f64).sqrt(),
            ..Words::plain(plan.words()?)
        },
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms_about_one(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap {
            tied: true,
            cap: cap(config, "final_logit_softcapping", 30.0)?,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}

/// A cap; null is none.
fn cap(config: &Config, key: &str, default: f64) -> Result<Option<f64>> {
    match config.is_null(key) {
        true => Ok(None),
        false => config.positive_or(key, default).map(Some),
    }
}
