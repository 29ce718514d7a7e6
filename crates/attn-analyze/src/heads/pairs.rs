//! One number for every pair of heads: the shape in which similarities of heads come, and what one reads off it.

use attn_core::HeadId;
use serde::{Deserialize, Serialize};

/// A symmetric relation between heads, without its diagonal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadPairs {
    heads: Vec<HeadId>,
    values: Vec<f32>,
}

impl HeadPairs {
    /// `values` are condensed: pairs (0, 1), (0, 2), ..., (1, 2), ... of `heads`.
    pub(super) fn new(heads: Vec<HeadId>, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), heads.len() * heads.len().saturating_sub(1) / 2);
        Self { heads, values }
    }

    /// The heads; pairs are named by their index in this list.
    pub fn heads(&self) -> &[HeadId] {
        &self.heads
    }

    /// The values in condensed order, pairs (0, 1), (0, 2), ..., (1, 2), ...: what clustering libraries take.
    pub fn condensed(&self) -> &[f32] {
        &self.values
    }

    /// The value of two heads by their index in [`heads`](Self::heads); `None` for a head with itself, or out of range.
    pub fn get(&self, a: usize, b: usize) -> Option<f32> {
        let (a, b) = (a.min(b), a.max(b));
        if a == b || b >= self.heads.len() {
            return None;
        }
        self.values.get(row_start(a, self.heads.len()) + b - a - 1).copied()
    }

    /// The other heads with their values, smallest value first: by a divergence, "more like this head".
    pub fn ascending(&self, head: usize) -> Vec<(HeadId, f32)> {
        let mut others: Vec<(HeadId, f32)> = self
            .heads
            .iter()
            .enumerate()
            .filter_map(|(other, &id)| Some((id, self.get(head, other)?)))
            .collect();
        others.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        others
    }

    /// The pairs whose value is at most `limit`, smallest first: by [`divergence`](super::divergence), redundant heads.
    /// They look at the same places; whether they also write the same must be seen by ablation.
    pub fn at_most(&self, limit: f32) -> Vec<(HeadId, HeadId, f32)> {
        let n = self.heads.len();
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let mut pairs: Vec<(HeadId, HeadId, f32)> = pairs
            .zip(&self.values)
            .filter(|(_, value)| **value <= limit)
            .map(|((a, b), &value)| (self.heads[a], self.heads[b], value))
            .collect();
        pairs.sort_by(|a, b| a.2.total_cmp(&b.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        pairs
    }
}

/// Where the pairs (a, a + 1), (a, a + 2), ... begin.
pub(super) fn row_start(a: usize, heads: usize) -> usize {
    a * (2 * heads - a).saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;

    #[test]
    fn condensed_order_is_read_back() {
        let heads: Vec<HeadId> = (0..4)
            .map(|head| HeadId::new(Attention::EncoderSelf, 0, head))
            .collect();
        // The value of (a, b) is 10 a + b.
        let pairs = HeadPairs::new(heads.clone(), vec![1.0, 2.0, 3.0, 12.0, 13.0, 23.0]);
        for a in 0..4 {
            for b in 0..4 {
                let expected = (a != b).then_some((10 * a.min(b) + a.max(b)) as f32);
                assert_eq!(pairs.get(a, b), expected);
            }
        }
        assert_eq!(pairs.get(0, 4), None);
        let order: Vec<usize> = pairs.ascending(2).iter().map(|(head, _)| head.head).collect();
        assert_eq!(order, [0, 1, 3]);
        assert_eq!(
            pairs.at_most(3.0),
            [
                (heads[0], heads[1], 1.0),
                (heads[0], heads[2], 2.0),
                (heads[0], heads[3], 3.0)
            ]
        );
        assert_eq!(HeadPairs::new(vec![], vec![]).at_most(1.0), []);
        assert_eq!(HeadPairs::new(heads[..1].to_vec(), vec![]).get(0, 0), None);
    }
}
