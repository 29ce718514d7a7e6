//! What scores are made of besides products of queries and keys: ALiBi (Press et al. 2022), vectors of relative offsets (Shaw
//! et al. 2018; He et al. 2021, DeBERTa), soft caps (Gemma Team 2024, Gemma 2) and sinks (Xiao et al. 2024; GPT-OSS).

pub use crate::bias::RelativeBias;

use std::fmt;

#[cfg(feature = "store")]
use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};

use crate::model::AttentionInfo;

/// A bias that grows with distance by a slope per head: `-factor * |r(slope * key) - r(slope * query)|`.
///
/// `key` and `query` are positions in the sequence. Without rounding that is `-factor * slope * distance`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alibi {
    /// Slope per head: `[head]`.
    pub slopes: Vec<f32>,
    /// Factor on the bias: 1, or the scale of the products where the bias is scaled with them (Falcon). Default: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub factor: f32,
    /// Whether positions and their products with slopes are rounded to bfloat16, which is `r` (Falcon). Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rounded: bool,
}

fn one() -> f32 {
    1.0
}

fn is_one(factor: &f32) -> bool {
    *factor == 1.0
}

impl Alibi {
    /// A bias with these slopes, neither scaled nor rounded.
    pub fn new(slopes: Vec<f32>) -> Self {
        Self {
            slopes,
            factor: 1.0,
            rounded: false,
        }
    }

    /// The slopes of the paper: `2^(-8 i / n)` for head `i` of `n` from 1, if `n` is a power of two. Otherwise those of the
    /// next lower power of two, then every second one of the next higher.
    ///
    /// ```
    /// use attn_core::scores::Alibi;
    ///
    /// assert_eq!(Alibi::of_heads(4).slopes, [0.25, 0.0625, 0.015625, 0.00390625]);
    /// assert_eq!(Alibi::of_heads(3).slopes, [0.0625, 0.00390625, 0.25]);
    /// ```
    pub fn of_heads(heads: usize) -> Self {
        let lower = if heads == 0 { 1 } else { 1 << heads.ilog2() };
        let slope = |number: usize, of: usize| (-8.0 * number as f64 / of as f64).exp2() as f32;
        let first = (1..=lower).map(|number| slope(number, lower));
        let rest = (1..=lower).map(|number| slope(2 * number - 1, 2 * lower));
        Self::new(first.chain(rest).take(heads).collect())
    }

    /// The bias of one head; 0 for a head that has no slope.
    pub fn bias(&self, head: usize, query: usize, key: usize) -> f32 {
        let Some(slope) = self.slopes.get(head) else { return 0.0 };
        let at = |position: usize| match self.rounded {
            true => to_bfloat16(slope * to_bfloat16(position as f32)),
            false => slope * position as f32,
        };
        -self.factor * (at(key) - at(query)).abs()
    }

    /// The bias of one head for a sequence, `[queries, keys]`.
    #[cfg(feature = "store")]
    pub fn matrix(&self, head: usize, queries: usize, keys: usize) -> Array2<f32> {
        Array2::from_shape_fn((queries, keys), |(query, key)| self.bias(head, query, key))
    }
}

/// The nearest number with the 8 significant bits of bfloat16; ties go to the even one.
fn to_bfloat16(number: f32) -> f32 {
    let bits = number.to_bits();
    let even = (bits >> 16) & 1;
    f32::from_bits(bits.wrapping_add(0x7fff + even) & 0xffff_0000)
}

/// Vectors per relative offset that queries and keys are multiplied by. The products are scaled and added to the scores.
///
/// The vectors themselves are tensors of the capture, one table per layer:
/// [`Slot::OffsetKey`](crate::capture::Slot::OffsetKey) and
/// [`Slot::OffsetQuery`](crate::capture::Slot::OffsetQuery). Row [`bucket`](Self::bucket) of a table belongs to the offset from key to
/// query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeVectors {
    /// Rows of a table, an even number. The row of offset 0 is the one at half of it.
    pub buckets: usize,
    /// Offsets up to this in either direction have a row of their own. Farther ones share rows, by their logarithm.
    pub exact: usize,
    /// The offset behind the last row: what the logarithms are scaled by.
    pub max_distance: usize,
    /// Whether queries are multiplied by keys of offsets ("content to position").
    pub keys: bool,
    /// Whether keys are multiplied by queries of offsets ("position to content").
    pub queries: bool,
}

