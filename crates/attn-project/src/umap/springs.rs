//! One epoch of UMAP: every point pulled and pushed by its own edges, one after the other, from where the others were
//! when the epoch began.
//!
//! A point's steps wait for each other, and their arithmetic is long: alone, a point leaves most of the processor idle.
//! So sixteen points take their steps together, in the lanes of vector registers. Points that are pulled about equally
//! often share a group, so that few lanes wait for others.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{LONGEST_STEP, UmapParams, curve::Curve, graph::Graph};
use crate::rng::Lanes;

/// Points that move together.
const LANES: usize = 32;
/// Groups of one task.
const GROUPS: usize = 8;
/// Instead of an edge's other end, where a point has no more edges.
const NOBODY: u32 = u32::MAX;

pub(super) struct Springs<'a> {
    graph: &'a Graph,
    curve: Curve,
    /// All points, those pulled most often first.
    order: Vec<u32>,
    /// Largest weight: such edges pull in every epoch, weaker ones in proportion.
    strongest: f32,
    negative_samples: usize,
    seed: u64,
}

impl<'a> Springs<'a> {
    pub(super) fn new(graph: &'a Graph, params: &UmapParams, seed: u64) -> Self {
        let pulls: Vec<f32> = (0..graph.len()).map(|i| graph.row(i).1.iter().sum()).collect();
        let mut order: Vec<u32> = (0..graph.len() as u32).collect();
        order.sort_by(|&a, &b| pulls[b as usize].total_cmp(&pulls[a as usize]));
        Self {
            graph,
            curve: Curve::new(params.min_dist, params.spread),
            order,
            strongest: graph.strongest(),
            negative_samples: params.negative_samples,
            seed,
        }
    }

    /// Where all points go in one epoch.
    pub(super) fn pull<const D: usize>(&self, y: &[[f32; D]], epoch: usize, rate: f32) -> Vec<[f32; D]> {
        let mut ordered = vec![[0.0; D]; y.len()];
        self.order
            .par_chunks(GROUPS * LANES)
            .zip(ordered.par_chunks_mut(GROUPS * LANES))
            .for_each(|(points, out)| {
                pulp::Arch::new().dispatch(Task {
                    springs: self,
                    y,
                    points,
                    epoch,
                    rate,
                    out,
                });
            });
        let mut moved = vec![[0.0; D]; y.len()];
        for (&i, point) in self.order.iter().zip(ordered) {
            moved[i as usize] = point;
        }
        moved
    }

    /// Writes down `[pull, lane]` which other ends pull at some points in an epoch; returns how many pulls there are.
    #[inline(always)]
    fn schedule(&self, points: &[u32], epoch: usize, out: &mut Vec<u32>) -> usize {
        let most = points.iter().map(|&i| self.graph.row(i as usize).0.len()).max();
        out.clear();
        out.resize((most.unwrap_or(0) + 1) * LANES, NOBODY);
        let (before, after) = (epoch as f32 / self.strongest, (epoch + 1) as f32 / self.strongest);
        let mut pulls = 0;
        for (lane, &i) in points.iter().enumerate() {
            let (columns, weights) = self.graph.row(i as usize);
            let mut count = 0;
            for (columns, weights) in columns.chunks(LANES).zip(weights.chunks(LANES)) {
                let mut ends = [NOBODY; LANES];
                for ((end, &j), &weight) in ends.iter_mut().zip(columns).zip(weights) {
                    *end = if turns(after * weight) == turns(before * weight) {
                        NOBODY
                    } else {
                        j
                    };
                }
                // Written in any case, and kept if the edge pulls: an unpredictable branch costs more.
                for &end in &ends[..columns.len()] {
                    out[count * LANES + lane] = end;
                    count += usize::from(end != NOBODY);
                }
            }
            pulls = pulls.max(count);
        }
        pulls
    }
}

/// Rounded down, plus a number beside which no digits after the point are left: unlike a conversion to an integer, this
/// becomes a vector instruction. What is nearly an integer counts as one.
#[inline(always)]
fn turns(x: f32) -> f32 {
    (x - 0.4999) + 12_582_912.0
}

/// Some points and where they go.
struct Task<'a, const D: usize> {
    springs: &'a Springs<'a>,
    y: &'a [[f32; D]],
    points: &'a [u32],
    epoch: usize,
    rate: f32,
    out: &'a mut [[f32; D]],
}

