//! Queries and keys brought into one space, with the attention unchanged (Yeh et al., *AttentionViz*, IEEE TVCG
//! 2023, section 5.1).
//!
//! Two freedoms of the softmax are used. Multiplying queries by c and dividing keys by c leaves every dot
//! product as it is. Adding one vector to all keys adds the same number to every score of a query, which the
//! softmax ignores. The shift lays the mean of the keys on the mean of the queries; c is chosen so that *near*
//! means *attended* as well as one number per head can make it.
//!
//! The paper weighs the pairs by how near they are, but tries only seven values of c and stores values outside
//! [-1, 1], which no correlation reaches. Here it is a weighted Pearson coefficient, and c is searched
//! continuously.

use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

use super::{HeadCloud, scale};
use crate::{
    Error, Result,
    linalg::{dot, squared_distance},
    metric::unit_of,
    rng::Rng,
};

/// Raised whenever normalizations change, so that heads kept from before are made again.
pub(crate) const REVISION: u32 = 3;

/// More query-key pairs than this are sampled, seeded.
const PAIRS: usize = 20_000;
/// The share of pairs that counts as near.
const NEAR: f64 = 0.05;
/// At least so many pairs count as near, if there are that many.
const NEAR_AT_LEAST: usize = 32;
/// c is searched within this factor of the balancing one.
/// The published search tries 0.2 to 5. Beyond that one of the two clouds all but vanishes in the other.
pub(super) const RANGE: f64 = 5.0;
/// Values of c tried before the search narrows down on the best.
const COARSE: usize = 41;

/// How the factor c between queries and keys is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleChoice {
    /// The c for which the plane of the first two principal components lays most queries next to the key that they attend to
    /// most: c is judged by what a picture can keep.
    #[default]
    Plane,
    /// The c for which dot product and distance of near pairs correlate most negatively, in the full space (AttentionViz).
    Correlation,
    /// The c that gives queries and keys the same mean norm, `sqrt(mean |k| / mean |q|)`: cheap, and no pairs needed.
    Balance,
    /// c = 1.
    None,
}

/// The scaling and shift of one head: `q' = c q`, `k' = k / c + shift`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// The factor c on queries; keys are divided by it.
    pub scale: f32,
    /// Added to every key after scaling, `[head_dim]`: the mean of the scaled queries minus that of the scaled keys.
    pub shift: Vec<f32>,
    /// The weighted correlation reached, in [-1, 1]; `None` if c was not chosen by it or it is undefined (fewer
    /// than three near pairs, or no variance), in which case c balances the norms.
    pub correlation: Option<f32>,
}

