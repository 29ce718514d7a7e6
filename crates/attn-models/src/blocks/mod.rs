//! What the families are built from: attention with taps, MLP, norms, embeddings, positions.
//!
//! Every block takes the [`Pass`] it runs in. The pass knows who listens and whether gradients are wanted, which
//! decides between fused kernels (fast, but candle's have no backward pass) and the same sums composed of plain
//! operations.

mod activation;
mod attention;
mod cache;
mod embedding;
mod kernels;
mod linear;
mod mask;
mod mlp;
mod norm;
mod relevance;
mod resample;
mod rotary;
mod sinusoid;

use attn_core::Attention;
use candle_core::Tensor;

pub(crate) use self::{
    activation::Activation,
    attention::{MultiHead, Projection, Shape},
    cache::Cache,
    embedding::Embedding,
    linear::Linear,
    mask::{additive_mask, additive_masks},
    mlp::Mlp,
    norm::Norm,
    relevance::Relevance,
    resample::{Resampling, resample},
    rotary::{Rotary, RotaryOptions, Rotation},
    sinusoid::{Wavelengths, sinusoids},
};
use crate::{Gradients, Result, Site, Tap, tap::visit};

/// One forward pass: who listens, and how to compute.
pub(crate) struct Pass<'a> {
    pub(crate) tap: &'a mut dyn Tap,
    pub(crate) gradients: Gradients,
    /// Set for a step of generation, which computes the tokens the cache does not have yet.
    pub(crate) cache: Option<&'a mut Cache>,
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

    /// Decoder tokens that earlier steps have computed; 0 without a cache.
    pub(crate) fn past(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.tokens())
    }

    /// What the encoder made of the source in an earlier step, or what `encode` makes of it now.
    pub(crate) fn encoded(&mut self, encode: impl FnOnce(&mut Self) -> Result<Tensor>) -> Result<Tensor> {
        if let Some(encoded) = self.cache.as_ref().and_then(|cache| cache.encoded()) {
            return Ok(encoded);
        }
        let encoded = encode(self)?;
        if let Some(cache) = &mut self.cache {
            cache.keep_encoded(encoded.clone());
        }
        Ok(encoded)
    }

    /// Keys and values of a cross-attention that an earlier step has made.
    pub(crate) fn source(&self, attention: Attention, layer: usize) -> Option<(Tensor, Tensor)> {
        let cache = self.cache.as_ref().filter(|_| attention == Attention::Cross)?;
        cache.source(layer)
    }

    /// The keys and values of all tokens so far, given those of the new ones.
    pub(crate) fn extend(
        &mut self,
        attention: Attention,
        layer: usize,
        key: Tensor,
        value: Tensor,
    ) -> Result<(Tensor, Tensor)> {
        match &mut self.cache {
            Some(cache) => cache.extend(attention, layer, key, value),
            None => Ok((key, value)),
        }
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
