//! A graph of neighbors that grows and is kept on disk, by the crate `hnsw_rs` (Malkov and Yashunin, *Efficient and
//! robust approximate nearest neighbor search using hierarchical navigable small world graphs*, IEEE TPAMI 2020).
//!
//! That crate panics on NaN, exits above 256 connections and asserts on damaged files: all three are refused here
//! before it sees them. A panic on a file whose checksum is right is an error.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use attn_core::{Progress, files::write_atomically, third_party::guard};
use hnsw_rs::prelude as ann;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Matches, NeighborSearch, Neighbors, check_count, check_query,
    search::{check_radius, each_row},
};
use crate::{
    Error, Metric, Result,
    digest::Digest,
    linalg::squared_distance,
    metric::{Kernel, normalize},
};

/// Largest magnitude whose square fits single precision with room for many dimensions.
const LARGEST: f32 = 1e16;
/// Layers of the graph; that of the top holds a point or two.
const LAYERS: usize = 16;
/// Version of the files.
const FORMAT: u32 = 1;

/// How a graph is built and searched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HnswParams {
    /// Links of a point, 2 to 255. Default 16; more find more and take more memory.
    pub connections: usize,
    /// Candidates kept while a point is linked, at least 1. Default 200; more build a better graph, slowly.
    pub build_width: usize,
    /// Candidates kept while a query walks, at least 1 and never fewer than the neighbors asked for. Default 64.
    pub search_width: usize,
    /// Points that room is made for. Default 10,000; more may come.
    pub capacity: usize,
}

impl Default for HnswParams {
    fn default() -> Self {
        Self {
            connections: 16,
            build_width: 200,
            search_width: 64,
            capacity: 10_000,
        }
    }
}

impl HnswParams {
    fn check(&self) -> Result<()> {
        if !(2..=255).contains(&self.connections) {
            return Err(Error::parameter("connections", "2 to 255", self.connections));
        }
        if self.build_width == 0 {
            return Err(Error::parameter("build_width", "at least 1", 0));
        }
        if self.search_width == 0 {
            return Err(Error::parameter("search_width", "at least 1", 0));
        }
        Ok(())
    }
}

/// An approximate search by a graph: queries take well below a millisecond among millions of points, points can be
/// added, and the index is kept on disk.
///
/// For queries one at a time against a set that grows. Not for the neighbors of all points at once: there
/// [`Cells`](super::Cells) is ten times as fast at a higher recall, and gives the same bits on any number of threads,
/// which a graph does not. Not for [`InnerProduct`](crate::metric::InnerProduct). Radius queries compare with all
/// points and are exact. Takes about three times the memory of the points.
///
/// ```
/// use attn_project::{metric::Euclidean, neighbors::{Hnsw, HnswParams, NeighborSearch}};
/// let points = ndarray::Array2::from_shape_fn((300, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.37).sin());
/// let mut index = Hnsw::new(4, Euclidean, HnswParams::default())?;
/// index.insert(points.slice(ndarray::s![..200, ..]))?;
/// index.insert(points.slice(ndarray::s![200.., ..]))?;
/// let found = index.query(points.slice(ndarray::s![250..251, ..]), 1, &())?;
/// assert_eq!(found.indices(0), [250]);
/// # Ok::<(), attn_project::Error>(())
/// ```
pub struct Hnsw {
    graph: ann::Hnsw<'static, f32, Measure>,
    measure: Measure,
    params: HnswParams,
    columns: usize,
    /// Prepared points, row by row: of unit length under the cosine.
    rows: Vec<f32>,
}

/// Distances as the graph asks for them: never NaN, never negative.
#[derive(Clone)]
struct Measure(Metric);

impl Measure {
    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        match self.0.kernel() {
            Kernel::Euclidean => squared_distance(a, b).sqrt(),
            Kernel::Cosine if a.iter().all(|&x| x == 0.0) || b.iter().all(|&x| x == 0.0) => 1.0,
            Kernel::Cosine => 0.5 * squared_distance(a, b),
            Kernel::InnerProduct | Kernel::Pairs => self.0.distance(a, b),
        }
    }
}

