//! Encoder-decoders (Vaswani et al. 2017): two stacks, and the decoder's attention to the encoder. They read text, or sound
//! (Whisper).
//!
//! [`EncoderDecoder`] is the network of all of them. BART and its kin add a vector per position; T5 adds a bias by
//! offset to the scores. Norms stand before or after each sublayer. Each family has a file that reads its
//! configuration and builds this.

pub(super) mod bart;
pub(super) mod m2m_100;
pub(super) mod marian;
pub(super) mod mbart;
pub(super) mod mt5;
pub(super) mod pegasus;
pub(super) mod t5;
pub(super) mod whisper;

use attn_core::{
    Attention, ModelInfo, Side,
    model::{AttentionInfo, Mask, Positions},
};
use candle_core::{Device, Tensor};

use self::whisper::SoundStem;
use super::Network;
use crate::{
    Error, Inputs, Result, Site,
    blocks::{Bias, Embedding, Linear, Mlp, MultiHead, Norm, OffsetBias, Pass, additive_mask},
    inputs::Tokens,
    model::{Hearing, Output},
};

struct EncoderDecoder {
    info: ModelInfo,
    device: Device,
    encoder: Stack,
    decoder: Stack,
    head: Option<Head>,
}

/// The map to the vocabulary.
struct Head {
    map: Linear,
    /// Factor on the states that the map reads.
    factor: f64,
}

/// The encoder or the decoder.
struct Stack {
    side: Side,
    entry: Entry,
    placement: Placement,
    /// A norm of the sum of words and positions.
    embedding_norm: Option<Norm>,
    /// Norms before each sublayer instead of after it.
    pre_norm: bool,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
}

/// What a stack reads, as its first vectors.
enum Entry {
    Words {
        table: Embedding,
        /// Factor on word embeddings.
        factor: f64,
    },
    /// Features of a sound, through convolutions.
    Sound(SoundStem),
}

/// How positions enter.
enum Placement {
    /// A vector per position is added to the words.
    Added(PositionTable),
    /// A bias by offset is added to the scores.
    Relative(OffsetBias),
}

/// A vector per position.
struct PositionTable {
    table: Embedding,
    /// The row of position 0.
    first_row: usize,
    /// The id of padding, where positions count real tokens only and padding has none. Padding is known by its id, not
    /// by the mask, as in the reference.
    skips: Option<u32>,
}

struct Layer {
    attention: MultiHead,
    attention_norm: Norm,
    /// The decoder's attention to the encoder.
    cross: Option<(MultiHead, Norm)>,
    mlp: Mlp,
    mlp_norm: Norm,
}

/// What the decoder reads of the source.
struct Source {
    /// The encoder's output: `[batch, keys, hidden]`.
    encoded: Tensor,
    /// Keeps decoder tokens from its padding.
    mask: Option<Bias>,
}

impl EncoderDecoder {
    /// The facts of the two stacks. Of two vocabularies (Marian can have that) the facts hold the one that is
    /// predicted.
    fn facts(
        name: &str,
        family: &str,
        max_tokens: Option<usize>,
        positions: Positions,
        stacks: [&Stack; 2],
    ) -> ModelInfo {
        let [encoder, decoder] = stacks;
        let (vocab_size, hidden) = decoder.entry.size();
        let attentions = [
            encoder.attention(Mask::Full),
            decoder.attention(Mask::Causal),
            decoder.cross_attention(),
        ];
        ModelInfo {
            name: name.to_owned(),
            family: family.to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens,
            positions,
            attentions: attentions.into_iter().flatten().collect(),
        }
    }

    /// What the two stacks read.
    fn source_and_target(&self, inputs: &Inputs) -> Result<(Tokens, Tokens)> {
        let max_tokens = self.info.max_tokens;
        let (source, name) = match &self.encoder.entry {
            Entry::Words { table, .. } => {
                inputs.only(&[
                    "input_ids",
                    "attention_mask",
                    "decoder_input_ids",
                    "decoder_attention_mask",
                ])?;
                (inputs.tokens(table.size().0, max_tokens, &self.device)?, "input_ids")
            }
            Entry::Sound(stem) => {
                inputs.only(&["input_features", "decoder_input_ids", "decoder_attention_mask"])?;
                (stem.frames(inputs, &self.device)?, "input_features")
            }
        };
        let target = inputs.decoder_tokens(self.decoder.entry.size().0, max_tokens, &self.device)?;
        if source.batch != target.batch {
            return Err(Error::input(
                "decoder_input_ids",
                format!("{} sequences, as many as {name}", source.batch),
                format!("{}", target.batch),
            ));
        }
        Ok((source, target))
    }