impl RelativeVectors {
    /// The row of the offset `query - key`.
    ///
    /// ```
    /// use attn_core::scores::RelativeVectors;
    ///
    /// let vectors = RelativeVectors { buckets: 8, exact: 2, max_distance: 16, keys: true, queries: true };
    /// assert_eq!(vectors.bucket(5, 5), 4);
    /// assert_eq!([vectors.bucket(5, 3), vectors.bucket(3, 5)], [6, 2]);
    /// assert_eq!([vectors.bucket(90, 0), vectors.bucket(0, 90)], [7, 0]);
    /// ```
    pub fn bucket(&self, query: usize, key: usize) -> usize {
        let half = self.buckets / 2;
        let distance = query.abs_diff(key);
        let steps = if distance <= self.exact {
            distance
        } else {
            // f32 throughout, as the reference implementation computes it: the borders depend on it.
            let exact = self.exact as f32;
            let share = (distance as f32 / exact).ln() / (self.max_distance.saturating_sub(1) as f32 / exact).ln();
            // Not a number where the distances end with the exact ones; the conversion makes it 0.
            self.exact.saturating_add((share * (exact - 1.0)).ceil() as usize)
        };
        let last = self.buckets.saturating_sub(1);
        if query < key {
            half.saturating_sub(steps)
        } else {
            half.saturating_add(steps).min(last)
        }
    }

    /// The term of one head for a sequence, `[queries, keys]`, before scaling, from its queries and keys `[tokens, head_dim]` and
    /// its tables `[buckets, head_dim]`.
    #[cfg(feature = "store")]
    pub(crate) fn products(
        &self,
        queries: ArrayView2<'_, f32>,
        keys: ArrayView2<'_, f32>,
        [of_keys, of_queries]: [Option<ArrayView2<'_, f32>>; 2],
    ) -> Array2<f32> {
        let mut sum = Array2::zeros((queries.nrows(), keys.nrows()));
        let (Some(last_query), Some(last_key)) = (queries.nrows().checked_sub(1), keys.nrows().checked_sub(1)) else {
            return sum;
        };
        // The rows that a sequence of this length needs.
        let (first, last) = (self.bucket(0, last_key), self.bucket(last_query, 0));
        let products = |vectors: ArrayView2<'_, f32>, table: Option<ArrayView2<'_, f32>>| {
            table.map(|table| vectors.dot(&table.slice(s![first..=last, ..]).t()))
        };
        let (by_query, by_key) = (products(queries, of_keys), products(keys, of_queries));
        for ((query, key), sum) in sum.indexed_iter_mut() {
            let bucket = self.bucket(query, key) - first;
            *sum = by_query.as_ref().map_or(0.0, |products| products[[query, bucket]])
                + by_key.as_ref().map_or(0.0, |products| products[[key, bucket]]);
        }
        sum
    }
}

/// A part of a head's scores that its queries and keys do not show. Distances between queries and keys leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ScorePart {
    /// A learned bias per relative offset.
    RelativeBias,
    /// A bias that grows with distance.
    Alibi,
    /// Products of queries and keys with vectors of relative offsets.
    RelativeVectors,
    /// A bound that large scores approach.
    SoftCap,
    /// A logit in the softmax that no key holds.
    Sink,
}

impl ScorePart {
    /// Its name for users: `relative position bias`, `sink`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::RelativeBias => "relative position bias",
            Self::Alibi => "ALiBi position bias",
            Self::RelativeVectors => "relative position vectors",
            Self::SoftCap => "soft cap",
            Self::Sink => "sink",
        }
    }
}

