//! Cells of rows in half precision: an inverted file (Sivic and Zisserman, *Video Google*, ICCV 2003; Jégou, Douze and
//! Schmid, *Product quantization for nearest neighbor search*, PAMI 2011, section 4) whose lists hold numbers of rows.

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{BLOCK, Best, HalfRows, check_k, order, table};
use crate::{
    Error, Metric, Result,
    metric::normalize,
    neighbors::{Matches, NeighborSearch, Neighbors, search::each_row},
    rng::{Rng, sample},
    stages,
};

/// Most cells.
const MOST: usize = 4096;
/// Rows per cell from which the centers are found, and rounds of that.
const TRAINING: usize = 32;
const ROUNDS: usize = 8;

/// How [`HalfCells`] are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HalfCellsParams {
    /// Share of the true neighbors to find, above 0, at most 1. Default 0.98.
    pub recall: f32,
    /// Neighbors of a query for which that share holds. Default 20.
    pub neighbors: usize,
    /// Rows on which the share is measured, at least 1. Default 256.
    pub sample: usize,
    /// Seed of the centers and the sample. Default 0.
    pub seed: u64,
}

impl Default for HalfCellsParams {
    fn default() -> Self {
        Self {
            recall: 0.98,
            neighbors: 20,
            sample: 256,
            seed: 0,
        }
    }
}

impl HalfCellsParams {
    /// Refuses settings that no rows make right, before there are rows.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a recall outside `(0, 1]`, an empty sample or no neighbors.
    pub fn check(&self) -> Result<()> {
        if !(self.recall > 0.0 && self.recall <= 1.0) {
            return Err(Error::parameter("recall", "above 0, at most 1", self.recall));
        }
        if self.sample == 0 {
            return Err(Error::parameter("sample", "at least 1", 0));
        }
        check_k(self.neighbors)
    }
}

/// A search that looks through a few cells of [`HalfRows`], by the cosine: approximate, with a measured recall.
///
/// Memory beside the rows: 4 bytes a row, and a center per cell. The cells are found again from
/// [`to_bytes`](Self::to_bytes), so that an index opens without work. Radius queries compare with all rows.
///
/// ```
/// use attn_project::neighbors::{HalfCells, HalfCellsParams, HalfRows, NeighborSearch};
/// let mut bytes = Vec::new();
/// for i in 0..500 {
///     HalfRows::encode(&[(i as f32 * 0.37).sin(), (i as f32 * 0.11).cos(), 1.0], &mut bytes);
/// }
/// let rows = HalfRows::new(bytes.into(), 3)?;
/// let cells = HalfCells::new(rows.clone(), &HalfCellsParams::default(), &())?;
/// assert!(cells.recall() >= 0.98);
/// let found = cells.query(rows.select([7]).view(), 1, &())?;
/// assert!(found.distances(0)[0] < 1e-3);
/// let again = HalfCells::from_bytes(rows, &cells.to_bytes())?;
/// assert_eq!(again.query(ndarray::array![[1.0, 0.0, 1.0]].view(), 5, &())?.len(), 1);
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HalfCells {
    rows: HalfRows,
    /// Of unit length, `[cell, dimension]`.
    centers: Array2<f32>,
    /// Where the rows of each cell begin in `members`, and their end.
    offsets: Vec<u32>,
    members: Vec<u32>,
    probes: usize,
    recall: f32,
}

impl HalfCells {
    /// Puts rows into cells, about as many as the square root of their number, and finds how many a query has to look
    /// through.
    ///
    /// Same result on any number of threads.
    ///
    /// # Errors
    /// Those of [`HalfCellsParams::check`]; [`Error::TooFewPoints`] without rows; [`Error::Cancelled`].
    pub fn new(rows: HalfRows, params: &HalfCellsParams, progress: &dyn Progress) -> Result<Self> {
        params.check()?;
        if rows.is_empty() {
            return Err(Error::too_few("cells of rows", 1, 0));
        }
        let mut rng = Rng::new(params.seed, 0);
        let centers = centers(&rows, &mut rng, progress)?;
        let cells = assign_all(&rows, &centers, progress)?;
        let mut offsets = vec![0_u32; centers.nrows() + 1];
        cells.iter().for_each(|&cell| offsets[cell as usize + 1] += 1);
        for cell in 0..centers.nrows() {
            offsets[cell + 1] += offsets[cell];
        }
        let mut next = offsets.clone();
        let mut members = vec![0_u32; rows.len()];
        for (row, &cell) in cells.iter().enumerate() {
            let slot = &mut next[cell as usize];
            members[*slot as usize] = row as u32;
            *slot += 1;
        }
        let mut made = Self {
            rows,
            centers,
            offsets,
            members,
            probes: 1,
            recall: 1.0,
        };
        made.measure(params, &mut rng, progress)?;
        Ok(made)
    }

