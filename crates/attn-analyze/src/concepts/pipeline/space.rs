//! The clusters of one model in one text.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use attn_core::Side;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{Centers, Explanation, file::side_name};
use crate::{
    Error, Result,
    concepts::{
        Against, AlignParams, Alignment, BestLabel, ClusterName, Dendrogram, Filtered, LabelSet, NameKind, Neurons,
        OneWord, Partition, Reachability, Subwords, Sweep, TaggedText, Top, Units, Words, adjusted_rand, align, means,
        name_clusters, points::Frame,
    },
};

/// Spellings of other clusters that are told to be partly in one.
const PARTLY: usize = 8;

/// The clusters of words of one model in one text, layer by layer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConceptSpace {
    /// Name of the model, with that of the text if a model reads two.
    pub model: String,
    /// The stack, of a model with two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The model, so that a study that was saved can read new sentences. A host that knows it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModelSource>,
    /// Name of the method of clustering. Files of older versions have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The tokens that stand for a word.
    #[serde(default)]
    pub subwords: Subwords,
    /// The model's last layer, whether or not it was clustered.
    #[serde(default)]
    pub depth: usize,
    /// The text. In files it stands beside the models.
    #[serde(skip)]
    pub text: Arc<TaggedText>,
    /// The words that were clustered.
    pub words: Words,
    /// The words that were left out by their frequency.
    pub filtered: Filtered,
    /// What else was left out, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The layers.
    pub layers: Vec<ConceptLayer>,
    /// A prediction in terms of clusters, of a classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// The label sets, in the order of [`ConceptLayer::rows`].
    #[serde(default)]
    pub sets: Vec<LabelSet>,
    /// The rule of alignment.
    #[serde(default)]
    pub(super) align: AlignParams,
}

/// Where a model is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSource {
    /// Its folder, or a name that the host knows.
    pub place: String,
    /// Fingerprint of its configuration and weights, as in the capture; empty if it is not known.
    #[serde(default)]
    pub fingerprint: String,
}

/// The clusters of one layer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConceptLayer {
    /// The layer, 0 for the embeddings.
    pub layer: usize,
    /// Alignment with each label set.
    pub rows: Vec<LabelRow>,
    /// Other methods of clustering beside this one, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub methods: BTreeMap<String, Agreement>,
    /// Alignment with each annotated set over numbers of clusters and thresholds, of methods that grow a tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<Sweep>,
    /// Neurons for each set of labels that words have, if they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neurons: Vec<Neurons>,
    /// Per word its shares of clusters, of methods whose clusters overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub membership: Vec<Vec<(usize, f32)>>,
    /// The words in the order of their density, of methods that find one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachability: Option<Reachability>,
    /// The clusters.
    pub clusters: Vec<ConceptCluster>,
    /// The tree of the clusters, of methods that grow one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Dendrogram>,
    /// The tree of all words.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::file::tree")]
    pub whole: Option<Dendrogram>,
    /// The cluster of each word. Not in files: [`ConceptCluster::members`] says the same.
    #[serde(skip)]
    pub partition: Partition,
    /// Where the clusters are. Files of older versions have none.
    #[serde(default, skip_serializing_if = "Centers::is_empty", with = "super::file::centers")]
    pub centers: Centers,
    /// `[x, y]` of each word on the map; empty without a map.
    pub map: Vec<[f32; 2]>,
}

/// Alignment of the clusters of a layer with one label set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelRow {
    /// Name of the label set.
    pub label_set: String,
    /// Clusters that were judged: those of several words, see [`AlignParams::min_words`].
    pub judged: usize,
    /// Share of the judged clusters that are aligned with a label.
    pub aligned: Against,
    /// Share of the labels with an aligned cluster.
    pub covered: Against,
    /// The mean of both.
    pub score: Against,
    /// Clusters of one word, apart.
    pub one_word: OneWord,
    /// Judged clusters aligned with each label.
    pub clusters: BTreeMap<String, Against>,
}

/// Agreement of another method of clustering.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Agreement {
    /// It found clusters.
    Found {
        /// Adjusted Rand index of both partitions.
        adjusted_rand: f64,
        /// Its aligned share of the first label set, minus that of this method.
        aligned: f64,
    },
    /// The reason why it found none.
    Failed(String),
}

/// One cluster of words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConceptCluster {
    /// Its name.
    pub name: ClusterName,
    /// Its best label of each set.
    pub labels: Vec<Option<BestLabel>>,
    /// Its words, as indices into [`ConceptSpace::words`].
    pub members: Vec<usize>,
    /// Its different words, up to case. 1: the cluster is one word in several occurrences.
    #[serde(default)]
    pub words: usize,
    /// Share of its members that are nearer to the mean of another cluster, 0 to 1. A large cluster with a large share is what is
    /// left over rather than a concept.
    #[serde(default)]
    pub borderline: f64,
}

