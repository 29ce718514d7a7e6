//! Quality of a layout: how far it can be trusted.
//!
//! Trustworthiness asks whether neighbors in the layout are neighbors in the space; continuity, whether
//! neighbors in the space are neighbors in the layout (Venna and Kaski, *Neighborhood preservation in nonlinear
//! projection methods*, ICANN 2001). Both are 1 if so, and weigh an intruder by how far away it belongs.
//! Preservation is the plain share of nearest neighbors kept.

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{
    Error, Metric, Result,
    linalg::check_points,
    metric::{Kernel, Space, unit_of},
    neighbors::Nearest,
    rng::{Rng, sample},
    stages,
};

/// Raised whenever scores change, so that heads kept from before are made again.
pub(crate) const REVISION: u32 = 2;

/// Points scored by one task.
const ROWS: usize = 32;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QualityParams {
    /// Neighbors for trustworthiness and continuity. Default 12; fewer than half the points.
    pub ranked: usize,
    /// Neighbors for preservation. Default 10.
    pub preserved: usize,
    /// Up to so many points all are scored. Default 20,000.
    pub exact_up_to: usize,
    /// Points scored, against all, if there are more. Default 2,000.
    pub sample: usize,
    /// Chooses the sample.
    pub seed: u64,
}

impl Default for QualityParams {
    fn default() -> Self {
        Self {
            ranked: 12,
            preserved: 10,
            exact_up_to: 20_000,
            sample: 2_000,
            seed: 0,
        }
    }
}

impl QualityParams {
    /// The same with as many neighbors as `points` points allow: with it only clouds of fewer than 3 points have no
    /// score.
    pub fn clamped(self, points: usize) -> Self {
        let most = (points.saturating_sub(1) / 2).max(1);
        Self {
            ranked: self.ranked.clamp(1, most),
            preserved: self.preserved.clamp(1, most),
            ..self
        }
    }
}

/// A mean over points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean, at most 1.
    pub value: f32,
    /// Standard error of the mean if the points were sampled; 0 if all were scored.
    pub standard_error: f32,
    /// The score of each scored point.
    pub points: Vec<f32>,
}

/// Quality of a projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The points scored, ascending, if not all.
    pub sampled: Option<Vec<u32>>,
    /// Neighbors behind the first two scores.
    pub ranked: usize,
    /// Neighbors behind the last score.
    pub preserved: usize,
    /// Whether what is near in the layout is near in the space.
    pub trustworthiness: Score,
    /// Whether what is near in the space is near in the layout.
    pub continuity: Score,
    /// Share of the nearest neighbors in the space that are nearest neighbors in the layout.
    pub neighbors_kept: Score,
}

/// The scores of one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointQuality {
    /// Whether what is near it in the layout is near it in the space.
    pub trustworthiness: f32,
    /// Whether what is near it in the space is near it in the layout.
    pub continuity: f32,
    /// Share of its nearest neighbors that are kept.
    pub neighbors_kept: f32,
}

impl Quality {
    /// The scores of a point, for an overlay; `None` if it is not there or was not drawn into the sample.
    ///
    /// ```
    /// use attn_project::{metric::Euclidean, quality::{QualityParams, quality}};
    /// let points = ndarray::Array2::from_shape_fn((40, 3), |(i, j)| ((i * (j + 2)) as f32).sin());
    /// let map = points.slice(ndarray::s![.., ..2]);
    /// let found = quality(points.view(), map, Euclidean, &QualityParams::default(), &())?;
    /// assert!(found.of_point(7).is_some_and(|point| point.trustworthiness <= 1.0));
    /// assert!(found.of_point(40).is_none());
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    pub fn of_point(&self, point: usize) -> Option<PointQuality> {
        let place = match &self.sampled {
            Some(sampled) => sampled.binary_search(&u32::try_from(point).ok()?).ok()?,
            None => point,
        };
        Some(PointQuality {
            trustworthiness: *self.trustworthiness.points.get(place)?,
            continuity: *self.continuity.points.get(place)?,
            neighbors_kept: *self.neighbors_kept.points.get(place)?,
        })
    }
}

