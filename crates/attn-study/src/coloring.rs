//! Columns that a user adds: a value per token.

use attn_core::{SequenceColumn, TokenColumn};

use crate::{Error, Study};

impl Study {
    /// Adds a column for colors, searches and filters. It replaces a column of the same name. A state draws it with
    /// [`ColorChoice::values`](attn_render::state::ColorChoice::values) of its name.
    ///
    /// # Errors
    /// Those of [`TokenColumn::check`].
    pub fn add_column(&mut self, column: TokenColumn) -> Result<(), Error> {
        column.check(self.capture())?;
        match self.columns.iter_mut().find(|other| other.name == column.name) {
            Some(other) => *other = column,
            None => self.columns.push(column),
        }
        self.forget_regions();
        Ok(())
    }

    /// Adds a column of sequences: every token has the value of its sequence.
    ///
    /// # Errors
    /// Those of [`SequenceColumn::to_tokens`].
    pub fn add_sequence_column(&mut self, column: &SequenceColumn) -> Result<(), Error> {
        self.add_column(column.to_tokens(self.capture())?)
    }

    /// The columns that were added, in their order.
    pub fn columns(&self) -> &[TokenColumn] {
        &self.columns
    }

    /// A column by its name, in any case.
    pub fn column(&self, name: &str) -> Option<&TokenColumn> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| {
            self.columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
        })
    }
}
