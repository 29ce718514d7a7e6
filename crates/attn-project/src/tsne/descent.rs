//! The descent of t-SNE: of one map, or of several that hold each other.
//!
//! Several are the same points in several states; the sum of their divergences and a penalty on movement from each to
//! the next is made small (Rauber, Falcão and Telea, *Visualizing time-dependent data using dynamic t-SNE*, EuroVis
//! 2016, equation 2).

use attn_core::{Progress, progress};
use ndarray::Array2;
use rayon::prelude::*;

use super::{Repulsion, TsneParams, TsneStep, affinity::Affinities, attraction::Attraction};
use crate::{Result, stages, start};

/// Points moved by one task.
const CHUNK: usize = 1024;
/// Iterations from one arrangement of the attraction to the next, which costs as much as an iteration.
const ARRANGED: usize = 50;
/// No point moves farther than this in one iteration.
const LONGEST_STEP: f32 = 5.0;

/// Velocity and gain of a point.
#[derive(Clone, Copy)]
struct Motion<const D: usize> {
    velocity: [f32; D],
    gain: [f32; D],
}

/// One map on its way.
struct Frame<'a, const D: usize, F> {
    affinities: &'a Affinities,
    attraction: Attraction<'a, D>,
    field: F,
    y: Vec<[f32; D]>,
    next: Vec<[f32; D]>,
    repulsion: Vec<[f32; D]>,
    motion: Vec<Motion<D>>,
}

impl<const D: usize, F: Repulsion<D>> Frame<'_, D, F> {
    /// Updates the repulsion; returns the sum over pairs.
    fn repel(&mut self) -> f64 {
        self.field
            .repulsion(&self.y, &mut self.repulsion)
            .max(f64::MIN_POSITIVE)
    }

    /// The map and its divergence.
    fn finish(mut self) -> (Array2<f32>, f64) {
        let sum = self.repel();
        let divergence = divergence(self.affinities, &self.y, sum);
        (start::matrix(&self.y), divergence)
    }
}

/// A map for each of `affinities`, all from one start, and its divergence. `strength` is that of the hold between a
/// map and the next: at 1 as strong as all attraction.
pub(super) fn descend<const D: usize, F: Repulsion<D>>(
    start: &Array2<f32>,
    affinities: &[Affinities],
    params: &TsneParams,
    strength: f32,
    field: impl Fn() -> F,
    progress: &dyn Progress,
) -> Result<Vec<(Array2<f32>, f64)>> {
    let n = start.nrows();
    let y: Vec<[f32; D]> = start::rows(start);
    let still = Motion {
        velocity: [0.0; D],
        gain: [1.0; D],
    };
    let mut frames: Vec<Frame<'_, D, F>> = affinities
        .iter()
        .map(|affinities| Frame {
            affinities,
            attraction: Attraction::new(affinities, &y),
            field: field(),
            next: y.clone(),
            repulsion: vec![[0.0; D]; n],
            motion: vec![still; n],
            y: y.clone(),
        })
        .collect();
    let total = params.exaggerated_iterations + params.iterations;
    for iteration in 0..total {
        progress::step(progress, stages::TSNE, iteration, total)?;
        let TsneStep {
            exaggeration,
            momentum,
            rate,
        } = TsneStep::at(iteration, params, n);
        // A point's affinities sum to about 1 / n: so much pulls a point at strength 1.
        let hold = exaggeration * strength / n as f32;
        for t in 0..frames.len() {
            let (before, rest) = frames.split_at_mut(t);
            let Some((frame, after)) = rest.split_first_mut() else {
                continue;
            };
            let away = (1.0 / frame.repel()) as f32;
            let others: Vec<&[[f32; D]]> = before
                .last()
                .into_iter()
                .chain(after.first())
                .map(|other| other.y.as_slice())
                .collect();
            let Frame {
                attraction,
                y,
                repulsion,
                next,
                motion,
                ..
            } = frame;
            if iteration > 0 && iteration % ARRANGED == 0 {
                attraction.arrange(y);
            }
            attraction.update(y);
            let forces = Forces {
                attraction,
                y,
                repulsion,
                exaggeration,
                away,
                others: &others,
                hold,
            };
            next.par_chunks_mut(CHUNK)
                .zip(motion.par_chunks_mut(CHUNK))
                .enumerate()
                .for_each(|(chunk, (next, motion))| {
                    for (i, (next, motion)) in (chunk * CHUNK..).zip(next.iter_mut().zip(motion)) {
                        *next = motion.advance(&y[i], forces.gradient(i), momentum, rate);
                    }
                });
        }
        // All frames have seen the others as they were; now they move.
        for frame in &mut frames {
            center(&mut frame.next);
            std::mem::swap(&mut frame.y, &mut frame.next);
        }
    }
    progress::step(progress, stages::TSNE, total, total)?;
    Ok(frames.into_iter().map(Frame::finish).collect())
}

