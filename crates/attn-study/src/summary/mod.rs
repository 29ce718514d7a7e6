//! A model on one page: what each head does, which heads do the same, what stands out.
//!
//! 144 heads are more than anybody looks at. This is what to look at first, with the score, the chance level and an example
//! behind each word, as data and as a page of Markdown.

mod chained;
mod likeness;
mod markdown;
mod repeated;
mod table;

use std::collections::BTreeMap;

use attn_analyze::heads::{
    Anomaly, DivergenceOptions, HeadContent, HeadLabel, HeadNorms, HeadScores, LabelKind, Rules, ScoreOptions,
    anomalies, content_scores, head_labels, head_norms, score_heads,
};
use attn_core::{Capture, HeadId, ModelInfo, Progress, Sequence, TokenColumn};
use attn_models::Capturer;
use serde::Serialize;

pub use self::{
    chained::{ChainedHeads, Way},
    likeness::Likeness,
};
use crate::{Error, patches};

/// What [`Summary::new`] reads and how it judges.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryOptions {
    /// Sequences that scores are taken over, a seeded sample. Default 300: a share of attention then has a standard error
    /// below 0.03.
    pub max_sequences: usize,
    /// When a score is a habit. Default: [`Rules::default`].
    pub rules: Rules,
    /// Pairs of heads that are named, at most: as alike, per attention; as one reading the other. Default 8.
    pub alike: usize,
    /// Seed of samples, permutations and random tokens. Default 0.
    pub seed: u64,
}

impl Default for SummaryOptions {
    fn default() -> Self {
        Self {
            max_sequences: 300,
            rules: Rules::default(),
            alike: 8,
            seed: 0,
        }
    }
}

/// A model on one page.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The model's facts.
    pub model: ModelInfo,
    /// Sequences of the capture.
    pub sequences: usize,
    /// Tokens of the capture.
    pub tokens: usize,
    /// Whether the model was run on repeated random tokens, without which there is no word on induction.
    pub repeated: bool,
    /// Every head, in the order of the model.
    pub heads: Vec<HeadSummary>,
    /// Pairs of heads that attend alike, most alike first.
    pub alike: Vec<AlikeHeads>,
    /// How alike all pairs attend, for each attention: distances, a map, groups.
    pub likeness: Vec<Likeness>,
    /// Heads that read what earlier ones write, those farthest above the median pair first. Empty without the model at hand, for
    /// one layer, and for models so large that it would take minutes.
    pub chained: Vec<ChainedHeads>,
    /// What stands out.
    pub anomalies: Vec<Anomaly>,
    /// The sequences that examples are taken from, by their index in the capture.
    #[serde(skip)]
    shown: BTreeMap<usize, Sequence>,
}

/// One head of a [`Summary`].
#[derive(Debug, Clone, Serialize)]
pub struct HeadSummary {
    /// The head.
    pub head: HeadId,
    /// What it does, strongest first; nothing if no rule knows it.
    pub labels: Vec<HeadLabel>,
    /// All its scores.
    pub scores: HeadScores,
    /// Mean lengths of its vectors.
    pub norms: HeadNorms,
    /// What it reads beside places, by attribute, the one that explains most first: tokens of text; brightness, hue, orientation and
    /// frequency of patches.
    pub content: Vec<HeadContent>,
}

/// Two heads that look at the same places. Whether they also write the same must be seen by taking one out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AlikeHeads {
    /// One head.
    pub a: HeadId,
    /// The other.
    pub b: HeadId,
    /// Mean Jensen-Shannon divergence of their rows in bits, 0 for equal.
    pub divergence: f32,
    /// That of the median pair.
    pub median: f32,
}