    /// From the decoder's last state `[batch, tokens, hidden]`.
    fn logits(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        match &self.head {
            Some(Head { map, factor }) => Ok(Some(map.forward(&times(x.clone(), *factor)?, pass)?)),
            None => Ok(None),
        }
    }
}

impl Network for EncoderDecoder {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        let (source, target) = self.source_and_target(inputs)?;
        let encoded = pass.encoded(|pass| self.encoder.run(inputs, &source, 0, Mask::Full, None, pass))?;
        let past = pass.past();
        let source = Source {
            mask: source_mask(&source, target.tokens - past)?,
            encoded,
        };
        let x = self
            .decoder
            .run(inputs, &target, past, Mask::Causal, Some(&source), pass)?;
        Ok(Output {
            logits: match pass.wants_logits() {
                true => self.logits(&x, pass)?,
                false => None,
            },
            last_hidden: x,
            pooled: None,
        })
    }

    fn hearing(&self) -> Option<Hearing> {
        match &self.encoder.entry {
            Entry::Words { .. } => None,
            Entry::Sound(stem) => Some(stem.hearing()),
        }
    }

    fn caches(&self) -> bool {
        true
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        match &self.decoder.final_norm {
            // The last state has passed the final norm.
            Some(norm) if layer < self.decoder.layers.len() => self.logits(&norm.forward(hidden, pass)?, pass),
            _ => self.logits(hidden, pass),
        }
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let stack = match attention.query_side() {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        };
        let block = stack.layers.get(layer)?;
        match attention {
            Attention::Cross => block.cross.as_ref().map(|(cross, _)| cross),
            Attention::EncoderSelf | Attention::DecoderSelf => Some(&block.attention),
        }
    }
}

impl Entry {
    /// Entries of the vocabulary, 0 without one, and the width of a vector.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Words { table, .. } => table.size(),
            Self::Sound(stem) => (0, stem.width()),
        }
    }
}

impl Stack {
    /// The facts of its self-attention.
    fn attention(&self, mask: Mask) -> Option<AttentionInfo> {
        let mut info = MultiHead::info(self.layers.iter().map(|layer| (&layer.attention, mask)))?;
        if let Placement::Relative(offsets) = &self.placement {
            offsets.enter(&mut info);
        }
        Some(info)
    }

    /// The facts of its cross-attention.
    fn cross_attention(&self) -> Option<AttentionInfo> {
        let blocks = self.layers.iter().filter_map(|layer| layer.cross.as_ref());
        MultiHead::info(blocks.map(|(cross, _)| (cross, Mask::Full)))
    }

