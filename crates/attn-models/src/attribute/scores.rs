//! One number per input token.

use std::collections::BTreeMap;

use attn_core::Side;
use candle_core::{D, Tensor};

use crate::Result;

/// One number per token that a model reads, padding included (where it is 0): text tokens, or the patches of an image
/// without its class token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenScores {
    /// For the tokens of the encoder; empty without one.
    pub encoder: Vec<f32>,
    /// For the tokens of the decoder; empty without one.
    pub decoder: Vec<f32>,
}

impl TokenScores {
    /// The scores of one stack.
    pub fn side(&self, side: Side) -> &[f32] {
        match side {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        }
    }

    /// Their sum, added in f64.
    pub fn sum(&self) -> f64 {
        let scores = self.encoder.iter().chain(&self.decoder);
        scores.fold(0.0, |sum, &score| sum + f64::from(score))
    }

    /// From one tensor `[batch, tokens]` per stack, one per sequence.
    pub(super) fn split(sides: &BTreeMap<Side, Tensor>) -> Result<Vec<Self>> {
        let mut sequences = Vec::new();
        for (side, tensor) in sides {
            let rows: Vec<Vec<f32>> = tensor.to_vec2()?;
            sequences.resize_with(rows.len().max(sequences.len()), Self::default);
            for (scores, row) in sequences.iter_mut().zip(rows) {
                match side {
                    Side::Encoder => scores.encoder = row,
                    Side::Decoder => scores.decoder = row,
                }
            }
        }
        Ok(sequences)
    }
}

/// `sum_d x_d g_d` for `[batch, tokens, width]`: `[batch, tokens]`.
pub(super) fn dot(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_mul(gradient)?.sum(D::Minus1)?)
}
