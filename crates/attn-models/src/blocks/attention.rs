//! Multi-head attention (Vaswani et al. 2017) with grouped keys and values (Ainslie et al. 2023), and the taps on
//! everything inside it.

use attn_core::{
    Attention, Limits,
    model::{AttentionInfo, LayerAttention, Mask},
};
use candle_core::{D, Tensor};

use super::{
    Bias, Linear, Norm, Pass, Rotation, ScoreTerms, Sinks, gradients, kernels,
    terms::{OffsetLayer, Offsets},
};
use crate::{Point, Result, Site};

/// Scores up to which a layer computes all of its attention at once.
const AT_ONCE: usize = 1 << 24;

/// Tensors as large as the scores that products with offsets take: their index, two terms and sums.
pub(crate) const OFFSET_TENSORS: usize = 5;

/// Fewest queries of a block: below it the products would not run at full speed.
const FEWEST: usize = 64;

/// Queries whose attention to `keys` is computed at once by a layer of `heads` heads (of all sequences together), where
/// nobody wants it whole. Texts of ordinary length are one block.
pub(crate) fn block(heads: usize, queries: usize, keys: usize) -> usize {
    let row = heads.saturating_mul(keys).max(1);
    if row.saturating_mul(queries) <= AT_ONCE {
        return queries;
    }
    let rows = AT_ONCE / row / FEWEST * FEWEST;
    rows.max(FEWEST).min(queries)
}

/// The sizes of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Divides `heads`; query head `h` reads key/value head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl HeadShape {
    /// The shape of an attention whose heads have keys and values of their own.
    pub fn full(heads: usize, head_dim: usize) -> Self {
        Self {
            heads,
            kv_heads: heads,
            head_dim,
        }
    }
}

/// The linear layers that make queries, keys and values.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Qkv {
    /// Three layers.
    Separate {
        /// `[hidden, heads * head_dim]`.
        query: Linear,
        /// `[hidden, kv_heads * head_dim]`.
        key: Linear,
        /// `[hidden, kv_heads * head_dim]`.
        value: Linear,
    },
    /// One layer whose output holds all queries, then all keys, then all values (GPT-2).
    Joint(Linear),
    /// One layer whose output holds, group by group, its queries, its key and its value: head by head where each has a key
    /// of its own (GPT-NeoX).
    JointPerGroup(Linear),
}

impl Qkv {
    fn maps(&self) -> Vec<&Linear> {
        match self {
            Self::Separate { query, key, value } => vec![query, key, value],
            Self::Joint(joint) | Self::JointPerGroup(joint) => vec![joint],
        }
    }
}

/// Norms of queries and keys, before rotation.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    /// Of queries.
    pub query: Norm,
    /// Of keys.
    pub key: Norm,
    /// Whether a norm spans all heads of a token together, `heads * head_dim` (OLMo 2), instead of each, `head_dim`.
    pub joint: bool,
}

/// One attention of one layer, with the taps on everything inside it.
///
/// It calls the tap at queries, keys and values (before rotation too, where there is one), scores, attention, head
/// outputs and its own output, and it reads and extends the cache of a step of generation.
#[derive(Debug, Clone)]
pub struct MultiHead {
    /// Which attention of the model, for its [`Site`]s.
    pub attention: Attention,
    /// Which layer, from 0.
    pub layer: usize,
    /// Its sizes.
    pub shape: HeadShape,
    /// Factor on query-key products.
    pub scale: f64,
    /// What makes queries, keys and values.
    pub qkv: Qkv,
    /// Norms of queries and keys, if the family has them.
    pub norms: Option<HeadNorms>,
    /// From the heads back to the hidden state: `[heads * head_dim, hidden]`.
    pub output: Linear,
    /// What enters the scores besides products of queries and keys.
    pub terms: ScoreTerms,
}

