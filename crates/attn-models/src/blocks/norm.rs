//! Layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019).
//!
//! On the CPU, without gradients, a kernel of our own: candle's takes the variance as the mean square minus the
//! squared mean, which for rows far from 0 loses it to rounding and can even make it negative.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Tensor};
use rayon::prelude::*;

use super::{Pass, kernels};
use crate::{Result, Weights};

/// A norm over the last dimension.
#[derive(Debug, Clone)]
pub struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    /// Whether the mean is removed (layer norm) or not (RMS norm).
    centered: bool,
    /// Added to the weight.
    offset: f64,
    epsilon: f64,
}

impl Norm {
    /// A layer norm: reads `weight` and `bias`, `[width]` each, below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn layer(weights: &Weights, width: usize, epsilon: f64) -> Result<Self> {
        Ok(Self {
            weight: weights.get("weight", [width])?,
            bias: Some(weights.get("bias", [width])?),
            centered: true,
            offset: 0.0,
            epsilon,
        })
    }

    /// A layer norm without a bias: reads `weight` `[width]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn layer_unbiased(weights: &Weights, width: usize, epsilon: f64) -> Result<Self> {
        Ok(Self {
            centered: true,
            ..Self::rms(weights, width, epsilon)?
        })
    }

    /// An RMS norm: reads `weight` `[width]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn rms(weights: &Weights, width: usize, epsilon: f64) -> Result<Self> {
        Ok(Self {
            weight: weights.get("weight", [width])?,
            bias: None,
            centered: false,
            offset: 0.0,
            epsilon,
        })
    }

    /// An RMS norm whose stored `weight` `[width]` is what it multiplies by less 1 (Gemma). Fresh ones are 0.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn rms_about_one(weights: &Weights, width: usize, epsilon: f64) -> Result<Self> {
        Ok(Self {
            weight: weights.get_or_zeros("weight", [width])?,
            bias: None,
            centered: false,
            offset: 1.0,
            epsilon,
        })
    }

    /// The norm of each row of `[.., width]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        if pass.fused() && kernels::apply_to(x) {
            let kernel = Kernel {
                centered: self.centered,
                offset: self.offset as f32,
                epsilon: self.epsilon as f32,
            };
            let x = x.contiguous()?;
            return Ok(match &self.bias {
                Some(bias) => x.apply_op3_no_bwd(&self.weight, bias, &kernel)?,
                None => x.apply_op2_no_bwd(&self.weight, &kernel)?,
            });
        }
        let centered = if self.centered {
            x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?
        } else {
            x.clone()
        };
        // Added here and not as it is loaded: training changes the weight.
        let weight = if self.offset == 0.0 {
            self.weight.clone()
        } else {
            (&self.weight + self.offset)?
        };
        let deviation = (centered.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        let deviation = pass.constant(deviation);
        let y = centered.broadcast_div(&deviation)?.broadcast_mul(&weight)?;
        Ok(match (&self.bias, pass.relevance) {
            (Some(bias), Some(relevance)) => relevance.add_constant(&y, bias)?,
            (Some(bias), None) => y.broadcast_add(bias)?,
            (None, _) => y,
        })
    }
}

struct Kernel {
    centered: bool,
    offset: f32,
    epsilon: f32,
}

impl Kernel {
    fn run(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let width = weight.len().max(1);
        let mut y = vec![0.0; x.len()];
        let rows = (kernels::RUN / width).max(1);
        y.par_chunks_mut(rows * width)
            .zip(x.par_chunks(rows * width))
            .for_each(|(y, x)| {
                for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
                    let mean = if self.centered {
                        kernels::sum(x) / width as f32
                    } else {
                        0.0
                    };
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = x - mean);
                    let factor = 1.0 / (kernels::sum_of_squares(y) / width as f32 + self.epsilon).sqrt();
                    y.iter_mut()
                        .zip(weight)
                        .for_each(|(y, weight)| *y *= factor * (self.offset + weight));
                    if let Some(bias) = bias {
                        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                    }
                }
            });
        y
    }
}

