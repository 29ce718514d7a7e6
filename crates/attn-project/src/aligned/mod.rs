//! Layouts of the same points over time (checkpoints), depth (layers) or variants (corrupted models) that can be
//! compared: what moves in them moved in the space.
//!
//! Projected one by one, t-SNE and UMAP turn, mirror and rearrange the layout at will. Two remedies: turn each layout
//! onto the one before ([`Procrustes`]), which is cheap and leaves every layout as good as it is alone; or optimize
//! all of them together with a penalty on movement (Rauber, Falcão and Telea, *Visualizing time-dependent data using
//! dynamic t-SNE*, EuroVis 2016; umap-learn's AlignedUMAP does the same for UMAP), which also keeps groups in place.

mod procrustes;
#[cfg(test)]
mod tests;

use attn_core::Progress;
use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

pub use self::procrustes::Procrustes;
use crate::{Embedding, Error, Neighbors, Projector, Result, method::FitInput, projector::Points, rng::Rng};

/// How successive layouts are kept comparable.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// Each layout is made alone, then turned, mirrored, scaled and shifted onto the one before.
    Procrustes,
    /// All frames start from the same layout and are optimized together, each point held by itself in the frames before
    /// and after. For a method that cannot do that, such as PCA, the same as [`Alignment::Procrustes`].
    Penalty {
        /// Strength of the hold, from 0 to 1. Default 0.1; more hides movement, less lets what means nothing move. t-SNE: at 1 a
        /// point is pulled to where it is in the next frame as strongly as by all its neighbors together, along attention a tenth
        /// as strongly. UMAP: the share of the way there that it goes in the first epoch, which falls with the fourth root of the
        /// springs' rate.
        strength: f32,
    },
}

/// Noise of a copy, as a share of each coordinate: far less than a step of training.
const NOISE: f64 = 1e-3;
const NOISE_STREAM: u64 = 0x7717;

impl Default for Alignment {
    fn default() -> Self {
        Self::Penalty { strength: 0.1 }
    }
}

impl Alignment {
    fn check(self) -> Result<()> {
        match self {
            Self::Penalty { strength } if !(0.0..=1.0).contains(&strength) => {
                Err(Error::parameter("strength", "0 to 1", strength))
            }
            Self::Penalty { .. } | Self::Procrustes => Ok(()),
        }
    }
}

/// How far points go from one frame to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Movement {
    /// Root mean square of the distances gone, in units of the layouts.
    pub root_mean_square: f32,
    /// The same as a share of the size of the two layouts (root mean square distance of a point from the middle, of
    /// both layouts): about 1.4 for unrelated ones, 0 if nothing moved.
    pub relative: f32,
    /// What is left of `relative` if the second layout is turned, mirrored, scaled and shifted onto the first: movement
    /// that is no change of view. Where it is far below `relative`, the layouts are badly aligned.
    pub residual: f32,
    /// Distance gone by each point.
    pub points: Vec<f32>,
}

impl Movement {
    /// Compares two layouts of the same points.
    ///
    /// # Errors
    /// As [`Procrustes::fit`].
    pub fn between(before: ArrayView2<'_, f32>, after: ArrayView2<'_, f32>) -> Result<Self> {
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

/// A sequence of comparable layouts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlignedProjection {
    /// One layout per frame, of the same points in the same order.
    pub frames: Vec<Embedding>,
    /// From each frame to the next: one fewer than frames.
    pub movements: Vec<Movement>,
}

impl Projector {
    /// Lays out the same points in several states, `frames` of `[point, dimension]` (dimensions may differ between
    /// frames), as comparable layouts. Row `i` is the same point in all of them. The same seed gives the same
    /// coordinates on any number of threads.
    ///
    /// ```
    /// use attn_project::{Projector, aligned::Alignment, umap::{Umap, UmapParams}};
    /// let first = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| (i % 3) as f32 * 5.0 + ((i * (j + 3)) as f32 * 0.7).sin());
    /// let second = &first + 0.1;
    /// let umap = Umap::new(UmapParams { epochs: Some(100), ..UmapParams::default() })?;
    /// let frames = [first.view(), second.view()];
    /// let found = Projector::new(umap).fit_aligned(&frames, Alignment::default(), &())?;
    /// assert_eq!((found.frames.len(), found.movements.len()), (2, 1));
    /// assert!(found.movements[0].relative < 0.5);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without frames, [`Error::Shape`] if frames have different numbers of points,
    /// [`Error::Parameter`] for a strength outside 0 to 1, and the errors of [`fit`](Self::fit) for each frame.
    pub fn fit_aligned<'a, P: Into<Points<'a>> + Copy>(
        &self,
        frames: &[P],
        alignment: Alignment,
        progress: &dyn Progress,
    ) -> Result<AlignedProjection> {
        alignment.check()?;
        let frames: Vec<Points<'_>> = frames.iter().map(|&frame| frame.into()).collect();
        let Some(first) = frames.first() else {
            return Err(Error::too_few("aligned frames", 1, 0));
        };
        for frame in &frames {
            if frame.rows().nrows() != first.rows().nrows() {
                let expected = format!("{} points, as in the first", first.rows().nrows());
                return Err(Error::shape("frames", expected, frame.rows().nrows()));
            }
            self.prepare(frame.reborrow())?;
        }
        self.fit_frames(&frames, alignment, progress)
    }

