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

use super::{BERT_LAYER, Embeddings, Encoder, Head, Layer, Sizes, decoder, refuse_variants};
use crate::{
    Result, Weights,
    blocks::{Linear, Norm},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    refuse_variants(config)?;
    let sizes = Sizes::read(config)?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let root = weights.below("bert");
    let embeddings = Embeddings::load(&root.at("embeddings"), &sizes, hidden)?;
    let (has_pooler, head, labels) = match config.architecture() {
        Some("BertForMaskedLM" | "BertForPreTraining" | "BertLMHeadModel") => {
            let head = weights.at("cls.predictions");
            let words = Head::Words {
                transform: Linear::load(&head.at("transform.dense"), hidden, hidden, true)?,
                activation: sizes.activation,
                norm: Norm::layer(&head.at("transform.LayerNorm"), hidden, epsilon)?,
                decoder: decoder(
                    config,
                    &embeddings.words,
                    (&head.at("decoder"), &|| head.get("bias", [sizes.vocab_size])),
                    hidden,
                )?,
            };
            (false, words, Vec::new())
        }
        Some("BertForSequenceClassification") => {
            let labels = config.labels()?;
            let classifier = Linear::load(&weights.at("classifier"), hidden, labels.len(), true)?;
            (true, Head::Pooled(classifier), labels)
        }
        // Some bare checkpoints leave the pooler out.
        _ => (root.has("pooler.dense.weight"), Head::None, Vec::new()),
    };
    let layer = |layer: usize| {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        Layer::load(&weights, &BERT_LAYER, layer, &sizes)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(Encoder {
        info: sizes.info(name, "bert", sizes.positions, &layers),
        device: weights.device().clone(),
        embeddings,
        layers,
        pooler: if has_pooler {
            Some(Linear::load(&root.at("pooler.dense"), hidden, hidden, true)?)
        } else {
            None
        },
        head,
        labels,
    }))
}
