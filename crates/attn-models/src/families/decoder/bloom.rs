//! BLOOM: a decoder of text without positions of tokens: scores fall with distance (ALiBi). Norms before each sublayer and
//! of the words.
//!
//! BigScience Workshop 2022, <https://arxiv.org/abs/2211.05100>; ALiBi: Press et al. 2022,
//! <https://arxiv.org/abs/2108.12409>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | bigscience/bloom-560m to bloom, bloomz-560m to bloomz | `BloomForCausalLM` |
//! | fine-tuned classifiers | `BloomForSequenceClassification` |
//! | bare models | `BloomModel` |

use attn_core::{Attention, model::Mask, scores::Alibi};

use super::{Decoder, Layer, Norms, Parts, Placement, Reads, WordMap, Words};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, OffsetBias, Qkv, ScoreTerms},
    families::{Config, Network},
};

/// Names that all families have in common, and this family's own.
const NAMES: &[(&str, &str)] = &[
    ("n_embed", "hidden_size"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    config.refuse_flag("apply_residual_connection_post_layernorm")?;
    let root = weights.below("transformer");
    let hidden = config.size_or("hidden_size", 64)?;
    let heads = config.size_or("n_head", 8)?;
    let layers = config.layers_in("n_layer", 2, &root.at("h"))?;
    let inner = 4 * hidden;
    let vocab_size = config.size_or("vocab_size", 250_880)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let head_dim = config.divide("hidden_size", hidden, "n_head", heads)?;

    let norm = |weights: &Weights| Norm::layer(weights, hidden, epsilon);
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("h.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
        Ok(Layer {
            mask: Mask::Causal,
            rotation: None,
            attention_norms: Norms::before(norm(&weights.at("input_layernorm"))?),
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::JointPerGroup(linear("self_attention.query_key_value", hidden, 3 * hidden)?),
                norms: None,
                output: linear("self_attention.dense", hidden, hidden)?,
                terms: ScoreTerms::default(),
            },
            reads: Reads::Attended,
            mlp_norms: Norms::before(norm(&weights.at("post_attention_layernorm"))?),
            mlp: Mlp {
                up: linear("mlp.dense_h_to_4h", hidden, inner)?,
                gate: None,
                down: linear("mlp.dense_4h_to_h", inner, hidden)?,
                activation: Activation::GeluTanh,
            }
            .into(),
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let parts = Parts {
        family: "bloom",
        words: Words {
            norm: Some(norm(&root.at("word_embeddings_layernorm"))?),
            ..Words::plain(Embedding::load(&root.at("word_embeddings"), vocab_size, hidden)?)
        },
        placement: Placement::Scores {
            bias: OffsetBias::alibi(Alibi::of_heads(heads), weights.device()),
            max_tokens: None,
        },
        layers,
        final_norm: norm(&root.at("ln_f"))?,
        map: WordMap {
            tied: true,
            ..WordMap::default()
        },
    };
    Decoder::build(config, name, weights, parts)
}