impl<const D: usize> WithSimd for Task<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            springs,
            y,
            epoch,
            rate,
            ..
        } = self;
        let curve = springs.curve;
        let mut schedule = Vec::new();
        for (points, out) in self.points.chunks(LANES).zip(self.out.chunks_mut(LANES)) {
            let pulls = springs.schedule(points, epoch, &mut schedule);
            let mut own = [NOBODY; LANES];
            let mut streams = [0; LANES];
            let mut at = [[0.0; LANES]; D];
            for (lane, &i) in points.iter().enumerate() {
                own[lane] = i;
                streams[lane] = (epoch * y.len() + i as usize) as u64 + 1;
                for c in 0..D {
                    at[c][lane] = y[i as usize][c];
                }
            }
            let mut draws = Lanes::new(springs.seed, &streams);
            for ends in schedule.as_chunks::<LANES>().0.iter().take(pulls) {
                let mut rates = [0.0; LANES];
                let mut other = [[0.0; LANES]; D];
                for lane in 0..LANES {
                    if ends[lane] != NOBODY {
                        rates[lane] = rate;
                        for c in 0..D {
                            other[c][lane] = y[ends[lane] as usize][c];
                        }
                    }
                }
                // The edge pulls twice, once from each side, and at both ends.
                let pulled = pull(curve, &at, &other, &rates);
                for c in 0..D {
                    for lane in 0..LANES {
                        at[c][lane] += pulled[c][lane];
                        other[c][lane] -= pulled[c][lane];
                    }
                }
                // Pushed away from some others, from all of them at once: one after the other makes no better layout.
                let from = at;
                for _ in 0..springs.negative_samples {
                    let some = draws.below(y.len() as u32);
                    let mut away = [[0.0; LANES]; D];
                    for lane in 0..LANES {
                        for c in 0..D {
                            away[c][lane] = y[some[lane] as usize][c];
                        }
                    }
                    let mut pushed = [0.0; LANES];
                    for lane in 0..LANES {
                        pushed[lane] = if some[lane] == own[lane] { 0.0 } else { rates[lane] };
                    }
                    push(curve, &mut at, &from, &away, &pushed);
                }
                let pulled = pull(curve, &at, &other, &rates);
                for c in 0..D {
                    for lane in 0..LANES {
                        at[c][lane] += pulled[c][lane];
                    }
                }
            }
            for (lane, out) in out.iter_mut().enumerate() {
                for c in 0..D {
                    out[c] = at[c][lane];
                }
            }
        }
    }
}

/// How far points move towards others.
#[inline(always)]
fn pull<const D: usize>(
    curve: Curve,
    at: &[[f32; LANES]; D],
    other: &[[f32; LANES]; D],
    rates: &[f32; LANES],
) -> [[f32; LANES]; D] {
    let mut squared = [0.0; LANES];
    for c in 0..D {
        for lane in 0..LANES {
            let difference = at[c][lane] - other[c][lane];
            squared[lane] += difference * difference;
        }
    }
    let mut gradient = [0.0; LANES];
    for lane in 0..LANES {
        gradient[lane] = curve.attraction(squared[lane]);
    }
    let mut moved = [[0.0; LANES]; D];
    for c in 0..D {
        for lane in 0..LANES {
            let step = gradient[lane] * (at[c][lane] - other[c][lane]);
            moved[c][lane] = rates[lane] * step.clamp(-LONGEST_STEP, LONGEST_STEP);
        }
    }
    moved
}

/// Moves points by what pushes them, where they were, away from others.
#[inline(always)]
fn push<const D: usize>(
    curve: Curve,
    at: &mut [[f32; LANES]; D],
    from: &[[f32; LANES]; D],
    other: &[[f32; LANES]; D],
    rates: &[f32; LANES],
) {
    let mut squared = [0.0; LANES];
    for c in 0..D {
        for lane in 0..LANES {
            let difference = from[c][lane] - other[c][lane];
            squared[lane] += difference * difference;
        }
    }
    let mut gradient = [0.0; LANES];
    for lane in 0..LANES {
        gradient[lane] = curve.repulsion(squared[lane]);
    }
    for c in 0..D {
        for lane in 0..LANES {
            let step = gradient[lane] * (from[c][lane] - other[c][lane]);
            at[c][lane] += rates[lane] * step.clamp(-LONGEST_STEP, LONGEST_STEP);
        }
    }
}
