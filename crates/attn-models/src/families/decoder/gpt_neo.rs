//! GPT-Neo: GPT-2's network with scores that are not scaled and, in every second layer, a window.
//!
//! Black et al. 2021, "GPT-Neo: large scale autoregressive language modeling with Mesh-TensorFlow".
//!
//! | checkpoint | architecture |
//! |---|---|
//! | EleutherAI/gpt-neo-125m, gpt-neo-1.3B, gpt-neo-2.7B; roneneldan/TinyStories-33M | `GPTNeoForCausalLM` |
//! | fine-tuned classifiers | `GPTNeoForSequenceClassification` |
//! | bare models | `GPTNeoModel` |

use attn_core::{Attention, model::Mask};
use serde_json::Value;

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, ScoreTerms},
    families::{Config, Network},
};

/// Names that all families have in common, and this family's own.
const NAMES: &[(&str, &str)] = &[
    ("num_attention_heads", "num_heads"),
    ("num_hidden_layers", "num_layers"),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    let root = weights.below("transformer");
    let hidden = config.size_or("hidden_size", 2048)?;
    let heads = config.size_or("num_heads", 16)?;
    let layers = config.layers_in("num_layers", 24, &root.at("h"))?;
    let inner = config.optional_size("intermediate_size")?.unwrap_or(4 * hidden);
    let vocab_size = config.size_or("vocab_size", 50257)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let activation = Activation::read(config, "activation_function", Activation::GeluTanh)?;
    let head_dim = config.divide("hidden_size", hidden, "num_heads", heads)?;
    let masks = masks(config, layers)?;

    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("h.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let norm = |name: &str| Norm::layer(&weights.at(name), hidden, epsilon);
        Ok(Layer {
            mask: masks[layer],
            rotation: None,
            attention_norms: Norms::before(norm("ln_1")?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0,
                qkv: Qkv::Separate {
                    query: linear("attn.attention.q_proj", hidden, hidden, false)?,
                    key: linear("attn.attention.k_proj", hidden, hidden, false)?,
                    value: linear("attn.attention.v_proj", hidden, hidden, false)?,
                },
                norms: None,
                terms: ScoreTerms::default(),
                output: linear("attn.attention.out_proj", hidden, hidden, true)?,
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("ln_2")?),
            mlp: Mlp {
                up: linear("mlp.c_fc", hidden, inner, true)?,
                gate: None,
                down: linear("mlp.c_proj", inner, hidden, true)?,
                activation,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        family: "gpt_neo",
        words: Words::plain(Embedding::load(&root.at("wte"), vocab_size, hidden)?),
        placement: Placement::learned(Embedding::load(&root.at("wpe"), max_tokens, hidden)?),
        layers,
        final_norm: Norm::layer(&root.at("ln_f"), hidden, epsilon)?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}

/// The mask of each layer: by name in `attention_layers`, or by the patterns and their repetitions in
/// `attention_types`; global and local by turns without either.
fn masks(config: &Config, layers: usize) -> Result<Vec<Mask>> {
    let local = Mask::Window {
        width: config.size_or("window_size", 256)?,
    };
    let (key, names) = match (config.get("attention_layers"), config.get("attention_types")) {
        (Some(list), _) => ("attention_layers", list.as_array().cloned()),
        (None, Some(types)) => ("attention_types", expanded(types, layers)),
        (None, None) => {
            let by_turns = |layer: usize| if layer.is_multiple_of(2) { Mask::Causal } else { local };
            return Ok((0..layers).map(by_turns).collect());
        }
    };
    let names = names.filter(|names| names.len() == layers);
    let names = names.ok_or_else(|| config.wrong(key, format!("names of the attention of {layers} layers")))?;
    let mask = |name: &Value| match name.as_str() {
        Some("global") => Ok(Mask::Causal),
        Some("local") => Ok(local),
        _ => Err(config.unsupported(key, "global, local")),
    };
    names.iter().map(mask).collect()
}

/// Pairs of a pattern and how often it comes, written out; `None` for anything else, or more than `layers` names.
fn expanded(types: &Value, layers: usize) -> Option<Vec<Value>> {
    let mut names = Vec::new();
    for pair in types.as_array()? {
        let [pattern, times] = pair.as_array()?.as_slice() else {
            return None;
        };
        let pattern = pattern.as_array()?;
        for _ in 0..times.as_u64()? {
            names.extend_from_slice(pattern);
            if pattern.is_empty() || names.len() > layers {
                return None;
            }
        }
    }
    Some(names)
}
