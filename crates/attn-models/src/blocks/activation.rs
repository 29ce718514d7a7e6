//! Activation functions by the names configurations use.

use candle_core::Tensor;

use super::{Pass, relevance::linearized};
use crate::{Result, families::Config};

/// An element-wise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `x Phi(x)` with the exact normal distribution (Hendrycks and Gimpel 2016).
    Gelu,
    /// Its approximation by a hyperbolic tangent, GPT-2's.
    GeluTanh,
    /// Its approximation by a sigmoid, CLIP's.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`, also called swish.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The activation that the option `key` names, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a value that is no string,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for an unknown name.
    pub fn read(config: &Config, key: &str, default: Self) -> Result<Self> {
        Ok(match config.text(key)? {
            None => default,
            Some("gelu" | "gelu_python") => Self::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Self::GeluTanh,
            Some("quick_gelu") => Self::QuickGelu,
            Some("relu") => Self::Relu,
            Some("silu" | "swish") => Self::Silu,
            Some("tanh") => Self::Tanh,
            Some(_) => {
                return Err(config.unsupported(
                    key,
                    "gelu, gelu_python, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu, silu, swish, tanh",
                ));
            }
        })
    }

    /// The activation of every element, by the rules of layer-wise relevance propagation where it runs.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn forward(self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match pass.relevance {
            Some(_) => linearized(x, |x| self.apply(x)),
            None => self.apply(x),
        }
    }

    /// The activation of every element.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => x.gelu_erf()?,
            Self::GeluTanh => x.gelu()?,
            Self::QuickGelu => x.mul(&sigmoid(&(x * 1.702)?)?)?,
            Self::Relu => x.relu()?,
            Self::Silu => x.silu()?,
            Self::Tanh => x.tanh()?,
        })
    }
}

/// `1 / (1 + exp(-x))`, through the hyperbolic tangent so that nothing overflows.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((((x * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}