    /// Runs the tokens from number `past` on; the decoder reads `source` too. The output is `[batch, tokens, hidden]`.
    fn run(
        &self,
        inputs: &Inputs,
        tokens: &Tokens,
        past: usize,
        mask: Mask,
        source: Option<&Source>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let side = self.side;
        let (new, all) = (tokens.tokens - past, tokens.tokens);
        let words = match &self.entry {
            Entry::Words { table, factor } => times(table.forward(&tokens.ids.narrow(1, past, new)?)?, *factor)?,
            Entry::Sound(stem) => stem.forward(inputs, tokens.ids.device(), pass)?,
        };
        let words = pass.tap(Site::embedding(side), words)?;
        let mask = additive_mask(mask, tokens.padding.as_ref(), new, all, tokens.ids.device())?;
        let (mut x, bias) = match &self.placement {
            Placement::Added(positions) => {
                let vectors = pass.tap(Site::positions(side), positions.vectors(tokens, past)?)?;
                (words.broadcast_add(&vectors)?, mask)
            }
            Placement::Relative(offsets) => {
                let padding = tokens.padding.as_ref();
                (words, Some(offsets.bias(side, (past, all), padding, mask, pass)?))
            }
        };
        if let Some(norm) = &self.embedding_norm {
            x = norm.forward(&x, pass)?;
        }
        for (layer, block) in self.layers.iter().enumerate() {
            if pass.skips(side, layer) {
                continue;
            }
            x = pass.tap(Site::hidden(side, layer), x)?;
            x = self.sublayer(&block.attention_norm, x, pass, |x, pass| {
                block.attention.forward(x, x, bias.as_ref(), None, pass)
            })?;
            if let (Some((cross, norm)), Some(source)) = (&block.cross, source) {
                x = self.sublayer(norm, x, pass, |x, pass| {
                    cross.forward(x, &source.encoded, source.mask.as_ref(), None, pass)
                })?;
            }
            x = self.sublayer(&block.mlp_norm, x, pass, |x, pass| {
                let inner = block.mlp.forward(x, pass)?;
                pass.tap(Site::mlp(side, layer), inner)
            })?;
        }
        if let Some(norm) = &self.final_norm {
            x = norm.forward(&x, pass)?;
        }
        pass.tap(Site::hidden(side, self.layers.len()), x)
    }

    /// A sublayer with its residual: `x + f(norm(x))`, or `norm(x + f(x))`.
    fn sublayer(
        &self,
        norm: &Norm,
        x: Tensor,
        pass: &mut Pass<'_>,
        inner: impl FnOnce(&Tensor, &mut Pass<'_>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if self.pre_norm {
            let normed = norm.forward(&x, pass)?;
            Ok((inner(&normed, pass)? + x)?)
        } else {
            let sum = (inner(&x, pass)? + &x)?;
            norm.forward(&sum, pass)
        }
    }
}

impl PositionTable {
    /// The vectors of the tokens from number `past` on: `[batch or 1, tokens, hidden]`.
    fn vectors(&self, tokens: &Tokens, past: usize) -> Result<Tensor> {
        let (first, device) = (self.first_row, tokens.ids.device());
        let Some(padding) = self.skips else {
            let rows: Vec<u32> = (first..first + tokens.tokens)
                .skip(past)
                .filter_map(|row| u32::try_from(row).ok())
                .collect();
            return self.table.forward(&Tensor::new(vec![rows], device)?);
        };
        // Real tokens count on from the first row.
        let (mut rows, mut real) = (Vec::new(), Vec::new());
        for ids in tokens.ids.to_vec2::<u32>()? {
            let mut next = u32::try_from(first).unwrap_or_default();
            for (at, id) in ids.into_iter().enumerate() {
                let counts = id != padding;
                if at >= past {
                    rows.push(if counts { next } else { 0 });
                    real.push(if counts { 1.0_f32 } else { 0.0 });
                }
                next += u32::from(counts);
            }
        }
        let shape = (tokens.batch, tokens.tokens - past);
        let vectors = self.table.forward(&Tensor::from_vec(rows, shape, device)?)?;
        let real = Tensor::from_vec(real, (shape.0, shape.1, 1), device)?;
        Ok(vectors.broadcast_mul(&real)?)
    }
}

/// Keeps `queries` decoder tokens from the padding of the source, or `None` without padding.
fn source_mask(source: &Tokens, queries: usize) -> Result<Option<Bias>> {
    if source.padding.is_none() {
        return Ok(None);
    }
    // One row, which is then the same for every query.
    let mask = additive_mask(
        Mask::Full,
        source.padding.as_ref(),
        1,
        source.tokens,
        source.ids.device(),
    )?;
    match mask {
        Some(mask) => {
            let row = mask.rows(0..1)?;
            Ok(Some(
                row.broadcast_as((source.batch, 1, queries, source.tokens))?.into(),
            ))
        }
        None => Ok(None),
    }
}

/// `x * factor`, without a pass over memory for a factor of 1.
fn times(x: Tensor, factor: f64) -> Result<Tensor> {
    if factor == 1.0 { Ok(x) } else { Ok((x * factor)?) }
}