impl ann::Distance<f32> for Measure {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        let distance = self.distance(a, b);
        if distance.is_finite() {
            distance.max(0.0)
        } else {
            f32::MAX
        }
    }
}

/// What stands beside the two files of the graph.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    metric: String,
    columns: usize,
    points: usize,
    params: HnswParams,
    graph: String,
    data: String,
}

impl Hnsw {
    /// An empty index for points of `columns` dimensions.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting out of range or no columns, [`Error::Unsupported`] for the inner product.
    pub fn new(columns: usize, metric: impl Into<Metric>, params: HnswParams) -> Result<Self> {
        params.check()?;
        if columns == 0 {
            return Err(Error::parameter("columns", "at least 1", 0));
        }
        let measure = Measure(supported(metric.into())?);
        let capacity = params.capacity.max(1);
        Ok(Self {
            graph: ann::Hnsw::new(
                params.connections,
                capacity,
                LAYERS,
                params.build_width,
                measure.clone(),
            ),
            measure,
            params,
            columns,
            rows: Vec::new(),
        })
    }

    /// Adds points `[point, dimension]`; their indices go on where those of the points before ended. On all threads,
    /// in an order that differs from run to run.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of columns, [`Error::NotFinite`], [`Error::TooLarge`] above 10^16.
    pub fn insert(&mut self, points: ArrayView2<'_, f32>) -> Result<()> {
        let rows = self.prepare(points)?;
        let first = self.len();
        let flat = rows.as_slice().unwrap_or_default();
        let new: Vec<(&[f32], usize)> = flat
            .chunks_exact(self.columns)
            .enumerate()
            .map(|(i, row)| (row, first + i))
            .collect();
        self.graph.parallel_insert_slice(&new);
        self.rows.extend_from_slice(flat);
        Ok(())
    }

    /// Writes the index as `NAME.hnsw.json`, `NAME.hnsw.graph` and `NAME.hnsw.data` into a folder, which must be there.
    ///
    /// # Errors
    /// [`Error::Core`] if a file cannot be written, [`Error::Method`] for an index without points.
    pub fn save(&self, folder: impl AsRef<Path>, name: &str) -> Result<()> {
        let files = Files::new(folder.as_ref(), name);
        if self.is_empty() {
            return Err(Error::method("hnsw", "an index without points cannot be written"));
        }
        self.dump(folder.as_ref(), name)?;
        let header = Header {
            format: FORMAT,
            metric: self.metric().name().to_owned(),
            columns: self.columns,
            points: self.len(),
            params: self.params,
            graph: digest(&files.graph)?,
            data: digest(&files.data)?,
        };
        let header = serde_json::to_vec_pretty(&header).map_err(|error| Error::method("hnsw", error))?;
        Ok(write_atomically(&files.header, &header)?)
    }

