//! The clusters of one or more models, and what became of them from one to the next.

use std::collections::BTreeSet;

use attn_core::{Progress, progress::step};
use serde::{Deserialize, Serialize};

use super::{ConceptLayer, ConceptSpace, PipelineParams};
use crate::{
    Error, Result,
    concepts::{Changes, FoundAgain, OverlapParams, changes, overlap},
};

/// The clusters of one model, or of several beside each other: before and after fine-tuning, checkpoints of a training, the
/// encoder and the decoder of one model.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConceptStudy {
    /// The models, in the order of training.
    pub models: Vec<ConceptSpace>,
    /// Each model beside the next one of the same side; of three or more also the first beside the last; the encoder of a model
    /// beside its decoder. A single model is compared with itself, each layer with the next.
    pub comparisons: Vec<Comparison>,
    /// The label set that is the class of the sentence, if there is one.
    pub classes: Option<String>,
}

/// Two models beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Index of the first model.
    pub before: usize,
    /// Index of the second model; that of the first for layers of one model.
    pub after: usize,
    /// Layers that correspond to each other, by depth.
    pub layers: Vec<LayerPair>,
    /// Per layer of the first model, the share of its clusters that are found again in each layer of the second. Not found:
    /// also those with words that the other text lacks.
    pub between: Vec<Vec<FoundAgain>>,
}

/// A layer of one model and a layer of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerPair {
    /// The layer of the first model.
    pub before: usize,
    /// The layer of the second model.
    pub after: usize,
    /// What became of the clusters.
    #[serde(flatten)]
    pub changes: Changes,
}

impl ConceptStudy {
    /// Whether comparisons tell clusters of one word from others: not in files of older versions, until they are
    /// [compared](super::Pipeline::compare) again.
    pub fn has_kinds(&self) -> bool {
        let mut cells = self
            .comparisons
            .iter()
            .flat_map(|comparison| comparison.between.iter().flatten());
        cells.all(FoundAgain::has_kinds)
    }

    pub(super) fn new(models: Vec<ConceptSpace>, params: &PipelineParams, progress: &dyn Progress) -> Result<Self> {
        if models.is_empty() {
            return Err(Error::Empty {
                place: "models".into(),
                expected: "at least one model".into(),
            });
        }
        let pairs = pairs(&models);
        let mut comparisons = Vec::with_capacity(pairs.len());
        for (before, after) in pairs {
            comparisons.push(Comparison::new(
                (before, &models[before]),
                (after, &models[after]),
                params,
                progress,
            )?);
        }
        let sets = models.iter().flat_map(|model| &model.sets);
        let classes = sets.map(|set| &set.name).find(|name| **name == params.classes).cloned();
        Ok(Self {
            models,
            comparisons,
            classes,
        })
    }
}

/// The models that are compared, by their indices.
fn pairs(models: &[ConceptSpace]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let sides: BTreeSet<Option<attn_core::Side>> = models.iter().map(|model| model.side).collect();
    for side in sides {
        let chain: Vec<usize> = (0..models.len()).filter(|&at| models[at].side == side).collect();
        pairs.extend(chain.windows(2).map(|pair| (pair[0], pair[1])));
        if let [first, _, .., last] = chain[..]
            && chain.len() > 2
        {
            pairs.push((first, last));
        }
    }
    for (at, pair) in models.windows(2).enumerate() {
        if pair[0].side != pair[1].side && pair[0].model == pair[1].model {
            pairs.push((at, at + 1));
        }
    }
    if pairs.is_empty() {
        pairs.push((0, 0));
    }
    pairs
}

impl Comparison {
    fn new(
        (before, a): (usize, &ConceptSpace),
        (after, b): (usize, &ConceptSpace),
        params: &PipelineParams,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (types, others) = (a.words.types(), b.words.types());
        let corresponding = match before == after {
            true => (1..a.layers.len()).map(|at| (at - 1, at)).collect(),
            false => corresponding(a, b),
        };
        let mut layers = Vec::with_capacity(corresponding.len());
        for &(ours, theirs) in &corresponding {
            step(progress, "clusters found again", layers.len(), corresponding.len())?;
            let (ours, theirs) = (&a.layers[ours], &b.layers[theirs]);
            let found = changes(&ours.partition, &types, &theirs.partition, &others, &params.overlap);
            // Texts of two languages may share no spelling: there is nothing to follow.
            if matches!(found, Err(Error::Empty { .. })) {
                continue;
            }
            layers.push(LayerPair {
                before: ours.layer,
                after: theirs.layer,
                changes: found?,
            });
        }
        let rough = OverlapParams {
            permutations: params.pair_permutations,
            ..params.overlap.clone()
        };
        let mut between = Vec::with_capacity(a.layers.len());
        for ours in &a.layers {
            step(progress, "layers beside layers", between.len(), a.layers.len())?;
            let found = |theirs: &ConceptLayer| {
                overlap(&ours.partition, &types, &theirs.partition, &others, &rough).map(|found| found.found)
            };
            between.push(b.layers.iter().map(found).collect::<Result<_>>()?);
        }
        step(progress, "layers beside layers", between.len(), a.layers.len())?;
        Ok(Self {
            before,
            after,
            layers,
            between,
        })
    }
}

/// Layers of two models that correspond, as indices: those of one number in models of one depth; else each layer with the one
/// at the same share of the depth, from both sides.
fn corresponding(a: &ConceptSpace, b: &ConceptSpace) -> Vec<(usize, usize)> {
    let at = |space: &ConceptSpace, layer: usize| space.layers.iter().position(|own| own.layer == layer);
    let scaled = |layer: usize, from: usize, to: usize| match from {
        0 => layer,
        _ => (layer as f64 * to as f64 / from as f64).round() as usize,
    };
    let mut pairs = BTreeSet::new();
    for (index, layer) in a.layers.iter().enumerate() {
        pairs.extend(at(b, scaled(layer.layer, a.depth, b.depth)).map(|other| (index, other)));
    }
    for (index, layer) in b.layers.iter().enumerate() {
        pairs.extend(at(a, scaled(layer.layer, b.depth, a.depth)).map(|other| (other, index)));
    }
    pairs.into_iter().collect()
}
