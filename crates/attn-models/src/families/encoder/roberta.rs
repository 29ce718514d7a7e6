//! RoBERTa: BERT's network, trained longer. Positions count from behind the id of padding and skip padding; no pooler
//! before the classifier. XLM-RoBERTa and CamemBERT are the same network with other vocabularies.
//!
//! Liu et al. 2019, <https://arxiv.org/abs/1907.11692>; Conneau et al. 2020, <https://arxiv.org/abs/1911.02116>; Martin
//! et al. 2020, <https://arxiv.org/abs/1911.03894>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | FacebookAI/roberta-base, distilbert/distilroberta-base | `RobertaForMaskedLM` |
//! | FacebookAI/xlm-roberta-base | `XLMRobertaForMaskedLM` |
//! | almanach/camembert-base | `CamembertForMaskedLM` |
//! | cardiffnlp/twitter-roberta-base-sentiment and other classifiers | `RobertaForSequenceClassification` and its like |
//! | sentence-transformers/all-distilroberta-v1 | `RobertaModel` |

use super::{BERT_LAYER, Embeddings, Encoder, Head, Layer, Relative, Sizes, decoder, refuse_variants};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    refuse_variants(config)?;
    let root = weights.below("roberta");
    let defaults = config.with_defaults(&[("vocab_size", 50265)]);
    let sizes = Sizes::read(&defaults, Some(&root.at("encoder.layer")))?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let padding = match config.get("pad_token_id") {
        Some(_) => config.id("pad_token_id")?,
        None => Some(1),
    };
    // Positions 0 to the padding's id are not those of any token.
    let longest = sizes.positions.saturating_sub(padding.map_or(0, |id| id as usize + 1));
    if longest == 0 {
        return Err(config.wrong("max_position_embeddings", "more positions than `pad_token_id` + 1"));
    }
    let embeddings = Embeddings {
        padding,
        ..Embeddings::load(&root.at("embeddings"), &sizes, hidden)?
    };
    let mut pooler = None;
    let (head, labels) = match config.architecture().unwrap_or_default() {
        class if class.ends_with("ForMaskedLM") => Head::words(weights, || {
            let head = weights.at("lm_head");
            Ok(Head::Words {
                transform: Linear::load(&head.at("dense"), hidden, hidden, true)?,
                activation: Activation::Gelu,
                norm: Norm::layer(&head.at("layer_norm"), hidden, epsilon)?,
                decoder: decoder(config, &embeddings.words, (&head, &head.at("decoder")), hidden)?,
            })
        })?,
        class if class.ends_with("ForSequenceClassification") => Head::classifier(config, weights, |labels| {
            let head = weights.at("classifier");
            Ok(Head::First {
                transform: Linear::load(&head.at("dense"), hidden, hidden, true)?,
                activation: Activation::Tanh,
                classifier: Linear::load(&head.at("out_proj"), hidden, labels, true)?,
            })
        })?,
        class if class.ends_with("ForTokenClassification") => Head::tokens(config, weights, hidden)?,
        _ => {
            if root.has("pooler.dense.weight") {
                let load = || Linear::load(&root.at("pooler.dense"), hidden, hidden, true);
                pooler = weights.optional("pooler", load)?;
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
        info: sizes.info(name, config.text("model_type")?.unwrap_or("roberta"), longest, &layers),
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
