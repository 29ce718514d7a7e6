//! Parameters of UMAP.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where the points start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The smoothest functions on the neighbor graph (Laplacian eigenmaps); principal components if the graph
    /// is not connected, for which these functions say nothing about how its parts lie.
    #[default]
    Spectral,
    /// Principal components: faster, and directions of the layout stay directions of the space.
    Pca,
}

/// Parameters of UMAP. The defaults are those of the reference implementation (umap-learn).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UmapParams {
    /// Size of a neighborhood, the point itself counted, at least 2. Default 15.
    pub neighbors: usize,
    /// How near points may come in the layout. Default 0.1.
    pub min_dist: f32,
    /// Scale of the layout's distances. Default 1.
    pub spread: f32,
    /// Points pushed away for each one pulled. Default 5.
    pub negative_samples: usize,
    /// Passes over the graph. Default: 500 up to 10,000 points, 200 beyond.
    pub epochs: Option<usize>,
    /// Where the points start. Default: spectral.
    pub start: Start,
}

impl Default for UmapParams {
    fn default() -> Self {
        Self {
            neighbors: 15,
            min_dist: 0.1,
            spread: 1.0,
            negative_samples: 5,
            epochs: None,
            start: Start::Spectral,
        }
    }
}

impl UmapParams {
    /// Other points each of `points` points needs to know: one less than the neighborhood, or all the others if
    /// those are fewer.
    pub fn neighbors(&self, points: usize) -> usize {
        self.neighbors
            .saturating_sub(1)
            .clamp(1, points.saturating_sub(1).max(1))
    }

    /// Passes over the graph of `points` points.
    pub(super) fn epochs(&self, points: usize) -> usize {
        self.epochs.unwrap_or(if points <= 10_000 { 500 } else { 200 })
    }

    /// Refuses values that no run could use.
    pub(super) fn check(&self) -> Result<()> {
        if self.neighbors < 2 {
            return Err(Error::parameter(
                "neighbors",
                "at least 2, the point itself counted",
                self.neighbors,
            ));
        }
        if !(self.spread.is_finite() && self.spread > 0.0) {
            return Err(Error::parameter("spread", "a positive number", self.spread));
        }
        if !(0.0..=self.spread).contains(&self.min_dist) {
            return Err(Error::parameter(
                "min_dist",
                format!("0 to the spread, {}", self.spread),
                self.min_dist,
            ));
        }
        if self.epochs == Some(0) {
            return Err(Error::parameter("epochs", "at least 1", 0));
        }
        Ok(())
    }
}
