//! The softmax of scores in one pass.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::{RUN, activation::exp, dot, fold, larger, slice, slice_mut, sum, vectorized};

/// What a softmax of scores does besides adding a bias.
pub(in crate::blocks) struct Softmax {
    /// Factor on the scores.
    pub(in crate::blocks) scale: f32,
    /// A bound that they approach: `cap * tanh(score / cap)`.
    pub(in crate::blocks) cap: Option<f32>,
    /// A logit per head that no key holds.
    pub(in crate::blocks) sinks: Option<Vec<f32>>,
}

/// `softmax(cap(scale * scores) + bias)` over the last dimension and the sink in place, for fresh `scores`
/// `[batch, heads, queries, keys]` and a `bias` `[batch or 1, heads or 1, queries, keys]`.
pub(in crate::blocks) fn scaled_softmax(scores: &Tensor, softmax: Softmax, bias: Option<&Tensor>) -> Result<()> {
    match bias {
        None => scores.inplace_op1(&softmax),
        Some(bias) => scores.inplace_op2(&bias.contiguous()?, &softmax),
    }
}

impl Softmax {
    /// The same of numbers at hand, given the dimensions of scores and bias.
    pub(in crate::blocks) fn run(
        &self,
        scores: &mut [f32],
        dims: &[usize],
        bias: Option<(&[f32], &[usize])>,
    ) -> Result<()> {
        let &[batch, heads, queries, keys] = dims else {
            bail!("scaled-softmax: expected four dimensions, found {dims:?}")
        };
        let fits = |size: usize, full: usize| size == 1 || size == full;
        let bias = match bias {
            None => None,
            Some((bias, &[sequences, of_heads, rows, columns]))
                if (rows, columns) == (queries, keys) && fits(sequences, batch) && fits(of_heads, heads) =>
            {
                Some((bias, sequences, of_heads))
            }
            Some((_, of_bias)) => {
                bail!("scaled-softmax: a bias of shape {of_bias:?} does not fit scores of shape {dims:?}")
            }
        };
        let bias_of = |row: usize| {
            let (bias, sequences, of_heads) = bias?;
            let (query, head, batch) = (row % queries, row / queries % heads, row / queries / heads);
            let row = ((batch % sequences) * of_heads + head % of_heads) * queries + query;
            bias.get(row * keys..(row + 1) * keys)
        };
        let sink_of = |row: usize| {
            let sinks = self.sinks.as_ref()?;
            sinks.get(row / queries.max(1) % sinks.len().max(1)).copied()
        };
        let rows = (RUN / keys.max(1)).max(1);
        scores
            .par_chunks_mut(rows * keys.max(1))
            .enumerate()
            .for_each(|(run, scores)| {
                for (row, scores) in scores.chunks_mut(keys.max(1)).enumerate() {
                    let row = run * rows + row;
                    softmax_row(self, scores, bias_of(row), sink_of(row));
                }
            });
        Ok(())
    }
}

vectorized! {
    fn softmax_row<'a>(softmax: &'a Softmax, row: &'a mut [f32], bias: Option<&'a [f32]>, sink: Option<f32>) {
        let scale = softmax.scale;
        match (bias, softmax.cap) {
            (Some(bias), None) => {
                for (score, bias) in row.iter_mut().zip(bias) {
                    *score = *score * scale + bias;
                }
            }
            (None, None) => {
                for score in row.iter_mut() {
                    *score *= scale;
                }
            }
            (_, Some(cap)) => {
                // The library's hyperbolic tangent: it is exact near 0, where most scores are.
                for score in row.iter_mut() {
                    *score = cap * (*score * scale / cap).tanh();
                }
                for (score, bias) in row.iter_mut().zip(bias.unwrap_or_default()) {
                    *score += bias;
                }
            }
        }
        let largest = fold(row, sink.unwrap_or(f32::NEG_INFINITY), larger, larger);
        for score in row.iter_mut() {
            *score = exp(*score - largest);
        }
        let of_sink = sink.map_or(0.0, |sink| exp(sink - largest));
        let share = 1.0 / (sum(row) + of_sink);
        for score in row.iter_mut() {
            *score *= share;
        }
    }
}

/// The gradient of scores, given that of their softmax `shares` with a factor `scale`, row by row of so many keys.
pub(in crate::blocks) fn softmax_gradient(gradient: &[f32], shares: &[f32], keys: usize, scale: f32) -> Vec<f32> {
    let run = (RUN / keys.max(1)).max(1) * keys.max(1);
    let mut of_scores = vec![0.0; gradient.len()];
    of_scores
        .par_chunks_mut(run)
        .zip(gradient.par_chunks(run).zip(shares.par_chunks(run)))
        .for_each(|(of_scores, (gradient, shares))| gradient_rows(of_scores, gradient, shares, keys, scale));
    of_scores
}

