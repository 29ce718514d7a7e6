//! Atlas: every head of a capture normalized, projected and judged; the best heads first, each handed over when it is
//! done.
//!
//! A head is small work and there are many, so that with enough of them each thread takes whole heads; a head alone,
//! and the first, uses all threads. Results do not depend on either: a head's random numbers come from its own name.

mod cache;
mod checkpoints;
mod failure;
mod file;
mod head;
mod run;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod tests;

use attn_core::{Attention, Capture, HeadId, Progress};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

pub use self::{
    cache::AtlasCache,
    checkpoints::{HeadCheckpoints, atlas_checkpoints, project_head_checkpoints},
    failure::HeadFailure,
    run::{AtlasOptions, Priority},
};
use self::{head::Atlas, run::run};
use crate::{
    Dims, Embedding, Method, Metric, Projector, Result,
    head::{DistanceCorrelation, KeySet, Normalization, PlaneScore, ScaleChoice},
    method::Links,
    quality::Quality,
    rng::Rng,
    tsne::AttentionTsne,
};

/// How the heads of a capture are projected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AtlasParams {
    /// How points are laid out. Default: [`AttentionTsne`], which lays more queries next to the key that they attend to most
    /// than t-SNE does.
    pub method: Method,
    /// Dimensions of the layout. Default: two.
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
            method: AttentionTsne::default().into(),
            dims: Dims::default(),
            metric: Metric::COSINE,
            seed: 0,
            scale: ScaleChoice::default(),
            keys: KeySet::default(),
            max_points: Some(20_000),
        }
    }
}

impl AtlasParams {
    /// What lays out the points of a head, but for the seed, of which every head has its own.
    pub fn projector(&self) -> Projector {
        Projector {
            method: self.method.clone(),
            dims: self.dims,
            metric: self.metric.clone(),
            seed: self.seed,
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
    /// Whether near means attended in the full space. What the layout shows of that, [`plane`](Self::plane) says.
    pub correlation: DistanceCorrelation,
    /// Whether near means attended in the layout, which is what a reader sees.
    pub plane: PlaneScore,
    /// Mean length of its queries before normalization.
    pub query_norm: f32,
    /// Mean length of its keys before normalization.
    pub key_norm: f32,
    /// Coordinates.
    pub embedding: Embedding,
    /// How far to trust the layout; measured with the metric of the projection, and with fewer neighbors than usual if
    /// there are few points. `None` below three points, which have no neighborhoods to keep, and for drafts.
    pub quality: Option<Quality>,
    /// Whether this is a draft by PCA, shown until the method's layout is done.
    pub draft: bool,
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
    /// `[queries + keys, head_dim]`: normalized queries, then normalized keys, in the order of
    /// [`HeadProjection::embedding`].
    pub points: Array2<f32>,
    /// Number of queries.
    pub queries: usize,
    /// Brings other queries and keys of this head, such as those of a new sentence, into the same space.
    pub normalization: Normalization,
}

/// The normalized points of one head, without projecting them.
///
/// With them a host re-projects a lasso's points ([`Projector::fit_selection`]) and places new sentences into an
/// existing layout ([`FittedProjection::new`](crate::FittedProjection::new)).
///
/// # Errors
/// [`Error::Head`](crate::Error::Head) for a head the model does not have or a capture that cannot be read.
pub fn head_points(capture: &Capture, head: HeadId, params: &AtlasParams) -> Result<HeadPoints> {
    let atlas = Atlas::new(capture, params);
    atlas.points(head).map_err(|error| atlas.named(head, error))
}

/// The normalized points of a head that is projected already, `[queries + keys, head_dim]`: what [`head_points`] gives,
/// without looking for the normalization again.
///
/// # Errors
/// As [`head_points`].
pub fn projected_points(capture: &Capture, projection: &HeadProjection, params: &AtlasParams) -> Result<Array2<f32>> {
    let atlas = Atlas::new(capture, params);
    let points = atlas.joint(projection.head, &projection.normalization);
    points.map_err(|error| atlas.named(projection.head, error))
}

/// Each query of a head linked to the keys it attends to, among the points of [`head_points`]; `None` if the method of the
/// parameters wants no links. For projecting a selection: [`Points::with_links`](crate::Points::with_links).
///
/// # Errors
/// As [`head_points`].
pub fn head_links(capture: &Capture, head: HeadId, params: &AtlasParams) -> Result<Option<Links>> {
    let atlas = Atlas::new(capture, params);
    atlas.links(head).map_err(|error| atlas.named(head, error))
}

/// Projects one head, on all threads.
///
/// # Errors
/// [`Error::Head`](crate::Error::Head) with what is wrong: a head the model does not have, vectors that are not
/// finite, the errors of [`Projector::fit`], a cancellation.
pub fn project_head(
    capture: &Capture,
    head: HeadId,
    params: &AtlasParams,
    progress: &dyn Progress,
) -> Result<HeadProjection> {
    let atlas = Atlas::new(capture, params);
    let made = atlas
        .prepare(head)
        .and_then(|prepared| atlas.finish(&prepared, None, progress));
    made.map_err(|error| atlas.named(head, error))
}

/// The draft of a head: normalized as by [`project_head`], laid out by PCA, not judged. It takes milliseconds where the
/// layout takes seconds.
///
/// # Errors
/// As [`project_head`].
pub fn draft_head(
    capture: &Capture,
    head: HeadId,
    params: &AtlasParams,
    progress: &dyn Progress,
) -> Result<HeadProjection> {
    let atlas = Atlas::new(capture, params);
    let made = atlas
        .prepare(head)
        .and_then(|prepared| atlas.draft(&prepared, progress));
    made.map_err(|error| atlas.named(head, error))
}

/// Projects every head, or those of the options: one at once and on all threads, so that there is something to see,
/// then those that the options ask for first, then those with the strongest distance-attention correlation. `on_head`
/// gets each head when it is done, from the thread that made it. With [`AtlasOptions::drafts`] it first gets a draft of
/// every head.
///
/// A head that fails ends nothing: it is among the failures that are returned, and the others go on. Heads in the
/// cache are handed over at once, so that a run that was stopped goes on where it was. Without threads (as in a
/// browser) everything runs on the calling thread, one head after the other.
///
/// Progress is reported as stage [`HEADS`](crate::stages::HEADS).
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled); the first failure, an [`Error::Head`](crate::Error::Head), if all
/// heads fail; an [`Error::Core`](crate::Error::Core) if the cache could not be written to, after all heads were made
/// and handed over.
pub fn atlas(
    capture: &Capture,
    params: &AtlasParams,
    options: AtlasOptions<'_>,
    on_head: &(dyn Fn(HeadProjection) + Sync),
    progress: &dyn Progress,
) -> Result<Vec<HeadFailure>> {
    run(&Atlas::new(capture, params), options, on_head, progress)
}
