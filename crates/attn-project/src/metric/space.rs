//! Points prepared so that a matrix product gives their distances.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, CowArray, Ix2, s};
use pulp::Simd;

use super::{Kernel, Metric};
use crate::{
    Error, Result,
    linalg::{check_points, matmul, sum},
};

/// A power of two near the largest magnitude, which divides values without changing a bit of their mantissa; 1 unless
/// squares could overflow or vanish.
pub(crate) fn unit_of<'v>(values: impl Iterator<Item = &'v f32>) -> f32 {
    let largest = values.fold(0.0f32, |most, x| most.max(x.abs()));
    let exponent = match largest > 0.0 {
        true => largest.log2().floor().clamp(-120.0, 120.0),
        false => 0.0,
    };
    if exponent.abs() > 20.0 { exponent.exp2() } else { 1.0 }
}

/// Rows prepared for one metric: `bias[j] - rows[i] · rows[j]` orders the points `j` by their distance from `i`.
#[derive(Debug)]
pub(crate) struct Space<'a> {
    kernel: Kernel,
    pub(crate) rows: Array2<f32>,
    /// The rows before they were centered, which rounded them: distances are measured between these.
    uncentered: Option<CowArray<'a, f32, Ix2>>,
    pub(crate) bias: Vec<f32>,
    /// What was subtracted from `rows`, in their unit; empty if nothing was.
    mean: Vec<f64>,
    /// Distances of `rows` times this are distances of the points.
    unit: f32,
}

impl<'a> Space<'a> {
    /// Centers (Euclidean: products of centered rows cancel less), normalizes (cosine) and brings the largest
    /// coordinate near 1, so that squares neither overflow nor vanish. For a metric with a kernel.
    pub(crate) fn new(points: CowArray<'a, f32, Ix2>, metric: &Metric) -> Result<Self> {
        check_points("points", points.view())?;
        if points.nrows() > u32::MAX as usize {
            return Err(Error::parameter("points", "fewer than 2^32 rows", points.nrows()));
        }
        if points.ncols() == 0 {
            return Err(Error::shape(
                "points",
                "at least one column",
                format!("{:?}", points.dim()),
            ));
        }
        let mut rows = points.as_standard_layout().into_owned();
        let mut unit = 1.0;
        let mut uncentered = None;
        let mut mean = Vec::new();
        let kernel = metric.kernel();
        match kernel {
            Kernel::Pairs => return Err(Error::unsupported(metric.name(), "a search by products")),
            Kernel::Cosine => normalize(&mut rows),
            Kernel::Euclidean | Kernel::InnerProduct => {
                unit = unit_of(rows.iter());
                if unit != 1.0 {
                    rows.mapv_inplace(|x| x / unit);
                }
                if kernel == Kernel::Euclidean && rows.nrows() > 0 {
                    uncentered = Some(match points.is_standard_layout() && unit == 1.0 {
                        true => points,
                        false => rows.clone().into(),
                    });
                    mean = vec![0.0f64; rows.ncols()];
                    for row in rows.rows() {
                        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
                    }
                    let count = rows.nrows() as f64;
                    mean.iter_mut().for_each(|m| *m /= count);
                    for mut row in rows.rows_mut() {
                        row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= *m as f32);
                    }
                }
            }
        }
        let bias = match kernel {
            Kernel::Euclidean => rows
                .rows()
                .into_iter()
                .map(|row| 0.5 * row.iter().map(|x| x * x).sum::<f32>())
                .collect(),
            _ => vec![0.0; rows.nrows()],
        };
        Ok(Self {
            kernel,
            rows,
            uncentered,
            bias,
            mean,
            unit,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.nrows()
    }

    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        // Rows are in standard layout, so that the slice always exists.
        let width = self.rows.ncols();
        &self.rows.as_slice().unwrap_or_default()[i * width..(i + 1) * width]
    }

