//! BERT: a bidirectional encoder of text, norms after each sublayer.
//!
//! Devlin, Chang, Lee and Toutanova 2019, <https://arxiv.org/abs/1810.04805>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google-bert/bert-base-uncased, bert-large-cased, bert-base-multilingual-cased | `BertForMaskedLM`, `BertForPreTraining` |
//! | textattack/bert-base-uncased-SST-2 and other fine-tuned classifiers | `BertForSequenceClassification` |
//! | sentence-transformers/all-MiniLM-L6-v2 | `BertModel` |
//!
//! Other architectures run without their head: hidden states and attention, no logits.

use super::{BERT_LAYER, Embeddings, Encoder, Head, Layer, Relative, Sizes, decoder, refuse_variants};
use crate::{
    Result, Weights,
    blocks::{Linear, Norm},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    refuse_variants(config)?;
    let root = weights.below("bert");
    let sizes = Sizes::read(config, Some(&root.at("encoder.layer")))?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let embeddings = Embeddings::load(&root.at("embeddings"), &sizes, hidden)?;
    let load_pooler = || Linear::load(&root.at("pooler.dense"), hidden, hidden, true);
    let mut pooler = None;
    let (head, labels) = match config.architecture() {
        Some("BertForMaskedLM" | "BertForPreTraining" | "BertLMHeadModel") => Head::words(weights, || {
            let head = weights.at("cls.predictions");
            Ok(Head::Words {
                transform: Linear::load(&head.at("transform.dense"), hidden, hidden, true)?,
                activation: sizes.activation,
                norm: Norm::layer(&head.at("transform.LayerNorm"), hidden, epsilon)?,
                decoder: decoder(config, &embeddings.words, (&head, &head.at("decoder")), hidden)?,
            })
        })?,
        Some("BertForSequenceClassification") => {
            pooler = weights.optional("pooler", load_pooler)?;
            let classifier = |labels| Linear::load(&weights.at("classifier"), hidden, labels, true).map(Head::Pooled);
            match pooler {
                Some(_) => Head::classifier(config, weights, classifier)?,
                // The classifier reads what the pooler makes.
                None => (Head::None, Vec::new()),
            }
        }
        Some("BertForTokenClassification") => Head::tokens(config, weights, hidden)?,
        // Some bare checkpoints leave the pooler out.
        _ => {
            if root.has("pooler.dense.weight") {
                pooler = weights.optional("pooler", load_pooler)?;
            }
            (Head::None, Vec::new())
        }
    };
    let pruned = config.pruned_heads(sizes.layers, sizes.heads)?;
    let layer = |layer: usize| {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        Layer::load_pruned(&weights, &BERT_LAYER, layer, &sizes, &pruned)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(Encoder {
        info: sizes.info(name, "bert", sizes.positions, &layers),
        device: weights.device().clone(),
        embeddings,
        relative: Relative::None,
        layers,
        pooler,
        head,
        labels,
        prunes: true,
    }))
}