    /// Writes graph and points in a folder of their own, and gives them their names when they are whole and on the disk.
    fn dump(&self, folder: &Path, name: &str) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = folder.join(format!("{name}.hnsw.{}-{count}.partial", std::process::id()));
        let io = |path: &Path, error| Error::from(attn_core::Error::io(path, error));
        fs::create_dir(&own).map_err(|error| io(&own, error))?;
        let (unfinished, files) = (Files::new(&own, name), Files::new(folder, name));
        let written = || -> Result<()> {
            // The crate panics on files that it cannot open.
            let dumped = guard("hnsw_rs", || ann::AnnT::file_dump(&self.graph, &own, name));
            let dumped = dumped.map_err(|panic| Error::method("hnsw", panic))?;
            let dumped = dumped.map_err(|error| Error::method("hnsw", error.to_string()))?;
            if dumped != name {
                return Err(Error::method("hnsw", format!("wrote `{dumped}` instead of `{name}`")));
            }
            for (from, to) in [(&unfinished.graph, &files.graph), (&unfinished.data, &files.data)] {
                let file = fs::File::options().write(true).open(from);
                let renamed = file
                    .and_then(|file| file.sync_all())
                    .and_then(|()| fs::rename(from, to));
                renamed.map_err(|error| io(to, error))?;
            }
            Ok(())
        };
        let written = written();
        // What is half-written is of no use.
        let _ = fs::remove_dir_all(&own);
        written
    }

    /// Reads an index that [`save`](Self::save) wrote; `metric` is the one it was made with. More points may be added.
    ///
    /// # Errors
    /// [`Error::Core`] if a file cannot be read, [`Error::Method`] if one is damaged, [`Error::Parameter`] for another
    /// metric.
    pub fn open(folder: impl AsRef<Path>, name: &str, metric: impl Into<Metric>) -> Result<Self> {
        let files = Files::new(folder.as_ref(), name);
        let metric = supported(metric.into())?;
        let text = read(&files.header, HEADER)?;
        let header: Header = serde_json::from_slice(&text).map_err(|error| Error::method("hnsw", error))?;
        if header.format != FORMAT {
            let expected = format!("format {FORMAT}, found {}", header.format);
            return Err(Error::method("hnsw", format!("expected {expected}")));
        }
        if header.metric != metric.name() {
            return Err(Error::parameter("metric", header.metric, metric.name()));
        }
        for (file, expected) in [(&files.graph, &header.graph), (&files.data, &header.data)] {
            if digest(file)? != *expected {
                return Err(Error::method("hnsw", format!("{} is damaged", file.display())));
            }
        }
        // A header says its sizes itself: nothing is allocated by them before the file of the points holds as many. The crate
        // ends the process where a point is missing in it.
        let size = fs::metadata(&files.data).map_or(0, |data| data.len());
        let numbers = header.points.checked_mul(header.columns);
        let Some(numbers) = numbers.filter(|_| data_size(header.points, header.columns) == Some(size)) else {
            let found = format!("{} x {} numbers in {size} bytes", header.points, header.columns);
            return Err(Error::method("hnsw", format!("the header is damaged: {found}")));
        };
        let measure = Measure(metric);
        // The graph may borrow from its reader for as long as it lives; the reader is a few hundred bytes.
        let reader: &'static ann::HnswIo = Box::leak(Box::new(ann::HnswIo::new(folder.as_ref(), name)));
        // Another program may have written a file whose checksum is right.
        let graph = guard("hnsw_rs", || reader.load_hnsw_with_dist(measure.clone()));
        let graph = graph.map_err(|panic| Error::method("hnsw", panic))?;
        let graph: ann::Hnsw<'static, f32, Measure> =
            graph.map_err(|error| Error::method("hnsw", error.to_string()))?;
        let mut rows = vec![0.0f32; numbers];
        let mut found = 0;
        for point in graph.get_point_indexation() {
            let start = point.get_origin_id().saturating_mul(header.columns);
            let slot = start..start.saturating_add(header.columns);
            match rows.get_mut(slot) {
                Some(row) if row.len() == point.get_v().len() => row.copy_from_slice(point.get_v()),
                _ => {
                    return Err(Error::method(
                        "hnsw",
                        "the graph holds other points than its header says",
                    ));
                }
            }
            found += 1;
        }
        if found != header.points {
            return Err(Error::method(
                "hnsw",
                format!("{found} points, expected {}", header.points),
            ));
        }
        Ok(Self {
            graph,
            measure,
            params: header.params,
            columns: header.columns,
            rows,
        })
    }

    /// Checked rows as the graph holds them.
    fn prepare(&self, points: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        check_query(points, self.columns)?;
        let mut rows = points.as_standard_layout().into_owned();
        if self.metric().kernel() == Kernel::Cosine {
            normalize(&mut rows);
        }
        match rows.indexed_iter().find(|(_, value)| value.abs() > LARGEST) {
            None => Ok(rows),
            Some(((row, column), &value)) => Err(Error::TooLarge {
                what: "points",
                row,
                column,
                value,
                limit: LARGEST,
            }),
        }
    }

    fn row(&self, point: usize) -> &[f32] {
        &self.rows[point * self.columns..(point + 1) * self.columns]
    }

    /// The `k` nearest that the graph finds, or all points where it finds too few.
    fn nearest(&self, row: &[f32], k: usize) -> Vec<(u32, f32)> {
        let k = k.min(self.len());
        let walked = self.graph.search(row, k, self.params.search_width.max(k));
        let mut found: Vec<(u32, f32)> = match walked.len() < k {
            true => (0..self.len()).map(|j| self.measured(row, j)).collect(),
            false => walked.iter().map(|found| self.measured(row, found.d_id)).collect(),
        };
        found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        found.truncate(k);
        found
    }

    fn measured(&self, row: &[f32], point: usize) -> (u32, f32) {
        (point as u32, self.measure.distance(row, self.row(point)))
    }
}

