//! Tables looked up by id.

use candle_core::Tensor;

use crate::{Result, Weights};

/// A table `[entries, width]`.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    table: Tensor,
}

impl Embedding {
    pub(crate) fn load(weights: &Weights, entries: usize, width: usize) -> Result<Self> {
        Ok(Self {
            table: weights.get("weight", [entries, width])?,
        })
    }

    /// A table that follows from the configuration instead of the weights.
    pub(crate) fn from_table(table: Tensor) -> Self {
        Self { table }
    }

    pub(crate) fn table(&self) -> &Tensor {
        &self.table
    }

    /// Looks up ids `[batch, tokens]` that are known to be in range: `[batch, tokens, width]`.
    pub(crate) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let width = self.table.dim(1)?;
        Ok(self
            .table
            .index_select(&ids.flatten_all()?, 0)?
            .reshape((batch, tokens, width))?)
    }
}
