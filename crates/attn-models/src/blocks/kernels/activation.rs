//! Element-wise functions without branches, so that the compiler vectorizes them, and what is made of them in one pass.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::{RUN, slice, slice_mut, vectorized};
use crate::blocks::Activation;

/// `activation(x + bias)` in place, for a fresh `x` `[rows, width]` and a `bias` `[width]`.
pub(in crate::blocks) fn bias_activation(
    x: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<()> {
    match (bias, activation) {
        (None, None) => Ok(()),
        (None, _) => x.inplace_op1(&BiasActivation(activation)),
        (Some(bias), _) => x.inplace_op2(&bias.contiguous()?, &BiasActivation(activation)),
    }
}

/// The same of rows at hand.
pub(in crate::blocks) fn bias_activation_of(
    x: &mut [f32],
    width: usize,
    bias: Option<&[f32]>,
    activation: Option<Activation>,
) {
    let rows = (RUN / width.max(1)).max(1);
    x.par_chunks_mut(rows * width.max(1)).for_each(|run| {
        if let Some(bias) = bias {
            add_to_rows(run, bias);
        }
        if let Some(activation) = activation {
            apply(run, activation);
        }
    });
}

/// A gradient times the derivative of the activation at `x`.
pub(in crate::blocks) fn apply_slope(gradient: &[f32], x: &[f32], activation: Activation) -> Vec<f32> {
    let mut product = vec![0.0; gradient.len()];
    product
        .par_chunks_mut(RUN)
        .zip(gradient.par_chunks(RUN).zip(x.par_chunks(RUN)))
        .for_each(|(product, (gradient, x))| slope(product, gradient, x, activation));
    product
}

vectorized! {
    fn add_to_rows<'a>(x: &'a mut [f32], bias: &'a [f32]) {
        for row in x.chunks_exact_mut(bias.len().max(1)) {
            for (x, bias) in row.iter_mut().zip(bias) {
                *x += bias;
            }
        }
    }
}

/// A loop over numbers for each activation, so that none branches inside.
macro_rules! each {
    ($x:expr, |$value:ident| $made:expr) => {
        for x in $x.iter_mut() {
            let $value = *x;
            *x = $made;
        }
    };
}

vectorized! {
    fn apply<'a>(x: &'a mut [f32], activation: Activation) {
        match activation {
            Activation::Gelu => each!(x, |x| gelu(x)),
            Activation::GeluTanh => each!(x, |x| gelu_tanh(x)),
            Activation::QuickGelu => each!(x, |x| x * sigmoid(1.702 * x)),
            Activation::Relu => each!(x, |x| x.max(0.0)),
            Activation::Silu => each!(x, |x| x * sigmoid(x)),
            Activation::Tanh => each!(x, |x| 2.0 * sigmoid(2.0 * x) - 1.0),
        }
    }
}

/// As [`each`], of a gradient and what an activation was applied to.
macro_rules! each_slope {
    ($product:expr, $gradient:expr, $x:expr, |$value:ident| $slope:expr) => {
        for ((product, gradient), x) in $product.iter_mut().zip($gradient).zip($x) {
            let $value = *x;
            *product = gradient * $slope;
        }
    };
}

vectorized! {
    fn slope<'a>(product: &'a mut [f32], gradient: &'a [f32], x: &'a [f32], activation: Activation) {
        match activation {
            Activation::Gelu => each_slope!(product, gradient, x, |x| gelu_slope(x)),
            Activation::GeluTanh => each_slope!(product, gradient, x, |x| gelu_tanh_slope(x)),
            Activation::QuickGelu => each_slope!(product, gradient, x, |x| silu_slope(1.702 * x)),
            Activation::Relu => each_slope!(product, gradient, x, |x| if x >= 0.0 { 1.0 } else { 0.0 }),
            Activation::Silu => each_slope!(product, gradient, x, |x| silu_slope(x)),
            Activation::Tanh => each_slope!(product, gradient, x, |x| 4.0 * sigmoid_slope(2.0 * x)),
        }
    }
}

struct BiasActivation(Option<Activation>);

impl InplaceOp1 for BiasActivation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        bias_activation_of(slice_mut(storage, layout)?, width, None, self.0);
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
        bias_activation_of(slice_mut(x, layout)?, width, Some(bias), self.0);
        Ok(())
    }
}

/// The exponential to 2 units in the last place: a power of two times the Taylor series around 0, whose argument
/// is at most ln 2 / 2, so that the eighth power left out is below 1e-8. Below -87.3 it is 0 and never subnormal, since
/// products with subnormal numbers take a hundred times as long; above 88 it stays finite.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, of which the first has few enough bits that its products with integers are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const LOWEST: f32 = -87.3;
    let bounded = if x > LOWEST { x } else { LOWEST };
    let bounded = if bounded < 88.0 { bounded } else { 88.0 };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = bounded - power * LN_2_HIGH - power * LN_2_LOW;
    let series = 1.0
        + r * (1.0
            + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0))))));
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let power = series * f32::from_bits(exponent);
    if x > LOWEST { power } else { 0.0 }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `1 - Phi(x)` for `x = sqrt(2) z >= 0` and `power = exp(-z^2)`: the error function by formula 7.1.26 of Abramowitz and
/// Stegun (1964), within 1.5e-7.
#[inline(always)]
fn upper_tail(z: f32, power: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152_1 + t * 1.061_405_4))));
    0.5 * series * power
}

/// `x Phi(x)`.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let tail = upper_tail(z, exp(-z * z));
    if x > 0.0 { x - x * tail } else { x * tail }
}

const SQRT_8_OVER_PI: f32 = 1.595_769;

/// `x / 2 (1 + tanh y)` is `x sigmoid(2 y)`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    x * sigmoid(SQRT_8_OVER_PI * x * (1.0 + 0.044_715 * x * x))
}

/// The derivative of `sigmoid`: even, and exact far out where `1 - sigmoid` is not.
#[inline(always)]
fn sigmoid_slope(x: f32) -> f32 {
    let power = exp(-x.abs());
    let whole = 1.0 + power;
    power / (whole * whole)
}

/// The derivative of `x sigmoid(x)`.
#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    sigmoid(x) + x * sigmoid_slope(x)
}

/// The derivative of `x Phi(x)`: `Phi(x) + x phi(x)`, with [`gelu`]'s error function.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    const DENSITY: f32 = 0.398_942_3;
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let power = exp(-z * z);
    let tail = upper_tail(z, power);
    let cumulated = if x > 0.0 { 1.0 - tail } else { tail };
    cumulated + x * DENSITY * power
}

/// The derivative of `x sigmoid(y(x))`.
#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    let square = 0.044_715 * x * x;
    let y = SQRT_8_OVER_PI * x * (1.0 + square);
    sigmoid(y) + x * sigmoid_slope(y) * SQRT_8_OVER_PI * (1.0 + 3.0 * square)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_exponential_is_exact_to_rounding() {
        for step in -8700..8800 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::MIN) == 0.0 && exp(-87.29).is_normal() && exp(1e9).is_finite());
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
}
