//! The same heads in several captures of the same sequences, as comparable pictures: checkpoints of a training, a model and its twins.

use attn_core::{Capture, HeadId, Progress, progress::step};
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::{AtlasParams, HeadProjection, head::Atlas};
use crate::{Alignment, Error, Movement, project_aligned};

/// One head over several captures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadSteps {
    /// Its projection in each.
    pub steps: Vec<HeadProjection>,
    /// How far its points go from each to the next: one fewer than steps.
    pub movements: Vec<Movement>,
}

impl HeadSteps {
    /// Which head; `None` without a step.
    pub fn head(&self) -> Option<HeadId> {
        self.steps.first().map(|step| step.head)
    }
}

/// Projects one head of several captures of the same sequences together, so that what moves from picture to picture moved in the space
/// (see [`project_aligned`]). Each is normalised for itself and judged by its own vectors.
///
/// # Errors
/// Those of [`project_head`](super::project_head) and [`project_aligned`]: [`Error::Shape`] if the captures have other sequences.
pub fn project_head_steps(
    captures: &[&Capture],
    head: HeadId,
    params: &AtlasParams,
    alignment: Alignment,
    progress: &dyn Progress,
) -> Result<HeadSteps, Error> {
    let atlases: Vec<Atlas<'_>> = captures.iter().map(|capture| Atlas::new(capture, params)).collect();
    let prepared = atlases
        .iter()
        .map(|atlas| atlas.prepare(head))
        .collect::<Result<Vec<_>, _>>()?;
    let joint = atlases
        .iter()
        .zip(&prepared)
        .map(|(atlas, prepared)| atlas.joint(head, &prepared.normalization))
        .collect::<Result<Vec<Array2<f32>>, _>>()?;
    let views: Vec<ArrayView2<'_, f32>> = joint.iter().map(Array2::view).collect();
    let seed = atlases.first().map_or(params.seed, |atlas| atlas.seed(head));
    let aligned = project_aligned(
        &views,
        &params.method,
        params.dims,
        params.metric,
        alignment,
        seed,
        progress,
    )?;
    let steps = atlases.iter().zip(&prepared).zip(aligned.frames);
    Ok(HeadSteps {
        steps: steps
            .map(|((atlas, prepared), embedding)| atlas.judge(prepared, embedding, progress))
            .collect::<Result<_, _>>()?,
        movements: aligned.movements,
    })
}

/// The same for every head of the first capture, one after the other, each on all threads; `on_head` gets each when it is done.
///
/// Progress is reported as stage `heads`.
///
/// # Errors
/// As [`project_head_steps`]; [`Error::Cancelled`].
pub fn atlas_steps(
    captures: &[&Capture],
    params: &AtlasParams,
    alignment: Alignment,
    on_head: &dyn Fn(HeadSteps),
    progress: &dyn Progress,
) -> Result<(), Error> {
    let heads: Vec<HeadId> = captures
        .first()
        .map_or_else(Vec::new, |first| first.model().heads().collect());
    for (done, &head) in heads.iter().enumerate() {
        step(progress, "heads", done, heads.len())?;
        let within = |_: &str, _: usize, _: usize| progress.update("heads", done, heads.len());
        on_head(project_head_steps(captures, head, params, alignment, &within)?);
    }
    // The last report is not a question any more.
    let _ = progress.update("heads", heads.len(), heads.len());
    Ok(())
}
