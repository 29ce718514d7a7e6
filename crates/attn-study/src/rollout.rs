//! Attention rollout in one sequence (Abnar and Zuidema 2020): as a graph, as lines for long sequences, as heat for images.

use attn_analyze::heads::{capture_mixing, capture_rollout};
use attn_core::{Attention, HeadId, Progress, ndarray::Array2};
use attn_render::{
    Plot,
    plots::{ImageAttention, Rollout, Sentence},
};

use crate::{
    Error, Study,
    sequence::{on_image, subtitle, words},
    weighting::shared,
};

/// Limit of tokens of a legible graph.
const GRAPH: usize = 64;

/// Attention rollout of one sequence: contributions of tokens to states.
#[derive(Debug, Clone)]
pub struct SequenceRollout {
    attention: Attention,
    sequence: usize,
    shares: Shares,
}

#[derive(Debug, Clone)]
enum Shares {
    /// Contributions of each layer's states to the next layer.
    Layers(Vec<Array2<f32>>),
    /// Contributions of tokens to the states of the last layer.
    Last(Array2<f32>),
}

impl Study {
    /// Computes attention rollout in one sequence. A layer mixes mean attention over heads with the identity, half each. Time grows
    /// with the square of a sequence's length, beyond some thousand tokens with its cube.
    ///
    /// ```
    /// use attn_core::Attention;
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_study::Study;
    /// use attn_project::AtlasParams;
    /// use attn_render::{Plot, ViewState};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(2))?;
    /// let study = Study::new(capture, &AtlasParams::default());
    /// let rollout = study.roll_out(Attention::DecoderSelf, 1, &())?;
    /// let plot = rollout.plot(&study, None)?;
    /// assert!(plot.scene(&ViewState::default(), plot.natural_size())?.layers[1].edges.len() > 10);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Analyze`] for cross-attention, for an attention or a sequence that does not exist, and if `progress` cancels.
    pub fn roll_out(
        &self,
        attention: Attention,
        sequence: usize,
        progress: &dyn Progress,
    ) -> Result<SequenceRollout, Error> {
        let capture = self.capture();
        let item = capture.sequences().get(sequence);
        let short = item.is_some_and(|item| item.image.is_none() && item.tokens(attention.query_side()).len() <= GRAPH);
        let shares = match short {
            true => Shares::Layers(capture_mixing(capture, attention, sequence, progress)?),
            false => Shares::Last(capture_rollout(capture, attention, sequence, progress)?),
        };
        Ok(SequenceRollout {
            attention,
            sequence,
            shares,
        })
    }

    /// The attention of a head's rollout: its own, or the encoder's for cross-attention.
    pub fn self_attention_of(head: HeadId) -> Attention {
        match head.attention {
            Attention::Cross => Attention::EncoderSelf,
            own => own,
        }
    }
}

impl SequenceRollout {
    /// The attention that was rolled out.
    pub fn attention(&self) -> Attention {
        self.attention
    }

    /// The sequence.
    pub fn sequence(&self) -> usize {
        self.sequence
    }

    /// The plot. Up to 64 tokens: a graph ([`Rollout`]). More tokens: lines from the last states to tokens ([`Sentence`]). An image:
    /// a heat map of contributions to a `patch` (row and column; by default the center) ([`ImageAttention`]).
    ///
    /// # Errors
    /// [`Error::Core`] for a rollout of another study, [`Error::Models`] if an image cannot be read again.
    pub fn plot(&self, study: &Study, patch: Option<(usize, usize)>) -> Result<Box<dyn Plot>, Error> {
        let capture = study.capture();
        let model = capture.model();
        let stack = match self.attention {
            _ if model.attentions.len() < 2 => "",
            Attention::EncoderSelf => ", encoder",
            Attention::DecoderSelf => ", decoder",
            Attention::Cross => ", cross-attention",
        };
        let last_head = self.last_head(study);
        // Fails for the rollout of another study.
        capture.attention(last_head, self.sequence)?;
        let item = &capture.sequences()[self.sequence];
        let title = format!("{}{stack}: attention rollout in {}", model.name, item.name);
        let (tokens, subtitle) = (words(item, self.attention.query_side()), subtitle(item));
        Ok(match &self.shares {
            Shares::Layers(layers) => Box::new(Rollout {
                title,
                subtitle,
                ..Rollout::new(tokens, layers.iter().map(shared).collect())
            }),
            Shares::Last(last) if item.image.is_some() => {
                let caption = "Attention rollout over all layers. (a) Contribution of every patch to the outlined patch. (b) For \
                               each patch, the patch that contributes most.";
                Box::new(ImageAttention {
                    title,
                    caption: caption.into(),
                    ..on_image(last_head, item, shared(last), patch, study.limits)?
                })
            }
            Shares::Last(last) => {
                let caption = "Left: states after the last layer. Right: tokens. Each line is the contribution of a token to a \
                               state through all layers.";
                Box::new(Sentence {
                    title,
                    subtitle,
                    caption: caption.into(),
                    ..Sentence::new(last_head, tokens.clone(), tokens, shared(last))
                })
            }
        })
    }

    /// A head of the last layer, for plots of one head.
    fn last_head(&self, study: &Study) -> HeadId {
        let info = study.capture().model().attention(self.attention);
        HeadId::new(
            self.attention,
            info.map_or(0, |info| info.layers.len().saturating_sub(1)),
            0,
        )
    }
}
