//! The bias by relative offset that some families add to the scores (Raffel et al. 2020, T5, section 2.1).
//!
//! It is a small table and belongs to the model's facts, so that Q and K suffice to compute attention.

#[cfg(feature = "store")]
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A learned bias per head and per bucket of relative offsets, shared by all layers of one attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeBias {
    /// Whether later keys have their own buckets (encoders) or share bucket 0 (decoders).
    pub bidirectional: bool,
    /// Offsets at or beyond this share the last bucket.
    pub max_distance: usize,
    /// `[head][bucket]`.
    pub table: Vec<Vec<f32>>,
}

impl RelativeBias {
    /// The bucket of `key - query`: exact for small offsets, logarithmic up to `max_distance`.
    pub fn bucket(&self, query: usize, key: usize) -> usize {
        let buckets = self.table.first().map_or(0, Vec::len);
        let (half, start) = match (self.bidirectional, key > query) {
            (true, true) => (buckets / 2, buckets / 2),
            (true, false) => (buckets / 2, 0),
            (false, _) => (buckets, 0),
        };
        let distance = if self.bidirectional {
            query.abs_diff(key)
        } else {
            query.saturating_sub(key)
        };
        let exact = half / 2;
        if distance < exact || exact == 0 {
            return start + distance.min(half.saturating_sub(1));
        }
        // f32 throughout, as the reference implementation computes it: the bucket borders depend on it.
        let share = (distance as f32 / exact as f32).ln() / (self.max_distance as f32 / exact as f32).ln();
        // Infinite where the distances end with the exact ones, as a description may say.
        let logarithmic = exact.saturating_add((share * (half - exact) as f32) as usize);
        start + logarithmic.min(half - 1)
    }

    /// The bias of one head for a sequence, `[queries, keys]`. Zero for a head the table does not have.
    #[cfg(feature = "store")]
    pub fn matrix(&self, head: usize, queries: usize, keys: usize) -> Array2<f32> {
        Array2::from_shape_fn((queries, keys), |(query, key)| {
            self.table
                .get(head)
                .and_then(|row| row.get(self.bucket(query, key)))
                .copied()
                .unwrap_or(0.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(buckets: usize, bidirectional: bool) -> RelativeBias {
        RelativeBias {
            bidirectional,
            max_distance: 128,
            table: vec![(0..buckets).map(|b| b as f32).collect()],
        }
    }

    #[test]
    fn buckets_are_exact_near_and_logarithmic_far() {
        let bias = table(32, true);
        assert_eq!(bias.bucket(5, 5), 0);
        assert_eq!(bias.bucket(5, 0), 5);
        assert_eq!(bias.bucket(0, 5), 21);
        // Beyond 8, the border of bucket b is 8 * 16^((b - 8) / 8): 11.3 for 9, 16 for 10.
        assert_eq!(bias.bucket(11, 0), 8);
        assert_eq!(bias.bucket(12, 0), 9);
        assert_eq!(bias.bucket(1000, 0), 15);
        assert_eq!(bias.bucket(0, 1000), 31);
    }

    #[test]
    fn distances_without_a_logarithmic_part_share_the_last_bucket() {
        let bias = RelativeBias {
            max_distance: 8,
            ..table(32, true)
        };
        assert_eq!(bias.bucket(9, 0), 15);
        assert_eq!(bias.bucket(0, usize::MAX), 31);
        let none = RelativeBias {
            max_distance: 0,
            ..bias
        };
        assert!(none.bucket(9, 0) < 32 && none.bucket(usize::MAX, 0) < 32);
    }

    #[test]
    fn causal_tables_give_later_keys_bucket_zero() {
        let bias = table(32, false);
        assert_eq!(bias.bucket(0, 9), 0);
        assert_eq!(bias.bucket(15, 0), 15);
        assert_eq!(bias.bucket(500, 0), 31);
    }
}
