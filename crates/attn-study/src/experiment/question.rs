//! Questions about heads, as a window or a command line asks them, and their answers in words.

use attn_core::{HeadId, Progress, Sequence};
use attn_models::Capturer;

use super::{Ablation, Distance, Edges, Effect, Estimate, ExperimentParams, KnockOut, ablate, knock_out};
use crate::Error;

/// What an experiment takes away from a model.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_embedded::sentences;
/// use attn_models::Capturer;
/// use attn_study::experiment::{ExperimentParams, Question};
///
/// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
/// let capture = capturer.capture_lines(sentences().take(8))?;
/// let question = Question { heads: vec![HeadId::new(Attention::DecoderSelf, 1, 2)], edges: None };
/// let params = ExperimentParams { random: 2, ..ExperimentParams::default() };
/// let answer = question.answer(&capturer, capture.sequences(), &params, &())?;
/// assert_eq!(answer.effect().sequences, 8);
/// assert!(answer.lines()[0].starts_with("Loss"));
/// # Ok::<(), attn_study::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The heads.
    pub heads: Vec<HeadId>,
    /// The edges to knock out; `None` ablates the heads as a whole.
    pub edges: Option<Edges>,
}

/// The effect of an experiment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Heads were ablated.
    Ablation(Ablation),
    /// Edges were knocked out.
    KnockOut(KnockOut),
}

impl Question {
    /// Runs the experiment over these sequences.
    ///
    /// # Errors
    /// Those of [`ablate`] and [`knock_out`].
    pub fn answer(
        &self,
        capturer: &Capturer,
        sequences: &[Sequence],
        params: &ExperimentParams,
        progress: &dyn Progress,
    ) -> Result<Answer, Error> {
        Ok(match &self.edges {
            None => Answer::Ablation(ablate(capturer, sequences, &self.heads, params, progress)?),
            Some(edges) => Answer::KnockOut(knock_out(capturer, sequences, &self.heads, edges, params, progress)?),
        })
    }
}

impl Answer {
    /// The effect.
    pub fn effect(&self) -> &Effect {
        match self {
            Self::Ablation(ablation) => &ablation.effect,
            Self::KnockOut(cut) => &cut.effect,
        }
    }

    /// The effect and its comparison with random variants, in words, a line each.
    pub fn lines(&self) -> Vec<String> {
        let effect = self.effect();
        let interval = |of: &Estimate| format!("{:+.3} ({:+.3} to {:+.3})", of.mean, of.low, of.high);
        let mut lines = Vec::new();
        if let (Some(loss), Some(change)) = (&effect.loss, &effect.loss_change) {
            lines.push(format!("Loss {:.3}, changes by {}", loss.mean, interval(change)));
        }
        let distance = match effect.distance {
            Distance::Divergence => "Predictions move by (KL, nats)",
            Distance::Cosine => "States turn by (1 − cosine)",
        };
        lines.push(format!("{distance} {}", interval(&effect.output_change)));
        if let Some(agreement) = &effect.agreement {
            lines.push(format!(
                "Its first class stays in {:.0} % ({:.0} to {:.0} %)",
                100.0 * agreement.mean,
                100.0 * agreement.low,
                100.0 * agreement.high
            ));
        }
        match self {
            Self::Ablation(ablation) => {
                let what = if ablation.heads.len() == 1 {
                    "Other heads"
                } else {
                    "Other sets of heads"
                };
                lines.push(beside(what, ablation.reached, ablation.random.len(), ablation.p_value));
            }
            Self::KnockOut(cut) => {
                let (heads, edges) = (cut.random_heads.len(), cut.random_edges.len());
                lines.push(beside(
                    "The same edges of other heads",
                    cut.reached_heads,
                    heads,
                    cut.p_value_heads,
                ));
                lines.push(beside(
                    "Other edges of this head",
                    cut.reached_edges,
                    edges,
                    cut.p_value_edges,
                ));
            }
        }
        lines
    }
}

/// How many random variants have as large an effect.
fn beside(what: &str, reached: usize, count: usize, p_value: f64) -> String {
    format!("{what}: {reached} of {count} have as large an effect (p = {p_value:.2})")
}
