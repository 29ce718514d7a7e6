//! MPT: a decoder of text without biases; scores fall with distance (ALiBi).
//!
//! MosaicML NLP Team 2023, "Introducing MPT-7B"; ALiBi: Press et al. 2022, <https://arxiv.org/abs/2108.12409>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | mosaicml/mpt-7b, mpt-7b-instruct, mpt-30b | `MptForCausalLM` |
//! | fine-tuned classifiers | `MptForSequenceClassification` |
//! | bare models | `MptModel` |
//!
//! Clamped queries, keys and values and steeper slopes (mosaicml/mpt-7b-storywriter) are refused.

use attn_core::{Attention, model::Mask, scores::Alibi};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, OffsetBias, Qkv, ScoreTerms},
    families::{Config, Network},
};

/// Names that all families have in common, and this family's own.
const NAMES: &[(&str, &str)] = &[
    ("hidden_size", "d_model"),
    ("num_attention_heads", "n_heads"),
    ("num_hidden_layers", "n_layers"),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    let attention = config.object("attn_config")?.unwrap_or_else(|| config.empty());
    for (place, key) in [(config, "no_bias"), (&attention, "alibi")] {
        if !place.flag_or(key, true)? {
            return Err(place.unsupported(key, "true"));
        }
    }
    for key in ["qk_ln", "prefix_lm", "attn_uses_sequence_id"] {
        attention.refuse_flag(key)?;
    }
    for (place, key) in [(&attention, "clip_qkv"), (config, "logit_scale")] {
        if place.get(key).is_some() {
            return Err(place.unsupported(key, "null"));
        }
    }
    for (place, key, only) in [(config, "expansion_ratio", 4), (&attention, "alibi_bias_max", 8)] {
        if place.size_or(key, only)? != only {
            return Err(place.unsupported(key, only.to_string()));
        }
    }
    let root = weights.below("transformer");
    let hidden = config.size_or("d_model", 2048)?;
    let heads = config.size_or("n_heads", 16)?;
    let layers = config.layers_in("n_layers", 24, &root.at("blocks"))?;
    let vocab_size = config.size_or("vocab_size", 50368)?;
    let max_tokens = config.size_or("max_seq_len", 2048)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let head_dim = config.divide("d_model", hidden, "n_heads", heads)?;
    let scale = attention.positive_or("softmax_scale", 1.0 / (head_dim as f64).sqrt())?;

    let norm = |weights: &Weights| Norm::layer_unbiased(weights, hidden, epsilon);
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("blocks.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, false);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: None,
            attention_norms: Norms::before(norm(&weights.at("norm_1"))?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale,
                qkv: Qkv::Joint(linear("attn.Wqkv", hidden, 3 * hidden)?),
                norms: None,
                output: linear("attn.out_proj", hidden, hidden)?,
                terms: ScoreTerms::default(),
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm(&weights.at("norm_2"))?),
            mlp: Mlp {
                up: linear("ffn.up_proj", hidden, 4 * hidden)?,
                gate: None,
                down: linear("ffn.down_proj", 4 * hidden, hidden)?,
                activation: Activation::Gelu,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        family: "mpt",
        words: Words::plain(Embedding::load(&root.at("wte"), vocab_size, hidden)?),
        placement: Placement::Scores {
            bias: OffsetBias::alibi(Alibi::new(slopes(heads)), weights.device()),
            max_tokens: Some(max_tokens),
        },
        layers,
        final_norm: norm(&root.at("norm_f"))?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}

/// Those of the paper where the heads are a power of two. Otherwise this family takes those of the next higher power,
/// every second one first.
fn slopes(heads: usize) -> Vec<f32> {
    let all = Alibi::of_heads(heads.next_power_of_two()).slopes;
    if all.len() == heads {
        return all;
    }
    let every_second = |from: usize| all.iter().skip(from).step_by(2).copied();
    every_second(1).chain(every_second(0)).take(heads).collect()
}
