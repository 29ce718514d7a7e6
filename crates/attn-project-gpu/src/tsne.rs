//! t-SNE with the repulsion of all pairs summed exactly.
//!
//! Everything stays on the device for the whole descent. Work is submitted in pieces of bounded length, at most two of
//! them ahead of the GPU, so that progress is true, cancelling is quick and no watchdog wakes.

use attn_core::{Progress, progress};
use attn_project::{
    stages,
    tsne::{TsneProblem, TsneStep},
};
use ndarray::Array2;

use crate::{
    Error, Gpu, Result,
    gpu::{Submitted, TsnePipelines},
};

/// Invocations of a workgroup, and points whose forces it gathers.
const LANES: usize = 256;
const GATHERED: usize = 8;
/// Pairs of a dispatch and of a submission, about: a second on a slow GPU.
const WORK: usize = 1 << 30;
/// Workgroups of the repulsion that keep any GPU busy.
const BUSY: usize = 512;
/// Iterations of a submission: how soon cancelling is heard when there are few points.
const TOGETHER: usize = 25;

/// As in `tsne.wgsl`.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Params {
    points: u32,
    slice: u32,
    slices: u32,
    first_group: u32,
    exaggeration: f32,
    momentum: f32,
    rate: f32,
    padding: u32,
}

/// Minimizes the divergence. Returns the map and the sum of `1 / (1 + |y_i - y_j|²)` over all ordered pairs.
pub(crate) async fn descend(gpu: &Gpu, problem: &TsneProblem, progress: &dyn Progress) -> Result<(Array2<f32>, f64)> {
    let descent = gpu.guarded(|| Descent::new(gpu, problem)).await?;
    let total = problem.iterations();
    let mut queue = Ahead::new(gpu);
    let mut step = None;
    for iteration in 0..total {
        progress::step(progress, stages::TSNE, iteration, total)?;
        let next = problem.step(iteration);
        if step.replace(next) != Some(next) {
            // What was encoded with the step before must be on its way before the step is replaced.
            queue.submit().await?;
            descent.set(next);
        }
        descent.forces(&mut queue).await?;
        descent.advance(&mut queue);
        queue.iterations += 1;
        if queue.iterations == TOGETHER {
            queue.submit().await?;
        }
    }
    descent.forces(&mut queue).await?;
    queue.submit().await?;
    let map = descent.map().await?;
    progress::step(progress, stages::TSNE, total, total)?;
    Ok((map, descent.pairs().await?))
}

/// Commands that are not submitted yet, and the submission that the GPU may still be busy with.
struct Ahead<'a> {
    gpu: &'a Gpu,
    encoder: wgpu::CommandEncoder,
    pairs: usize,
    iterations: usize,
    before: Option<Submitted>,
}

impl<'a> Ahead<'a> {
    fn new(gpu: &'a Gpu) -> Self {
        Self {
            gpu,
            encoder: gpu.encoder(),
            pairs: 0,
            iterations: 0,
            before: None,
        }
    }

    /// Submits what there is, and waits for what was submitted before.
    async fn submit(&mut self) -> Result<()> {
        let encoder = std::mem::replace(&mut self.encoder, self.gpu.encoder());
        (self.pairs, self.iterations) = (0, 0);
        match self.before.replace(self.gpu.submit(encoder)) {
            Some(before) => self.gpu.finish(before).await,
            None => Ok(()),
        }
    }

    fn dispatch(&mut self, pipeline: &wgpu::ComputePipeline, group: &wgpu::BindGroup, x: usize, y: usize) {
        let mut pass = self.encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x as u32, y as u32, 1);
    }
}

/// How the pairs of all points are cut into dispatches.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    points: usize,
    /// Points of a slice of the others, and slices.
    slice: usize,
    slices: usize,
    /// Groups of 256 points that one dispatch pushes.
    groups: usize,
}

impl Cut {
    fn new(points: usize) -> Self {
        let tiles = points.div_ceil(LANES);
        let groups = (WORK / (LANES * tiles * LANES)).clamp(1, tiles);
        let slice = tiles.div_ceil(BUSY.div_ceil(groups).min(tiles)) * LANES;
        Self {
            points,
            slice,
            slices: points.div_ceil(slice),
            groups,
        }
    }

    /// First group of each dispatch.
    fn firsts(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.points.div_ceil(LANES)).step_by(self.groups)
    }

    fn entries(&self, step: TsneStep) -> Vec<Params> {
        let entry = |first| Params {
            points: self.points as u32,
            slice: self.slice as u32,
            slices: self.slices as u32,
            first_group: first as u32,
            exaggeration: step.exaggeration,
            momentum: step.momentum,
            rate: step.rate,
            padding: 0,
        };
        self.firsts().map(entry).collect()
    }
}

/// The map and all that moves it, on the device.
struct Descent<'a> {
    gpu: &'a Gpu,
    cut: Cut,
    pipelines: &'a TsnePipelines,
    dims: usize,
    params: wgpu::Buffer,
    y: wgpu::Buffer,
    total: wgpu::Buffer,
    #[cfg(test)]
    forces: wgpu::Buffer,
    repulsion: Vec<wgpu::BindGroup>,
    gather: wgpu::BindGroup,
    sum_up: wgpu::BindGroup,
    advance: wgpu::BindGroup,
}

