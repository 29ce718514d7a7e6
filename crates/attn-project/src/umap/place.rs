//! A new point in a UMAP layout (McInnes, Healy and Melville, arXiv 1802.03426; `transform` of umap-learn): joined to
//! its nearest old points by fuzzy memberships, started at their weighted mean, and moved by the springs and random
//! pushes of the method, at a quarter of its rate, while the old points stay.

use ndarray::Array2;

use super::{UmapParams, curve::Curve, graph::memberships, step};
use crate::{
    Result,
    place::{NewPoint, Placement},
    rng::Rng,
    start,
};

/// Passes over the edges of a new point; a third of the epochs of a fit at the most, as in umap-learn.
const EPOCHS: usize = 100;
/// First rate of movement.
const RATE: f32 = 0.25;

/// Old coordinates, and what joins a new point to them.
#[derive(Debug)]
pub(super) struct Joined<const D: usize> {
    old: Vec<[f32; D]>,
    curve: Curve,
    neighbors: usize,
    epochs: usize,
    negative_samples: usize,
}

impl<const D: usize> Joined<D> {
    pub(super) fn new(old: &Array2<f32>, params: &UmapParams) -> Self {
        let old: Vec<[f32; D]> = start::rows(old);
        Self {
            curve: Curve::new(params.min_dist, params.spread),
            neighbors: params.neighbors.clamp(1, old.len()),
            epochs: params.epochs.map_or(EPOCHS, |epochs| epochs.div_ceil(3).min(EPOCHS)),
            negative_samples: params.negative_samples,
            old,
        }
    }

    /// The place of a point with these nearest old points; `name` chooses its random numbers.
    fn settle(&self, near: &[u32], distances: &[f32], name: u64) -> [f32; D] {
        let mean = distances.iter().map(|&d| f64::from(d)).sum::<f64>() / distances.len().max(1) as f64;
        let weights = memberships(distances, mean);
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let mut start = [0.0f64; D];
        for (&j, &weight) in near.iter().zip(&weights) {
            let share = f64::from(weight) / sum;
            (0..D).for_each(|c| start[c] += share * f64::from(self.old[j as usize][c]));
        }
        let mut point = start.map(|x| x as f32);
        let strongest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let mut rng = Rng::new(name, 0);
        for epoch in 0..self.epochs {
            let rate = RATE * (1.0 - epoch as f32 / self.epochs as f32);
            for (&j, &weight) in near.iter().zip(&weights) {
                let share = weight / strongest;
                if ((epoch + 1) as f32 * share) as u32 == (epoch as f32 * share) as u32 {
                    continue;
                }
                step(&mut point, &self.old[j as usize], rate, |squared| {
                    self.curve.attraction(squared)
                });
                for _ in 0..self.negative_samples {
                    let other = &self.old[rng.below(self.old.len())];
                    step(&mut point, other, rate, |squared| self.curve.repulsion(squared));
                }
            }
        }
        point
    }
}

impl<const D: usize> Placement for Joined<D> {
    fn neighbors(&self) -> usize {
        self.neighbors
    }

    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.settle(point.neighbors, point.distances, point.seed));
        Ok(())
    }
}
