//! From an annotated text and one or two models to clusters, labels and names, layer by layer.

use std::{collections::BTreeMap, error::Error, path::Path};

use attn_sdk::{
    analyze::concepts::{
        Against, AlignOptions, Alignment, BestLabel, ClusterName, Dendrogram, Filtered, FrequencyFilter, KMeansOptions,
        LabelSet, OverlapOptions, Partition, Subwords, TaggedText, Top, Words, adjusted_rand, align, k_means,
        leaders_ward, name_clusters, overlap, ward,
    },
    core::{Capture, Side},
    embedded::Embedded,
    models::{Capturer, Checkpoint, Line},
    project::{Dims, Method, Metric, TsneParams, project},
};
use serde::Serialize;

use super::{
    Options,
    common::Terminal,
    explain::{Explanation, Read, explain},
};

/// What is read.
pub(crate) struct Corpus {
    pub(crate) text: TaggedText,
    pub(crate) filter: FrequencyFilter,
}

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
    /// Agreement of k-means and of leaders with Ward: adjusted Rand index, and difference of the aligned share.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) methods: BTreeMap<&'static str, (f64, f64)>,
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

/// What one model holds together.
#[derive(Serialize)]
pub(crate) struct Encoded {
    pub(crate) model: String,
    pub(crate) words: Words,
    pub(crate) filtered: Filtered,
    pub(crate) layers: Vec<Layer>,
    /// If it is a classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<Explanation>,
    #[serde(skip)]
    pub(crate) sets: Vec<LabelSet>,
    #[serde(skip)]
    pub(crate) threshold: f64,
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
    /// The label set that is the class of the sentence.
    pub(crate) classes: Option<String>,
}

pub(crate) fn run(options: &Options, corpus: &Corpus, terminal: &Terminal) -> Result<Study, Box<dyn Error>> {
    let mut models = vec![encode(options, options.model.as_deref(), corpus, terminal)?];
    if let Some(after) = &options.model_after {
        models.push(encode(options, Some(after), corpus, terminal)?);
    }
    let mut transfer = Vec::new();
    if let [before, after] = models.as_slice() {
        let again = OverlapOptions {
            threshold: options.threshold,
            seed: options.seed,
            ..OverlapOptions::default()
        };
        let (types, types_after) = (before.words.types(), after.words.types());
        for (ours, theirs) in before.layers.iter().zip(&after.layers) {
            let [a, b] = [&ours.partition, &theirs.partition];
            transfer.push(Transfer {
                layer: ours.layer,
                survive: overlap(a, &types, b, &types_after, &again)?.found,
                known_before: overlap(b, &types_after, a, &types, &again)?.found,
            });
        }
    }
    let classes = models[0].sets.iter().any(|set| set.name == options.classes);
    Ok(Study {
        models,
        transfer,
        classes: classes.then(|| options.classes.clone()),
    })
}

/// Runs a model over the corpus and clusters its words.
fn encode(
    options: &Options,
    model: Option<&Path>,
    corpus: &Corpus,
    terminal: &Terminal,
) -> Result<Encoded, Box<dyn Error>> {
    let checkpoint = match model {
        Some(folder) => Checkpoint::open(folder)?,
        None => Embedded::TextEncoder.checkpoint()?,
    };
    let mut capturer = Capturer::load(&checkpoint)?;
    capturer.options.hidden = true;
    let line = |sentence: &attn_sdk::analyze::concepts::TaggedSentence| Line {
        number: sentence.line,
        text: sentence.text.clone(),
    };
    let lines: Vec<Line> = corpus.text.sentences.iter().map(line).collect();
    let outcome = capturer.text(&lines, None, terminal)?;
    if !outcome.complete {
        return Err("stopped".into());
    }
    let capture = outcome.capture;
    let attention = capture.model().attentions.first().map(|info| info.attention);
    let side = attention.map_or(Side::Encoder, |attention| attention.query_side());
    let mut words = Words::find(&corpus.text, &capture, side)?;
    let filtered = words.filter(&corpus.filter);
    if words.words.is_empty() {
        return Err(format!(
            "no word occurs {} times in {} sentences: give more text or a lower --at-least",
            corpus.filter.at_least,
            corpus.text.sentences.len()
        )
        .into());
    }
    let sets = label_sets(options, corpus, &words)?;
    let chosen: Vec<usize> = match options.layers.as_slice() {
        [] => (0..=depth(&capture)).collect(),
        layers => layers.to_vec(),
    };
    let layers = chosen
        .into_iter()
        .map(|at| layer(options, &capture, side, &words, &sets, at, terminal))
        .collect::<Result<Vec<_>, _>>()?;
    let read = Read {
        capture: &capture,
        side,
        words: &words,
    };
    let explanation = explain(&capturer, corpus, &read, &layers, options.explain, terminal)?;
    Ok(Encoded {
        model: capture.model().name.clone(),
        words,
        filtered,
        layers,
        explanation,
        sets,
        threshold: options.threshold,
    })
}

