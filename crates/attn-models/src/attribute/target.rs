//! The target of an attribution: one number per sequence.

use attn_core::Attention;
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

use super::Labels;
use crate::{Error, Inputs, Model, Result, Tap, model::Output};

/// One number that a model computes for a sequence.
///
/// ```
/// use attn_models::attribute::Target;
///
/// // Why class 2 and not class 0?
/// let contrast = Target::Class(2).minus(Target::Class(0));
/// let saved = serde_json::to_string(&contrast)?;
/// assert_eq!(serde_json::from_str::<Target>(&saved)?, contrast);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// The logit of a class, for classifiers.
    Class(usize),
    /// The logit of a token at a position, for language models.
    Token {
        /// The position, counted in the tensor of the batch, padding included. A causal model predicts from it the
        /// token after it.
        position: usize,
        /// The token's id.
        token: u32,
    },
    /// The loss of what is right.
    Loss {
        /// What is right.
        labels: Labels,
    },
    /// The first minus the second (Jacovi et al. 2021, "Contrastive explanations for model interpretability").
    Difference(Box<Target>, Box<Target>),
}

/// A batch and the target of each of its sequences.
#[derive(Debug, Clone)]
pub struct Examples {
    /// The batch.
    pub inputs: Inputs,
    /// One per sequence, or one for all.
    pub targets: Vec<Target>,
}

impl Target {
    /// Why this and not `other`?
    pub fn minus(self, other: Self) -> Self {
        Self::Difference(Box::new(self), Box::new(other))
    }

    /// A scalar tensor, given the logits `[classes]` or `[tokens, vocabulary]` of the sequence.
    fn value(&self, logits: &Tensor, shifted: bool, sequence: usize) -> Result<Tensor> {
        let wrong = |expected: String, found: String| Error::Intervention {
            place: format!("target of sequence {sequence}"),
            expected,
            found,
        };
        match self {
            Self::Class(class) => match logits.dims() {
                [classes] if class < classes => Ok(logits.get(*class)?),
                [classes] => Err(wrong(format!("a class below {classes}"), format!("class {class}"))),
                _ => Err(wrong(
                    "a token: the model predicts tokens".into(),
                    format!("class {class}"),
                )),
            },
            Self::Token { position, token } => match logits.dims() {
                [positions, tokens] if position < positions && (*token as usize) < *tokens => {
                    Ok(logits.get(*position)?.get(*token as usize)?)
                }
                [positions, tokens] => Err(wrong(
                    format!("a position below {positions} and a token below {tokens}"),
                    format!("token {token} at position {position}"),
                )),
                _ => Err(wrong(
                    "a class: the model predicts one class per sequence".into(),
                    format!("token {token} at position {position}"),
                )),
            },
            Self::Loss { labels } => labels
                .loss(logits, shifted)?
                .map_err(|unfit| wrong(unfit.expected, unfit.found)),
            Self::Difference(this, other) => {
                let this = this.value(logits, shifted, sequence)?;
                Ok((this - other.value(logits, shifted, sequence)?)?)
            }
        }
    }
}

/// Composed of operations that have a backward pass; the largest logit only keeps the exponentials in range.
pub(super) fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let total = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok(shifted.broadcast_sub(&total)?)
}

/// The value of each sequence's target, without its gradient. `tap` may intervene.
///
/// # Errors
/// As [`input_gradients`](crate::attribute::input_gradients).
pub fn target_values(model: &Model, inputs: &Inputs, targets: &[Target], tap: &mut dyn Tap) -> Result<Vec<f32>> {
    Ok(values(model, &model.forward(inputs, tap)?, targets)?.to_vec1()?)
}

/// The targets of a batch: `[batch]`.
pub(super) fn values(model: &Model, output: &Output, targets: &[Target]) -> Result<Tensor> {
    let info = model.info();
    let Some(logits) = &output.logits else {
        return Err(model.no_head("target"));
    };
    let batch = logits.dim(0)?;
    if targets.len() != batch && targets.len() != 1 {
        return Err(Error::input(
            "targets",
            format!("{batch}, one per sequence, or one for all"),
            targets.len().to_string(),
        ));
    }
    // A decoder beside an encoder is given its input one token late already.
    let shifted = info
        .attentions
        .iter()
        .all(|info| info.attention == Attention::DecoderSelf);
    let values = (0..batch)
        .zip(targets.iter().cycle())
        .map(|(sequence, target)| target.value(&logits.get(sequence)?, shifted, sequence))
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&values, 0)?)
}
