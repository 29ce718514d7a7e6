//! The clusters of one or two models, and those that are found again.

use attn_core::{Progress, progress::step};
use serde::{Deserialize, Serialize};

use super::{ConceptLayer, ConceptSpace, PipelineParams};
use crate::{
    Error, Result,
    concepts::{Against, OverlapParams, overlap},
};

/// The clusters of one model, or of two beside each other.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConceptStudy {
    /// The models.
    pub models: Vec<ConceptSpace>,
    /// The same layer of two models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfer: Vec<Transfer>,
    /// Per layer of the first model, the share of its clusters that are found again in each layer of the last model; of one
    /// model, in its own layers.
    pub between: Vec<Vec<Against>>,
    /// The label set that is the class of the sentence, if there is one.
    pub classes: Option<String>,
}

/// One layer of two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The layer.
    pub layer: usize,
    /// Share of the first model's clusters that are found again in the second.
    pub survive: Against,
    /// Share of the second model's clusters that are found again in the first.
    pub known_before: Against,
}

impl ConceptStudy {
    pub(super) fn new(models: Vec<ConceptSpace>, params: &PipelineParams, progress: &dyn Progress) -> Result<Self> {
        let (Some(first), Some(last)) = (models.first(), models.last()) else {
            return Err(Error::Empty {
                place: "models".into(),
                expected: "at least one model".into(),
            });
        };
        let mut transfer = Vec::new();
        if let [before, after] = models.as_slice() {
            for (ours, theirs) in before.layers.iter().zip(&after.layers) {
                transfer.push(Transfer {
                    layer: ours.layer,
                    survive: found((before, ours), (after, theirs), &params.overlap)?,
                    known_before: found((after, theirs), (before, ours), &params.overlap)?,
                });
            }
        }
        let rough = OverlapParams {
            permutations: params.pair_permutations,
            ..params.overlap.clone()
        };
        let mut between = Vec::with_capacity(first.layers.len());
        for ours in &first.layers {
            step(progress, "layers beside layers", between.len(), first.layers.len())?;
            let theirs = last.layers.iter();
            let row = theirs.map(|theirs| found((first, ours), (last, theirs), &rough));
            between.push(row.collect::<Result<_>>()?);
        }
        let sets = models.iter().flat_map(|model| &model.sets);
        let classes = sets.map(|set| &set.name).find(|name| **name == params.classes).cloned();
        Ok(Self {
            models,
            transfer,
            between,
            classes,
        })
    }
}

/// Share of the clusters of one layer that are found again in another.
fn found(
    (a, ours): (&ConceptSpace, &ConceptLayer),
    (b, theirs): (&ConceptSpace, &ConceptLayer),
    params: &OverlapParams,
) -> Result<Against> {
    let (types, others) = (a.words.types(), b.words.types());
    Ok(overlap(&ours.partition, &types, &theirs.partition, &others, params)?.found)
}
