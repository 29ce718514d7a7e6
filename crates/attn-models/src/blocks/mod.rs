//! The blocks that families are built from: attention with taps, MLP, norms, embeddings, positions, masks.
//!
//! Every block takes the [`Pass`] it runs in. The pass knows who listens and whether gradients are wanted. Without them
//! blocks run in fused kernels. With them they are operations that have a backward pass of their own on the CPU, and the same
//! sums composed of plain operations elsewhere.
//!
//! | block | what it is |
//! |---|---|
//! | [`Embedding`] | a table looked up by id |
//! | [`Linear`] | an affine map, in the layouts that checkpoints store |
//! | [`Norm`] | layer norm or RMS norm |
//! | [`Activation`] | an element-wise function, by the names of configurations |
//! | [`MultiHead`] | attention with grouped heads, taps and cache |
//! | [`ScoreTerms`] | soft cap, sinks and vectors of relative offsets, in the scores of a layer |
//! | [`OffsetBias`] | a bias by relative offset: T5's table, ALiBi |
//! | [`FeedForward`] | an [`Mlp`], plain or gated, or the [`Experts`] of a mixture |
//! | [`Rotary`] | rotary positions with scaling |
//! | [`Convolution`] | a convolution along time |
//! | [`sinusoids`], [`resample`] | tables of fixed positions, and of positions on another grid |
//! | [`Bias`], [`additive_mask`], [`additive_masks`] | what is added to scores, and what keeps queries from keys |
//!
//! Blocks read their tensors by the names below the [`Weights`](crate::Weights) they are given, so that a family says
//! once where a layer lies. The shape of every tensor is checked as it is read.

mod activation;
mod attention;
mod cache;
mod convolution;
mod embedding;
mod experts;
mod gradients;
mod kernels;
mod linear;
mod mask;
mod mlp;
mod norm;
mod offsets;
mod relevance;
mod resample;
mod rotary;
mod sinusoid;
mod terms;

use attn_core::{Attention, Limits, Side};
use candle_core::Tensor;

pub use self::{
    activation::Activation,
    attention::{HeadNorms, HeadShape, MultiHead, Qkv},
    convolution::{Convolution, Window},
    embedding::Embedding,
    experts::{Experts, Routes},
    linear::Linear,
    mask::{Bias, additive_mask, additive_masks},
    mlp::{ClampedMlp, Expert, FeedForward, Mlp},
    norm::Norm,
    offsets::OffsetBias,
    resample::{Resampling, resample},
    rotary::{Pairs, Rotary, RotaryLayers, RotaryOptions, Rotation},
    sinusoid::{Wavelengths, sinusoids},
    terms::{OffsetMaps, ScoreTerms, Sinks},
};
pub(crate) use self::{
    attention::{OFFSET_TENSORS, block},
    cache::Cache,
    gradients::scale_heads,
    relevance::Relevance,
};
use crate::{Gradients, Result, Site, Tap, inputs::Padding, start::Start, tap::visit};

/// One forward pass: who listens, and how to compute.
///
/// [`Model::forward`](crate::Model::forward) makes one and hands it to the network; a family hands it on to its blocks
/// and calls [`tap`](Self::tap) between them.
pub struct Pass<'a> {
    pub(crate) tap: &'a mut dyn Tap,
    pub(crate) gradients: Gradients,
    /// Set for a step of generation, which computes the tokens the cache does not have yet.
    pub(crate) cache: Option<&'a mut Cache>,
    /// Set for layer-wise relevance propagation: the backward pass then follows its rules.
    pub(crate) relevance: Option<&'a Relevance>,
    /// What a layer may take at once.
    pub(crate) limits: Limits,
    /// Whether anybody reads the predictions of the model's head.
    pub(crate) logits: bool,
    /// Which tokens of a state that is predicted from are real; `None` if all are.
    pub(crate) padding: Option<Padding>,
    /// Set for a pass that starts at a layer.
    pub(crate) start: Option<&'a Start>,
    /// Attentions that run in place of the model's.
    pub(crate) blocks: &'a [MultiHead],
}

