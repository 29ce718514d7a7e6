//! Convolutions along time.

use candle_core::Tensor;

use super::{Activation, Linear, Pass};
use crate::{Result, Weights};

/// What a convolution sees of its input, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Neighbors that are read at once.
    pub kernel: usize,
    /// How far the next output is.
    pub stride: usize,
    /// Zeros before the first and behind the last.
    pub padding: usize,
}

impl Window {
    /// Outputs of so many inputs.
    pub fn outputs(&self, inputs: usize) -> usize {
        let padded = inputs.saturating_add(2 * self.padding);
        match padded.checked_sub(self.kernel) {
            Some(rest) => rest / self.stride.max(1) + 1,
            None => 0,
        }
    }

    /// What each output reads of `[batch, tokens, channels]`, channel by channel: `[batch, outputs, channels * kernel]`.
    pub(crate) fn neighbors(&self, x: &Tensor) -> Result<Tensor> {
        let Self {
            kernel,
            stride,
            padding,
        } = *self;
        let (batch, tokens, channels) = x.dims3()?;
        let outputs = self.outputs(tokens);
        let padded = match padding {
            0 => x.clone(),
            _ => x.pad_with_zeros(1, padding, padding)?,
        };
        let places = (0..outputs).flat_map(|output| (0..kernel).map(move |at| output * stride + at));
        // Tokens of a batch that fits memory fit u32.
        let places: Vec<u32> = places.filter_map(|place| u32::try_from(place).ok()).collect();
        let places = Tensor::from_vec(places, outputs * kernel, x.device())?;
        let read = padded.contiguous()?.index_select(&places, 1)?;
        let read = read.reshape((batch, outputs, kernel, channels))?.transpose(2, 3)?;
        Ok(read.reshape((batch, outputs, channels * kernel))?)
    }
}

/// A convolution over tokens, as a map of flattened neighbors.
#[derive(Debug, Clone)]
pub struct Convolution {
    map: Linear,
    window: Window,
}

impl Convolution {
    /// Reads `weight` `[outputs, channels, kernel]` and `bias` `[outputs]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load(weights: &Weights, channels: usize, outputs: usize, window: Window, bias: bool) -> Result<Self> {
        let map = Linear::load_patches(weights, [outputs, channels, window.kernel], bias)?;
        Ok(Self { map, window })
    }

    /// `[batch, tokens, channels]` to `[batch, outputs of the window, outputs]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for a tensor of another width.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.map.forward(&self.window.neighbors(x)?, pass)
    }

    /// As [`forward`](Self::forward), followed by an activation.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn activated(&self, x: &Tensor, activation: Activation, pass: &Pass<'_>) -> Result<Tensor> {
        self.map.activated(&self.window.neighbors(x)?, activation, pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_a_window() {
        let window = |kernel, stride, padding| Window {
            kernel,
            stride,
            padding,
        };
        assert_eq!(window(3, 1, 1).outputs(7), 7);
        assert_eq!(window(3, 2, 1).outputs(3000), 1500);
        assert_eq!(window(10, 5, 0).outputs(400), 79);
        assert_eq!(window(3, 1, 0).outputs(2), 0);
    }
}