/// Compares `points` `[point, dimension]` with their layout `map` `[point, 2 or 3]`. `metric` is that of the space,
/// best the one of the projection; distances in the layout are Euclidean. Time grows with points scored times points;
/// memory with the points.
///
/// # Errors
/// [`Error::Shape`] if the numbers of rows differ, [`Error::TooFewPoints`] below 3 points, [`Error::Parameter`] if a
/// number of neighbors is 0 or not below half the points (see [`QualityParams::clamped`]), [`Error::NotFinite`],
/// [`Error::TooLarge`], [`Error::Cancelled`].
pub fn quality(
    points: ArrayView2<'_, f32>,
    map: ArrayView2<'_, f32>,
    metric: impl Into<Metric>,
    params: &QualityParams,
    progress: &dyn Progress,
) -> Result<Quality> {
    let (n, metric) = (points.nrows(), metric.into());
    if map.nrows() != n || map.ncols() == 0 {
        return Err(Error::shape(
            "map",
            format!("{n} rows as the points, at least one column"),
            format!("{:?}", map.dim()),
        ));
    }
    if n < 3 {
        return Err(Error::too_few("quality", 3, n));
    }
    for (name, k) in [("ranked", params.ranked), ("preserved", params.preserved)] {
        if k == 0 || 2 * k >= n {
            return Err(Error::parameter(
                name,
                format!("at least 1 and below half of {n} points"),
                k,
            ));
        }
    }
    check_points("map", map)?;
    let space = Original::new(points.reborrow(), &metric)?;
    let layout = Layout::new(map);
    let sampled = (n > params.exact_up_to).then(|| sample(n, params.sample.max(1), &mut Rng::new(params.seed, 0)));
    let rows: Vec<usize> = sampled.clone().unwrap_or_else(|| (0..n).collect());
    let done = AtomicUsize::new(0);
    let scored: Result<Vec<Vec<[f32; 3]>>> = rows
        .par_chunks(ROWS)
        .map(|rows| {
            let scores = score_rows(&space, &layout, rows, params)?;
            let finished = done.fetch_add(scores.len(), Relaxed) + scores.len();
            progress::step(
                progress,
                stages::QUALITY,
                finished,
                sampled.as_ref().map_or(n, Vec::len),
            )?;
            Ok(scores)
        })
        .collect();
    let scored: Vec<[f32; 3]> = scored?.into_iter().flatten().collect();
    let score = |which: usize| {
        let points: Vec<f32> = scored.iter().map(|s| s[which]).collect();
        let count = points.len() as f64;
        let mean = points.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = points.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let standard_error = if sampled.is_some() {
            (variance / count).sqrt() as f32
        } else {
            0.0
        };
        Score {
            value: mean as f32,
            standard_error,
            points,
        }
    };
    Ok(Quality {
        ranked: params.ranked,
        preserved: params.preserved,
        trustworthiness: score(0),
        continuity: score(1),
        neighbors_kept: score(2),
        sampled: sampled.map(|rows| rows.into_iter().map(|row| row as u32).collect()),
    })
}

/// The layout by axes, which is how distances to all points are computed fastest.
struct Layout {
    axes: Vec<Vec<f32>>,
}

impl Layout {
    /// Coordinates near 1, so that squares neither overflow nor vanish; a power of two changes no order.
    fn new(map: ArrayView2<'_, f32>) -> Self {
        let unit = unit_of(map.iter());
        let axis = |axis: ArrayView1<'_, f32>| axis.iter().map(|x| x / unit).collect();
        Self {
            axes: map.axis_iter(Axis(1)).map(axis).collect(),
        }
    }

    /// The squared distances from point `i`.
    fn distances(&self, i: usize, out: &mut [f32]) {
        out.fill(0.0);
        for axis in &self.axes {
            let own = axis[i];
            pulp::Arch::new().dispatch(AddSquares { own, axis, out });
        }
    }
}

