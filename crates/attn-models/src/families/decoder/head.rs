//! Heads of decoders: the next word at each token, or the class of the whole text.

use candle_core::Tensor;

use super::Config;
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, Linear, Pass},
    inputs::Tokens,
};

/// The head of a checkpoint.
pub(super) enum CausalHead {
    None,
    /// `[batch, tokens, vocabulary]`.
    Words {
        map: Linear,
        /// Bounds logits to between `-cap` and `cap`.
        cap: Option<f64>,
    },
    /// `[batch, classes]`, from the last token that is not padding.
    Class {
        classifier: Linear,
        /// The id of padding, if the configuration names one.
        padding: Option<u32>,
    },
}

/// A family's map to words.
#[derive(Debug, Clone, Copy)]
pub(super) struct WordMap {
    /// The name of the map where it is not the table of word embeddings.
    pub(super) name: &'static str,
    /// Whether it is that table if `tie_word_embeddings` is not given.
    pub(super) tied: bool,
    /// Whether it has a bias.
    pub(super) bias: bool,
    /// Factor on logits.
    pub(super) factor: f64,
    /// Logits are `cap tanh(logits / cap)` (Gemma Team 2024, <https://arxiv.org/abs/2408.00118>).
    pub(super) cap: Option<f64>,
}

impl Default for WordMap {
    /// A map of its own, without a bias, as in Llama.
    fn default() -> Self {
        Self {
            name: "lm_head",
            tied: false,
            bias: false,
            factor: 1.0,
            cap: None,
        }
    }
}

impl CausalHead {
    /// The head of the configuration's architecture, and the names of its classes.
    pub(super) fn load(
        config: &Config,
        weights: &Weights,
        words: &Embedding,
        output: WordMap,
    ) -> Result<(Self, Vec<String>)> {
        let (vocab_size, hidden) = words.size();
        Ok(match config.architecture().unwrap_or_default() {
            class
                if ["ForCausalLM", "LMHeadModel", "DoubleHeadsModel"]
                    .iter()
                    .any(|end| class.ends_with(end)) =>
            {
                let own = weights.at(output.name);
                // A head that an adapter was trained with is its own, whatever the model ties.
                let tied = config.flag_or("tie_word_embeddings", output.tied)? && !own.changed("weight");
                let map = weights.optional("head", || {
                    let map = match (tied, output.bias) {
                        (true, false) => Linear::tied(words.tied(), None),
                        (true, true) => Linear::tied(words.tied(), Some(own.get("bias", [vocab_size])?)),
                        (false, bias) => Linear::load(&own, hidden, vocab_size, bias),
                    };
                    map?.times(output.factor)
                })?;
                let words = |map| Self::Words { map, cap: output.cap };
                (map.map_or(Self::None, words), Vec::new())
            }
            class if class.ends_with("ForSequenceClassification") => {
                let labels = config.labels()?;
                let load = || Linear::load(&weights.at("score"), hidden, labels.len(), false);
                let Some(classifier) = weights.optional("classifier", load)? else {
                    return Ok((Self::None, Vec::new()));
                };
                let padding = config.id("pad_token_id")?;
                (Self::Class { classifier, padding }, labels)
            }
            _ => (Self::None, Vec::new()),
        })
    }

    /// The words at every token, from its normed state `[batch, tokens, hidden]`; `None` for another head.
    pub(super) fn words(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let Self::Words { map, cap } = self else {
            return Ok(None);
        };
        let logits = map.forward(x, pass)?;
        Ok(Some(match cap {
            Some(cap) => (Activation::Tanh.forward(&(logits / *cap)?, pass)? * *cap)?,
            None => logits,
        }))
    }

    /// From the normed last layer `[batch, tokens, hidden]`.
    pub(super) fn logits(&self, x: &Tensor, tokens: &Tokens, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let Self::Class { classifier, padding } = self else {
            return self.words(x, pass);
        };
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
        Ok(Some(classifier.forward(&read, pass)?))
    }
}