vectorized! {
    fn gradient_rows<'a>(of_scores: &'a mut [f32], gradient: &'a [f32], shares: &'a [f32], keys: usize, scale: f32) {
        let keys = keys.max(1);
        let rows = of_scores.chunks_mut(keys).zip(gradient.chunks(keys)).zip(shares.chunks(keys));
        for ((of_scores, gradient), shares) in rows {
            // Scores that rise together change nothing.
            let mean = dot(gradient, shares);
            for ((of_score, gradient), share) in of_scores.iter_mut().zip(gradient).zip(shares) {
                *of_score = scale * share * (gradient - mean);
            }
        }
    }
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        self.run(slice_mut(storage, layout)?, layout.dims(), None)
    }
}

impl InplaceOp2 for Softmax {
    fn name(&self) -> &'static str {
        "scaled-softmax-with-bias"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let bias = (slice(bias, bias_layout)?, bias_layout.dims());
        self.run(slice_mut(x, layout)?, layout.dims(), Some(bias))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device};

    use super::*;

    #[test]
    fn softmax_agrees_with_candles_for_every_shape_of_bias() {
        let scores = Tensor::arange(0f32, 2.0 * 3.0 * 5.0 * 37.0, &Device::Cpu).unwrap();
        let scores = ((scores * 0.7).unwrap().sin().unwrap() * 6.0)
            .unwrap()
            .reshape((2, 3, 5, 37))
            .unwrap();
        for shape in [(1, 1, 5, 37), (2, 1, 5, 37), (1, 3, 5, 37), (2, 3, 5, 37)] {
            let count = (shape.0 * shape.1 * 5 * 37) as f32;
            let bias = Tensor::arange(0f32, count, &Device::Cpu)
                .unwrap()
                .cos()
                .unwrap()
                .reshape(shape)
                .unwrap();
            for bias in [None, Some(&bias)] {
                let full = bias.map_or_else(
                    || (&scores * 0.3).unwrap(),
                    |bias| (&scores * 0.3).unwrap().broadcast_add(bias).unwrap(),
                );
                let expected = candle_nn::ops::softmax(&full, D::Minus1).unwrap();
                let found = scores.copy().unwrap();
                scaled_softmax(&found, plain(0.3), bias).unwrap();
                let difference = (found - expected)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap()
                    .to_scalar::<f32>()
                    .unwrap();
                assert!(difference < 1e-6, "{difference}");
            }
        }
    }

    fn plain(scale: f32) -> Softmax {
        Softmax {
            scale,
            cap: None,
            sinks: None,
        }
    }

    #[test]
    fn caps_and_sinks_follow_the_closed_form() {
        let (heads, queries, keys) = (3, 5, 37);
        let scores: Vec<f32> = (0..2 * heads * queries * keys)
            .map(|at| (at as f32 * 0.7).sin() * 40.0)
            .collect();
        let bias: Vec<f32> = (0..queries * keys).map(|at| (at as f32).cos()).collect();
        let sinks = vec![-1.0, 0.5, 3.0];
        let found = Tensor::new(scores.as_slice(), &Device::Cpu).unwrap();
        let found = found.reshape((2, heads, queries, keys)).unwrap();
        let rows = Tensor::from_slice(&bias, (1, 1, queries, keys), &Device::Cpu).unwrap();
        let softmax = Softmax {
            scale: 0.3,
            cap: Some(5.0),
            sinks: Some(sinks.clone()),
        };
        scaled_softmax(&found, softmax, Some(&rows)).unwrap();
        let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (row, (found, scores)) in found.chunks(keys).zip(scores.chunks(keys)).enumerate() {
            let bias = &bias[row % queries * keys..][..keys];
            let capped = scores.iter().zip(bias);
            let powers: Vec<f64> = capped
                .map(|(&score, &bias)| (5.0 * (f64::from(score) * 0.3 / 5.0).tanh() + f64::from(bias)).exp())
                .collect();
            let sink = f64::from(sinks[row / queries % heads]).exp();
            let whole = powers.iter().sum::<f64>() + sink;
            for (found, power) in found.iter().zip(powers) {
                assert!((f64::from(*found) - power / whole).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_forbidden_key_gets_exactly_nothing() {
        let mut row = [3.0, f32::MIN, -2.0];
        softmax_row(&plain(1.0), &mut row, Some(&[0.0, f32::MIN, 0.0]), None);
        assert!(row[1] == 0.0 && (row[0] + row[2] - 1.0).abs() < 1e-6);
        // Nothing allowed: all alike, and finite.
        let mut row = [3.0, 1.0, -2.0];
        softmax_row(&plain(1.0), &mut row, Some(&[f32::MIN; 3]), None);
        assert_eq!(row, [1.0 / 3.0; 3]);
    }
}
