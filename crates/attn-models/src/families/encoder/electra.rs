//! ELECTRA: BERT's network with narrower embeddings, trained to tell which tokens a small generator replaced.
//!
//! Clark, Luong, Le and Manning 2020, <https://arxiv.org/abs/2003.10555>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/electra-small-discriminator, electra-base-discriminator | `ElectraForPreTraining`: a logit per token, above 0 where it looks replaced |
//! | google/electra-small-generator | `ElectraForMaskedLM` |
//! | fine-tuned classifiers | `ElectraForSequenceClassification` |
//! | bare models | `ElectraModel` |

use super::{BERT_LAYER, Embeddings, Encoder, Head, Layer, Relative, Sizes, decoder, refuse_variants};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    refuse_variants(config)?;
    let root = weights.below("electra");
    let defaults = config.with_defaults(&[
        ("hidden_size", 256),
        ("num_attention_heads", 4),
        ("intermediate_size", 1024),
    ]);
    let sizes = Sizes::read(&defaults, Some(&root.at("encoder.layer")))?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let width = config.size_or("embedding_size", 128)?;
    let embeddings = Embeddings {
        widen: if width == hidden {
            None
        } else {
            Some(Linear::load(&root.at("embeddings_project"), width, hidden, true)?)
        },
        ..Embeddings::load(&root.at("embeddings"), &sizes, width)?
    };
    let (head, labels) = match config.architecture() {
        Some("ElectraForPreTraining") => Head::words(weights, || {
            let head = weights.at("discriminator_predictions");
            Ok(Head::Replaced {
                transform: Linear::load(&head.at("dense"), hidden, hidden, true)?,
                activation: sizes.activation,
                score: Linear::load(&head.at("dense_prediction"), hidden, 1, true)?,
            })
        })?,
        Some("ElectraForMaskedLM") => Head::words(weights, || {
            let head = weights.at("generator_predictions");
            let output = weights.at("generator_lm_head");
            Ok(Head::Words {
                transform: Linear::load(&head.at("dense"), hidden, width, true)?,
                activation: Activation::Gelu,
                norm: Norm::layer(&head.at("LayerNorm"), width, epsilon)?,
                decoder: decoder(config, &embeddings.words, (&output, &output), width)?,
            })
        })?,
        Some("ElectraForSequenceClassification") => Head::classifier(config, weights, |labels| {
            let head = weights.at("classifier");
            Ok(Head::First {
                transform: Linear::load(&head.at("dense"), hidden, hidden, true)?,
                activation: Activation::Gelu,
                classifier: Linear::load(&head.at("out_proj"), hidden, labels, true)?,
            })
        })?,
        Some("ElectraForTokenClassification") => Head::tokens(config, weights, hidden)?,
        _ => (Head::None, Vec::new()),
    };
    let pruned = config.pruned_heads(sizes.layers, sizes.heads)?;
    let layer = |layer: usize| {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        Layer::load_pruned(&weights, &BERT_LAYER, layer, &sizes, &pruned)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(Encoder {
        info: sizes.info(name, "electra", sizes.positions, &layers),
        device: weights.device().clone(),
        embeddings,
        relative: Relative::None,
        layers,
        pooler: None,
        head,
        labels,
        prunes: true,
    }))
}
