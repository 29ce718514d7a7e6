//! Affine maps `x W + b`.

use candle_core::{Tensor, Var, backprop::GradStore};

use super::{
    Activation, Pass,
    gradients::{self, Affine},
    kernels,
};
use crate::{Result, Weights};

/// An affine map of the last dimension.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[in, out]`, possibly a transposed view: matrix products take any strides.
    weight: Tensor,
    bias: Option<Tensor>,
    /// A learned factor per output ("layer scale", Touvron et al. 2021).
    scale: Option<Tensor>,
    /// `weight` as it is stored: the variable, if it is trained.
    stored: Tensor,
    /// Whether it is stored as `[out, in]`.
    transposed: bool,
    /// Of a map that lacks some rows or columns, those of pruned heads.
    spread: Option<Spread>,
}

/// How the stored rows of a map become all of its rows: those that are not stored are 0.
#[derive(Debug, Clone)]
struct Spread {
    /// For each of all rows its place among the stored ones; the place after the last for a row of zeros.
    places: Tensor,
    /// The bias as it is stored, where it lacks rows too.
    bias: Option<Tensor>,
}

impl Spread {
    fn new(kept: &[usize], all: usize, weights: &Weights) -> Result<Self> {
        let place = |row: usize| kept.iter().position(|&kept| kept == row).unwrap_or(kept.len());
        let places = (0..all).map(|row| u32::try_from(place(row)).unwrap_or(u32::MAX));
        Ok(Self {
            places: Tensor::from_iter(places, weights.device())?,
            bias: None,
        })
    }

    /// All rows along an axis.
    fn along(&self, axis: usize, stored: &Tensor) -> Result<Tensor> {
        let mut dims = stored.dims().to_vec();
        if let Some(rows) = dims.get_mut(axis) {
            *rows = 1;
        }
        let zeros = Tensor::zeros(dims, stored.dtype(), stored.device())?;
        Ok(Tensor::cat(&[stored, &zeros], axis)?
            .contiguous()?
            .index_select(&self.places, axis)?)
    }
}

