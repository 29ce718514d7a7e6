//! OLMo 2: Llama's network with norms of what each sublayer makes instead of what it reads, and of the queries and keys
//! of all heads together.
//!
//! OLMo et al. 2024, <https://arxiv.org/abs/2501.00656>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | allenai/OLMo-2-0425-1B, OLMo-2-1124-7B, OLMo-2-1124-13B-Instruct | `Olmo2ForCausalLM` |
//! | fine-tuned classifiers | `Olmo2ForSequenceClassification` |
//! | bare models | `Olmo2Model` |

use attn_core::model::Mask;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan};
use crate::{
    Result, Weights,
    blocks::{Activation, HeadNorms, MultiHead, Norm, RotaryOptions},
    families::{Config, Network},
};

const DEFAULTS: &[(&str, usize)] = &[("vocab_size", 50304)];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    let plan = Plan::read(config, weights, 32)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-5)?;
    let bias = config.flag_or("attention_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = plan.rotary(RotaryOptions::default())?;
    let shape = plan.shape;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str, width| Norm::rms(&weights.at(name), width, epsilon);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::after(norm("post_attention_layernorm", plan.hidden)?),
            attention: MultiHead {
                norms: Some(HeadNorms {
                    query: norm("self_attn.q_norm", shape.heads * shape.head_dim)?,
                    key: norm("self_attn.k_norm", shape.kv_heads * shape.head_dim)?,
                    joint: true,
                }),
                ..plan.attention(layer, weights, "o_proj", (bias, bias))?
            },
            reads: Reads::Attended,
            mlp_norms: Norms::after(norm("post_feedforward_layernorm", plan.hidden)?),
            mlp: plan.gated(&weights.at("mlp"), plan.inner, activation, false)?.into(),
        })
    })?;
    let parts = Parts {
        family: "olmo2",
        words: Words::plain(plan.words()?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap::default(),
    };
    Decoder::build(config, name, weights, parts)
}
