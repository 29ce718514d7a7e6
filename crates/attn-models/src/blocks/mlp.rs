//! The position-wise feed-forward network, plain (Vaswani et al. 2017) or gated (Shazeer 2020).

use candle_core::Tensor;

use super::{Activation, Linear, Pass};
use crate::Result;

/// `down(act(up x))`, or `down(act(gate x) * up x)`.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// `[hidden, inner]`.
    pub up: Linear,
    /// `[hidden, inner]`, in gated networks.
    pub gate: Option<Linear>,
    /// `[inner, hidden]`.
    pub down: Linear,
    /// Of `up`, or of `gate` where there is one.
    pub activation: Activation,
}

impl Mlp {
    /// `[.., hidden]` to `[.., hidden]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let inner = match &self.gate {
            Some(gate) => pass
                .constant(gate.activated(x, self.activation, pass)?)
                .mul(&self.up.forward(x, pass)?)?,
            None => self.up.activated(x, self.activation, pass)?,
        };
        self.down.forward(&inner, pass)
    }
}