impl Normalization {
    /// Chooses the normalization of a head. `seed` picks the pairs if there are more than 20,000.
    ///
    /// The pairs are those of a query and a key it sees in its own sequence. Distances are those to be
    /// laid out, after scaling and shift; weights are `(d0 - distance)²` for distances below `d0`, their fifth
    /// percentile.
    pub fn fit(cloud: &HeadCloud<'_>, choice: ScaleChoice, seed: u64) -> Self {
        let (queries, keys) = (cloud.queries(), cloud.keys());
        let mean_norm = |rows: ndarray::ArrayView2<'_, f32>| {
            let norm =
                |row: ndarray::ArrayView1<'_, f32>| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            rows.rows().into_iter().map(norm).sum::<f64>() / rows.nrows() as f64
        };
        let balance = (mean_norm(keys) / mean_norm(queries)).sqrt();
        let balance = if balance.is_finite() && balance > 0.0 {
            balance
        } else {
            1.0
        };
        let (query_mean, key_mean) = (mean(queries), mean(keys));
        let (scale, correlation) = match choice {
            ScaleChoice::None => (1.0, None),
            ScaleChoice::Balance => (balance, None),
            ScaleChoice::Plane => (scale::best(cloud, balance, seed).unwrap_or(balance), None),
            ScaleChoice::Correlation => {
                let pairs = Pairs::of(cloud, &query_mean, &key_mean, seed);
                match search(balance, |c| pairs.correlation(c)) {
                    Some((c, value)) => (c, Some(value as f32)),
                    None => (balance, None),
                }
            }
        };
        Self {
            correlation,
            ..Self::centered(scale, &query_mean, &key_mean)
        }
    }

    /// The normalization of a head with a c that is known, such as that of the same head at another checkpoint.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a c that is not a positive number.
    pub fn with_scale(cloud: &HeadCloud<'_>, scale: f32) -> Result<Self> {
        if !(scale.is_finite() && scale > 0.0) {
            return Err(Error::parameter("scale", "a positive number", scale));
        }
        Ok(Self::centered(
            scale.into(),
            &mean(cloud.queries()),
            &mean(cloud.keys()),
        ))
    }

    fn centered(scale: f64, query_mean: &[f64], key_mean: &[f64]) -> Self {
        let shift = query_mean.iter().zip(key_mean);
        Self {
            scale: scale as f32,
            shift: shift.map(|(q, k)| (scale * q - k / scale) as f32).collect(),
            correlation: None,
        }
    }

    /// The joint cloud, `[queries + keys, head_dim]`: normalized queries, then normalized keys.
    ///
    /// # Errors
    /// [`Error::Shape`] if the head has another dimension than the one this was fitted to.
    pub fn apply(&self, cloud: &HeadCloud<'_>) -> Result<Array2<f32>> {
        let (queries, keys) = (cloud.queries(), cloud.keys());
        if keys.ncols() != self.shift.len() {
            return Err(Error::shape(
                "keys",
                format!("{} columns", self.shift.len()),
                keys.ncols(),
            ));
        }
        let mut joint = Array2::zeros((queries.nrows() + keys.nrows(), keys.ncols()));
        let (mut upper, mut lower) = joint.multi_slice_mut((s![..queries.nrows(), ..], s![queries.nrows().., ..]));
        upper.zip_mut_with(&queries, |out, &q| *out = q * self.scale);
        lower.zip_mut_with(&keys, |out, &k| *out = k / self.scale);
        for mut row in lower.rows_mut() {
            row.iter_mut().zip(&self.shift).for_each(|(k, shift)| *k += shift);
        }
        Ok(joint)
    }
}

/// Mean row.
pub(super) fn mean(rows: ndarray::ArrayView2<'_, f32>) -> Vec<f64> {
    let mut mean = vec![0.0f64; rows.ncols()];
    for row in rows.rows() {
        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
    }
    mean.iter_mut().for_each(|m| *m /= rows.nrows() as f64);
    mean
}

/// What the correlation needs of each pair, for any c: with `q`, `k` centered, the squared distance is
/// `c² |q|² + |k|² / c² - 2 q·k`.
struct Pairs {
    /// Dot product of the raw query and key, which c does not change.
    scores: Vec<f64>,
    /// `|q|²`, `|k|²`, `q·k` of the centered vectors.
    parts: Vec<[f64; 3]>,
}

