//! A number per pair of heads, with what follows from it: neighbors, a distance matrix, groups.

use attn_core::HeadId;
use kodama::{Method, linkage};
use ndarray::Array2;
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
    /// They have similar attention; whether they also write the same must be seen by ablation.
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

    /// The value that half the pairs are below; 0 without pairs.
    pub fn median(&self) -> f32 {
        let mut values = self.values.clone();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }

    /// The root of every value as `[head, head]`, 0 from a head to itself. The root of a mean Jensen-Shannon divergence is a
    /// distance, even a Euclidean one (Endres and Schindelin, *A new metric for probability distributions*, 2003; Fuglede and
    /// Topsøe 2004): a map is laid out by it.
    pub fn distances(&self) -> Array2<f32> {
        let n = self.heads.len();
        Array2::from_shape_fn((n, n), |(a, b)| self.get(a, b).unwrap_or(0.0).max(0.0).sqrt())
    }

    /// Groups of at least two heads, with any two at most `limit` apart (complete linkage, Sørensen 1948), largest
    /// first. The first head of a group is closest to the others and may stand for them.
    pub fn groups(&self, limit: f32) -> Vec<Vec<HeadId>> {
        let n = self.heads.len();
        // Pairs may have been read from a file.
        if n < 2 || self.values.len() != n * (n - 1) / 2 {
            return Vec::new();
        }
        // The heads of every cluster that came about; empty once it is part of a larger one.
        let mut clusters: Vec<Vec<usize>> = (0..n).map(|head| vec![head]).collect();
        let tree = linkage(&mut self.values.clone(), n, Method::Complete);
        for step in tree.steps().iter().filter(|step| step.dissimilarity <= limit) {
            let mut joint = std::mem::take(&mut clusters[step.cluster1]);
            joint.append(&mut clusters[step.cluster2]);
            clusters.push(joint);
        }
        let mut groups: Vec<Vec<usize>> = clusters.into_iter().filter(|heads| heads.len() > 1).collect();
        for heads in &mut groups {
            heads.sort_unstable();
            let sum = |head: usize| -> f32 { heads.iter().filter_map(|&other| self.get(head, other)).sum() };
            let sums: Vec<f32> = heads.iter().map(|&head| sum(head)).collect();
            let middle = (0..heads.len())
                .min_by(|&a, &b| sums[a].total_cmp(&sums[b]))
                .unwrap_or(0);
            heads[..=middle].rotate_right(1);
        }
        groups.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        let name = |heads: Vec<usize>| heads.into_iter().map(|head| self.heads[head]).collect();
        groups.into_iter().map(name).collect()
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
        assert_eq!(pairs.median(), 12.0);
        let distances = pairs.distances();
        assert_eq!(
            (distances[[1, 3]], distances[[3, 1]], distances[[2, 2]]),
            (13.0_f32.sqrt(), 13.0_f32.sqrt(), 0.0)
        );
        assert_eq!(HeadPairs::new(vec![], vec![]).at_most(1.0), []);
        assert_eq!(HeadPairs::new(heads[..1].to_vec(), vec![]).get(0, 0), None);
    }

    #[test]
    fn in_a_group_any_two_are_near() {
        // Heads on a line at these places; the value of a pair is how far they are apart.
        let places = [0.0_f32, 1.0, 0.4, 5.0, 9.0, 9.3];
        let head = |head| HeadId::new(Attention::EncoderSelf, 0, head);
        let heads: Vec<HeadId> = (0..places.len()).map(head).collect();
        let apart = |a: usize| places[a + 1..].iter().map(move |b| (places[a] - b).abs());
        let pairs = HeadPairs::new(heads, (0..places.len()).flat_map(apart).collect());
        assert_eq!(pairs.groups(0.5), [vec![head(0), head(2)], vec![head(4), head(5)]]);
        // By single linkage 1 would have joined at 0.6; all three fit in 1. The one in the middle stands for them.
        assert_eq!(pairs.groups(0.9), pairs.groups(0.5));
        assert_eq!(pairs.groups(1.0)[0], [head(2), head(0), head(1)]);
        assert!(pairs.groups(0.1).is_empty());
        assert!(HeadPairs::new(vec![], vec![]).groups(1.0).is_empty());
        assert!(HeadPairs::new(vec![head(0)], vec![]).groups(1.0).is_empty());
    }
}
