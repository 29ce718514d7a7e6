//! The pipeline of latent concepts: words of a text, their clusters in every layer, alignment with labels, names, a map,
//! and the comparison of two models.

mod curves;
mod explanation;
mod export;
mod file;
mod params;
mod place;
mod report;
mod report_changes;
mod space;
mod study;
mod tables;

use std::sync::Arc;

use attn_core::{Attention, Capture, Progress, Side, progress::step};

pub use self::{
    curves::{Curve, LayerCurves, LayerRow},
    explanation::{Explanation, LayerWeights, Prediction},
    export::NamesFile,
    params::PipelineParams,
    place::{Centers, Near, PlacedLayer, Placement, plain_text},
    report::excerpt,
    space::{Agreement, Branches, ConceptCluster, ConceptLayer, ConceptSpace, LabelRow, ModelSource},
    study::{Comparison, ConceptStudy, LayerPair},
};
use super::{
    AlignParams, Clusterer, FrequencyFilter, LabelSet, LabelSource, TaggedSentence, TaggedText, Units, Ward,
    WhyDropped, Words, neurons, sweep, sweep_counts, words::place_of,
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
    /// A reading by the first stack of a model: the encoder of an encoder, the decoder of a decoder. Sentences that the capture
    /// left out, because they have no tokens, are left out here too.
    pub fn new(model: impl Into<String>, text: Arc<TaggedText>, capture: &'a Capture) -> Self {
        let attention = capture.model().attentions.first();
        Self::on(
            attention.map_or(Side::Encoder, |info| info.attention.query_side()),
            model.into(),
            &text,
            capture,
        )
    }

    /// The readings by all stacks of a model that have read this text: one, or of an encoder-decoder the encoder's and, if its
    /// targets are the sentences, the decoder's.
    ///
    /// A decoder reads the sentences if they stand behind the TAB of a line `source` TAB `target`. What a model wrote itself is
    /// no text with labels.
    pub fn all(model: impl Into<String>, text: Arc<TaggedText>, capture: &'a Capture) -> Vec<Self> {
        let model = model.into();
        let reads = |side: Side| {
            let own = Self::on(side, model.clone(), &text, capture);
            (!capture.hidden_layers(side).is_empty() && own.fits()).then_some(own)
        };
        let found: Vec<Self> = [Side::Encoder, Side::Decoder].into_iter().filter_map(reads).collect();
        match found.is_empty() {
            // Says what is missing when it is encoded.
            true => vec![Self::new(model, text, capture)],
            false => found,
        }
    }

    fn on(side: Side, model: String, text: &Arc<TaggedText>, capture: &'a Capture) -> Self {
        let text = match capture.sequences().len() < text.sentences.len() {
            true => Arc::new(captured(text, capture, side)),
            false => text.clone(),
        };
        Self {
            model,
            text,
            capture,
            side,
        }
    }

    /// Whether the first sentence is that of the first sequence, with places of its tokens.
    fn fits(&self) -> bool {
        let (Some(sentence), Some(sequence)) = (self.text.sentences.first(), self.capture.sequences().first()) else {
            return false;
        };
        let placed = |token: &attn_core::Token| token.special || token.span.is_some();
        place_of(&sentence.text, sequence, self.side).is_some() && sequence.tokens(self.side).iter().all(placed)
    }

    /// How the model has read pairs of texts, in words; `None` without a pair.
    fn pairs(&self) -> Option<String> {
        let pairs = self
            .text
            .sentences
            .iter()
            .filter(|sentence| sentence.second.is_some())
            .count();
        let mut tokens = self
            .capture
            .sequences()
            .iter()
            .flat_map(|sequence| sequence.tokens(self.side));
        let types = match tokens.any(|token| token.segment != 0) {
            true => "the second text has token types of its own",
            false => "the texts have no token types",
        };
        (pairs > 0).then(|| {
            format!(
                "{pairs} of {} sentences are pairs of texts; {types}",
                self.text.sentences.len()
            )
        })
    }

    /// Whether the model has another stack.
    fn is_one_of_two(&self) -> bool {
        let attentions = &self.capture.model().attentions;
        attentions.iter().any(|info| info.attention == Attention::Cross)
    }
}

/// The sentences that are sequences of a capture, by their texts, in order.
fn captured(text: &TaggedText, capture: &Capture, side: Side) -> TaggedText {
    let mut sequences = capture.sequences().iter().peekable();
    let mut is_next = |sentence: &TaggedSentence| {
        let found = sequences.next_if(|sequence| place_of(&sentence.text, sequence, side).is_some());
        found.is_some()
    };
    let mut text = text.clone();
    text.sentences.retain(|sentence| is_next(sentence));
    text
}

