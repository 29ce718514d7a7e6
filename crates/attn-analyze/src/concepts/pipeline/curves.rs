//! The numbers of a study as curves over the layers and as rows of a table.

use serde::{Deserialize, Serialize};

use super::{ConceptLayer, ConceptSpace, ConceptStudy, LabelRow};
use crate::concepts::Against;

/// Label sets shown beside the share of clusters of one word.
const ONE_WORD_SETS: usize = 2;

/// Curves over the layers of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerCurves {
    /// What they show.
    pub title: String,
    /// The layers.
    pub layers: Vec<usize>,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// A value per layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Name of the curve.
    pub name: String,
    /// Its values, 0 to 1.
    pub values: Vec<f64>,
    /// Chance level of each value, if labels were permuted.
    pub chance: Option<Vec<f64>>,
}

impl Curve {
    fn new(name: impl Into<String>, values: &[Against]) -> Self {
        let chance = values.iter().map(|against| against.chance.map(|chance| chance.mean));
        Self {
            name: name.into(),
            values: values.iter().map(|against| against.value).collect(),
            chance: chance.collect(),
        }
    }
}

/// A row of [`ConceptStudy::rows`].
#[derive(Debug, Clone, Copy)]
pub struct LayerRow<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The layer.
    pub layer: usize,
    /// Alignment with one label set.
    pub row: &'a LabelRow,
}

impl ConceptStudy {
    /// The topic of [`compared`](Self::compared) about clusters that are found again.
    pub const FOUND_AGAIN: &'static str = "found again";

    /// Aligned share of each label set among the clusters of several words, over the layers of one model.
    pub fn curves(&self, model: &ConceptSpace) -> LayerCurves {
        let curves = model.sets.iter().enumerate().map(|(at, set)| {
            let name = if self.is_class(&set.name) {
                format!("polar ({})", set.name)
            } else {
                set.name.clone()
            };
            Curve::new(name, &aligned(model, at))
        });
        LayerCurves {
            title: "Labels of clusters of several words".into(),
            layers: layers(model),
            curves: curves.collect(),
        }
    }

    /// The clusters of one word, over the layers of one model: their share of all clusters, and of them the share that is aligned
    /// with each set of the file, which no layer can do much about.
    pub fn one_word_curves(&self, model: &ConceptSpace) -> LayerCurves {
        let share = Curve {
            name: "share of clusters".into(),
            values: model.layers.iter().map(ConceptLayer::one_word).collect(),
            chance: None,
        };
        let sets = model.sets.iter().enumerate().take(ONE_WORD_SETS);
        let sets = sets.map(|(at, set)| {
            let rows = model.layers.iter().filter_map(|layer| layer.rows.get(at));
            let aligned: Vec<Against> = rows.map(|row| row.one_word.aligned).collect();
            Curve::new(&set.name, &aligned)
        });
        LayerCurves {
            title: "Clusters of one word".into(),
            layers: layers(model),
            curves: [share].into_iter().chain(sets).collect(),
        }
    }

    /// The topics that two models are compared by: each label set, and the clusters that are found again.
    pub fn topics(&self) -> Vec<String> {
        if self.models.len() < 2 {
            return Vec::new();
        }
        let sets = self.models[0].sets.iter().map(|set| set.name.clone());
        sets.chain([Self::FOUND_AGAIN.to_owned()]).collect()
    }

    /// One topic over the layers of both models; `None` for a study of one.
    pub fn compared(&self, topic: &str) -> Option<LayerCurves> {
        let [before, after] = self.models.as_slice() else {
            return None;
        };
        let position = |model: &ConceptSpace| model.sets.iter().position(|set| set.name == topic);
        let (title, curves) = match position(before) {
            Some(set) => {
                let after_values = position(after).map(|set| aligned(after, set));
                let after_values = after_values.filter(|values| values.len() == before.layers.len());
                let mut curves = vec![Curve::new(&before.model, &aligned(before, set))];
                curves.extend(after_values.map(|values| Curve::new(&after.model, &values)));
                let title = if self.is_class(topic) {
                    format!("Polar clusters ({topic})")
                } else {
                    format!("Clusters that stand for {topic}")
                };
                (title, curves)
            }
            None => {
                let survive: Vec<Against> = self.transfer.iter().map(|row| row.survive).collect();
                let known: Vec<Against> = self.transfer.iter().map(|row| row.known_before).collect();
                let curves = vec![
                    Curve::new(format!("of {} in {}", before.model, after.model), &survive),
                    Curve::new(format!("of {} in {}", after.model, before.model), &known),
                ];
                ("Clusters found again in the other model".to_owned(), curves)
            }
        };
        Some(LayerCurves {
            title,
            layers: layers(before),
            curves,
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
                model: &model.model,
                layer: layer.layer,
                row,
            })
        })
    }

    fn is_class(&self, set: &str) -> bool {
        self.classes.as_deref() == Some(set)
    }
}

fn layers(model: &ConceptSpace) -> Vec<usize> {
    model.layers.iter().map(|layer| layer.layer).collect()
}

/// The aligned share of one label set, layer by layer.
fn aligned(model: &ConceptSpace, set: usize) -> Vec<Against> {
    let rows = model.layers.iter().filter_map(|layer| layer.rows.get(set));
    rows.map(|row| row.aligned).collect()
}
