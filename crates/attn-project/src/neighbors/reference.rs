//! Points prepared for comparison with new ones, a few new points at a time.

use ndarray::{Array2, ArrayView2};
use pulp::{Simd, WithSimd};

use super::pairwise;
use crate::{
    Metric, Result,
    linalg::sum,
    metric::{Kernel, normalize, unit_of},
};

/// Old points in a form in which new ones can be compared with them: of unit length under the cosine, otherwise
/// divided by a power of two that keeps squares from overflowing; as they are for a metric without a kernel.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    metric: Metric,
    rows: Array2<f32>,
    unit: f32,
}

/// The nearest old points of a new one.
pub(crate) struct Near {
    /// The first old point that equals the new one.
    pub(crate) same: Option<u32>,
    /// Nearest first, ties by lower index.
    pub(crate) indices: Vec<u32>,
    pub(crate) distances: Vec<f32>,
}

impl Near {
    pub(super) fn pairs(self) -> Vec<(u32, f32)> {
        self.indices.into_iter().zip(self.distances).collect()
    }
}

impl Reference {
    /// `points` are checked and have at least one column.
    pub(crate) fn new(points: ArrayView2<'_, f32>, metric: Metric) -> Self {
        let unit = match metric.kernel() {
            Kernel::Euclidean | Kernel::InnerProduct => unit_of(points.iter()),
            Kernel::Cosine | Kernel::Pairs => 1.0,
        };
        let mut reference = Self {
            metric,
            rows: Array2::zeros((0, points.ncols())),
            unit,
        };
        reference.rows = reference.prepare(points);
        reference
    }

    pub(crate) fn metric(&self) -> &Metric {
        &self.metric
    }

    pub(crate) fn columns(&self) -> usize {
        self.rows.ncols()
    }

    /// Brings rows into the form of the old ones.
    pub(crate) fn prepare(&self, points: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut rows = points.as_standard_layout().into_owned();
        if self.metric.kernel() == Kernel::Cosine {
            normalize(&mut rows);
        } else if self.unit != 1.0 {
            // A point may be far larger than every old one: it then lies at the end of what squares can hold.
            rows.mapv_inplace(|x| (x / self.unit).clamp(-1e18, 1e18));
        }
        rows
    }

    /// The `count` nearest old points of a prepared row, by comparison with all of them.
    pub(crate) fn nearest(&self, row: &[f32], count: usize) -> Result<Near> {
        Ok(self.near(self.scores(row)?, count))
    }

    /// The same of a few prepared rows, `[row, dimension]`: each old point is read from memory once for all of them.
    pub(crate) fn nearest_of(&self, rows: &[f32], count: usize) -> Result<Vec<Near>> {
        let rows = rows.chunks_exact(self.columns().max(1));
        if self.metric.kernel() == Kernel::Pairs {
            return rows.map(|row| self.nearest(row, count)).collect();
        }
        let found = self.scan(&rows.collect::<Vec<_>>()).into_iter();
        Ok(found.map(|found| self.near(found, count)).collect())
    }

    fn near(&self, (mut scores, same): Scores, count: usize) -> Near {
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let count = count.clamp(1, scores.len());
        if count < scores.len() {
            scores.select_nth_unstable_by(count - 1, order);
            scores.truncate(count);
        }
        scores.sort_unstable_by(order);
        Near {
            same,
            indices: scores.iter().map(|score| score.1).collect(),
            distances: scores.iter().map(|score| self.distance(score.0)).collect(),
        }
    }

    /// Some old points with their distances from a prepared row, nearest first. For a metric with a kernel.
    pub(super) fn measure(&self, row: &[f32], points: &[u32]) -> Vec<(u32, f32)> {
        let flat = self.rows.as_slice().unwrap_or_default();
        let mut found = vec![(Vec::with_capacity(points.len()), None)];
        for &j in points {
            pulp::Arch::new().dispatch(Scan {
                kernel: self.metric.kernel(),
                flat: &flat[j as usize * row.len()..(j as usize + 1) * row.len()],
                rows: &[row],
                found: &mut found,
            });
        }
        let scores = found.iter().flat_map(|(scores, _)| scores);
        let scores = points.iter().zip(scores);
        let mut found: Vec<(u32, f32)> = scores.map(|(&j, score)| (j, self.distance(score.0))).collect();
        found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found
    }

