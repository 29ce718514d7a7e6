//! Taps: the one place where tensors inside a model are recorded or replaced.
//!
//! Every family calls its tap at the same named sites, so a capture, a head mask, an attention edit, an ablation
//! or a patch is written once and works on every family. The idea is that of the hook points of TransformerLens
//! (Nanda and Bloom 2022); here a tap owns the tensor at its site and returns the one the model goes on with.

use std::fmt;

use attn_core::{Attention, Side};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, layout::Layout};

/// A kind of tensor inside a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Point {
    /// Token or patch embeddings as looked up and scaled, before positions, types and norms: `[batch, tokens, hidden]`.
    /// Attribution to the input starts here.
    Embedding,
    /// The positions of tokens, as the model gets them. Zeros remove the positions, a permutation along the tokens
    /// shuffles them. Vectors to add `[batch or 1, tokens, hidden]` where positions are learned or sinusoidal,
    /// positions as numbers `[batch or 1, tokens]` where they are rotary, the bias `[1, heads, queries, keys]` where
    /// they are relative, the table `[1, buckets, hidden]` where they are vectors of offsets. Layer 0 of the self-attention
    /// of its stack; nothing where a model has no positions. A model with vectors and a bias (MPNet) has both here, the
    /// vectors first. Where one row serves the whole batch, a tap may return one per sequence.
    Positions,
    /// Queries before rotation, only in models that rotate: `[batch, heads, tokens, head_dim]`.
    QueryBeforeRotation,
    /// Keys before rotation, only in models that rotate: `[batch, kv_heads, tokens, head_dim]`.
    KeyBeforeRotation,
    /// Queries after bias, norm and rotation, before scaling: `[batch, heads, tokens, head_dim]`.
    Query,
    /// Keys after bias, norm and rotation: `[batch, kv_heads, tokens, head_dim]`.
    Key,
    /// Values: `[batch, kv_heads, tokens, head_dim]`.
    Value,
    /// Keys of relative offsets, which queries are multiplied by: `[batch or 1, kv_heads, buckets, head_dim]`. Only in models
    /// with vectors of offsets (DeBERTa).
    OffsetKey,
    /// Queries of relative offsets, which keys are multiplied by: `[batch or 1, heads, buckets, head_dim]`.
    OffsetQuery,
    /// Scaled and capped scores plus bias and mask, before the softmax: `[batch, heads, queries, keys]`. Masked cells hold
    /// the most negative finite number.
    Scores,
    /// Attention probabilities: `[batch, heads, queries, keys]`. The share of a sink is not in it.
    Attention,
    /// The output of each head, before the output layer: `[batch, tokens, heads, head_dim]`.
    HeadOutput,
    /// The output of the attention, which is added to the residual stream, by way of a norm where the family has one
    /// there: `[batch, tokens, hidden]`.
    AttentionOutput,
    /// The logits of a router, by which experts are chosen and weighted, only in layers with a mixture of experts:
    /// `[batch, tokens, experts]`. The most negative finite number keeps tokens from an expert.
    Router,
    /// The output of the MLP, which is added to the residual stream, by way of a norm where the family has one there:
    /// `[batch, tokens, hidden]`.
    Mlp,
    /// The residual stream: `[batch, tokens, hidden]`. Layer 0 is the input of the first layer, layer `j` the output of
    /// the `j`-th. The last is taken after the final norm where the reference implementation does so.
    Hidden,
}

impl Point {
    /// The name used in files: `query`, `head_output`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Positions => "positions",
            Self::QueryBeforeRotation => "query_before_rotation",
            Self::KeyBeforeRotation => "key_before_rotation",
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::OffsetKey => "offset_key",
            Self::OffsetQuery => "offset_query",
            Self::Scores => "scores",
            Self::Attention => "attention",
            Self::HeadOutput => "head_output",
            Self::AttentionOutput => "attention_output",
            Self::Router => "router",
            Self::Mlp => "mlp",
            Self::Hidden => "hidden",
        }
    }
}

