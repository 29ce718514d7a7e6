//! Layer-wise relevance propagation as a backward pass: what has to be held constant, and what has to be stabilized.
//!
//! Bach et al. 2015 ("On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
//! propagation") hand the relevance `R_j` of an output `z_j = sum_i x_i w_ij + b_j` back to its summands in
//! proportion: `R_i = sum_j x_i w_ij R_j / (z_j + epsilon sign z_j)`. With `R = x g` that is the chain rule for a
//! multiplier `g`, so that a gradient computes it once activations are written as `x (act(x) / x)` with the ratio held
//! constant. Attention probabilities and the denominators of norms are held constant too, without which a transformer
//! does not conserve relevance (Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative
//! Propagation").
//!
//! What is left is linear in inputs and biases together. All constants are multiplied by a factor of 1 per sequence:
//! its gradient is what they take.

use candle_core::Tensor;

use super::Activation;
use crate::Result;

/// Below this an activation's ratio is taken at this argument: the limit, as good as f32 has it.
const TINY: f64 = 1e-6;

/// How relevance is propagated.
#[derive(Debug)]
pub(crate) struct Relevance {
    /// Ones `[batch]`, a variable.
    pub(crate) factor: Tensor,
    /// Added to the size of what is divided by; 0 for the plain rule.
    pub(crate) epsilon: f64,
}

impl Relevance {
    /// `act(product + bias)` by the rule; `product` `[batch, .., out]`.
    pub(crate) fn linear(
        &self,
        product: &Tensor,
        bias: Option<&Tensor>,
        activation: Option<Activation>,
    ) -> Result<Tensor> {
        let y = match bias {
            Some(bias) => self.add_constant(product, bias)?,
            None => product.clone(),
        };
        let y = self.stabilize(y)?;
        match activation {
            Some(activation) => linearized(&y, |y| activation.apply(y)),
            None => Ok(y),
        }
    }

    /// `y + constant` for a constant `[width]`.
    pub(crate) fn add_constant(&self, y: &Tensor, constant: &Tensor) -> Result<Tensor> {
        if y.dim(0)? != self.factor.elem_count() {
            // Rows that are not sequences: the share of this constant cannot be told apart and shows as a gap.
            return Ok(y.broadcast_add(constant)?);
        }
        let mut dims = vec![1; y.rank()];
        dims[0] = self.factor.elem_count();
        let constant = self.factor.reshape(dims)?.broadcast_mul(constant)?;
        Ok(y.broadcast_add(&constant)?)
    }

    /// A constant `[batch or 1, .., width]` as an input of its own.
    pub(crate) fn constant(&self, constant: &Tensor) -> Result<Tensor> {
        let mut dims = vec![1; constant.rank()];
        dims[0] = self.factor.elem_count();
        Ok(self.factor.reshape(dims)?.broadcast_mul(constant)?)
    }

    /// The same value, whose gradient is multiplied by `z / (z + epsilon sign z)`.
    fn stabilize(&self, z: Tensor) -> Result<Tensor> {
        if self.epsilon == 0.0 {
            return Ok(z);
        }
        let value = z.detach();
        let size = value.abs()?;
        let kept = (&size / (&size + self.epsilon)?)?;
        let passed = z.mul(&kept)?;
        Ok((&passed + (value - passed.detach())?)?)
    }
}

/// `x (act(x) / x)` with the ratio held constant.
pub(super) fn linearized(x: &Tensor, activation: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let value = x.detach();
    let tiny = Tensor::full(TINY as f32, value.shape(), value.device())?;
    let away = value.abs()?.lt(&tiny)?.where_cond(&tiny, &value)?;
    let ratio = (activation(&away)? / &away)?;
    Ok(x.mul(&ratio)?)
}