    /// Finds the fewest cells with the recall that is asked for, on a sample of rows.
    fn measure(&mut self, params: &HalfCellsParams, rng: &mut Rng, report: &dyn Progress) -> Result<()> {
        let k = params.neighbors.min(self.rows.len().saturating_sub(1));
        if k == 0 {
            return Ok(());
        }
        let chosen = sample(self.rows.len(), params.sample.min(self.rows.len()), rng);
        let queries = self.rows.select(chosen.iter().copied());
        let exact = self
            .rows
            .nearest_of_all(&queries, Some(&chosen), k, (report, stages::RECALL))?;
        let cells = self.centers.nrows();
        let mut probes = 1;
        loop {
            let hits: Vec<usize> = (0..chosen.len())
                .into_par_iter()
                .map(|at| {
                    let query = queries.row(at);
                    let found = self.nearest(query.as_slice().unwrap_or_default(), k + 1, probes);
                    // Rows as near as the last true one are as good as it.
                    let last = exact[at].last().map_or(0.0, |last| last.1) + 1e-6;
                    let others = found.iter().filter(|(row, _)| *row as usize != chosen[at]);
                    others.filter(|(_, distance)| *distance <= last).count().min(k)
                })
                .collect();
            let recall = hits.iter().sum::<usize>() as f64 / (k * chosen.len()) as f64;
            (self.probes, self.recall) = (probes, recall as f32);
            if self.recall >= params.recall || probes == cells {
                return Ok(());
            }
            probes = (probes + probes.div_ceil(3)).min(cells);
            progress::step(report, stages::RECALL, probes, cells)?;
        }
    }

    /// The rows.
    pub fn rows(&self) -> &HalfRows {
        &self.rows
    }

    /// Share of the true neighbors that queries found on a sample.
    pub fn recall(&self) -> f32 {
        self.recall
    }

    /// Number of cells, and of those that a query looks through.
    pub fn cells(&self) -> (usize, usize) {
        (self.centers.nrows(), self.probes)
    }

    /// The cells as bytes, low byte first: cells, probes, recall; centers; offsets; members.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = [self.centers.nrows() as u32, self.probes as u32, self.recall.to_bits()];
        let centers = self.centers.iter().map(|value| value.to_bits());
        let numbers = head.into_iter().chain(centers);
        let numbers = numbers
            .chain(self.offsets.iter().copied())
            .chain(self.members.iter().copied());
        numbers.flat_map(u32::to_le_bytes).collect()
    }

    /// Cells of these rows from [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`Error::Shape`] for bytes that are no cells of these rows.
    pub fn from_bytes(rows: HalfRows, bytes: &[u8]) -> Result<Self> {
        let number = |at: usize| -> u32 {
            let bytes = bytes.get(4 * at..4 * at + 4);
            bytes.map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        let (cells, probes, recall) = (number(0) as usize, number(1) as usize, f32::from_bits(number(2)));
        let width = rows.columns();
        let total = cells
            .checked_mul(width)
            .and_then(|centers| centers.checked_add(4 + cells + rows.len()));
        let refused = |expected: String, found: String| Err(Error::shape("cells", expected, found));
        if !bytes.len().is_multiple_of(4) || total != Some(bytes.len() / 4) || !(1..=MOST).contains(&cells) {
            let expected = format!("cells of {} rows with {width} dimensions", rows.len());
            return refused(expected, format!("{} bytes for {cells} cells", bytes.len()));
        }
        if !(1..=cells).contains(&probes) || !(0.0..=1.0).contains(&recall) {
            return refused(
                format!("1 to {cells} cells of a query, a recall up to 1"),
                format!("{probes} and {recall}"),
            );
        }
        let centers: Vec<f32> = (3..3 + cells * width).map(|at| f32::from_bits(number(at))).collect();
        let start = 3 + cells * width;
        let offsets: Vec<u32> = (start..=start + cells).map(number).collect();
        let first = start + cells + 1;
        let members: Vec<u32> = (first..first + rows.len()).map(number).collect();
        let mut seen = vec![false; rows.len()];
        let once = members.iter().all(|&row| {
            let slot = seen.get_mut(row as usize);
            slot.is_some_and(|seen| !std::mem::replace(seen, true))
        });
        let ends = (offsets[0], offsets[cells] as usize) == (0, rows.len());
        if !once || !ends || !offsets.is_sorted() || centers.iter().any(|value| !value.is_finite()) {
            return refused("every row in one cell".into(), "other lists".into());
        }
        Ok(Self {
            centers: Array2::from_shape_vec((cells, width), centers).map_err(|error| Error::method("cells", error))?,
            rows,
            offsets,
            members,
            probes,
            recall,
        })
    }

    /// The `k` nearest rows in the cells nearest to a row of unit length, and in more of them while there are fewer.
    fn nearest(&self, query: &[f32], k: usize, probes: usize) -> Vec<(u32, f32)> {
        let query_row = ArrayView2::from_shape((1, query.len()), query);
        let Ok(query_row) = query_row else { return Vec::new() };
        let products = self.centers.dot(&query_row.t());
        let mut cells: Vec<(u32, f32)> = (0..).zip(products.iter().map(|product| -product)).collect();
        cells.sort_unstable_by(order);
        let (mut best, mut seen) = (Best::new(k), 0);
        for (at, &(cell, _)) in cells.iter().enumerate() {
            if at >= probes && seen >= k {
                break;
            }
            let range = self.offsets[cell as usize] as usize..self.offsets[cell as usize + 1] as usize;
            seen += range.len();
            let members = self.members[range].iter().copied();
            for (row, distance) in self.rows.measure(query, members) {
                best.offer(row, distance);
            }
        }
        best.take()
    }
}

