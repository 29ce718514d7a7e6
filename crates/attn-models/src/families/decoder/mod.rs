//! Decoders of text: causal, each sublayer with a residual (Vaswani et al. 2017; Radford et al. 2019).
//!
//! [`Decoder`] is the network of all of them. They differ in the names of their tensors, in how positions enter, in
//! which keys a layer sees, in where norms stand, in what the MLP reads, and in their linear layers; each has a file
//! that reads its configuration and builds this. What many read alike stands in [`plan`].

pub(super) mod bloom;
pub(super) mod clip_text;
pub(super) mod cohere;
pub(super) mod falcon;
pub(super) mod gemma;
pub(super) mod gemma2;
pub(super) mod gemma3;
pub(super) mod gpt2;
pub(super) mod gpt_neo;
pub(super) mod gpt_neox;
pub(super) mod gpt_oss;
pub(super) mod gptj;
pub(super) mod granite;
mod head;
pub(super) mod llama;
pub(super) mod mistral;
pub(super) mod mixtral;
pub(super) mod mpt;
pub(super) mod olmo2;
pub(super) mod opt;
pub(super) mod phi;
pub(super) mod phi3;
mod plan;
pub(super) mod qwen2;
pub(super) mod qwen3;
pub(super) mod qwen3_moe;
pub(super) mod smollm3;
pub(super) mod starcoder2;
mod windows;

use attn_core::{
    Attention, ModelInfo, Side,
    model::{Mask, Positions},
};
use candle_core::{Device, Tensor};

use self::head::{CausalHead, WordMap};
use super::{Config, Network};
use crate::{
    Inputs, Result, Site, Weights,
    blocks::{
        Bias, Embedding, Experts, FeedForward, MultiHead, Norm, OffsetBias, Pass, Rotary, Rotation, additive_masks,
    },
    inputs::Tokens,
    model::Output,
};

/// How positions enter.
enum Placement {
    /// A vector per position is added to the words.
    Learned {
        table: Embedding,
        /// Row of the table that holds position 0.
        first_row: usize,
        /// Positions count real tokens only; padding has the row before the first.
        skips_padding: bool,
    },
    /// Queries and keys are rotated; layers may differ in how.
    Rotary(Vec<Rotary>),
    /// Scores fall with the distance of their tokens.
    Scores {
        bias: OffsetBias,
        /// The longest sequence, if there is one.
        max_tokens: Option<usize>,
    },
}

/// How words become the first state.
struct Words {
    table: Embedding,
    /// Factor on what is looked up.
    factor: f64,
    /// Norm of the sum of words and positions.
    norm: Option<Norm>,
}

/// The norms around a sublayer: of what it reads, and of what it makes before that is added to the residual stream.
#[derive(Default)]
struct Norms {
    before: Option<Norm>,
    after: Option<Norm>,
}

/// What the MLP of a layer reads, by way of its norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// The state after the attention.
    Attended,
    /// The state that the attention reads, too.
    State,
    /// What the attention reads, the attention's norm included.
    Normed,
}

struct Layer {
    /// Which keys its queries see.
    mask: Mask,
    /// Which of the decoder's rotations its queries and keys go through, if any.
    rotation: Option<usize>,
    attention_norms: Norms,
    attention: MultiHead,
    reads: Reads,
    mlp_norms: Norms,
    mlp: FeedForward,
}

/// What a family builds a decoder from.
struct Parts {
    family: &'static str,
    words: Words,
    placement: Placement,
    layers: Vec<Layer>,
    final_norm: Norm,
    /// The map to words, for checkpoints that predict them.
    map: WordMap,
}

struct Decoder {
    info: ModelInfo,
    device: Device,
    parts: Parts,
    head: CausalHead,
    labels: Vec<String>,
}

impl Norms {
    fn before(norm: Norm) -> Self {
        Self {
            before: Some(norm),
            after: None,
        }
    }

    fn after(norm: Norm) -> Self {
        Self {
            before: None,
            after: Some(norm),
        }
    }

    fn around(before: Norm, after: Norm) -> Self {
        Self {
            before: Some(before),
            after: Some(after),
        }
    }
}

/// `norm(x)`, or `x` without a norm.
fn normed(norm: Option<&Norm>, x: Tensor, pass: &Pass<'_>) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x, pass),
        None => Ok(x),
    }
}

