//! The pipeline of latent concepts: words of a text, their clusters in every layer, alignment with labels, names, a map,
//! and the comparison of two models.

mod curves;
mod explanation;
mod params;
mod report;
mod space;
mod study;

use std::{collections::BTreeSet, sync::Arc};

use attn_core::{Capture, Progress, Side, progress::step};

pub use self::{
    curves::{Curve, LayerCurves, LayerRow},
    explanation::{Explanation, LayerWeights, Prediction},
    params::PipelineParams,
    report::excerpt,
    space::{Agreement, Branches, ConceptCluster, ConceptLayer, ConceptSpace, LabelRow},
    study::{ConceptStudy, Transfer},
};
use super::{
    AlignParams, Clusterer, FrequencyFilter, LabelSet, LabelSource, TaggedText, Units, Ward, WhyDropped, Words,
    neurons, sweep, sweep_counts,
};
use crate::{Error, Result};

/// The first words of the stage of [`Progress`] that counts the layers of a model. Other stages run within it.
pub const LAYERS: &str = "layers of ";

/// A text that a model has read.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    /// Name of the model, for tables; with that of the text, if a model reads two.
    pub model: String,
    /// The sentences of the capture.
    pub text: Arc<TaggedText>,
    /// The capture: sequence `i` is sentence `i`, with hidden states.
    pub capture: &'a Capture,
    /// The side of the tokens.
    pub side: Side,
}

impl<'a> Reading<'a> {
    /// A reading by the first stack of a model: the encoder of an encoder, the decoder of a decoder. Sentences that a capture
    /// of lines left out, because they have no tokens, are left out here too.
    pub fn new(model: impl Into<String>, text: Arc<TaggedText>, capture: &'a Capture) -> Self {
        let attention = capture.model().attentions.first();
        let text = match capture.sequences().len() < text.sentences.len() {
            true => Arc::new(captured(&text, capture)),
            false => text,
        };
        Self {
            model: model.into(),
            text,
            side: attention.map_or(Side::Encoder, |info| info.attention.query_side()),
            capture,
        }
    }

    /// The last layer with hidden states.
    fn depth(&self) -> usize {
        let attentions = &self.capture.model().attentions;
        attentions.first().map_or(0, |info| info.layers.len())
    }
}

/// The sentences that are sequences of a capture, by the names of its lines.
fn captured(text: &TaggedText, capture: &Capture) -> TaggedText {
    let names: BTreeSet<&str> = capture
        .sequences()
        .iter()
        .map(|sequence| sequence.name.as_str())
        .collect();
    let mut text = text.clone();
    text.sentences
        .retain(|sentence| names.contains(format!("line {}", sentence.line).as_str()));
    text
}

