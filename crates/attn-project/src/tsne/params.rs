//! Parameters of t-SNE.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{KL_DIVERGENCE, PERPLEXITY};
use crate::{Embedding, Error, Result};

/// Parameters of t-SNE. The defaults are today's best practice; [`TsneParams::published`] are those of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TsneParams {
    /// Effective number of neighbors, at least 1. Default 30. Every point needs three times as many neighbors;
    /// where there are not so many points, a third of the other points is used.
    pub perplexity: f32,
    /// Further perplexities, each at least 1: affinities are then the mean of those at every perplexity, so that a
    /// layout can show both near neighborhoods and the larger shape. Default none. For large clouds Kobak and Berens
    /// (2019) advise 30 and a hundredth of the points. Costs neighbors: three times the largest perplexity.
    pub further_perplexities: [Option<f32>; 3],
    /// Factor on the attraction during the first phase, in which clusters find each other. Default 12.
    pub exaggeration: f32,
    /// Iterations of the first phase. Default 250.
    pub exaggerated_iterations: usize,
    /// Iterations after it. Default 500.
    pub iterations: usize,
    /// Step per unit of gradient. Default: the number of points divided by the exaggeration of the phase,
    /// so that a step undoes a constant share of the attraction whatever the number of points.
    pub learning_rate: Option<f32>,
    /// Accuracy of the tree of far points: a cell counts as one point if its width is below `theta` times its
    /// distance. Default 0.5; smaller is slower and more exact. In the plane a grid takes the tree's place where that
    /// is faster.
    pub theta: f32,
}

impl Default for TsneParams {
    fn default() -> Self {
        Self {
            perplexity: 30.0,
            further_perplexities: [None; 3],
            exaggeration: 12.0,
            exaggerated_iterations: 250,
            iterations: 500,
            learning_rate: None,
            theta: 0.5,
        }
    }
}

impl TsneParams {
    /// The parameters of the projections in AttentionViz (Yeh et al. 2023): perplexity 50, 300 iterations in
    /// all. Too few to converge: for reproducing a figure, not for reading one. The paper's metric is
    /// [`Cosine`](crate::metric::Cosine).
    pub fn published() -> Self {
        Self {
            perplexity: 50.0,
            exaggerated_iterations: 250,
            iterations: 50,
            ..Self::default()
        }
    }

    /// The same with these perplexities, the first and further ones; without any, those of `self`.
    ///
    /// ```
    /// use attn_project::tsne::TsneParams;
    /// let params = TsneParams::default().with_perplexities(&[30.0, 300.0])?;
    /// assert_eq!(params.further_perplexities, [Some(300.0), None, None]);
    /// assert!(TsneParams::default().with_perplexities(&[30.0; 5]).is_err());
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than four.
    pub fn with_perplexities(mut self, perplexities: &[f32]) -> Result<Self> {
        let Some((&first, further)) = perplexities.split_first() else {
            return Ok(self);
        };
        let slots = self.further_perplexities.len();
        if further.len() > slots {
            let most = format!("at most {} perplexities", slots + 1);
            return Err(Error::parameter("perplexity", most, perplexities.len()));
        }
        self.perplexity = first;
        self.further_perplexities = std::array::from_fn(|slot| further.get(slot).copied());
        Ok(self)
    }

    /// Neighbors each of `points` points needs: three times the largest perplexity, or all the others if those are
    /// fewer.
    pub fn neighbors(&self, points: usize) -> usize {
        ((3.0 * self.largest_perplexity()) as usize).clamp(1, points.saturating_sub(1).max(1))
    }

    /// The perplexity used for `points` points: a third of the other points is the most they allow.
    pub fn effective_perplexity(&self, points: usize) -> f32 {
        self.perplexity.min(points.saturating_sub(1) as f32 / 3.0).max(1.0)
    }

    /// Every perplexity used for `points` points, [`effective_perplexity`](Self::effective_perplexity) first, without
    /// those that are equal then.
    pub fn effective_perplexities(&self, points: usize) -> Vec<f32> {
        let mut used: Vec<f32> = Vec::new();
        for perplexity in self.perplexities() {
            let alone = self.at(perplexity).effective_perplexity(points);
            if !used.contains(&alone) {
                used.push(alone);
            }
        }
        used
    }

    /// The same with another first perplexity.
    pub(super) fn at(&self, perplexity: f32) -> Self {
        Self { perplexity, ..*self }
    }

    /// A layout with what is reported of it.
    pub(super) fn embedding(&self, map: Array2<f32>, divergence: f64) -> Embedding {
        let perplexity = self.effective_perplexity(map.nrows());
        Embedding::new(map)
            .report(KL_DIVERGENCE, [divergence])
            .report(PERPLEXITY, [f64::from(perplexity)])
    }

    fn perplexities(&self) -> impl Iterator<Item = f32> {
        std::iter::once(self.perplexity).chain(self.further_perplexities.into_iter().flatten())
    }

    pub(super) fn largest_perplexity(&self) -> f32 {
        self.perplexities().fold(1.0, f32::max)
    }

    /// Refuses values that no run could use.
    pub(super) fn check(&self) -> Result<()> {
        let number = |parameter, value: f32, least: f32| {
            if value.is_finite() && value >= least {
                Ok(())
            } else {
                Err(Error::parameter(
                    parameter,
                    format!("a finite number, at least {least}"),
                    value,
                ))
            }
        };
        number("perplexity", self.perplexity, 1.0)?;
        for perplexity in self.further_perplexities.into_iter().flatten() {
            number("further_perplexities", perplexity, 1.0)?;
        }
        number("exaggeration", self.exaggeration, 1.0)?;
        number("theta", self.theta, 0.01)?;
        if let Some(rate) = self.learning_rate
            && !(rate > 0.0 && rate <= 1e9)
        {
            return Err(Error::parameter("learning_rate", "above 0, at most 1e9", rate));
        }
        if self.exaggerated_iterations.saturating_add(self.iterations) == 0 {
            return Err(Error::parameter(
                "iterations",
                "at least one in both phases together",
                0,
            ));
        }
        Ok(())
    }
}
