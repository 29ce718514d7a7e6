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
mod relevance;
mod rotary;

use candle_core::Tensor;

pub(crate) use self::{
    activation::Activation,
    attention::{MultiHead, Projection, Shape},
    embedding::Embedding,
    linear::Linear,
    mask::additive_mask,
    mlp::Mlp,
    norm::Norm,
    relevance::Relevance,
    rotary::{Rotary, Rotation},
};
use crate::{Gradients, Result, Site, Tap, tap::visit};

/// One forward pass: who listens, and how to compute.
pub(crate) struct Pass<'a> {
    pub(crate) tap: &'a mut dyn Tap,
    pub(crate) gradients: Gradients,
    /// Set for layer-wise relevance propagation: the backward pass then follows its rules.
    pub(crate) relevance: Option<&'a Relevance>,
}

impl Pass<'_> {
    /// Hands a tensor to the tap if it wants it, and goes on with what the tap returns.
    pub(crate) fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        visit(self.tap, site, tensor)
    }

    pub(crate) fn wants(&self, site: Site) -> bool {
        self.tap.wants(site)
    }

    /// What counts as given in layer-wise relevance propagation (attention, the denominators of norms, gates): no
    /// gradient flows into it there. Otherwise the tensor as it is.
    pub(crate) fn constant(&self, tensor: Tensor) -> Tensor {
        if self.relevance.is_some() {
            tensor.detach()
        } else {
            tensor
        }
    }

    /// A vector that is added whatever the input is, such as a class token or a segment's embedding `[batch, ..]`: in
    /// layer-wise relevance propagation its share is counted with that of the biases.
    pub(crate) fn offset(&self, tensor: Tensor) -> Result<Tensor> {
        match self.relevance {
            Some(relevance) => relevance.constant(&tensor),
            None => Ok(tensor),
        }
    }

    /// Whether kernels without a backward pass may be used.
    pub(crate) fn fused(&self) -> bool {
        self.gradients == Gradients::Off
    }
}
