//! Command R: attention and MLP read the same state, normed without a bias; neighboring dimensions rotate together;
//! logits are scaled.
//!
//! Cohere 2024, "Command R: RAG at production scale".
//!
//! | checkpoint | architecture |
//! |---|---|
//! | CohereForAI/c4ai-command-r-v01, aya-23-8B | `CohereForCausalLM` |
//! | bare models | `CohereModel` |
//!
//! `use_qk_norm` (Command R+) is refused: its norms have a weight per head.

use attn_core::model::Mask;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan};
use crate::{
    Result, Weights,
    blocks::{Activation, Norm, Pairs, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 8192),
    ("num_attention_heads", 64),
    ("intermediate_size", 22528),
    ("vocab_size", 256_000),
    ("max_position_embeddings", 8192),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    config.refuse_flag("use_qk_norm")?;
    let plan = Plan::read(config, weights, 40)?;
    let epsilon = config.positive_or("layer_norm_eps", 1e-5)?;
    let bias = config.flag_or("attention_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let factor = config.positive_or("logit_scale", 0.0625)?;
    let rotary = plan.rotary(RotaryOptions {
        pairs: Pairs::Neighbors,
        ..RotaryOptions::default()
    })?;
    let norm = |weights: &Weights| Norm::layer_unbiased(weights, plan.hidden, epsilon);
    let layers = plan.layers(|layer, weights| {
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::before(norm(&weights.at("input_layernorm"))?),
            attention: plan.attention(layer, weights, "o_proj", (bias, bias))?,
            reads: Reads::Normed,
            mlp_norms: Norms::default(),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, false)?.into(),
        })
    })?;
    let parts = Parts {
        family: "cohere",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: norm(&plan.root.at("norm"))?,
        map: WordMap {
            tied: true,
            factor,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
