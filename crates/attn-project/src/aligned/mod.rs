//! Pictures of the same points over time (checkpoints), depth (layers) or variants (corrupted models) that can be
//! compared: what moves in them moved in the space.
//!
//! Projected one by one, t-SNE and UMAP turn, mirror and rearrange the picture at will. Two remedies: turn each picture
//! onto the one before ([`Procrustes`]), which is cheap and leaves every picture as good as it is alone; or optimise
//! all of them together with a penalty on movement (Rauber, Falcão and Telea, *Visualizing time-dependent data using
//! dynamic t-SNE*, EuroVis 2016; umap-learn's AlignedUMAP does the same for UMAP), which also keeps groups in place.

mod procrustes;
#[cfg(test)]
mod tests;

use attn_core::Progress;
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

pub use self::procrustes::Procrustes;
use crate::{
    Dims, Embedding, Error, Method, Metric, Neighbors, project, tsne::tsne_aligned, umap::aligned::umap_aligned,
    warnings::warnings,
};

/// How successive pictures are kept comparable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// Each picture is made alone, then turned, mirrored, scaled and shifted onto the one before.
    Procrustes,
    /// All pictures start from the same layout and are optimised together, each point held by itself in the pictures
    /// before and after. For PCA, which is not optimised, the same as [`Alignment::Procrustes`].
    Penalty {
        /// Strength of the hold, from 0 to 1. Default 0.1; more hides movement. t-SNE: at 1 a point is pulled as strongly
        /// to where it is in the next picture as by all its neighbours together. UMAP: the share of the way there that it
        /// goes in the first epoch, which falls with the fourth root of the springs' rate.
        strength: f32,
    },
}

impl Default for Alignment {
    fn default() -> Self {
        Self::Penalty { strength: 0.1 }
    }
}

impl Alignment {
    fn check(self) -> Result<(), Error> {
        match self {
            Self::Penalty { strength } if !(0.0..=1.0).contains(&strength) => {
                Err(Error::parameter("strength", "0 to 1", strength))
            }
            _ => Ok(()),
        }
    }
}

/// How far points go from one picture to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Movement {
    /// Root mean square of the distances gone, in units of the pictures.
    pub root_mean_square: f32,
    /// The same as a share of the size of the two pictures (root mean square distance of a point from the middle, of
    /// both pictures): about 1.4 for unrelated pictures, 0 if nothing moved.
    pub relative: f32,
    /// What is left of `relative` if the second picture is turned, mirrored, scaled and shifted onto the first: movement
    /// that is no change of view. Where it is far below `relative`, the pictures are badly aligned.
    pub residual: f32,
    /// Distance gone by each point.
    pub points: Vec<f32>,
}

impl Movement {
    /// Compares two pictures of the same points.
    ///
    /// # Errors
    /// As [`Procrustes::fit`].
    pub fn between(before: ArrayView2<'_, f32>, after: ArrayView2<'_, f32>) -> Result<Self, Error> {
        let turned = Procrustes::fit(after, before, true)?.apply(after)?;
        let points: Vec<f32> = distances(before, after);
        let size = ((extent(before).powi(2) + extent(after).powi(2)) / 2.0).sqrt();
        let relative = |moved: f64| if size > 0.0 { (moved / size) as f32 } else { 0.0 };
        let moved = root_mean_square(&points);
        Ok(Self {
            root_mean_square: moved as f32,
            relative: relative(moved),
            residual: relative(root_mean_square(&distances(before, turned.view()))),
            points,
        })
    }
}

