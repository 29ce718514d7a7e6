//! Decoders of text: causal, norms before each sublayer (Radford et al. 2019).
//!
//! [`Decoder`] is the network of all of them. They differ in the names of their tensors, in how positions enter, in
//! which keys a layer sees, and in their linear layers and norms; each has a file that reads its configuration and
//! builds this.

pub(super) mod gpt2;
pub(super) mod gpt_neox;
pub(super) mod llama;
pub(super) mod mistral;
pub(super) mod qwen2;
pub(super) mod qwen3;

use attn_core::{Attention, Mask, ModelInfo, Positions, Side};
use candle_core::{Device, Tensor};

use super::{Config, Network};
use crate::{
    Inputs, Result, Site, Weights,
    blocks::{Embedding, Linear, Mlp, MultiHead, Norm, Pass, Rotary, additive_masks},
    inputs::Tokens,
    model::Output,
};

/// How positions enter.
enum Placement {
    /// A vector per position is added to the words.
    Learned(Embedding),
    /// Queries and keys are rotated.
    Rotary(Rotary),
}

struct Layer {
    /// Which keys its queries see.
    mask: Mask,
    attention_norm: Norm,
    attention: MultiHead,
    mlp_norm: Norm,
    mlp: Mlp,
}

struct Decoder {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    placement: Placement,
    /// Whether the MLP reads the same state as the attention, instead of the state after it.
    parallel: bool,
    layers: Vec<Layer>,
    final_norm: Norm,
    head: CausalHead,
    labels: Vec<String>,
}

impl Decoder {
    /// The facts, read off the blocks.
    fn facts(
        name: &str,
        family: &str,
        max_tokens: usize,
        words: &Embedding,
        placement: &Placement,
        layers: &[Layer],
    ) -> ModelInfo {
        let (vocab_size, hidden) = words.size();
        let attention = MultiHead::info(layers.iter().map(|layer| (&layer.attention, layer.mask)));
        ModelInfo {
            name: name.to_owned(),
            family: family.to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(max_tokens),
            positions: match placement {
                Placement::Learned(_) => Positions::Learned,
                Placement::Rotary(_) => Positions::Rotary,
            },
            attentions: attention.into_iter().collect(),
        }
    }
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
        let tokens = inputs.tokens(self.words.size().0, self.info.max_tokens, &self.device)?;
        let mut positions = inputs.positions(&tokens, self.info.max_tokens)?;
        if let (Placement::Rotary(rotary), Some(padding), None) =
            (&self.placement, &tokens.padding, &inputs.position_ids)
        {
            positions = rotary.without_padding(positions, padding);
        }
        let (past, new) = (pass.past(), tokens.tokens - pass.past());
        let positions: Vec<Vec<u32>> = positions.iter().map(|row| row[past..].to_vec()).collect();
        let masks = additive_masks(
            self.layers.iter().map(|layer| layer.mask),
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
            logits: match pass.wants_logits() {
                true => self.head.logits(&x, &tokens, pass)?,
                false => None,
            },
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

/// The head of a checkpoint: the next word at each token, or the class of the whole text.
enum CausalHead {
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
struct WordMap {
    /// The name of the map where it is not the table of word embeddings.
    name: &'static str,
    /// Whether it is that table if `tie_word_embeddings` is not given.
    tied: bool,
}

impl CausalHead {
    /// The head of the configuration's architecture, and the names of its classes.
    fn load(config: &Config, weights: &Weights, words: &Embedding, output: WordMap) -> Result<(Self, Vec<String>)> {
        let (vocab_size, hidden) = words.size();
        Ok(match config.architecture().unwrap_or_default() {
            class
                if ["ForCausalLM", "LMHeadModel", "DoubleHeadsModel"]
                    .iter()
                    .any(|end| class.ends_with(end)) =>
            {
                let tied = config.flag_or("tie_word_embeddings", output.tied)?;
                let map = weights.optional("head", || match tied {
                    true => Linear::tied(words.table(), None),
                    false => Linear::load(&weights.at(output.name), hidden, vocab_size, false),
                })?;
                (map.map_or(Self::None, Self::Words), Vec::new())
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
    fn words(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        match self {
            Self::Words(map) => map.forward(x, pass).map(Some),
            Self::None | Self::Class { .. } => Ok(None),
        }
    }

    /// From the normed last layer `[batch, tokens, hidden]`.
    fn logits(&self, x: &Tensor, tokens: &Tokens, pass: &Pass<'_>) -> Result<Option<Tensor>> {
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
