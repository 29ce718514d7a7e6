//! An affine map with its activation, and two of them in a row.

use std::sync::OnceLock;

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor, backend::BackendStorage, bail,
};

use super::{made_of, with_slices};
use crate::blocks::{Activation, kernels};

/// `activation(x W + b)`.
pub(in crate::blocks) struct Affine<'a> {
    /// `[in, out]`, or `[out, in]` if it is transposed; any strides.
    pub(in crate::blocks) weight: &'a Tensor,
    pub(in crate::blocks) transposed: bool,
    /// `[out]`.
    pub(in crate::blocks) bias: Option<&'a Tensor>,
    pub(in crate::blocks) activation: Option<Activation>,
}

impl Affine<'_> {
    /// Whether no gradient flows into the map.
    fn is_constant(&self) -> bool {
        !self.weight.track_op() && !self.bias.is_some_and(Tensor::track_op)
    }

    /// The matrix `[in, out]`.
    fn matrix(&self) -> Result<Tensor> {
        match self.transposed {
            true => self.weight.t(),
            false => Ok(self.weight.clone()),
        }
    }

    /// `[.., in]` to `[.., out]`; the inputs may lie along several dimensions, the last ones.
    pub(in crate::blocks) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        let op = Op {
            transposed: self.transposed,
            activation: self.activation,
            before: OnceLock::new(),
        };
        match self.bias {
            Some(bias) => x.apply_op3(self.weight, &bias.contiguous()?, op),
            None => x.apply_op2(self.weight, op),
        }
    }
}

/// One map after the other. Of constant maps nothing is kept but what the activation is applied to.
pub(in crate::blocks) fn two_maps(x: &Tensor, first: &Affine<'_>, second: &Affine<'_>) -> Result<Tensor> {
    let constant = first.is_constant() && second.is_constant() && second.activation.is_none();
    let (Some(activation), true) = (first.activation, constant && x.track_op()) else {
        return second.forward(&first.forward(x)?);
    };
    let (into, out_of) = (first.matrix()?, second.matrix()?);
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = out_of.dim(1)?;
    }
    let rows = x.detach().contiguous()?.reshape(((), into.dim(0)?))?;
    let before = rows.matmul(&into)?;
    kernels::bias_activation(&before, first.bias, None)?;
    let inner = before.copy()?;
    kernels::bias_activation(&inner, None, Some(activation))?;
    let y = inner.matmul(&out_of)?;
    kernels::bias_activation(&y, second.bias, None)?;
    let (into, out_of, shape) = (into.t()?, out_of.t()?, x.shape().clone());
    made_of(x, y.reshape(dims)?, move |gradient| {
        let gradient = gradient.contiguous()?.reshape(((), out_of.dim(0)?))?.matmul(&out_of)?;
        let product = with_slices([&gradient, &before], |[gradient, before]| {
            kernels::apply_slope(gradient, before, activation)
        })?;
        let gradient = Tensor::from_vec(product, gradient.shape(), &Device::Cpu)?;
        gradient.matmul(&into)?.reshape(&shape)
    })
}

struct Op {
    transposed: bool,
    activation: Option<Activation>,
    /// What the activation is applied to.
    before: OnceLock<Tensor>,
}

impl Op {
    fn run(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        (weight, weight_layout): (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let weight_layout = match self.transposed {
            true => &weight_layout.transpose(0, 1)?,
            false => weight_layout,
        };
        let (inputs, outputs) = weight_layout.shape().dims2()?;
        let (mut dims, mut joined) = (x_layout.dims().to_vec(), 1);
        while let Some(size) = dims.pop() {
            joined *= size;
            if joined >= inputs {
                break;
            }
        }
        if joined != inputs {
            bail!(
                "affine map: expected {inputs} inputs, found shape {:?}",
                x_layout.dims()
            );
        }
        dims.push(outputs);
        if bias.is_some_and(|bias| bias.len() != outputs) {
            bail!("affine map: expected a bias of {outputs}");
        }
        let rows = x_layout.shape().elem_count() / inputs.max(1);
        let x_layout = Layout::contiguous_with_offset((rows, inputs), x_layout.start_offset());
        let mut y = x.matmul(weight, (1, rows, outputs, inputs), &x_layout, weight_layout)?;
        let CpuStorage::F32(numbers) = &mut y else {
            bail!("affine map: expected f32")
        };
        kernels::bias_activation_of(numbers, outputs, bias, None);
        if self.activation.is_some() {
            let before = Tensor::from_vec(numbers.clone(), dims.as_slice(), &Device::Cpu)?;
            self.before.get_or_init(|| before);
            kernels::bias_activation_of(numbers, outputs, None, self.activation);
        }
        Ok((y, dims.into()))
    }

    /// Gradients of input, weight and bias, of those that are wanted.
    fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        gradient: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let (dims, bias) = (x.dims(), bias.filter(|bias| bias.track_op()));
        let (of_x, of_weight) = (x.track_op(), weight.track_op());
        let (x, weight) = (x.detach(), weight.detach());
        let weight = if self.transposed { weight } else { weight.t()? };
        let (outputs, inputs) = weight.dims2()?;
        let gradient = gradient.contiguous()?;
        let gradient = match (self.activation, self.before.get()) {
            (Some(activation), Some(before)) => {
                let product = with_slices([&gradient, before], |[gradient, before]| {
                    kernels::apply_slope(gradient, before, activation)
                })?;
                Tensor::from_vec(product, gradient.shape(), &Device::Cpu)?
            }
            _ => gradient,
        };
        let gradient = gradient.reshape(((), outputs))?;
        let of_x = match of_x {
            true => Some(gradient.matmul(&weight)?.reshape(dims)?),
            false => None,
        };
        let x = x.reshape(((), inputs))?;
        let of_weight = match (of_weight, self.transposed) {
            (true, true) => Some(gradient.t()?.matmul(&x)?),
            (true, false) => Some(x.t()?.matmul(&gradient)?),
            (false, _) => None,
        };
        let of_bias = match bias {
            Some(bias) => {
                let sums = with_slices([&gradient], |[rows]| kernels::column_sums(rows, outputs))?;
                Some(Tensor::from_vec(sums, bias.shape(), &Device::Cpu)?)
            }
            None => None,
        };
        Ok([of_x, of_weight, of_bias])
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, weight, _] = self.gradients(x, weight, None, gradient)?;
        Ok((x, weight))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "affine-map"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = kernels::slice(bias, bias_layout)?;
        self.run((x, x_layout), (weight, weight_layout), Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = self.gradients(x, weight, Some(bias), gradient)?;
        Ok((x, weight, bias))
    }
}
