//! The lists of a study as tables, for files: changes, polar clusters, a prediction, a placement, neurons.

use attn_core::table::Table;

use super::{Comparison, ConceptCluster, ConceptLayer, ConceptSpace, ConceptStudy, Explanation, Placement};
use crate::concepts::{Change, LabelSet};

/// Words of a cluster in a cell.
const WORDS: usize = 12;

impl ConceptStudy {
    /// A row per change between two models, layer by layer: the clusters by number and name, with their words.
    pub fn changes_table(&self, comparison: &Comparison) -> Table {
        let rows: Vec<(usize, usize, &Change)> = comparison
            .layers
            .iter()
            .flat_map(|pair| {
                pair.changes
                    .list
                    .iter()
                    .map(move |change| (pair.before, pair.after, change))
            })
            .collect();
        let of =
            |model: usize, layer: usize, clusters: &[usize], text: fn(&ConceptSpace, &ConceptCluster) -> String| {
                let space = self.models.get(model);
                let found = space.and_then(|space| Some((space, space.layers.iter().find(|own| own.layer == layer)?)));
                let Some((space, found)) = found else {
                    return String::new();
                };
                let clusters = clusters.iter().filter_map(|&at| found.clusters.get(at));
                clusters
                    .map(|cluster| text(space, cluster))
                    .collect::<Vec<_>>()
                    .join("; ")
            };
        let name = |_: &ConceptSpace, cluster: &ConceptCluster| cluster.name.text.clone();
        let mut table = Table::new(rows.len());
        table
            .numbers("layer", |row| rows[row].0)
            .numbers("other layer", |row| rows[row].1)
            .texts("change", |row| rows[row].2.fate.name())
            .numbers("different words", |row| rows[row].2.words)
            .texts("before", |row| numbers(&rows[row].2.before))
            .texts("names before", |row| {
                of(comparison.before, rows[row].0, &rows[row].2.before, name)
            })
            .texts("words before", |row| {
                of(comparison.before, rows[row].0, &rows[row].2.before, words)
            })
            .texts("after", |row| numbers(&rows[row].2.after))
            .texts("names after", |row| {
                of(comparison.after, rows[row].1, &rows[row].2.after, name)
            })
            .texts("words after", |row| {
                of(comparison.after, rows[row].1, &rows[row].2.after, words)
            });
        table
    }
}

