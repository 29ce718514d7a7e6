//! MPNet: RoBERTa's network with a bias per relative offset (T5's buckets), the same in all layers. Positions count from behind
//! the id of padding and skip padding.
//!
//! Song, Tan, Qin, Lu and Liu 2020, <https://arxiv.org/abs/2004.09297>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | microsoft/mpnet-base | `MPNetForMaskedLM` |
//! | fine-tuned classifiers | `MPNetForSequenceClassification` |
//! | sentence-transformers/all-mpnet-base-v2, multi-qa-mpnet-base-dot-v1 | `MPNetModel` |

use super::{Embeddings, Encoder, Head, Layer, Names, Relative, Sizes, decoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm, OffsetBias},
    families::{Config, Network},
};

/// Buckets of offsets, and the distance from which all share one. The reference has both in its code.
const BUCKETS: usize = 32;
const MAX_DISTANCE: usize = 128;

/// The id of padding, which the reference has in its code too.
const PADDING: u32 = 1;

const NAMES: Names = Names {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let root = weights.below("mpnet");
    let defaults = config.with_defaults(&[("vocab_size", 30527)]);
    let mut sizes = Sizes::read(&defaults, Some(&root.at("encoder.layer")))?;
    sizes.types = 0;
    let Sizes {
        hidden, epsilon, heads, ..
    } = sizes;
    if config.size_or("relative_attention_num_buckets", BUCKETS)? != BUCKETS {
        return Err(config.unsupported("relative_attention_num_buckets", "32"));
    }
    let first = PADDING as usize + 1;
    let longest = sizes.positions.saturating_sub(first);
    if longest == 0 {
        return Err(config.wrong("max_position_embeddings", format!("a number above {first}")));
    }
    let embeddings = Embeddings {
        padding: Some(PADDING),
        ..Embeddings::load(&root.at("embeddings"), &sizes, hidden)?
    };
    let bias = root
        .at("encoder.relative_attention_bias")
        .get("weight", [BUCKETS, heads])?;
    let relative = Relative::Bias(OffsetBias::table(bias, true, MAX_DISTANCE)?);
    let mut pooler = None;
    let (head, labels) = match config.architecture() {
        Some("MPNetForMaskedLM") => Head::words(weights, || {
            let head = weights.at("lm_head");
            Ok(Head::Words {
                transform: Linear::load(&head.at("dense"), hidden, hidden, true)?,
                activation: Activation::Gelu,
                norm: Norm::layer(&head.at("layer_norm"), hidden, epsilon)?,
                decoder: decoder(config, &embeddings.words, (&head, &head.at("decoder")), hidden)?,
            })
        })?,
        Some("MPNetForSequenceClassification") => Head::classifier(config, weights, |labels| {
            let head = weights.at("classifier");
            Ok(Head::First {
                transform: Linear::load(&head.at("dense"), hidden, hidden, true)?,
                activation: Activation::Tanh,
                classifier: Linear::load(&head.at("out_proj"), hidden, labels, true)?,
            })
        })?,
        Some("MPNetForTokenClassification") => Head::tokens(config, weights, hidden)?,
        _ => {
            if root.has("pooler.dense.weight") {
                let load = || Linear::load(&root.at("pooler.dense"), hidden, hidden, true);
                pooler = weights.optional("pooler", load)?;
            }
            (Head::None, Vec::new())
        }
    };
    let layer = |layer: usize| {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        Layer::load(&weights, &NAMES, layer, &sizes)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(Encoder {
        info: relative.facts(sizes.info(name, "mpnet", longest, &layers)),
        device: weights.device().clone(),
        embeddings,
        relative,
        layers,
        pooler,
        head,
        labels,
        prunes: false,
    }))
}