/// Adds the squared differences of `own` from each number of an axis.
struct AddSquares<'a> {
    own: f32,
    axis: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for AddSquares<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (axis, last) = S::as_simd_f32s(self.axis);
        let (out, last_out) = S::as_mut_simd_f32s(self.out);
        let own = simd.splat_f32s(self.own);
        for (out, &x) in out.iter_mut().zip(axis) {
            let apart = simd.sub_f32s(x, own);
            *out = simd.add_f32s(*out, simd.mul_f32s(apart, apart));
        }
        for (out, &x) in last_out.iter_mut().zip(last) {
            *out += (x - self.own) * (x - self.own);
        }
    }
}

/// The points, whose distances are products where the metric has a kernel.
enum Original<'a> {
    Products(Space<'a>),
    Pairs(Array2<f32>, &'a Metric),
}

impl<'a> Original<'a> {
    fn new(points: ArrayView2<'a, f32>, metric: &'a Metric) -> Result<Self> {
        if metric.kernel() != Kernel::Pairs {
            return Ok(Self::Products(Space::new(points.into(), metric)?));
        }
        check_points("points", points)?;
        Ok(Self::Pairs(points.as_standard_layout().into_owned(), metric))
    }

    /// Scores `[row, point]` that order all points by their distance from each of some rows.
    fn scores(&self, rows: &[usize]) -> Result<Array2<f32>> {
        match self {
            Self::Products(space) => {
                let mut scores = Array2::<f32>::zeros((rows.len(), space.len()));
                space.products(
                    space.rows.select(Axis(0), rows).view(),
                    0..space.len(),
                    scores.view_mut(),
                );
                for mut row in scores.rows_mut() {
                    row.iter_mut()
                        .zip(&space.bias)
                        .for_each(|(score, bias)| *score = bias - *score);
                }
                Ok(scores)
            }
            Self::Pairs(points, metric) => {
                let (flat, width) = (points.as_slice().unwrap_or_default(), points.ncols());
                let mut scores = Array2::<f32>::zeros((rows.len(), points.nrows()));
                for (mut scores, &i) in scores.rows_mut().into_iter().zip(rows) {
                    let distances = metric.distances(&flat[i * width..(i + 1) * width], flat)?;
                    scores
                        .iter_mut()
                        .zip(distances)
                        .for_each(|(score, distance)| *score = distance);
                }
                Ok(scores)
            }
        }
    }
}

/// What rounding may be wrong by, as a share of the half squared distance of the last neighbor, before distances of a point
/// are measured from differences.
const ROUNDING: f32 = 1e-3;

impl Original<'_> {
    /// Replaces the scores of point `i` by its distances where rounding could take others for its `nearest`: among points
    /// far from the mean and near one another. Says whether it did.
    fn settle(&self, i: usize, nearest: &[u32], scores: &mut [f32]) -> bool {
        let (Self::Products(space), Some(&last)) = (self, nearest.last()) else {
            return false;
        };
        fn measure(space: &Space<'_>, i: usize, first: usize, out: &mut [f32]) {
            pulp::Arch::new().dispatch(FromOne { space, i, first, out });
        }
        let mut distance = [0.0];
        measure(space, i, last as usize, &mut distance);
        let Some(reach) = space.half_squared(distance[0]) else {
            return false;
        };
        if space.rounding(i, reach).1 <= ROUNDING * reach {
            return false;
        }
        measure(space, i, 0, scores);
        true
    }
}

impl Original<'_> {
    /// Whether two points have the same distances from all, as equal ones do.
    fn equal(&self, a: usize, b: usize) -> bool {
        match self {
            Self::Products(space) => space.equal(a, b),
            Self::Pairs(..) => false,
        }
    }
}

/// Distances of point `i` from those from `first` on.
struct FromOne<'a, 'b> {
    space: &'a Space<'b>,
    i: usize,
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for FromOne<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (out, j) in self.out.iter_mut().zip(self.first..) {
            *out = self.space.distance(simd, self.i, j);
        }
    }
}

