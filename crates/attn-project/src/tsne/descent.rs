//! The descent of t-SNE: of one map, or of several that hold each other.
//!
//! Several are the same points in several states; the sum of their divergences and a penalty on movement from each to
//! the next is made small (Rauber, Falcão and Telea, *Visualizing time-dependent data using dynamic t-SNE*, EuroVis
//! 2016, equation 2).

use attn_core::{Progress, progress};
use ndarray::Array2;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Repulsion, TsneParams, TsneStep,
    affinity::{self, Affinities},
};
use crate::{Result, stages, start};

/// Points moved by one task.
const CHUNK: usize = 256;
/// Numbers of the widest vector.
const WIDEST: usize = affinity::PADDING;
/// As many ones as numbers of the widest vector, then as many zeros.
const WITHIN: [f32; 2 * WIDEST] = {
    let mut within = [0.0; 2 * WIDEST];
    let mut lane = 0;
    while lane < WIDEST {
        within[lane] = 1.0;
        lane += 1;
    }
    within
};
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
                affinities,
                y,
                repulsion,
                next,
                motion,
                ..
            } = frame;
            next.par_chunks_mut(CHUNK)
                .zip(motion.par_chunks_mut(CHUNK))
                .enumerate()
                .for_each(|(chunk, (next, motion))| {
                    pulp::Arch::new().dispatch(Move {
                        affinities,
                        y,
                        repulsion,
                        first: chunk * CHUNK,
                        next,
                        motion,
                        exaggeration,
                        away,
                        momentum,
                        rate,
                        others: &others,
                        hold,
                    });
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

/// One iteration of the points `first..`: compiled for the vector instructions that the processor turns out to have.
struct Move<'a, const D: usize> {
    affinities: &'a Affinities,
    y: &'a [[f32; D]],
    repulsion: &'a [[f32; D]],
    first: usize,
    next: &'a mut [[f32; D]],
    motion: &'a mut [Motion<D>],
    exaggeration: f32,
    /// What the repulsions are multiplied by: one over the sum over pairs.
    away: f32,
    momentum: f32,
    rate: f32,
    /// The maps of the frames before and after, and how strongly each holds a point at its place there.
    others: &'a [&'a [[f32; D]]],
    hold: f32,
}

impl<const D: usize> WithSimd for Move<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let slots = slots::<S, D>(simd);
        let mut others = [[0.0f32; D]; GATHERED];
        for (offset, (next, motion)) in self.next.iter_mut().zip(self.motion).enumerate() {
            let i = self.first + offset;
            let pull = attraction(simd, self.affinities, self.y, i, &slots, &mut others);
            let mut gradient = [0.0; D];
            for c in 0..D {
                gradient[c] = self.exaggeration * pull[c] - self.away * self.repulsion[i][c];
            }
            for other in self.others {
                for c in 0..D {
                    gradient[c] += self.hold * (self.y[i][c] - other[i][c]);
                }
            }
            *next = motion.advance(&self.y[i], gradient, self.momentum, self.rate);
        }
    }
}

/// Neighbors gathered before they are computed with: enough that the first are out of the way when they are read again,
/// and a multiple of every vector's width.
const GATHERED: usize = 128;

/// Where the points that fill a vector per coordinate are put, so that [`near`] finds them in order.
#[inline(always)]
fn slots<S: Simd, const D: usize>(simd: S) -> [usize; WIDEST] {
    let mut numbers = [[0.0f32; D]; WIDEST];
    for (slot, number) in numbers.iter_mut().enumerate() {
        *number = [slot as f32; D];
    }
    let lanes = near(simd, &numbers, 0);
    let mut slots = [0; WIDEST];
    for (lane, &slot) in as_scalars::<S>(&lanes[0]).iter().enumerate() {
        slots[lane] = slot as usize;
    }
    slots
}

/// A vector as its numbers.
#[inline(always)]
fn as_scalars<S: Simd>(vector: &S::f32s) -> &[f32] {
    pulp::bytemuck::cast_slice(std::slice::from_ref(vector))
}

/// The `v`-th vector of the gathered points, coordinate by coordinate. In the plane two vectors are read as they lie and
/// taken apart, which permutes them; in space the numbers are picked one by one.
#[inline(always)]
fn near<S: Simd, const D: usize>(simd: S, others: &[[f32; D]], v: usize) -> [S::f32s; D] {
    if D == 2 {
        let (vectors, _) = S::as_simd_f32s(others.as_flattened());
        let apart = simd.deinterleave_shfl_f32s([vectors[2 * v], vectors[2 * v + 1]]);
        return std::array::from_fn(|c| apart[c]);
    }
    let mut lanes = [[0.0f32; WIDEST]; D];
    let first = v * S::F32_LANES;
    for (lane, other) in others[first..first + S::F32_LANES].iter().enumerate() {
        for c in 0..D {
            lanes[c][lane] = other[c];
        }
    }
    lanes.map(|lanes| S::as_simd_f32s(&lanes).0[0])
}

/// `Σ_j p_ij (y_i - y_j) / (1 + |y_i - y_j|²)`; `others` is room for neighbors.
#[inline(always)]
fn attraction<S: Simd, const D: usize>(
    simd: S,
    affinities: &Affinities,
    y: &[[f32; D]],
    i: usize,
    slots: &[usize; WIDEST],
    others: &mut [[f32; D]; GATHERED],
) -> [f32; D] {
    let (columns, values) = affinities.padded(i);
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let (mut point, mut sums) = ([zero; D], [zero; D]);
    for c in 0..D {
        point[c] = simd.splat_f32s(y[i][c]);
    }
    for (columns, values) in columns.chunks(GATHERED).zip(values.chunks(GATHERED)) {
        for (columns, others) in columns.chunks(S::F32_LANES).zip(others.chunks_exact_mut(S::F32_LANES)) {
            for (&j, &slot) in columns.iter().zip(slots) {
                others[slot] = y[j as usize];
            }
        }
        let full = columns.len() / S::F32_LANES;
        for v in 0..columns.len().div_ceil(S::F32_LANES) {
            let mut p = S::as_simd_f32s(&values[v * S::F32_LANES..]).0[0];
            if v == full {
                // Whatever lies beyond the row has no weight.
                let beyond = WIDEST - columns.len() % S::F32_LANES;
                p = simd.mul_f32s(p, S::as_simd_f32s(&WITHIN[beyond..]).0[0]);
            }
            let others = near(simd, others.as_slice(), v);
            let mut apart = [zero; D];
            let mut squared = one;
            for c in 0..D {
                apart[c] = simd.sub_f32s(point[c], others[c]);
                squared = simd.mul_add_e_f32s(apart[c], apart[c], squared);
            }
            let weight = simd.div_f32s(p, squared);
            for c in 0..D {
                sums[c] = simd.mul_add_e_f32s(weight, apart[c], sums[c]);
            }
        }
    }
    let mut pull = [0.0; D];
    for c in 0..D {
        pull[c] = simd.reduce_sum_f32s(sums[c]);
    }
    pull
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
