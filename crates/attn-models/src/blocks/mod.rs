//! What the families are built from: attention with taps, MLP, norms, embeddings, positions.
//!
//! Every block takes the [`Pass`] it runs in. The pass knows who listens and whether gradients are wanted, which
//! decides between fused kernels (fast, but candle's have no backward pass) and the same sums composed of plain
//! operations.

mod activation;
mod attention;
mod embedding;
mod kernels;
mod linear;
mod mask;
mod mlp;
mod norm;
mod resample;
mod rotary;

use candle_core::Tensor;

pub(crate) use self::{
    activation::Activation,
    attention::{MultiHead, Projection, Shape},
    embedding::Embedding,
    linear::Linear,
    mask::{additive_mask, additive_masks},
    mlp::Mlp,
    norm::Norm,
    resample::{Resampling, resample},
    rotary::{Rotary, RotaryOptions, Rotation},
};
use crate::{Gradients, Result, Site, Tap, tap::visit};

/// One forward pass: who listens, and how to compute.
pub(crate) struct Pass<'a> {
    pub(crate) tap: &'a mut dyn Tap,
    pub(crate) gradients: Gradients,
}

impl Pass<'_> {
    /// Hands a tensor to the tap if it wants it, and goes on with what the tap returns.
    pub(crate) fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        visit(self.tap, site, tensor)
    }

    pub(crate) fn wants(&self, site: Site) -> bool {
        self.tap.wants(site)
    }

    /// Whether kernels without a backward pass may be used.
    pub(crate) fn fused(&self) -> bool {
        self.gradients == Gradients::Off
    }
}
