//! Layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019).
//!
//! On the CPU a kernel of our own: candle's takes the variance as the mean square minus the squared mean, which for rows
//! far from 0 loses it to rounding and can even make it negative.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Tensor};
use rayon::prelude::*;

use super::{
    Pass,
    gradients::with_slices,
    kernels::{self, vectorized},
};
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
        if pass.relevance.is_none() && kernels::apply_to(x) {
            let kernel = Kernel {
                centered: self.centered,
                offset: self.offset as f32,
                epsilon: self.epsilon as f32,
            };
            let x = x.contiguous()?;
            return Ok(match &self.bias {
                Some(bias) => x.apply_op3(&self.weight, bias, kernel)?,
                None => x.apply_op2(&self.weight, kernel)?,
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

#[derive(Clone, Copy)]
struct Kernel {
    centered: bool,
    offset: f32,
    epsilon: f32,
}

impl Kernel {
    fn run(self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let width = weight.len().max(1);
        let mut y = vec![0.0; x.len()];
        let rows = (kernels::RUN / width).max(1);
        y.par_chunks_mut(rows * width)
            .zip(x.par_chunks(rows * width))
            .for_each(|(y, x)| norm_rows(self, y, x, weight, bias));
        y
    }

    /// The mean that is removed from a row, and what the rest is multiplied by.
    #[inline(always)]
    fn moments(self, x: &[f32], centered: &mut [f32]) -> f32 {
        let width = x.len().max(1) as f32;
        let mean = if self.centered { kernels::sum(x) / width } else { 0.0 };
        for (centered, x) in centered.iter_mut().zip(x) {
            *centered = x - mean;
        }
        1.0 / (kernels::sum_of_squares(centered) / width + self.epsilon).sqrt()
    }

    /// Gradients of input, weight and bias, of those that are wanted.
    fn gradients(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        gradient: &Tensor,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (of_weight, of_bias) = (weight.track_op(), bias.is_some_and(Tensor::track_op));
        let width = weight.elem_count();
        let gradient = gradient.contiguous()?;
        let (of_x, products) = with_slices([&gradient, &x.detach(), &weight.detach()], |[gradient, x, weight]| {
            let run = (kernels::RUN / width.max(1)).max(1) * width.max(1);
            let mut of_x = vec![0.0; x.len()];
            // Beside the gradient of the input, that of the weight row by row.
            let mut products = vec![0.0; if of_weight { x.len() } else { 0 }];
            let rows = of_x
                .par_chunks_mut(run)
                .zip(gradient.par_chunks(run).zip(x.par_chunks(run)));
            if of_weight {
                rows.zip(products.par_chunks_mut(run))
                    .for_each(|((of_x, (gradient, x)), products)| {
                        gradient_rows(self, of_x, products, gradient, x, weight);
                    });
            } else {
                rows.for_each(|(of_x, (gradient, x))| gradient_rows(self, of_x, &mut [], gradient, x, weight));
            }
            (of_x, of_weight.then(|| kernels::column_sums(&products, width)))
        })?;
        let vector = |sums: Vec<f32>| Tensor::from_vec(sums, width, x.device());
        let of_bias = match of_bias {
            true => Some(with_slices([&gradient], |[rows]| kernels::column_sums(rows, width))?),
            false => None,
        };
        Ok([
            Some(Tensor::from_vec(of_x, x.shape(), x.device())?),
            products.map(vector).transpose()?,
            of_bias.map(vector).transpose()?,
        ])
    }
}

vectorized! {
    fn norm_rows<'a>(kernel: Kernel, y: &'a mut [f32], x: &'a [f32], weight: &'a [f32], bias: Option<&'a [f32]>) {
        let width = weight.len().max(1);
        for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
            let factor = kernel.moments(x, y);
            for (y, weight) in y.iter_mut().zip(weight) {
                *y *= factor * (kernel.offset + weight);
            }
            for (y, bias) in y.iter_mut().zip(bias.unwrap_or_default()) {
                *y += bias;
            }
        }
    }
}

vectorized! {
    fn gradient_rows<'a>(
        kernel: Kernel,
        of_x: &'a mut [f32],
        products: &'a mut [f32],
        gradient: &'a [f32],
        x: &'a [f32],
        weight: &'a [f32],
    ) {
        let width = weight.len().max(1);
        let mut normed = vec![0.0; width];
        let mut products = products.chunks_mut(width);
        let rows = of_x.chunks_mut(width).zip(gradient.chunks(width)).zip(x.chunks(width));
        for ((of_x, gradient), x) in rows {
            let factor = kernel.moments(x, &mut normed);
            for normed in normed.iter_mut() {
                *normed *= factor;
            }
            if let Some(products) = products.next() {
                for ((product, gradient), normed) in products.iter_mut().zip(gradient).zip(&normed) {
                    *product = gradient * normed;
                }
            }
            for ((of_x, gradient), weight) in of_x.iter_mut().zip(gradient).zip(weight) {
                *of_x = gradient * (kernel.offset + weight);
            }
            // What moves all numbers of a row alike, or along the row, changes nothing.
            let mean = if kernel.centered { kernels::sum(of_x) / width as f32 } else { 0.0 };
            let along = kernels::dot(of_x, &normed) / width as f32;
            for (of_x, normed) in of_x.iter_mut().zip(&normed) {
                *of_x = factor * (*of_x - mean - normed * along);
            }
        }
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

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, weight, _] = self.gradients(x, weight, None, gradient)?;
        Ok((x, weight))
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

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = self.gradients(x, weight, Some(bias), gradient)?;
        Ok((x, weight, bias))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

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

    #[test]
    fn gradients_are_those_of_the_formula() {
        // In double precision the norm is composed of candle's operations.
        let x = [0.5, -1.0, 2.5, 0.25, 3.0, -0.75, 1.0, 2.0, -2.0, 0.0, 1.5, -1.25];
        let weight = [1.0, 2.0, 3.0];
        let of = |centered: bool, dtype: DType| -> Vec<f64> {
            let variable = |values: &[f64], shape: &[usize]| {
                let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
                Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
            };
            let (x, weight, bias) = (
                variable(&x, &[2, 2, 3]),
                variable(&weight, &[3]),
                variable(&weight, &[3]),
            );
            let norm = Norm {
                weight: weight.as_tensor().clone(),
                bias: centered.then(|| bias.as_tensor().clone()),
                centered,
                offset: 1.0,
                epsilon: 0.25,
            };
            let mut tap = ();
            let y = norm.forward(&x, &Pass::new(&mut tap, Gradients::On)).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let of = |variable: &Var| gradients.get(variable.as_tensor()).cloned();
            let all = [of(&x), of(&weight), of(&bias).filter(|_| centered)];
            all.into_iter()
                .flatten()
                .flat_map(|tensor| {
                    tensor
                        .to_dtype(DType::F64)
                        .unwrap()
                        .flatten_all()
                        .unwrap()
                        .to_vec1::<f64>()
                        .unwrap()
                })
                .collect()
        };
        for centered in [false, true] {
            let (found, wanted) = (of(centered, DType::F32), of(centered, DType::F64));
            assert_eq!(found.len(), if centered { 18 } else { 15 });
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!(
                    (found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
                    "{found} instead of {wanted}"
                );
            }
        }
    }
}