/// What moves the points in one iteration.
struct Forces<'a, const D: usize> {
    attraction: &'a Attraction<'a, D>,
    y: &'a [[f32; D]],
    repulsion: &'a [[f32; D]],
    exaggeration: f32,
    /// What the repulsions are multiplied by: one over the sum over pairs.
    away: f32,
    /// The maps of the frames before and after, and how strongly each holds a point at its place there.
    others: &'a [&'a [[f32; D]]],
    hold: f32,
}

impl<const D: usize> Forces<'_, D> {
    /// The gradient of point `i`.
    fn gradient(&self, i: usize) -> [f32; D] {
        let pull = self.attraction.of(i);
        let mut gradient = [0.0; D];
        for c in 0..D {
            gradient[c] = self.exaggeration * pull[c] - self.away * self.repulsion[i][c];
        }
        for other in self.others {
            for c in 0..D {
                gradient[c] += self.hold * (self.y[i][c] - other[i][c]);
            }
        }
        gradient
    }
}

impl<const D: usize> Motion<D> {
    /// Moves by momentum and gradient; the gain of a coordinate grows while its direction holds (Jacobs 1988).
    #[inline(always)]
    fn advance(&mut self, from: &[f32; D], gradient: [f32; D], momentum: f32, rate: f32) -> [f32; D] {
        for c in 0..D {
            let turned = (gradient[c] > 0.0) == (self.velocity[c] > 0.0);
            self.gain[c] = if turned {
                (self.gain[c] * 0.8).max(0.01)
            } else {
                self.gain[c] + 0.2
            };
            let velocity = momentum * self.velocity[c] - rate * self.gain[c] * gradient[c];
            self.velocity[c] = velocity.clamp(-LONGEST_STEP, LONGEST_STEP);
        }
        let length = self.velocity.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > LONGEST_STEP {
            self.velocity.iter_mut().for_each(|v| *v *= LONGEST_STEP / length);
        }
        std::array::from_fn(|c| from[c] + self.velocity[c])
    }
}

/// Shifts the mean to the origin.
pub(super) fn center<const D: usize>(y: &mut [[f32; D]]) {
    let mut mean = [0.0f64; D];
    for point in &*y {
        (0..D).for_each(|c| mean[c] += f64::from(point[c]));
    }
    let mean = mean.map(|m| (m / y.len() as f64) as f32);
    y.iter_mut().for_each(|point| (0..D).for_each(|c| point[c] -= mean[c]));
}

/// `Σ p ln (p / q)` with `q = 1 / ((1 + |y_i - y_j|²) sum)`.
pub(super) fn divergence<const D: usize>(affinities: &Affinities, y: &[[f32; D]], sum: f64) -> f64 {
    let log_sum = sum.ln();
    let rows: Vec<f64> = (0..y.len())
        .into_par_iter()
        .map(|i| {
            let (columns, values) = affinities.row(i);
            let term = |(&j, &p): (&u32, &f32)| {
                let squared: f64 = (0..D).map(|c| f64::from(y[i][c] - y[j as usize][c]).powi(2)).sum();
                let p = f64::from(p);
                if p > 0.0 {
                    p * (p.ln() + squared.ln_1p() + log_sum)
                } else {
                    0.0
                }
            };
            columns.iter().zip(values).map(term).sum()
        })
        .collect();
    rows.iter().sum()
}