impl Pairs {
    fn of(cloud: &HeadCloud<'_>, query_mean: &[f64], key_mean: &[f64], seed: u64) -> Self {
        let mut starts = vec![0usize];
        let mut rows = Vec::new();
        for sequence in cloud.sequences() {
            for query in sequence.queries.clone() {
                let keys = cloud.visible_keys(sequence, query);
                starts.push(starts[rows.len()] + keys.len());
                rows.push((query, keys));
            }
        }
        let total = starts[rows.len()];
        let mut rng = Rng::new(seed, 0);
        let picked: Vec<usize> = if total <= PAIRS {
            (0..total).collect()
        } else {
            (0..PAIRS).map(|_| rng.below(total)).collect()
        };

        let (queries, keys) = (cloud.queries(), cloud.keys());
        // A correlation does not depend on the unit, and squares of huge values overflow.
        let unit = f64::from(unit_of(queries.iter().chain(keys.iter())));
        let centered = |row: ndarray::ArrayView1<'_, f32>, mean: &[f64]| -> Vec<f32> {
            let center = |(&x, m): (&f32, &f64)| ((f64::from(x) - m) / unit) as f32;
            row.iter().zip(mean).map(center).collect()
        };
        let (mut scores, mut parts) = (Vec::with_capacity(picked.len()), Vec::with_capacity(picked.len()));
        let origin = vec![0.0; query_mean.len()];
        for pair in picked {
            let row = starts.partition_point(|&start| start <= pair) - 1;
            let (query, seen) = &rows[row];
            let (q, k) = (queries.row(*query), keys.row(seen.start + pair - starts[row]));
            scores.push(q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum());
            let (q, k) = (centered(q, query_mean), centered(k, key_mean));
            parts.push(
                [
                    squared_distance(&q, &origin),
                    squared_distance(&k, &origin),
                    dot(&q, &k),
                ]
                .map(f64::from),
            );
        }
        Self { scores, parts }
    }

    /// Weighted Pearson correlation of dot product and distance at `c`.
    fn correlation(&self, c: f64) -> Option<f64> {
        let distances: Vec<f64> = self
            .parts
            .iter()
            .map(|[query, key, product]| (c * c * query + key / (c * c) - 2.0 * product).max(0.0).sqrt())
            .collect();
        let near = ((distances.len() as f64 * NEAR) as usize)
            .max(NEAR_AT_LEAST)
            .min(distances.len().checked_sub(1)?);
        let mut sorted = distances.clone();
        let (_, &mut border, _) = sorted.select_nth_unstable_by(near, f64::total_cmp);
        let pairs = distances.iter().zip(&self.scores).filter(|(d, _)| **d < border);
        weighted_pearson(pairs.map(|(&d, &score)| (d, score, (border - d).powi(2))))
    }
}

/// Pearson correlation of the first two with the third as weight; `None` below three terms or without variance.
fn weighted_pearson(terms: impl Iterator<Item = (f64, f64, f64)> + Clone) -> Option<f64> {
    let (mut count, mut weight, mut mean_x, mut mean_y) = (0, 0.0, 0.0, 0.0);
    for (x, y, w) in terms.clone() {
        count += 1;
        weight += w;
        mean_x += w * x;
        mean_y += w * y;
    }
    if count < 3 || weight <= 0.0 {
        return None;
    }
    let (mean_x, mean_y) = (mean_x / weight, mean_y / weight);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y, w) in terms {
        xx += w * (x - mean_x) * (x - mean_x);
        yy += w * (y - mean_y) * (y - mean_y);
        xy += w * (x - mean_x) * (y - mean_y);
    }
    let value = xy / (xx * yy).sqrt();
    // Variance that is only rounding counts as none.
    let enough = xx > 1e-20 * weight * mean_x * mean_x && yy > 1e-20 * weight * mean_y * mean_y;
    (enough && value.is_finite()).then(|| value.clamp(-1.0, 1.0))
}

/// The c with the least value, and that value, within a factor of [`RANGE`] of `around`: the best of a coarse grid on ln c, then
/// golden sections around it.
fn search(around: f64, value: impl Fn(f64) -> Option<f64>) -> Option<(f64, f64)> {
    let at = |x: f64| value(x.exp()).unwrap_or(f64::INFINITY);
    let step = 2.0 * RANGE.ln() / (COARSE - 1) as f64;
    let places = (0..COARSE).map(|i| around.ln() - RANGE.ln() + step * i as f64);
    let (center, mut best) = places.map(|x| (x, at(x))).min_by(|a, b| a.1.total_cmp(&b.1))?;
    if !best.is_finite() {
        return None;
    }
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    // The bounds hold for the refinement too.
    let (least, most) = (around.ln() - RANGE.ln(), around.ln() + RANGE.ln());
    let (mut low, mut high) = ((center - step).max(least), (center + step).min(most));
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_a, mut at_b) = (at(a), at(b));
    let mut place = center;
    while high - low > 1e-4 {
        for (x, value) in [(a, at_a), (b, at_b)] {
            if value < best {
                (place, best) = (x, value);
            }
        }
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = at(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = at(b);
        }
    }
    Some((place.exp(), best))
}

#[cfg(test)]
mod tests {
    use attn_core::model::Mask;
    use ndarray::Axis;

    use super::*;
    use crate::head::SequenceRows;

