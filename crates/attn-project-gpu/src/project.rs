//! One entry point for every projection, with the arguments and results of `attn_project::project`.

use attn_core::Progress;
use attn_project::{Dims, Embedding, Method, Metric, Neighbors, TsneProblem};
use ndarray::ArrayView2;

use crate::{Error, Gpu, tsne::descend};

impl Gpu {
    /// Lays out `points` `[point, dimension]`: [`attn_project::project`] with the neighbours and t-SNE on the GPU. PCA, and
    /// UMAP once it has its neighbours, run on the CPU all the same: the one is done in milliseconds, the other moves one
    /// point after the other.
    ///
    /// t-SNE has the affinities, start and schedule of the CPU's and sums all pairs exactly, so that
    /// [`theta`](attn_project::TsneParams::theta) plays no part. Its time grows with the square of the number of points: it is
    /// meant for up to about 100,000. Neighbours are exact for any number of points. The same points and seed give the
    /// same bits on the same device and driver; other processors round differently, and a map of the same quality, not the
    /// same map, is what they have in common.
    ///
    /// ```
    /// # #[cfg(not(target_arch = "wasm32"))] {
    /// use attn_project::{Dims, Method, Metric, TsneParams};
    /// use attn_project_gpu::Gpu;
    ///
    /// let gpu = Gpu::headless()?;
    /// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
    /// let method = Method::Tsne(TsneParams { iterations: 50, ..TsneParams::default() });
    /// let embedding = gpu.project(points.view(), &method, Dims::Two, Metric::Euclidean, 0, &())?;
    /// assert_eq!(embedding.points.dim(), (60, 2));
    /// assert!(embedding.kl_divergence.is_some());
    /// # }
    /// # Ok::<(), attn_project_gpu::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Project`] with the errors of [`attn_project::project`], and those of [`Gpu::neighbors`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn project(
        &self,
        points: ArrayView2<'_, f32>,
        method: &Method,
        dims: Dims,
        metric: Metric,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Embedding, Error> {
        pollster::block_on(self.project_async(points, method, dims, metric, seed, progress))
    }

    /// `Gpu::project` for hosts that must not block, such as browsers. What is left to the CPU, the affinities of t-SNE
    /// above all, runs on the caller's thread.
    ///
    /// # Errors
    /// As `Gpu::project`.
    pub async fn project_async(
        &self,
        points: ArrayView2<'_, f32>,
        method: &Method,
        dims: Dims,
        metric: Metric,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Embedding, Error> {
        method.check(points)?;
        match method.neighbors(points.nrows()) {
            0 => Ok(attn_project::project(points, method, dims, metric, seed, progress)?),
            k => {
                let neighbors = self.neighbors_async(points, k, metric, progress).await?;
                self.project_with_async(points, &neighbors, method, dims, seed, progress)
                    .await
            }
        }
    }

    /// The same with a neighbour table at hand, from the GPU or the CPU: [`attn_project::project_with`] with t-SNE on the
    /// GPU.
    ///
    /// # Errors
    /// [`Error::Project`] with the errors of [`attn_project::project_with`]; [`Error::BufferSize`] if the device cannot hold
    /// the affinities; [`Error::Device`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn project_with(
        &self,
        points: ArrayView2<'_, f32>,
        neighbors: &Neighbors,
        method: &Method,
        dims: Dims,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Embedding, Error> {
        pollster::block_on(self.project_with_async(points, neighbors, method, dims, seed, progress))
    }

    /// `Gpu::project_with` for hosts that must not block, such as browsers.
    ///
    /// # Errors
    /// As `Gpu::project_with`.
    pub async fn project_with_async(
        &self,
        points: ArrayView2<'_, f32>,
        neighbors: &Neighbors,
        method: &Method,
        dims: Dims,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Embedding, Error> {
        let Method::Tsne(params) = method else {
            let embedding = attn_project::project_with(points, neighbors, method, dims, seed, progress)?;
            return Ok(embedding);
        };
        let problem = TsneProblem::new(points, neighbors, dims, params, seed, progress)?;
        let (map, pairs) = descend(self, &problem, progress).await?;
        Ok(problem.embedding(map, pairs)?)
    }
}