/// Clusters, alignment, names and map of one layer.
fn layer(
    options: &Options,
    capture: &Capture,
    side: Side,
    words: &Words,
    sets: &[LabelSet],
    layer: usize,
    terminal: &Terminal,
) -> Result<Layer, Box<dyn Error>> {
    let types = words.types();
    terminal.say(format!(
        "{}, layer {layer}: {} words",
        capture.model().name,
        types.len()
    ));
    let count = options.clusters.unwrap_or_else(|| 600.min((types.len() / 10).max(1)));
    let judge = AlignOptions {
        threshold: options.threshold,
        seed: options.seed,
        ..AlignOptions::default()
    };
    let vectors = words.vectors(capture, side, layer, Subwords::Last)?;
    let whole = ward(vectors.view(), None, terminal)?;
    let Top { partition, tree, .. } = whole.top(count)?;
    let alignments = alignments(&partition, sets, &types, &judge)?;
    let names = name_clusters(&partition, &types, &alignments, options.threshold, None)?;
    let mut methods = BTreeMap::new();
    if options.methods {
        let settings = KMeansOptions {
            clusters: count,
            seed: options.seed,
            ..KMeansOptions::default()
        };
        let mut compare = |name, other: &Partition| -> Result<(), Box<dyn Error>> {
            let aligned = align(other, &sets[0], &types, &judge, &())?.aligned.value;
            let difference = aligned - alignments[0].aligned.value;
            methods.insert(name, (adjusted_rand(&partition, other)?, difference));
            Ok(())
        };
        compare("k-means", &k_means(vectors.view(), &settings, terminal)?.partition)?;
        // A radius that leaves fewer leaders than clusters has no answer.
        match leaders_ward(vectors.view(), count, None, options.seed, terminal) {
            Ok(partition) => compare("leaders + Ward", &partition)?,
            Err(error) => terminal.say(format!("layer {layer}, leaders: {error}")),
        }
    }
    let mut map = Vec::new();
    if types.len() > 3 {
        // t-SNE fills the plane; UMAP sends a few single words far away and leaves no room for the rest.
        let method = match types.len() {
            few if few < 100 => Method::Pca,
            _ => Method::Tsne(TsneParams::default()),
        };
        let metric = Metric::Euclidean;
        let placed = project(vectors.view(), &method, Dims::Two, metric, options.seed, terminal)?;
        map = placed.points.rows().into_iter().map(|row| [row[0], row[1]]).collect();
    }
    let clusters = names.into_iter().zip(partition.members()).enumerate();
    let clusters = clusters.map(|(at, (name, members))| Cluster {
        name,
        labels: alignments.iter().map(|alignment| alignment.best[at].clone()).collect(),
        members,
    });
    Ok(Layer {
        layer,
        clusters: clusters.collect(),
        rows: alignments.into_iter().map(row).collect(),
        methods,
        tree,
        whole,
        partition,
        map,
    })
}

impl Encoded {
    /// Names for another division of the words, for example the branches of a tree.
    pub(crate) fn names(&self, partition: &Partition) -> Result<Vec<ClusterName>, Box<dyn Error>> {
        let types = self.words.types();
        let judge = AlignOptions {
            threshold: self.threshold,
            permutations: 0,
            ..AlignOptions::default()
        };
        let alignments = alignments(partition, &self.sets, &types, &judge)?;
        Ok(name_clusters(partition, &types, &alignments, self.threshold, None)?)
    }
}

/// The last layer with hidden states.
fn depth(capture: &Capture) -> usize {
    capture.model().attentions.first().map_or(0, |info| info.layers.len())
}

/// Annotated sets first: they name clusters before spelling does.
fn label_sets(options: &Options, corpus: &Corpus, words: &Words) -> Result<Vec<LabelSet>, Box<dyn Error>> {
    let types = words.types();
    let mut sets = Vec::new();
    for column in &corpus.text.columns {
        sets.push(LabelSet::column(&corpus.text, words, column)?);
    }
    sets.push(LabelSet::suffixes(&types, 5));
    sets.push(LabelSet::prefixes(&types, 5));
    sets.push(LabelSet::casing(&types));
    sets.push(LabelSet::place(&corpus.text, words)?);
    sets.push(LabelSet::sentences(&corpus.text, words, &options.classes)?);
    sets.retain(|set| !set.labels.is_empty());
    Ok(sets)
}

fn alignments(
    partition: &Partition,
    sets: &[LabelSet],
    types: &[&str],
    options: &AlignOptions,
) -> Result<Vec<Alignment>, Box<dyn Error>> {
    Ok(sets
        .iter()
        .map(|set| align(partition, set, types, options, &()))
        .collect::<Result<_, _>>()?)
}

fn row(alignment: Alignment) -> Row {
    Row {
        label_set: alignment.label_set,
        aligned: alignment.aligned,
        covered: alignment.covered,
        score: alignment.score,
        clusters: alignment.clusters,
    }
}