    /// Queries and keys of different size and place, in sequences of 20.
    fn head(n: usize, seed: u64) -> (Array2<f32>, Array2<f32>, Vec<SequenceRows>) {
        let mut rng = Rng::new(seed, 3);
        let shared = Array2::from_shape_simple_fn((n, 8), || rng.normal() as f32);
        let queries =
            shared.mapv(|x| 0.3 * x + 0.2) + Array2::from_shape_simple_fn((n, 8), || 0.1 * rng.normal() as f32);
        let keys = shared.mapv(|x| 2.0 * x - 3.0) + Array2::from_shape_simple_fn((n, 8), || 0.7 * rng.normal() as f32);
        let rows = (0..n)
            .step_by(20)
            .map(|i| SequenceRows {
                queries: i..i + 20,
                keys: i..i + 20,
            })
            .collect();
        (queries, keys, rows)
    }

    fn softmax(row: &[f64]) -> Vec<f64> {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - top).exp()).sum();
        row.iter().map(|x| (x - top).exp() / sum).collect()
    }

    #[test]
    fn attention_does_not_change() {
        let (queries, keys, rows) = head(60, 1);
        let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Causal).unwrap();
        for choice in [
            ScaleChoice::Plane,
            ScaleChoice::Correlation,
            ScaleChoice::Balance,
            ScaleChoice::None,
        ] {
            let joint = Normalization::fit(&cloud, choice, 0)
                .apply(&cloud)
                .unwrap()
                .mapv(f64::from);
            let (q, k) = joint.view().split_at(Axis(0), 60);
            let (before, after) = (queries.mapv(f64::from).dot(&keys.mapv(f64::from).t()), q.dot(&k.t()));
            for (a, b) in before.rows().into_iter().zip(after.rows()) {
                let (a, b) = (softmax(&a.to_vec()), softmax(&b.to_vec()));
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{choice:?}");
            }
        }
    }

    #[test]
    fn shift_in_closed_form() {
        let (queries, keys, rows) = head(40, 2);
        let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Full).unwrap();
        let normalization = Normalization::fit(&cloud, ScaleChoice::Balance, 0);
        let norm = |a: &Array2<f32>| a.rows().into_iter().map(|r| r.dot(&r).sqrt()).sum::<f32>() / 40.0;
        let c = (norm(&keys) / norm(&queries)).sqrt();
        assert!((normalization.scale / c - 1.0).abs() < 1e-5);
        let joint = normalization.apply(&cloud).unwrap();
        let (q, k) = joint.view().split_at(Axis(0), 40);
        let expected = queries.mean_axis(Axis(0)).unwrap() * c - keys.mean_axis(Axis(0)).unwrap() / c;
        assert!(
            normalization
                .shift
                .iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-4)
        );
        let gap = q.mean_axis(Axis(0)).unwrap() - k.mean_axis(Axis(0)).unwrap();
        assert!(gap.iter().all(|x| x.abs() < 1e-5));
    }

    /// The objective at `c` straight from its definition, on the normalized cloud.
    fn objective(cloud: &HeadCloud<'_>, c: f64) -> f64 {
        let shifted = Normalization {
            scale: c as f32,
            shift: vec![0.0; 8],
            correlation: None,
        }
        .apply(cloud)
        .unwrap();
        let mut joint = shifted.mapv(f64::from);
        let n = cloud.queries().nrows();
        let shift =
            joint.slice(s![..n, ..]).mean_axis(Axis(0)).unwrap() - joint.slice(s![n.., ..]).mean_axis(Axis(0)).unwrap();
        joint
            .slice_mut(s![n.., ..])
            .rows_mut()
            .into_iter()
            .for_each(|mut row| row += &shift);
        let mut pairs = Vec::new();
        for rows in cloud.sequences() {
            for i in rows.queries.clone() {
                for j in rows
                    .keys
                    .clone()
                    .filter(|j| j - rows.keys.start <= i - rows.queries.start)
                {
                    let d = (&joint.row(i) - &joint.row(n + j)).mapv(|x| x * x).sum().sqrt();
                    pairs.push((d, f64::from(cloud.queries().row(i).dot(&cloud.keys().row(j)))));
                }
            }
        }
        let mut sorted: Vec<f64> = pairs.iter().map(|p| p.0).collect();
        sorted.sort_by(f64::total_cmp);
        let border = sorted[((pairs.len() as f64 * NEAR) as usize).max(NEAR_AT_LEAST)];
        let near: Vec<(f64, f64, f64)> = pairs
            .iter()
            .filter(|p| p.0 < border)
            .map(|p| (p.0, p.1, (border - p.0).powi(2)))
            .collect();
        let w: f64 = near.iter().map(|p| p.2).sum();
        let mean = |f: &dyn Fn(&(f64, f64, f64)) -> f64| near.iter().map(|p| p.2 * f(p)).sum::<f64>() / w;
        let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
        let (xx, yy) = (mean(&|p| (p.0 - mx).powi(2)), mean(&|p| (p.1 - my).powi(2)));
        mean(&|p| (p.0 - mx) * (p.1 - my)) / (xx * yy).sqrt()
    }

    #[test]
    fn no_c_of_a_fine_grid_does_better() {
        for seed in 0..4 {
            let (queries, keys, rows) = head(100, seed);
            let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Causal).unwrap();
            let found = Normalization::fit(&cloud, ScaleChoice::Correlation, 0);
            let value = f64::from(found.correlation.unwrap());
            assert!(
                (objective(&cloud, f64::from(found.scale)) - value).abs() < 1e-3,
                "{value}"
            );
            // Within the range that c may have.
            let balance = f64::from(Normalization::fit(&cloud, ScaleChoice::Balance, 0).scale);
            let c = |i: i32| balance * 5.0_f64.powf(f64::from(i) / 200.0 - 1.0);
            let factor = f64::from(found.scale) / balance;
            assert!((0.199..=5.001).contains(&factor), "seed {seed}: {factor}");
            let grid = (0..=400).map(|i| objective(&cloud, c(i)));
            let best = grid.fold(f64::INFINITY, f64::min);
            assert!(value <= best + 0.01, "seed {seed}: found {value}, grid {best}");
            assert!((-1.0..=1.0).contains(&value));
        }
    }

    #[test]
    fn degenerate_heads_get_a_finite_normalization() {
        let zero = Array2::<f32>::zeros((6, 3));
        let same = Array2::<f32>::from_elem((6, 3), 2.0);
        let rows = [SequenceRows {
            queries: 0..6,
            keys: 0..6,
        }];
        let one = [SequenceRows {
            queries: 0..1,
            keys: 0..1,
        }];
        for (queries, keys) in [(&zero, &zero), (&zero, &same), (&same, &same)] {
            for rows in [&rows[..], &one[..], &[]] {
                let cloud = HeadCloud::new(queries.view(), keys.view(), rows, Mask::Full).unwrap();
                for choice in [ScaleChoice::Correlation, ScaleChoice::Plane] {
                    let found = Normalization::fit(&cloud, choice, 0);
                    assert!(
                        found.scale.is_finite() && found.scale > 0.0 && found.correlation.is_none(),
                        "{found:?}"
                    );
                    assert!(found.apply(&cloud).unwrap().iter().all(|x| x.is_finite()));
                }
            }
        }
    }

    #[test]
    fn weighted_pearson_by_hand() {
        // Weights 1, 1, 2 are the same as the third pair twice.
        let once = [(1.0, 5.0, 1.0), (2.0, 3.0, 1.0), (4.0, 1.0, 2.0)];
        let twice = [(1.0, 5.0, 1.0), (2.0, 3.0, 1.0), (4.0, 1.0, 1.0), (4.0, 1.0, 1.0)];
        let (a, b) = (
            weighted_pearson(once.into_iter()).unwrap(),
            weighted_pearson(twice.into_iter()).unwrap(),
        );
        // n Σxy - Σx Σy = 4·19 - 11·10 = -34; n Σx² - (Σx)² = 27; n Σy² - (Σy)² = 44.
        assert!(
            (a + 34.0 / (27.0f64 * 44.0).sqrt()).abs() < 1e-12 && (a - b).abs() < 1e-12,
            "{a}"
        );
        assert_eq!(
            weighted_pearson([(1.0, 2.0, 1.0), (1.0, 3.0, 1.0), (1.0, 4.0, 1.0)].into_iter()),
            None
        );
        assert_eq!(weighted_pearson(once[..2].iter().copied()), None);
    }
}