/// Numbers between the starts of two points on the device: vectors of three are aligned like four.
fn stride(dims: usize) -> usize {
    if dims == 2 { 2 } else { 4 }
}

impl<'a> Descent<'a> {
    fn new(gpu: &'a Gpu, problem: &TsneProblem) -> Result<Self> {
        let (points, dims) = problem.start().dim();
        let groups = points.div_ceil(GATHERED);
        if groups > u16::MAX as usize {
            return Err(Error::Project(attn_project::Error::Parameter {
                name: "points",
                expected: format!(
                    "at most {} for the exact repulsion of t-SNE on a GPU",
                    GATHERED * u16::MAX as usize
                ),
                found: points.to_string(),
            }));
        }
        let (cut, stride) = (Cut::new(points), stride(dims));
        let (offsets, columns, values) = problem.affinities();
        // A table whose columns fit into a buffer has fewer entries than this.
        let offsets: Vec<u32> = offsets.iter().map(|&offset| offset as u32).collect();
        let columns = gpu.filled("columns of the affinities", columns)?;
        let values = gpu.filled("affinities", values)?;
        let offsets = gpu.filled("rows of the affinities", &offsets)?;

        let mut start = vec![0.0f32; points * stride];
        let mut motion = vec![0.0f32; points * 2 * stride];
        for (to, from) in start.chunks_mut(stride).zip(problem.start().rows()) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
        motion
            .chunks_mut(2 * stride)
            .for_each(|motion| motion[stride..].fill(1.0));
        let motion = gpu.filled("motion of the points", &motion)?;
        let readable = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let bytes = |values: usize| values as u64 * 4;
        let y = gpu.buffer("map", bytes(start.len()), readable)?;
        gpu.write(&y, &start);
        let pushes = gpu.buffer(
            "repulsions",
            bytes(cut.slices * points * 4),
            wgpu::BufferUsages::STORAGE,
        )?;
        let forces = gpu.buffer("forces", bytes(points * (4 + stride)), readable)?;
        let total = gpu.buffer("sums over the points", bytes(4), readable)?;
        let params = gpu.entries("parameters of t-SNE", cut.firsts().count())?;

        let pipelines = &gpu.pipelines.tsne[dims - 2];
        let entry = |index| (0, gpu.entry::<Params>(&params, index));
        let all = wgpu::Buffer::as_entire_binding;
        let repulsion = (0..cut.firsts().count())
            .map(|index| gpu.group(&pipelines.repulsion, &[entry(index), (1, all(&y)), (5, all(&pushes))]))
            .collect();
        let affinities = [(2, all(&offsets)), (3, all(&columns)), (4, all(&values))];
        let mut gathered = vec![entry(0), (1, all(&y)), (5, all(&pushes)), (6, all(&forces))];
        gathered.extend(affinities);
        let moved = [
            entry(0),
            (1, all(&y)),
            (6, all(&forces)),
            (7, all(&total)),
            (8, all(&motion)),
        ];
        Ok(Self {
            gpu,
            cut,
            pipelines,
            dims,
            repulsion,
            gather: gpu.group(&pipelines.gather, &gathered),
            sum_up: gpu.group(&pipelines.sum_up, &moved[..4]),
            advance: gpu.group(&pipelines.advance, &moved),
            params,
            y,
            total,
            #[cfg(test)]
            forces,
        })
    }

    /// What the iterations from now on multiply with.
    fn set(&self, step: TsneStep) {
        self.gpu.write_entries(&self.params, &self.cut.entries(step));
    }

    /// Attraction and repulsion of every point, and the sums over all.
    async fn forces(&self, queue: &mut Ahead<'_>) -> Result<()> {
        let groups = self.cut.points.div_ceil(LANES);
        for (first, part) in self.cut.firsts().zip(&self.repulsion) {
            let groups = self.cut.groups.min(groups - first);
            queue.dispatch(&self.pipelines.repulsion, part, groups, self.cut.slices);
            queue.pairs += groups * LANES * self.cut.points;
            if queue.pairs >= WORK {
                queue.submit().await?;
            }
        }
        queue.dispatch(
            &self.pipelines.gather,
            &self.gather,
            self.cut.points.div_ceil(GATHERED),
            1,
        );
        queue.dispatch(&self.pipelines.sum_up, &self.sum_up, 1, 1);
        Ok(())
    }

    fn advance(&self, queue: &mut Ahead<'_>) {
        queue.dispatch(
            &self.pipelines.advance,
            &self.advance,
            self.cut.points.div_ceil(LANES),
            1,
        );
    }

    async fn map(&self) -> Result<Array2<f32>> {
        let stride = stride(self.dims);
        let flat: Vec<f32> = self.gpu.read(&self.y, self.cut.points * stride).await?;
        Ok(Array2::from_shape_fn((self.cut.points, self.dims), |(i, c)| {
            flat[i * stride + c]
        }))
    }

    async fn pairs(&self) -> Result<f64> {
        let total: Vec<f32> = self.gpu.read(&self.total, 4).await?;
        // Behind the mean.
        Ok(f64::from(total[self.dims]))
    }
}

#[cfg(test)]
mod tests;
