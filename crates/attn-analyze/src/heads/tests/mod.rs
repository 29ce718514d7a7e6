//! Heads whose attention is known, planted into captures, against what must be measured of them.
//!
//! Any attention matrix W can be planted: keys are one-hot position codes and the query of row i is `ln W_i`, so that
//! the softmax gives W back.

mod content;
mod labels;
mod scores;
mod similarity;
mod targets;

use attn_core::{
    Attention, Capture, CaptureWriter, ModelInfo, Sequence, Token,
    capture::{CapturePlan, Slot},
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};

/// Attention weights of one head for a sequence of so many queries and keys: `(query, key) -> weight`, rows normalized
/// by the softmax.
type Pattern<'a> = &'a dyn Fn(usize, usize) -> f32;

/// A weight that counts as none.
const NONE: f32 = 1e-30;

fn hit(yes: bool) -> f32 {
    if yes { 1.0 } else { NONE }
}

fn words(text: &str) -> Vec<Token> {
    let token = |(position, text): (usize, &str)| Token {
        text: text.into(),
        position,
        special: text.starts_with('['),
        ..Token::default()
    };
    text.split(' ').enumerate().map(token).collect()
}

fn texts(attention: Attention, lines: &[&str]) -> Vec<Sequence> {
    let sequence = |(index, line): (usize, &&str)| {
        let mut sequence = Sequence {
            name: format!("line {}", index + 1),
            ..Sequence::default()
        };
        match attention {
            Attention::EncoderSelf => sequence.encoder = words(line),
            Attention::DecoderSelf => sequence.decoder = words(line),
            Attention::Cross => {
                let (source, target) = line.split_once(" > ").unwrap();
                (sequence.encoder, sequence.decoder) = (words(source), words(target));
            }
        }
        sequence
    };
    lines.iter().enumerate().map(sequence).collect()
}

/// A capture of one attention with as many layers and heads as there are patterns.
fn planted(attention: Attention, mask: Mask, sequences: Vec<Sequence>, patterns: &[&[Pattern<'_>]]) -> Capture {
    let widest = sequences
        .iter()
        .map(|s| s.tokens(attention.key_side()).len())
        .max()
        .unwrap();
    vectors(
        attention,
        mask,
        sequences,
        patterns.len(),
        patterns[0].len(),
        widest,
        |slot, head, row, keys, column| match slot {
            Slot::Query { layer, .. } if column < keys => patterns[layer][head](row, column).ln(),
            Slot::Query { .. } => 0.0,
            _ => f32::from(row == column),
        },
    )
}

/// A capture whose vectors are given: `(slot, head, token, keys of the sequence, dimension)`.
fn vectors(
    attention: Attention,
    mask: Mask,
    sequences: Vec<Sequence>,
    layers: usize,
    heads: usize,
    head_dim: usize,
    mut value: impl FnMut(Slot, usize, usize, usize, usize) -> f32,
) -> Capture {
    let info = AttentionInfo::new(attention, heads, head_dim, vec![LayerAttention::new(1.0, mask); layers]);
    let model = ModelInfo {
        name: "planted".into(),
        family: "none".into(),
        hidden_size: heads * head_dim,
        vocab_size: None,
        max_tokens: None,
        positions: Positions::None,
        attentions: vec![info],
    };
    let writer = CaptureWriter::in_memory(CapturePlan::new(model, sequences)).unwrap();
    for sequence in 0..writer.plan().sequences.len() {
        for slot in writer.plan().slots() {
            let item = &writer.plan().sequences[sequence];
            let keys = item.tokens(attention.key_side()).len();
            let rows = match slot {
                Slot::Query { .. } => item.tokens(attention.query_side()).len(),
                _ => keys,
            };
            let mut values = Vec::new();
            for head in 0..heads {
                for row in 0..rows {
                    values.extend((0..head_dim).map(|column| value(slot, head, row, keys, column)));
                }
            }
            writer.write(slot, sequence, &values).unwrap();
        }
        writer.commit(&[sequence]).unwrap();
    }
    writer.finish().unwrap()
}

/// Runs `work` on as many threads.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(work)
}
