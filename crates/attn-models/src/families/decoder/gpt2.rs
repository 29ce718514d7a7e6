//! GPT-2: a causal decoder of text, norms before each sublayer, learned positions.
//!
//! Radford, Wu, Child, Luan, Amodei and Sutskever 2019, "Language models are unsupervised multitask learners".
//! `scale_attn_by_inverse_layer_idx` is that of Mistral's GPT-2 (Karamcheti et al. 2021).
//!
//! | checkpoint | architecture |
//! |---|---|
//! | openai-community/gpt2, gpt2-medium, gpt2-large, gpt2-xl; distilbert/distilgpt2 | `GPT2LMHeadModel` |
//! | stanford-crfm/alias-gpt2-small-x21 and siblings | `GPT2LMHeadModel`, scaled by layer |
//! | fine-tuned classifiers | `GPT2ForSequenceClassification` |
//! | bare models | `GPT2Model` |

use attn_core::{Attention, model::Mask};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, ScoreTerms},
    families::{Config, Network},
};

/// Names that all families have in common, and this family's own.
const NAMES: &[(&str, &str)] = &[
    ("hidden_size", "n_embd"),
    ("max_position_embeddings", "n_positions"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    config.refuse_flag("add_cross_attention")?;
    let root = weights.below("transformer");
    let hidden = config.size_or("n_embd", 768)?;
    let heads = config.size_or("n_head", 12)?;
    let layers = config.layers_in("n_layer", 12, &root.at("h"))?;
    let inner = config.optional_size("n_inner")?.unwrap_or(4 * hidden);
    let vocab_size = config.size_or("vocab_size", 50257)?;
    let max_tokens = config.size_or("n_positions", 1024)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let activation = Activation::read(config, "activation_function", Activation::GeluTanh)?;
    let head_dim = config.divide("n_embd", hidden, "n_head", heads)?;
    let scaled = config.flag_or("scale_attn_weights", true)?;
    let scaled_by_layer = config.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    let scale = |layer: usize| {
        let by_size = if scaled { 1.0 / (head_dim as f64).sqrt() } else { 1.0 };
        if scaled_by_layer {
            by_size / (layer + 1) as f64
        } else {
            by_size
        }
    };

    let words = Embedding::load(&root.at("wte"), vocab_size, hidden)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("h.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load_conv1d(&weights.at(name), inputs, outputs);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: None,
            attention_norms: Norms::before(Norm::layer(&weights.at("ln_1"), hidden, epsilon)?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: scale(layer),
                qkv: Qkv::Joint(linear("attn.c_attn", hidden, 3 * hidden)?),
                norms: None,
                output: linear("attn.c_proj", hidden, hidden)?,
                terms: ScoreTerms::default(),
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(Norm::layer(&weights.at("ln_2"), hidden, epsilon)?),
            mlp: Mlp {
                up: linear("mlp.c_fc", hidden, inner)?,
                gate: None,
                down: linear("mlp.c_proj", inner, hidden)?,
                activation,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        family: "gpt2",
        words: Words::plain(words),
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