impl ConceptCluster {
    /// Share of the cluster with its best label of a set; 0 without one.
    pub fn share(&self, set: usize) -> f64 {
        let best = self.labels.get(set).and_then(|best| best.as_ref());
        best.map_or(0.0, |best| best.share)
    }
}

impl ConceptLayer {
    pub(super) fn new(
        layer: usize,
        partition: Partition,
        whole: Option<Dendrogram>,
        sets: &[LabelSet],
        words: &Words,
        params: &AlignParams,
    ) -> Result<Self> {
        let units = Units::new(words);
        let alignments = alignments(&partition, sets, &units, params)?;
        let names = name_clusters(&partition, &words.types(), &alignments, params.threshold, None)?;
        let words = units.words_in(&partition);
        let clusters = names.into_iter().zip(partition.members()).enumerate();
        let clusters = clusters.map(|(at, (name, members))| ConceptCluster {
            name,
            labels: alignments.iter().map(|alignment| alignment.best[at].clone()).collect(),
            members,
            words: words[at],
            borderline: 0.0,
        });
        let top = whole.as_ref().map(|whole| whole.top(partition.count())).transpose()?;
        Ok(Self {
            layer,
            clusters: clusters.collect(),
            rows: alignments.into_iter().map(LabelRow::new).collect(),
            methods: BTreeMap::new(),
            sweeps: Vec::new(),
            neurons: Vec::new(),
            membership: Vec::new(),
            reachability: None,
            tree: top.map(|top| top.tree),
            whole,
            partition,
            centers: Centers::default(),
            map: Vec::new(),
        })
    }

    /// Measures how much of each cluster is nearer to another one.
    pub(super) fn measure_borders(&mut self, vectors: ArrayView2<'_, f32>) {
        let centers = means(vectors, &self.partition);
        let nearest = Frame::of(vectors).nearest(vectors, None, centers.view(), |_| None);
        let elsewhere = |cluster: usize, member: usize| nearest[member].is_some_and(|(nearest, _)| nearest != cluster);
        for (at, cluster) in self.clusters.iter_mut().enumerate() {
            let count = cluster.members.iter().filter(|&&member| elsewhere(at, member)).count();
            cluster.borderline = count as f64 / cluster.members.len().max(1) as f64;
        }
    }

    /// Takes over the names that were given to clusters which are still there.
    pub(super) fn keep_names(&mut self, of: &Self) {
        let given = of
            .clusters
            .iter()
            .filter(|cluster| cluster.name.kind == NameKind::External);
        let given: HashMap<&[usize], &ClusterName> = given
            .map(|cluster| (cluster.members.as_slice(), &cluster.name))
            .collect();
        for own in &mut self.clusters {
            if let Some(name) = given.get(own.members.as_slice()) {
                own.name = (*name).clone();
            }
        }
    }

    /// Takes over what was measured of the same clusters.
    pub(super) fn keep_measures(&mut self, of: &Self) {
        self.centers = of.centers.clone();
        self.methods.clone_from(&of.methods);
        self.membership.clone_from(&of.membership);
        for (own, of) in self.clusters.iter_mut().zip(&of.clusters) {
            own.borderline = of.borderline;
        }
    }

    /// Share of the clusters that are one word in several occurrences, 0 to 1.
    pub fn one_word(&self) -> f64 {
        let one = self.clusters.iter().filter(|cluster| cluster.words == 1).count();
        one as f64 / self.clusters.len().max(1) as f64
    }

    /// Another partition of the same words beside this one.
    pub(super) fn agreement(
        &self,
        other: &Partition,
        set: &LabelSet,
        units: &Units,
        params: &AlignParams,
    ) -> Result<Agreement> {
        let aligned = align(other, set, units, params, &())?.aligned.value;
        let own = self.rows.first().map_or(0.0, |row| row.aligned.value);
        Ok(Agreement::Found {
            adjusted_rand: adjusted_rand(&self.partition, other)?,
            aligned: aligned - own,
        })
    }

    /// Of a method whose clusters overlap: the mean share that a cluster has of its own words, and the words of other clusters that
    /// are partly in it, the largest shares first. `None` for other methods.
    pub fn shares(&self, cluster: usize) -> Option<(f64, Vec<(usize, f32)>)> {
        if self.membership.is_empty() {
            return None;
        }
        let share = |word: usize| {
            let own = self.membership.get(word)?.iter().find(|(at, _)| *at == cluster);
            own.map(|&(_, share)| share)
        };
        let members = &self.clusters.get(cluster)?.members;
        let sum: f64 = members.iter().filter_map(|&word| share(word)).map(f64::from).sum();
        let elsewhere = (0..self.membership.len()).filter(|&word| self.partition.cluster(word) != Some(cluster));
        let mut partly: Vec<(usize, f32)> = elsewhere.filter_map(|word| Some((word, share(word)?))).collect();
        partly.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Some((sum / members.len().max(1) as f64, partly))
    }