impl<'a> Pass<'a> {
    /// A pass without a cache, for example to try a block alone.
    pub fn new(tap: &'a mut dyn Tap, gradients: Gradients) -> Self {
        Self {
            tap,
            gradients,
            cache: None,
            relevance: None,
            limits: Limits::default(),
            logits: true,
            padding: None,
            start: None,
            blocks: &[],
        }
    }

    /// The attention that runs in place of one of the model's: itself, as a rule.
    pub(crate) fn block<'b>(&self, block: &'b MultiHead) -> &'b MultiHead
    where
        'a: 'b,
    {
        let mut blocks = self.blocks.iter();
        let own = blocks.find(|own| (own.attention, own.layer) == (block.attention, block.layer));
        own.unwrap_or(block)
    }

    /// Hands a tensor to the tap if it wants it, and returns what the model goes on with.
    ///
    /// # Errors
    /// What the tap returns; [`Error::Tap`](crate::Error::Tap) for a tensor of another shape.
    pub fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let tensor = match self.start {
            Some(start) => start.enter(site, tensor)?,
            None => tensor,
        };
        visit(self.tap, site, tensor)
    }

    /// Whether a layer need not run: the pass starts above it, and [`tap`](Self::tap) gives the state it starts from at the
    /// input of the first layer that runs. A family that does not ask gives the same numbers, later.
    pub fn skips(&self, side: Side, layer: usize) -> bool {
        self.start.is_some_and(|start| start.skips(side, layer))
    }

    /// Whether the tap wants a site. Only for work that is done for a tap alone: [`tap`](Self::tap) asks by itself.
    pub fn wants(&self, site: Site) -> bool {
        self.tap.wants(site)
    }

    /// Between pieces of long work: whether to go on.
    ///
    /// # Errors
    /// What [`Tap::proceed`] returns.
    pub fn proceed(&mut self) -> Result<()> {
        self.tap.proceed()
    }

    /// Whether anybody reads [`Output::logits`](crate::model::Output::logits). A family may leave them out otherwise: for
    /// a long text they are the largest tensor of all.
    pub fn wants_logits(&self) -> bool {
        self.logits
    }

    /// Decoder tokens that earlier steps of generation have computed; 0 otherwise.
    pub fn past(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.tokens())
    }

    /// What the encoder made of the source in an earlier step of generation, or what `encode` makes of it now.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn encoded(&mut self, encode: impl FnOnce(&mut Self) -> Result<Tensor>) -> Result<Tensor> {
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

    /// The keys and values `[batch, kv_heads, tokens, head_dim]` of all tokens so far, given those of the new ones.
    /// [`MultiHead`] calls it; an attention of a family's own has to.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for shapes that do not fit the earlier ones.
    pub fn extend(
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

    /// What layer-wise relevance propagation takes as given: attention, the denominators of norms, gates. No gradient
    /// flows into it there. Otherwise the tensor as it is.
    pub fn constant(&self, tensor: Tensor) -> Tensor {
        if self.relevance.is_some() {
            tensor.detach()
        } else {
            tensor
        }
    }

    /// A vector `[batch or 1, .., hidden]` that is added whatever the input is, such as a class token or the embedding
    /// of a segment. Layer-wise relevance propagation counts its share with that of the biases.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn offset(&self, tensor: Tensor) -> Result<Tensor> {
        match self.relevance {
            Some(relevance) => relevance.constant(&tensor),
            None => Ok(tensor),
        }
    }

    /// Whether kernels without a backward pass may be used.
    pub fn fused(&self) -> bool {
        self.gradients == Gradients::Off
    }
}

impl std::fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass")
            .field("gradients", &self.gradients)
            .field("past", &self.past())
            .finish_non_exhaustive()
    }
}
