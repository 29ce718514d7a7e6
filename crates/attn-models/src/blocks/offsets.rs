//! Biases by relative offset: a table per bucket (Raffel et al. 2020, T5, section 2.1) and ALiBi (Press et al. 2022).

use std::{ops::Range, sync::Arc};

use attn_core::{
    Limits, Side,
    model::AttentionInfo,
    scores::{Alibi, RelativeBias},
};
use candle_core::{Device, Tensor};

use super::{Bias, Pass};
use crate::{Result, Site, inputs::Padding};

/// A bias by offset that is added to the scores, the same in all layers of an attention.
#[derive(Debug, Clone)]
pub struct OffsetBias(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Bias per bucket and head, `[buckets, heads]`, and the same as facts, for its buckets.
    Table(Tensor, Arc<RelativeBias>),
    Alibi(Arc<Alibi>, Device),
}

impl OffsetBias {
    /// A bias per bucket and head, `[buckets, heads]`. The buckets are those of [`RelativeBias`].
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor that is no matrix.
    pub fn table(bias: Tensor, bidirectional: bool, max_distance: usize) -> Result<Self> {
        let facts = RelativeBias {
            bidirectional,
            max_distance,
            table: bias.t()?.contiguous()?.to_vec2()?,
        };
        Ok(Self(Source::Table(bias, Arc::new(facts))))
    }

    /// A bias that grows with distance.
    pub fn alibi(alibi: Alibi, device: &Device) -> Self {
        Self(Source::Alibi(Arc::new(alibi), device.clone()))
    }

    /// Enters the bias into the facts of its attention.
    pub fn enter(&self, info: &mut AttentionInfo) {
        match &self.0 {
            Source::Table(_, facts) => info.relative_bias = Some(RelativeBias::clone(facts)),
            Source::Alibi(facts, _) => info.alibi = Some(Alibi::clone(facts)),
        }
    }

    fn heads(&self) -> Result<usize> {
        match &self.0 {
            Source::Table(bias, _) => Ok(bias.dim(1)?),
            Source::Alibi(alibi, _) => Ok(alibi.slopes.len()),
        }
    }

    /// What is added to the scores of the queries from number `past` on, `mask` included. `padding` is that of all tokens.
    ///
    /// The tap is given the bias alone, at [`Point::Positions`](crate::Point::Positions).
    ///
    /// # Errors
    /// What the tap returns, and [`attn_core::Error::Memory`] where it asks for a bias that takes more than is allowed.
    pub fn bias(
        &self,
        side: Side,
        (past, keys): (usize, usize),
        padding: Option<&Padding>,
        mask: Option<Bias>,
        pass: &mut Pass<'_>,
    ) -> Result<Bias> {
        let (queries, heads) = (keys - past, self.heads()?);
        let places = self.places(padding, keys);
        let masked = |bias: Tensor, mask: Option<Tensor>| match mask {
            Some(mask) => Ok(bias.broadcast_add(&mask)?),
            None => Ok(bias),
        };
        // The mask of padding differs by sequence, and so does its sum with the bias.
        let batch = padding.map_or(1, Padding::batch);
        let site = Site::positions(side);
        if pass.wants(site) {
            let name = format_args!("offsets between {keys} tokens, {heads} heads");
            let needed = Limits::size(&[batch, heads, queries, keys], 8);
            pass.limits.check(name, needed)?;
            let offsets = pass.tap(site, self.scores(past, 0..queries, keys, &places)?)?;
            let mask = mask.map(|mask| mask.rows(0..queries)).transpose()?;
            return Ok(masked(offsets, mask)?.into());
        }
        let numbers = Limits::size(&[batch, heads, queries, keys], 1);
        let offsets = self.clone();
        Bias::of_rows(queries, usize::try_from(numbers).unwrap_or(usize::MAX), move |rows| {
            let mask = mask.as_ref().map(|mask| mask.rows(rows.clone())).transpose()?;
            masked(offsets.scores(past, rows, keys, &places)?, mask)
        })
    }

    /// The number of each token among the real ones of its sequence, where the bias depends on more than the offset: products
    /// that are rounded. Empty otherwise.
    fn places(&self, padding: Option<&Padding>, keys: usize) -> Vec<Vec<usize>> {
        let (Source::Alibi(alibi, _), Some(padding)) = (&self.0, padding) else {
            return Vec::new();
        };
        let of_sequence = |sequence| {
            let mut real = 0_usize;
            let place = |key| {
                real += usize::from(padding.is_real(sequence, key));
                real.saturating_sub(1)
            };
            (0..keys).map(place).collect()
        };
        match alibi.rounded {
            true => (0..padding.batch()).map(of_sequence).collect(),
            false => Vec::new(),
        }
    }

    /// What is added to the scores of some of the queries from number `past` on: `[batch or 1, heads, rows, keys]`.
    fn scores(&self, past: usize, rows: Range<usize>, keys: usize, places: &[Vec<usize>]) -> Result<Tensor> {
        match &self.0 {
            Source::Table(bias, buckets) => of_table(bias, buckets, past, rows, keys),
            Source::Alibi(alibi, device) => {
                let sequences = places.len().max(1);
                let heads = alibi.slopes.len();
                let mut values = Vec::with_capacity(sequences * heads * rows.len() * keys);
                for sequence in 0..sequences {
                    let place = |token: usize| places.get(sequence).map_or(token, |places| places[token]);
                    for head in 0..heads {
                        for query in rows.clone().map(|row| place(past + row)) {
                            values.extend((0..keys).map(|key| alibi.bias(head, query, place(key))));
                        }
                    }
                }
                Ok(Tensor::from_vec(values, (sequences, heads, rows.len(), keys), device)?)
            }
        }
    }
}

fn of_table(bias: &Tensor, buckets: &RelativeBias, past: usize, rows: Range<usize>, keys: usize) -> Result<Tensor> {
    // The bucket of an offset is the same everywhere: that of the first key, then those of the first query.
    let last = past + rows.end;
    let before = (0..last).rev().map(|query| buckets.bucket(query, 0));
    let after = (1..keys).map(|key| buckets.bucket(0, key));
    let of_offset: Vec<u32> = before
        .chain(after)
        .map(|bucket| u32::try_from(bucket).unwrap_or(u32::MAX))
        .collect();
    let mut index = Vec::with_capacity(rows.len() * keys);
    for query in rows.clone() {
        // Offset 0 stands at `last - 1`.
        let start = last - 1 - (past + query);
        index.extend_from_slice(&of_offset[start..start + keys]);
    }
    let bias = bias.index_select(&Tensor::new(index, bias.device())?, 0)?;
    Ok(bias.t()?.reshape((1, (), rows.len(), keys))?)
}