/// The steps from captures to concepts, with checked settings.
///
/// ```
/// use std::sync::Arc;
///
/// use attn_analyze::concepts::{Pipeline, PipelineParams, Reading, TaggedText};
/// use attn_core::{Attention, CaptureWriter, ModelInfo, Sequence, Side, Token};
/// use attn_core::{capture::{CaptureOptions, CapturePlan, Slot}, model::{AttentionInfo, LayerAttention, Mask, Positions}};
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
    /// One layer is in memory at a time. To see layers as they are done, ask for [`begin`](Self::begin) and each
    /// [`layer`](Self::layer).
    ///
    /// # Errors
    /// [`Error::Empty`] if no word is frequent enough, [`Error::Parameter`] for a layer that the model lacks,
    /// [`Error::Shape`] if the capture is of another text; those of the steps, a cancellation.
    pub fn encode(&self, reading: &Reading<'_>, progress: &dyn Progress) -> Result<ConceptSpace> {
        let mut space = self.begin(reading)?;
        let chosen = self.layers(reading)?;
        let stage = format!("{LAYERS}{}", space.name());
        for &layer in &chosen {
            step(progress, &stage, space.layers.len(), chosen.len())?;
            let found = self.layer(reading, &space, layer, progress)?;
            space.layers.push(found);
        }
        step(progress, &stage, space.layers.len(), chosen.len())?;
        Ok(space)
    }

    /// The words of a text and their labels, without a layer: what every layer has in common.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode) about words.
    pub fn begin(&self, reading: &Reading<'_>) -> Result<ConceptSpace> {
        let params = &self.params;
        self.check_count()?;
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
        notes.extend(reading.pairs());
        let usual = params.usual_count(words.words.len());
        if let Some(most) = self
            .method
            .most_clusters()
            .filter(|&most| params.clusters.is_none() && most < usual)
        {
            let method = self.method.name();
            notes.push(format!(
                "{most} clusters, the most of the method {method}, in place of {usual}"
            ));
        }
        Ok(ConceptSpace {
            model: reading.model.clone(),
            side: reading.is_one_of_two().then_some(reading.side),
            source: None,
            method: self.method.name().to_owned(),
            subwords: params.subwords,
            depth: reading.capture.hidden_layers(reading.side).last().copied().unwrap_or(0),
            text: reading.text.clone(),
            words,
            filtered,
            notes,
            layers: Vec::new(),
            explanation: None,
            sets,
            align: params.align.clone(),
        })
    }

    /// The layers that [`encode`](Self::encode) clusters, ascending.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a layer that the model lacks, [`Error::Empty`] for a capture without hidden states.
    pub fn layers(&self, reading: &Reading<'_>) -> Result<Vec<usize>> {
        self.params.chosen_layers(&reading.capture.hidden_layers(reading.side))
    }

    /// The clusters of one layer, for a space that [`begin`](Self::begin) gave for the same reading.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode) about layers.
    pub fn layer(
        &self,
        reading: &Reading<'_>,
        space: &ConceptSpace,
        layer: usize,
        progress: &dyn Progress,
    ) -> Result<ConceptLayer> {
        let (params, words, sets) = (&self.params, &space.words, &space.sets);
        let units = Units::new(words);
        let vectors = words.vectors(reading.capture, reading.side, layer, space.subwords)?;
        let count = params.cluster_count(vectors.view());
        let clustering = self
            .method
            .cluster(vectors.view(), self.within(&*self.method, count), progress)?;
        let mut found = ConceptLayer::new(layer, clustering.partition, clustering.tree, sets, words, &params.align)?;
        found.membership = clustering.membership;
        found.reachability = clustering.reachability;
        found.measure_borders(vectors.view());
        self.sweep(&mut found, sets, &units, progress)?;
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
            let other = method.cluster(vectors.view(), self.within(&**method, count), progress);
            let agreement = match (other, sets.first()) {
                (Ok(other), Some(set)) => found.agreement(&other.partition, set, &units, &params.align)?,
                (Ok(_), None) => Agreement::Failed("there is no label set to compare by".into()),
                (Err(error), _) if error.is_cancelled() => return Err(error),
                // A radius may leave fewer leaders than clusters; a mixture may not converge.
                (Err(error), _) => Agreement::Failed(error.to_string()),
            };
            found.methods.insert(method.name().to_owned(), agreement);
        }
        found.centers = Centers::new(vectors.view(), &found.partition);
        found.map = params.map(vectors.view(), progress)?;
        Ok(found)
    }

    /// A number of clusters that nobody asked for, as far as a method goes. One that was asked for is for the method to refuse.
    fn within(&self, method: &dyn Clusterer, count: usize) -> usize {
        match (self.params.clusters, method.most_clusters()) {
            (None, Some(most)) => count.min(most),
            _ => count,
        }
    }

    /// Refuses a number of clusters that the method cannot find.
    fn check_count(&self) -> Result<()> {
        match (self.params.clusters, self.method.most_clusters()) {
            (Some(asked), Some(most)) if asked > most => Err(Error::Parameter {
                name: "clusters",
                expected: format!("at most {most} for the method {}", self.method.name()),
                found: asked.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Alignment with the annotated sets over all numbers of clusters, if it is wanted and there is a tree.
    fn sweep(&self, found: &mut ConceptLayer, sets: &[LabelSet], units: &Units, progress: &dyn Progress) -> Result<()> {
        let Some(tree) = found.whole.as_ref().filter(|_| self.params.sweep) else {
            return Ok(());
        };
        let align = AlignParams {
            permutations: self.params.sweep_permutations,
            ..self.params.align.clone()
        };
        let counts = sweep_counts(tree.points());
        let swept = sets.iter().filter(|set| set.source != LabelSource::Spelling);
        let swept = swept.map(|set| sweep(tree, set, units, &counts, &align, progress));
        found.sweeps = swept.collect::<Result<_>>()?;
        Ok(())
    }

    /// The same space with other clusters: another number of them from the same trees, another threshold or rule. Names and
    /// alignments are new, maps stay. Layers without a tree keep their clusters.
    ///
    /// Where clusters change, an explanation is dropped, and so are the centers and border words of clusters unless `reading` gives the
    /// vectors to compute them from: a space that was read from a file needs none.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more clusters than words, a cancellation.
    pub fn recut(
        &self,
        space: &ConceptSpace,
        reading: Option<&Reading<'_>>,
        progress: &dyn Progress,
    ) -> Result<ConceptSpace> {
        let units = Units::new(&space.words);
        let mut layers = Vec::with_capacity(space.layers.len());
        let mut changed = false;
        for old in &space.layers {
            step(progress, "clusters of layers", layers.len(), space.layers.len())?;
            let partition = match &old.whole {
                Some(whole) => whole.cut(self.params.clusters.unwrap_or_else(|| self.params.count_of_tree(whole)))?,
                None => old.partition.clone(),
            };
            let same = partition == old.partition;
            changed |= !same;
            let mut found = ConceptLayer::new(
                old.layer,
                partition,
                old.whole.clone(),
                &space.sets,
                &space.words,
                &self.params.align,
            )?;
            found.keep_names(old);
            found.map.clone_from(&old.map);
            found.neurons.clone_from(&old.neurons);
            found.reachability.clone_from(&old.reachability);
            if space.align == self.params.align {
                found.sweeps.clone_from(&old.sweeps);
            } else {
                self.sweep(&mut found, &space.sets, &units, progress)?;
            }
            if same {
                found.keep_measures(old);
            } else if let Some(reading) = reading {
                let vectors = (space.words).vectors(reading.capture, reading.side, old.layer, space.subwords)?;
                found.centers = Centers::new(vectors.view(), &found.partition);
                found.measure_borders(vectors.view());
            }
            layers.push(found);
        }
        step(progress, "clusters of layers", layers.len(), space.layers.len())?;
        Ok(ConceptSpace {
            model: space.model.clone(),
            side: space.side,
            source: space.source.clone(),
            method: space.method.clone(),
            subwords: space.subwords,
            depth: space.depth,
            text: space.text.clone(),
            words: space.words.clone(),
            filtered: space.filtered.clone(),
            notes: space.notes.clone(),
            layers,
            explanation: space.explanation.clone().filter(|_| !changed),
            sets: space.sets.clone(),
            align: self.params.align.clone(),
        })
    }

    /// Means of the clusters of a layer, for [`place`](Self::place).
    ///
    /// # Errors
    /// Those of [`Words::vectors`].
    pub fn centers(&self, reading: &Reading<'_>, space: &ConceptSpace, layer: &ConceptLayer) -> Result<Centers> {
        let vectors = (space.words).vectors(reading.capture, reading.side, layer.layer, space.subwords)?;
        Ok(Centers::new(vectors.view(), &layer.partition))
    }

    /// The clusters that the words of other sentences are nearest to, in every layer of a space. `reading` is that of the
    /// sentences, by the same model; [`plain_text`] divides a typed one into words.
    ///
    /// # Errors
    /// [`Error::Empty`] for a space without [`centers`](Self::centers), such as one that was read from a file and cut anew; those of [`Words::find`] and
    /// [`Words::vectors`]; [`Error::Shape`] for vectors of another model.
    pub fn place(&self, space: &ConceptSpace, reading: &Reading<'_>, nearest: usize) -> Result<Placement> {
        Placement::new(space, reading, nearest)
    }

    /// Compares the clusters of one or more models, in the order of training: which are found again, layer by layer, and what became
    /// of each. [`ConceptStudy::comparisons`] says which are compared.
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
        Explanation::new(space, reading, prediction)
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
