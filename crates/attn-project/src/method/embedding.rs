//! Coordinates, and what a method says of them.

use std::borrow::Cow;

use ndarray::Array2;
use serde::{Deserialize, Serialize, Serializer};

use crate::Warning;

/// Dimensions of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dims {
    /// The plane.
    #[default]
    Two,
    /// Space, for an orbiting camera.
    Three,
}

impl Dims {
    /// 2 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// A number, or one per axis, that a method reports of its layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Which, such as [`KL_DIVERGENCE`](crate::tsne::KL_DIVERGENCE).
    pub name: Cow<'static, str>,
    /// Its values.
    pub values: Vec<f64>,
}

/// Coordinates of points, and what the method says of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Embedding {
    /// `[point, 2 or 3]`, always finite. The mean is near the origin; the unit is the method's own.
    #[serde(serialize_with = "rows")]
    pub points: Array2<f32>,
    /// What the method reports, such as the divergence that t-SNE reached.
    pub diagnostics: Vec<Diagnostic>,
    /// What to know before believing it; empty if nothing was found.
    pub warnings: Vec<Warning>,
}

impl Embedding {
    /// Coordinates `[point, 2 or 3]` without diagnostics and warnings.
    pub fn new(points: Array2<f32>) -> Self {
        Self {
            points,
            diagnostics: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The same with one diagnostic more.
    pub fn report(mut self, name: impl Into<Cow<'static, str>>, values: impl Into<Vec<f64>>) -> Self {
        self.diagnostics.push(Diagnostic {
            name: name.into(),
            values: values.into(),
        });
        self
    }

    /// The values of a diagnostic, for example one per axis; `None` if the method does not report it.
    pub fn diagnostic(&self, name: &str) -> Option<&[f64]> {
        let found = self.diagnostics.iter().find(|diagnostic| diagnostic.name == name)?;
        Some(&found.values)
    }
}

/// Serializes a matrix as a list of its rows.
fn rows<S: Serializer>(matrix: &Array2<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(matrix.rows().into_iter().map(|row| row.to_vec()))
}
