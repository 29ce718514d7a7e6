//! Inference kernels for the CPU: bias with activation, and scaled, masked softmax, each one pass in place.
//!
//! In a BERT-base layer the exponentials and error functions of the standard library cost as much as a matrix
//! product, and each of candle's element-wise operations another trip through memory. Here they are written
//! without branches, so that the compiler vectorizes them, and run over rows in parallel. Every row is computed
//! alike on any number of threads, so results do not depend on it. They work in place on the fresh result of a
//! matrix product, are not differentiable, and are used for [`Gradients::Off`](crate::Gradients::Off) only.

use candle_core::{CpuStorage, Device, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::Activation;

/// Rows are handed to threads in runs of about this many numbers.
pub(super) const RUN: usize = 1 << 14;

/// Whether the kernels apply: they know the CPU and f32.
pub(super) fn apply_to(x: &Tensor) -> bool {
    matches!(x.device(), Device::Cpu) && x.dtype() == candle_core::DType::F32
}

/// `activation(x + bias)` in place, for a fresh `x` `[rows, width]` and a `bias` `[width]`.
pub(super) fn bias_activation(x: &Tensor, bias: Option<&Tensor>, activation: Option<Activation>) -> Result<()> {
    match (bias, activation) {
        (None, None) => Ok(()),
        (None, _) => x.inplace_op1(&BiasActivation(activation)),
        (Some(bias), _) => x.inplace_op2(&bias.contiguous()?, &BiasActivation(activation)),
    }
}

/// What a softmax of scores does besides adding a bias.
pub(super) struct Softmax {
    /// Factor on the scores.
    pub(super) scale: f32,
    /// A bound that they approach: `cap * tanh(score / cap)`.
    pub(super) cap: Option<f32>,
    /// A logit per head that no key holds.
    pub(super) sinks: Option<Vec<f32>>,
}

/// `softmax(cap(scale * scores) + bias)` over the last dimension and the sink in place, for fresh `scores`
/// `[batch, heads, queries, keys]` and a `bias` `[batch or 1, heads or 1, queries, keys]`.
pub(super) fn scaled_softmax(scores: &Tensor, softmax: Softmax, bias: Option<&Tensor>) -> Result<()> {
    match bias {
        None => scores.inplace_op1(&softmax),
        Some(bias) => scores.inplace_op2(&bias.contiguous()?, &softmax),
    }
}

struct BiasActivation(Option<Activation>);

impl BiasActivation {
    fn run(&self, x: &mut [f32], width: usize, bias: Option<&[f32]>) {
        let rows = (RUN / width.max(1)).max(1);
        x.par_chunks_mut(rows * width.max(1)).for_each(|run| {
            for row in run.chunks_mut(width) {
                if let Some(bias) = bias {
                    row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
                }
                match self.0 {
                    None => {}
                    Some(Activation::Gelu) => row.iter_mut().for_each(|x| *x = gelu(*x)),
                    Some(Activation::GeluTanh) => row.iter_mut().for_each(|x| *x = gelu_tanh(*x)),
                    Some(Activation::QuickGelu) => row.iter_mut().for_each(|x| *x *= sigmoid(1.702 * *x)),
                    Some(Activation::Relu) => row.iter_mut().for_each(|x| *x = x.max(0.0)),
                    Some(Activation::Silu) => row.iter_mut().for_each(|x| *x *= sigmoid(*x)),
                    Some(Activation::Tanh) => row.iter_mut().for_each(|x| *x = 2.0 * sigmoid(2.0 * *x) - 1.0),
                }
            }
        });
    }
}

impl InplaceOp1 for BiasActivation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        self.run(slice_mut(storage, layout)?, width, None);
        Ok(())
    }
}