impl Summary {
    /// Reads a capture. With the model at hand it is also run on repeated random tokens, which shows induction, and its weights
    /// tell which heads read which.
    ///
    /// # Errors
    /// Those of [`score_heads`], and of the model's run; a cancellation.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_study::{Summary, SummaryOptions};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let summary = Summary::new(&capture, Some(&capturer), &SummaryOptions::default(), &())?;
    /// assert_eq!(summary.heads.len(), 16);
    /// assert!(summary.markdown().starts_with("# What the heads of text-decoder do"));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn new(
        capture: &Capture,
        model: Option<&Capturer>,
        options: &SummaryOptions,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let sample = ScoreOptions {
            max_sequences: options.max_sequences,
            seed: options.seed,
        };
        let mut scores = score_heads(capture, &sample, progress)?;
        let mut attributes = patches::attributes(capture, progress)?;
        attributes.insert(0, TokenColumn::of_tokens(capture));
        let mut content: Vec<HeadContent> = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.has_values()) {
            content.extend(content_scores(capture, attribute, &sample, progress)?);
        }
        // What explains most comes first; it is the one that is named.
        let above = |content: &HeadContent| content.score.value - content.score.baseline();
        content.sort_by(|a, b| a.head.cmp(&b.head).then(above(b).total_cmp(&above(a))));
        let best = content.chunk_by(|a, b| a.head == b.head).filter_map(<[_]>::first);
        let best: Vec<HeadScores> = best.map(HeadContent::scores).collect();
        HeadScores::extend(&mut scores, &best);
        let repeats = match model {
            Some(model) => repeated::scores(capture, model, options.seed, progress)?,
            None => None,
        };
        let repeated = repeats.is_some();
        let chained = match model {
            Some(model) => chained::strongest(model, options, progress)?,
            None => Vec::new(),
        };
        HeadScores::extend(&mut scores, &repeats.unwrap_or_default());
        let norms = head_norms(capture, &sample, progress)?;
        let anomalies = anomalies(&scores, &norms);
        let rows = DivergenceOptions {
            seed: options.seed,
            ..DivergenceOptions::default()
        };
        let attentions = capture.model().attentions.iter();
        let likeness: Vec<Likeness> = attentions
            .map(|info| Likeness::new(capture, info.attention, &rows, progress))
            .collect::<Result<_, _>>()?;
        let nearest = likeness
            .iter()
            .flat_map(|likeness| likeness.nearest_pairs(options.alike));
        let mut alike: Vec<AlikeHeads> = nearest.collect();
        alike.sort_by(|a, b| a.divergence.total_cmp(&b.divergence).then((a.a, a.b).cmp(&(b.a, b.b))));
        let heads: Vec<HeadSummary> = scores
            .into_iter()
            .zip(norms)
            .map(|(scores, norms)| HeadSummary {
                head: scores.head,
                labels: head_labels(&scores, &options.rules),
                content: content
                    .iter()
                    .filter(|content| content.head == scores.head)
                    .cloned()
                    .collect(),
                scores,
                norms,
            })
            .collect();
        let shown = heads
            .iter()
            .flat_map(|head| &head.labels)
            .filter_map(|label| Some(label.example.as_ref()?.sequence))
            .filter_map(|index| Some((index, capture.sequences().get(index)?.clone())))
            .collect();
        let main = capture
            .model()
            .attentions
            .first()
            .map(|info| info.attention.query_side());
        Ok(Self {
            model: capture.model().clone(),
            sequences: capture.sequences().len(),
            tokens: main.map_or(0, |side| capture.tokens(side)),
            repeated,
            heads,
            alike,
            likeness,
            chained,
            anomalies,
            shown,
        })
    }

    /// One head.
    pub fn head(&self, head: HeadId) -> Option<&HeadSummary> {
        self.heads.iter().find(|summary| summary.head == head)
    }

    /// For each habit, the heads that have it, strongest first.
    pub fn habits(&self) -> BTreeMap<LabelKind, Vec<&HeadLabel>> {
        attn_analyze::heads::summary(self.heads.iter().flat_map(|head| &head.labels))
    }

    /// Heads that no rule knows.
    pub fn unnamed(&self) -> impl Iterator<Item = HeadId> {
        self.heads
            .iter()
            .filter(|head| head.labels.is_empty())
            .map(|head| head.head)
    }

    /// The page, as Markdown.
    pub fn markdown(&self) -> String {
        markdown::page(self)
    }
}
