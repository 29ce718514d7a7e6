//! GPT-J: a decoder whose attention and MLP read the same normed state; neighboring dimensions of a part of each head
//! rotate together.
//!
//! Wang and Komatsuzaki 2021, "GPT-J-6B: a 6 billion parameter autoregressive language model".
//!
//! | checkpoint | architecture |
//! |---|---|
//! | EleutherAI/gpt-j-6b, togethercomputer/GPT-JT-6B-v1 | `GPTJForCausalLM` |
//! | fine-tuned classifiers | `GPTJForSequenceClassification` |
//! | bare models | `GPTJModel` |

use attn_core::{Attention, model::Mask};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Pairs, Qkv, Rotary, ScoreTerms},
    families::{Config, Network},
};

/// Names that all families have in common, and this family's own.
const NAMES: &[(&str, &str)] = &[
    ("hidden_size", "n_embd"),
    ("max_position_embeddings", "n_positions"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
];

/// The base of the angles: the configuration has no option for it.
const THETA: f64 = 10_000.0;

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    let root = weights.below("transformer");
    let hidden = config.size_or("n_embd", 4096)?;
    let heads = config.size_or("n_head", 16)?;
    let layers = config.layers_in("n_layer", 28, &root.at("h"))?;
    let inner = config.optional_size("n_inner")?.unwrap_or(4 * hidden);
    let vocab_size = config.size_or("vocab_size", 50400)?;
    let max_tokens = config.size_or("n_positions", 2048)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let activation = Activation::read(config, "activation_function", Activation::GeluTanh)?;
    let head_dim = config.divide("n_embd", hidden, "n_head", heads)?;
    let rotated = config.size_or("rotary_dim", 64)?;
    if rotated > head_dim || !rotated.is_multiple_of(2) {
        return Err(config.wrong(
            "rotary_dim",
            format!("an even number up to the width of a head, {head_dim}"),
        ));
    }

    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("h.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::before(Norm::layer(&weights.at("ln_1"), hidden, epsilon)?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::Separate {
                    query: linear("attn.q_proj", hidden, hidden, false)?,
                    key: linear("attn.k_proj", hidden, hidden, false)?,
                    value: linear("attn.v_proj", hidden, hidden, false)?,
                },
                norms: None,
                terms: ScoreTerms::default(),
                output: linear("attn.out_proj", hidden, hidden, false)?,
            },
            reads: Reads::Normed,
            mlp_norms: Norms::default(),
            mlp: Mlp {
                up: linear("mlp.fc_in", hidden, inner, true)?,
                gate: None,
                down: linear("mlp.fc_out", inner, hidden, true)?,
                activation,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let rotary = Rotary::plain(THETA, rotated, Pairs::Neighbors, max_tokens, weights.device());
    let parts = Parts {
        family: "gptj",
        words: Words::plain(Embedding::load(&root.at("wte"), vocab_size, hidden)?),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::layer(&root.at("ln_f"), hidden, epsilon)?,
        map: WordMap {
            bias: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
