//! Multidimensional scaling: distances of the layout are as near as can be to those of the points, small and large
//! alike.
//!
//! For clouds as a [`ProjectionMethod`]; for things of which only distances are known, such as
//! heads by their similarity, as a [`DistanceMap`].

mod distances;

use attn_core::{Progress, progress};
use ndarray::Array2;
use rayon::prelude::*;

pub use self::distances::DistanceMap;
use crate::{
    Embedding, Error, Metric, ProjectionMethod, Result,
    method::FitInput,
    place::{NewPoint, Placement},
    stages,
};

/// Diagnostic of an embedding: [`DistanceMap::stress`].
pub const STRESS: &str = "stress";

/// Raised whenever coordinates change, so that layouts kept from before are made again.
const REVISION: u32 = 1;

/// Steps that settle a new point.
const STEPS: usize = 100;

/// The method: metric scaling by all pairs, up to [`Mds::MOST_POINTS`]. No parameters.
///
/// Not for large clouds, for which time and memory grow with the square of the points, and not for groups in many
/// dimensions, which all lie about equally far from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mds;

impl Mds {
    /// Most points that the method takes: their distances fill 134 MB.
    pub const MOST_POINTS: usize = 4096;
}

impl ProjectionMethod for Mds {
    fn name(&self) -> &str {
        "MDS"
    }

    fn key(&self) -> &str {
        "mds"
    }

    fn revisions(&self) -> Vec<u32> {
        vec![REVISION]
    }

    fn fit(&self, input: &FitInput<'_>, progress: &dyn Progress) -> Result<Embedding> {
        if input.points.nrows() > Self::MOST_POINTS {
            let expected = format!("at most {} for MDS", Self::MOST_POINTS);
            return Err(Error::parameter("points", expected, input.points.nrows()));
        }
        progress::step(progress, stages::MDS, 0, 1)?;
        let map = DistanceMap::fit(distances(input).view(), input.dims, progress)?;
        Ok(Embedding::new(map.points).report(STRESS, [map.stress]))
    }

    fn placement(
        &self,
        input: &FitInput<'_>,
        embedding: &Embedding,
        _: &dyn Progress,
    ) -> Result<Option<Box<dyn Placement>>> {
        debug_assert_eq!(input.points.nrows(), embedding.points.nrows());
        Ok(Some(Box::new(Majorized {
            old: embedding.points.mapv(f64::from),
        })))
    }
}

/// Distances of all pairs.
fn distances(input: &FitInput<'_>) -> Array2<f32> {
    let points = input.points.as_standard_layout();
    let (n, width) = points.dim();
    let flat = points.as_slice().unwrap_or_default();
    let row = |i: usize| &flat[i * width..(i + 1) * width];
    let metric: &Metric = input.metric;
    let mut out = Array2::zeros((n, n));
    let rows = out.as_slice_mut().unwrap_or_default().par_chunks_mut(n.max(1));
    rows.enumerate().for_each(|(i, out)| {
        for (j, out) in out.iter_mut().enumerate() {
            // Each pair from the same side, so that both distances have the same bits.
            *out = if i == j {
                0.0
            } else {
                metric.distance(row(i.min(j)), row(i.max(j)))
            };
        }
    });
    out
}

/// A new point goes where its distances to all old points, which stay, are least wrong: the steps of the method for one
/// point alone, from the mean of its three nearest.
#[derive(Debug)]
struct Majorized {
    old: Array2<f64>,
}

impl Placement for Majorized {
    fn neighbors(&self) -> usize {
        self.old.nrows()
    }

    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()> {
        let near = point.neighbors.len().clamp(1, 3);
        let mut place = vec![0.0f64; out.len()];
        for &j in point.neighbors.iter().take(near) {
            let old = self.old.row(j as usize);
            place.iter_mut().zip(old).for_each(|(x, old)| *x += old / near as f64);
        }
        for _ in 0..STEPS {
            let mut next = vec![0.0f64; out.len()];
            for (&j, &distance) in point.neighbors.iter().zip(point.distances) {
                let old = self.old.row(j as usize);
                let apart = place
                    .iter()
                    .zip(old)
                    .map(|(x, old)| (x - old).powi(2))
                    .sum::<f64>()
                    .sqrt();
                // Points on each other have no direction to part in.
                let ratio = if apart > 0.0 { f64::from(distance) / apart } else { 0.0 };
                for ((next, x), old) in next.iter_mut().zip(&place).zip(old) {
                    *next += old + ratio * (x - old);
                }
            }
            next.iter_mut().for_each(|x| *x /= point.neighbors.len().max(1) as f64);
            place = next;
        }
        out.iter_mut().zip(place).for_each(|(out, x)| *out = x as f32);
        Ok(())
    }
}
