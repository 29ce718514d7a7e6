//! A model on one page: the role of each head, heads with similar attention, anomalies.
//!
//! A model of 144 heads has too many to look at. The page names the ones to look at first, with the score, the chance level
//! and an example behind each word.

mod build;
mod composition;
mod page;
mod repeated;
mod similarity;
mod table;

use std::collections::BTreeMap;

use attn_analyze::heads::{
    Anomaly, DivergenceParams, HeadContent, HeadLabel, HeadNorms, HeadScores, Reads, Role, Rules, ScoreId, ScoreList,
    ScoreParams, anomalies, content_scores, head_labels, head_norms, heads_by_role, score_heads,
};
use attn_core::{Capture, HeadId, Limits, ModelInfo, Progress, Sequence, TokenColumn, text::Note};
use attn_models::{Capturer, capture::cut_notes};
use attn_project::{
    HeadProjection,
    head::{DistanceCorrelation, PlaneScore},
};
use serde::Serialize;

pub use self::{
    composition::{ComposedHeads, CompositionKind},
    page::{Block, Finding, Page, PageHead, Section, SectionKind, Span, Suggestion, Text},
    similarity::{HeadSimilarity, SimilarHeads},
};
use crate::{Error, patches};

/// Settings of [`Summary::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryParams {
    /// Limit of sequences that scores are taken over; of a larger capture, a seeded sample is read. Default 300: a share of
    /// attention then has a standard error below 0.03.
    pub max_sequences: usize,
    /// Scores of heads. Default: [`ScoreList::builtin`]. A host's own join them in tables, roles and on the page.
    pub scores: ScoreList,
    /// Scores and strengths that give a role. Default `None`: the [rules](ScoreList::rules) of the scores.
    pub rules: Option<Rules>,
    /// Limit of pairs of heads that the page names: with similar attention, per attention; and by composition. Default 8.
    pub pairs: usize,
    /// Seed of samples, permutations and random tokens. Default 0.
    pub seed: u64,
}

impl Default for SummaryParams {
    fn default() -> Self {
        Self {
            max_sequences: 300,
            scores: ScoreList::builtin(),
            rules: None,
            pairs: 8,
            seed: 0,
        }
    }
}

/// A model on one page.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Facts of the model.
    pub model: ModelInfo,
    /// Sequences of the capture.
    pub sequences: usize,
    /// Tokens of the capture.
    pub tokens: usize,
    /// What the model did not read (sequences and targets that were cut), and what is left out here.
    pub notes: Vec<Note>,
    /// Whether the model was run on repeated random tokens, which show induction.
    pub repeated: bool,
    /// Every head, in the order of the model.
    pub heads: Vec<HeadSummary>,
    /// Pairs of heads with similar attention, most similar first.
    pub similar: Vec<SimilarHeads>,
    /// Similarity of all pairs of each attention: distances, a map, groups.
    pub similarity: Vec<HeadSimilarity>,
    /// Heads that read the output of earlier heads, those farthest above the median pair first. Empty without the model, for
    /// one layer, and for models so large that it would take minutes.
    pub composition: Vec<ComposedHeads>,
    /// Heads that stand out.
    pub anomalies: Vec<Anomaly>,
    /// The page about all of it.
    pub page: Page,
    /// The scores that were computed.
    #[serde(skip)]
    pub scores: ScoreList,
    /// The rules that gave roles.
    #[serde(skip)]
    pub rules: Rules,
    /// The sequences that examples are taken from, by their index in the capture.
    #[serde(skip)]
    shown: BTreeMap<usize, Sequence>,
}

/// One head of a [`Summary`].
#[derive(Debug, Clone, Serialize)]
pub struct HeadSummary {
    /// The head.
    pub head: HeadId,
    /// Its roles, strongest first, each with the score that gave it; none if no rule knows it.
    pub labels: Vec<HeadLabel>,
    /// All its scores.
    pub scores: HeadScores,
    /// Mean lengths of its vectors.
    pub norms: HeadNorms,
    /// What its plot shows of its attention, if it [was projected](Summary::add_projections).
    pub plane: Option<PlaneScore>,
    /// Rank correlation of distance and attention in the full space, before the projection.
    pub correlation: Option<DistanceCorrelation>,
    /// Attributes of tokens that explain its attention, the one that explains most first: the text of tokens; brightness,
    /// hue, orientation and frequency of patches.
    pub content: Vec<HeadContent>,
}

