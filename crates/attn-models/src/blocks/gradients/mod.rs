//! Operations with a backward pass of their own, for the CPU.
//!
//! candle differentiates what is composed of its operations one by one. Each of them takes memory for its result, for zeros
//! and for the sum of its gradient, and a product computes the gradients of both of its sides, also of a weight that is a
//! constant. Here a map, an attention and the like are one operation each. It keeps what its backward pass needs, and computes
//! the gradients of those arguments that a variable lies behind.

mod attention;
mod heads;
mod linear;

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, Layout, Result, Shape, Storage, Tensor, bail};

pub(crate) use self::heads::scale_heads;
pub(super) use self::{
    attention::{attend, softmax},
    heads::{merge_heads, split_heads},
    linear::{Affine, two_maps},
};
use super::kernels;

/// What is made of the numbers of contiguous tensors on the CPU.
pub(super) fn with_slices<const N: usize, T>(tensors: [&Tensor; N], of: impl FnOnce([&[f32]; N]) -> T) -> Result<T> {
    let storages = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&storages) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("expected a tensor on the CPU")
        };
        *slice = kernels::slice(storage, layout)?;
    }
    Ok(of(slices))
}

/// What was made of `x` outside of the graph, a fresh tensor, as an operation with the backward pass given.
fn made_of(
    x: &Tensor,
    made: Tensor,
    backward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let taken = Take(Mutex::new(None));
    made.inplace_op1(&taken)?;
    x.apply_op1(Made {
        numbers: taken,
        shape: made.shape().clone(),
        backward,
    })
}

/// Takes the numbers out of a tensor.
struct Take(Mutex<Option<CpuStorage>>);

impl InplaceOp1 for Take {
    fn name(&self) -> &'static str {
        "take"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        let numbers = std::mem::replace(storage, CpuStorage::F32(Vec::new()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(numbers);
        Ok(())
    }
}

struct Made<F> {
    numbers: Take,
    shape: Shape,
    backward: F,
}

impl<F: Fn(&Tensor) -> Result<Tensor> + Send + Sync> CustomOp1 for Made<F> {
    fn name(&self) -> &'static str {
        "made"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.numbers.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(numbers) => Ok((numbers, self.shape.clone())),
            None => bail!("expected what was made"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        (self.backward)(gradient).map(Some)
    }
}

#[cfg(test)]
mod tests;