    /// How far the layouts of a frame and of a copy of it with 0.1 % of noise are from each other, aligned as frames
    /// are. Movements of this size mean nothing.
    ///
    /// # Errors
    /// Those of [`fit_aligned`](Self::fit_aligned).
    pub fn noise_floor<'a>(
        &self,
        frame: impl Into<Points<'a>>,
        alignment: Alignment,
        progress: &dyn Progress,
    ) -> Result<Movement> {
        alignment.check()?;
        let frame = frame.into();
        self.prepare(frame.reborrow())?;
        let mut rng = Rng::new(self.seed, NOISE_STREAM);
        let copy = frame
            .rows()
            .mapv(|x| (f64::from(x) * (1.0 + NOISE * rng.normal())) as f32);
        let frames = [frame.reborrow(), Points::from(copy.view()).with_links(frame.links())];
        let mut found = self.fit_frames(&frames, alignment, progress)?.movements;
        found.pop().ok_or_else(|| Error::shape("frames", "2 layouts", "1"))
    }

    /// Together with a penalty if there is one and the method can; else one by one.
    fn fit_frames(
        &self,
        frames: &[Points<'_>],
        alignment: Alignment,
        progress: &dyn Progress,
    ) -> Result<AlignedProjection> {
        let together = match alignment {
            Alignment::Procrustes => None,
            Alignment::Penalty { strength } => self.fit_together(frames, strength, progress)?,
        };
        let frames = match together {
            Some(frames) => frames,
            None => self.fit_turned(frames, progress)?,
        };
        let movements = frames
            .windows(2)
            .map(|pair| Movement::between(pair[0].points.view(), pair[1].points.view()))
            .collect::<Result<_>>()?;
        Ok(AlignedProjection { frames, movements })
    }

    /// One by one, each turned onto the one before.
    fn fit_turned(&self, frames: &[Points<'_>], progress: &dyn Progress) -> Result<Vec<Embedding>> {
        let mut out: Vec<Embedding> = Vec::with_capacity(frames.len());
        for frame in frames {
            let mut embedding = self.fit(frame.reborrow(), progress)?;
            if let Some(before) = out.last() {
                let turn = Procrustes::fit(embedding.points.view(), before.points.view(), true)?;
                embedding.points = turn.apply(embedding.points.view())?;
            }
            out.push(embedding);
        }
        Ok(out)
    }

    /// All at once, with a penalty on movement; `None` if the method cannot.
    fn fit_together(
        &self,
        frames: &[Points<'_>],
        strength: f32,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Embedding>>> {
        let k = self
            .method
            .neighbors(frames.first().map_or(0, |frame| frame.rows().nrows()));
        let tables = frames.iter().map(|frame| match (k, frame.neighbors()) {
            (0, _) | (_, Some(_)) => Ok(None),
            _ => Neighbors::search(frame.rows(), k, &self.metric, progress).map(Some),
        });
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let inputs: Vec<FitInput<'_>> = frames
            .iter()
            .zip(&tables)
            .map(|(frame, table)| {
                let frame = frame.reborrow();
                let table = table.as_ref().or(frame.neighbors());
                self.input(frame.with_neighbors(table))
            })
            .collect();
        let Some(found) = self.method.fit_aligned(&inputs, strength, progress)? else {
            return Ok(None);
        };
        if found.len() != frames.len() {
            let found = format!("{} of {}", found.len(), self.method.name());
            return Err(Error::shape("frames", format!("{} layouts", frames.len()), found));
        }
        let embeddings = inputs.iter().zip(found);
        embeddings
            .map(|(input, embedding)| self.finish(input, embedding))
            .collect::<Result<_>>()
            .map(Some)
    }
}