impl ConceptSpace {
    /// The judged clusters of a layer that are aligned with a label of a set, largest first, with their labels.
    pub fn aligned<'a>(&'a self, layer: &'a ConceptLayer, set: usize) -> impl Iterator<Item = (usize, &'a str)> {
        layer.largest().into_iter().filter_map(move |at| {
            let cluster = &layer.clusters[at];
            let best = cluster.labels.get(set)?.as_ref().filter(|best| best.aligned)?;
            (cluster.words >= self.align().min_words).then_some((at, best.label.as_str()))
        })
    }

    /// A row per layer and judged cluster that is aligned with a label of a set: the polar clusters, if it is that of classes.
    pub fn aligned_table(&self, set: &LabelSet) -> Table {
        let at = self.sets.iter().position(|own| own.name == set.name);
        let rows: Vec<(&ConceptLayer, usize, &str)> = at
            .into_iter()
            .flat_map(|at| {
                let layers = self.layers.iter();
                layers.flat_map(move |layer| {
                    self.aligned(layer, at)
                        .map(move |(cluster, label)| (layer, cluster, label))
                })
            })
            .collect();
        let cluster = |row: usize| &rows[row].0.clusters[rows[row].1];
        let mut table = Table::new(rows.len());
        table
            .numbers("layer", |row| rows[row].0.layer)
            .texts(set.name.as_str(), |row| rows[row].2)
            .numbers("cluster", |row| rows[row].1)
            .texts("name", |row| cluster(row).name.text.as_str())
            .numbers("occurrences", |row| cluster(row).members.len())
            .numbers("different words", |row| cluster(row).words)
            .numbers("share", |row| at.map(|at| cluster(row).share(at)))
            .texts("words", |row| words(self, cluster(row)));
        table
    }

    /// A row per layer and cluster or special token that a prediction is attributed to.
    pub fn explanation_table(&self, found: &Explanation) -> Table {
        let mut rows: Vec<(usize, Option<usize>, String, String, f64, f64)> = Vec::new();
        for (layer, carried) in self.layers.iter().zip(&found.layers) {
            for part in &carried.clusters {
                let name = layer
                    .clusters
                    .get(part.cluster)
                    .map_or("", |cluster| &cluster.name.text);
                let own = part.words.iter().filter_map(|&word| found.words.words.get(word));
                let own: Vec<&str> = own.map(|word| word.text.as_str()).collect();
                rows.push((
                    layer.layer,
                    Some(part.cluster),
                    name.to_owned(),
                    own.join(", "),
                    part.weight,
                    part.share,
                ));
            }
            for token in &carried.special {
                rows.push((
                    layer.layer,
                    None,
                    token.text.clone(),
                    String::new(),
                    token.weight,
                    token.share,
                ));
            }
        }
        let gap = |layer: usize| {
            let at = self.layers.iter().position(|own| own.layer == layer)?;
            found.gaps.get(at).copied()
        };
        let mut table = Table::new(rows.len());
        table
            .numbers("layer", |row| rows[row].0)
            .numbers("cluster", |row| rows[row].1)
            .texts("name", |row| rows[row].2.as_str())
            .texts("words", |row| rows[row].3.as_str())
            .numbers("weight", |row| rows[row].4)
            .numbers("share", |row| rows[row].5)
            .numbers("completeness gap of the layer", |row| gap(rows[row].0));
        table
    }

    /// A row per layer, word of new sentences, and near cluster.
    pub fn placement_table(&self, placement: &Placement) -> Table {
        let mut rows = Vec::new();
        for (placed, layer) in placement.layers.iter().zip(&self.layers) {
            for (word, near) in placement.words.words.iter().zip(&placed.words) {
                rows.extend(near.iter().enumerate().map(|(rank, near)| (layer, word, rank, near)));
            }
        }
        let mut table = Table::new(rows.len());
        table
            .numbers("layer", |row| rows[row].0.layer)
            .texts("word", |row| rows[row].1.text.as_str())
            .numbers("rank", |row| rows[row].2 + 1)
            .numbers("cluster", |row| rows[row].3.cluster)
            .texts("name", |row| {
                let cluster = rows[row].0.clusters.get(rows[row].3.cluster);
                cluster.map_or("", |cluster| cluster.name.text.as_str())
            })
            .numbers("distance", |row| rows[row].3.distance)
            .numbers("usual distance", |row| rows[row].3.usual);
        table
    }

    /// A row per layer, label and neuron of a ranking, by means and by the probe.
    pub fn neurons_table(&self) -> Table {
        let mut rows = Vec::new();
        for layer in &self.layers {
            for set in &layer.neurons {
                for concept in &set.concepts {
                    for (by, list) in [("means", &concept.probeless), ("probe", &concept.probe)] {
                        let ranked = list.iter().enumerate();
                        rows.extend(ranked.map(|(rank, neuron)| (layer.layer, set, concept, by, rank, neuron)));
                    }
                }
            }
        }
        let mut table = Table::new(rows.len());
        table
            .numbers("layer", |row| rows[row].0)
            .texts("labels", |row| rows[row].1.label_set.as_str())
            .texts("concept", |row| rows[row].2.label.as_str())
            .texts("by", |row| rows[row].3)
            .numbers("rank", |row| rows[row].4 + 1)
            .numbers("neuron", |row| rows[row].5.index)
            .numbers("value", |row| rows[row].5.value)
            .numbers("accuracy", |row| rows[row].1.accuracy)
            .numbers("control", |row| rows[row].1.control)
            .numbers("selectivity", |row| rows[row].1.selectivity);
        table
    }
}

fn numbers(clusters: &[usize]) -> String {
    let numbers: Vec<String> = clusters.iter().map(usize::to_string).collect();
    numbers.join(" ")
}

/// The most frequent words of a cluster.
fn words(space: &ConceptSpace, cluster: &ConceptCluster) -> String {
    let spellings = space.spellings(cluster);
    let shown: Vec<&str> = spellings.iter().take(WORDS).map(|&(word, _)| word).collect();
    let more = if spellings.len() > WORDS { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
