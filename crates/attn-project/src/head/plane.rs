//! What a layout of a head shows of its attention. [`distance_correlation`](super::distance_correlation) is about the
//! space that is laid out; a reader sees the layout, where far less of it holds.

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::{DistanceCorrelation, HeadCloud, KeySet, correlation::correlate};
use crate::{Error, Result, linalg::check_points};

/// Raised whenever scores change, so that heads kept from before are made again.
pub(crate) const REVISION: u32 = 1;

/// How far near means attended in a layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaneScore {
    /// Share of the queries whose nearest key in the layout is the key they attend to most, from 0 to 1; `None` if no query
    /// has a choice. Keys are those of the same sequence that the query is compared with; attention is ordered by `q·k`.
    pub nearest: Option<f32>,
    /// The same share for keys picked at random: what a layout that shows nothing has.
    pub chance: Option<f32>,
    /// Queries behind the share: those with a choice between keys that they attend to differently.
    pub queries: usize,
    /// Rank correlation of distance in the layout and `q·k`, averaged as
    /// [`distance_correlation`](super::distance_correlation): -1 is perfect.
    pub correlation: DistanceCorrelation,
    /// Of each query: 1 if its nearest key is the one it attends to most, 0 if not, between them if several keys are
    /// equally near; `None` without a choice.
    #[serde(skip)]
    pub points: Vec<Option<f32>>,
}

impl PlaneScore {
    /// The part of the range above chance that the share reaches, 0 at chance or below, 1 at the best: what heads are
    /// ordered by.
    pub fn above_chance(&self) -> Option<f32> {
        let (nearest, chance) = (self.nearest?, self.chance?);
        (chance < 1.0).then(|| ((nearest - chance) / (1.0 - chance)).clamp(0.0, 1.0))
    }
}

/// Measures a `layout` of a head, `[queries + keys, axes]`, with Euclidean distances: where is the nearest key of every
/// query, and how do the distances to its keys rank?
///
/// Equally near keys count by the share of them that are attended most, so that equal points give no luck.
///
/// ```
/// use attn_core::model::Mask;
/// use attn_project::head::{HeadCloud, KeySet, SequenceRows, plane_score};
/// use ndarray::array;
///
/// let (queries, keys) = (array![[1.0f32, 0.0], [0.0, 1.0]], array![[2.0f32, 0.0], [0.0, 3.0]]);
/// let rows = [SequenceRows { queries: 0..2, keys: 0..2 }];
/// let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Full)?;
/// // The first query lies at its key; the second lies there too, far from its own.
/// let layout = array![[0.0f32, 0.0], [0.1, 0.0], [0.0, 0.1], [5.0, 5.0]];
/// let score = plane_score(&cloud, layout.view(), KeySet::Visible)?;
/// assert_eq!((score.nearest, score.chance), (Some(0.5), Some(0.5)));
/// # Ok::<(), attn_project::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if `layout` has not one row per query and key, [`Error::NotFinite`], [`Error::TooLarge`].
pub fn plane_score(cloud: &HeadCloud<'_>, layout: ArrayView2<'_, f32>, keys: KeySet) -> Result<PlaneScore> {
    let queries = cloud.queries().nrows();
    let total = queries + cloud.keys().nrows();
    if layout.nrows() != total || layout.ncols() == 0 {
        let expected = format!("{total} rows, queries then keys, of at least one column");
        return Err(Error::shape("layout", expected, format!("{:?}", layout.dim())));
    }
    check_points("layout", layout)?;
    let (at_queries, at_keys) = layout.split_at(Axis(0), queries);
    let distance = |query: usize, key: usize| -> f64 {
        let pairs = at_queries.row(query).into_iter().zip(at_keys.row(key));
        pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    };
    let judge = |query: usize, distances: &[f64], scores: &[f64]| {
        let (found, chance) = found(distances, scores)?;
        Some((query, found, chance))
    };
    let (correlation, judged) = correlate(cloud, keys, distance, judge);
    let (mut points, mut sum, mut by_chance, mut used) = (vec![None; queries], 0.0, 0.0, 0usize);
    for (query, found, chance) in judged.into_iter().flatten().flatten() {
        points[query] = Some(found as f32);
        (sum, by_chance, used) = (sum + found, by_chance + chance, used + 1);
    }
    let mean = |sum: f64| (used > 0).then(|| (sum / used as f64) as f32);
    Ok(PlaneScore {
        nearest: mean(sum),
        chance: mean(by_chance),
        queries: used,
        correlation,
        points,
    })
}

/// The share of the nearest keys that have the highest score, and that share of all keys; `None` if all have it.
fn found(distances: &[f64], scores: &[f64]) -> Option<(f64, f64)> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let tops = scores.iter().filter(|&&score| score == top).count();
    if tops == scores.len() || tops == 0 {
        return None;
    }
    let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
    let (mut near, mut right) = (0usize, 0usize);
    for (&distance, &score) in distances.iter().zip(scores) {
        if distance == least {
            near += 1;
            right += usize::from(score == top);
        }
    }
    (near > 0).then(|| (right as f64 / near as f64, tops as f64 / scores.len() as f64))
}