fn distances(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Vec<f32> {
    let squared = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
    a.rows()
        .into_iter()
        .zip(b.rows())
        .map(|(a, b)| a.iter().zip(b).map(squared).sum::<f64>().sqrt() as f32)
        .collect()
}

fn root_mean_square(values: &[f32]) -> f64 {
    (values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// Root mean square distance from the middle.
fn extent(map: ArrayView2<'_, f32>) -> f64 {
    let n = map.nrows().max(1) as f64;
    let spread = |axis: ndarray::ArrayView1<'_, f32>| {
        let mean = axis.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        axis.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n
    };
    map.axis_iter(Axis(1)).map(spread).sum::<f64>().sqrt()
}

/// A sequence of comparable pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlignedProjection {
    /// One picture per frame, of the same points in the same order.
    pub frames: Vec<Embedding>,
    /// From each picture to the next: one fewer than frames.
    pub movements: Vec<Movement>,
}

/// Lays out the same points in several states, `frames` of `[point, dimension]` (dimensions may differ between frames),
/// as comparable pictures. Row `i` is the same point in all of them. The same `seed` gives the same coordinates on any
/// number of threads.
///
/// ```
/// use attn_project::{Alignment, Dims, Method, Metric, UmapParams, project_aligned};
/// let first = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| (i % 3) as f32 * 5.0 + ((i * (j + 3)) as f32 * 0.7).sin());
/// let second = &first + 0.1;
/// let umap = Method::Umap(UmapParams { epochs: Some(100), ..UmapParams::default() });
/// let frames = [first.view(), second.view()];
/// let found = project_aligned(&frames, &umap, Dims::Two, Metric::Euclidean, Alignment::default(), 0, &())?;
/// assert_eq!((found.frames.len(), found.movements.len()), (2, 1));
/// assert!(found.movements[0].relative < 0.5);
/// # Ok::<(), attn_project::Error>(())
/// ```
///
/// # Errors
/// [`Error::TooFewPoints`] without frames, [`Error::Shape`] if frames have different numbers of points,
/// [`Error::Parameter`] for a strength outside 0 to 1, and the errors of [`project()`] for each frame.
pub fn project_aligned(
    frames: &[ArrayView2<'_, f32>],
    method: &Method,
    dims: Dims,
    metric: Metric,
    alignment: Alignment,
    seed: u64,
    progress: &dyn Progress,
) -> Result<AlignedProjection, Error> {
    alignment.check()?;
    let Some(first) = frames.first() else {
        return Err(Error::TooFewPoints {
            what: "aligned frames",
            needed: 1,
            found: 0,
        });
    };
    for frame in frames {
        if frame.nrows() != first.nrows() {
            let expected = format!("{} points, as in the first", first.nrows());
            return Err(Error::shape("frames", expected, frame.nrows()));
        }
        method.check(*frame)?;
    }
    let frames = match (alignment, method) {
        (Alignment::Procrustes, _) | (_, Method::Pca) => turned(frames, method, dims, metric, seed, progress)?,
        (Alignment::Penalty { strength }, _) => together(frames, method, dims, metric, strength, seed, progress)?,
    };
    let movements = frames
        .windows(2)
        .map(|pair| Movement::between(pair[0].points.view(), pair[1].points.view()))
        .collect::<Result<_, _>>()?;
    Ok(AlignedProjection { frames, movements })
}

/// One by one, each turned onto the one before.
fn turned(
    frames: &[ArrayView2<'_, f32>],
    method: &Method,
    dims: Dims,
    metric: Metric,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Embedding>, Error> {
    let mut out: Vec<Embedding> = Vec::with_capacity(frames.len());
    for frame in frames {
        let mut embedding = project(*frame, method, dims, metric, seed, progress)?;
        if let Some(before) = out.last() {
            let turn = Procrustes::fit(embedding.points.view(), before.points.view(), true)?;
            embedding.points = turn.apply(embedding.points.view())?;
        }
        out.push(embedding);
    }
    Ok(out)
}

/// All at once, with a penalty on movement.
fn together(
    frames: &[ArrayView2<'_, f32>],
    method: &Method,
    dims: Dims,
    metric: Metric,
    strength: f32,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<Embedding>, Error> {
    let n = frames[0].nrows();
    let k = method.neighbors(n);
    let tables = frames
        .iter()
        .map(|frame| Neighbors::search(*frame, k, metric, progress))
        .collect::<Result<Vec<_>, _>>()?;
    let (maps, kl, perplexity): (Vec<Array2<f32>>, Vec<Option<f32>>, Option<f32>) = match method {
        Method::Tsne(params) => {
            let found = tsne_aligned(frames[0], &tables, dims, params, strength, seed, progress)?;
            let (maps, kl) = found.into_iter().map(|(map, kl)| (map, Some(kl))).unzip();
            (maps, kl, Some(params.effective_perplexity(n)))
        }
        Method::Umap(params) => {
            let maps = umap_aligned(frames[0], &tables, dims, params, strength, seed, progress)?;
            let none = vec![None; maps.len()];
            (maps, none, None)
        }
        Method::Pca => return turned(frames, method, dims, metric, seed, progress),
    };
    let embeddings = maps.into_iter().zip(kl).zip(frames.iter().zip(&tables));
    Ok(embeddings
        .map(|((points, kl_divergence), (frame, table))| Embedding {
            points,
            kl_divergence,
            perplexity,
            explained_variance: None,
            warnings: warnings(*frame, Some(table), method),
        })
        .collect())
}
