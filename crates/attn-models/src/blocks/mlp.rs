//! The position-wise feed-forward network, plain (Vaswani et al. 2017) or gated (Shazeer 2020).

use candle_core::Tensor;

use super::{Activation, Linear, Pass};
use crate::Result;

/// `down(act(up x))`, or `down(act(gate x) * up x)`.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    pub(crate) up: Linear,
    pub(crate) gate: Option<Linear>,
    pub(crate) down: Linear,
    pub(crate) activation: Activation,
}

impl Mlp {
    /// `[.., hidden]` to `[.., hidden]`.
    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let inner = match &self.gate {
            Some(gate) => pass
                .constant(gate.activated(x, self.activation, pass)?)
                .mul(&self.up.forward(x, pass)?)?,
            None => self.up.activated(x, self.activation, pass)?,
        };
        self.down.forward(&inner, pass)
    }
}