#[cfg(test)]
mod tests {
    use attn_core::model::Mask;
    use ndarray::{Array2, array};

    use super::*;
    use crate::{head::SequenceRows, rng::Rng};

    fn rows(ranges: &[std::ops::Range<usize>]) -> Vec<SequenceRows> {
        let of = |range: &std::ops::Range<usize>| SequenceRows {
            queries: range.clone(),
            keys: range.clone(),
        };
        ranges.iter().map(of).collect()
    }

    /// By the definition, with loops over all pairs.
    #[test]
    fn agrees_with_brute_force() {
        let mut rng = Rng::new(4, 1);
        let mut draw = |columns: usize| Array2::from_shape_simple_fn((40, columns), || rng.normal() as f32);
        let (queries, keys, near_queries, near_keys) = (draw(6), draw(6), draw(2), draw(2));
        let layout = ndarray::concatenate![Axis(0), near_queries, near_keys];
        let sequences = rows(&[0..15, 15..16, 16..40]);
        for set in [KeySet::Visible, KeySet::All] {
            let cloud = HeadCloud::new(queries.view(), keys.view(), &sequences, Mask::Causal).unwrap();
            let score = plane_score(&cloud, layout.view(), set).unwrap();
            let (mut hits, mut chance, mut count, mut means) = (0.0, 0.0, 0, Vec::new());
            for rows in &sequences {
                let mut of_rows = Vec::new();
                for i in rows.queries.clone() {
                    let seen: Vec<usize> = rows.keys.clone().filter(|&j| set == KeySet::All || j <= i).collect();
                    let far = |j: usize| (&near_queries.row(i) - &near_keys.row(j)).mapv(|x| x * x).sum();
                    let dot = |j: usize| queries.row(i).dot(&keys.row(j));
                    let nearest = seen.iter().copied().min_by(|&a, &b| far(a).total_cmp(&far(b))).unwrap();
                    let most = seen.iter().copied().max_by(|&a, &b| dot(a).total_cmp(&dot(b))).unwrap();
                    if seen.len() > 1 {
                        assert_eq!(score.points[i], Some(f32::from(u8::from(nearest == most))));
                        hits += f64::from(u8::from(nearest == most));
                        chance += 1.0 / seen.len() as f64;
                        count += 1;
                    } else {
                        assert_eq!(score.points[i], None);
                    }
                    if seen.len() > 2 {
                        let n = seen.len() as f64;
                        let rank = |of: &dyn Fn(usize) -> f32, j: usize| {
                            seen.iter().filter(|&&other| of(other) < of(j)).count() as f64
                        };
                        let squares: f64 = seen.iter().map(|&j| (rank(&far, j) - rank(&dot, j)).powi(2)).sum();
                        of_rows.push(1.0 - 6.0 * squares / (n * (n * n - 1.0)));
                    }
                }
                if !of_rows.is_empty() {
                    means.push(of_rows.iter().sum::<f64>() / of_rows.len() as f64);
                }
            }
            let correlation = means.iter().sum::<f64>() / means.len() as f64;
            assert_eq!(score.queries, count);
            assert!((f64::from(score.nearest.unwrap()) - hits / count as f64).abs() < 1e-6);
            assert!((f64::from(score.chance.unwrap()) - chance / count as f64).abs() < 1e-6);
            assert!((f64::from(score.correlation.value.unwrap()) - correlation).abs() < 1e-6);
        }
    }

    #[test]
    fn equal_points_give_no_luck() {
        let queries = array![[1.0f32], [1.0]];
        let keys = array![[3.0f32], [1.0], [2.0]];
        let sequences = [SequenceRows {
            queries: 0..2,
            keys: 0..3,
        }];
        let cloud = HeadCloud::new(queries.view(), keys.view(), &sequences, Mask::Full).unwrap();
        let score = plane_score(&cloud, Array2::zeros((5, 2)).view(), KeySet::Visible).unwrap();
        assert_eq!(score.nearest, score.chance);
        assert_eq!((score.above_chance(), score.correlation.value), (Some(0.0), None));
        // The nearest keys of the second query are two, one of them right.
        let layout = array![[0.0f32, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [4.0, 0.0]];
        let score = plane_score(&cloud, layout.view(), KeySet::Visible).unwrap();
        assert_eq!(score.points, [Some(0.5), Some(0.5)]);
        assert!(matches!(
            plane_score(&cloud, Array2::zeros((4, 2)).view(), KeySet::Visible),
            Err(Error::Shape { what: "layout", .. })
        ));
    }

    #[test]
    fn a_query_without_a_choice_says_nothing() {
        let same = Array2::<f32>::ones((4, 2));
        let sequences = rows(&[0..1, 1..4]);
        let cloud = HeadCloud::new(same.view(), same.view(), &sequences, Mask::Full).unwrap();
        let score = plane_score(&cloud, Array2::zeros((8, 2)).view(), KeySet::Visible).unwrap();
        assert_eq!((score.nearest, score.chance, score.queries), (None, None, 0));
        assert_eq!(score.above_chance(), None);
    }
}
