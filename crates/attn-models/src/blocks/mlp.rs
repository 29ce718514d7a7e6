//! The position-wise feed-forward network: plain (Vaswani et al. 2017), gated (Shazeer 2020), or a choice of several.

use candle_core::{D, Tensor};

use super::{Activation, Experts, Linear, Pass, relevance::linearized};
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
        let Some(gate) = &self.gate else {
            return Linear::two((&self.up, &self.down), x, self.activation, pass);
        };
        let gate = pass.constant(gate.activated(x, self.activation, pass)?);
        self.down.forward(&gate.mul(&self.up.forward(x, pass)?)?, pass)
    }
}

/// `down((u + 1) * g sigmoid(1.702 g))` with `g` and `u` from one map and bounded (GPT-OSS, OpenAI 2025,
/// <https://arxiv.org/abs/2508.10925>).
#[derive(Debug, Clone)]
pub struct ClampedMlp {
    /// `[hidden, 2 * inner]`: `g` and `u` by turns.
    pub up: Linear,
    /// `[inner, hidden]`.
    pub down: Linear,
    /// `g` is at most this, `u` between this and its negative.
    pub limit: f64,
}

impl ClampedMlp {
    /// `[.., hidden]` to `[.., hidden]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let both = self.up.forward(x, pass)?;
        let mut pairs = both.dims().to_vec();
        if let Some(last) = pairs.last_mut() {
            *last /= 2;
        }
        pairs.push(2);
        let both = both.reshape(pairs)?;
        let part = |at| both.narrow(D::Minus1, at, 1)?.squeeze(D::Minus1)?.contiguous();
        let (gate, up) = (part(0)?, part(1)?);
        let gate = pass.constant(Activation::QuickGelu.apply(&gate.minimum(self.limit)?)?);
        let bounded = |up: &Tensor| Ok(up.clamp(-self.limit, self.limit)?);
        let up = match pass.relevance {
            Some(relevance) => {
                let one = Tensor::ones(up.dim(D::Minus1)?, up.dtype(), up.device())?;
                relevance.add_constant(&linearized(&up, bounded)?, &one)?
            }
            None => (bounded(&up)? + 1.0)?,
        };
        self.down.forward(&gate.mul(&up)?, pass)
    }
}

/// One of the networks of a mixture.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Expert {
    /// Plain or gated.
    Mlp(Mlp),
    /// Gated and bounded.
    Clamped(ClampedMlp),
}

impl Expert {
    /// `[.., hidden]` to `[.., hidden]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Mlp(mlp) => mlp.forward(x, pass),
            Self::Clamped(mlp) => mlp.forward(x, pass),
        }
    }
}

impl From<Mlp> for Expert {
    fn from(mlp: Mlp) -> Self {
        Self::Mlp(mlp)
    }
}

impl From<ClampedMlp> for Expert {
    fn from(mlp: ClampedMlp) -> Self {
        Self::Clamped(mlp)
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
