//! What enters the scores of a layer besides products of queries and keys: a soft cap (Gemma Team 2024), sinks (GPT-OSS) and
//! vectors of relative offsets (Shaw et al. 2018; He et al. 2021, DeBERTa, section 3.1).

use std::ops::Range;

use attn_core::scores::RelativeVectors;
use candle_core::{D, Tensor};

use super::{Linear, Pass};
use crate::{Point, Result, Site, Weights};

/// What enters the scores of one layer besides products of queries and keys. Default: nothing.
#[derive(Debug, Clone, Default)]
pub struct ScoreTerms {
    /// A bound that scaled scores approach: `cap * tanh(score / cap)`.
    pub soft_cap: Option<f64>,
    /// Logits in the softmax that no key holds.
    pub sinks: Option<Sinks>,
    /// Maps of vectors of relative offsets. [`MultiHead::forward_relative`](super::MultiHead::forward_relative) is given the
    /// vectors.
    pub offsets: Option<OffsetMaps>,
}

/// A logit per head that takes part in the softmax and that no key holds.
#[derive(Debug, Clone)]
pub struct Sinks {
    /// `[heads]`.
    tensor: Tensor,
    /// The same as facts, as they were loaded.
    pub(super) values: Vec<f32>,
}

impl Sinks {
    /// Reads `name` `[heads]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load(weights: &Weights, name: &str, heads: usize) -> Result<Self> {
        let tensor = weights.get(name, [heads])?;
        Ok(Self {
            values: tensor.to_vec1()?,
            tensor,
        })
    }

    /// As they are now: training changes them.
    pub(super) fn now(&self) -> Result<Vec<f32>> {
        Ok(self.tensor.to_vec1()?)
    }

    /// Whether gradients flow into them.
    pub(super) fn trained(&self) -> bool {
        self.tensor.track_op()
    }

    /// `[1, heads, 1, 1]`.
    pub(super) fn as_scores(&self) -> Result<Tensor> {
        Ok(self.tensor.reshape((1, (), 1, 1))?)
    }
}

/// Maps from vectors of relative offsets to keys that queries are multiplied by, and to queries that keys are multiplied by.
#[derive(Debug, Clone)]
pub struct OffsetMaps {
    /// Rows of the table of vectors: its size is [`buckets`](RelativeVectors::buckets), and a map is there where
    /// [`keys`](RelativeVectors::keys) and [`queries`](RelativeVectors::queries) say so.
    pub facts: RelativeVectors,
    /// `[hidden, kv_heads * head_dim]`.
    pub key: Option<Linear>,
    /// `[hidden, heads * head_dim]`.
    pub query: Option<Linear>,
}

/// The offsets that one pass needs, as keys and queries of one layer.
pub(super) struct Offsets {
    facts: RelativeVectors,
    /// The row of the table that is the first here.
    first: usize,
    /// `[batch or 1, heads, head_dim, rows]`.
    keys: Option<Tensor>,
    /// Products of the keys with queries of offsets: `[batch, heads, keys, rows]`.
    by_key: Option<Tensor>,
    scale: f64,
}

/// Sizes and place of the layer whose offsets are made.
pub(super) struct OffsetLayer {
    pub(super) site: Site,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) scale: f64,
}

impl OffsetMaps {
    /// The offsets of a sequence as keys and queries, given the table `[batch or 1, buckets, hidden]` and the keys
    /// `[batch, kv_heads, keys, head_dim]`. Queries and keys are the same tokens.
    pub(super) fn offsets(
        &self,
        table: &Tensor,
        key: &Tensor,
        layer: &OffsetLayer,
        pass: &mut Pass<'_>,
    ) -> Result<Offsets> {
        let last = key.dim(2)?.saturating_sub(1);
        let (first, end) = (self.facts.bucket(0, last), self.facts.bucket(last, 0) + 1);
        let of = |map: &Option<Linear>, heads: usize, point: Point, pass: &mut Pass<'_>| -> Result<Option<Tensor>> {
            let Some(map) = map else { return Ok(None) };
            let site = Site { point, ..layer.site };
            // All of them only for who asks.
            let whole = pass.wants(site);
            let rows = if whole { 0..self.facts.buckets } else { first..end };
            let vectors = map.forward(&table.narrow(1, rows.start, rows.len())?, pass)?;
            let (batch, rows, _) = vectors.dims3()?;
            let vectors = vectors.reshape((batch, rows, heads, ()))?.transpose(1, 2)?;
            let vectors = if whole {
                pass.tap(site, vectors.contiguous()?)?.narrow(2, first, end - first)?
            } else {
                vectors
            };
            Ok(Some(repeat(&vectors, layer.heads)?.transpose(2, 3)?.contiguous()?))
        };
        let keys = of(&self.key, layer.kv_heads, Point::OffsetKey, pass)?;
        let by_key = match of(&self.query, layer.heads, Point::OffsetQuery, pass)? {
            Some(queries) => Some(repeat(key, layer.heads)?.broadcast_matmul(&queries)?),
            None => None,
        };
        Ok(Offsets {
            facts: self.facts,
            first,
            keys,
            by_key,
            scale: layer.scale,
        })
    }
}

impl Offsets {
    /// What is added to the scores of the queries in `range`, `query` `[batch, heads, rows, head_dim]`:
    /// `[batch, heads, rows, keys]`.
    pub(super) fn scores(&self, query: &Tensor, range: Range<usize>, keys: usize) -> Result<Tensor> {
        let (batch, heads, rows, _) = query.dims4()?;
        let bucket = |query, key| u32::try_from(self.facts.bucket(query, key) - self.first).unwrap_or(u32::MAX);
        let by_query = match &self.keys {
            Some(vectors) => {
                let products = query.contiguous()?.broadcast_matmul(vectors)?;
                let index: Vec<u32> = range
                    .clone()
                    .flat_map(|query| (0..keys).map(move |key| (query, key)))
                    .map(|(query, key)| bucket(query, key))
                    .collect();
                Some(gather(&products, index, (batch, heads, rows, keys))?)
            }
            None => None,
        };
        let by_key = match &self.by_key {
            Some(products) => {
                let index: Vec<u32> = (0..keys)
                    .flat_map(|key| range.clone().map(move |query| (query, key)))
                    .map(|(query, key)| bucket(query, key))
                    .collect();
                Some(gather(products, index, (batch, heads, keys, rows))?.transpose(2, 3)?)
            }
            None => None,
        };
        let sum = match (by_query, by_key) {
            (Some(by_query), Some(by_key)) => (by_query + by_key)?,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Tensor::zeros((batch, heads, rows, keys), query.dtype(), query.device())?,
        };
        Ok((sum * self.scale)?)
    }
}

/// Numbers of the last dimension by an index of the last two, which is the same for every sequence and head.
fn gather(products: &Tensor, index: Vec<u32>, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
    let index = Tensor::from_vec(index, (1, 1, shape.2, shape.3), products.device())?;
    let index = index.broadcast_as(shape)?.contiguous()?;
    Ok(products.contiguous()?.gather(&index, D::Minus1)?)
}

/// `[batch, kv_heads, tokens, head_dim]` with each head once for every query head of its group.
fn repeat(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, kv_heads, tokens, width) = x.dims4()?;
    if kv_heads == heads {
        return Ok(x.contiguous()?);
    }
    let group = (batch, kv_heads, heads / kv_heads.max(1), tokens, width);
    Ok(x.unsqueeze(2)?
        .broadcast_as(group)?
        .contiguous()?
        .reshape((batch, heads, tokens, width))?)
}
