//! The convolution beside a layer: neighboring tokens of its input, added to its output (He et al. 2021, DeBERTa v2).

use candle_core::Tensor;

use crate::{
    Result, Weights,
    blocks::{Activation, Norm, Pass},
    families::Config,
    inputs::Padding,
};

/// `norm(output + act(convolution of input))`.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    /// `[out, in, kernel]`.
    weight: Tensor,
    bias: Tensor,
    activation: Activation,
    norm: Norm,
    kernel: usize,
}

impl Convolution {
    /// That of the configuration, if it has one; its tensors lie below `weights`.
    pub(super) fn read(config: &Config, weights: &Weights, hidden: usize, epsilon: f64) -> Result<Option<Self>> {
        const KERNEL: &str = "conv_kernel_size";
        let kernel = match config.get(KERNEL).and_then(serde_json::Value::as_u64) {
            None | Some(0) => return Ok(None),
            Some(_) => config.size_or(KERNEL, 3)?,
        };
        // An even one would change the number of tokens.
        if kernel.is_multiple_of(2) {
            return Err(config.wrong(KERNEL, "an odd number, or 0"));
        }
        if config.size_or("conv_groups", 1)? != 1 {
            return Err(config.unsupported("conv_groups", "1"));
        }
        let map = weights.at("conv");
        Ok(Some(Self {
            weight: map.get("weight", [hidden, hidden, kernel])?,
            bias: map.get("bias", [hidden])?,
            activation: Activation::read(config, "conv_act", Activation::Tanh)?,
            norm: Norm::layer(&weights.at("LayerNorm"), hidden, epsilon)?,
            kernel,
        }))
    }

    /// From the input and the output of a layer, `[batch, tokens, hidden]` each. Padding counts as zeros.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        output: &Tensor,
        padding: Option<&Padding>,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let (batch, tokens, hidden) = input.dims3()?;
        let input = match padding {
            Some(padding) => {
                let real = (0..batch).flat_map(|sequence| (0..tokens).map(move |token| (sequence, token)));
                let real: Vec<f32> = real
                    .map(|(sequence, token)| f32::from(u8::from(padding.is_real(sequence, token))))
                    .collect();
                input.broadcast_mul(&Tensor::from_vec(real, (batch, tokens, 1), input.device())?)?
            }
            None => input.clone(),
        };
        let around = self.kernel / 2;
        let padded = input.pad_with_zeros(1, around, around)?;
        let mut sum = None;
        for offset in 0..self.kernel {
            let neighbors = padded.narrow(1, offset, tokens)?.reshape((batch * tokens, hidden))?;
            let map = self.weight.narrow(2, offset, 1)?.squeeze(2)?.t()?.contiguous()?;
            let product = neighbors.matmul(&map)?;
            sum = Some(match sum {
                Some(sum) => (product + sum)?,
                None => product,
            });
        }
        let Some(sum) = sum else { return Ok(output.clone()) };
        let sum = sum.reshape((batch, tokens, hidden))?;
        let convolved = match pass.relevance {
            Some(relevance) => relevance.linear(&sum, Some(&self.bias), Some(self.activation))?,
            None => self.activation.apply(&sum.broadcast_add(&self.bias)?)?,
        };
        self.norm.forward(&(convolved + output)?, pass)
    }
}