/// Trustworthiness, continuity and preservation of some points.
fn score_rows(space: &Original<'_>, layout: &Layout, rows: &[usize], params: &QualityParams) -> Result<Vec<[f32; 3]>> {
    let scores = space.scores(rows)?;
    let n = scores.ncols();
    let mut far = vec![0.0f32; n];
    let mut near = vec![0.0f32; n];
    let zeros = vec![0.0f32; n];
    let k = params.ranked;
    let worst = 2.0 / (k as f64 * (2 * n - 3 * k - 1) as f64);
    // The row whose distances were measured last, and these.
    let mut settled: Option<(usize, Vec<f32>)> = None;
    let scored = rows.iter().zip(scores.rows());
    Ok(scored
        .map(|(&i, scores)| {
            far.iter_mut().zip(scores).for_each(|(far, &score)| *far = score);
            layout.distances(i, &mut near);
            far[i] = f32::INFINITY; // a point is not its own neighbor
            near[i] = f32::INFINITY;
            let most = k.max(params.preserved);
            let (mut in_space, in_layout) = (nearest(&far, &zeros, most), nearest(&near, &zeros, most));
            // Many equal points would all be measured, and all the same.
            let known = settled.as_ref().filter(|(other, _)| space.equal(i, *other));
            let measured = match known {
                Some((_, distances)) => {
                    far.copy_from_slice(distances);
                    true
                }
                None if space.settle(i, &in_space, &mut far) => {
                    settled = Some((i, far.clone()));
                    true
                }
                None => false,
            };
            if measured {
                far[i] = f32::INFINITY;
                in_space = nearest(&far, &zeros, most);
            }
            let kept = in_space[..params.preserved]
                .iter()
                .filter(|j| in_layout[..params.preserved].contains(j))
                .count();
            let trust = 1.0 - worst * excess_ranks(&far, &in_layout[..k], &in_space[..k]);
            let continuity = 1.0 - worst * excess_ranks(&near, &in_space[..k], &in_layout[..k]);
            [trust as f32, continuity as f32, kept as f32 / params.preserved as f32]
        })
        .collect())
}

/// The `k` points with the least scores, nearest first. There are as many zeros as scores.
fn nearest(scores: &[f32], zeros: &[f32], k: usize) -> Vec<u32> {
    let mut nearest = Nearest::new(k);
    nearest.scan(scores, zeros, 0);
    let mut found = nearest.take();
    found.sort_unstable();
    found.into_iter().map(|candidate| candidate.point()).collect()
}

/// Counts the scores below a limit.
struct CountBelow<'a> {
    scores: &'a [f32],
    limit: f32,
}

impl WithSimd for CountBelow<'_> {
    type Output = u32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u32 {
        let (scores, last) = S::as_simd_f32s(self.scores);
        let limit = simd.splat_f32s(self.limit);
        let (one, zero) = (simd.splat_u32s(1), simd.splat_u32s(0));
        let mut below = zero;
        for &scores in scores {
            below = simd.add_u32s(below, simd.select_u32s(simd.less_than_f32s(scores, limit), one, zero));
        }
        let mut sum = 0;
        for &count in pulp::bytemuck::cast_slice::<_, u32>(&[below]) {
            sum += count;
        }
        for &score in last {
            sum += u32::from(score < self.limit);
        }
        sum
    }
}

