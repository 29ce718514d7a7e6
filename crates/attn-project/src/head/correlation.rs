//! Does *near* mean *attended*? Rank correlation of distance and score (Yeh et al., *AttentionViz*, IEEE TVCG
//! 2023, section 5.1.2): -1 if the nearest key is always the one with the largest dot product.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{HeadCloud, SequenceRows};
use crate::{Error, Result, linalg::check_points};

/// Raised whenever correlations change, so that heads kept from before are made again.
pub(crate) const REVISION: u32 = 1;

/// Which keys of its sequence a query is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySet {
    /// Those its mask lets it see.
    #[default]
    Visible,
    /// All, even keys that a causal model hides: the published variant.
    All,
}

/// Correlation of distance and attention in one head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DistanceCorrelation {
    /// Mean over sequences of the mean over queries of Spearman's coefficient between cosine distance and dot
    /// product, in [-1, 1]; `None` if no query could be used.
    pub value: Option<f32>,
    /// Queries used.
    pub queries: usize,
    /// Queries left out: fewer than three keys, or all equally far or equally attended.
    pub skipped: usize,
    /// Sequences with at least one query used.
    pub sequences: usize,
}

/// Correlates, for every query, its cosine distance to the keys of its sequence in the `joint` cloud (as
/// [`Normalization::apply`](super::Normalization::apply) gives it, or any other placement of queries, then keys)
/// with its dot products.
///
/// # Errors
/// [`Error::Shape`] if `joint` has not one row per query and key, [`Error::NotFinite`], [`Error::TooLarge`].
pub fn distance_correlation(
    cloud: &HeadCloud<'_>,
    joint: ArrayView2<'_, f32>,
    keys: KeySet,
) -> Result<DistanceCorrelation> {
    let queries = cloud.queries().nrows();
    let total = queries + cloud.keys().nrows();
    if joint.nrows() != total {
        return Err(Error::shape(
            "joint",
            format!("{total} rows, queries then keys"),
            joint.nrows(),
        ));
    }
    check_points("joint", joint)?;
    let (near_queries, near_keys) = joint.split_at(Axis(0), queries);
    let norms: Vec<f64> = near_keys.rows().into_iter().map(|k| product(k, k).sqrt()).collect();
    let distance = |query: usize, key: usize| {
        let q = near_queries.row(query);
        let norms = product(q, q).sqrt() * norms[key];
        if norms > 0.0 {
            1.0 - product(q, near_keys.row(key)) / norms
        } else {
            1.0
        }
    };
    Ok(correlate(cloud, keys, distance, |_, _, _| ()).0)
}

/// The keys that a query is compared with.
fn compared(cloud: &HeadCloud<'_>, rows: &SequenceRows, query: usize, keys: KeySet) -> Range<usize> {
    match keys {
        KeySet::Visible => cloud.visible_keys(rows, query),
        KeySet::All => rows.keys.clone(),
    }
}

/// The same for any distance between a query and a key; `each` is asked of every query, with its distances and scores, for
/// what else is to be known of it, by sequence.
pub(super) fn correlate<T: Send>(
    cloud: &HeadCloud<'_>,
    keys: KeySet,
    distance: impl Fn(usize, usize) -> f64 + Sync,
    each: impl Fn(usize, &[f64], &[f64]) -> T + Sync,
) -> (DistanceCorrelation, Vec<Vec<T>>) {
    // Of each sequence: the sum over its queries, those used, those skipped.
    let (sums, found): (Vec<(f64, usize, usize)>, Vec<Vec<T>>) = cloud
        .sequences()
        .par_iter()
        .map(|rows| {
            let (mut sum, mut used, mut skipped) = (0.0, 0, 0);
            let mut found = Vec::with_capacity(rows.queries.len());
            for query in rows.queries.clone() {
                let seen = compared(cloud, rows, query, keys);
                let distances: Vec<f64> = seen.clone().map(|key| distance(query, key)).collect();
                let scores = scores(cloud, query, seen);
                match spearman(&distances, &scores) {
                    Some(value) => {
                        sum += value;
                        used += 1;
                    }
                    None => skipped += 1,
                }
                found.push(each(query, &distances, &scores));
            }
            ((sum, used, skipped), found)
        })
        .unzip();
    let means: Vec<f64> = sums.iter().filter(|s| s.1 > 0).map(|s| s.0 / s.1 as f64).collect();
    let value = (!means.is_empty()).then(|| (means.iter().sum::<f64>() / means.len() as f64) as f32);
    let correlation = DistanceCorrelation {
        value,
        queries: sums.iter().map(|s| s.1).sum(),
        skipped: sums.iter().map(|s| s.2).sum(),
        sequences: means.len(),
    };
    (correlation, found)
}

