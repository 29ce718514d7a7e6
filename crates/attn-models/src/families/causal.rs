//! The network of GPT-2 and its relatives: a causal decoder of text, norms before each sublayer.
//!
//! GPT-2, GPT-NeoX, Llama, Mistral and Qwen differ in the names of their tensors, in how positions enter and in their maps and
//! norms; each has a file that reads its configuration and builds this.

use attn_core::{Attention, ModelInfo, Side};
use candle_core::{Device, Tensor};

use super::Network;
use crate::{
    Inputs, Output, Result, Site, Weights,
    blocks::{Embedding, Linear, Mlp, MultiHead, Norm, Pass, Rotary, additive_masks},
    config::Config,
    inputs::{self, Tokens},
};

/// How positions enter.
pub(super) enum Placement {
    /// A vector per position is added to the words.
    Learned(Embedding),
    /// Queries and keys are rotated.
    Rotary(Rotary),
}

pub(super) struct Layer {
    pub(super) attention_norm: Norm,
    pub(super) attention: MultiHead,
    pub(super) mlp_norm: Norm,
    pub(super) mlp: Mlp,
}

pub(super) struct Decoder {
    pub(super) info: ModelInfo,
    pub(super) device: Device,
    pub(super) words: Embedding,
    pub(super) placement: Placement,
    /// Whether the MLP reads what the attention reads, and not what it leaves.
    pub(super) parallel: bool,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Norm,
    pub(super) head: CausalHead,
    pub(super) labels: Vec<String>,
}

impl Network for Decoder {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask", "position_ids"])?;
        let tokens = inputs::tokens(
            ("input_ids", inputs.input_ids.as_ref()),
            ("attention_mask", inputs.attention_mask.as_ref()),
            self.words.table().dim(0)?,
            self.info.max_tokens,
            &self.device,
        )?;
        let positions = inputs::positions(inputs.position_ids.as_ref(), &tokens, self.info.max_tokens)?;
        let (past, new) = (pass.past(), tokens.tokens - pass.past());
        let positions: Vec<Vec<u32>> = positions.iter().map(|row| row[past..].to_vec()).collect();
        let masks = additive_masks(
            self.info.attentions.iter().flat_map(|info| &info.layers),
            tokens.padding.as_ref(),
            new,
            tokens.tokens,
            &self.device,
        )?;

        let words = self.words.forward(&tokens.ids.narrow(1, past, new)?)?;
        let words = pass.tap(Site::embedding(Side::Decoder), words)?;
        let (mut x, rotation) = match &self.placement {
            Placement::Learned(table) => {
                let vectors = table.forward(&Tensor::new(positions, &self.device)?)?;
                let vectors = pass.tap(Site::positions(Side::Decoder), vectors)?;
                (words.broadcast_add(&vectors)?, None)
            }
            Placement::Rotary(rotary) => (words, Some(rotary.rotation(&positions, Side::Decoder, pass)?)),
        };
        for (layer, (block, mask)) in self.layers.iter().zip(&masks).enumerate() {
            x = pass.tap(Site::hidden(Side::Decoder, layer), x)?;
            let normed = block.attention_norm.forward(&x, pass)?;
            let attended = block
                .attention
                .forward(&normed, &normed, mask.as_ref(), rotation.as_ref(), pass)?;
            let after = (attended + &x)?;
            let read = if self.parallel { &x } else { &after };
            let inner = block.mlp.forward(&block.mlp_norm.forward(read, pass)?, pass)?;
            x = (pass.tap(Site::mlp(Side::Decoder, layer), inner)? + after)?;
        }
        let x = self.final_norm.forward(&x, pass)?;
        let x = pass.tap(Site::hidden(Side::Decoder, self.layers.len()), x)?;
        Ok(Output {
            logits: self.head.logits(&x, &tokens, pass)?,
            last_hidden: x,
            pooled: None,
        })
    }

    fn caches(&self) -> bool {
        true
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        // The last state has passed the final norm.
        if layer == self.layers.len() {
            return self.head.words(hidden, pass);
        }
        self.head.words(&self.final_norm.forward(hidden, pass)?, pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::DecoderSelf)?;
        Some(&block.attention)
    }
}

/// What a checkpoint predicts from the last layer: the next word at each token, or the class of the whole text.
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
pub(super) struct WordMap {
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
        output: WordMap,
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
