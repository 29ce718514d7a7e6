//! ALBERT: BERT's network with narrow embeddings and one layer, or a few groups of them, passed through again and
//! again. Each pass counts as a layer of its own.
//!
//! Lan et al. 2020, <https://arxiv.org/abs/1909.11942>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | albert/albert-base-v2, albert-xxlarge-v2 | `AlbertForMaskedLM`, `AlbertForPreTraining` |
//! | textattack/albert-base-v2-SST-2 and other fine-tuned classifiers | `AlbertForSequenceClassification` |
//! | bare models | `AlbertModel` |

use super::{Embeddings, Encoder, Head, Layer, Names, Relative, Sizes, decoder, refuse_variants};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm},
    families::{Config, Network},
};

const LAYER: Names = Names {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: "ffn",
    down: "ffn_output",
    mlp_norm: "full_layer_layer_norm",
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    refuse_variants(config)?;
    let root = weights.below("albert");
    let defaults = config.with_defaults(&[
        ("vocab_size", 30000),
        ("hidden_size", 4096),
        ("num_attention_heads", 64),
        ("intermediate_size", 16384),
    ]);
    // The weights do not tell the number of layers: they share a few.
    let mut sizes = Sizes::read(&defaults, None)?;
    sizes.activation = Activation::read(config, "hidden_act", Activation::GeluTanh)?;
    let Sizes { hidden, epsilon, .. } = sizes;
    if config.size_or("inner_group_num", 1)? != 1 {
        return Err(config.unsupported("inner_group_num", "1"));
    }
    let groups = config.size_or("num_hidden_groups", 1)?;
    if groups > sizes.layers {
        let expected = format!("at most `num_hidden_layers` = {}", sizes.layers);
        return Err(config.wrong("num_hidden_groups", expected));
    }
    let width = config.size_or("embedding_size", 128)?;
    let widen = root.at("encoder.embedding_hidden_mapping_in");
    let embeddings = Embeddings {
        widen: Some(Linear::load(&widen, width, hidden, true)?),
        ..Embeddings::load(&root.at("embeddings"), &sizes, width)?
    };
    let load_pooler = || Linear::load(&root.at("pooler"), hidden, hidden, true);
    let mut pooler = None;
    let (head, labels) = match config.architecture() {
        Some("AlbertForMaskedLM" | "AlbertForPreTraining") => Head::words(weights, || {
            let head = weights.at("predictions");
            Ok(Head::Words {
                transform: Linear::load(&head.at("dense"), hidden, width, true)?,
                activation: sizes.activation,
                norm: Norm::layer(&head.at("LayerNorm"), width, epsilon)?,
                decoder: decoder(config, &embeddings.words, (&head, &head.at("decoder")), width)?,
            })
        })?,
        Some("AlbertForSequenceClassification") => {
            pooler = weights.optional("pooler", load_pooler)?;
            let classifier = |labels| Linear::load(&weights.at("classifier"), hidden, labels, true).map(Head::Pooled);
            match pooler {
                Some(_) => Head::classifier(config, weights, classifier)?,
                // The classifier reads what the pooler makes.
                None => (Head::None, Vec::new()),
            }
        }
        Some("AlbertForTokenClassification") => Head::tokens(config, weights, hidden)?,
        _ => {
            if root.has("pooler.weight") {
                pooler = weights.optional("pooler", load_pooler)?;
            }
            (Head::None, Vec::new())
        }
    };
    let group = |group: usize| {
        let place = format!("encoder.albert_layer_groups.{group}.albert_layers.0");
        Layer::load(&root.at(place), &LAYER, group, &sizes)
    };
    let groups = (0..groups).map(group).collect::<Result<Vec<_>>>()?;
    // The passes of a group follow one another.
    let group_of = |layer: usize| &groups[layer * groups.len() / sizes.layers];
    let layers: Vec<Layer> = (0..sizes.layers)
        .map(|layer| group_of(layer).shared_as(layer))
        .collect();
    Ok(Box::new(Encoder {
        info: sizes.info(name, "albert", sizes.positions, &layers),
        device: weights.device().clone(),
        embeddings,
        relative: Relative::None,
        layers,
        pooler,
        head,
        labels,
        prunes: false,
    }))
}
