//! Directions of points in half precision, in memory or in a mapped file: a quarter of the memory of other searches, and
//! none until a point is asked for.

mod cells;

use std::{fmt, sync::Arc};

use attn_core::{Progress, files::Bytes, progress};
use half::{f16, slice::HalfFloatSliceExt};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

pub use self::cells::{HalfCells, HalfCellsParams};
use super::{
    Matches, NeighborSearch, Neighbors, check_count, check_query,
    search::{check_radius, each_row},
};
use crate::{
    Error, Metric, Result,
    metric::{Cosine, normalize},
    stages,
};

/// Rows read as one block.
const BLOCK: usize = 1024;

/// Rows of unit length in half precision, `[point, dimension]`: 2 bytes a number, low byte first. A row of zeros has no
/// direction.
#[derive(Clone)]
pub struct HalfRows {
    bytes: Arc<Bytes>,
    columns: usize,
    count: usize,
    cosine: Metric,
}

impl HalfRows {
    /// Rows of `columns` dimensions in some bytes, as [`encode`](Self::encode) wrote them.
    ///
    /// ```
    /// use attn_project::neighbors::HalfRows;
    /// let mut bytes = Vec::new();
    /// HalfRows::encode(&[3.0, 4.0], &mut bytes);
    /// let rows = HalfRows::new(bytes.into(), 2)?;
    /// assert!((rows.select([0])[(0, 1)] - 0.8).abs() < 1e-3);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] without columns, [`Error::Shape`] for bytes that are no whole number of rows, or more rows
    /// than 32 bits count.
    pub fn new(bytes: Bytes, columns: usize) -> Result<Self> {
        if columns == 0 {
            return Err(Error::parameter("columns", "at least 1", 0));
        }
        let size = bytes.as_slice().len();
        let width = columns.saturating_mul(2);
        let count = size / width;
        if !size.is_multiple_of(width) || u32::try_from(count).is_err() {
            let expected = format!("rows of {width} bytes each");
            return Err(Error::shape(
                "rows in half precision",
                expected,
                format!("{size} bytes"),
            ));
        }
        Ok(Self {
            bytes: Arc::new(bytes),
            columns,
            count,
            cosine: Cosine.into(),
        })
    }

    /// Appends the direction of a row. What is not finite counts as 0.
    pub fn encode(row: &[f32], out: &mut Vec<u8>) {
        let finite = |x: f32| f64::from(if x.is_finite() { x } else { 0.0 });
        let length = row.iter().map(|&x| finite(x).powi(2)).sum::<f64>().sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        out.extend(row.iter().flat_map(|&x| f16::from_f64(finite(x) * scale).to_le_bytes()));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Dimensions of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Some rows in single precision, in the order asked for; zeros for one that is not there.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>) -> Array2<f32> {
        let mut flat = Vec::new();
        let mut reader = Reader::new(self);
        let mut count = 0;
        for row in rows {
            flat.extend_from_slice(reader.row(row));
            count += 1;
        }
        Array2::from_shape_vec((count, self.columns), flat).unwrap_or_default()
    }

    /// New points of unit length.
    fn prepare(&self, points: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        check_query(points, self.columns)?;
        let mut rows = points.as_standard_layout().into_owned();
        normalize(&mut rows);
        Ok(rows)
    }

    /// Distances of some rows to one of unit length.
    fn measure<'a>(
        &'a self,
        query: &'a [f32],
        rows: impl Iterator<Item = u32> + 'a,
    ) -> impl Iterator<Item = (u32, f32)> + 'a {
        let mut reader = Reader::new(self);
        rows.map(move |row| (row, distance(query, reader.row(row as usize))))
    }

    /// The exact `k` nearest rows of each new point of unit length, without its own number in `except`: blocks of rows
    /// against all points.
    fn nearest_of_all(
        &self,
        queries: &Array2<f32>,
        except: Option<&[usize]>,
        k: usize,
        (report, stage): (&dyn Progress, &str),
    ) -> Result<Vec<Vec<(u32, f32)>>> {
        let blocks = self.count.div_ceil(BLOCK);
        let found: Vec<Vec<Vec<(u32, f32)>>> = (0..blocks)
            .into_par_iter()
            .map(|block| {
                progress::step(report, stage, block * BLOCK, self.count)?;
                let first = block * BLOCK;
                let rows = self.select(first..self.count.min(first + BLOCK));
                let products = queries.dot(&rows.t());
                let of_query = products.rows().into_iter().enumerate().map(|(query, products)| {
                    let mut best = Best::new(k);
                    let own = except.map(|own| own[query]);
                    for (row, &product) in (first..).zip(&products) {
                        if own != Some(row) {
                            best.offer(row as u32, from_product(product));
                        }
                    }
                    best.take()
                });
                Ok(of_query.collect())
            })
            .collect::<Result<_>>()?;
        let mut all: Vec<Best> = (0..queries.nrows()).map(|_| Best::new(k)).collect();
        for block in found {
            for (all, found) in all.iter_mut().zip(block) {
                found.into_iter().for_each(|(row, distance)| all.offer(row, distance));
            }
        }
        progress::step(report, stage, self.count, self.count)?;
        Ok(all.into_iter().map(Best::take).collect())
    }

    fn within(&self, rows: &Array2<f32>, radius: f32, report: &dyn Progress) -> Result<Matches> {
        check_radius(radius)?;
        each_row(rows.view(), report, |query| {
            let all = self.measure(query, 0..self.count as u32);
            let mut found: Vec<(u32, f32)> = all.filter(|found| found.1 <= radius).collect();
            found.sort_unstable_by(order);
            Ok(found)
        })
    }
}

