//! Exact neighbors: products of a block of points with all, and the best of each, both on the GPU.
//!
//! A block goes through all others in chunks: one pass writes the scores of block and chunk, a second merges each
//! row's scores into the best so far. Memory is bounded by block times chunk whatever the number of points, and so is
//! the work of a dispatch. While the GPU works on a block the candidates of the one before come back; `attn-project`
//! measures them.

use attn_core::{Progress, progress};
use attn_project::{Metric, Neighbors, neighbors::CandidateSearch, stages};
use ndarray::ArrayView2;

use crate::{Error, Gpu, Result, gpu::Mapped};

/// Side of the tile of scores that a workgroup computes, and depth in which rows come into workgroup memory.
const TILE: usize = 64;
const DEPTH: usize = 16;
/// Most points of a block and of a chunk: 32 MB of scores, enough workgroups for any GPU.
const ROWS: usize = 1024;
const COLUMNS: usize = 8192;
/// Multiplications of a block with all points, about: a second on a slow GPU.
const WORK: u64 = 1 << 33;
/// Candidates that the selection has room for.
const MOST_KEPT: usize = 512;

/// As in `search.wgsl`.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Search {
    first_row: u32,
    first_column: u32,
    columns: u32,
    points: u32,
    depth: u32,
    kept: u32,
    padding: [u32; 2],
}

impl Gpu {
    /// Most neighbors of a point that [`Gpu::neighbors`] finds: enough for a perplexity of 168.
    pub const MOST_NEIGHBORS: usize = 504;

    /// The exact `k` nearest neighbors of every row of `points` `[point, dimension]`: the same table as
    /// [`Neighbors::exact`] gives, distances to the bit, because the same code measures them. The two can differ only
    /// where rounding hides the difference between more than eight points at the border of the table, as it does for
    /// cosines of points very far from the origin, which neither can tell apart.
    ///
    /// Time grows with the square of the number of points, memory on the GPU with `points * dimensions` and at most
    /// 40 MB beside that. Each dispatch is short; `progress` is asked between blocks of up to 1,024 points.
    ///
    /// # Errors
    /// [`Error::Project`] with the errors of [`Neighbors::exact`], and with
    /// [`Parameter`](attn_project::Error::Parameter) for `k` above [`Gpu::MOST_NEIGHBORS`]; [`Error::BufferSize`] if
    /// the device cannot hold the points; [`Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn neighbors(
        &self,
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: impl Into<Metric>,
        progress: &dyn Progress,
    ) -> Result<Neighbors> {
        pollster::block_on(self.neighbors_async(points, k, metric, progress))
    }

    /// `Gpu::neighbors` for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As `Gpu::neighbors`.
    pub async fn neighbors_async(
        &self,
        points: ArrayView2<'_, f32>,
        k: usize,
        metric: impl Into<Metric>,
        progress: &dyn Progress,
    ) -> Result<Neighbors> {
        let search = CandidateSearch::new(points, k, metric)?;
        if search.candidates() > MOST_KEPT {
            return Err(Error::Project(attn_project::Error::Parameter {
                name: "k",
                expected: format!("at most {} neighbors on a GPU", Self::MOST_NEIGHBORS),
                found: k.to_string(),
            }));
        }
        let run = self.guarded(|| Run::new(self, &search, ROWS, COLUMNS)).await?;
        let candidates = run.candidates(progress).await?;
        Ok(search.finish(&candidates, progress)?)
    }
}

/// A search on its way: its shape, and what it needs on the device.
struct Run<'a> {
    gpu: &'a Gpu,
    points: usize,
    /// All points, padded to whole tiles.
    padded: usize,
    /// Points of a block and of a chunk.
    rows: usize,
    columns: usize,
    depth: usize,
    kept: usize,
    entries: wgpu::Buffer,
    best: wgpu::Buffer,
    /// Bind groups of each chunk.
    products: Vec<wgpu::BindGroup>,
    choose: Vec<wgpu::BindGroup>,
    staging: [wgpu::Buffer; 2],
}

