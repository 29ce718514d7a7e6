//! Comparison of two models on the same sequences, head by head. The other model is a control model, or another checkpoint.

use std::fmt::Write as _;

use attn_analyze::heads::{
    Comparison, DivergenceParams, Role, ScoreList, ScoreParams, compare, divergence_between, head_labels, score_heads,
};
use attn_core::{Capture, HeadId, Progress, Sequence};
use attn_models::{Capturer, capture::CaptureRun};
use serde::Serialize;

use crate::{Error, image::image_of};

/// The sequences of a capture, to be read by another model: the same tokens, the same images.
///
/// # Errors
/// [`Error::NotAnImage`] for an image whose file is not known. Those of [`Capturer::sequences`] and
/// [`Capturer::images`] come when it runs.
pub fn read_again<'a>(capturer: &'a Capturer, sequences: &[Sequence]) -> Result<CaptureRun<'a>, Error> {
    if capturer.model().vision().is_some() {
        let images = sequences.iter().map(image_of).collect::<Result<Vec<_>, _>>()?;
        return Ok(capturer.images(images));
    }
    Ok(capturer.sequences(sequences.iter().cloned()))
}

/// The heads of a model beside those of another, on the same sequences.
///
/// ```
/// use attn_embedded::sentences;
/// use attn_models::{Capturer, control::Control};
/// use attn_study::contrast::{Contrast, read_again};
///
/// let checkpoint = attn_embedded::TEXT_ENCODER.checkpoint()?;
/// let capture = Capturer::load(&checkpoint)?.capture_lines(sentences().take(20))?;
/// let control = Control::PositionFree.capturer(&checkpoint, 0)?;
/// let other = read_again(&control, capture.sequences())?.run()?.capture;
/// let contrast = Contrast::new(&capture, &other, &())?;
/// assert_eq!(contrast.heads.len(), 16);
/// assert_eq!(contrast.other, "text-encoder, position-free");
/// # Ok::<(), attn_study::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Contrast {
    /// The model's name.
    pub model: String,
    /// The other's.
    pub other: String,
    /// Sequences both have read.
    pub sequences: usize,
    /// The heads that both have, in the order of the model.
    pub heads: Vec<HeadContrast>,
}

/// A head beside the one of the same name in another model.
#[derive(Debug, Clone, Serialize)]
pub struct HeadContrast {
    /// The head.
    pub head: HeadId,
    /// Its name among all of the model's.
    pub name: String,
    /// Difference of attention: mean Jensen-Shannon divergence in bits, 0 for equal rows, 1 for rows that share no key.
    pub divergence: f32,
    /// Its roles, strongest first.
    pub labels: Vec<Role>,
    /// Roles of the other's head.
    pub other_labels: Vec<Role>,
    /// Its scores; the other's value is `same_head`.
    pub scores: Vec<Comparison>,
}

impl Contrast {
    /// Compares two captures of the same sequences, over at most 300 of them.
    ///
    /// # Errors
    /// Those of [`score_heads`] and [`divergence_between`]: other sequences, a cancellation.
    pub fn new(capture: &Capture, other: &Capture, progress: &dyn Progress) -> Result<Self, Error> {
        let list = ScoreList::builtin();
        let sample = ScoreParams {
            max_sequences: 300,
            ..ScoreParams::default()
        };
        let distances = divergence_between(capture, other, &DivergenceParams::default(), progress)?;
        let scores = score_heads(capture, &list, &sample, progress)?;
        let other_scores = score_heads(other, &list, &sample, progress)?;
        let compared = compare(&scores, &other_scores)?;
        let rules = list.rules();
        let labels = |scores: &[attn_analyze::heads::HeadScores], head: HeadId| {
            let found = scores.iter().find(|scores| scores.head == head);
            let labels = found
                .map(|scores| head_labels(scores, &list, &rules))
                .unwrap_or_default();
            labels.into_iter().map(|label| label.role).collect()
        };
        let heads = distances.into_iter().map(|(head, divergence)| HeadContrast {
            head,
            name: capture.model().head_name(head),
            divergence,
            labels: labels(&scores, head),
            other_labels: labels(&other_scores, head),
            scores: compared.iter().filter(|score| score.head == head).cloned().collect(),
        });
        Ok(Self {
            model: capture.model().name.clone(),
            other: other.model().name.clone(),
            sequences: capture.sequences().len(),
            heads: heads.collect(),
        })
    }

    /// One head.
    pub fn head(&self, head: HeadId) -> Option<&HeadContrast> {
        self.heads.iter().find(|contrast| contrast.head == head)
    }

    /// The table as Markdown: difference of attention, roles in both models, and the score that differs most, per head.
    pub fn markdown(&self) -> String {
        let mut page = format!("# {} compared with {}\n\n", self.model, self.other);
        let mean = self.heads.iter().map(|head| head.divergence).sum::<f32>() / self.heads.len().max(1) as f32;
        let _ = writeln!(
            page,
            "{} sequences, read by both models. Bits: mean Jensen-Shannon divergence of rows of attention, 0 for equal, 1 for rows that \
             share no key; mean over all heads {mean:.2}. Score: the one that differs most, among scores from 0 to 1.\n",
            self.sequences
        );
        page.push_str("| head | bits | roles | roles in the other model | score | value | value in the other model |\n|---|---|---|---|---|---|---|\n");
        for head in &self.heads {
            let names = |labels: &[Role]| match labels {
                [] => "–".to_owned(),
                labels => labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let shares = head.scores.iter().filter_map(|score| Some((score, score.same_head?)));
            let shares = shares.filter(|(score, other)| score.value.max(*other) <= 1.0);
            let most = shares.max_by(|a, b| (a.0.value - a.1).abs().total_cmp(&(b.0.value - b.1).abs()));
            let score = most.map_or_else(
                || "– | – | –".to_owned(),
                |(score, other)| format!("{} | {:.2} | {other:.2}", score.score.name(), score.value),
            );
            let _ = writeln!(
                page,
                "| {} | {:.2} | {} | {} | {score} |",
                head.name,
                head.divergence,
                names(&head.labels),
                names(&head.other_labels)
            );
        }
        page
    }
}
