//! Mixtral: Mistral's network with a mixture of experts in each layer.
//!
//! Jiang et al. 2024, <https://arxiv.org/abs/2401.04088>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | mistralai/Mixtral-8x7B-v0.1, Mixtral-8x7B-Instruct-v0.1 | `MixtralForCausalLM` |
//! | fine-tuned classifiers | `MixtralForSequenceClassification` |
//! | bare models | `MixtralModel` |

use attn_core::Side;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan, windows::window};
use crate::{
    Result, Site, Weights,
    blocks::{Activation, Expert, Experts, Linear, Mlp, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("num_key_value_heads", 8),
    ("intermediate_size", 14336),
    ("max_position_embeddings", 131_072),
];

/// The name that an option has in other families.
const NAMES: &[(&str, &str)] = &[("num_experts", "num_local_experts")];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS).with_names(NAMES)?;
    let plan = Plan::read(config, weights, 32)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-5)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let experts = config.size_or("num_local_experts", 8)?;
    let chosen = plan.chosen("num_local_experts", experts, 2)?;
    let rotary = plan.rotary(RotaryOptions {
        theta: ("rope_theta", 1e6),
        ..RotaryOptions::default()
    })?;
    let mask = window(config, None)?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str| Norm::rms(&weights.at(name), plan.hidden, epsilon);
        let weights_of_mlp = weights.at("block_sparse_moe");
        let linear = |name: &str, inputs, outputs| Linear::load(&weights_of_mlp.at(name), inputs, outputs, false);
        let router = linear("gate", plan.hidden, experts)?;
        let expert = |expert: usize| -> Result<Expert> {
            let linear = |map: &str, inputs, outputs| linear(&format!("experts.{expert}.{map}"), inputs, outputs);
            Ok(Mlp {
                up: linear("w3", plan.hidden, plan.inner)?,
                gate: Some(linear("w1", plan.hidden, plan.inner)?),
                down: linear("w2", plan.inner, plan.hidden)?,
                activation,
            }
            .into())
        };
        Ok(Layer {
            mask,
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm")?),
            attention: plan.attention(layer, weights, "o_proj", (false, false))?,
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm")?),
            mlp: Experts {
                site: Site::router(Side::Decoder, layer),
                router,
                experts: (0..experts).map(expert).collect::<Result<_>>()?,
                chosen,
                renormalized: true,
            }
            .into(),
        })
    })?;
    let parts = Parts {
        family: "mixtral",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap::default(),
    };
    Decoder::build(config, name, weights, parts)
}
