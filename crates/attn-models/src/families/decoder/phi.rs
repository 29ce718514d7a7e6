//! Phi-1, Phi-1.5 and Phi-2: a decoder whose attention and MLP read the same normed state; rotary positions on a part
//! of each head, biases everywhere.
//!
//! Gunasekar et al. 2023, <https://arxiv.org/abs/2306.11644>; Li et al. 2023, <https://arxiv.org/abs/2309.05463>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | microsoft/phi-1, phi-1_5, phi-2 | `PhiForCausalLM` |
//! | fine-tuned classifiers | `PhiForSequenceClassification` |
//! | bare models | `PhiModel` |

use attn_core::model::Mask;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan};
use crate::{
    Result, Weights,
    blocks::{Activation, HeadNorms, MultiHead, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 2048),
    ("intermediate_size", 8192),
    ("vocab_size", 51200),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    let plan = Plan::read(config, weights, 24)?;
    let epsilon = config.positive_or("layer_norm_eps", 1e-5)?;
    let activation = Activation::read(config, "hidden_act", Activation::GeluTanh)?;
    let head_norms = config.flag_or("qk_layernorm", false)?;
    let rotary = plan.rotary(RotaryOptions {
        share: Some(("partial_rotary_factor", 0.5)),
        ..RotaryOptions::default()
    })?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str, width| Norm::layer(&weights.at(name), width, epsilon);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm", plan.hidden)?),
            attention: MultiHead {
                norms: match head_norms {
                    true => Some(HeadNorms {
                        query: norm("self_attn.q_layernorm", plan.shape.head_dim)?,
                        key: norm("self_attn.k_layernorm", plan.shape.head_dim)?,
                        joint: false,
                    }),
                    false => None,
                },
                ..plan.attention(layer, weights, "dense", (true, true))?
            },
            reads: Reads::Normed,
            mlp_norms: Norms::default(),
            mlp: plan.plain(&weights.at("mlp"), ("fc1", "fc2"), activation, true)?.into(),
        })
    })?;
    let parts = Parts {
        family: "phi",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::layer(&plan.root.at("final_layernorm"), plan.hidden, epsilon)?,
        map: WordMap {
            bias: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