impl Summary {
    /// Reads a capture. With `model`, it is also run on repeated random tokens, which show induction, and its weights tell
    /// which heads read which.
    ///
    /// # Errors
    /// Those of [`score_heads`] and of the model's run; a cancellation.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_study::summary::{Summary, SummaryParams};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let summary = Summary::new(&capture, Some(&capturer), &SummaryParams::default(), &())?;
    /// assert_eq!(summary.heads.len(), 16);
    /// assert!(summary.markdown().starts_with("# What the heads of text-decoder do"));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn new(
        capture: &Capture,
        model: Option<&Capturer>,
        params: &SummaryParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let sample = ScoreParams {
            max_sequences: params.max_sequences,
            seed: params.seed,
        };
        let list = &params.scores;
        let rules = params.rules.clone().unwrap_or_else(|| list.rules());
        let mut notes = cut_notes(capture.sequences());
        let limits = model.map_or_else(Limits::default, |model| model.model().limits());
        let (mut scores, content) = scored(capture, list, &sample, limits, &mut notes, progress)?;
        let repeats = match model {
            Some(model) if !list.reading(Reads::RepeatedTokens).is_empty() => {
                repeated::scores(capture, model, list, params.seed, progress)?
            }
            _ => None,
        };
        let repeated = repeats.is_some();
        HeadScores::extend(&mut scores, &repeats.unwrap_or_default());
        let composition = match model {
            Some(model) => composition::strongest(model, params, progress)?,
            None => Vec::new(),
        };
        let norms = head_norms(capture, &sample, progress)?;
        let anomalies = anomalies(&scores, &norms);
        let rows = DivergenceParams {
            seed: params.seed,
            ..DivergenceParams::default()
        };
        let attentions = capture.model().attentions.iter();
        let similarity: Vec<HeadSimilarity> = attentions
            .map(|info| HeadSimilarity::new(capture, info.attention, &rows, progress))
            .collect::<Result<_, _>>()?;
        let nearest = similarity
            .iter()
            .flat_map(|similarity| similarity.nearest_pairs(params.pairs));
        let mut similar: Vec<SimilarHeads> = nearest.collect();
        similar.sort_by(|a, b| a.divergence.total_cmp(&b.divergence).then((a.a, a.b).cmp(&(b.a, b.b))));
        let heads: Vec<HeadSummary> = scores
            .into_iter()
            .zip(norms)
            .map(|(scores, norms)| HeadSummary {
                head: scores.head,
                labels: head_labels(&scores, list, &rules),
                content: content
                    .iter()
                    .filter(|content| content.head == scores.head)
                    .cloned()
                    .collect(),
                plane: None,
                correlation: None,
                scores,
                norms,
            })
            .collect();
        let main = capture
            .model()
            .attentions
            .first()
            .map(|info| info.attention.query_side());
        let mut summary = Self {
            model: capture.model().clone(),
            sequences: capture.sequences().len(),
            tokens: main.map_or(0, |side| capture.tokens(side)),
            notes,
            repeated,
            shown: shown(capture, &heads),
            heads,
            similar,
            similarity,
            composition,
            anomalies,
            page: Page {
                title: String::new(),
                sections: Vec::new(),
                note: String::new(),
            },
            scores: list.clone(),
            rules,
        };
        summary.page = build::page(&summary);
        Ok(summary)
    }

    /// Adds what the plots of heads show of attention, and makes the page again: the page about the roles needs no projection
    /// and can be read before.
    pub fn add_projections<'a>(&mut self, projections: impl IntoIterator<Item = &'a HeadProjection>) {
        for projection in projections {
            if let Some(head) = self.heads.iter_mut().find(|head| head.head == projection.head) {
                head.plane = Some(projection.plane.clone());
                head.correlation = Some(projection.correlation);
            }
        }
        self.page = build::page(self);
    }

    /// One head.
    pub fn head(&self, head: HeadId) -> Option<&HeadSummary> {
        self.heads.iter().find(|summary| summary.head == head)
    }

    /// The strongest role of each head that has one, by name: for [`Study::set_roles`](crate::Study::set_roles).
    pub fn strongest_roles(&self) -> impl Iterator<Item = (HeadId, String)> + '_ {
        let named = |head: &HeadSummary| Some((head.head, head.labels.first()?.name().into_owned()));
        self.heads.iter().filter_map(named)
    }

    /// The heads of each role, strongest first. Roles are in the order of the rules.
    pub fn roles(&self) -> Vec<(Role, Vec<&HeadLabel>)> {
        heads_by_role(self.heads.iter().flat_map(|head| &head.labels), &self.rules)
    }

    /// Heads without a role.
    pub fn unnamed(&self) -> impl Iterator<Item = HeadId> {
        self.heads
            .iter()
            .filter(|head| head.labels.is_empty())
            .map(|head| head.head)
    }

    /// The page as Markdown.
    pub fn markdown(&self) -> String {
        self.page.markdown()
    }
}