    /// The clusters, largest first.
    pub fn largest(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.clusters.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(self.clusters[at].members.len()));
        order
    }
}

impl LabelRow {
    fn new(alignment: Alignment) -> Self {
        Self {
            label_set: alignment.label_set,
            judged: alignment.judged,
            one_word: alignment.one_word,
            aligned: alignment.aligned,
            covered: alignment.covered,
            score: alignment.score,
            clusters: alignment.clusters,
        }
    }
}

/// The upper part of a layer's tree, with names.
#[derive(Debug, Clone)]
pub struct Branches {
    /// The branches and how they are joined.
    pub top: Top,
    /// Name of each branch.
    pub names: Vec<ClusterName>,
    /// Words in each branch.
    pub sizes: Vec<usize>,
    /// Height of each branch.
    pub heights: Vec<f64>,
}

impl ConceptSpace {
    /// The model's name, with the stack of a model with two.
    pub fn name(&self) -> String {
        match self.side {
            Some(side) => format!("{} ({})", self.model, side_name(side)),
            None => self.model.clone(),
        }
    }

    /// [`ConceptLayer::shares`] in words: the mean share, and the spellings that are partly in a cluster.
    pub fn shares(&self, layer: &ConceptLayer, cluster: usize) -> Option<String> {
        let (own, partly) = layer.shares(cluster)?;
        let mut largest: Vec<(&str, f32)> = Vec::new();
        for (word, share) in partly {
            let Some(word) = self.words.words.get(word) else {
                continue;
            };
            if largest.len() < PARTLY && largest.iter().all(|(known, _)| *known != word.text) {
                largest.push((&word.text, share));
            }
        }
        let words = largest
            .iter()
            .map(|(word, share)| format!("{word} {:.0} %", 100.0 * share));
        let words = words.collect::<Vec<_>>().join(", ");
        let rest = if words.is_empty() {
            "no other word".to_owned()
        } else {
            words
        };
        Some(format!(
            "It has {:.0} % of its words on average; partly in it: {rest}",
            100.0 * own
        ))
    }

    /// The setting of alignment that its rows and names come from.
    pub fn align(&self) -> &AlignParams {
        &self.align
    }

    /// Names for another partition of the words, for example the branches of a tree.
    ///
    /// # Errors
    /// [`Error::Shape`] for a partition of other points.
    pub fn names(&self, partition: &Partition) -> Result<Vec<ClusterName>> {
        let types = self.words.types();
        let params = AlignParams {
            permutations: 0,
            ..self.align.clone()
        };
        let alignments = alignments(partition, &self.sets, &Units::new(&self.words), &params)?;
        name_clusters(partition, &types, &alignments, params.threshold, None)
    }

    /// Takes over a cut of this space that was begun a while ago. Layers that came meanwhile stay as they are, and so do names that
    /// were given meanwhile to clusters which are still there.
    pub fn take_cut(&mut self, cut: Self) {
        let done = cut.layers.len().min(self.layers.len());
        let more = self.layers.split_off(done);
        let before = std::mem::replace(self, cut);
        for (own, before) in self.layers.iter_mut().zip(&before.layers) {
            own.keep_names(before);
        }
        self.layers.extend(more);
    }

    /// The threshold of alignment; of a space from a file the default.
    pub fn threshold(&self) -> f64 {
        self.align.threshold
    }

    /// The `most` highest branches of a layer's tree. Nodes in `toggled` are opened where they would be closed, and closed
    /// where they would be open. `None` for a layer without a tree.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a layer that was not clustered.
    pub fn branches(&self, layer: usize, most: usize, toggled: &BTreeSet<usize>) -> Result<Option<Branches>> {
        let found = self.layers.get(layer).ok_or_else(|| Error::Parameter {
            name: "layer",
            expected: format!("an index below {}", self.layers.len()),
            found: layer.to_string(),
        })?;
        let Some(whole) = &found.whole else { return Ok(None) };
        let first_open = 2 * whole.points() - most.min(whole.points());
        let top = whole.opened(|node| (node >= first_open) != toggled.contains(&node));
        let branches = top.partition.members();
        Ok(Some(Branches {
            names: self.names(&top.partition)?,
            sizes: branches.iter().map(Vec::len).collect(),
            heights: top.nodes[..branches.len()]
                .iter()
                .map(|&node| whole.height(node))
                .collect(),
            top,
        }))
    }
}

fn alignments(partition: &Partition, sets: &[LabelSet], units: &Units, params: &AlignParams) -> Result<Vec<Alignment>> {
    sets.iter()
        .map(|set| align(partition, set, units, params, &()))
        .collect()
}
