//! The position-wise feed-forward network: plain (Vaswani et al. 2017), gated (Shazeer 2020), or a choice of several.

use candle_core::Tensor;

use super::{Activation, Experts, Linear, Pass};
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

/// The feed-forward part of a layer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FeedForward {
    /// The same network for every token.
    Mlp(Mlp),
    /// Some of several networks for each token.
    Experts(Experts),
}

impl FeedForward {
    /// `[batch, tokens, hidden]` to the same shape.
    ///
    /// # Errors
    /// What the tap returns at [`Point::Router`](crate::Point::Router); [`Error::Candle`](crate::Error::Candle) for a
    /// tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Mlp(mlp) => mlp.forward(x, pass),
            Self::Experts(experts) => experts.forward(x, pass),
        }
    }
}

impl From<Mlp> for FeedForward {
    fn from(mlp: Mlp) -> Self {
        Self::Mlp(mlp)
    }
}

impl From<Experts> for FeedForward {
    fn from(experts: Experts) -> Self {
        Self::Experts(experts)
    }
}