/// The first role of each head that has one, as a [`Summary`] of the capture alone gives it, without the rest of it.
pub(crate) fn first_labels(
    capture: &Capture,
    params: &SummaryParams,
    progress: &dyn Progress,
) -> Result<BTreeMap<HeadId, HeadLabel>, Error> {
    let sample = ScoreParams {
        max_sequences: params.max_sequences,
        seed: params.seed,
    };
    let rules = params.rules.clone().unwrap_or_else(|| params.scores.rules());
    let (scores, _) = scored(
        capture,
        &params.scores,
        &sample,
        Limits::default(),
        &mut Vec::new(),
        progress,
    )?;
    let label = |scores: &HeadScores| {
        let labels = head_labels(scores, &params.scores, &rules);
        Some((scores.head, labels.into_iter().next()?))
    };
    Ok(scores.iter().filter_map(label).collect())
}

/// The scores of the heads over a capture, with what attributes of tokens explain.
fn scored(
    capture: &Capture,
    list: &ScoreList,
    sample: &ScoreParams,
    limits: Limits,
    notes: &mut Vec<Note>,
    progress: &dyn Progress,
) -> Result<(Vec<HeadScores>, Vec<HeadContent>), Error> {
    let mut scores = score_heads(capture, list, sample, progress)?;
    let content = match list.get(&ScoreId::CONTENT) {
        Some(_) => content(capture, sample, limits, notes, progress)?,
        None => Vec::new(),
    };
    let best = content.chunk_by(|a, b| a.head == b.head).filter_map(<[_]>::first);
    let best: Vec<HeadScores> = best.map(HeadContent::scores).collect();
    HeadScores::extend(&mut scores, &best);
    Ok((scores, content))
}

/// Attributes of tokens that explain attention: per head, the one that explains most first.
fn content(
    capture: &Capture,
    sample: &ScoreParams,
    limits: Limits,
    notes: &mut Vec<Note>,
    progress: &dyn Progress,
) -> Result<Vec<HeadContent>, Error> {
    let mut attributes = patches::attributes(capture, limits, notes, progress)?;
    attributes.insert(0, TokenColumn::of_tokens(capture));
    let mut content: Vec<HeadContent> = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.has_values()) {
        content.extend(content_scores(capture, attribute, sample, progress)?);
    }
    let above = |content: &HeadContent| content.score.value - content.score.baseline();
    content.sort_by(|a, b| a.head.cmp(&b.head).then(above(b).total_cmp(&above(a))));
    Ok(content)
}

/// The sequences that examples of labels are taken from.
fn shown(capture: &Capture, heads: &[HeadSummary]) -> BTreeMap<usize, Sequence> {
    let examples = heads.iter().flat_map(|head| &head.labels);
    examples
        .filter_map(|label| Some(label.example.as_ref()?.sequence))
        .filter_map(|index| Some((index, capture.sequences().get(index)?.clone())))
        .collect()
}
