//! Tables looked up by id.

use candle_core::Tensor;

use crate::{Result, Weights};

/// A table `[entries, width]`.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Tensor,
    /// What heads that are tied to the table multiply by, where that is not the table itself.
    untied: Option<Tensor>,
}

impl Embedding {
    /// Reads the tensor `weight` `[entries, width]` below `weights`.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn load(weights: &Weights, entries: usize, width: usize) -> Result<Self> {
        Ok(Self {
            table: weights.get("weight", [entries, width])?,
            untied: weights.untied("weight", [entries, width])?,
        })
    }

    /// A table `[entries, width]` that follows from the configuration instead of the weights.
    pub fn from_table(table: Tensor) -> Self {
        Self { table, untied: None }
    }

    /// Entries and width.
    pub fn size(&self) -> (usize, usize) {
        match *self.table.dims() {
            [entries, width] => (entries, width),
            _ => (0, 0),
        }
    }

    /// The table `[entries, width]`.
    pub fn table(&self) -> &Tensor {
        &self.table
    }

    /// The matrix `[entries, width]` of a head that is tied to the table: the table itself, or what it was before an adapter
    /// changed it. As in PEFT, a tied head follows an adapter of the embedding only if that says so (`ensure_weight_tying`).
    pub fn tied(&self) -> &Tensor {
        self.untied.as_ref().unwrap_or(&self.table)
    }

    /// Looks up ids `[batch, tokens]`, which [`Inputs::tokens`](crate::Inputs::tokens) has checked:
    /// `[batch, tokens, width]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) for an id outside the table.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let width = self.table.dim(1)?;
        Ok(self
            .table
            .index_select(&ids.flatten_all()?, 0)?
            .reshape((batch, tokens, width))?)
    }
}