/// Dot products of a query with some keys.
pub(super) fn scores(cloud: &HeadCloud<'_>, query: usize, keys: Range<usize>) -> Vec<f64> {
    let of_key = |key: usize| product(cloud.queries().row(query), cloud.keys().row(key));
    keys.map(of_key).collect()
}

fn product(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Spearman's coefficient: Pearson's of the ranks, ties sharing their mean rank. `None` below three values, for lists of
/// different lengths, if all values of a side are equal, and if one is not a number, which has no rank.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() < 3 || a.len() != b.len() || a.iter().chain(b).any(|value| value.is_nan()) {
        return None;
    }
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() - 1) as f64 / 2.0;
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(&b) {
        aa += (x - mean) * (x - mean);
        bb += (y - mean) * (y - mean);
        ab += (x - mean) * (y - mean);
    }
    (aa > 0.0 && bb > 0.0).then(|| (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

/// Ranks from 0, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    // Each group holds one value at least, even if that equals nothing.
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        for &i in tied {
            ranks[i] = start as f64 + (tied.len() - 1) as f64 / 2.0;
        }
        start += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use attn_core::model::Mask;
    use ndarray::{Array2, array};

    use super::*;
    use crate::{
        head::{Normalization, ScaleChoice},
        rng::Rng,
    };

    #[test]
    fn spearman_by_hand() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        assert_eq!(spearman(&[1.0, 2.0, 30.0], &[5.0, 4.0, -9.0]), Some(-1.0));
        // 1 - 6 Σd² / (n (n² - 1)) without ties: d = 1, 1, 0, 0.
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0], &[2.0, 1.0, 3.0, 4.0]).unwrap() - 0.8).abs() < 1e-12);
        // Ranks 0, 1.5, 1.5, 3 and 0, 3, 1.5, 1.5: covariance 2.25, both variances 4.5.
        assert!((spearman(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 2.0]).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn what_has_no_rank_has_no_coefficient() {
        let (nan, up) = (f64::NAN, f64::INFINITY);
        assert_eq!(ranks(&[2.0, nan, 1.0, nan]), [1.0, 2.0, 0.0, 3.0]);
        assert_eq!(spearman(&[1.0, nan, 2.0, nan], &[1.0, 2.0, 3.0, 4.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[nan, -nan, nan]), None);
        // Infinities have ranks: the last two share theirs.
        assert_eq!(ranks(&[up, -up, 0.0, up]), [2.5, 0.0, 1.0, 2.5]);
        assert!(spearman(&[up, -up, 0.0, up], &[3.0, 1.0, 2.0, 3.0]).is_some_and(|value| value == 1.0));
    }

    /// Squares of these coordinates do not fit single precision.
    #[test]
    fn huge_heads_have_the_value_of_small_ones() {
        let mut rng = Rng::new(5, 1);
        let mut draw = || Array2::from_shape_simple_fn((8, 3), || rng.normal() as f32);
        let (queries, keys) = (draw(), draw());
        let rows = [SequenceRows {
            queries: 0..8,
            keys: 0..8,
        }];
        let of = |scale: f32| {
            let (queries, keys) = (queries.mapv(|x| x * scale), keys.mapv(|x| x * scale));
            let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Causal).unwrap();
            let joint = ndarray::concatenate![Axis(0), queries, keys];
            distance_correlation(&cloud, joint.view(), KeySet::Visible).unwrap()
        };
        assert_eq!(of(2f32.powi(100)), of(1.0));
        assert!(of(1.0).value.is_some());
        let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Full).unwrap();
        for (value, finite) in [(f32::NAN, false), (f32::NEG_INFINITY, false), (f32::MAX, true)] {
            let mut joint = ndarray::concatenate![Axis(0), queries, keys];
            joint[[9, 1]] = value;
            match distance_correlation(&cloud, joint.view(), KeySet::All) {
                Err(Error::NotFinite { row: 9, column: 1, .. }) => assert!(!finite),
                Err(Error::TooLarge { row: 9, column: 1, .. }) => assert!(finite),
                other => panic!("{value}: {other:?}"),
            }
        }
    }

    /// Keys on a circle around the origin: distance and dot product order them exactly the other way round.
    #[test]
    fn perfect_on_a_circle() {
        let angle = |i: usize| (i as f32 * 0.61).sin_cos();
        let keys = Array2::from_shape_fn((9, 2), |(i, j)| if j == 0 { angle(i).0 } else { angle(i).1 });
        let queries = array![[1.0f32, 0.2], [-0.3, 0.9]];
        let rows = [SequenceRows {
            queries: 0..2,
            keys: 0..9,
        }];
        let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Full).unwrap();
        let joint = ndarray::concatenate![Axis(0), queries, keys];
        let found = distance_correlation(&cloud, joint.view(), KeySet::Visible).unwrap();
        assert_eq!(
            (found.value, found.queries, found.skipped, found.sequences),
            (Some(-1.0), 2, 0, 1)
        );
    }

    #[test]
    fn agrees_with_brute_force() {
        let mut rng = Rng::new(2, 9);
        let mut draw = |n: usize| Array2::from_shape_simple_fn((n, 5), || rng.normal() as f32);
        let (queries, keys) = (draw(30), draw(30));
        let rows: Vec<SequenceRows> = [0..12, 12..13, 13..30]
            .into_iter()
            .map(|r| SequenceRows {
                queries: r.clone(),
                keys: r,
            })
            .collect();
        let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Causal).unwrap();
        let joint = Normalization::fit(&cloud, ScaleChoice::Balance, 0)
            .apply(&cloud)
            .unwrap();
        for set in [KeySet::Visible, KeySet::All] {
            let mut means = Vec::new();
            for rows in &rows {
                let mut values = Vec::new();
                for i in rows.queries.clone() {
                    let seen: Vec<usize> = rows.keys.clone().filter(|&j| set == KeySet::All || j <= i).collect();
                    if seen.len() < 3 {
                        continue;
                    }
                    // Without ties, Spearman's formula on squared differences of ranks found by counting.
                    let pairs: Vec<(f32, f32)> = seen
                        .iter()
                        .map(|&j| {
                            let (q, k) = (joint.row(i), joint.row(30 + j));
                            (-q.dot(&k) / k.dot(&k).sqrt(), queries.row(i).dot(&keys.row(j)))
                        })
                        .collect();
                    let n = pairs.len() as f64;
                    let rank =
                        |x: f32, all: &dyn Fn(usize) -> f32| (0..pairs.len()).filter(|&j| all(j) < x).count() as f64;
                    let squares: f64 = pairs
                        .iter()
                        .map(|p| (rank(p.0, &|j| pairs[j].0) - rank(p.1, &|j| pairs[j].1)).powi(2))
                        .sum();
                    values.push(1.0 - 6.0 * squares / (n * (n * n - 1.0)));
                }
                if !values.is_empty() {
                    means.push(values.iter().sum::<f64>() / values.len() as f64);
                }
            }
            let truth = means.iter().sum::<f64>() / means.len() as f64;
            let found = distance_correlation(&cloud, joint.view(), set).unwrap();
            assert!((f64::from(found.value.unwrap()) - truth).abs() < 1e-6, "{set:?}");
            assert_eq!(found.sequences, 2);
            assert_eq!(found.queries + found.skipped, 30);
        }
    }

    #[test]
    fn heads_without_variance_have_no_value() {
        let same = Array2::<f32>::ones((5, 3));
        let rows = [SequenceRows {
            queries: 0..5,
            keys: 0..5,
        }];
        let cloud = HeadCloud::new(same.view(), same.view(), &rows, Mask::Full).unwrap();
        let joint = Array2::<f32>::zeros((10, 3));
        let found = distance_correlation(&cloud, joint.view(), KeySet::All).unwrap();
        assert_eq!((found.value, found.skipped), (None, 5));
        assert!(matches!(
            distance_correlation(&cloud, same.view(), KeySet::All),
            Err(Error::Shape { .. })
        ));
    }
}