impl InplaceOp2 for BiasActivation {
    fn name(&self) -> &'static str {
        "bias-activation"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let bias = slice(bias, bias_layout)?;
        if bias.len() != width {
            bail!("bias-activation: expected a bias of {width}, found {}", bias.len());
        }
        self.run(slice_mut(x, layout)?, width, Some(bias));
        Ok(())
    }
}

impl Softmax {
    /// `bias_row` gives the bias of the row with a flat index; every head has so many `queries` in a row.
    fn run<'b>(
        &self,
        scores: &mut [f32],
        (queries, keys): (usize, usize),
        bias_row: impl Fn(usize) -> Option<&'b [f32]> + Sync,
    ) {
        let sink = |row: usize| {
            let sinks = self.sinks.as_ref()?;
            sinks.get(row / queries.max(1) % sinks.len().max(1)).copied()
        };
        let rows = (RUN / keys.max(1)).max(1);
        scores
            .par_chunks_mut(rows * keys.max(1))
            .enumerate()
            .for_each(|(run, scores)| {
                for (row, scores) in scores.chunks_mut(keys).enumerate() {
                    let row = run * rows + row;
                    self.row(scores, bias_row(row), sink(row));
                }
            });
    }

    fn row(&self, row: &mut [f32], bias: Option<&[f32]>, sink: Option<f32>) {
        let scale = self.scale;
        match (bias, self.cap) {
            (Some(bias), None) => row
                .iter_mut()
                .zip(bias)
                .for_each(|(score, bias)| *score = *score * scale + bias),
            (None, None) => row.iter_mut().for_each(|score| *score *= scale),
            (_, Some(cap)) => {
                // The library's hyperbolic tangent: it is exact near 0, where most scores are.
                row.iter_mut()
                    .for_each(|score| *score = cap * (*score * scale / cap).tanh());
                if let Some(bias) = bias {
                    row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                }
            }
        }
        let largest = fold(row, sink.unwrap_or(f32::NEG_INFINITY), larger, larger);
        row.iter_mut().for_each(|score| *score = exp(*score - largest));
        let of_sink = sink.map_or(0.0, |sink| exp(sink - largest));
        let share = 1.0 / (sum(row) + of_sink);
        row.iter_mut().for_each(|score| *score *= share);
    }
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let [.., queries, keys] = layout.dims() else {
            bail!("scaled-softmax: expected rows, found {:?}", layout.dims())
        };
        let size = (*queries, *keys);
        self.run(slice_mut(storage, layout)?, size, |_| None);
        Ok(())
    }
}

impl InplaceOp2 for Softmax {
    fn name(&self) -> &'static str {
        "scaled-softmax-with-bias"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let (&[batch, heads, queries, keys], &[bias_batch, bias_heads, bias_queries, bias_keys]) =
            (layout.dims(), bias_layout.dims())
        else {
            bail!(
                "scaled-softmax: expected four dimensions, found {:?} and {:?}",
                layout.dims(),
                bias_layout.dims()
            );
        };
        let fits = |size: usize, full: usize| size == 1 || size == full;
        if (bias_queries, bias_keys) != (queries, keys) || !fits(bias_batch, batch) || !fits(bias_heads, heads) {
            bail!(
                "scaled-softmax: a bias of shape {:?} does not fit scores of shape {:?}",
                bias_layout.dims(),
                layout.dims()
            );
        }
        let bias = slice(bias, bias_layout)?;
        self.run(slice_mut(x, layout)?, (queries, keys), |row| {
            let (query, head, batch) = (row % queries, row / queries % heads, row / queries / heads);
            let row = ((batch % bias_batch) * bias_heads + head % bias_heads) * queries + query;
            bias.get(row * keys..(row + 1) * keys)
        });
        Ok(())
    }
}

pub(super) fn slice<'s>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets().and_then(|(start, end)| all.get(start..end)) {
        Some(slice) => Ok(slice),
        None => bail!("expected a contiguous tensor"),
    }
}

