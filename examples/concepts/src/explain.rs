//! From a prediction to the clusters that carried it: integrated gradients of the class that won over the runner-up.

use std::error::Error;

use attn_sdk::{
    Progress,
    analyze::concepts::{Carried, Partition, Subwords, TaggedText, Words, carried, means},
    core::{Capture, Side},
    models::{
        Capturer, Inputs,
        attribute::{Baseline, Target, integrated_gradients},
    },
};
use serde::Serialize;

use super::study::Layer;

/// Steps of the integral. More only matter to activations with kinks; the gap says whether they were enough.
const STEPS: usize = 200;

/// A prediction in terms of clusters.
#[derive(Serialize)]
pub(crate) struct Explanation {
    /// Index of the sentence.
    pub(crate) sentence: usize,
    pub(crate) class: String,
    pub(crate) probability: f64,
    /// The second best class: weights speak for the first and against this one.
    pub(crate) against: String,
    /// The difference of the two classes' logits, and what it is for a sentence of padding.
    pub(crate) value: f32,
    pub(crate) baseline: f32,
    /// The share of the difference that the integral misses.
    pub(crate) gap: f64,
    /// The words of the sentence, and whether they are among those that were clustered.
    pub(crate) words: Words,
    pub(crate) clustered: Vec<bool>,
    /// Per layer of the study.
    pub(crate) layers: Vec<Carried>,
}

/// A text, a model's capture of it, and the words that were clustered.
pub(crate) struct Read<'a> {
    pub(crate) text: &'a TaggedText,
    pub(crate) capture: &'a Capture,
    pub(crate) side: Side,
    pub(crate) words: &'a Words,
    pub(crate) subwords: Subwords,
}

/// Explains the prediction for sentence `number` (from 1); `None` if the model predicts no class.
pub(crate) fn explain(
    capturer: &Capturer,
    read: &Read<'_>,
    layers: &[Layer],
    number: usize,
    progress: &dyn Progress,
) -> Result<Option<Explanation>, Box<dyn Error>> {
    let (model, Some(tokenizer)) = (capturer.model(), capturer.tokenizer()) else {
        return Ok(None);
    };
    if model.labels().len() < 2 {
        return Ok(None);
    }
    let last = read.text.sentences.len();
    let Some(sentence) = number.checked_sub(1).filter(|&at| at < last) else {
        return Err(format!("--explain: expected a sentence from 1 to {last}, found {number}").into());
    };
    let ids = tokenizer
        .encode(&read.text.sentences[sentence].text, model.info())?
        .ids();
    let padding = ["[PAD]", "<pad>"].iter().find_map(|token| tokenizer.id(token));
    let inputs = Inputs::from_ids(&[ids], padding.unwrap_or(0))?;
    let Some(logits) = model
        .forward(&inputs, &mut ())?
        .logits
        .filter(|logits| logits.rank() == 2)
    else {
        return Ok(None);
    };
    let logits: Vec<f32> = logits.get(0)?.to_vec1()?;
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let (class, against) = (order[0], order[1]);
    let total: f64 = logits.iter().map(|&logit| f64::from(logit - logits[class]).exp()).sum();
    let baseline = match padding {
        Some(padding) => Baseline::token(&inputs, padding, &tokenizer.special_ids())?,
        None => Baseline::Zero,
    };
    let target = Target::Class(class).minus(Target::Class(against));
    let mut found = integrated_gradients(model, &inputs, &[target], &baseline, STEPS, &mut (), progress)?;
    let found = found.pop().ok_or("no attribution for the sentence")?;
    let mut here = Words::find(read.text, read.capture, read.side)?;
    here.words.retain(|word| word.sentence == sentence);
    let place = |word: &attn_sdk::analyze::concepts::Word| read.words.words.iter().position(|other| other == word);
    let places: Vec<Option<usize>> = here.words.iter().map(place).collect();
    let weights = found.scores.side(read.side);
    let layers = layers
        .iter()
        .map(|layer| {
            let of = clusters(read, &here, &places, layer)?;
            let partition = Partition::new(&of);
            let mut carried = carried(&partition, &here, sentence, weights)?;
            for part in &mut carried.clusters {
                // Partitions number anew; any of its words knows the cluster.
                part.cluster = part.words.first().map_or(part.cluster, |&word| of[word]);
            }
            Ok(carried)
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    let name = |class: usize| model.labels().get(class).cloned().unwrap_or_else(|| class.to_string());
    Ok(Some(Explanation {
        sentence,
        class: name(class),
        probability: 1.0 / total,
        against: name(against),
        value: found.value,
        baseline: found.baseline,
        gap: found.relative_gap(),
        words: here,
        clustered: places.iter().map(Option::is_some).collect(),
        layers,
    }))
}

/// The cluster of each word of a sentence; for words that were left out of the clustering the one with the nearest mean.
fn clusters(
    read: &Read<'_>,
    here: &Words,
    places: &[Option<usize>],
    layer: &Layer,
) -> Result<Vec<usize>, Box<dyn Error>> {
    let vectors = |words: &Words| words.vectors(read.capture, read.side, layer.layer, read.subwords);
    let centroids = means(vectors(read.words)?.view(), &layer.partition);
    let own = vectors(here)?;
    let nearest = |word: usize| {
        let distance = |cluster: usize| {
            let difference = &own.row(word) - &centroids.row(cluster);
            difference.dot(&difference)
        };
        let clusters = 0..centroids.nrows();
        clusters
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap_or(0)
    };
    let of = places.iter().enumerate();
    Ok(of
        .map(|(word, place)| place.map_or_else(|| nearest(word), |place| layer.partition.of()[place]))
        .collect())
}