    /// What the distance of point `i` is measured from.
    #[inline(always)]
    fn exact(&self, i: usize) -> &[f32] {
        match self.uncentered.as_ref().and_then(|rows| rows.as_slice()) {
            Some(rows) => &rows[i * self.rows.ncols()..(i + 1) * self.rows.ncols()],
            None => self.row(i),
        }
    }

    /// Whether two points are equal as their distances are measured.
    pub(crate) fn equal(&self, a: usize, b: usize) -> bool {
        self.exact(a) == self.exact(b)
    }

    /// What the order of distances goes by, in the units of the rows: half the square. `None` for the inner product,
    /// whose distances are products themselves.
    pub(crate) fn half_squared(&self, distance: f32) -> Option<f32> {
        match self.kernel {
            Kernel::Euclidean => Some(0.5 * (distance / self.unit) * (distance / self.unit)),
            Kernel::Cosine => Some(distance),
            Kernel::InnerProduct | Kernel::Pairs => None,
        }
    }

    /// What `bias[j] - rows[i] · rows[j]` lacks to the half squared distance, and by how much single precision may be
    /// wrong about it for any point whose half squared distance from `i` is at most `reach`: each of the additions
    /// rounds by less than `|rows[i]| |rows[j]|` times half the distance of 1 from the next number.
    pub(crate) fn rounding(&self, i: usize, reach: f32) -> (f32, f32) {
        let (squared, offset) = match self.kernel {
            Kernel::Euclidean => (2.0 * self.bias[i], self.bias[i]),
            _ => (1.0, 1.0),
        };
        let own = squared.sqrt();
        let other = own + (2.0 * reach).sqrt();
        let steps = (self.rows.ncols() + 8) as f32 * 0.5 * f32::EPSILON;
        (offset, steps * (own * other + 0.5 * other * other))
    }

    /// Dot products of some rows (by index) with a range of rows.
    pub(crate) fn products(
        &self,
        left: ArrayView2<'_, f32>,
        right: std::ops::Range<usize>,
        out: ArrayViewMut2<'_, f32>,
    ) {
        matmul(left, self.rows.slice(s![right, ..]).t(), out, false);
    }

    /// The distance, from differences: 0 for equal points.
    #[inline(always)]
    pub(crate) fn distance<S: Simd>(&self, simd: S, i: usize, j: usize) -> f32 {
        let (a, b) = (self.exact(i), self.exact(j));
        match self.kernel {
            Kernel::Euclidean => finite(sum(simd, a, b, false).sqrt() * self.unit),
            Kernel::InnerProduct => finite(-sum(simd, a, b, true) * self.unit * self.unit),
            Kernel::Cosine | Kernel::Pairs if zero(a) || zero(b) => 1.0,
            Kernel::Cosine | Kernel::Pairs => 0.5 * sum(simd, a, b, false),
        }
    }

    /// New points in the form of `rows`, to be scored against them.
    pub(crate) fn prepare(&self, points: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut rows = points.as_standard_layout().into_owned();
        if self.kernel == Kernel::Cosine {
            normalize(&mut rows);
        } else if self.unit != 1.0 {
            // A point may be far larger than every old one: it then lies at the end of what squares can hold.
            rows.mapv_inplace(|x| (x / self.unit).clamp(-1e18, 1e18));
        }
        if !self.mean.is_empty() {
            for mut row in rows.rows_mut() {
                row.iter_mut().zip(&self.mean).for_each(|(x, m)| *x -= *m as f32);
            }
        }
        rows
    }
}

/// Brings rows to length 1; rows of zeros stay.
pub(crate) fn normalize(rows: &mut Array2<f32>) {
    for mut row in rows.rows_mut() {
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.mapv_inplace(|x| (f64::from(x) / norm) as f32);
        }
    }
}

/// Whether all values are 0; the first usually tells.
fn zero(row: &[f32]) -> bool {
    row.iter().all(|&x| x == 0.0)
}

fn finite(x: f32) -> f32 {
    x.clamp(-f32::MAX, f32::MAX)
}
