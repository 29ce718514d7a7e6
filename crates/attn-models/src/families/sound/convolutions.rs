//! The convolutions of wav2vec 2.0: those that make frames of samples, and the one that tells frames where they are.

use candle_core::{D, Tensor};

use crate::{
    Result, Weights,
    blocks::{Activation, Convolution, Linear, Norm, Pass, Window},
};

/// Added to a variance over time.
const EPSILON: f64 = 1e-5;

/// A convolution of the stem, its norm and its activation.
pub(super) struct Stage {
    pub(super) convolution: Convolution,
    pub(super) norm: StageNorm,
}

/// What is normed between a convolution and its activation.
pub(super) enum StageNorm {
    None,
    /// Each channel over all frames.
    OverTime {
        /// `[channels]`.
        weight: Tensor,
        /// `[channels]`.
        bias: Tensor,
    },
    /// Each frame over its channels.
    OverChannels(Norm),
}

impl StageNorm {
    pub(super) fn over_time(weights: &Weights, channels: usize) -> Result<Self> {
        Ok(Self::OverTime {
            weight: weights.get("weight", [channels])?,
            bias: weights.get("bias", [channels])?,
        })
    }

    /// `[batch, frames, channels]` to the same shape.
    fn forward(&self, x: Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::None => Ok(x),
            Self::OverChannels(norm) => norm.forward(&x, pass),
            Self::OverTime { weight, bias } => {
                let centered = x.broadcast_sub(&x.mean_keepdim(1)?)?;
                let deviation = (centered.sqr()?.mean_keepdim(1)? + EPSILON)?.sqrt()?;
                let deviation = pass.constant(deviation);
                let y = centered.broadcast_div(&deviation)?.broadcast_mul(weight)?;
                match pass.relevance {
                    Some(relevance) => relevance.add_constant(&y, bias),
                    None => Ok(y.broadcast_add(bias)?),
                }
            }
        }
    }
}

impl Stage {
    /// `[batch, frames, channels]` to fewer frames.
    pub(super) fn forward(&self, x: &Tensor, activation: Activation, pass: &Pass<'_>) -> Result<Tensor> {
        if let StageNorm::None = self.norm {
            return self.convolution.activated(x, activation, pass);
        }
        let x = self.convolution.forward(x, pass)?;
        activation.forward(&self.norm.forward(x, pass)?, pass)
    }
}

/// A convolution over frames in groups of channels, whose matrix is a direction and a length for each place of the kernel
/// (Salimans and Kingma 2016, <https://arxiv.org/abs/1602.07868>). What it makes is added to the frames: their positions.
pub(super) struct Places {
    /// `[1, 1, kernel]`.
    length: Tensor,
    /// `[hidden, hidden / groups, kernel]`.
    direction: Tensor,
    /// `[hidden]`.
    bias: Tensor,
    groups: usize,
    window: Window,
    activation: Activation,
}

impl Places {
    /// Reads it below `weights`, under its older or its newer names.
    pub(super) fn load(
        weights: &Weights,
        hidden: usize,
        (kernel, groups): (usize, usize),
        activation: Activation,
    ) -> Result<Self> {
        let newer = weights.stores("parametrizations.weight.original0");
        let names = match newer {
            true => ["parametrizations.weight.original0", "parametrizations.weight.original1"],
            false => ["weight_g", "weight_v"],
        };
        Ok(Self {
            length: weights.get(names[0], [1, 1, kernel])?,
            direction: weights.get(names[1], [hidden, hidden / groups, kernel])?,
            bias: weights.get("bias", [hidden])?,
            groups,
            window: Window {
                kernel,
                stride: 1,
                padding: kernel / 2,
            },
            activation,
        })
    }

    /// `[batch, frames, hidden]` to the same shape.
    pub(super) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (hidden, frames) = (x.dim(2)?, x.dim(1)?);
        let channels = hidden / self.groups;
        // Made here and not as it is loaded: training changes its parts.
        let norm = self.direction.sqr()?.sum_keepdim((0, 1))?.sqrt()?;
        let weight = self.direction.broadcast_mul(&self.length.broadcast_div(&norm)?)?;
        let group = |at: usize| -> Result<Tensor> {
            let read = self.window.neighbors(&x.narrow(2, at * channels, channels)?)?;
            let map = weight.narrow(0, at * channels, channels)?.flatten_from(1)?.t()?;
            let bias = self.bias.narrow(0, at * channels, channels)?;
            Linear::from_tensors(map, Some(bias)).activated(&read, self.activation, pass)
        };
        let groups = (0..self.groups).map(group).collect::<Result<Vec<_>>>()?;
        // An even kernel makes one frame too many.
        Ok(Tensor::cat(&groups, D::Minus1)?.narrow(1, 0, frames)?.contiguous()?)
    }
}
