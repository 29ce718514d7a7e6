//! The old points, prepared for the search of new points' neighbours among them.

use ndarray::{Array2, ArrayView2};
use pulp::{Simd, WithSimd};

use crate::{Metric, linalg::sum};

/// Old points in a form in which new ones can be compared with them: unit length under the cosine, otherwise divided
/// by a power of two that keeps squares from overflowing.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    metric: Metric,
    rows: Array2<f32>,
    unit: f32,
}

/// The nearest old points of a new one.
pub(super) struct Near {
    /// The first old point that equals the new one.
    pub(super) same: Option<u32>,
    /// Nearest first, ties by lower index.
    pub(super) indices: Vec<u32>,
    pub(super) distances: Vec<f32>,
}

impl Reference {
    /// `points` are finite and have at least one column.
    pub(super) fn new(points: ArrayView2<'_, f32>, metric: Metric) -> Self {
        let largest = points.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let exponent = if largest > 0.0 {
            largest.log2().floor().clamp(-120.0, 120.0)
        } else {
            0.0
        };
        let unit = if metric != Metric::Cosine && exponent.abs() > 20.0 {
            exponent.exp2()
        } else {
            1.0
        };
        let mut reference = Self {
            metric,
            rows: Array2::zeros((0, points.ncols())),
            unit,
        };
        reference.rows = reference.prepare(points);
        reference
    }

    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    pub(super) fn columns(&self) -> usize {
        self.rows.ncols()
    }

    /// Brings rows into the form of the old ones.
    pub(super) fn prepare(&self, points: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut rows = points.as_standard_layout().into_owned();
        if self.metric == Metric::Cosine {
            for mut row in rows.rows_mut() {
                let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                if norm > 0.0 {
                    row.mapv_inplace(|x| (f64::from(x) / norm) as f32);
                }
            }
        } else if self.unit != 1.0 {
            // A point may be far larger than every old one: it then lies at the end of what squares can hold.
            rows.mapv_inplace(|x| (x / self.unit).clamp(-1e18, 1e18));
        }
        rows
    }

    /// The `count` nearest old points of a prepared row, by comparison with all of them.
    pub(super) fn nearest(&self, row: &[f32], count: usize) -> Near {
        let mut scores: Vec<(f32, u32)> = Vec::with_capacity(self.rows.nrows());
        let same = pulp::Arch::new().dispatch(Scan {
            reference: self,
            row,
            scores: &mut scores,
        });
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let count = count.clamp(1, scores.len());
        if count < scores.len() {
            scores.select_nth_unstable_by(count - 1, order);
            scores.truncate(count);
        }
        scores.sort_unstable_by(order);
        let distance = |score: f32| match self.metric {
            Metric::Euclidean => (score.sqrt() * self.unit).min(f32::MAX),
            Metric::InnerProduct => (score * self.unit * self.unit).clamp(-f32::MAX, f32::MAX),
            Metric::Cosine => score,
        };
        Near {
            same,
            indices: scores.iter().map(|s| s.1).collect(),
            distances: scores.iter().map(|s| distance(s.0)).collect(),
        }
    }
}

/// Compares a row with all old points, and finds the first that equals it.
struct Scan<'a> {
    reference: &'a Reference,
    row: &'a [f32],
    scores: &'a mut Vec<(f32, u32)>,
}

impl WithSimd for Scan<'_> {
    type Output = Option<u32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<u32> {
        let Self { reference, row, scores } = self;
        let metric = reference.metric;
        let new_is_zero = zero(row);
        let mut same = None;
        let rows = reference.rows.as_slice().unwrap_or_default();
        for (j, old) in rows.chunks_exact(row.len()).enumerate() {
            let score = match metric {
                Metric::Euclidean => sum(simd, row, old, false),
                Metric::InnerProduct => -sum(simd, row, old, true),
                Metric::Cosine if new_is_zero || zero(old) => 1.0,
                Metric::Cosine => 0.5 * sum(simd, row, old, false),
            };
            // Equal rows have no difference; only products, and rows without a direction, do not show it.
            let may_equal = score == 0.0 || new_is_zero || metric == Metric::InnerProduct;
            if same.is_none() && may_equal && row == old {
                same = Some(j as u32);
            }
            scores.push((score.clamp(-f32::MAX, f32::MAX), j as u32));
        }
        same
    }
}

fn zero(row: &[f32]) -> bool {
    row.iter().all(|&x| x == 0.0)
}

/// A number that names a row, so that its random numbers depend on nothing but itself (FNV-1a, Fowler, Noll and Vo).
pub(super) fn hash(row: &[f32]) -> u64 {
    row.iter()
        .flat_map(|x| x.to_bits().to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
