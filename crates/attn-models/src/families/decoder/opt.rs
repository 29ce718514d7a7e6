//! OPT: a decoder of text with learned positions that count real tokens, and norms before each sublayer.
//!
//! Zhang et al. 2022, <https://arxiv.org/abs/2205.01068>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/opt-125m, opt-1.3b to opt-66b | `OPTForCausalLM` |
//! | fine-tuned classifiers | `OPTForSequenceClassification` |
//! | bare models | `OPTModel` |
//!
//! facebook/opt-350m alone has norms after its sublayers and words of another width (`do_layer_norm_before`,
//! `word_embed_proj_dim`), which are refused.

use attn_core::{Attention, model::Mask};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, ScoreTerms},
    families::{Config, Network},
};

/// The epsilon of every norm: the configuration has no option for it.
const EPSILON: f64 = 1e-5;

/// Row of the table that holds position 0.
const FIRST_ROW: usize = 2;

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let hidden = config.size_or("hidden_size", 768)?;
    for key in ["do_layer_norm_before", "layer_norm_elementwise_affine"] {
        if !config.flag_or(key, true)? {
            return Err(config.unsupported(key, "true"));
        }
    }
    config.refuse_flag("_remove_final_layer_norm")?;
    if config.size_or("word_embed_proj_dim", hidden)? != hidden {
        return Err(config.unsupported("word_embed_proj_dim", format!("`hidden_size` = {hidden}")));
    }
    let root = weights.below("model").at("decoder");
    let heads = config.size_or("num_attention_heads", 12)?;
    let layers = config.layers_in("num_hidden_layers", 12, &root.at("layers"))?;
    let inner = config.size_or("ffn_dim", 3072)?;
    let vocab_size = config.size_or("vocab_size", 50272)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let activation = Activation::read(config, "activation_function", Activation::Relu)?;
    let bias = config.flag_or("enable_bias", true)?;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;

    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, bias);
        let norm = |name: &str| Norm::layer(&weights.at(name), hidden, EPSILON);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: None,
            attention_norms: Norms::before(norm("self_attn_layer_norm")?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::Separate {
                    query: linear("self_attn.q_proj", hidden, hidden)?,
                    key: linear("self_attn.k_proj", hidden, hidden)?,
                    value: linear("self_attn.v_proj", hidden, hidden)?,
                },
                norms: None,
                terms: ScoreTerms::default(),
                output: linear("self_attn.out_proj", hidden, hidden)?,
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm("final_layer_norm")?),
            mlp: Mlp {
                up: linear("fc1", hidden, inner)?,
                gate: None,
                down: linear("fc2", inner, hidden)?,
                activation,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        family: "opt",
        words: Words::plain(Embedding::load(&root.at("embed_tokens"), vocab_size, hidden)?),
        placement: Placement::Learned {
            table: Embedding::load(&root.at("embed_positions"), max_tokens + FIRST_ROW, hidden)?,
            first_row: FIRST_ROW,
            skips_padding: true,
        },
        layers,
        final_norm: Norm::layer(&root.at("final_layer_norm"), hidden, EPSILON)?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
