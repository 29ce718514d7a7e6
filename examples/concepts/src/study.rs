//! What is found in one or two models: clusters, labels and names, layer by layer, and what both have.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use attn_sdk::{
    Progress,
    analyze::concepts::{
        Against, AlignOptions, BestLabel, ClusterName, Dendrogram, Filtered, LabelSet, OverlapOptions, Partition,
        TaggedText, Words, name_clusters, overlap,
    },
    core::progress::step,
};
use serde::Serialize;

use super::{
    encode::{alignments, encode},
    explain::Explanation,
    options::{Options, Source},
};

/// One label set in one layer.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) label_set: String,
    pub(crate) aligned: Against,
    pub(crate) covered: Against,
    pub(crate) score: Against,
    /// Clusters aligned with each label.
    pub(crate) clusters: BTreeMap<String, Against>,
}

/// Another method of clustering beside Ward.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Agreement {
    /// Adjusted Rand index, and how much larger the share of clusters is that stand for a label of the first set.
    Found { adjusted_rand: f64, aligned: f64 },
    /// Why it found no clusters.
    Failed(String),
}

/// One cluster.
#[derive(Serialize)]
pub(crate) struct Cluster {
    pub(crate) name: ClusterName,
    /// Its best label of each set.
    pub(crate) labels: Vec<Option<BestLabel>>,
    /// Indices into the model's words.
    pub(crate) members: Vec<usize>,
}

/// One layer.
#[derive(Serialize)]
pub(crate) struct Layer {
    pub(crate) layer: usize,
    pub(crate) rows: Vec<Row>,
    /// How far other methods agree with Ward.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) methods: BTreeMap<&'static str, Agreement>,
    pub(crate) clusters: Vec<Cluster>,
    /// How the clusters are joined.
    pub(crate) tree: Dendrogram,
    /// All words' tree.
    #[serde(skip)]
    pub(crate) whole: Dendrogram,
    #[serde(skip)]
    pub(crate) partition: Partition,
    /// `[x, y]` per word.
    pub(crate) map: Vec<[f32; 2]>,
}

/// What one model holds together in one text.
#[derive(Serialize)]
pub(crate) struct Encoded {
    /// The model's name, with that of the text if another is beside it.
    pub(crate) model: String,
    #[serde(skip)]
    pub(crate) text: Arc<TaggedText>,
    pub(crate) words: Words,
    pub(crate) filtered: Filtered,
    pub(crate) layers: Vec<Layer>,
    /// If it is a classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<Explanation>,
    #[serde(skip)]
    pub(crate) sets: Vec<LabelSet>,
    /// The rule for names of other divisions, without a chance level.
    #[serde(skip)]
    pub(crate) judge: AlignOptions,
}

/// One layer of two models.
#[derive(Serialize)]
pub(crate) struct Transfer {
    pub(crate) layer: usize,
    /// The first model's clusters that the second has too.
    pub(crate) survive: Against,
    /// The second model's clusters that the first has too.
    pub(crate) known_before: Against,
}

/// Everything that was found.
#[derive(Serialize)]
pub(crate) struct Study {
    /// One or two.
    pub(crate) models: Vec<Encoded>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) transfer: Vec<Transfer>,
    /// Per layer of the first model the share of its clusters that each layer of the last model has too; the last is the first
    /// if there is only one.
    pub(crate) between: Vec<Vec<Against>>,
    /// The label set that is the class of the sentence.
    pub(crate) classes: Option<String>,
}

pub(crate) fn run(options: &Options, sources: Vec<Source>, progress: &dyn Progress) -> Result<Study, Box<dyn Error>> {
    let models = sources.iter().map(|source| encode(options, source, progress));
    let models = models.collect::<Result<Vec<_>, _>>()?;
    let again = options.again();
    let found = |a: &Encoded, ours: &Layer, b: &Encoded, theirs: &Layer, again: &OverlapOptions| {
        let (types, others) = (a.words.types(), b.words.types());
        overlap(&ours.partition, &types, &theirs.partition, &others, again).map(|overlap| overlap.found)
    };
    let mut transfer = Vec::new();
    if let [before, after] = models.as_slice() {
        for (ours, theirs) in before.layers.iter().zip(&after.layers) {
            transfer.push(Transfer {
                layer: ours.layer,
                survive: found(before, ours, after, theirs, &again)?,
                known_before: found(after, theirs, before, ours, &again)?,
            });
        }
    }
    // Every pair of layers: a rough chance level has to do.
    let rough = OverlapOptions {
        permutations: 5,
        ..again
    };
    let mut between = Vec::new();
    if let (Some(first), Some(last)) = (models.first(), models.last()) {
        for ours in &first.layers {
            step(progress, "layers beside layers", between.len(), first.layers.len())?;
            let row = last
                .layers
                .iter()
                .map(|theirs| found(first, ours, last, theirs, &rough));
            between.push(row.collect::<Result<_, _>>()?);
        }
    }
    let has_classes = models
        .iter()
        .any(|model| model.sets.iter().any(|set| set.name == options.classes));
    Ok(Study {
        models,
        transfer,
        between,
        classes: has_classes.then(|| options.classes.clone()),
    })
}

impl Encoded {
    /// Names for another division of the words, for example the branches of a tree.
    pub(crate) fn names(&self, partition: &Partition) -> Result<Vec<ClusterName>, attn_sdk::Error> {
        let types = self.words.types();
        let alignments = alignments(partition, &self.sets, &types, &self.judge)?;
        Ok(name_clusters(
            partition,
            &types,
            &alignments,
            self.judge.threshold,
            None,
        )?)
    }
}

/// What stands around a place of a text, whole words of about `reach` letters on each side: before it, it, after it.
pub(crate) fn around(text: &str, (start, end): (usize, usize), reach: usize) -> [String; 3] {
    let (before, after) = (&text[..start], &text[end..]);
    let cut = before.char_indices().rev().nth(reach).map(|(at, _)| &before[at..]);
    let before = match cut.and_then(|cut| cut.split_once(' ')) {
        Some((_, kept)) => format!("… {kept}"),
        None => before.to_owned(),
    };
    let cut = after.char_indices().nth(reach).map(|(at, _)| &after[..at]);
    let after = match cut.and_then(|cut| cut.rsplit_once(' ')) {
        Some((kept, _)) => format!("{kept} …"),
        None => after.to_owned(),
    };
    [before, text[start..end].to_owned(), after]
}
