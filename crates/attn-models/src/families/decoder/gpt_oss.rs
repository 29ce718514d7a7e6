//! GPT-OSS: a decoder with a mixture of experts in each layer, a window in every second one, and attention that may go to no
//! key: a logit per head takes part in the softmax (a sink).
//!
//! OpenAI 2025, <https://arxiv.org/abs/2508.10925>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | openai/gpt-oss-20b, gpt-oss-120b, also converted to bf16 | `GptOssForCausalLM` |
//! | fine-tuned classifiers | `GptOssForSequenceClassification` |
//! | bare models | `GptOssModel` |
//!
//! Its experts are published in MXFP4, four bits to a number, and widened as they are read. A GGUF file has them one by one,
//! with the two maps that act by turns apart.

use attn_core::{Side, model::Mask};
use candle_core::Tensor;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan, windows::by_layer};
use crate::{
    Result, Site, Weights,
    blocks::{ClampedMlp, Expert, Experts, Linear, MultiHead, Norm, RotaryOptions, ScoreTerms, Sinks},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[
    ("hidden_size", 2880),
    ("num_attention_heads", 64),
    ("num_key_value_heads", 8),
    ("head_dim", 64),
    ("intermediate_size", 2880),
    ("vocab_size", 201_088),
    ("max_position_embeddings", 131_072),
    ("sliding_window", 128),
];

/// The name that an option has in older files.
const NAMES: &[(&str, &str)] = &[("experts_per_token", "num_experts_per_tok")];

/// The only steepness of the gate there is.
const STEEPNESS: f64 = 1.702;

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS).with_names(NAMES)?;
    if config.number_or("swiglu_alpha", STEEPNESS)? != STEEPNESS {
        return Err(config.unsupported("swiglu_alpha", STEEPNESS.to_string()));
    }
    if config.text("hidden_act")?.is_some_and(|name| name != "silu") {
        return Err(config.unsupported("hidden_act", "silu"));
    }
    // The reference would scale rotary positions by defaults of its own.
    if config.get("rope_scaling").is_none() && config.get("rope_parameters").is_none() {
        return Err(config.wrong("rope_scaling", "an object"));
    }
    let plan = Plan::read(config, weights, 36)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-5)?;
    let bias = config.flag_or("attention_bias", true)?;
    let limit = config.positive_or("swiglu_limit", 7.0)?;
    let experts = config.size_or("num_local_experts", 128)?;
    let chosen = plan.chosen("num_local_experts", experts, 4)?;
    let rotary = plan.rotary(RotaryOptions {
        theta: ("rope_theta", 150_000.0),
        ..RotaryOptions::default()
    })?;
    let window = Mask::Window {
        width: config.size("sliding_window")?,
    };
    let masks = by_layer(config, plan.count, window, |layer| layer.is_multiple_of(2))?;
    let (hidden, inner) = (plan.hidden, plan.inner);
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str| Norm::rms(&weights.at(name), hidden, epsilon);
        let of_experts = weights.at("mlp.experts");
        let loaded = match of_experts.stores("0.gate_proj.weight") {
            true => apart(&of_experts, experts, (hidden, inner), limit)?,
            false => together(&of_experts, experts, (hidden, inner), limit)?,
        };
        Ok(Layer {
            mask: masks[layer],
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm")?),
            attention: MultiHead {
                terms: ScoreTerms {
                    sinks: Some(Sinks::load(&weights.at("self_attn"), "sinks", plan.shape.heads)?),
                    ..ScoreTerms::default()
                },
                ..plan.attention(layer, weights, "o_proj", (bias, bias))?
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm")?),
            mlp: Experts {
                site: Site::router(Side::Decoder, layer),
                router: Linear::load(&weights.at("mlp.router"), hidden, experts, true)?,
                experts: loaded,
                chosen,
                renormalized: true,
            }
            .into(),
        })
    })?;
    let parts = Parts {
        family: "gpt_oss",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), hidden, epsilon)?,
        map: WordMap::default(),
    };
    Decoder::build(config, name, weights, parts)
}

/// The experts of a layer as the hub has them: a tensor for each map of all.
fn together(weights: &Weights, count: usize, (hidden, inner): (usize, usize), limit: f64) -> Result<Vec<Expert>> {
    let up = weights.get_packed("gate_up_proj", [count, hidden, 2 * inner])?;
    let up_bias = weights.get("gate_up_proj_bias", [count, 2 * inner])?;
    let down = weights.get_packed("down_proj", [count, inner, hidden])?;
    let down_bias = weights.get("down_proj_bias", [count, hidden])?;
    let expert = |expert: usize| -> Result<Expert> {
        let of = |tensor: &Tensor| tensor.narrow(0, expert, 1)?.squeeze(0);
        Ok(ClampedMlp {
            up: Linear::from_tensors(of(&up)?, Some(of(&up_bias)?)),
            down: Linear::from_tensors(of(&down)?, Some(of(&down_bias)?)),
            limit,
        }
        .into())
    };
    (0..count).map(expert).collect()
}

/// The same one by one.
fn apart(weights: &Weights, count: usize, (hidden, inner): (usize, usize), limit: f64) -> Result<Vec<Expert>> {
    let expert = |expert: usize| -> Result<Expert> {
        let weights = weights.at(expert);
        let up = weights.get_by_turns(["gate_proj.weight", "up_proj.weight"], &[inner, hidden])?;
        let bias = weights.get_by_turns(["gate_proj.bias", "up_proj.bias"], &[inner])?;
        Ok(ClampedMlp {
            up: Linear::from_tensors(up.t()?, Some(bias)),
            down: Linear::load(&weights.at("down_proj"), inner, hidden, true)?,
            limit,
        }
        .into())
    };
    (0..count).map(expert).collect()
}
