//! GPT-NeoX: a causal decoder of text whose attention and MLP read the same hidden state; rotary positions on a part of
//! each head.
//!
//! Black et al. 2022, <https://arxiv.org/abs/2204.06745>; Pythia: Biderman et al. 2023,
//! <https://arxiv.org/abs/2304.01373>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | EleutherAI/pythia-70m to pythia-12b, gpt-neox-20b | `GPTNeoXForCausalLM` |
//! | databricks/dolly-v2-3b | `GPTNeoXForCausalLM` |
//! | fine-tuned classifiers | `GPTNeoXForSequenceClassification` |
//! | bare models | `GPTNeoXModel` |

use attn_core::{Attention, model::Mask};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Qkv, Rotary, RotaryOptions, ScoreTerms},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    config.refuse_flag("is_decoder")?;
    let root = weights.below("gpt_neox");
    let hidden = config.size_or("hidden_size", 6144)?;
    let heads = config.size_or("num_attention_heads", 64)?;
    let layers = config.layers_in("num_hidden_layers", 44, &root.at("layers"))?;
    let inner = config.size_or("intermediate_size", 24576)?;
    let vocab_size = config.size_or("vocab_size", 50432)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let epsilon = config.positive_or("layer_norm_eps", 1e-5)?;
    let activation = Activation::read(config, "hidden_act", Activation::Gelu)?;
    let bias = config.flag_or("attention_bias", true)?;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
    let options = RotaryOptions {
        theta: ("rotary_emb_base", 10_000.0),
        share: Some(("rotary_pct", 0.25)),
        ..RotaryOptions::default()
    };
    let rotary = Rotary::read(config, options, head_dim, max_tokens, weights.device())?;
    let scale = 1.0 / (head_dim as f64).sqrt();
    let reads = match config.flag_or("use_parallel_residual", true)? {
        true => Reads::State,
        false => Reads::Attended,
    };

    let words = Embedding::load(&root.at("embed_in"), vocab_size, hidden)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: Some(0),
            attention_norms: Norms::before(Norm::layer(&weights.at("input_layernorm"), hidden, epsilon)?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale,
                qkv: Qkv::JointPerGroup(linear("attention.query_key_value", hidden, 3 * hidden, bias)?),
                norms: None,
                output: linear("attention.dense", hidden, hidden, bias)?,
                terms: ScoreTerms::default(),
            },
            reads,
            mlp_norms: Norms::before(Norm::layer(&weights.at("post_attention_layernorm"), hidden, epsilon)?),
            mlp: Mlp {
                up: linear("mlp.dense_h_to_4h", hidden, inner, true)?,
                gate: None,
                down: linear("mlp.dense_4h_to_h", inner, hidden, true)?,
                activation,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        family: "gpt_neox",
        words: Words::plain(words),
        placement: Placement::Rotary(vec![rotary]),
        layers,
        final_norm: Norm::layer(&root.at("final_layer_norm"), hidden, epsilon)?,
        map: WordMap {
            name: "embed_out",
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
