//! Every head of a capture: normalised, projected, judged; the best heads first, each handed over when it is done.
//!
//! A head is small work and there are many, so that with enough of them each thread takes whole heads; a head
//! alone uses all threads. Results do not depend on either: a head's random numbers come from its own name.

#[cfg(test)]
mod tests;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use attn_core::{Attention, Capture, HeadId, Progress, Side, progress};
use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Dims, DistanceCorrelation, Embedding, Error, HeadCloud, KeySet, Method, Metric, Normalization, Quality,
    QualityParams, ScaleChoice, SequenceRows, distance_correlation, project, quality, rng::Rng,
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

/// Projects one head, on all threads.
///
/// # Errors
/// [`Error::Core`] for a head the model does not have, the errors of [`project()`], [`Error::Cancelled`].
pub fn project_head(
    capture: &Capture,
    head: HeadId,
    params: &AtlasParams,
    progress: &dyn Progress,
) -> Result<HeadProjection, Error> {
    let atlas = Atlas::new(capture, params);
    atlas.finish(&atlas.prepare(head)?, progress)
}

/// Projects every head, those with the strongest distance-attention correlation first. `on_head` gets each head when
/// it is done, from the thread that made it.
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
    let heads: Vec<HeadId> = capture.model().heads().collect();
    Atlas::new(capture, params).run(&heads, on_head, progress)
}

/// A capture and the choice of its points.
struct Atlas<'a> {
    capture: &'a Capture,
    params: &'a AtlasParams,
    sequences: Vec<usize>,
}

/// What is cheap to know of a head, and decides when its turn comes.
struct Prepared {
    head: HeadId,
    normalization: Normalization,
    correlation: DistanceCorrelation,
    query_norm: f32,
    key_norm: f32,
}

/// Queries, keys and the rows of each sequence in them.
struct Rows<'a> {
    queries: CowArray<'a, f32, Ix2>,
    keys: CowArray<'a, f32, Ix2>,
    sequences: Vec<SequenceRows>,
}

impl<'a> Atlas<'a> {
    fn new(capture: &'a Capture, params: &'a AtlasParams) -> Self {
        Self {
            capture,
            params,
            sequences: sequence_sample(capture, params.max_points, params.seed),
        }
    }

