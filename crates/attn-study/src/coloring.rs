//! Columns that a user brings: a value per token.

use attn_core::Side;

use crate::{Error, Study};

/// How the values of a [`Column`] are drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    /// From little to much.
    Sequential,
    /// Around 0.
    Diverging,
    /// Classes: values are indices into these names.
    Categorical(Vec<String>),
}

/// A value per token that a user brings: parts of speech, losses, labels. [`Dataset`](crate::Dataset) reads them from files.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// What a person calls it.
    pub name: String,
    /// How its values are drawn.
    pub kind: ColumnKind,
    /// A value per row of the encoder side, as [`Capture::rows`](attn_core::Capture::rows) counts them; NaN where there is
    /// none. Empty for models without that side.
    pub encoder: Vec<f32>,
    /// The same for the decoder side.
    pub decoder: Vec<f32>,
}

impl Column {
    pub(crate) fn side(&self, side: Side) -> &[f32] {
        match side {
            Side::Encoder => &self.encoder,
            Side::Decoder => &self.decoder,
        }
    }

    /// A value as a person reads it; `None` where there is none.
    pub(crate) fn text(&self, value: f32) -> Option<String> {
        match &self.kind {
            _ if value.is_nan() => None,
            ColumnKind::Categorical(names) => names.get(value.round() as usize).cloned(),
            ColumnKind::Sequential | ColumnKind::Diverging => Some(value.to_string()),
        }
    }

    /// The names of its classes; none if it is not of classes.
    pub fn classes(&self) -> &[String] {
        match &self.kind {
            ColumnKind::Categorical(names) => names,
            ColumnKind::Sequential | ColumnKind::Diverging => &[],
        }
    }
}

impl Study {
    /// Adds a column for colors, searches and filters; one of the same name is replaced. A state draws it with
    /// [`ColorChoice::values`](attn_render::ColorChoice::values) of its name.
    ///
    /// # Errors
    /// [`Error::Column`] if it has not a value per token of each side.
    pub fn add_column(&mut self, column: Column) -> Result<(), Error> {
        for (side, values) in [(Side::Encoder, &column.encoder), (Side::Decoder, &column.decoder)] {
            let expected = self.capture().tokens(side);
            if values.len() != expected {
                return Err(Error::Column {
                    name: column.name,
                    side,
                    expected,
                    found: values.len(),
                });
            }
        }
        match self.columns.iter_mut().find(|other| other.name == column.name) {
            Some(other) => *other = column,
            None => self.columns.push(column),
        }
        Ok(())
    }

    /// The columns that were brought, in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A column by its name, in any case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| {
            self.columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
        })
    }
}
