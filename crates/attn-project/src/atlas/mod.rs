//! Every head of a capture: normalised, projected, judged; the best heads first, each handed over when it is done.
//!
//! A head is small work and there are many, so that with enough of them each thread takes whole heads; a head
//! alone, and the first, uses all threads. Results do not depend on either: a head's random numbers come from its own name.

mod cache;
mod file;
mod head;
mod run;
#[cfg(test)]
mod run_tests;
mod steps;
#[cfg(test)]
mod tests;

use attn_core::{Attention, Capture, HeadId, Progress};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

pub use self::{
    cache::AtlasCache,
    run::{AtlasOptions, Priority},
    steps::{HeadSteps, atlas_steps, project_head_steps},
};
use self::{head::Atlas, run::run};
use crate::{
    Dims, DistanceCorrelation, Embedding, Error, KeySet, Method, Metric, Normalization, Quality, ScaleChoice, rng::Rng,
};

/// How the heads of a capture are projected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AtlasParams {
    /// How points are laid out. Default: t-SNE.
    pub method: Method,
    /// Dimensions of the picture. Default: two.
    pub dims: Dims,
    /// What "near" means. Default: cosine, as in AttentionViz; the distance-attention correlation is measured with it.
    pub metric: Metric,
    /// Same seed, same coordinates, on any number of threads.
    pub seed: u64,
    /// How queries and keys are balanced.
    pub scale: ScaleChoice,
    /// Keys that count in the distance-attention correlation.
    pub keys: KeySet,
    /// Most points of a head, queries and keys together; see [`sequence_sample`]. Default 20,000: enough for
    /// structure to show, seconds a head.
    pub max_points: Option<usize>,
}

impl Default for AtlasParams {
    fn default() -> Self {
        Self {
            method: Method::default(),
            dims: Dims::default(),
            metric: Metric::Cosine,
            seed: 0,
            scale: ScaleChoice::default(),
            keys: KeySet::default(),
            max_points: Some(20_000),
        }
    }
}

/// One head, projected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadProjection {
    /// Which head.
    pub head: HeadId,
    /// Number of queries, which are the first points; keys follow. Both go sequence by sequence, in the order of
    /// [`sequence_sample`], token by token.
    pub queries: usize,
    /// How its queries and keys were brought together.
    pub normalization: Normalization,
    /// Whether near means attended.
    pub correlation: DistanceCorrelation,
    /// Mean length of its queries before normalisation.
    pub query_norm: f32,
    /// Mean length of its keys before normalisation.
    pub key_norm: f32,
    /// Coordinates.
    pub embedding: Embedding,
    /// How far to trust the picture; measured with the metric of the projection, and with fewer neighbours than
    /// usual if there are few points.
    pub quality: Quality,
}

/// The sequences whose tokens become points, ascending: all, or a random choice of whole sequences (at least one)
/// that together have no more than `max_points` queries and keys.
pub fn sequence_sample(capture: &Capture, max_points: Option<usize>, seed: u64) -> Vec<usize> {
    let points = |sequence: usize| {
        let of = |attention: Attention| {
            capture.rows(sequence, attention.query_side()).len() + capture.rows(sequence, attention.key_side()).len()
        };
        capture
            .model()
            .attentions
            .iter()
            .map(|info| of(info.attention))
            .max()
            .unwrap_or(0)
    };
    let count = capture.sequences().len();
    let most = max_points.unwrap_or(usize::MAX);
    if (0..count).map(points).sum::<usize>() <= most {
        return (0..count).collect();
    }
    let mut rng = Rng::new(seed, u64::MAX);
    let mut order: Vec<(u64, usize)> = (0..count).map(|sequence| (rng.next(), sequence)).collect();
    order.sort_unstable();
    let (mut chosen, mut used) = (Vec::new(), 0);
    for (_, sequence) in order {
        if chosen.is_empty() || used + points(sequence) <= most {
            used += points(sequence);
            chosen.push(sequence);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// The points of one head as they are projected: what a selection is taken from and what new points are placed among.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadPoints {
    /// Which head.
    pub head: HeadId,
    /// `[queries + keys, head_dim]`: normalised queries, then normalised keys, in the order of
    /// [`HeadProjection::embedding`].
    pub points: Array2<f32>,
    /// Number of queries.
    pub queries: usize,
    /// Brings other queries and keys of this head, such as those of a sentence just typed, into the same space.
    pub normalization: Normalization,
}

/// The normalised points of one head, without projecting them.
///
/// With them a host re-projects a lasso's points ([`project_selection`](crate::project_selection)) and places new
/// sentences into a picture that is there ([`FittedProjection::new`](crate::FittedProjection::new)).
///
/// # Errors
/// [`Error::Core`] for a head the model does not have or a capture that cannot be read.
pub fn head_points(capture: &Capture, head: HeadId, params: &AtlasParams) -> Result<HeadPoints, Error> {
    Atlas::new(capture, params).points(head)
}

/// The normalised points of a head that is projected already, `[queries + keys, head_dim]`: what [`head_points`] gives, without looking
/// for the normalisation again.
///
/// # Errors
/// As [`head_points`].
pub fn projected_points(
    capture: &Capture,
    projection: &HeadProjection,
    params: &AtlasParams,
) -> Result<Array2<f32>, Error> {
    Atlas::new(capture, params).joint(projection.head, &projection.normalization)
}

/// Projects one head, on all threads.
///
/// # Errors
/// [`Error::Core`] for a head the model does not have, the errors of [`project()`](crate::project()),
/// [`Error::Cancelled`].
pub fn project_head(
    capture: &Capture,
    head: HeadId,
    params: &AtlasParams,
    progress: &dyn Progress,
) -> Result<HeadProjection, Error> {
    let atlas = Atlas::new(capture, params);
    atlas.finish(&atlas.prepare(head)?, progress)
}

/// Projects every head: one at once and on all threads, so that there is something to see, then those with the strongest
/// distance-attention correlation first. `on_head` gets each head when it is done, from the thread that made it.
///
/// Progress is reported as stage `heads`.
///
/// # Errors
/// As [`project_head`]; the first error stops the others.
pub fn atlas(
    capture: &Capture,
    params: &AtlasParams,
    on_head: &(dyn Fn(HeadProjection) + Sync),
    progress: &dyn Progress,
) -> Result<(), Error> {
    atlas_with(capture, params, AtlasOptions::default(), on_head, progress)
}

/// The same for some heads, with those a person looks at first, and with what was computed before.
///
/// Heads in the cache are handed over at once, so that a run that was stopped goes on where it was. Without threads (as
/// in a browser) everything runs on the calling thread, one head after the other.
///
/// # Errors
/// As [`atlas()`]. A cache that cannot be written to stops nothing: all heads are made and handed over, then the first
/// such error is returned.
pub fn atlas_with(
    capture: &Capture,
    params: &AtlasParams,
    options: AtlasOptions<'_>,
    on_head: &(dyn Fn(HeadProjection) + Sync),
    progress: &dyn Progress,
) -> Result<(), Error> {
    run(&Atlas::new(capture, params), options, on_head, progress)
}