impl Words {
    /// The words as they are.
    fn plain(table: Embedding) -> Self {
        Self {
            table,
            factor: 1.0,
            norm: None,
        }
    }
}

impl Placement {
    /// Positions by a vector each, from the first row of the table on.
    fn learned(table: Embedding) -> Self {
        Self::Learned {
            table,
            first_row: 0,
            skips_padding: false,
        }
    }

    /// The longest sequence, if there is one.
    fn max_tokens(&self) -> Option<usize> {
        match self {
            Self::Learned { table, first_row, .. } => Some(table.size().0.saturating_sub(*first_row)),
            Self::Rotary(all) => all.iter().map(Rotary::max_tokens).max(),
            Self::Scores { max_tokens, .. } => *max_tokens,
        }
    }

    /// The positions of all tokens, `[batch or 1][token]`: those of `inputs`, or by counting. Learned ones are rows of the
    /// table.
    fn positions(&self, inputs: &Inputs, tokens: &Tokens) -> Result<Vec<Vec<u32>>> {
        let rows = inputs.positions(tokens, self.max_tokens())?;
        let padding = tokens.padding.as_ref().filter(|_| inputs.position_ids.is_none());
        Ok(match self {
            Self::Learned {
                first_row,
                skips_padding,
                ..
            } => {
                // Positions are below the rows of a table that is in memory.
                let first = u32::try_from(*first_row).unwrap_or_default();
                match padding.filter(|_| *skips_padding) {
                    Some(padding) => {
                        let of_sequence = |sequence| {
                            let mut next = first;
                            let row = (0..tokens.tokens).map(|at| {
                                let real = padding.is_real(sequence, at);
                                next += u32::from(real);
                                if real { next - 1 } else { first.saturating_sub(1) }
                            });
                            row.collect()
                        };
                        (0..tokens.batch).map(of_sequence).collect()
                    }
                    None => {
                        let shifted = |row: Vec<u32>| row.into_iter().map(|position| position + first).collect();
                        rows.into_iter().map(shifted).collect()
                    }
                }
            }
            Self::Rotary(all) => match padding {
                Some(padding) => all
                    .iter()
                    .fold(rows, |rows, rotary| rotary.without_padding(rows, padding)),
                None => rows,
            },
            Self::Scores { .. } => rows,
        })
    }

    /// Adds the positions to the words, or gives the rotations that layers choose from.
    fn place(&self, words: Tensor, positions: &[Vec<u32>], pass: &mut Pass<'_>) -> Result<(Tensor, Vec<Rotation>)> {
        Ok(match self {
            Self::Learned { table, .. } => {
                let vectors = table.forward(&Tensor::new(positions.to_vec(), words.device())?)?;
                let vectors = pass.tap(Site::positions(Side::Decoder), vectors)?;
                (words.broadcast_add(&vectors)?, Vec::new())
            }
            Self::Rotary(all) => (words, Rotary::rotations(all, positions, Side::Decoder, pass)?),
            Self::Scores { .. } => (words, Vec::new()),
        })
    }