impl CustomOp2 for Kernel {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, candle_core::Shape)> {
        let y = self.run(
            kernels::slice(x, x_layout)?,
            kernels::slice(weight, weight_layout)?,
            None,
        );
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }
}

impl CustomOp3 for Kernel {
    fn name(&self) -> &'static str {
        "norm-with-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, candle_core::Shape)> {
        let bias = kernels::slice(bias, bias_layout)?;
        let y = self.run(
            kernels::slice(x, x_layout)?,
            kernels::slice(weight, weight_layout)?,
            Some(bias),
        );
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::Gradients;

    /// A layer norm, or an RMS norm without a bias.
    fn norm(bias: bool) -> Norm {
        let vector = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap();
        Norm {
            weight: vector([1.0, 2.0, 3.0]),
            bias: bias.then(|| vector([0.5, 0.0, -0.5])),
            centered: bias,
            offset: 0.0,
            epsilon: 1e-12,
        }
    }

    #[test]
    fn norms_follow_their_definitions() {
        let x = Tensor::new(&[[1.0_f32, 2.0, 6.0], [-4.0, 0.0, 4.0]], &Device::Cpu).unwrap();
        for gradients in [Gradients::Off, Gradients::On] {
            let mut tap = ();
            let pass = Pass::new(&mut tap, gradients);
            // Row 1: mean 3, variance (4 + 1 + 9) / 3. Row 2: mean 0, variance 32 / 3.
            let (a, b) = ((14.0_f32 / 3.0).sqrt(), (32.0_f32 / 3.0).sqrt());
            let expected = [
                -2.0 / a + 0.5,
                -2.0 / a,
                9.0 / a - 0.5,
                -4.0 / b + 0.5,
                0.0,
                12.0 / b - 0.5,
            ];
            let found = norm(true)
                .forward(&x, &pass)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5),
                "{found:?}"
            );
            // Mean squares 41 / 3 and 32 / 3.
            let (a, b) = ((41.0_f32 / 3.0).sqrt(), (32.0_f32 / 3.0).sqrt());
            let expected = [1.0 / a, 4.0 / a, 18.0 / a, -4.0 / b, 0.0, 12.0 / b];
            let found = norm(false)
                .forward(&x, &pass)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5),
                "{found:?}"
            );
        }
    }

    #[test]
    fn weights_may_be_stored_less_one_and_layer_norms_lack_a_bias() {
        let x = Tensor::new(&[[1.0_f32, 2.0, 6.0], [-4.0, 0.0, 4.0]], &Device::Cpu).unwrap();
        for gradients in [Gradients::Off, Gradients::On] {
            let mut tap = ();
            let pass = Pass::new(&mut tap, gradients);
            let run = |norm: &Norm| norm.forward(&x, &pass).unwrap().to_vec2::<f32>().unwrap().concat();
            let plain = run(&norm(false));
            let less_one = Norm {
                weight: (norm(false).weight - 1.0).unwrap(),
                offset: 1.0,
                ..norm(false)
            };
            assert!(run(&less_one).iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
            let unbiased = Norm {
                bias: None,
                ..norm(true)
            };
            let bias = [0.5_f32, 0.0, -0.5];
            let biased = run(&norm(true)).into_iter().zip(bias.iter().cycle());
            let found = run(&unbiased).into_iter().zip(biased);
            assert!(
                found.clone().all(|(a, (b, bias))| (a - (b - bias)).abs() < 1e-5),
                "{:?}",
                found.collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn rows_far_from_zero_keep_their_variance() {
        let x = Tensor::new(&[[10_001.0_f32, 10_002.0, 10_003.0]], &Device::Cpu).unwrap();
        let mut tap = ();
        let pass = Pass::new(&mut tap, Gradients::Off);
        let found = norm(true)
            .forward(&x, &pass)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let side = 1.5_f32.sqrt();
        for (found, expected) in found.iter().zip([0.5 - side, 0.0, 3.0 * side - 0.5]) {
            assert!((found - expected).abs() < 1e-3, "{found} instead of {expected}");
        }
    }
}