fn slice_mut<'s>(storage: &'s mut CpuStorage, layout: &Layout) -> Result<&'s mut [f32]> {
    let CpuStorage::F32(all) = storage else {
        bail!("expected f32")
    };
    match layout
        .contiguous_offsets()
        .and_then(|(start, end)| all.get_mut(start..end))
    {
        Some(slice) => Ok(slice),
        None => bail!("expected a contiguous tensor"),
    }
}

/// Numbers that are added or compared side by side, in an order that does not depend on the processor.
const LANES: usize = 16;

/// Unlike `f32::max` without a rule for NaN, which would cost a branch.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

pub(super) fn sum(row: &[f32]) -> f32 {
    fold(row, 0.0, |sum, value| sum + value, |a, b| a + b)
}

pub(super) fn sum_of_squares(row: &[f32]) -> f32 {
    fold(row, 0.0, |sum, value| sum + value * value, |a, b| a + b)
}

fn fold(row: &[f32], start: f32, step: impl Fn(f32, f32) -> f32, merge: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, *value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, *value);
    }
    lanes.into_iter().fold(start, merge)
}

/// The exponential to 2 units in the last place: a power of two times the Taylor series around 0, whose argument
/// is at most ln 2 / 2, so that the eighth power left out is below 1e-8. Below -87 it is 0 or next to it, above 88
/// it stays finite.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, of which the first has few enough bits that its products with integers are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > -87.3 { x } else { -87.3 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = x - power * LN_2_HIGH - power * LN_2_LOW;
    let series = 1.0
        + r * (1.0
            + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0))))));
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(exponent)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x Phi(x)`, the error function by formula 7.1.26 of Abramowitz and Stegun (1964), within 1.5e-7.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152_1 + t * 1.061_405_4))));
    // 1 - Phi(|x|)
    let tail = 0.5 * series * exp(-z * z);
    if x > 0.0 { x - x * tail } else { x * tail }
}

/// `x / 2 (1 + tanh y)` is `x sigmoid(2 y)`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_8_OVER_PI: f32 = 1.595_769;
    x * sigmoid(SQRT_8_OVER_PI * x * (1.0 + 0.044_715 * x * x))
}

#[cfg(test)]
mod tests {
    use candle_core::D;

    use super::*;

    #[test]
    fn the_exponential_is_exact_to_rounding() {
        for step in -8700..8800 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::MIN) < 1e-37 && exp(1e9).is_finite());
    }

    #[test]
    fn activations_agree_with_candles() {
        let x: Vec<f32> = (-3000..3000).map(|step| step as f32 * 0.005).collect();
        let x = Tensor::from_vec(x, (3, 2000), &Device::Cpu).unwrap();
        let bias = Tensor::arange(0f32, 2000.0, &Device::Cpu)
            .unwrap()
            .affine(1e-3, 0.0)
            .unwrap();
        for activation in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::QuickGelu,
            Activation::Relu,
            Activation::Silu,
            Activation::Tanh,
        ] {
            for bias in [None, Some(&bias)] {
                let shifted = bias.map_or_else(|| x.clone(), |bias| x.broadcast_add(bias).unwrap());
                let expected = activation.apply(&shifted).unwrap();
                let found = x.copy().unwrap();
                bias_activation(&found, bias, Some(activation)).unwrap();
                let difference = (found - expected)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap()
                    .to_scalar::<f32>()
                    .unwrap();
                assert!(difference < 3e-6, "{activation:?}: {difference}");
            }
        }
    }

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
        plain(1.0).row(&mut row, Some(&[0.0, f32::MIN, 0.0]), None);
        assert!(row[1] < 1e-37 && (row[0] + row[2] - 1.0).abs() < 1e-6);
        // Nothing allowed: all alike, and finite.
        let mut row = [3.0, 1.0, -2.0];
        plain(1.0).row(&mut row, Some(&[f32::MIN; 3]), None);
        assert_eq!(row, [1.0 / 3.0; 3]);
    }
}
