//! One entry point for every projection, as `attn_project::Projector::fit`.

use attn_core::Progress;
use attn_project::{
    Embedding, Points, Projector,
    tsne::{AttentionTsne, Tsne, TsneProblem},
};

use crate::{Gpu, Result, tsne::descend};

impl Gpu {
    /// Lays out points `[point, dimension]`: [`Projector::fit`] with the neighbors and t-SNE on the GPU. Every other
    /// method, once it has its neighbors, runs on the CPU all the same: PCA is done in milliseconds, UMAP moves one
    /// point after the other. With a neighbor table beside the points, from the GPU or the CPU, none is searched.
    ///
    /// t-SNE has the affinities, start and schedule of the CPU's and sums all pairs exactly, so that
    /// [`theta`](attn_project::tsne::TsneParams::theta) plays no part. Its time grows with the square of the number
    /// of points: it is meant for up to about 100,000. Neighbors are exact for any number of points. The same points
    /// and seed give the same bits on the same device and driver; other processors round differently, and a map of
    /// the same quality, not the same map, is what they have in common.
    ///
    /// ```
    /// # #[cfg(not(target_arch = "wasm32"))] {
    /// use attn_project::{Projector, tsne::{KL_DIVERGENCE, Tsne, TsneParams}};
    /// use attn_project_gpu::Gpu;
    ///
    /// let gpu = Gpu::headless()?;
    /// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
    /// let projector = Projector::new(Tsne::new(TsneParams { iterations: 50, ..TsneParams::default() })?);
    /// let embedding = gpu.fit(&projector, points.view(), &())?;
    /// assert_eq!(embedding.points.dim(), (60, 2));
    /// assert!(embedding.diagnostic(KL_DIVERGENCE).is_some());
    /// # }
    /// # Ok::<(), attn_project_gpu::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Project`](crate::Error::Project) with the errors of [`Projector::fit`], and those of [`Gpu::neighbors`];
    /// [`Error::BufferSize`](crate::Error::BufferSize) if the device cannot hold the affinities.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit<'a>(
        &self,
        projector: &Projector,
        points: impl Into<Points<'a>>,
        progress: &dyn Progress,
    ) -> Result<Embedding> {
        pollster::block_on(self.fit_async(projector, points, progress))
    }

    /// `Gpu::fit` for hosts that must not block, such as browsers. What is left to the CPU, the affinities of t-SNE
    /// above all, runs on the caller's thread.
    ///
    /// # Errors
    /// As `Gpu::fit`.
    pub async fn fit_async<'a>(
        &self,
        projector: &Projector,
        points: impl Into<Points<'a>>,
        progress: &dyn Progress,
    ) -> Result<Embedding> {
        let points = points.into();
        projector.prepare((points.rows().reborrow(), points.neighbors()))?;
        let k = projector.method.neighbors(points.rows().nrows());
        match points.neighbors() {
            None if k > 0 => {
                let rows = points.rows();
                let table = self.neighbors_async(rows, k, &projector.metric, progress).await?;
                let linked = Points::from((rows.reborrow(), &table)).with_links(points.links());
                self.lay_out(projector, linked, progress).await
            }
            _ => self.lay_out(projector, points, progress).await,
        }
    }

    async fn lay_out(&self, projector: &Projector, points: Points<'_>, progress: &dyn Progress) -> Result<Embedding> {
        let method = &projector.method;
        if method.downcast::<Tsne>().is_none() && method.downcast::<AttentionTsne>().is_none() {
            return Ok(projector.fit(points, progress)?);
        }
        let problem = TsneProblem::new(projector, points, progress)?;
        let (map, pairs) = descend(self, &problem, progress).await?;
        Ok(problem.embedding(map, pairs)?)
    }
}