    /// What is added to the scores of each layer: its mask, and the bias of distances where there is one.
    fn biases(
        &self,
        layers: &[Layer],
        masks: Vec<Option<Bias>>,
        tokens: &Tokens,
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Option<Bias>>> {
        let Self::Scores { bias, .. } = self else {
            return Ok(masks);
        };
        let (places, padding) = ((pass.past(), tokens.tokens), tokens.padding.as_ref());
        let mut made: Vec<(Mask, Bias)> = Vec::new();
        let mut of = |(layer, mask): (&Layer, Option<Bias>)| -> Result<Option<Bias>> {
            if let Some((_, bias)) = made.iter().find(|(other, _)| *other == layer.mask) {
                return Ok(Some(bias.clone()));
            }
            let bias = bias.bias(Side::Decoder, places, padding, mask, pass)?;
            made.push((layer.mask, bias.clone()));
            Ok(Some(bias))
        };
        layers.iter().zip(masks).map(&mut of).collect()
    }
}

impl Decoder {
    /// Loads the head that goes with the parts; the facts are read off them.
    fn build(config: &Config, name: &str, weights: &Weights, parts: Parts) -> Result<Box<dyn Network>> {
        let (vocab_size, hidden) = parts.words.table.size();
        let (head, labels) = CausalHead::load(config, weights, &parts.words.table, parts.map)?;
        let mut attention = MultiHead::info(parts.layers.iter().map(|layer| (&layer.attention, layer.mask)));
        if let (Placement::Scores { bias, .. }, Some(info)) = (&parts.placement, &mut attention) {
            bias.enter(info);
        }
        let info = ModelInfo {
            name: name.to_owned(),
            family: parts.family.to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: parts.placement.max_tokens(),
            positions: match parts.placement {
                Placement::Learned { .. } => Positions::Learned,
                Placement::Rotary(_) => Positions::Rotary,
                Placement::Scores { .. } => Positions::Alibi,
            },
            attentions: attention.into_iter().collect(),
        };
        Ok(Box::new(Self {
            info,
            device: weights.device().clone(),
            parts,
            head,
            labels,
        }))
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
        let Parts {
            words,
            placement,
            layers,
            ..
        } = &self.parts;
        inputs.only(match placement {
            Placement::Learned { .. } | Placement::Rotary(_) => &["input_ids", "attention_mask", "position_ids"],
            Placement::Scores { .. } => &["input_ids", "attention_mask"],
        })?;
        let tokens = inputs.tokens(words.table.size().0, self.info.max_tokens, &self.device)?;
        let positions = placement.positions(inputs, &tokens)?;
        let (past, new) = (pass.past(), tokens.tokens - pass.past());
        let positions: Vec<Vec<u32>> = positions.iter().map(|row| row[past..].to_vec()).collect();
        let masks = additive_masks(
            layers.iter().map(|layer| layer.mask),
            tokens.padding.as_ref(),
            new,
            tokens.tokens,
            &self.device,
        )?;

        let looked_up = words.table.forward(&tokens.ids.narrow(1, past, new)?)?;
        let looked_up = match words.factor {
            1.0 => looked_up,
            factor => (looked_up * factor)?,
        };
        let looked_up = pass.tap(Site::embedding(Side::Decoder), looked_up)?;
        let (x, rotations) = placement.place(looked_up, &positions, pass)?;
        let biases = placement.biases(layers, masks, &tokens, pass)?;
        let mut x = normed(words.norm.as_ref(), x, pass)?;
        for (layer, (block, bias)) in layers.iter().zip(&biases).enumerate() {
            if pass.skips(Side::Decoder, layer) {
                continue;
            }
            x = pass.tap(Site::hidden(Side::Decoder, layer), x)?;
            let rotation = block.rotation.and_then(|at| rotations.get(at));
            let read = normed(block.attention_norms.before.as_ref(), x.clone(), pass)?;
            let attended = block.attention.forward(&read, &read, bias.as_ref(), rotation, pass)?;
            let attended = normed(block.attention_norms.after.as_ref(), attended, pass)?;
            let after = (attended + &x)?;
            let read = match block.reads {
                Reads::Attended => after.clone(),
                Reads::State => x,
                Reads::Normed => read,
            };
            let read = normed(block.mlp_norms.before.as_ref(), read, pass)?;
            let inner = block.mlp.forward(&read, pass)?;
            let inner = pass.tap(Site::mlp(Side::Decoder, layer), inner)?;
            x = (normed(block.mlp_norms.after.as_ref(), inner, pass)? + after)?;
        }
        let x = self.parts.final_norm.forward(&x, pass)?;
        let x = pass.tap(Site::hidden(Side::Decoder, layers.len()), x)?;
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

    fn rotates_anew_beyond(&self) -> Option<usize> {
        match &self.parts.placement {
            Placement::Rotary(all) => all.iter().filter_map(Rotary::turns_anew_beyond).min(),
            _ => None,
        }
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        // The last state has passed the final norm.
        if layer == self.parts.layers.len() {
            return self.head.words(hidden, pass);
        }
        self.head.words(&self.parts.final_norm.forward(hidden, pass)?, pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.parts.layers.get(layer);
        Some(&block.filter(|_| attention == Attention::DecoderSelf)?.attention)
    }

    fn experts(&self, layer: usize) -> Option<&Experts> {
        match &self.parts.layers.get(layer)?.mlp {
            FeedForward::Experts(experts) => Some(experts),
            FeedForward::Mlp(_) => None,
        }
    }
}