/// The steps from captures to concepts, with checked settings.
///
/// ```
/// use std::sync::Arc;
///
/// use attn_analyze::concepts::{Pipeline, PipelineParams, Reading, TaggedText};
/// use attn_core::*;
///
/// // A model without attention to speak of; its hidden state tells nouns from verbs.
/// let text = TaggedText::word_tag("cat_N runs_V dog_N sleeps_V\ndog_N runs_V cat_N sleeps_V", "example", '_')?;
/// let layer = LayerAttention::new(1.0, Mask::Full);
/// let attention = Attention::EncoderSelf;
/// let model = ModelInfo {
///     name: "toy".into(), family: "bert".into(), hidden_size: 2, vocab_size: None, max_tokens: None,
///     positions: Positions::None,
///     attentions: vec![AttentionInfo::new(attention, 1, 2, vec![layer])],
/// };
/// let sequence = |sentence: &attn_analyze::concepts::TaggedSentence| Sequence {
///     text: Some(sentence.text.clone()),
///     encoder: sentence.words.iter().enumerate().map(|(position, word)| Token {
///         text: word.text.clone(), position, span: Some(word.span), ..Token::default()
///     }).collect(),
///     ..Sequence::default()
/// };
/// let sequences: Vec<Sequence> = text.sentences.iter().map(sequence).collect();
/// let keep = CaptureOptions { hidden: true, ..CaptureOptions::default() };
/// let writer = CaptureWriter::in_memory(CapturePlan::new(model, sequences).with_options(keep))?;
/// for sentence in 0..2 {
///     let states = [0.0, 1.0, 9.0, 1.0, 0.1, 1.1, 9.1, 1.1];
///     for layer in 0..2 {
///         writer.write(Slot::Hidden { side: Side::Encoder, layer }, sentence, &states)?;
///     }
///     for slot in [Slot::Query { attention, layer: 0 }, Slot::Key { attention, layer: 0 }, Slot::Value { attention, layer: 0 }] {
///         writer.write(slot, sentence, &states)?;
///     }
/// }
/// writer.commit(&[0, 1])?;
/// let capture = writer.finish()?;
///
/// let mut params = PipelineParams { clusters: Some(2), ..PipelineParams::default() };
/// params.filter.at_least = 1;
/// let pipeline = Pipeline::new(params)?;
/// let space = pipeline.encode(&Reading::new("toy", Arc::new(text), &capture), &())?;
/// let study = pipeline.compare(vec![space], &())?;
/// assert_eq!(study.models[0].layers[1].rows[0].aligned.value, 1.0); // both clusters stand for a tag
/// assert!(study.markdown().starts_with("# Latent concepts of toy"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pipeline {
    params: PipelineParams,
    method: Arc<dyn Clusterer>,
    others: Vec<Arc<dyn Clusterer>>,
}

impl Pipeline {
    /// A pipeline with Ward clustering.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting outside its range.
    pub fn new(params: PipelineParams) -> Result<Self> {
        params.check()?;
        Ok(Self {
            params,
            method: Arc::new(Ward),
            others: Vec::new(),
        })
    }

    /// The pipeline with another method of clustering. Methods without a tree leave [`ConceptLayer::tree`] empty.
    #[must_use]
    pub fn with_method(self, method: impl Clusterer + 'static) -> Self {
        Self {
            method: Arc::new(method),
            ..self
        }
    }

    /// The pipeline with one more method to compare with, see [`ConceptLayer::methods`].
    #[must_use]
    pub fn comparing(mut self, method: impl Clusterer + 'static) -> Self {
        self.others.push(Arc::new(method));
        self
    }

    /// The settings.
    pub fn params(&self) -> &PipelineParams {
        &self.params
    }

    /// Clusters the words of a text in every layer, aligns the clusters with labels, names them, and lays out a map.
    ///
    /// # Errors
    /// [`Error::Empty`] if no word is frequent enough, [`Error::Parameter`] for a layer that the model lacks,
    /// [`Error::Shape`] if the capture is of another text; those of the steps, a cancellation.
    pub fn encode(&self, reading: &Reading<'_>, progress: &dyn Progress) -> Result<ConceptSpace> {
        let params = &self.params;
        let mut words = Words::find(&reading.text, reading.capture, reading.side)?;
        if params.special_tokens {
            words.add_special(reading.capture, reading.side);
        }
        let filtered = words.filter(&params.filter);
        if words.words.is_empty() {
            return Err(too_rare(&params.filter, reading.text.sentences.len()));
        }
        let (sets, mut notes) = params.label_sets(&reading.text, &words)?;
        notes.extend(left_out(&words));
        let chosen = params.chosen_layers(reading.depth())?;
        let stage = format!("{LAYERS}{}", reading.model);
        let mut layers = Vec::with_capacity(chosen.len());
        for &layer in &chosen {
            step(progress, &stage, layers.len(), chosen.len())?;
            layers.push(self.layer(reading, &words, &sets, layer, progress)?);
        }
        step(progress, &stage, layers.len(), chosen.len())?;
        Ok(ConceptSpace {
            model: reading.model.clone(),
            text: reading.text.clone(),
            words,
            filtered,
            notes,
            layers,
            explanation: None,
            sets,
            align: params.align.clone(),
        })
    }