/// A place inside a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Site {
    /// Which attention. A point outside the attention (embedding, MLP, hidden state) belongs to the
    /// self-attention of its stack.
    pub attention: Attention,
    /// Layer, from 0. For [`Point::Hidden`] from 0 to the number of layers, both included.
    pub layer: usize,
    /// Which tensor.
    pub point: Point,
}

impl Site {
    /// A place in a layer's attention.
    pub fn new(attention: Attention, layer: usize, point: Point) -> Self {
        Self {
            attention,
            layer,
            point,
        }
    }

    /// The residual stream after `layer` layers.
    pub fn hidden(side: Side, layer: usize) -> Self {
        Self::new(self_attention(side), layer, Point::Hidden)
    }

    /// The embeddings a stack starts from.
    pub fn embedding(side: Side) -> Self {
        Self::new(self_attention(side), 0, Point::Embedding)
    }

    /// The positions of a stack's tokens.
    pub fn positions(side: Side) -> Self {
        Self::new(self_attention(side), 0, Point::Positions)
    }

    /// The router of a layer's mixture of experts.
    pub fn router(side: Side, layer: usize) -> Self {
        Self::new(self_attention(side), layer, Point::Router)
    }

    /// The MLP of a layer.
    pub fn mlp(side: Side, layer: usize) -> Self {
        Self::new(self_attention(side), layer, Point::Mlp)
    }

    /// The stack whose tokens the site is about; for a cross-attention that of the queries.
    pub fn side(self) -> Side {
        self.attention.query_side()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of layer {}", self.attention, self.point.name(), self.layer)
    }
}

fn self_attention(side: Side) -> Attention {
    match side {
        Side::Encoder => Attention::EncoderSelf,
        Side::Decoder => Attention::DecoderSelf,
    }
}

/// Records or replaces tensors inside a model.
///
/// Taps compose: a tuple or a `Vec` of taps is a tap that hands the tensor from one to the next, and `()` is the
/// tap that does nothing.
///
/// ```
/// use attn_models::{Point, Result, Site, Tap, candle::Tensor};
///
/// /// Multiplies the output of one head by a factor: 0 ablates it.
/// struct HeadMask { layer: usize, head: usize, factor: f64 }
///
/// impl Tap for HeadMask {
///     fn wants(&self, site: Site) -> bool {
///         site.point == Point::HeadOutput && site.layer == self.layer
///     }
///     fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor> {
///         // [batch, tokens, heads, head_dim]
///         let (_, _, heads, _) = tensor.dims4()?;
///         let mask = (0..heads).map(|head| if head == self.head { self.factor as f32 } else { 1.0 });
///         let mask = Tensor::from_iter(mask, tensor.device())?.reshape((1, 1, heads, 1))?;
///         Ok(tensor.broadcast_mul(&mask)?)
///     }
/// }
/// ```
pub trait Tap {
    /// Whether [`tap`](Self::tap) is to be called at `site`. A model skips work that no tap wants: if none wants
    /// [`Point::Scores`] and [`Point::Attention`], the attention matrix is never kept.
    fn wants(&self, site: Site) -> bool;

    /// Told before each forward pass, and before each step of generation, what the rows and columns of its tensors are
    /// about. Default: nothing.
    ///
    /// # Errors
    /// Those of the tap; the forward pass ends with them.
    fn begin(&mut self, _layout: &Layout) -> Result<()> {
        Ok(())
    }

    /// Takes the tensor at `site` and returns the one the model goes on with, of the same shape. Its memory
    /// layout is any (`contiguous()` it before reading it flat).
    ///
    /// # Errors
    /// Those of the tap; the forward pass ends with them.
    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor>;

