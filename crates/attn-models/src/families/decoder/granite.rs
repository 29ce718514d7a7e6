//! Granite: Llama's network with factors on words, scores, what sublayers add, and logits (Yang et al. 2022,
//! <https://arxiv.org/abs/2203.03466>).
//!
//! Shen et al. 2024, <https://arxiv.org/abs/2408.13359>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | ibm-granite/granite-3.0-2b-base, granite-3.3-2b-instruct, PowerLM-3b | `GraniteForCausalLM` |
//! | bare models | `GraniteModel` |

use attn_core::model::Mask;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words, plan::Plan};
use crate::{
    Result, Weights,
    blocks::{Activation, Mlp, MultiHead, Norm, RotaryOptions},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let plan = Plan::read(config, weights, 32)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let bias = config.flag_or("attention_bias", false)?;
    let mlp_bias = config.flag_or("mlp_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let factor = |key: &str| config.positive_or(key, 1.0);
    let (scale, added) = (factor("attention_multiplier")?, factor("residual_multiplier")?);
    let (words, logits) = (factor("embedding_multiplier")?, 1.0 / factor("logits_scaling")?);
    let rotary = plan.rotary(RotaryOptions::default())?;
    let layers = plan.layers(|layer, weights| {
        let norm = |name: &str| Norm::rms(&weights.at(name), plan.hidden, epsilon);
        let attention = plan.attention(layer, weights, "o_proj", (bias, bias))?;
        let mlp = plan.gated(&weights.at("mlp"), plan.inner, activation, mlp_bias)?;
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::before(norm("input_layernorm")?),
            attention: MultiHead {
                scale,
                output: attention.output.times(added)?,
                ..attention
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("post_attention_layernorm")?),
            mlp: Mlp {
                down: mlp.down.times(added)?,
                ..mlp
            }
            .into(),
        })
    })?;
    let parts = Parts {
        family: "granite",
        words: Words {
            factor: words,
            ..Words::plain(plan.words()?)
        },
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::rms(&plan.root.at("norm"), plan.hidden, epsilon)?,
        map: WordMap {
            factor: logits,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
