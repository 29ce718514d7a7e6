//! A prediction in terms of clusters.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{ConceptLayer, ConceptSpace, Reading};
use crate::{
    Error, Result,
    concepts::{Carried, Partition, TaggedText, Word, Words, carried, means},
};

/// A prediction of a class for one sentence, with an attribution to its tokens. Attribution needs the model: it is an input
/// here, by any method.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Index of the sentence.
    pub sentence: usize,
    /// The most likely class.
    pub class: String,
    /// Its probability.
    pub probability: f64,
    /// The second most likely class: weights speak for the first and against this one. Empty for a model that decides each label by
    /// itself.
    pub against: String,
    /// Difference of the logits of both classes; of one label its logit.
    pub value: f32,
    /// The same difference for the baseline of the attribution.
    pub baseline: f32,
    /// The attribution at the states of each layer: what a layer has moved between tokens counts where it is there.
    pub layers: Vec<LayerWeights>,
}

/// Attribution of a prediction to the states of tokens in one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerWeights {
    /// The layer, 0 for the embeddings.
    pub layer: usize,
    /// Weight of each token of the sequence, special tokens included.
    pub weights: Vec<f32>,
    /// Share of the difference between prediction and baseline that the weights miss.
    pub gap: f64,
}

/// A prediction in terms of clusters, layer by layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Index of the sentence.
    pub sentence: usize,
    /// The most likely class.
    pub class: String,
    /// Its probability.
    pub probability: f64,
    /// The second most likely class: weights speak for the first and against this one. Empty for a model that decides each label by
    /// itself.
    pub against: String,
    /// Difference of the logits of both classes; of one label its logit.
    pub value: f32,
    /// The same difference for the baseline of the attribution.
    pub baseline: f32,
    /// Per layer of the space, the share of the difference that the attribution misses.
    #[serde(default)]
    pub gaps: Vec<f64>,
    /// The words of the sentence.
    pub words: Words,
    /// Whether each word was clustered.
    pub clustered: Vec<bool>,
    /// The clusters of each layer of the space. Clusters are indices into [`ConceptLayer::clusters`].
    pub layers: Vec<Carried>,
}

/// Share of the difference between prediction and baseline from which a sum of weights does not explain it.
const LARGE_GAP: f64 = 0.05;

impl Explanation {
    /// The prediction in words: the class, its probability, and what it is not.
    pub fn prediction(&self) -> String {
        let not = match self.against.is_empty() {
            true => String::new(),
            false => format!(", not {}", self.against),
        };
        format!("**{}** (probability {:.3}){not}", self.class, self.probability)
    }

    /// What is attributed, in words.
    pub fn target(&self) -> &'static str {
        match self.against.is_empty() {
            true => "the logit",
            false => "the difference of the two logits",
        }
    }

    /// A warning for a layer, by its index, whose weights miss more than 5 % of the difference between prediction and baseline.
    pub fn gap_warning(&self, layer: usize) -> Option<String> {
        let gap = self.gaps.get(layer).filter(|gap| **gap > LARGE_GAP || gap.is_nan())?;
        Some(format!(
            "the weights miss {:.0} % of what they should add up to: read them with care.",
            100.0 * gap
        ))
    }

    pub(super) fn new(space: &ConceptSpace, reading: &Reading<'_>, prediction: Prediction) -> Result<Self> {
        let sentence = prediction.sentence;
        let count = reading.text.sentences.len();
        if sentence >= count {
            return Err(Error::Parameter {
                name: "sentence",
                expected: format!("an index below {count}"),
                found: sentence.to_string(),
            });
        }
        let mut words = Words::find(&reading.text, reading.capture, reading.side)?;
        if space.words.words.iter().any(|word| word.special) {
            words.add_special(reading.capture, reading.side);
        }
        words.words.retain(|word| word.sentence == sentence);
        // A sentence that is not of the text, such as one that was typed, has no word in it. One that is may be divided into words
        // in another way.
        let own =
            space.text.sentences.get(sentence).map(|own| &own.text) == Some(&reading.text.sentences[sentence].text);
        let mut there = HashMap::new();
        for (at, word) in space.words.words.iter().enumerate() {
            if own && word.sentence == sentence {
                there.insert(occurrence(&space.text, word), at);
            }
        }
        let place = |word: &Word| there.get(&occurrence(&reading.text, word)).copied();
        let tokens = reading.capture.sequences().get(sentence);
        let tokens = tokens.map_or(&[][..], |sequence| sequence.tokens(reading.side));
        let places: Vec<Option<usize>> = words.words.iter().map(place).collect();
        let (mut layers, mut gaps) = (Vec::with_capacity(space.layers.len()), Vec::new());
        for layer in &space.layers {
            let here = prediction.layers.iter().find(|here| here.layer == layer.layer);
            let here = here.ok_or_else(|| Error::Shape {
                place: "attribution".into(),
                expected: format!("weights at layer {}", layer.layer),
                found: "none".into(),
            })?;
            gaps.push(here.gap);
            let of = clusters(space, reading, &words, &places, layer)?;
            let mut found = carried(
                &Partition::with_noise(of.iter().copied()),
                &words,
                sentence,
                tokens,
                &here.weights,
            )?;
            for part in &mut found.clusters {
                // Partitions number anew; any of its words knows the cluster.
                let word = part.words.first().and_then(|&word| of.get(word).copied().flatten());
                part.cluster = word.unwrap_or(part.cluster);
            }
            layers.push(found);
        }
        Ok(Self {
            sentence,
            class: prediction.class,
            probability: prediction.probability,
            against: prediction.against,
            value: prediction.value,
            baseline: prediction.baseline,
            gaps,
            words,
            clustered: places.iter().map(Option::is_some).collect(),
            layers,
        })
    }
}

/// What tells the words of one text apart, however it is divided: place and spelling, since the words of a contraction may share
/// a place; of a special token its place among tokens.
fn occurrence<'a>(text: &TaggedText, word: &'a Word) -> (Option<(usize, usize)>, bool, &'a str) {
    let span = match word.special {
        true => Some((word.index, word.index)),
        false => text
            .sentences
            .get(word.sentence)
            .and_then(|own| Some(own.words.get(word.index)?.span)),
    };
    (span, word.special, &word.text)
}

/// The cluster of each word of a sentence; of words that were left out of the clustering, the one with the nearest mean.
fn clusters(
    space: &ConceptSpace,
    reading: &Reading<'_>,
    here: &Words,
    places: &[Option<usize>],
    layer: &ConceptLayer,
) -> Result<Vec<Option<usize>>> {
    let vectors = |words: &Words| words.vectors(reading.capture, reading.side, layer.layer, space.subwords);
    let computed;
    let centroids = match layer.centers.is_empty() {
        true => {
            computed = means(vectors(&space.words)?.view(), &layer.partition);
            &computed
        }
        false => &layer.centers.means,
    };
    let own = vectors(here)?;
    let nearest = |word: usize| {
        let distance = |cluster: usize| {
            let difference = &own.row(word) - &centroids.row(cluster);
            difference.dot(&difference)
        };
        (0..centroids.nrows()).min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
    };
    let of = places.iter().enumerate().map(|(word, place)| match place {
        Some(place) => layer.partition.cluster(*place),
        None => nearest(word),
    });
    Ok(of.collect())
}