/// By how much the ranks of `others` exceed the number of `neighbors`, summed. A rank counts the points that are
/// strictly nearer; true neighbors do not exceed it.
fn excess_ranks(scores: &[f32], others: &[u32], neighbors: &[u32]) -> f64 {
    let intruders: Vec<f32> = others
        .iter()
        .filter(|j| !neighbors.contains(j))
        .map(|&j| scores[j as usize])
        .collect();
    let mut nearer = vec![0u32; intruders.len()];
    // So many scores stay near while they are compared with each limit.
    for scores in scores.chunks(1024) {
        for (nearer, &limit) in nearer.iter_mut().zip(&intruders) {
            *nearer += pulp::Arch::new().dispatch(CountBelow { scores, limit });
        }
    }
    nearer
        .iter()
        .map(|&count| (f64::from(count) + 1.0 - neighbors.len() as f64).max(0.0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut rng = Rng::new(seed, 1);
        Array2::from_shape_simple_fn((n, d), || rng.normal() as f32)
    }

    /// The definitions, term by term: ranks from fully sorted rows.
    fn brute_force(x: &Array2<f32>, y: &Array2<f32>, k: usize, k2: usize) -> [f64; 3] {
        let n = x.nrows();
        let order = |z: &Array2<f32>, i: usize| {
            let mut others: Vec<usize> = (0..n).filter(|&j| j != i).collect();
            let distance = |j: usize| (&z.row(i) - &z.row(j)).mapv(|x| f64::from(x).powi(2)).sum();
            others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            others
        };
        let (mut trust, mut continuity, mut kept) = (0.0, 0.0, 0.0);
        for i in 0..n {
            let (by_x, by_y) = (order(x, i), order(y, i));
            let rank = |order: &[usize], j: usize| order.iter().position(|&o| o == j).unwrap() as f64 + 1.0;
            for &j in &by_y[..k] {
                trust += (rank(&by_x, j) - k as f64).max(0.0);
            }
            for &j in &by_x[..k] {
                continuity += (rank(&by_y, j) - k as f64).max(0.0);
            }
            kept += by_x[..k2].iter().filter(|j| by_y[..k2].contains(j)).count() as f64 / k2 as f64;
        }
        let z = 2.0 / (n as f64 * k as f64 * (2.0 * n as f64 - 3.0 * k as f64 - 1.0));
        [1.0 - z * trust, 1.0 - z * continuity, kept / n as f64]
    }

    /// Two crowds, so far apart that products in single precision say nothing about what is near within one.
    #[test]
    fn crowds_far_apart_are_scored_by_their_distances() {
        let near = cloud(120, 5, 4);
        let x = Array2::from_shape_fn(near.dim(), |(i, c)| {
            near[[i, c]] + if i % 2 == 0 { 60_000.0 } else { -60_000.0 }
        });
        let y = Array2::from_shape_fn((120, 2), |(i, c)| near[[i, c]] + if i % 2 == 0 { 20.0 } else { -20.0 });
        let found = quality(x.view(), y.view(), Metric::EUCLIDEAN, &QualityParams::default(), &()).unwrap();
        let truth = brute_force(&x, &y, 12, 10);
        let means = [
            found.trustworthiness.value,
            found.continuity.value,
            found.neighbors_kept.value,
        ];
        for (found, truth) in means.iter().zip(truth) {
            assert!((f64::from(*found) - truth).abs() < 1e-5, "{means:?} {truth:?}");
        }
    }

    #[test]
    fn equal_points_are_measured_once_and_scored_as_each_alone() {
        // 40 copies each of two points that only differences tell apart from their neighbors.
        let near = cloud(200, 5, 4);
        let x = Array2::from_shape_fn(near.dim(), |(i, c)| {
            let of = if i < 80 { i % 2 } else { i };
            near[[of, c]] + if of % 2 == 0 { 60_000.0 } else { -60_000.0 }
        });
        let y = cloud(200, 2, 5);
        let (metric, params) = (Metric::EUCLIDEAN, QualityParams::default());
        let (space, layout) = (Original::new(x.view(), &metric).unwrap(), Layout::new(y.view()));
        assert!(space.equal(0, 2) && !space.equal(0, 1));
        let rows: Vec<usize> = (0..80).step_by(2).chain(80..90).chain(0..80).collect();
        let together = score_rows(&space, &layout, &rows, &params).unwrap();
        for (&row, score) in rows.iter().zip(together) {
            assert_eq!(score_rows(&space, &layout, &[row], &params).unwrap(), [score], "{row}");
        }
    }

    #[test]
    fn agrees_with_brute_force() {
        let x = cloud(150, 7, 1);
        let noise = cloud(150, 2, 2) * 0.3;
        for y in [x.slice(ndarray::s![.., ..2]).to_owned() + &noise, cloud(150, 2, 9)] {
            let found = quality(x.view(), y.view(), Metric::EUCLIDEAN, &QualityParams::default(), &()).unwrap();
            let truth = brute_force(&x, &y, 12, 10);
            let means = [
                found.trustworthiness.value,
                found.continuity.value,
                found.neighbors_kept.value,
            ];
            for (found, truth) in means.iter().zip(truth) {
                assert!((f64::from(*found) - truth).abs() < 1e-5, "{means:?} {truth:?}");
            }
            assert_eq!(found.trustworthiness.points.len(), 150);
        }
    }

    #[test]
    fn a_perfect_layout_scores_one() {
        let x = cloud(100, 3, 4);
        let found = quality(x.view(), x.view(), Metric::EUCLIDEAN, &QualityParams::default(), &()).unwrap();
        assert_eq!(
            (
                found.trustworthiness.value,
                found.continuity.value,
                found.neighbors_kept.value
            ),
            (1.0, 1.0, 1.0)
        );
        assert_eq!(found.trustworthiness.standard_error, 0.0);
    }

    #[test]
    fn huge_and_tiny_coordinates() {
        let (x, y) = (cloud(60, 4, 1), cloud(60, 2, 1));
        let run =
            |y: Array2<f32>| quality(x.view(), y.view(), Metric::EUCLIDEAN, &QualityParams::default(), &()).unwrap();
        let plain = run(y.clone());
        for scale in [2f32.powi(100), 2f32.powi(-100)] {
            assert_eq!(run(&y * scale), plain);
        }
    }

    #[test]
    fn a_sample_estimates_the_whole() {
        let x = cloud(1200, 8, 6);
        let y = x.slice(ndarray::s![.., ..2]).to_owned();
        let whole = quality(x.view(), y.view(), Metric::EUCLIDEAN, &QualityParams::default(), &()).unwrap();
        let params = QualityParams {
            exact_up_to: 500,
            sample: 300,
            seed: 3,
            ..QualityParams::default()
        };
        let part = quality(x.view(), y.view(), Metric::EUCLIDEAN, &params, &()).unwrap();
        assert_eq!(part.sampled.as_ref().unwrap().len(), 300);
        for (part, whole) in [
            (&part.trustworthiness, &whole.trustworthiness),
            (&part.neighbors_kept, &whole.neighbors_kept),
        ] {
            assert!(part.standard_error > 0.0);
            assert!(
                (part.value - whole.value).abs() < 4.0 * part.standard_error,
                "{} {}",
                part.value,
                whole.value
            );
        }
        // A sampled point has the score it has among all.
        let first = part.sampled.as_ref().unwrap()[0] as usize;
        assert_eq!(part.continuity.points[0], whole.continuity.points[first]);
        assert_eq!(part.of_point(first), whole.of_point(first));
        let drawn = (0..1200).filter(|&point| part.of_point(point).is_some()).count();
        assert_eq!(drawn, 300);
    }

    #[test]
    fn equal_points_give_numbers() {
        let (x, y) = (Array2::<f32>::ones((40, 5)), Array2::<f32>::zeros((40, 2)));
        let found = quality(x.view(), y.view(), Metric::EUCLIDEAN, &QualityParams::default(), &()).unwrap();
        assert_eq!((found.trustworthiness.value, found.neighbors_kept.value), (1.0, 1.0));
    }

    #[test]
    fn bad_input_is_refused() {
        let (x, mut y) = (cloud(24, 3, 1), cloud(24, 2, 1));
        let params = QualityParams::default();
        assert!(matches!(
            quality(x.view(), y.view(), Metric::EUCLIDEAN, &params, &()),
            Err(Error::Parameter { name: "ranked", .. })
        ));
        assert!(quality(x.view(), y.view(), Metric::EUCLIDEAN, &params.clamped(24), &()).is_ok());
        y[[3, 1]] = f32::NAN;
        assert!(matches!(
            quality(x.view(), y.view(), Metric::EUCLIDEAN, &params.clamped(24), &()),
            Err(Error::NotFinite { row: 3, .. })
        ));
        let short = cloud(23, 2, 1);
        assert!(matches!(
            quality(x.view(), short.view(), Metric::EUCLIDEAN, &params, &()),
            Err(Error::Shape { .. })
        ));
    }
}