impl fmt::Debug for HalfRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HalfRows")
            .field("count", &self.count)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// Reads one row after another in single precision.
struct Reader<'a> {
    rows: &'a HalfRows,
    halves: Vec<f16>,
    row: Vec<f32>,
}

impl<'a> Reader<'a> {
    fn new(rows: &'a HalfRows) -> Self {
        Self {
            rows,
            halves: vec![f16::ZERO; rows.columns],
            row: vec![0.0; rows.columns],
        }
    }

    fn row(&mut self, row: usize) -> &[f32] {
        let width = 2 * self.rows.columns;
        let start = row.saturating_mul(width);
        let bytes = self.rows.bytes.as_slice().get(start..start.saturating_add(width));
        match bytes {
            Some(bytes) => {
                for (half, pair) in self.halves.iter_mut().zip(bytes.chunks_exact(2)) {
                    *half = f16::from_le_bytes([pair[0], pair[1]]);
                }
                self.halves.convert_to_f32_slice(&mut self.row);
            }
            None => self.row.fill(0.0),
        }
        &self.row
    }
}

/// `1 - cos` from a product of two rows of unit length. Numbers of a damaged file are far from everything.
fn from_product(product: f32) -> f32 {
    let distance = 1.0 - product;
    if distance.is_finite() { distance.max(0.0) } else { 2.0 }
}

/// The distance of two rows of unit length, in a shape that compiles to vector instructions.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    from_product(sums.iter().sum::<f32>() + rest)
}

fn order(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    a.1.total_cmp(&b.1).then(a.0.cmp(&b.0))
}

/// The `k` nearest offered so far.
struct Best {
    k: usize,
    found: Vec<(u32, f32)>,
    worst: f32,
}

impl Best {
    fn new(k: usize) -> Self {
        Self {
            k,
            found: Vec::new(),
            worst: f32::INFINITY,
        }
    }

    fn offer(&mut self, row: u32, distance: f32) {
        if distance > self.worst {
            return;
        }
        self.found.push((row, distance));
        if self.found.len() >= self.k.max(16).saturating_mul(4) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.k && self.k > 0 {
            self.found.select_nth_unstable_by(self.k - 1, order);
            self.found.truncate(self.k);
            self.worst = self.found[self.k - 1].1;
        }
    }

    fn take(mut self) -> Vec<(u32, f32)> {
        self.cut();
        self.found.sort_unstable_by(order);
        self.found
    }
}

/// A search by comparison with all [`HalfRows`], by the cosine: exact for the rows as they are kept.
///
/// Reads all of them for every call: for a few queries, and to measure what other searches miss.
#[derive(Debug, Clone)]
pub struct HalfExact(pub HalfRows);

impl NeighborSearch for HalfExact {
    fn metric(&self) -> &Metric {
        &self.0.cosine
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn columns(&self) -> usize {
        self.0.columns
    }

    fn neighbors(&self, k: usize, progress: &dyn Progress) -> Result<Neighbors> {
        table(&self.0, k, |own, rows| {
            self.0.nearest_of_all(rows, Some(own), k, (progress, stages::NEIGHBORS))
        })
    }

    fn query(&self, points: ArrayView2<'_, f32>, k: usize, progress: &dyn Progress) -> Result<Matches> {
        let rows = self.0.prepare(points)?;
        check_k(k)?;
        let found = self.0.nearest_of_all(&rows, None, k, (progress, stages::NEIGHBORS))?;
        Ok(Matches::from_rows(found))
    }

    fn within(&self, points: ArrayView2<'_, f32>, radius: f32, progress: &dyn Progress) -> Result<Matches> {
        self.0.within(&self.0.prepare(points)?, radius, progress)
    }
}

fn check_k(k: usize) -> Result<()> {
    match k {
        0 => Err(Error::parameter("k", "at least 1", 0)),
        _ => Ok(()),
    }
}

/// The neighbors of all rows, a block at a time; `find` is given their numbers and the rows.
fn table(
    rows: &HalfRows,
    k: usize,
    mut find: impl FnMut(&[usize], &Array2<f32>) -> Result<Vec<Vec<(u32, f32)>>>,
) -> Result<Neighbors> {
    check_count(rows.len(), k)?;
    let (mut indices, mut distances) = (Vec::new(), Vec::new());
    for first in (0..rows.len()).step_by(BLOCK) {
        let own: Vec<usize> = (first..rows.len().min(first + BLOCK)).collect();
        let block = rows.select(own.iter().copied());
        for (row, distance) in find(&own, &block)?.into_iter().flatten() {
            indices.push(row);
            distances.push(distance);
        }
    }
    Neighbors::from_parts(k, rows.cosine.clone(), indices, distances)
}