impl MultiHead {
    /// The facts of one attention of a model, for [`ModelInfo`](attn_core::ModelInfo), read off its layers from first
    /// to last. `None` without a layer. Layers that are left out before another have no attention; layers may differ in their
    /// numbers of heads.
    pub fn info<'a>(layers: impl IntoIterator<Item = (&'a Self, Mask)>) -> Option<AttentionInfo> {
        let mut info: Option<AttentionInfo> = None;
        for (block, mask) in layers {
            let layer = LayerAttention {
                soft_cap: block.terms.soft_cap.map(|cap| cap as f32),
                sinks: block.terms.sinks.as_ref().map(|sinks| sinks.values.clone()),
                ..LayerAttention::new(block.scale as f32, mask)
            };
            let HeadShape {
                heads,
                kv_heads,
                head_dim,
            } = block.shape;
            let info = info.get_or_insert_with(|| AttentionInfo {
                relative_vectors: block.terms.offsets.as_ref().map(|offsets| offsets.facts),
                ..AttentionInfo::new(block.attention, heads, head_dim, Vec::new()).with_kv_heads(kv_heads)
            });
            while info.layers.len() < block.layer {
                info.layers.push(LayerAttention::none());
            }
            info.layers.push(layer.with_heads(heads, kv_heads));
            info.heads = info.heads.max(heads);
            info.kv_heads = info.kv_heads.max(kv_heads);
        }
        // What all layers have alike is said once.
        if let Some(info) = &mut info {
            for layer in &mut info.layers {
                layer.heads = layer.heads.filter(|&heads| heads != info.heads);
                layer.kv_heads = layer.kv_heads.filter(|&heads| heads != info.kv_heads);
            }
        }
        info
    }

    /// The same attention, its maps of variables of their own. Maps of offsets that share a matrix with it still do.
    pub(crate) fn with_variables(&self) -> Result<Self> {
        let before = self.qkv.maps();
        let qkv = match &self.qkv {
            Qkv::Separate { query, key, value } => Qkv::Separate {
                query: query.with_variables()?,
                key: key.with_variables()?,
                value: value.with_variables()?,
            },
            Qkv::Joint(joint) => Qkv::Joint(joint.with_variables()?),
            Qkv::JointPerGroup(joint) => Qkv::JointPerGroup(joint.with_variables()?),
        };
        let mut terms = self.terms.clone();
        if let Some(offsets) = &mut terms.offsets {
            for map in [&mut offsets.key, &mut offsets.query].into_iter().flatten() {
                let mut pairs = before.iter().zip(qkv.maps());
                if let Some((_, variables)) = pairs.find(|(before, _)| before.shares(map)) {
                    *map = variables.clone();
                }
            }
        }
        Ok(Self {
            qkv,
            terms,
            output: self.output.with_variables()?,
            norms: self.norms.clone(),
            ..*self
        })
    }

    /// The maps of the attention: those of queries, keys and values, then that of the output.
    pub(crate) fn maps(&self) -> Vec<&Linear> {
        let mut maps = self.qkv.maps();
        maps.push(&self.output);
        maps
    }

    /// The key/value head that a head reads.
    pub(crate) fn shared(&self, head: usize) -> usize {
        head / (self.shape.heads / self.shape.kv_heads.max(1)).max(1)
    }

    /// Where a head's query, key and value lie among the outputs of the maps, one map after the other, in heads.
    pub(crate) fn places(&self, head: usize) -> [usize; 3] {
        let HeadShape { heads, kv_heads, .. } = self.shape;
        match &self.qkv {
            Qkv::JointPerGroup(_) => {
                let group = (heads / kv_heads.max(1)).max(1);
                let start = self.shared(head) * (group + 2);
                [start + head % group, start + group, start + group + 1]
            }
            Qkv::Separate { .. } | Qkv::Joint(_) => {
                let shared = self.shared(head);
                [head, heads + shared, heads + kv_heads + shared]
            }
        }
    }

    /// Attention of the tokens of `x` `[batch, queries, hidden]` to those of `source` `[batch, keys, hidden]`
    /// (`x` itself for self-attention). `bias` is added to the scores: mask and relative positions. `rotation` turns queries
    /// and keys, where positions are rotary. The output is `[batch, queries, hidden]`.
    ///
    /// The attention of a long text is computed in blocks of queries, with the same result, unless it is tapped or
    /// differentiated.
    ///
    /// # Errors
    /// What the tap returns, [`attn_core::Error::Memory`] for an attention that has to be whole and takes more than is
    /// allowed, and [`Error::Candle`](crate::Error::Candle).
    pub fn forward(
        &self,
        x: &Tensor,
        source: &Tensor,
        bias: Option<&Bias>,
        rotation: Option<&Rotation>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let block = pass.block(self);
        if let Some((key, value)) = pass.source(self.attention, self.layer) {
            let query = block.query_alone(x, pass)?;
            return block.read([&query, &key, &value], bias, None, pass);
        }
        let [query, key, value] = block.split_heads(x, source, rotation, pass)?;
        let (key, value) = pass.extend(self.attention, self.layer, key, value)?;
        block.read([&query, &key, &value], bias, None, pass)
    }

    /// Self-attention whose scores have products with vectors of relative offsets, `table` `[batch or 1, buckets, hidden]`,
    /// by the maps in [`terms`](Self::terms). Without maps it is [`forward`](Self::forward). It has no cache.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_relative(
        &self,
        x: &Tensor,
        bias: Option<&Bias>,
        table: &Tensor,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let block = pass.block(self);
        let [query, key, value] = block.split_heads(x, x, None, pass)?;
        let offsets = match &block.terms.offsets {
            Some(maps) => {
                let layer = OffsetLayer {
                    site: self.site(Point::OffsetKey),
                    heads: self.shape.heads,
                    kv_heads: self.shape.kv_heads,
                    scale: self.scale,
                };
                Some(maps.offsets(table, &key, &layer, pass)?)
            }
            None => None,
        };
        block.read([&query, &key, &value], bias, offsets.as_ref(), pass)
    }

    /// Queries, keys and values, head by head, after the tap.
    fn split_heads(
        &self,
        x: &Tensor,
        source: &Tensor,
        rotation: Option<&Rotation>,
        pass: &mut Pass<'_>,
    ) -> Result<[Tensor; 3]> {
        let HeadShape { heads, kv_heads, .. } = self.shape;
        let (query, key, value) = self.project(x, source, pass)?;
        let norms = self.norms.as_ref();
        let query = self.normed(&query, heads, norms.map(|norms| &norms.query), pass)?;
        let key = self.normed(&key, kv_heads, norms.map(|norms| &norms.key), pass)?;
        let value = self.split(&value, kv_heads)?;
        let (query, key) = match rotation {
            Some(rotation) => {
                let query = pass.tap(self.site(Point::QueryBeforeRotation), query)?;
                let key = pass.tap(self.site(Point::KeyBeforeRotation), key)?;
                (rotation.apply(&query, pass)?, rotation.apply(&key, pass)?)
            }
            None => (query, key),
        };
        let query = pass.tap(self.site(Point::Query), query)?;
        let key = pass.tap(self.site(Point::Key), key)?;
        let value = pass.tap(self.site(Point::Value), value)?;
        Ok([query, key, value])
    }

    /// The queries of a cross-attention whose keys and values are cached. Cross-attentions do not rotate.
    fn query_alone(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let query = match &self.qkv {
            Qkv::Separate { query, .. } => query.forward(x, pass)?,
            Qkv::Joint(_) | Qkv::JointPerGroup(_) => self.project(x, x, pass)?.0,
        };
        let norm = self.norms.as_ref().map(|norms| &norms.query);
        let query = self.normed(&query, self.shape.heads, norm, pass)?;
        pass.tap(self.site(Point::Query), query)
    }

    /// What the heads read, through the output projection.
    fn read(
        &self,
        qkv: [&Tensor; 3],
        bias: Option<&Bias>,
        offsets: Option<&Offsets>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let context = self.attend(qkv, bias, offsets, pass)?;
        let (batch, tokens, ..) = context.dims4()?;
        let context = pass.tap(self.site(Point::HeadOutput), context)?;
        // An operation with a backward pass takes heads side by side as they are.
        let context = match !pass.fused() && kernels::apply_to(&context) {
            true => context,
            false => context.reshape((batch, tokens, ()))?,
        };
        let output = self.output.forward(&context, pass)?;
        pass.tap(self.site(Point::AttentionOutput), output)
    }

    fn project(&self, x: &Tensor, source: &Tensor, pass: &Pass<'_>) -> Result<(Tensor, Tensor, Tensor)> {
        match &self.qkv {
            Qkv::Separate { query, key, value } => Ok((
                query.forward(x, pass)?,
                key.forward(source, pass)?,
                value.forward(source, pass)?,
            )),
            Qkv::Joint(joint) => {
                let all = joint.forward(x, pass)?;
                let HeadShape {
                    heads,
                    kv_heads,
                    head_dim,
                } = self.shape;
                let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
                Ok((
                    all.narrow(D::Minus1, 0, wide)?,
                    all.narrow(D::Minus1, wide, narrow)?,
                    all.narrow(D::Minus1, wide + narrow, narrow)?,
                ))
            }
            Qkv::JointPerGroup(joint) => {
                let all = joint.forward(x, pass)?;
                let (batch, tokens, _) = all.dims3()?;
                let HeadShape {
                    heads,
                    kv_heads,
                    head_dim,
                } = self.shape;
                let group = heads / kv_heads;
                let all = all.reshape((batch, tokens, kv_heads, group + 2, head_dim))?;
                let part = |at, count| {
                    let part = all.narrow(3, at, count)?;
                    part.reshape((batch, tokens, kv_heads * count * head_dim))
                };
                Ok((part(0, group)?, part(group, 1)?, part(group + 1, 1)?))
            }
        }
    }

    /// Queries or keys `[batch, tokens, heads * head_dim]`, normed, as `[batch, heads, tokens, head_dim]`.
    fn normed(&self, x: &Tensor, heads: usize, norm: Option<&Norm>, pass: &Pass<'_>) -> Result<Tensor> {
        let joint = self.norms.as_ref().is_some_and(|norms| norms.joint);
        match norm {
            Some(norm) if joint => self.split(&norm.forward(x, pass)?, heads),
            Some(norm) => norm.forward(&self.split(x, heads)?, pass),
            None => self.split(x, heads),
        }
    }

    /// `[batch, tokens, heads * head_dim]` to a contiguous `[batch, heads, tokens, head_dim]`.
    fn split(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        if x.track_op() && kernels::apply_to(x) {
            return Ok(gradients::split_heads(x, heads)?);
        }
        Ok(x.reshape((batch, tokens, heads, self.shape.head_dim))?
            .transpose(1, 2)?
            .contiguous()?)
    }

    /// What each head reads: `[batch, queries, heads, head_dim]`.
    fn attend(
        &self,
        [query, key, value]: [&Tensor; 3],
        bias: Option<&Bias>,
        offsets: Option<&Offsets>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let (batch, heads, queries, _) = query.dims4()?;
        let keys = key.dim(2)?;
        let (key, value) = (key.contiguous()?, value.contiguous()?);
        let tapped = pass.wants(self.site(Point::Scores)) || pass.wants(self.site(Point::Attention));
        let whole = tapped || !pass.fused();
        let block = if whole {
            queries
        } else {
            block(batch * heads, queries, keys)
        };
        // Scores and the attention made of them, which are one tensor where nobody wants either, and what offsets add.
        let tensors = 1 + usize::from(whole) + if offsets.is_some() { OFFSET_TENSORS } else { 0 };
        let needed = Limits::size(&[batch, heads, block, keys], 4 * tensors);
        let name = format_args!(
            "{} of layer {}, {heads} heads x {block} x {keys}",
            self.attention, self.layer
        );
        pass.limits.check(name, needed)?;
        let mut parts = Vec::with_capacity(queries.div_ceil(block.max(1)));
        let mut first = 0;
        while first < queries {
            pass.proceed()?;
            let rows = first..(first + block).min(queries);
            let some = query.narrow(2, first, rows.len())?;
            let bias = bias.map(|bias| bias.rows(rows.clone())).transpose()?;
            let bias = match (offsets, bias) {
                (Some(offsets), Some(bias)) => Some(offsets.scores(&some, rows.clone(), keys)?.broadcast_add(&bias)?),
                (Some(offsets), None) => Some(offsets.scores(&some, rows.clone(), keys)?),
                (None, bias) => bias,
            };
            let at_once = !tapped && pass.relevance.is_none() && self.one_operation(query, bias.as_ref(), pass);
            parts.push(if at_once {
                gradients::attend([&some, &key, &value], self.kernel()?, bias.as_ref())?
            } else {
                self.attend_rows(&some, &key.t()?, &value, bias.as_ref(), pass)?
            });
            first = rows.end;
        }
        let context = match parts.as_slice() {
            [one] => one.clone(),
            several => Tensor::cat(several, 2)?,
        };
        if context.track_op() && kernels::apply_to(&context) {
            return Ok(gradients::merge_heads(&context)?);
        }
        Ok(context.transpose(1, 2)?)
    }

    /// Whether the softmax is one operation with a backward pass. None of its gradients then flow into bias and sinks, and none
    /// go through a cap.
    fn one_operation(&self, scores: &Tensor, bias: Option<&Tensor>, pass: &Pass<'_>) -> bool {
        let constant = !bias.is_some_and(Tensor::track_op) && !self.terms.sinks.as_ref().is_some_and(Sinks::trained);
        !pass.fused() && kernels::apply_to(scores) && constant && self.terms.soft_cap.is_none()
    }

    fn kernel(&self) -> Result<kernels::Softmax> {
        Ok(kernels::Softmax {
            scale: self.scale as f32,
            cap: self.terms.soft_cap.map(|cap| cap as f32),
            sinks: self.terms.sinks.as_ref().map(Sinks::now).transpose()?,
        })
    }

    /// What each head reads at some queries `[batch, heads, queries, head_dim]`, in the same shape, given the keys
    /// `[batch, kv_heads, head_dim, keys]` and the values `[batch, kv_heads, keys, head_dim]`.
    fn attend_rows(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        bias: Option<&Tensor>,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor> {
        let (batch, heads, queries, head_dim) = query.dims4()?;
        let (_, kv_heads, _, keys) = key.dims4()?;
        // The queries of a group stand one under the other, so that its key matrix is used once and never copied.
        let grouped = (batch, kv_heads, heads / kv_heads * queries, head_dim);
        let scores = query.contiguous()?.reshape(grouped)?.matmul(key)?;
        let scores = scores.reshape((batch, heads, queries, keys))?;
        let tapped = pass.wants(self.site(Point::Scores));
        let attention = if pass.fused() && kernels::apply_to(&scores) && !tapped {
            kernels::scaled_softmax(&scores, self.kernel()?, bias)?;
            scores
        } else if !tapped && self.one_operation(&scores, bias, pass) {
            gradients::softmax(&scores, self.kernel()?, bias)?
        } else {
            self.softmax(scores, bias, pass)?
        };
        let attention = pass.tap(self.site(Point::Attention), attention)?;
        let attention = pass.constant(attention);
        let grouped = attention.reshape((batch, kv_heads, heads / kv_heads * queries, keys))?;
        Ok(grouped.matmul(value)?.reshape((batch, heads, queries, head_dim))?)
    }

    /// `softmax(cap(scale * scores) + bias)` with the sinks, and with the tap in between.
    fn softmax(&self, scores: Tensor, bias: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Tensor> {
        let scores = (scores * self.scale)?;
        let scores = match self.terms.soft_cap {
            Some(cap) => ((scores * (1.0 / cap))?.tanh()? * cap)?,
            None => scores,
        };
        let scores = match bias {
            Some(bias) => scores.broadcast_add(bias)?,
            None => scores,
        };
        let scores = pass.tap(self.site(Point::Scores), scores)?;
        let sinks = match &self.terms.sinks {
            Some(sinks) => Some(sinks.as_scores()?),
            None if pass.fused() => return Ok(candle_nn::ops::softmax_last_dim(&scores.contiguous()?)?),
            None => None,
        };
        if sinks.is_none() && kernels::apply_to(&scores) {
            let plain = kernels::Softmax {
                scale: 1.0,
                cap: None,
                sinks: None,
            };
            return Ok(gradients::softmax(&scores, plain, None)?);
        }
        // The largest score only keeps the exponentials in range: no gradient flows through it.
        let largest = scores.max_keepdim(D::Minus1)?.detach();
        let Some(sinks) = sinks else {
            let powers = scores.broadcast_sub(&largest)?.exp()?;
            return Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?);
        };
        let largest = largest.broadcast_maximum(&sinks.detach())?;
        let powers = scores.broadcast_sub(&largest)?.exp()?;
        let of_sinks = sinks.broadcast_sub(&largest)?.exp()?;
        Ok(powers.broadcast_div(&(powers.sum_keepdim(D::Minus1)? + of_sinks)?)?)
    }

    fn site(&self, point: Point) -> Site {
        Site::new(self.attention, self.layer, point)
    }
}
