//! One vector per image by a learned query that attends to all tokens (Lee et al. 2019, <https://arxiv.org/abs/1810.00825>;
//! Zhai et al. 2022, <https://arxiv.org/abs/2106.04560>).

use candle_core::Tensor;

use super::Sizes;
use crate::{
    Result, Weights,
    blocks::{Linear, Mlp, MultiHead, Norm, Pass, Qkv},
};

/// The query, its attention, and an MLP with a residual. The tap sees the attention as that of one layer more than the stack
/// has, with a single query.
pub(super) struct Probe {
    /// `[1, 1, hidden]`.
    query: Tensor,
    attention: MultiHead,
    norm: Norm,
    mlp: Mlp,
}

impl Probe {
    /// Reads it below `weights`; `inner` is the width of the MLP.
    pub(super) fn load(weights: &Weights, sizes: &Sizes, inner: usize) -> Result<Self> {
        let Sizes { hidden, .. } = *sizes;
        let attention = weights.at("attention");
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
        let [query, key, value] = Linear::load_three(&attention, hidden, hidden)?;
        let output = Linear::load(&attention.at("out_proj"), hidden, hidden, true)?;
        Ok(Self {
            query: weights.get("probe", [1, 1, hidden])?,
            attention: sizes.attention(sizes.layers, Qkv::Separate { query, key, value }, output),
            norm: Norm::layer(&weights.at("layernorm"), hidden, sizes.epsilon)?,
            mlp: Mlp {
                up: linear("mlp.fc1", hidden, inner)?,
                gate: None,
                down: linear("mlp.fc2", inner, hidden)?,
                activation: sizes.activation,
            },
        })
    }

    /// From the normed last layer `[batch, tokens, hidden]`: `[batch, hidden]`.
    pub(super) fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (batch, _, hidden) = x.dims3()?;
        let query = pass.offset(self.query.broadcast_as((batch, 1, hidden))?)?;
        let read = self.attention.forward(&query, x, None, None, pass)?;
        let inner = self.mlp.forward(&self.norm.forward(&read, pass)?, pass)?;
        Ok((read + inner)?.squeeze(1)?)
    }
}