impl fmt::Display for ScorePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl AttentionInfo {
    /// The parts of a layer's scores besides scaled products of queries and keys. Empty if its attention is
    /// `softmax(scale * q · k)` over the visible keys, and for a layer that does not exist.
    ///
    /// ```
    /// use attn_core::{Attention, model::{AttentionInfo, LayerAttention, Mask}, scores::{Alibi, ScorePart}};
    ///
    /// let layer = LayerAttention::new(0.125, Mask::Causal);
    /// let plain = AttentionInfo::new(Attention::DecoderSelf, 2, 64, vec![layer]);
    /// assert!(plain.score_parts(0).is_empty());
    /// let biased = AttentionInfo { alibi: Some(Alibi::of_heads(2)), ..plain };
    /// assert_eq!(biased.score_parts(0), [ScorePart::Alibi]);
    /// ```
    pub fn score_parts(&self, layer: usize) -> Vec<ScorePart> {
        let Some(layer) = self.layers.get(layer) else {
            return Vec::new();
        };
        let parts = [
            (ScorePart::RelativeBias, self.relative_bias.is_some()),
            (ScorePart::Alibi, self.alibi.is_some()),
            (ScorePart::RelativeVectors, self.relative_vectors.is_some()),
            (ScorePart::SoftCap, layer.soft_cap.is_some()),
            (ScorePart::Sink, layer.sinks.is_some()),
        ];
        parts
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(part, _)| part)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_bfloat16() {
        // 257 and 259 lie between multiples of 2: ties go to the even of 8 bits.
        assert_eq!(
            [256.0, 257.0, 258.0, 259.0].map(to_bfloat16),
            [256.0, 256.0, 258.0, 260.0]
        );
        assert_eq!(to_bfloat16(-0.1), -0.100_097_656);
        let rounded = Alibi {
            factor: 0.5,
            rounded: true,
            ..Alibi::new(vec![1.0])
        };
        assert_eq!(rounded.bias(0, 258, 257), -1.0);
        assert_eq!(rounded.bias(0, 3, 1), -1.0);
        assert_eq!(rounded.bias(1, 3, 1), 0.0);
    }

    #[test]
    fn far_offsets_share_rows_by_their_logarithm() {
        let vectors = RelativeVectors {
            buckets: 64,
            exact: 16,
            max_distance: 512,
            keys: true,
            queries: false,
        };
        assert_eq!(
            (0..=16).map(|query| vectors.bucket(query, 0)).collect::<Vec<_>>(),
            (32..=48).collect::<Vec<_>>()
        );
        // ceil(15 ln(d / 16) / ln(511 / 16)): 1 at 17, 4 at 32 (3.002), 15 at 511.
        assert_eq!(
            [17, 32, 511, 5000].map(|query| vectors.bucket(query, 0)),
            [49, 52, 63, 63]
        );
        assert_eq!([17, 32, 511, 5000].map(|key| vectors.bucket(0, key)), [15, 12, 1, 0]);
        let exact = RelativeVectors {
            exact: 32,
            max_distance: 32,
            ..vectors
        };
        assert_eq!([40, 31].map(|query| exact.bucket(query, 0)), [63, 63]);
        assert_eq!([40, 31].map(|key| exact.bucket(0, key)), [0, 1]);
        let odd = RelativeVectors {
            buckets: 0,
            exact: 0,
            max_distance: 0,
            ..vectors
        };
        assert_eq!(odd.bucket(usize::MAX, 0), 0);
    }

    #[test]
    fn products_are_those_with_the_row_of_the_offset() {
        let vectors = RelativeVectors {
            buckets: 4,
            exact: 2,
            max_distance: 2,
            keys: true,
            queries: true,
        };
        let queries = ndarray::array![[1.0_f32], [2.0], [3.0]];
        let keys = ndarray::array![[10.0_f32], [20.0], [30.0]];
        let tables = [
            ndarray::array![[1.0_f32], [2.0], [3.0], [4.0]],
            ndarray::array![[0.0_f32], [1.0], [0.0], [0.5]],
        ];
        let found = vectors.products(
            queries.view(),
            keys.view(),
            [Some(tables[0].view()), Some(tables[1].view())],
        );
        for query in 0..3 {
            for key in 0..3 {
                let row = (query as i32 - key as i32 + 2).clamp(0, 3) as usize;
                let expected = queries[[query, 0]] * tables[0][[row, 0]] + keys[[key, 0]] * tables[1][[row, 0]];
                assert_eq!(found[[query, key]], expected);
            }
        }
    }
}
