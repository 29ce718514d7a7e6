//! Phi-3, Phi-3.5 and Phi-4: Llama's network with one map for queries, keys and values, one for the gate and what it
//! gates, and a window if the configuration has one.
//!
//! Abdin et al. 2024, <https://arxiv.org/abs/2404.14219>; Phi-4: <https://arxiv.org/abs/2412.08905>, mini:
//! <https://arxiv.org/abs/2503.01743>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | microsoft/Phi-3-mini-4k-instruct, Phi-3.5-mini-instruct, phi-4, Phi-4-mini-instruct | `Phi3ForCausalLM` |
//! | fine-tuned classifiers | `Phi3ForSequenceClassification` |
//! | bare models | `Phi3Model` |

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan, windows::window};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Mlp, Norm, Qkv, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 3072),
    ("intermediate_size", 8192),
    ("vocab_size", 32064),
    ("max_position_embeddings", 4096),
    ("original_max_position_embeddings", 4096),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    let plan = Plan::read(config, weights, 32)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-5)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = plan.rotary(RotaryOptions {
        share: Some(("partial_rotary_factor", 1.0)),
        ..RotaryOptions::default()
    })?;
    let mask = window(config, None)?;
    let (hidden, shape) = (plan.hidden, plan.shape);
    let wide = shape.heads * shape.head_dim;
    let all = wide + 2 * shape.kv_heads * shape.head_dim;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str| Norm::rms(&weights.at(name), hidden, epsilon);
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, false);
        let qkv = Qkv::Joint(linear("self_attn.qkv_proj", hidden, all)?);
        let (gate, up) = Linear::load_pair(&weights.at("mlp.gate_up_proj"), hidden, plan.inner, false)?;
        Ok(Layer {
            mask,
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm")?),
            attention: plan.heads(layer, qkv, linear("self_attn.o_proj", wide, hidden)?),
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm")?),
            mlp: Mlp {
                up,
                gate: Some(gate),
                down: linear("mlp.down_proj", plan.inner, hidden)?,
                activation,
            }
            .into(),
        })
    })?;
    let parts = Parts {
        family: "phi3",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), hidden, epsilon)?,
        map: WordMap::default(),
    };
    Decoder::build(config, name, weights, parts)
}
