//! What a batch and a capture take of memory, estimated before anything is run.

use attn_core::{
    Limits, ModelInfo, Sequence, Side,
    capture::{CaptureOptions, Precision},
    model::AttentionInfo,
};

use super::{Capturer, batch::Lengths};
use crate::{Point, Result, Site, Tap, blocks, intervene::Interventions};

/// Hidden states of a layer that are alive at a time: the stream, its norms, the sums, and the inside of an MLP that is
/// four times as wide and has a gate.
const STATES: usize = 12;

impl Capturer {
    /// Bytes that a batch of so many sequences takes, each of these lengths.
    pub(super) fn needed(&self, sequences: usize, longest: Lengths) -> Result<u64> {
        let changes = self.changes(&[], &[])?;
        Ok(of_batch(
            self.model().info(),
            self.options,
            &changes,
            sequences,
            longest,
        ))
    }

    /// Multiplications of a layer for a batch, about: its maps and its attention.
    pub(super) fn products(&self, sequences: usize, longest: Lengths) -> u64 {
        let info = self.model().info();
        let of = |own: &AttentionInfo| {
            let queries = longest.of(own.attention.query_side());
            let keys = longest.of(own.attention.key_side());
            let maps = Limits::size(&[sequences, queries, info.hidden_size, info.hidden_size], 12);
            maps.saturating_add(Limits::size(&[sequences, own.heads, own.head_dim, queries, keys], 2))
        };
        info.attentions.iter().map(of).max().unwrap_or(0)
    }

    /// Refuses a line that takes more than the limits allow even if it is alone in its batch.
    pub(super) fn refuse_long(&self, sequences: &[Sequence]) -> Result<()> {
        let changes = self.changes(&[], &[])?;
        for sequence in sequences {
            let own = Lengths::of_sequence(sequence);
            let needed = of_batch(self.model().info(), self.options, &changes, 1, own);
            if needed > self.limits.bytes {
                let name = &sequence.name;
                let what = match (own.encoder, own.decoder) {
                    (tokens, 0) | (0, tokens) => format!("{name} of {tokens} tokens"),
                    (source, target) => format!("{name} of {source} tokens and a target of {target}"),
                };
                self.limits.check(what, needed)?;
            }
        }
        Ok(())
    }
}

/// Bytes that the model takes at most at a time for a batch of so many sequences, each of these lengths.
///
/// `changes` tell which attention has to be whole. The weights are not counted.
fn of_batch(
    info: &ModelInfo,
    options: CaptureOptions,
    changes: &Interventions,
    sequences: usize,
    longest: Lengths,
) -> u64 {
    let attentions = info
        .attentions
        .iter()
        .map(|own| of_attention(info, own, changes, sequences, longest));
    let states = [Side::Encoder, Side::Decoder].map(|side| {
        let width = STATES.saturating_mul(info.hidden_size);
        Limits::size(&[sequences, longest.of(side), width], 4)
    });
    let logits = match info.vocab_size {
        // Those of the model, and a copy without padding.
        Some(vocabulary) if options.logits => Limits::size(&[sequences, longest.of(logits_side(info)), vocabulary], 8),
        _ => 0,
    };
    let attention = attentions.max().unwrap_or(0);
    states
        .into_iter()
        .fold(attention, u64::saturating_add)
        .saturating_add(logits)
}

/// One layer of an attention: queries, keys and values as they are made and as they are split, the scores of a block, and
/// what is added to them.
fn of_attention(
    info: &ModelInfo,
    own: &AttentionInfo,
    changes: &Interventions,
    sequences: usize,
    longest: Lengths,
) -> u64 {
    let attention = own.attention;
    let (queries, keys) = (longest.of(attention.query_side()), longest.of(attention.key_side()));
    let wants = |point| (0..own.layers.len()).any(|layer| changes.wants(Site::new(attention, layer, point)));
    let whole = wants(Point::Scores) || wants(Point::Attention);
    let offsets = own.relative_bias.is_some() || own.alibi.is_some();
    let block = match whole {
        true => queries,
        false => blocks::block(sequences.saturating_mul(own.heads), queries, keys),
    };
    let of_offsets = match own.relative_vectors {
        Some(_) => 4 * blocks::OFFSET_TENSORS,
        None => 0,
    };
    let of_scores = if whole { 12 } else { 4 };
    let scores = Limits::size(&[sequences, own.heads, block, keys], of_scores + of_offsets);
    // A bias by offset has its buckets, itself and its sum with the mask; a mask alone is one row for all heads.
    let bias = match offsets {
        true if whole || changes.wants(Site::positions(attention.query_side())) => {
            Limits::size(&[sequences, own.heads, queries, keys], 12)
        }
        true => Limits::size(&[sequences, own.heads, block, keys], 12),
        false => Limits::size(&[sequences, block, keys], 4),
    };
    let vectors = [
        Limits::size(&[sequences, queries, own.heads, own.head_dim], 16),
        Limits::size(&[sequences, keys, own.kv_heads, own.head_dim], 16),
        Limits::size(&[sequences, queries, info.hidden_size], 4),
    ];
    vectors
        .into_iter()
        .fold(scores.saturating_add(bias), u64::saturating_add)
}

/// Bytes of everything that a capture keeps.
pub(super) fn of_capture(info: &ModelInfo, options: CaptureOptions, lengths: &[Lengths]) -> u64 {
    let each = match options.precision {
        Precision::F16 => 2,
        _ => 4,
    };
    let tokens = |side: Side| lengths.iter().map(|own| own.of(side)).sum::<usize>();
    let mut bytes: u64 = 0;
    for own in &info.attentions {
        if options.attention {
            let (queries, keys) = (tokens(own.attention.query_side()), tokens(own.attention.key_side()));
            let queries = Limits::size(&[own.layers.len(), own.heads, queries, own.head_dim], each);
            let keys = Limits::size(&[own.layers.len(), own.kv_heads, keys, own.head_dim], 2 * each);
            bytes = bytes.saturating_add(queries).saturating_add(keys);
            if let Some(vectors) = own.relative_vectors {
                let tables = [(vectors.keys, own.kv_heads), (vectors.queries, own.heads)];
                let heads = tables.iter().filter(|(has, _)| *has).map(|(_, heads)| heads).sum();
                let tables = Limits::size(&[own.layers.len(), heads, vectors.buckets, own.head_dim], each);
                bytes = bytes.saturating_add(tables);
            }
        }
        let side = own.attention.query_side();
        if options.hidden && side == own.attention.key_side() {
            let states = Limits::size(&[own.layers.len() + 1, tokens(side), info.hidden_size], each);
            bytes = bytes.saturating_add(states);
        }
    }
    match info.vocab_size {
        Some(vocabulary) if options.logits => {
            bytes.saturating_add(Limits::size(&[tokens(logits_side(info)), vocabulary], each))
        }
        _ => bytes,
    }
}

/// Logits belong to the decoder where there is one.
pub(super) fn logits_side(info: &ModelInfo) -> Side {
    match info.attention(attn_core::Attention::DecoderSelf) {
        Some(_) => Side::Decoder,
        None => Side::Encoder,
    }
}