impl NeighborSearch for Hnsw {
    fn metric(&self) -> &Metric {
        &self.measure.0
    }

    fn len(&self) -> usize {
        self.rows.len() / self.columns
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn neighbors(&self, k: usize, progress: &dyn Progress) -> Result<Neighbors> {
        check_count(self.len(), k)?;
        attn_core::progress::step(progress, crate::stages::NEIGHBORS, 0, self.len())?;
        let rows: Vec<Vec<(u32, f32)>> = (0..self.len())
            .into_par_iter()
            .map(|i| {
                let mut found = self.nearest(self.row(i), k + 1);
                found.retain(|found| found.0 as usize != i);
                found.truncate(k);
                found
            })
            .collect();
        let indices = rows.iter().flatten().map(|found| found.0).collect();
        let distances = rows.iter().flatten().map(|found| found.1).collect();
        attn_core::progress::step(progress, crate::stages::NEIGHBORS, self.len(), self.len())?;
        Neighbors::from_parts(k, self.metric(), indices, distances)
    }

    fn query(&self, points: ArrayView2<'_, f32>, k: usize, progress: &dyn Progress) -> Result<Matches> {
        let rows = self.prepare(points)?;
        if k == 0 {
            return Err(Error::parameter("k", "at least 1", k));
        }
        each_row(rows.view(), progress, |row| Ok(self.nearest(row, k)))
    }

    fn within(&self, points: ArrayView2<'_, f32>, radius: f32, progress: &dyn Progress) -> Result<Matches> {
        let rows = self.prepare(points)?;
        check_radius(radius)?;
        each_row(rows.view(), progress, |row| {
            let all = (0..self.len()).map(|j| self.measured(row, j));
            let mut found: Vec<(u32, f32)> = all.filter(|found| found.1 <= radius).collect();
            found.sort_unstable_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            Ok(found)
        })
    }
}

impl fmt::Debug for Hnsw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hnsw")
            .field("metric", self.metric())
            .field("points", &self.len())
            .field("columns", &self.columns)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

fn supported(metric: Metric) -> Result<Metric> {
    match metric.kernel() {
        Kernel::InnerProduct => Err(Error::unsupported("hnsw", "a search by the inner product")),
        _ => Ok(metric),
    }
}

struct Files {
    header: PathBuf,
    graph: PathBuf,
    data: PathBuf,
}

impl Files {
    fn new(folder: &Path, name: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}.hnsw.{ending}"));
        Self {
            header: file("json"),
            graph: file("graph"),
            data: file("data"),
        }
    }
}

/// Bytes of the file of so many points: a mark and the columns; of each point a mark, its index, its length and its numbers.
fn data_size(points: usize, columns: usize) -> Option<u64> {
    let each = columns.checked_mul(size_of::<f32>())?.checked_add(4 + 8 + 8)?;
    let all = points.checked_mul(each)?.checked_add(4 + size_of::<usize>())?;
    u64::try_from(all).ok()
}

/// Most bytes of a header.
const HEADER: u64 = 1 << 20;

fn read(file: &Path, limit: u64) -> Result<Vec<u8>> {
    Ok(attn_core::files::read(file, limit)?)
}

fn digest(file: &Path) -> Result<String> {
    let bytes = read(file, u64::MAX)?;
    let mut digest = Digest::new();
    digest.bytes(&bytes);
    Ok(digest.hex())
}

#[cfg(test)]
mod tests;