    /// Told after a forward pass, and after each step of generation, that it met no error. Default: nothing.
    ///
    /// # Errors
    /// Those of the tap; the pass then has no output.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// Asked between pieces of long work, such as blocks of a long text's queries. An error ends the forward pass: this is
    /// where a cancellation is heard. Default: go on.
    ///
    /// # Errors
    /// Those of the tap.
    fn proceed(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Tap for () {
    fn wants(&self, _: Site) -> bool {
        false
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor> {
        Ok(tensor)
    }
}

impl<T: Tap + ?Sized> Tap for &mut T {
    fn wants(&self, site: Site) -> bool {
        (**self).wants(site)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        (**self).begin(layout)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        (**self).tap(site, tensor)
    }

    fn end(&mut self) -> Result<()> {
        (**self).end()
    }

    fn proceed(&mut self) -> Result<()> {
        (**self).proceed()
    }
}

impl<T: Tap + ?Sized> Tap for Box<T> {
    fn wants(&self, site: Site) -> bool {
        (**self).wants(site)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        (**self).begin(layout)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        (**self).tap(site, tensor)
    }

    fn end(&mut self) -> Result<()> {
        (**self).end()
    }

    fn proceed(&mut self) -> Result<()> {
        (**self).proceed()
    }
}

impl<T: Tap> Tap for Vec<T> {
    fn wants(&self, site: Site) -> bool {
        self.iter().any(|tap| tap.wants(site))
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.iter_mut().try_for_each(|tap| tap.begin(layout))
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        self.iter_mut().try_fold(tensor, |tensor, tap| visit(tap, site, tensor))
    }

    fn end(&mut self) -> Result<()> {
        self.iter_mut().try_for_each(Tap::end)
    }

    fn proceed(&mut self) -> Result<()> {
        self.iter_mut().try_for_each(Tap::proceed)
    }
}

impl<A: Tap, B: Tap> Tap for (A, B) {
    fn wants(&self, site: Site) -> bool {
        self.0.wants(site) || self.1.wants(site)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.0.begin(layout)?;
        self.1.begin(layout)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let tensor = visit(&mut self.0, site, tensor)?;
        visit(&mut self.1, site, tensor)
    }

    fn end(&mut self) -> Result<()> {
        self.0.end()?;
        self.1.end()
    }

    fn proceed(&mut self) -> Result<()> {
        self.0.proceed()?;
        self.1.proceed()
    }
}

impl<A: Tap, B: Tap, C: Tap> Tap for (A, B, C) {
    fn wants(&self, site: Site) -> bool {
        self.0.wants(site) || self.1.wants(site) || self.2.wants(site)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.0.begin(layout)?;
        self.1.begin(layout)?;
        self.2.begin(layout)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let tensor = visit(&mut self.0, site, tensor)?;
        let tensor = visit(&mut self.1, site, tensor)?;
        visit(&mut self.2, site, tensor)
    }

    fn end(&mut self) -> Result<()> {
        self.0.end()?;
        self.1.end()?;
        self.2.end()
    }

    fn proceed(&mut self) -> Result<()> {
        self.0.proceed()?;
        self.1.proceed()?;
        self.2.proceed()
    }
}

/// Calls a tap if it wants the site, and holds it to the tensor's shape.
pub(crate) fn visit<T: Tap + ?Sized>(tap: &mut T, site: Site, tensor: Tensor) -> Result<Tensor> {
    if !tap.wants(site) {
        return Ok(tensor);
    }
    let expected = tensor.dims().to_vec();
    let tensor = tap.tap(site, tensor)?;
    // Positions that all sequences share become different ones where a tap treats sequences differently.
    let spread = site.point == Point::Positions
        && expected.first() == Some(&1)
        && tensor.dims().get(1..) == expected.get(1..)
        && tensor.dims().first().is_some_and(|&batch| batch > 0);
    if tensor.dims() == expected || spread {
        Ok(tensor)
    } else {
        Err(Error::Tap {
            site: site.to_string(),
            expected,
            found: tensor.dims().to_vec(),
        })
    }
}
