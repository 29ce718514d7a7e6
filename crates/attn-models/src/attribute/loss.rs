//! What is right for a sequence, and the loss of a model on it.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::target::log_softmax;
use crate::Result;

/// What is right for a sequence. The kind says which loss a model is trained by, and so is measured by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// The class of the sequence. Loss: cross entropy, in nats.
    Class(u32),
    /// A token at each place of the output, `None` where there is none. Loss: the mean cross entropy, in nats.
    ///
    /// A model of a single causal stack predicts the label of a place from the tokens before it, so the first label does not
    /// count, as in the reference implementation. An encoder-decoder and a masked language model predict it at the place itself.
    Tokens(Vec<Option<u32>>),
    /// Which labels hold, each by itself. Loss: the mean over labels of the binary cross entropy, in nats.
    Set(Vec<bool>),
    /// A number for each output. Loss: the squared error, the mean over outputs.
    Numbers(Vec<f32>),
}

/// What was expected of labels, and what was found.
pub(super) struct Unfit {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Labels {
    /// The loss, given the logits `[classes]` or `[tokens, vocabulary]` of the sequence; `Err` within if they do not fit.
    pub(super) fn loss(&self, logits: &Tensor, shifted: bool) -> Result<std::result::Result<Tensor, Unfit>> {
        let unfit = |expected: String, found: &dyn std::fmt::Display| {
            let found = found.to_string();
            Ok(Err(Unfit { expected, found }))
        };
        let (rows, labeled): (Tensor, Vec<(u32, u32)>) = match (self, logits.dims()) {
            (Self::Class(class), [_]) => (logits.unsqueeze(0)?, vec![(0, *class)]),
            (Self::Tokens(labels), [positions, _]) => {
                if labels.len() != *positions {
                    return unfit(format!("{positions} labels"), &labels.len());
                }
                let from = usize::from(shifted);
                let labels = labels.iter().enumerate().skip(from);
                let places = labels.filter_map(|(place, label)| Some((u32::try_from(place - from).ok()?, (*label)?)));
                (logits.clone(), places.collect())
            }
            // A label by itself is a choice of two classes, the logit of one of which is 0.
            (Self::Set(set), [labels]) => {
                if set.len() != *labels {
                    return unfit(format!("{labels} labels"), &set.len());
                }
                let both = Tensor::stack(&[logits.zeros_like()?, logits.clone()], 1)?;
                (both, (0..).zip(set.iter().map(|&holds| u32::from(holds))).collect())
            }
            (Self::Numbers(numbers), [count]) => {
                if numbers.len() != *count {
                    return unfit(format!("{count} numbers, one per output"), &numbers.len());
                }
                let numbers = Tensor::from_slice(numbers, *count, logits.device())?.to_dtype(logits.dtype())?;
                return Ok(Ok((logits - numbers)?.sqr()?.mean_all()?));
            }
            (Self::Tokens(_), _) => {
                return unfit("a class: the model predicts one class per sequence".into(), &"tokens");
            }
            _ => return unfit("tokens: the model predicts tokens".into(), &"labels of the sequence"),
        };
        let classes = rows.dim(1)?;
        if labeled.is_empty() {
            return unfit("at least one label that counts".into(), &"none");
        }
        if let Some((_, label)) = labeled.iter().find(|(_, label)| *label as usize >= classes) {
            return unfit(format!("labels below {classes}"), label);
        }
        let (places, labels): (Vec<_>, Vec<_>) = labeled.into_iter().unzip();
        let count = places.len();
        let rows = rows.index_select(&Tensor::from_vec(places, count, logits.device())?, 0)?;
        let labels = Tensor::from_vec(labels, (count, 1), logits.device())?;
        Ok(Ok(log_softmax(&rows)?.gather(&labels, 1)?.mean_all()?.neg()?))
    }
}
