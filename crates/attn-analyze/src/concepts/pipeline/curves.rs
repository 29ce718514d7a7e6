//! The numbers of a study as curves over the layers and as rows of a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Comparison, ConceptLayer, ConceptSpace, ConceptStudy, LabelRow};
use crate::concepts::{Against, FoundAgain};

/// Label sets shown beside the share of clusters of one word.
const ONE_WORD_SETS: usize = 2;

/// Curves over the layers of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCurves {
    /// What they show.
    pub title: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// A value per layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Name of the curve.
    pub name: String,
    /// The layers. Models of different depth have different ones.
    pub layers: Vec<usize>,
    /// Its values, 0 to 1.
    pub values: Vec<f64>,
    /// Chance level of each value, if labels were permuted.
    pub chance: Option<Vec<f64>>,
}

impl Curve {
    fn new(name: impl Into<String>, values: impl IntoIterator<Item = (usize, Against)>) -> Self {
        let (layers, values): (Vec<usize>, Vec<Against>) = values.into_iter().unzip();
        let chance = values.iter().map(|against| against.chance.map(|chance| chance.mean));
        Self {
            name: name.into(),
            layers,
            values: values.iter().map(|against| against.value).collect(),
            chance: chance.collect(),
        }
    }
}

/// A row of [`ConceptStudy::rows`].
#[derive(Debug, Clone, Copy)]
pub struct LayerRow<'a> {
    /// The model.
    pub model: &'a ConceptSpace,
    /// The layer.
    pub layer: usize,
    /// Alignment with one label set.
    pub row: &'a LabelRow,
}

impl ConceptStudy {
    /// The topic of [`compared`](Self::compared) about clusters of several words that are found again.
    pub const FOUND_AGAIN: &'static str = "found again";
    /// The same of clusters of one word.
    pub const FOUND_AGAIN_ONE_WORD: &'static str = "one word found again";

    /// Aligned share of each label set among the judged clusters, over the layers of one model.
    pub fn curves(&self, model: &ConceptSpace) -> LayerCurves {
        let curves = model.sets.iter().enumerate().map(|(at, set)| {
            let name = if self.is_class(&set.name) {
                format!("polar ({})", set.name)
            } else {
                set.name.clone()
            };
            Curve::new(name, aligned(model, at))
        });
        LayerCurves {
            title: format!("Labels of {}", model.align().judged()),
            curves: curves.collect(),
        }
    }

    /// The clusters of one word, over the layers of one model: their share of all clusters, and of them the share that is aligned
    /// with each set of the file, which no layer can do much about.
    pub fn one_word_curves(&self, model: &ConceptSpace) -> LayerCurves {
        let share = Curve {
            name: "share of clusters".into(),
            layers: model.layers.iter().map(|layer| layer.layer).collect(),
            values: model.layers.iter().map(ConceptLayer::one_word).collect(),
            chance: None,
        };
        let sets = model.sets.iter().enumerate().take(ONE_WORD_SETS);
        let sets = sets.map(|(at, set)| {
            let rows = model
                .layers
                .iter()
                .filter_map(|layer| Some((layer.layer, layer.rows.get(at)?)));
            Curve::new(&set.name, rows.map(|(layer, row)| (layer, row.one_word.aligned)))
        });
        LayerCurves {
            title: "Clusters of one word".into(),
            curves: [share].into_iter().chain(sets).collect(),
        }
    }

    /// The topics that models are compared by: each label set, and the clusters that are found again.
    pub fn topics(&self) -> Vec<String> {
        if self.models.len() < 2 {
            return Vec::new();
        }
        let mut topics: Vec<String> = Vec::new();
        for set in self.models.iter().flat_map(|model| &model.sets) {
            if !topics.contains(&set.name) {
                topics.push(set.name.clone());
            }
        }
        topics.extend([Self::FOUND_AGAIN, Self::FOUND_AGAIN_ONE_WORD].map(str::to_owned));
        topics
    }

    /// One topic over the layers of all models, whatever their depth; `None` for a study of one.
    pub fn compared(&self, topic: &str) -> Option<LayerCurves> {
        if self.models.len() < 2 {
            return None;
        }
        let of_set = |model: &ConceptSpace| {
            let set = model.sets.iter().position(|set| set.name == topic)?;
            Some(Curve::new(model.name(), aligned(model, set)))
        };
        let curves: Vec<Curve> = self.models.iter().filter_map(of_set).collect();
        if !curves.is_empty() {
            let title = if self.is_class(topic) {
                format!("Polar clusters ({topic})")
            } else {
                format!("Clusters that stand for {topic}")
            };
            return Some(LayerCurves { title, curves });
        }
        let of: fn(&FoundAgain) -> Against = match topic {
            Self::FOUND_AGAIN_ONE_WORD => |found| found.one_word.found,
            _ => |found| found.several.found,
        };
        let of_comparison = |comparison: &Comparison| {
            let name = |at: usize| self.models.get(at).map_or_else(String::new, ConceptSpace::name);
            let (before, after) = (name(comparison.before), name(comparison.after));
            // A layer of a shallow model may stand beside two of a deep one: the first of them counts.
            let layers = comparison.layers.iter();
            let survive = by_layer(layers.clone().map(|pair| (pair.before, of(&pair.changes.survive))));
            let known = by_layer(layers.map(|pair| (pair.after, of(&pair.changes.known_before))));
            [
                Curve::new(format!("of {before} in {after}"), survive),
                Curve::new(format!("of {after} in {before}"), known),
            ]
        };
        Some(LayerCurves {
            title: match topic {
                Self::FOUND_AGAIN_ONE_WORD => "Clusters of one word found again in the other model".to_owned(),
                _ => "Clusters of several words found again in the other model".to_owned(),
            },
            curves: self.comparisons.iter().flat_map(of_comparison).collect(),
        })
    }

    /// The numbers behind all curves: a row per model, layer and label set.
    pub fn rows(&self) -> impl Iterator<Item = LayerRow<'_>> {
        let layers = self
            .models
            .iter()
            .flat_map(|model| model.layers.iter().map(move |layer| (model, layer)));
        layers.flat_map(|(model, layer)| {
            layer.rows.iter().map(move |row| LayerRow {
                model,
                layer: layer.layer,
                row,
            })
        })
    }

    fn is_class(&self, set: &str) -> bool {
        self.classes.as_deref() == Some(set)
    }
}

/// One value per layer, ascending: the first that is given.
fn by_layer(values: impl Iterator<Item = (usize, Against)>) -> BTreeMap<usize, Against> {
    let mut found = BTreeMap::new();
    for (layer, value) in values {
        found.entry(layer).or_insert(value);
    }
    found
}

/// The aligned share of one label set, layer by layer.
fn aligned(model: &ConceptSpace, set: usize) -> Vec<(usize, Against)> {
    let rows = model
        .layers
        .iter()
        .filter_map(|layer| Some((layer.layer, layer.rows.get(set)?)));
    rows.map(|(layer, row)| (layer, row.aligned)).collect()
}
