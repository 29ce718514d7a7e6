//! How positions enter the scores of an encoder, beside or in place of vectors that are added to its input.

use attn_core::{ModelInfo, Side, model::Positions};
use candle_core::Tensor;

use crate::{
    Inputs, Result, Site,
    blocks::{Bias, MultiHead, Norm, OffsetBias, Pass, Rotary, Rotation},
    inputs::Tokens,
};

/// How positions enter the scores.
pub(super) enum Relative {
    /// Not at all.
    None,
    /// Queries and keys are rotated.
    Rotary(Rotary),
    /// A bias per offset is added to the scores.
    Bias(OffsetBias),
    /// Queries and keys are multiplied by vectors of offsets, by the maps of each layer.
    Vectors {
        /// `[buckets, hidden]`.
        table: Tensor,
        /// Of the table's rows.
        norm: Option<Norm>,
    },
}

/// What the layers of one pass add to their products.
pub(super) struct Entered {
    /// The mask and the bias per offset.
    bias: Option<Bias>,
    rotation: Option<Rotation>,
    table: Option<Tensor>,
}

impl Relative {
    /// The same facts with what the scores have.
    pub(super) fn facts(&self, mut info: ModelInfo) -> ModelInfo {
        match self {
            Self::None => {}
            Self::Rotary(_) => info.positions = Positions::Rotary,
            // Beside it there may be vectors that are added.
            Self::Bias(offsets) => info.attentions.iter_mut().for_each(|info| offsets.enter(info)),
            Self::Vectors { .. } => info.positions = Positions::RelativeVectors,
        }
        info
    }

    pub(super) fn enter(
        &self,
        inputs: &Inputs,
        tokens: &Tokens,
        mask: Option<Bias>,
        pass: &mut Pass<'_>,
    ) -> Result<Entered> {
        let (side, count, padding) = (Side::Encoder, tokens.tokens, tokens.padding.as_ref());
        let mut entered = Entered {
            bias: None,
            rotation: None,
            table: None,
        };
        match self {
            Self::None => entered.bias = mask,
            Self::Rotary(rotary) => {
                let mut positions = inputs.positions(tokens, Some(rotary.max_tokens()))?;
                if let (Some(padding), None) = (padding, &inputs.position_ids) {
                    positions = rotary.without_padding(positions, padding);
                }
                entered.rotation = Some(rotary.rotation(&positions, side, pass)?);
                entered.bias = mask;
            }
            Self::Bias(offsets) => entered.bias = Some(offsets.bias(side, (0, count), padding, mask, pass)?),
            Self::Vectors { table, norm } => {
                let vectors = match norm {
                    Some(norm) => norm.forward(table, pass)?,
                    None => table.clone(),
                };
                entered.table = Some(pass.tap(Site::positions(side), vectors.unsqueeze(0)?)?);
                entered.bias = mask;
            }
        }
        Ok(entered)
    }
}

impl Entered {
    /// Self-attention of a layer.
    pub(super) fn attend(&self, attention: &MultiHead, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        match &self.table {
            Some(table) => attention.forward_relative(x, bias, table, pass),
            None => attention.forward(x, x, bias, self.rotation.as_ref(), pass),
        }
    }
}