    /// The old points at most `radius` from a prepared row, nearest first.
    pub(crate) fn within(&self, row: &[f32], radius: f32) -> Result<Vec<(u32, f32)>> {
        let scores = self.scores(row)?.0.into_iter();
        let mut found: Vec<(u32, f32)> = scores
            .map(|(score, point)| (point, self.distance(score)))
            .filter(|(_, distance)| *distance <= radius)
            .collect();
        found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        Ok(found)
    }

    /// A score for every old point, which orders like the distance, and the first that equals the row.
    fn scores(&self, row: &[f32]) -> Result<Scores> {
        let flat = self.rows.as_slice().unwrap_or_default();
        if self.metric.kernel() == Kernel::Pairs {
            let scores = pairwise::nearest(row, flat, &self.metric, None)?;
            let same = flat.chunks_exact(row.len()).position(|old| old == row);
            let scores = scores.into_iter().map(|found| (found.score(), found.point()));
            return Ok((scores.collect(), same.map(|same| same as u32)));
        }
        Ok(self.scan(&[row]).pop().unwrap_or_default())
    }

    /// The scores of some rows, for a metric with a kernel.
    fn scan(&self, rows: &[&[f32]]) -> Vec<Scores> {
        let none = || (Vec::with_capacity(self.rows.nrows()), None);
        let mut found: Vec<Scores> = rows.iter().map(|_| none()).collect();
        pulp::Arch::new().dispatch(Scan {
            kernel: self.metric.kernel(),
            flat: self.rows.as_slice().unwrap_or_default(),
            rows,
            found: &mut found,
        });
        found
    }

    /// The distance that a score stands for.
    fn distance(&self, score: f32) -> f32 {
        match self.metric.kernel() {
            Kernel::Euclidean => (score.sqrt() * self.unit).min(f32::MAX),
            Kernel::InnerProduct => (score * self.unit * self.unit).clamp(-f32::MAX, f32::MAX),
            Kernel::Cosine | Kernel::Pairs => score,
        }
    }
}

/// A score and a number for every old point, and the first that equals the new one.
type Scores = (Vec<(f32, u32)>, Option<u32>);

/// Compares rows with all old points, and finds the first that equals each. An old point stays in the nearest cache for all rows.
struct Scan<'a> {
    kernel: Kernel,
    flat: &'a [f32],
    rows: &'a [&'a [f32]],
    found: &'a mut [Scores],
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            kernel,
            flat,
            rows,
            found,
        } = self;
        let zeros: Vec<bool> = rows.iter().map(|row| zero(row)).collect();
        let width = rows.first().map_or(1, |row| row.len()).max(1);
        for (j, old) in flat.chunks_exact(width).enumerate() {
            let old_is_zero = kernel == Kernel::Cosine && zero(old);
            for ((&row, &new_is_zero), (scores, same)) in rows.iter().zip(&zeros).zip(&mut *found) {
                let score = match kernel {
                    Kernel::Euclidean => sum(simd, row, old, false),
                    Kernel::InnerProduct => -sum(simd, row, old, true),
                    Kernel::Cosine | Kernel::Pairs if new_is_zero || old_is_zero => 1.0,
                    Kernel::Cosine | Kernel::Pairs => 0.5 * sum(simd, row, old, false),
                };
                // Equal rows have no difference; only products, and rows without a direction, do not show it.
                let may_equal = score == 0.0 || new_is_zero || kernel == Kernel::InnerProduct;
                if same.is_none() && may_equal && row == old {
                    *same = Some(j as u32);
                }
                scores.push((score.clamp(-f32::MAX, f32::MAX), j as u32));
            }
        }
    }
}

fn zero(row: &[f32]) -> bool {
    row.iter().all(|&x| x == 0.0)
}

/// A number that names a row, so that its random numbers depend on nothing but itself (FNV-1a, Fowler, Noll and Vo).
pub(crate) fn hash(row: &[f32]) -> u64 {
    row.iter()
        .flat_map(|x| x.to_bits().to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
