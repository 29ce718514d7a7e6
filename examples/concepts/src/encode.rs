//! From a model and an annotated text to clusters of words, layer by layer.

use std::{collections::BTreeMap, error::Error};

use attn_sdk::{
    Progress,
    analyze::concepts::{
        AlignOptions, Alignment, KMeansOptions, LabelSet, Partition, Top, Words, adjusted_rand, align, k_means,
        leaders_ward, name_clusters, ward,
    },
    core::{Capture, CaptureOptions, Side, progress::step},
    models::{Capturer, text::Line},
    project::{Method, Projector, pca::Pca, tsne::Tsne},
};

use super::{
    explain::{Read, explain},
    options::{Options, Source},
    study::{Agreement, Cluster, Encoded, Layer, Row},
};

/// How the stage of the progress begins that counts the layers of a model; other stages are inside one of them.
pub(crate) const LAYERS: &str = "layers of ";
/// Different words that must share letters for these to be a label, and the length of n-grams.
const SHARED: usize = 5;
const GRAM: usize = 3;

/// Runs a model over its text and clusters the words.
pub(crate) fn encode(options: &Options, source: &Source, progress: &dyn Progress) -> Result<Encoded, Box<dyn Error>> {
    let keep = CaptureOptions {
        hidden: true,
        ..CaptureOptions::default()
    };
    let capturer = Capturer::load(&source.checkpoint()?)?.with_options(keep);
    let text = &source.text;
    let lines = text.sentences.iter().map(|sentence| Line {
        number: sentence.line,
        text: sentence.text.clone(),
    });
    let outcome = capturer.lines(lines).progress(progress).run()?;
    if !outcome.complete {
        return Err("stopped".into());
    }
    let capture = outcome.capture;
    let attention = capture.model().attentions.first().map(|info| info.attention);
    let side = attention.map_or(Side::Encoder, |attention| attention.query_side());
    let mut words = Words::find(text, &capture, side)?;
    let filtered = words.filter(&options.filter());
    if words.words.is_empty() {
        return Err(format!(
            "no word occurs {} times in {} sentences: give more text or a lower --at-least",
            options.at_least,
            text.sentences.len()
        )
        .into());
    }
    let sets = label_sets(options, source, &words)?;
    let chosen: Vec<usize> = match options.layers.as_slice() {
        [] => (0..=depth(&capture)).collect(),
        layers => layers.to_vec(),
    };
    if let Some(beyond) = chosen.iter().find(|&&layer| layer > depth(&capture)) {
        return Err(format!("--layers: expected 0 to {}, found {beyond}", depth(&capture)).into());
    }
    let model = format!("{}{}", capture.model().name, source.suffix);
    let stage = format!("{LAYERS}{model}");
    let mut layers = Vec::with_capacity(chosen.len());
    for &at in &chosen {
        step(progress, &stage, layers.len(), chosen.len())?;
        layers.push(layer(options, &capture, side, &words, &sets, at, progress)?);
    }
    step(progress, &stage, layers.len(), chosen.len())?;
    let read = Read {
        text,
        capture: &capture,
        side,
        words: &words,
        subwords: options.subwords(),
    };
    let explanation = explain(&capturer, &read, &layers, options.explain, progress)?;
    Ok(Encoded {
        model,
        text: text.clone(),
        words,
        filtered,
        layers,
        explanation,
        sets,
        judge: AlignOptions {
            permutations: 0,
            ..options.judge()
        },
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
    progress: &dyn Progress,
) -> Result<Layer, Box<dyn Error>> {
    let types = words.types();
    let count = options.clusters.unwrap_or_else(|| 600.min((types.len() / 10).max(1)));
    let judge = options.judge();
    let vectors = words.vectors(capture, side, layer, options.subwords())?;
    let whole = ward(vectors.view(), None, progress)?;
    let Top { partition, tree, .. } = whole.top(count)?;
    let alignments = alignments(&partition, sets, &types, &judge)?;
    let names = name_clusters(&partition, &types, &alignments, options.threshold, None)?;
    let mut methods = BTreeMap::new();
    if options.methods {
        let mut compare = |name, other: &Partition| -> Result<(), Box<dyn Error>> {
            let aligned = align(other, &sets[0], &types, &judge, &())?.aligned.value;
            let agreement = Agreement::Found {
                adjusted_rand: adjusted_rand(&partition, other)?,
                aligned: aligned - alignments[0].aligned.value,
            };
            methods.insert(name, agreement);
            Ok(())
        };
        for (name, batch) in [("k-means", None), ("k-means in mini-batches", Some(10 * count))] {
            let settings = KMeansOptions {
                clusters: count,
                batch,
                seed: options.seed,
                ..KMeansOptions::default()
            };
            compare(name, &k_means(vectors.view(), &settings, progress)?.partition)?;
        }
        // A radius that leaves fewer leaders than clusters has no answer.
        match leaders_ward(vectors.view(), count, None, options.seed, progress) {
            Ok(partition) => compare("leaders + Ward", &partition)?,
            Err(error) => {
                methods.insert("leaders + Ward", Agreement::Failed(error.to_string()));
            }
        }
    }
    let mut map = Vec::new();
    if types.len() > 3 {
        // t-SNE fills the plane; UMAP sends a few single words far away and leaves no room for the rest.
        let method = match types.len() {
            few if few < 100 => Method::from(Pca),
            _ => Tsne::default().into(),
        };
        let placed = Projector::new(method)
            .seed(options.seed)
            .fit(vectors.view(), progress)?;
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

/// The last layer with hidden states.
fn depth(capture: &Capture) -> usize {
    capture.model().attentions.first().map_or(0, |info| info.layers.len())
}

/// Annotated sets first: they name clusters before spelling does.
fn label_sets(options: &Options, source: &Source, words: &Words) -> Result<Vec<LabelSet>, Box<dyn Error>> {
    let (text, types) = (&source.text, words.types());
    let mut sets = Vec::new();
    for column in &text.columns {
        sets.push(LabelSet::column(text, words, column)?);
    }
    sets.push(LabelSet::sentences(text, words, &options.classes)?);
    sets.push(LabelSet::suffixes(&types, SHARED));
    sets.push(LabelSet::prefixes(&types, SHARED));
    sets.push(LabelSet::ngrams(&types, GRAM, SHARED));
    sets.push(LabelSet::casing(&types));
    sets.push(LabelSet::place(text, words)?);
    sets.retain(|set| !set.labels.is_empty());
    Ok(sets)
}

pub(crate) fn alignments(
    partition: &Partition,
    sets: &[LabelSet],
    types: &[&str],
    options: &AlignOptions,
) -> Result<Vec<Alignment>, attn_sdk::Error> {
    let alignments = sets.iter().map(|set| Ok(align(partition, set, types, options, &())?));
    alignments.collect()
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