impl<'a> Run<'a> {
    /// With blocks of at most `rows` and chunks of at most `columns` points, whole tiles both.
    fn new(gpu: &'a Gpu, search: &CandidateSearch<'_>, rows: usize, columns: usize) -> Result<Self> {
        let (points, width) = search.rows().dim();
        let (padded, depth) = (points.next_multiple_of(TILE), width.next_multiple_of(DEPTH));
        let affordable = (WORK / (padded as u64 * depth as u64)) as usize / TILE * TILE;
        let rows = affordable.clamp(TILE, rows.min(padded));
        let columns = columns.min(padded);
        let chunks = padded.div_ceil(columns);
        let kept = search.candidates();

        let size = padded as u64 * depth as u64 * 4;
        let storage = wgpu::BufferUsages::STORAGE;
        let held = gpu.buffer("points of the neighbor search", size, storage)?;
        let mut values = vec![0.0f32; padded * depth];
        for (to, from) in values.chunks_mut(depth).zip(search.rows().rows()) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
        gpu.write(&held, &values);
        let mut bias = search.bias().to_vec();
        bias.resize(padded, 0.0);
        let bias = gpu.filled("biases of the neighbor search", &bias)?;

        let bytes = |values: usize| values as u64 * 4;
        let scores = gpu.buffer("scores of the neighbor search", bytes(rows * columns), storage)?;
        let best_scores = gpu.buffer("best scores", bytes(rows * kept), storage)?;
        let best = gpu.buffer(
            "best points",
            bytes(rows * kept),
            storage | wgpu::BufferUsages::COPY_SRC,
        )?;
        let staging = [(); 2].map(|()| gpu.buffer("candidates", bytes(rows * kept), wgpu::BufferUsages::MAP_READ));
        let [first, second] = staging;
        let entries = gpu.entries("chunks of the neighbor search", chunks)?;
        let bound = |chunk| (0, gpu.entry::<Search>(&entries, chunk));
        let all = wgpu::Buffer::as_entire_binding;
        let products = |chunk| {
            let bindings = [bound(chunk), (1, all(&held)), (2, all(&bias)), (3, all(&scores))];
            gpu.group(&gpu.pipelines.products, &bindings)
        };
        let choose = |chunk| {
            let bindings = [bound(chunk), (1, all(&scores)), (2, all(&best_scores)), (3, all(&best))];
            gpu.group(&gpu.pipelines.choose, &bindings)
        };
        Ok(Self {
            gpu,
            points,
            padded,
            rows,
            columns,
            depth,
            kept,
            products: (0..chunks).map(products).collect(),
            choose: (0..chunks).map(choose).collect(),
            entries,
            best,
            staging: [first?, second?],
        })
    }

    /// The candidates of all points, `[point, candidate]`.
    async fn candidates(&self, progress: &dyn Progress) -> Result<Vec<u32>> {
        let mut candidates = Vec::with_capacity(self.points * self.kept);
        let mut before: Option<(Mapped, usize)> = None;
        progress::step(progress, stages::NEIGHBORS, 0, self.points)?;
        for (block, first) in (0..self.points).step_by(self.rows).enumerate() {
            let rows = self.rows.min(self.points - first);
            let now = self.block(first, rows, &self.staging[block % 2]);
            if let Some((mapped, count)) = before.replace((now, rows * self.kept)) {
                candidates.extend(mapped.finish::<u32>(self.gpu, count).await?);
                progress::step(progress, stages::NEIGHBORS, first, self.points)?;
            }
        }
        if let Some((mapped, count)) = before {
            candidates.extend(mapped.finish::<u32>(self.gpu, count).await?);
        }
        progress::step(progress, stages::NEIGHBORS, self.points, self.points)?;
        Ok(candidates)
    }

    /// Sends one block through all chunks.
    fn block(&self, first: usize, rows: usize, staging: &wgpu::Buffer) -> Mapped {
        let chunk = |first_column: usize| Search {
            first_row: first as u32,
            first_column: first_column as u32,
            columns: self.columns.min(self.padded - first_column) as u32,
            points: self.points as u32,
            depth: (self.depth / 4) as u32,
            kept: self.kept as u32,
            padding: [0; 2],
        };
        let chunks: Vec<Search> = (0..self.padded).step_by(self.columns).map(chunk).collect();
        self.gpu.write_entries(&self.entries, &chunks);
        let mut encoder = self.gpu.encoder();
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for (chunk, (products, choose)) in chunks.iter().zip(self.products.iter().zip(&self.choose)) {
                pass.set_pipeline(&self.gpu.pipelines.products);
                pass.set_bind_group(0, products, &[]);
                pass.dispatch_workgroups(chunk.columns / TILE as u32, rows.div_ceil(TILE) as u32, 1);
                pass.set_pipeline(&self.gpu.pipelines.choose);
                pass.set_bind_group(0, choose, &[]);
                pass.dispatch_workgroups(rows as u32, 1, 1);
            }
        }
        let bytes = (rows * self.kept * 4) as u64;
        encoder.copy_buffer_to_buffer(&self.best, 0, staging, 0, bytes);
        self.gpu.map(staging, self.gpu.submit(encoder))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn many_blocks_and_chunks() {
        // Every point twice, the copies in different chunks: the copy is the nearest of all.
        let gpu = Gpu::headless().unwrap();
        let half = 170;
        let value = |i: usize, c: usize| (((i % half) * (c + 3) * 7 + c) as f32 * 0.731).sin();
        let points = Array2::from_shape_fn((2 * half, 4), |(i, c)| value(i, c));
        for (k, rows, columns) in [(2, 64, 64), (60, 64, 128), (300, 128, 64), (60, 512, 512)] {
            let search = CandidateSearch::new(points.view(), k, Metric::EUCLIDEAN).unwrap();
            let run = Run::new(&gpu, &search, rows, columns).unwrap();
            assert_eq!(run.products.len(), 384usize.div_ceil(columns));
            let candidates = pollster::block_on(run.candidates(&())).unwrap();
            let found = search.finish(&candidates, &()).unwrap();
            assert!((0..2 * half).all(|i| found.indices(i)[0] as usize == (i + half) % (2 * half)));
            assert_eq!(
                found,
                Neighbors::exact(points.view(), k, Metric::EUCLIDEAN, &()).unwrap()
            );
        }
    }
}
