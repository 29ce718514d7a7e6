//! The metrics, and points prepared so that a matrix product gives their distances.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, CowArray, Ix2, s};
use pulp::Simd;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    linalg::{check_finite, matmul, sum},
};

/// What "near" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// `1 - cos`, from 0 to 2. A row of zeros has no direction: its distance to everything is 1.
    Cosine,
    /// Length of the difference.
    #[default]
    Euclidean,
    /// Minus the dot product: the nearest key is the one attended to most. May be negative, and a point need
    /// not be its own nearest.
    InnerProduct,
}

impl Metric {
    /// What the Gaussian kernel of t-SNE decays with: the squared distance. For cosine that is the squared
    /// chord between the unit vectors, `2 (1 - cos)`; the inner product, which is no distance, counts as it is.
    pub(crate) fn squared(self, distance: f32) -> f64 {
        let distance = f64::from(distance);
        match self {
            Self::Euclidean => distance * distance,
            Self::Cosine => 2.0 * distance,
            Self::InnerProduct => distance,
        }
    }
}

/// Rows prepared for one metric: `bias[j] - rows[i] · rows[j]` orders the points `j` by their distance from `i`.
pub(crate) struct Space<'a> {
    metric: Metric,
    pub(crate) rows: Array2<f32>,
    /// The rows before they were centred, which rounded them: distances are measured between these.
    uncentred: Option<CowArray<'a, f32, Ix2>>,
    pub(crate) bias: Vec<f32>,
    /// Distances of `rows` times this are distances of the points.
    unit: f32,
}

impl<'a> Space<'a> {
    /// Centres (Euclidean: products of centred rows cancel less), normalises (cosine) and brings the largest
    /// coordinate near 1, so that squares neither overflow nor vanish.
    pub(crate) fn new(points: ArrayView2<'a, f32>, metric: Metric) -> Result<Self, Error> {
        check_finite("points", points)?;
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
        let mut uncentred = None;
        match metric {
            Metric::Cosine => {
                for mut row in rows.rows_mut() {
                    let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
                    if norm > 0.0 {
                        row.mapv_inplace(|x| (f64::from(x) / norm) as f32);
                    }
                }
            }
            Metric::Euclidean | Metric::InnerProduct => {
                // A power of two changes no bits of the mantissa.
                let largest = rows.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let exponent = if largest > 0.0 {
                    largest.log2().floor().clamp(-120.0, 120.0)
                } else {
                    0.0
                };
                if exponent.abs() > 20.0 {
                    unit = exponent.exp2();
                    rows.mapv_inplace(|x| x / unit);
                }
                if metric == Metric::Euclidean && rows.nrows() > 0 {
                    uncentred = Some(match points.is_standard_layout() && unit == 1.0 {
                        true => points.into(),
                        false => rows.clone().into(),
                    });
                    let mut mean = vec![0.0f64; rows.ncols()];
                    for row in rows.rows() {
                        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
                    }
                    let count = rows.nrows() as f64;
                    for mut row in rows.rows_mut() {
                        row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= (m / count) as f32);
                    }
                }
            }
        }
        let bias = match metric {
            Metric::Euclidean => rows
                .rows()
                .into_iter()
                .map(|row| 0.5 * row.iter().map(|x| x * x).sum::<f32>())
                .collect(),
            Metric::Cosine | Metric::InnerProduct => vec![0.0; rows.nrows()],
        };
        Ok(Self {
            metric,
            rows,
            uncentred,
            bias,
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
        match self.uncentred.as_ref().and_then(|rows| rows.as_slice()) {
            Some(rows) => &rows[i * self.rows.ncols()..(i + 1) * self.rows.ncols()],
            None => self.row(i),
        }
    }

    /// What the order of distances goes by, in the units of the rows: half the square. `None` for the inner product, whose distances
    /// are products themselves.
    pub(crate) fn half_squared(&self, distance: f32) -> Option<f32> {
        match self.metric {
            Metric::Euclidean => Some(0.5 * (distance / self.unit) * (distance / self.unit)),
            Metric::Cosine => Some(distance),
            Metric::InnerProduct => None,
        }
    }

    /// What `bias[j] - rows[i] · rows[j]` lacks to the half squared distance, and by how much single precision may be wrong
    /// about it for any point whose half squared distance from `i` is at most `reach`: each of the additions rounds by
    /// less than `|rows[i]| |rows[j]|` times half the distance of 1 from the next number.
    pub(crate) fn rounding(&self, i: usize, reach: f32) -> (f32, f32) {
        let (squared, offset) = match self.metric {
            Metric::Euclidean => (2.0 * self.bias[i], self.bias[i]),
            Metric::Cosine | Metric::InnerProduct => (1.0, 1.0),
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
        match self.metric {
            Metric::Euclidean => finite(sum(simd, a, b, false).sqrt() * self.unit),
            Metric::InnerProduct => finite(-sum(simd, a, b, true) * self.unit * self.unit),
            Metric::Cosine if zero(a) || zero(b) => 1.0,
            Metric::Cosine => 0.5 * sum(simd, a, b, false),
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