    fn run(
        &self,
        heads: &[HeadId],
        on_head: &(dyn Fn(HeadProjection) + Sync),
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let done = AtomicUsize::new(0);
        let within = Within {
            outer: progress,
            done: &done,
            total: heads.len(),
        };
        let prepare = |&head: &HeadId| {
            progress::step(&within, "heads", 0, heads.len())?;
            self.prepare(head)
        };
        let mut queue: Vec<Prepared> = heads.par_iter().map(prepare).collect::<Result<_, _>>()?;
        let strength = |head: &Prepared| head.correlation.value.unwrap_or(f32::INFINITY);
        queue.sort_by(|a, b| strength(a).total_cmp(&strength(b)).then(a.head.cmp(&b.head)));

        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            while let Some(prepared) = queue.get(next.fetch_add(1, Relaxed)) {
                let made = self.finish(prepared, &within).and_then(|head| {
                    on_head(head);
                    let count = done.fetch_add(1, Relaxed) + 1;
                    Ok(progress::step(progress, "heads", count, heads.len())?)
                });
                if let Err(error) = made {
                    next.store(queue.len(), Relaxed); // the others find nothing left to do
                    failure
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(error);
                }
            }
        };
        let threads = rayon::current_num_threads();
        if threads > 1 && heads.len() >= threads {
            // A pool of one thread each: work inside a head must not wait by starting another head.
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
                        Ok(pool) => pool.install(work),
                        Err(_) => work(),
                    });
                }
            });
        } else {
            work();
        }
        failure
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    fn prepare(&self, head: HeadId) -> Result<Prepared, Error> {
        let rows = self.rows(head)?;
        let cloud = self.cloud(&rows, head)?;
        let normalization = Normalization::fit(&cloud, self.params.scale, self.seed(head));
        let correlation = distance_correlation(&cloud, normalization.apply(&cloud)?.view(), self.params.keys)?;
        let (query_norm, key_norm) = (mean_norm(cloud.queries()), mean_norm(cloud.keys()));
        Ok(Prepared {
            head,
            normalization,
            correlation,
            query_norm,
            key_norm,
        })
    }

    fn finish(&self, prepared: &Prepared, progress: &dyn Progress) -> Result<HeadProjection, Error> {
        let Prepared {
            head,
            correlation,
            query_norm,
            key_norm,
            ..
        } = *prepared;
        let rows = self.rows(head)?;
        let cloud = self.cloud(&rows, head)?;
        let joint = prepared.normalization.apply(&cloud)?;
        let queries = cloud.queries().nrows();
        let AtlasParams {
            method, dims, metric, ..
        } = *self.params;
        let embedding = project(joint.view(), &method, dims, metric, self.seed(head), progress)?;
        let params = QualityParams {
            seed: self.seed(head),
            ..QualityParams::default()
        }
        .clamped(joint.nrows());
        let quality = quality(joint.view(), embedding.points.view(), metric, &params, progress)?;
        let normalization = prepared.normalization.clone();
        Ok(HeadProjection {
            head,
            queries,
            normalization,
            correlation,
            query_norm,
            key_norm,
            embedding,
            quality,
        })
    }

    /// The seed of a head: the same whichever heads are made with it.
    fn seed(&self, head: HeadId) -> u64 {
        let stream = ((head.attention as u64) << 48) | ((head.layer as u64) << 24) | head.head as u64;
        Rng::new(self.params.seed, stream).next()
    }

    fn rows(&self, head: HeadId) -> Result<Rows<'a>, Error> {
        let sides = [head.attention.query_side(), head.attention.key_side()];
        let mut ends = [0, 0];
        let rows = |&sequence: &usize| {
            let [queries, keys] = [0, 1].map(|i| {
                let start = ends[i];
                ends[i] += self.capture.rows(sequence, sides[i]).len();
                start..ends[i]
            });
            SequenceRows { queries, keys }
        };
        let sequences = self.sequences.iter().map(rows).collect();
        let queries = self.gather(self.capture.queries(head)?, sides[0]);
        Ok(Rows {
            queries,
            keys: self.gather(self.capture.keys(head)?, sides[1]),
            sequences,
        })
    }

    /// The rows of the chosen sequences.
    fn gather(&self, all: CowArray<'a, f32, Ix2>, side: Side) -> CowArray<'a, f32, Ix2> {
        if self.sequences.len() == self.capture.sequences().len() {
            return all;
        }
        let ranges: Vec<_> = self
            .sequences
            .iter()
            .map(|&sequence| self.capture.rows(sequence, side))
            .collect();
        let mut out = Array2::zeros((ranges.iter().map(ExactSizeIterator::len).sum(), all.ncols()));
        let mut start = 0;
        for range in ranges {
            let end = start + range.len();
            out.slice_mut(s![start..end, ..]).assign(&all.slice(s![range, ..]));
            start = end;
        }
        out.into()
    }

    fn cloud<'r>(&self, rows: &'r Rows<'_>, head: HeadId) -> Result<HeadCloud<'r>, Error> {
        let info = self.capture.model().attention(head.attention);
        let mask = info
            .and_then(|info| info.layers.get(head.layer))
            .map(|layer| layer.mask);
        let mask = mask.ok_or_else(|| Error::parameter("head", "a head of the model", head))?;
        HeadCloud::new(rows.queries.view(), rows.keys.view(), &rows.sequences, mask)
    }
}

/// Mean length of the rows.
fn mean_norm(rows: ArrayView2<'_, f32>) -> f32 {
    let norm = |row: ndarray::ArrayView1<'_, f32>| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    (rows.axis_iter(Axis(0)).map(norm).sum::<f64>() / rows.nrows() as f64) as f32
}

/// Progress inside a head: says how many heads are done, and passes a cancellation on.
struct Within<'a> {
    outer: &'a dyn Progress,
    done: &'a AtomicUsize,
    total: usize,
}

impl Progress for Within<'_> {
    fn update(&self, _: &str, _: usize, _: usize) -> std::ops::ControlFlow<()> {
        self.outer.update("heads", self.done.load(Relaxed), self.total)
    }
}
