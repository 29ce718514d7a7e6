//! The same heads in several captures of the same sequences, as comparable layouts: checkpoints of a training, a
//! model and its control models.

use attn_core::{Capture, HeadId, Progress, progress};
use ndarray::Array2;
use serde::Serialize;

use super::{AtlasParams, HeadFailure, HeadProjection, head::Atlas};
use crate::{
    Points, Result,
    aligned::{Alignment, Movement},
    stages,
};

/// One head over several captures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadCheckpoints {
    /// Its projection in each.
    pub checkpoints: Vec<HeadProjection>,
    /// How far its points go from each to the next: one fewer than checkpoints.
    pub movements: Vec<Movement>,
    /// Movement that means nothing, as [`Movement::relative`]: that of a noisy copy of the last capture; see
    /// [`Projector::noise_floor`](crate::Projector::noise_floor).
    pub floor: f32,
}

impl HeadCheckpoints {
    /// Which head; `None` without a checkpoint.
    pub fn head(&self) -> Option<HeadId> {
        self.checkpoints.first().map(|checkpoint| checkpoint.head)
    }
}

/// Projects one head of several captures of the same sequences together, so that what moves from layout to layout
/// moved in the space (see [`Projector::fit_aligned`](crate::Projector::fit_aligned)). Each is judged by its own vectors. All
/// have the scale c of the last: with one of its own, each would move although its attention has not.
///
/// # Errors
/// [`Error::Head`](crate::Error::Head) with those of [`project_head`](super::project_head) and
/// [`Projector::fit_aligned`](crate::Projector::fit_aligned): [`Error::Shape`](crate::Error::Shape) if the captures
/// have other sequences.
pub fn project_head_checkpoints(
    captures: &[&Capture],
    head: HeadId,
    params: &AtlasParams,
    alignment: Alignment,
    progress: &dyn Progress,
) -> Result<HeadCheckpoints> {
    let atlases: Vec<Atlas<'_>> = captures.iter().map(|capture| Atlas::new(capture, params)).collect();
    let last = atlases
        .last()
        .map(|atlas| atlas.prepare(head).map_err(|error| atlas.named(head, error)));
    let scale = last.transpose()?.map(|last| last.normalization.scale);
    let prepared = atlases
        .iter()
        .map(|atlas| {
            atlas
                .prepare_with(head, scale)
                .map_err(|error| atlas.named(head, error))
        })
        .collect::<Result<Vec<_>>>()?;
    let joint = atlases
        .iter()
        .zip(&prepared)
        .map(|(atlas, prepared)| atlas.joint(head, &prepared.normalization))
        .collect::<Result<Vec<Array2<f32>>>>()?;
    let links = atlases
        .iter()
        .map(|atlas| atlas.links(head).map_err(|error| atlas.named(head, error)))
        .collect::<Result<Vec<_>>>()?;
    let frames: Vec<Points<'_>> = joint
        .iter()
        .zip(&links)
        .map(|(joint, links)| Points::from(joint.view()).with_links(links.as_ref()))
        .collect();
    let seed = atlases.first().map_or(params.seed, |atlas| atlas.seed(head));
    let projector = params.projector().seed(seed);
    let named = |error| match atlases.first() {
        Some(atlas) => atlas.named(head, error),
        None => error,
    };
    let aligned = projector.fit_aligned(&frames, alignment, progress).map_err(named)?;
    let floor = match frames.last() {
        Some(last) => {
            projector
                .noise_floor(last.reborrow(), alignment, progress)
                .map_err(named)?
                .relative
        }
        None => 0.0,
    };
    let checkpoints = atlases.iter().zip(&prepared).zip(aligned.frames);
    Ok(HeadCheckpoints {
        checkpoints: checkpoints
            .map(|((atlas, prepared), embedding)| atlas.judge(prepared, embedding, progress))
            .collect::<Result<_>>()?,
        movements: aligned.movements,
        floor,
    })
}

/// The same for every head of the first capture, one after the other, each on all threads; `on_head` gets each when
/// it is done. Heads that fail are returned, the others go on.
///
/// Progress is reported as stage [`HEADS`](stages::HEADS).
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled), and the first failure if all heads fail.
pub fn atlas_checkpoints(
    captures: &[&Capture],
    params: &AtlasParams,
    alignment: Alignment,
    on_head: &dyn Fn(HeadCheckpoints),
    progress: &dyn Progress,
) -> Result<Vec<HeadFailure>> {
    let heads: Vec<HeadId> = captures
        .first()
        .map_or_else(Vec::new, |first| first.model().heads().collect());
    let mut failures = Vec::new();
    for (done, &head) in heads.iter().enumerate() {
        progress::step(progress, stages::HEADS, done, heads.len())?;
        let within = |_: &str, _: usize, _: usize| progress.update(stages::HEADS, done, heads.len());
        match project_head_checkpoints(captures, head, params, alignment, &within) {
            Ok(found) => on_head(found),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => failures.push(HeadFailure::new(head, error)),
        }
    }
    // The last report is not a question any more.
    let _ = progress.update(stages::HEADS, heads.len(), heads.len());
    HeadFailure::unless_all(failures, heads.len())
}
