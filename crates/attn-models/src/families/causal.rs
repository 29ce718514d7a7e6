//! What causal decoders predict from their last layer: the next word at each token, or the class of the whole text.

use candle_core::Tensor;

use crate::{
    Result, Weights,
    blocks::{Embedding, Linear, Pass},
    config::Config,
    inputs::Tokens,
};

pub(super) enum CausalHead {
    None,
    /// `[batch, tokens, vocabulary]`.
    Words(Linear),
    /// `[batch, classes]`, from the last token that is not padding.
    Class {
        classifier: Linear,
        /// The id of padding, if the configuration names one.
        padding: Option<u32>,
    },
}

/// Where a family keeps its map to words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// The name of the map where it is not the table of word embeddings.
    pub(super) name: &'static str,
    /// Whether it is that table if `tie_word_embeddings` is not given.
    pub(super) tied: bool,
}

impl CausalHead {
    /// The head of the configuration's architecture, and the names of its classes.
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        words: &Embedding,
        output: Output,
    ) -> Result<(Self, Vec<String>)> {
        let (vocab_size, hidden) = words.table().dims2()?;
        Ok(match config.architecture().unwrap_or_default() {
            class
                if ["ForCausalLM", "LMHeadModel", "DoubleHeadsModel"]
                    .iter()
                    .any(|end| class.ends_with(end)) =>
            {
                let map = if config.flag_or("tie_word_embeddings", output.tied)? {
                    Linear::tied(words.table(), None)?
                } else {
                    Linear::load(&weights.at(output.name), hidden, vocab_size, false)?
                };
                (Self::Words(map), Vec::new())
            }
            class if class.ends_with("ForSequenceClassification") => {
                let labels = config.labels()?;
                let classifier = Linear::load(&weights.at("score"), hidden, labels.len(), false)?;
                // Early Llama configurations say -1 for none.
                let none = config.get("pad_token_id").is_none_or(|id| id.as_i64() == Some(-1));
                let padding = if none {
                    None
                } else {
                    Some(config.id_or("pad_token_id", 0)?)
                };
                (Self::Class { classifier, padding }, labels)
            }
            _ => (Self::None, Vec::new()),
        })
    }

    /// The words at every token, from its normed state `[batch, tokens, hidden]`; `None` for another head.
    pub(super) fn words(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        match self {
            Self::Words(map) => map.forward(x, pass).map(Some),
            Self::None | Self::Class { .. } => Ok(None),
        }
    }

    /// From the normed last layer `[batch, tokens, hidden]`.
    pub(super) fn logits(&self, x: &Tensor, tokens: &Tokens, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(match self {
            Self::None => None,
            Self::Words(map) => Some(map.forward(x, pass)?),
            Self::Class { classifier, padding } => {
                let rows = tokens.ids.to_vec2::<u32>()?;
                let last = rows.iter().enumerate().map(|(sequence, ids)| {
                    let is_text = |&at: &usize| {
                        let real = tokens
                            .padding
                            .as_ref()
                            .is_none_or(|padding| padding.is_real(sequence, at));
                        real && Some(ids[at]) != *padding
                    };
                    let at = (0..ids.len()).rev().find(is_text).unwrap_or(0);
                    // The row of the flattened batch; ids fit u32, so that rows of a batch that fits memory do.
                    u32::try_from(sequence * ids.len() + at).unwrap_or(u32::MAX)
                });
                let last = Tensor::from_iter(last.collect::<Vec<_>>(), x.device())?;
                let read = x.flatten(0, 1)?.index_select(&last, 0)?;
                Some(classifier.forward(&read, pass)?)
            }
        })
    }
}