impl NeighborSearch for HalfCells {
    fn metric(&self) -> &Metric {
        &self.rows.cosine
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn columns(&self) -> usize {
        self.rows.columns()
    }

    fn neighbors(&self, k: usize, report: &dyn Progress) -> Result<Neighbors> {
        table(&self.rows, k, |own, rows| {
            progress::step(report, stages::NEIGHBORS, own[0], self.len())?;
            let found = own.par_iter().enumerate().map(|(at, &own)| {
                let row = rows.row(at);
                let mut found = self.nearest(row.as_slice().unwrap_or_default(), k + 1, self.probes);
                found.retain(|(row, _)| *row as usize != own);
                found.truncate(k);
                found
            });
            Ok(found.collect())
        })
    }

    fn query(&self, points: ArrayView2<'_, f32>, k: usize, progress: &dyn Progress) -> Result<Matches> {
        let rows = self.rows.prepare(points)?;
        check_k(k)?;
        each_row(rows.view(), progress, |row| Ok(self.nearest(row, k, self.probes)))
    }

    fn within(&self, points: ArrayView2<'_, f32>, radius: f32, progress: &dyn Progress) -> Result<Matches> {
        self.rows.within(&self.rows.prepare(points)?, radius, progress)
    }
}

/// Centers by spherical k-means (Dhillon and Modha, *Concept decompositions for large sparse text data*, 2001) over a
/// sample.
fn centers(rows: &HalfRows, rng: &mut Rng, report: &dyn Progress) -> Result<Array2<f32>> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, at least 1"
    )]
    let cells = ((rows.len() as f64).sqrt().round() as usize).clamp(1, MOST);
    let chosen = sample(rows.len(), rows.len().min(TRAINING * cells), rng);
    let training = rows.select(chosen);
    let first = sample(training.nrows(), cells.min(training.nrows()), rng);
    let mut centers = training.select(Axis(0), &first);
    for round in 0..ROUNDS {
        progress::step(report, stages::CELLS, round, ROUNDS)?;
        let nearest: Vec<u32> = blocks(training.nrows())
            .into_par_iter()
            .flat_map_iter(|block| assign(training.slice(s![block, ..]), &centers))
            .collect();
        let mut sums = Array2::<f64>::zeros(centers.dim());
        let mut counts = vec![0_usize; centers.nrows()];
        for (row, &cell) in training.rows().into_iter().zip(&nearest) {
            let mut sum = sums.row_mut(cell as usize);
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value));
            counts[cell as usize] += 1;
        }
        for (cell, sum) in sums
            .rows()
            .into_iter()
            .enumerate()
            .filter(|(cell, _)| counts[*cell] > 0)
        {
            centers.row_mut(cell).assign(&sum.mapv(|value| value as f32));
        }
        normalize(&mut centers);
    }
    progress::step(report, stages::CELLS, ROUNDS, ROUNDS)?;
    Ok(centers)
}

fn blocks(rows: usize) -> Vec<std::ops::Range<usize>> {
    (0..rows)
        .step_by(BLOCK)
        .map(|first| first..rows.min(first + BLOCK))
        .collect()
}

/// The cell of each row: that of the largest product, the first of equals.
fn assign(rows: ArrayView2<'_, f32>, centers: &Array2<f32>) -> Vec<u32> {
    let products = rows.dot(&centers.t());
    let cell = |products: ndarray::ArrayView1<'_, f32>| {
        let mut best = (0_u32, f32::NEG_INFINITY);
        for (cell, &product) in (0..).zip(products) {
            if product > best.1 {
                best = (cell, product);
            }
        }
        best.0
    };
    products.rows().into_iter().map(cell).collect()
}

fn assign_all(rows: &HalfRows, centers: &Array2<f32>, report: &dyn Progress) -> Result<Vec<u32>> {
    let found: Vec<Vec<u32>> = blocks(rows.len())
        .into_par_iter()
        .map(|block| {
            progress::step(report, stages::CELLS, block.start, rows.len())?;
            Ok(assign(rows.select(block).view(), centers))
        })
        .collect::<Result<_>>()?;
    progress::step(report, stages::CELLS, rows.len(), rows.len())?;
    Ok(found.into_iter().flatten().collect())
}
