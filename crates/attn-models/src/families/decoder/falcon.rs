//! Falcon: a decoder of text whose attention and MLP read the same state, with few key/value heads and rotary positions;
//! its first small models are sequential and let scores fall with distance instead (ALiBi).
//!
//! Almazrouei et al. 2023, <https://arxiv.org/abs/2311.16867>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | tiiuae/falcon-7b, falcon-40b, falcon-11B; falcon-rw-1b, falcon-rw-7b (ALiBi) | `FalconForCausalLM` |
//! | fine-tuned classifiers | `FalconForSequenceClassification` |
//! | bare models | `FalconModel` |

use attn_core::{Attention, model::Mask, scores::Alibi};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{
        Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, OffsetBias, Qkv, Rotary, RotaryOptions,
        ScoreTerms,
    },
    families::{Config, Network},
};

/// Names that other files have.
const NAMES: &[(&str, &str)] = &[("n_head", "num_attention_heads"), ("n_layer", "num_hidden_layers")];

/// How queries, keys and values lie in their one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heads {
    /// Each key/value head behind its query heads.
    Groups,
    /// All query heads, then the one key and value.
    One,
    /// Each head its own.
    Own,
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    let root = weights.below("transformer");
    let hidden = config.size_or("hidden_size", 4544)?;
    let heads = config.size_or("num_attention_heads", 71)?;
    let layers = config.layers_in("num_hidden_layers", 32, &root.at("h"))?;
    let inner = config.optional_size("ffn_hidden_size")?.unwrap_or(4 * hidden);
    let vocab_size = config.size_or("vocab_size", 65024)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let activation = Activation::read(config, "activation", Activation::Gelu)?;
    let bias = config.flag_or("bias", false)?;
    let alibi = config.flag_or("alibi", false)?;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
    let scale = 1.0 / (head_dim as f64).sqrt();
    let newer = config.flag_or("new_decoder_architecture", false)?;
    let parallel = newer || config.flag_or("parallel_attn", true)?;
    let (arranged, kv_heads) = match (newer, config.flag_or("multi_query", true)?) {
        (true, _) => (Heads::Groups, config.size_or("num_kv_heads", heads)?),
        (false, true) => (Heads::One, 1),
        (false, false) => (Heads::Own, heads),
    };
    config.divide("num_attention_heads", heads, "num_kv_heads", kv_heads)?;
    // Only the newer architecture may have a norm for each of the two.
    let two_norms = newer && config.size_or("num_ln_in_parallel_attn", 2)? == 2;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("h.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, bias);
        let norm = |name: &str| Norm::layer(&weights.at(name), hidden, epsilon).map(Norms::before);
        let (attention_norms, reads, mlp_norms) = match (parallel, two_norms) {
            (true, true) => (norm("ln_attn")?, Reads::State, norm("ln_mlp")?),
            (true, false) => (norm("input_layernorm")?, Reads::Normed, Norms::default()),
            (false, _) => (
                norm("input_layernorm")?,
                Reads::Attended,
                norm("post_attention_layernorm")?,
            ),
        };
        let joint = linear(
            "self_attention.query_key_value",
            hidden,
            (heads + 2 * kv_heads) * head_dim,
        )?;
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms,
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape {
                    heads,
                    kv_heads,
                    head_dim,
                },
                scale,
                qkv: match arranged {
                    Heads::One => Qkv::Joint(joint),
                    Heads::Groups | Heads::Own => Qkv::JointPerGroup(joint),
                },
                norms: None,
                output: linear("self_attention.dense", hidden, hidden)?,
                terms: ScoreTerms::default(),
            },
            reads,
            mlp_norms,
            mlp: Mlp {
                up: linear("mlp.dense_h_to_4h", hidden, inner)?,
                gate: None,
                down: linear("mlp.dense_4h_to_h", inner, hidden)?,
                activation,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let placement = if alibi {
        Placement::Scores {
            bias: OffsetBias::alibi(rounded_alibi(heads, scale), weights.device()),
            max_tokens: Some(max_tokens),
        }
    } else {
        let options = RotaryOptions::default();
        Placement::Rotary(vec![Rotary::read(
            config,
            options,
            head_dim,
            max_tokens,
            weights.device(),
        )?])
    };
    let parts = Parts {
        family: "falcon",
        words: Words::plain(Embedding::load(&root.at("word_embeddings"), vocab_size, hidden)?),
        placement,
        layers,
        final_norm: Norm::layer(&root.at("ln_f"), hidden, epsilon)?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}

/// The bias of its early models: scaled with the products, and rounded to bfloat16, slopes included.
fn rounded_alibi(heads: usize, scale: f64) -> Alibi {
    let slopes = Alibi::of_heads(heads).slopes.into_iter();
    Alibi {
        slopes: slopes.map(|slope| half::bf16::from_f32(slope).to_f32()).collect(),
        factor: scale as f32,
        rounded: true,
    }
}
