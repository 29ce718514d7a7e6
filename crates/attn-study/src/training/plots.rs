//! Plots of a training.

use attn_render::plots::DataMap;

use super::Training;
use crate::Error;

impl Training {
    /// The data map of the examples with predictions; ids count these.
    ///
    /// # Errors
    /// [`Error::NotLogged`] without predictions that tell a probability and whether they are right.
    pub fn data_map(&self) -> Result<(DataMap, Vec<usize>), Error> {
        let there = |example: &usize| {
            let found = &self.dynamics[*example];
            [found.confidence, found.variability, found.correctness]
                .iter()
                .all(|value| value.is_finite())
        };
        let examples: Vec<usize> = (0..self.dynamics.len()).filter(there).collect();
        if examples.is_empty() {
            return Err(Error::NotLogged {
                plot: "data map",
                missing: "predictions with a probability that tell whether they are right",
            });
        }
        let column = |value: fn(&attn_analyze::training::ExampleDynamics) -> f32| -> Vec<f32> {
            examples.iter().map(|&example| value(&self.dynamics[example])).collect()
        };
        let map = DataMap::new(
            column(|of| of.confidence),
            column(|of| of.variability),
            column(|of| of.correctness),
        );
        Ok((map, examples))
    }
}
