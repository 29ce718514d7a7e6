//! DistilBERT: BERT's network with half of its layers, without token types and pooler.
//!
//! Sanh, Debut, Chaumond and Wolf 2019, <https://arxiv.org/abs/1910.01108>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | distilbert/distilbert-base-uncased, distilbert-base-multilingual-cased | `DistilBertForMaskedLM` |
//! | distilbert/distilbert-base-uncased-finetuned-sst-2-english | `DistilBertForSequenceClassification` |
//! | bare models | `DistilBertModel` |
//!
//! `sinusoidal_pos_embds` says how the position table was filled before training; the table is stored either way.

use super::{Embeddings, Encoder, Head, Layer, Names, Relative, Sizes, decoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm},
    families::{Config, Network},
};

const LAYER: Names = Names {
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    mlp_norm: "output_layer_norm",
};

/// Names that all families have in common, and this family's own.
const NAMES: &[(&str, &str)] = &[
    ("hidden_size", "dim"),
    ("num_attention_heads", "n_heads"),
    ("num_hidden_layers", "n_layers"),
];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_names(NAMES)?;
    let root = weights.below("distilbert");
    let hidden = config.size_or("dim", 768)?;
    let heads = config.size_or("n_heads", 12)?;
    let sizes = Sizes {
        hidden,
        heads,
        head_dim: config.divide("dim", hidden, "n_heads", heads)?,
        layers: config.layers_in("n_layers", 6, &root.at("transformer.layer"))?,
        inner: config.size_or("hidden_dim", 3072)?,
        vocab_size: config.size_or("vocab_size", 30522)?,
        positions: config.size_or("max_position_embeddings", 512)?,
        types: 0,
        epsilon: 1e-12,
        activation: Activation::read(config, "activation", Activation::Gelu)?,
    };
    let embeddings = Embeddings::load(&root.at("embeddings"), &sizes, hidden)?;
    let (head, labels) = match config.architecture() {
        Some("DistilBertForMaskedLM") => Head::words(weights, || {
            let output = weights.at("vocab_projector");
            Ok(Head::Words {
                transform: Linear::load(&weights.at("vocab_transform"), hidden, hidden, true)?,
                activation: sizes.activation,
                norm: Norm::layer(&weights.at("vocab_layer_norm"), hidden, sizes.epsilon)?,
                decoder: decoder(config, &embeddings.words, (&output, &output), hidden)?,
            })
        })?,
        Some("DistilBertForSequenceClassification") => Head::classifier(config, weights, |labels| {
            Ok(Head::First {
                transform: Linear::load(&weights.at("pre_classifier"), hidden, hidden, true)?,
                activation: Activation::Relu,
                classifier: Linear::load(&weights.at("classifier"), hidden, labels, true)?,
            })
        })?,
        Some("DistilBertForTokenClassification") => Head::tokens(config, weights, hidden)?,
        _ => (Head::None, Vec::new()),
    };
    let pruned = config.pruned_heads(sizes.layers, sizes.heads)?;
    let layer = |layer: usize| {
        let weights = root.at(format_args!("transformer.layer.{layer}"));
        Layer::load_pruned(&weights, &LAYER, layer, &sizes, &pruned)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(Encoder {
        info: sizes.info(name, "distilbert", sizes.positions, &layers),
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
