//! From tokens with their heads side by side to heads with their tokens, and back, one copy either way; a factor for each head.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, bail};

use super::with_slices;
use crate::blocks::kernels;

/// `[batch, tokens, heads * width]` to `[batch, heads, tokens, width]`.
pub(in crate::blocks) fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, tokens, all) = x.dims3()?;
    x.contiguous()?.apply_op1(Swap {
        sizes: [batch, tokens, heads, all / heads.max(1)],
        dims: vec![batch, heads, tokens, all / heads.max(1)],
    })
}

/// `[batch, heads, tokens, width]` to `[batch, tokens, heads, width]`.
pub(in crate::blocks) fn merge_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, tokens, width) = x.dims4()?;
    x.contiguous()?.apply_op1(Swap {
        sizes: [batch, heads, tokens, width],
        dims: vec![batch, tokens, heads, width],
    })
}

/// Swaps the second and the third of four sizes.
struct Swap {
    sizes: [usize; 4],
    /// Of the result.
    dims: Vec<usize>,
}

fn swapped(x: &[f32], [batch, rows, columns, width]: [usize; 4]) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for sequence in 0..batch {
        for column in 0..columns {
            for row in 0..rows {
                let start = ((sequence * rows + row) * columns + column) * width;
                y.extend_from_slice(&x[start..start + width]);
            }
        }
    }
    y
}

impl CustomOp1 for Swap {
    fn name(&self) -> &'static str {
        "swap-heads-and-tokens"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = kernels::slice(x, layout)?;
        if x.len() != self.sizes.iter().product::<usize>() {
            bail!("heads: expected {:?}, found shape {:?}", self.sizes, layout.dims());
        }
        Ok((CpuStorage::F32(swapped(x, self.sizes)), self.dims.as_slice().into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let [batch, rows, columns, width] = self.sizes;
        let of_x = with_slices([&gradient.contiguous()?], |[gradient]| {
            swapped(gradient, [batch, columns, rows, width])
        })?;
        Ok(Some(Tensor::from_vec(of_x, x.shape(), &Device::Cpu)?))
    }
}

/// `x` `[batch, tokens, heads, width]` times a factor per sequence and head `[batch, 1, heads, 1]`.
pub(crate) fn scale_heads(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    if !kernels::apply_to(x) {
        return x.broadcast_mul(factors);
    }
    let (batch, tokens, heads, width) = x.dims4()?;
    let sizes = [batch, tokens, heads, width];
    x.contiguous()?.apply_op2(&factors.contiguous()?, Scale(sizes))
}

/// The sizes `[batch, tokens, heads, width]`.
struct Scale([usize; 4]);

impl Scale {
    /// Every vector of a head, and which of the factors is its own.
    fn vectors<'x>(&self, x: &'x [f32]) -> impl Iterator<Item = (usize, &'x [f32])> {
        let [_, tokens, heads, width] = self.0;
        let places = move |at: usize| at / (tokens * heads).max(1) * heads + at % heads.max(1);
        x.chunks(width.max(1))
            .enumerate()
            .map(move |(at, vector)| (places(at), vector))
    }

    fn scaled(&self, x: &[f32], factors: &[f32]) -> Vec<f32> {
        let mut y = Vec::with_capacity(x.len());
        for (place, vector) in self.vectors(x) {
            let factor = factors.get(place).copied().unwrap_or(0.0);
            y.extend(vector.iter().map(|x| x * factor));
        }
        y
    }
}

impl CustomOp2 for Scale {
    fn name(&self) -> &'static str {
        "scale-heads"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        factors: &CpuStorage,
        of_factors: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let factors = kernels::slice(factors, of_factors)?;
        if factors.len() != self.0[0] * self.0[2] {
            bail!(
                "heads: expected a factor per sequence and head, found {}",
                factors.len()
            );
        }
        let y = self.scaled(kernels::slice(x, layout)?, factors);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        factors: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let tensors = [&x.detach(), &factors.detach(), &gradient.contiguous()?];
        let of_x = x.track_op();
        let (of_x, of_factors) = with_slices(tensors, |[x, factors, gradient]| {
            let mut sums = vec![0.0; factors.len()];
            for ((place, x), (_, gradient)) in self.vectors(x).zip(self.vectors(gradient)) {
                if let Some(sum) = sums.get_mut(place) {
                    *sum += kernels::dot(x, gradient);
                }
            }
            (of_x.then(|| self.scaled(gradient, factors)), sums)
        })?;
        let of_x = of_x.map(|of_x| Tensor::from_vec(of_x, x.shape(), &Device::Cpu));
        let of_factors = Tensor::from_vec(of_factors, factors.shape(), &Device::Cpu)?;
        Ok((of_x.transpose()?, Some(of_factors)))
    }
}