impl Linear {
    /// Reads `weight`, stored as `[out, in]` (PyTorch's `nn.Linear`), and `bias` `[out]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let stored = weights.get("weight", [outputs, inputs])?;
        Self::with_bias((stored.t()?, stored, true), weights, outputs, bias)
    }

    /// As [`load`](Self::load) with a bias, of a map that stores only the outputs `kept`: the others are 0.
    pub(crate) fn load_outputs(weights: &Weights, inputs: usize, outputs: usize, kept: &[usize]) -> Result<Self> {
        if kept.len() == outputs {
            return Self::load(weights, inputs, outputs, true);
        }
        let stored = weights.get("weight", [kept.len(), inputs])?;
        let bias = weights.get("bias", [kept.len()])?;
        let spread = Spread::new(kept, outputs, weights)?;
        Ok(Self {
            weight: spread.along(0, &stored)?.t()?,
            bias: Some(spread.along(0, &bias)?),
            scale: None,
            stored,
            transposed: true,
            spread: Some(Spread {
                bias: Some(bias),
                ..spread
            }),
        })
    }

    /// As [`load`](Self::load) with a bias, of a map that stores only what reads the inputs `kept`: the others count 0 times.
    pub(crate) fn load_inputs(weights: &Weights, inputs: usize, outputs: usize, kept: &[usize]) -> Result<Self> {
        if kept.len() == inputs {
            return Self::load(weights, inputs, outputs, true);
        }
        let stored = weights.get("weight", [outputs, kept.len()])?;
        let spread = Spread::new(kept, inputs, weights)?;
        let weight = spread.along(1, &stored)?.t()?;
        let map = Self::with_bias((weight, stored, true), weights, outputs, true)?;
        Ok(Self {
            spread: Some(spread),
            ..map
        })
    }

    /// Reads `weight`, stored as `[in, out]` (GPT-2's `Conv1D`), and `bias` `[out]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load_conv1d(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let stored = weights.get("weight", [inputs, outputs])?;
        Self::with_bias((stored.clone(), stored, false), weights, outputs, true)
    }

    /// A map of tensors at hand: a matrix `[in, out]` and a bias `[out]`, such as those of one of several maps that are stored
    /// as one tensor.
    pub fn from_tensors(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self {
            stored: weight.clone(),
            weight,
            bias,
            scale: None,
            transposed: false,
            spread: None,
        }
    }

    /// A convolution `[out, channels, ..]` as a map of flattened patches, such as one of images `[out, channels, height,
    /// width]` whose stride is its size.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load_patches<const N: usize>(weights: &Weights, shape: [usize; N], bias: bool) -> Result<Self> {
        let stored = weights.get("weight", shape)?;
        let outputs = stored.dim(0)?;
        Self::with_bias((stored.flatten_from(1)?.t()?, stored, true), weights, outputs, bias)
    }

    /// Two maps with the same input, stored as one whose output is the first's followed by the second's.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load_pair(weights: &Weights, inputs: usize, outputs: usize, bias: bool) -> Result<(Self, Self)> {
        let weight = weights.get("weight", [2 * outputs, inputs])?;
        let bias = match bias {
            true => Some(weights.get("bias", [2 * outputs])?),
            false => None,
        };
        let part = |at| Self::part(&weight, bias.as_ref(), at, outputs);
        Ok((part(0)?, part(1)?))
    }

    /// The maps to queries, keys and values under the names of PyTorch's `nn.MultiheadAttention`: `in_proj_weight`
    /// `[3 * outputs, inputs]` and `in_proj_bias`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load_three(weights: &Weights, inputs: usize, outputs: usize) -> Result<[Self; 3]> {
        let weight = weights.get("in_proj_weight", [3 * outputs, inputs])?;
        let bias = weights.get("in_proj_bias", [3 * outputs])?;
        let part = |at| Self::part(&weight, Some(&bias), at, outputs);
        Ok([part(0)?, part(1)?, part(2)?])
    }

    /// Map number `at` of several to as many outputs, stored one after the other.
    fn part(weight: &Tensor, bias: Option<&Tensor>, at: usize, outputs: usize) -> Result<Self> {
        let stored = weight.narrow(0, at * outputs, outputs)?;
        Ok(Self {
            weight: stored.t()?,
            bias: bias.map(|bias| bias.narrow(0, at * outputs, outputs)).transpose()?,
            scale: None,
            stored,
            transposed: true,
            spread: None,
        })
    }

    /// The same map with its output multiplied by a number.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn times(self, factor: f64) -> Result<Self> {
        if factor == 1.0 {
            return Ok(self);
        }
        let outputs = self.weight.dim(1)?;
        let factors = Tensor::full(factor as f32, outputs, self.weight.device())?;
        Ok(self.scaled(factors))
    }

    /// The same map with its output multiplied by a factor per dimension `[out]`.
    pub fn scaled(self, scale: Tensor) -> Self {
        Self {
            scale: Some(scale),
            ..self
        }
    }

    /// The same map with another bias `[out]`, or none.
    pub fn biased(self, bias: Option<Tensor>) -> Self {
        Self { bias, ..self }
    }

    /// A map whose matrix is another layer's embedding table `[out, in]` ("tied"), with a bias of its own or none.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a table that is no matrix.
    pub fn tied(table: &Tensor, bias: Option<Tensor>) -> Result<Self> {
        Ok(Self {
            weight: table.t()?,
            bias,
            scale: None,
            stored: table.clone(),
            transposed: true,
            spread: None,
        })
    }

    fn with_bias(
        (weight, stored, transposed): (Tensor, Tensor, bool),
        weights: &Weights,
        outputs: usize,
        bias: bool,
    ) -> Result<Self> {
        let bias = if bias {
            Some(weights.get("bias", [outputs])?)
        } else {
            None
        };
        Ok(Self {
            weight,
            bias,
            scale: None,
            stored,
            transposed,
            spread: None,
        })
    }

    /// The matrix `[in, out]` and the bias `[out]`.
    pub(crate) fn parameters(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.weight, self.bias.as_ref())
    }

    /// What the map multiplies by in the end, `[in, out]`: the weight with the factors of the outputs.
    pub(crate) fn matrix(&self) -> Result<Tensor> {
        match &self.scale {
            Some(scale) => Ok(self.weight.broadcast_mul(scale)?),
            None => Ok(self.weight.clone()),
        }
    }

    /// The same map of variables of its own: a backward pass keeps gradients of variables only.
    pub(crate) fn with_variables(&self) -> Result<Self> {
        let variable = |tensor: Tensor| -> Result<Tensor> { Ok(Var::from_tensor(&tensor.detach())?.into_inner()) };
        // In the layout that products read fastest, that of the stored matrix.
        let (weight, stored) = if self.transposed {
            let stored = variable(self.weight.t()?)?;
            (stored.t()?, stored)
        } else {
            let stored = variable(self.weight.clone())?;
            (stored.clone(), stored)
        };
        Ok(Self {
            weight,
            bias: self.bias.clone().map(variable).transpose()?,
            stored,
            spread: None,
            ..self.clone()
        })
    }

    /// Whether two maps have one matrix.
    pub(crate) fn shares(&self, other: &Self) -> bool {
        self.stored.id() == other.stored.id()
    }

    /// The gradients of [`parameters`](Self::parameters) of a map [of variables](Self::with_variables), where they have any.
    pub(crate) fn gradients(&self, gradients: &GradStore) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let weight = gradients.get(&self.stored).cloned();
        let weight = match weight {
            Some(weight) if self.transposed => Some(weight.t()?),
            weight => weight,
        };
        Ok((weight, self.bias.as_ref().and_then(|bias| gradients.get(bias)).cloned()))
    }

    /// The tensors as they were read, weight and bias, and the axis of the weight along which its inputs lie.
    pub(crate) fn stored(&self) -> (&Tensor, Option<&Tensor>, usize) {
        let short = self.spread.as_ref().and_then(|spread| spread.bias.as_ref());
        (&self.stored, short.or(self.bias.as_ref()), usize::from(self.transposed))
    }

    /// `[.., in]` to `[.., out]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.run(x, None, pass)
    }

    /// As [`forward`](Self::forward), followed by an activation.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn activated(&self, x: &Tensor, activation: Activation, pass: &Pass<'_>) -> Result<Tensor> {
        self.run(x, Some(activation), pass)
    }

    fn run(&self, x: &Tensor, activation: Option<Activation>, pass: &Pass<'_>) -> Result<Tensor> {
        self.times_scale(self.unscaled(x, activation, pass)?)
    }

    /// The map as one operation with a backward pass; relevance has a rule of its own for what comes after the product.
    fn affine(&self, activation: Option<Activation>, pass: &Pass<'_>) -> Affine<'_> {
        // The stored matrix, where it is one: its gradient then needs no transposition.
        let whole = self.transposed && self.spread.is_none() && self.stored.rank() == 2;
        Affine {
            weight: if whole { &self.stored } else { &self.weight },
            transposed: whole,
            bias: self.bias.as_ref().filter(|_| pass.relevance.is_none()),
            activation: activation.filter(|_| pass.relevance.is_none()),
        }
    }

    /// `second(activation(first x))`.
    pub(super) fn two(
        (first, second): (&Self, &Self),
        x: &Tensor,
        activation: Activation,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let plain = first.scale.is_none() && pass.relevance.is_none();
        if plain && !pass.fused() && kernels::apply_to(x) {
            let maps = (first.affine(Some(activation), pass), second.affine(None, pass));
            let y = gradients::two_maps(x, &maps.0, &maps.1)?;
            return second.times_scale(y);
        }
        second.forward(&first.activated(x, activation, pass)?, pass)
    }

    fn times_scale(&self, y: Tensor) -> Result<Tensor> {
        Ok(match &self.scale {
            Some(scale) => y.broadcast_mul(scale)?,
            None => y,
        })
    }

    fn unscaled(&self, x: &Tensor, activation: Option<Activation>, pass: &Pass<'_>) -> Result<Tensor> {
        let (inputs, outputs) = self.weight.dims2()?;
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        if !pass.fused() && kernels::apply_to(x) {
            let map = self.affine(activation, pass);
            let y = map.forward(x)?;
            return match pass.relevance {
                Some(relevance) => relevance.linear(&y, self.bias.as_ref(), activation),
                None => Ok(y),
            };
        }
        // One product over all rows: candle would otherwise copy the matrix once per batch entry.
        let y = x.reshape(((), inputs))?.matmul(&self.weight)?;
        if pass.fused() && kernels::apply_to(&y) {
            kernels::bias_activation(&y, self.bias.as_ref(), activation)?;
            return Ok(y.reshape(dims)?);
        }
        if let Some(relevance) = pass.relevance {
            return relevance.linear(&y.reshape(dims)?, self.bias.as_ref(), activation);
        }
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        let y = match activation {
            Some(activation) => activation.apply(&y)?,
            None => y,
        };
        Ok(y.reshape(dims)?)
    }
}
