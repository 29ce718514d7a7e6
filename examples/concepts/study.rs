//! From an annotated text and one or two models to clusters, labels and names, layer by layer.

use std::{collections::BTreeMap, error::Error, path::Path};

use attn_sdk::{
    analyze::concepts::{
        Against, AlignOptions, Alignment, ClusterName, Filtered, FrequencyFilter, KMeansOptions, LabelSet, Overlap,
        OverlapOptions, Partition, Subwords, TaggedText, Words, adjusted_rand, align, k_means, leaders_ward,
        name_clusters, overlap, ward,
    },
    core::{Capture, Side},
    embedded::Embedded,
    models::{Capturer, Checkpoint, Line},
    project::{Dims, Method, Metric, TsneParams, project},
};
use serde::Serialize;

use super::{Options, common::Terminal};

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
    /// Indices into the study's words.
    pub(crate) members: Vec<usize>,
}

/// One layer.
#[derive(Serialize)]
pub(crate) struct Layer {
    pub(crate) layer: usize,
    pub(crate) rows: Vec<Row>,
    /// This layer's clusters in the other model's, and the other way round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) survive: Option<Against>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) known_before: Option<Against>,
    /// Agreement of k-means and of leaders with Ward: adjusted Rand index, and difference of the aligned share.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) methods: BTreeMap<&'static str, (f64, f64)>,
    pub(crate) clusters: Vec<Cluster>,
}

/// Everything that was found.
#[derive(Serialize)]
pub(crate) struct Study {
    pub(crate) model: String,
    pub(crate) model_after: Option<String>,
    pub(crate) words: Words,
    pub(crate) filtered: Filtered,
    pub(crate) classes: Option<String>,
    pub(crate) layers: Vec<Layer>,
    /// The last layer on a plane, `[x, y]` per word.
    pub(crate) map: Vec<[f32; 2]>,
}

/// A model's words.
struct Space {
    capture: Capture,
    side: Side,
    words: Words,
    filtered: Filtered,
}

pub(crate) fn run(options: &Options, corpus: &Corpus, terminal: &Terminal) -> Result<Study, Box<dyn Error>> {
    let before = space(options.model.as_deref(), corpus, terminal)?;
    let after = options
        .model_after
        .as_deref()
        .map(|model| space(Some(model), corpus, terminal));
    let after = after.transpose()?;
    let words = &before.words;
    let types = words.types();
    if types.is_empty() {
        return Err(format!(
            "no word occurs {} times in {} sentences: give more text or a lower --at-least",
            corpus.filter.at_least,
            corpus.text.sentences.len()
        )
        .into());
    }
    let count = options.clusters.unwrap_or_else(|| 600.min((types.len() / 10).max(1)));
    let sets = label_sets(options, corpus, words)?;
    let deepest = depth(&before.capture);
    let chosen: Vec<usize> = match options.layers.as_slice() {
        [] => (0..=deepest).collect(),
        layers => layers.to_vec(),
    };
    let judge = AlignOptions {
        threshold: options.threshold,
        seed: options.seed,
        ..AlignOptions::default()
    };
    let again = OverlapOptions {
        threshold: options.threshold,
        seed: options.seed,
        ..OverlapOptions::default()
    };
    let mut layers = Vec::new();
    let mut map = Vec::new();
    for &layer in &chosen {
        terminal.say(format!("layer {layer}: {} words", types.len()));
        let vectors = words.vectors(&before.capture, before.side, layer, Subwords::Last)?;
        let partition = ward(vectors.view(), None, terminal)?.cut(count)?;
        let alignments = alignments(&partition, &sets, &types, &judge)?;
        let names = name_clusters(&partition, &types, &alignments, options.threshold, None)?;
        let (mut survive, mut known_before) = (None, None);
        if let Some(after) = &after {
            let (types_after, layer) = (after.words.types(), layer.min(depth(&after.capture)));
            let vectors = after.words.vectors(&after.capture, after.side, layer, Subwords::Last)?;
            let other = ward(vectors.view(), None, terminal)?.cut(count.min(types_after.len()))?;
            let there: Overlap = overlap(&partition, &types, &other, &types_after, &again)?;
            survive = Some(there.found);
            known_before = Some(overlap(&other, &types_after, &partition, &types, &again)?.found);
        }
        let mut methods = BTreeMap::new();
        if options.methods {
            let settings = KMeansOptions {
                clusters: count,
                seed: options.seed,
                ..KMeansOptions::default()
            };
            let mut compare = |name, other: &Partition| -> Result<(), Box<dyn Error>> {
                let aligned = align(other, &sets[0], &types, &judge, &())?.aligned.value;
                methods.insert(
                    name,
                    (adjusted_rand(&partition, other)?, aligned - alignments[0].aligned.value),
                );
                Ok(())
            };
            compare("k-means", &k_means(vectors.view(), &settings, terminal)?.partition)?;
            // A radius that leaves fewer leaders than clusters has no answer.
            match leaders_ward(vectors.view(), count, None, options.seed, terminal) {
                Ok(partition) => compare("leaders + Ward", &partition)?,
                Err(error) => terminal.say(format!("layer {layer}, leaders: {error}")),
            }
        }
        if chosen.last() == Some(&layer) && types.len() > 3 {
            // t-SNE fills the plane; UMAP sends a few single words far away and leaves no room for the rest.
            let method = match types.len() {
                few if few < 100 => Method::Pca,
                _ => Method::Tsne(TsneParams::default()),
            };
            let placed = project(
                vectors.view(),
                &method,
                Dims::Two,
                Metric::Euclidean,
                options.seed,
                terminal,
            )?;
            map = placed.points.rows().into_iter().map(|row| [row[0], row[1]]).collect();
        }
        layers.push(Layer {
            layer,
            rows: alignments.into_iter().map(row).collect(),
            survive,
            known_before,
            methods,
            clusters: names
                .into_iter()
                .zip(partition.members())
                .map(|(name, members)| Cluster { name, members })
                .collect(),
        });
    }
    let classes = sets
        .iter()
        .any(|set| set.name == options.classes)
        .then(|| options.classes.clone());
    Ok(Study {
        model: before.capture.model().name.clone(),
        model_after: after.map(|after| after.capture.model().name.clone()),
        words: before.words,
        filtered: before.filtered,
        classes,
        layers,
        map,
    })
}

/// Runs a model over the corpus and finds the words.
fn space(model: Option<&Path>, corpus: &Corpus, terminal: &Terminal) -> Result<Space, Box<dyn Error>> {
    let checkpoint = match model {
        Some(folder) => Checkpoint::open(folder)?,
        None => Embedded::TextEncoder.checkpoint()?,
    };
    let mut capturer = Capturer::load(&checkpoint)?;
    capturer.options.hidden = true;
    let lines: Vec<Line> = corpus
        .text
        .sentences
        .iter()
        .map(|sentence| Line {
            number: sentence.line,
            text: sentence.text.clone(),
        })
        .collect();
    let outcome = capturer.text(&lines, None, terminal)?;
    if !outcome.complete {
        return Err("stopped".into());
    }
    let capture = outcome.capture;
    let side = capture
        .model()
        .attentions
        .first()
        .map_or(Side::Encoder, |info| info.attention.query_side());
    let mut words = Words::find(&corpus.text, &capture, side)?;
    let filtered = words.filter(&corpus.filter);
    Ok(Space {
        capture,
        side,
        words,
        filtered,
    })
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