    fn layer(
        &self,
        reading: &Reading<'_>,
        words: &Words,
        sets: &[LabelSet],
        layer: usize,
        progress: &dyn Progress,
    ) -> Result<ConceptLayer> {
        let params = &self.params;
        let units = Units::new(words);
        let vectors = words.vectors(reading.capture, reading.side, layer, params.subwords)?;
        let count = params.cluster_count(vectors.view());
        let clustering = self.method.cluster(vectors.view(), count, progress)?;
        let mut found = ConceptLayer::new(layer, clustering.partition, clustering.tree, sets, words, &params.align)?;
        found.membership = clustering.membership;
        found.reachability = clustering.reachability;
        found.measure_borders(vectors.view());
        if let Some(tree) = found.whole.as_ref().filter(|_| params.sweep) {
            let align = AlignParams {
                permutations: params.sweep_permutations,
                ..params.align.clone()
            };
            let counts = sweep_counts(words.words.len());
            let swept = sets.iter().filter(|set| set.source != LabelSource::Spelling);
            let swept = swept.map(|set| sweep(tree, set, &units, &counts, &align, &()));
            found.sweeps = swept.collect::<Result<_>>()?;
        }
        if let Some(ranking) = &params.neurons {
            for set in sets.iter().filter(|set| set.source == LabelSource::Words) {
                match neurons(vectors.view(), set, &units, ranking, progress) {
                    Ok(ranked) => found.neurons.push(ranked),
                    // Sets with one label, or one that few words have.
                    Err(Error::Empty { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        for method in &self.others {
            let agreement = match method.cluster(vectors.view(), count, progress) {
                Ok(other) => found.agreement(&other.partition, &sets[0], &units, &params.align)?,
                Err(error) if error.is_cancelled() => return Err(error),
                // A radius may leave fewer leaders than clusters; a mixture may not converge.
                Err(error) => Agreement::Failed(error.to_string()),
            };
            found.methods.insert(method.name().to_owned(), agreement);
        }
        found.map = params.map(vectors.view(), progress)?;
        Ok(found)
    }

    /// Compares the clusters of one or more models: which are found again, layer by layer.
    ///
    /// # Errors
    /// [`Error::Empty`] without models, a cancellation.
    pub fn compare(&self, models: Vec<ConceptSpace>, progress: &dyn Progress) -> Result<ConceptStudy> {
        ConceptStudy::new(models, &self.params, progress)
    }

    /// Explains a prediction for one sentence by the clusters of its words, in every layer of `space`.
    ///
    /// Words that were left out of the clustering count for the cluster with the nearest mean.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a sentence that the text lacks, those of [`carried`](super::carried).
    pub fn explain(&self, space: &ConceptSpace, reading: &Reading<'_>, prediction: Prediction) -> Result<Explanation> {
        Explanation::new(space, reading, prediction, self.params.subwords)
    }
}

/// Words that were dropped, in words.
fn left_out(words: &Words) -> impl Iterator<Item = String> {
    let reasons = [
        (
            WhyDropped::NoToken,
            "without a token: the tokenizer has nothing for them",
        ),
        (
            WhyDropped::Cut,
            "in sentences that were cut to the model's longest input, after the cut",
        ),
        (
            WhyDropped::Unknown,
            "outside of the vocabulary: all have the token of unknown words",
        ),
    ];
    reasons
        .into_iter()
        .filter_map(|(why, text)| match words.dropped_for(why) {
            0 => None,
            1 => Some(format!("1 word {text}")),
            count => Some(format!("{count} words {text}")),
        })
}

fn too_rare(filter: &FrequencyFilter, sentences: usize) -> Error {
    Error::Empty {
        place: "words".into(),
        expected: format!(
            "a word that occurs {} times in {sentences} sentences (more text, or a lower limit)",
            filter.at_least
        ),
    }
}
