//! Qwen3 with mixtures of experts: Qwen3's network in which all layers, or some, choose experts for each token.
//!
//! Yang et al. 2025, <https://arxiv.org/abs/2505.09388>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | Qwen/Qwen3-30B-A3B, Qwen3-235B-A22B, Qwen3-Coder-30B-A3B-Instruct | `Qwen3MoeForCausalLM` |
//! | fine-tuned classifiers | `Qwen3MoeForSequenceClassification` |
//! | bare models | `Qwen3MoeModel` |

use attn_core::{Side, model::Mask};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan, windows::window};
use crate::{
    Result, Site, Weights,
    blocks::{Activation, Expert, Experts, FeedForward, HeadNorms, Linear, MultiHead, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 2048),
    ("num_key_value_heads", 4),
    ("intermediate_size", 6144),
    ("vocab_size", 151_936),
    ("max_position_embeddings", 32768),
];

/// The name that an option has in newer files.
const NAMES: &[(&str, &str)] = &[("num_local_experts", "num_experts")];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS).with_names(NAMES)?;
    let plan = Plan::read(config, weights, 24)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let bias = config.flag_or("attention_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let experts = config.size_or("num_experts", 128)?;
    let chosen = plan.chosen("num_experts", experts, 8)?;
    let inner = config.size_or("moe_intermediate_size", 768)?;
    let renormalized = config.flag_or("norm_topk_prob", false)?;
    let mixed = mixed_layers(config)?;
    let rotary = plan.rotary(RotaryOptions::default())?;
    let mask = match config.flag_or("use_sliding_window", false)? {
        true => window(config, Some(4096))?,
        false => Mask::Causal,
    };
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str, width| Norm::rms(&weights.at(name), width, epsilon);
        let of_mlp = weights.at("mlp");
        let expert = |expert: usize| -> Result<Expert> {
            let weights = of_mlp.at(format_args!("experts.{expert}"));
            Ok(plan.gated(&weights, inner, activation, false)?.into())
        };
        Ok(Layer {
            mask,
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm", plan.hidden)?),
            attention: MultiHead {
                norms: Some(HeadNorms {
                    query: norm("self_attn.q_norm", plan.shape.head_dim)?,
                    key: norm("self_attn.k_norm", plan.shape.head_dim)?,
                    joint: false,
                }),
                ..plan.attention(layer, weights, "o_proj", (bias, bias))?
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm", plan.hidden)?),
            mlp: if mixed(layer) {
                FeedForward::Experts(Experts {
                    site: Site::router(Side::Decoder, layer),
                    router: Linear::load(&of_mlp.at("gate"), plan.hidden, experts, false)?,
                    experts: (0..experts).map(expert).collect::<Result<_>>()?,
                    chosen,
                    renormalized,
                })
            } else {
                plan.gated(&of_mlp, plan.inner, activation, false)?.into()
            },
        })
    })?;
    let parts = Parts {
        family: "qwen3_moe",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap::default(),
    };
    Decoder::build(config, name, weights, parts)
}

/// Which layers have experts: every `decoder_sparse_step`-th that `mlp_only_layers` does not name.
fn mixed_layers(config: &Config) -> Result<impl Fn(usize) -> bool> {
    let step = config.size_or("decoder_sparse_step", 1)?;
    let only = match config.get("mlp_only_layers") {
        None => Vec::new(),
        Some(list) => {
            let numbers = list.as_array().map(|list| list.iter().map(serde_json::Value::as_u64));
            let numbers: Option<Vec<u64>> = numbers.and_then(Iterator::collect);
            numbers.ok_or_else(|| config.wrong("mlp_only_layers", "a list of layers"))?
        }
    };
    Ok(move |layer: usize| (layer + 1).is_multiple_of(step) && !only.contains(&(layer as u64)))
}
