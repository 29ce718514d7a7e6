//! Where the states of one sequence come from through all layers (Abnar and Zuidema 2020): as a graph, as lines if it is too long for
//! that, over the picture if it is one.

use attn_analyze::heads::{capture_mixing, capture_rollout};
use attn_core::{Attention, HeadId, Progress, ndarray::Array2};
use attn_render::{
    Scene, Table, View,
    views::{ImageAttention, Rollout, Sentence},
};

use crate::{
    Error, Study,
    sequence::{on_picture, rows, subtitle, words},
};

/// Up to so many tokens a graph is legible.
const GRAPH: usize = 64;

/// What the states of one sequence are made of.
#[derive(Debug, Clone)]
pub struct SequenceRollout {
    attention: Attention,
    sequence: usize,
    shares: Shares,
}

#[derive(Debug, Clone)]
enum Shares {
    /// Of every layer in the one below.
    Layers(Vec<Array2<f32>>),
    /// Of the last layer in the tokens.
    Last(Array2<f32>),
}

impl Study {
    /// Rolls out the attention in one sequence: averaged over heads, half of every state staying what it was, followed through all
    /// layers. Time grows with the square of a sequence's length, beyond some thousand tokens with its cube.
    ///
    /// ```
    /// use attn_core::Attention;
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_study::Study;
    /// use attn_project::AtlasParams;
    /// use attn_render::View;
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_DECODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(2))?;
    /// let study = Study::new(capture, &AtlasParams::default())?;
    /// let rollout = study.roll_out(Attention::DecoderSelf, 1, &())?;
    /// assert!(rollout.scene(&study, None, &View::default(), None)?.layers[1].edges.len() > 10);
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

    /// The attention by which a head's tokens are rolled out: its own, and the encoder's for a head of cross-attention.
    pub fn self_attention_of(head: HeadId) -> Attention {
        match head.attention {
            Attention::Cross => Attention::EncoderSelf,
            own => own,
        }
    }
}

/// The view that fits a sequence.
enum Plot<'a> {
    Graph(Rollout<'a>),
    Lines(Sentence<'a>),
    Picture(&'a ImageAttention<'a>),
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

    /// The picture: a graph whose states can be chosen; of more than 64 tokens the lines from the last states to the tokens; of a
    /// picture what a `patch` (row and column; the one in the middle by default) is made of.
    ///
    /// # Errors
    /// Those of the view; [`Error::Models`] if a picture cannot be read again.
    pub fn scene(
        &self,
        study: &Study,
        patch: Option<(usize, usize)>,
        view: &View,
        size: Option<[f32; 2]>,
    ) -> Result<Scene, Error> {
        self.with_plot(study, patch, |plot| match plot {
            Plot::Graph(plot) => plot.scene(view, size.unwrap_or_else(|| plot.natural_size())),
            Plot::Lines(plot) => plot.scene(view, size.unwrap_or_else(|| plot.natural_size())),
            Plot::Picture(plot) => plot.scene(view, size.unwrap_or_else(|| plot.natural_size())),
        })
    }

    /// The numbers behind it: what every state of a short text is made of; of a long one, or of a picture, every last state.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self, study: &Study) -> Result<Table, Error> {
        self.with_plot(study, None, |plot| match plot {
            Plot::Graph(plot) => plot.table(),
            Plot::Lines(plot) => plot.table(&View::default(), plot.natural_size()),
            Plot::Picture(plot) => plot.table(),
        })
    }

    fn with_plot<T>(
        &self,
        study: &Study,
        patch: Option<(usize, usize)>,
        use_it: impl FnOnce(&Plot<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let capture = study.capture();
        let model = capture.model();
        let stack = match self.attention {
            _ if model.attentions.len() < 2 => "",
            Attention::EncoderSelf => ", encoder",
            Attention::DecoderSelf => ", decoder",
            Attention::Cross => ", cross-attention",
        };
        // Of another study it may be: its capture says what it lacks.
        capture.attention(self.last_head(study), self.sequence)?;
        let item = &capture.sequences()[self.sequence];
        let title = format!("{}{stack}: attention rollout in {}", model.name, item.name);
        let (tokens, subtitle) = (words(item, self.attention.query_side()), subtitle(item));
        match &self.shares {
            Shares::Layers(layers) => {
                let mut plot = Rollout::new(&tokens, layers.iter().map(rows).collect());
                (plot.title, plot.subtitle) = (&title, &subtitle);
                Ok(use_it(&Plot::Graph(plot))?)
            }
            Shares::Last(last) if item.image.is_some() => {
                let caption = "Attention is what comes from a patch through all layers: a: of the last state of the outlined patch; \
                               b: the patch that gives most to each.";
                let words = [title.as_str(), caption];
                on_picture(self.last_head(study), item, rows(last), words, patch, |plot| {
                    use_it(&Plot::Picture(plot))
                })
            }
            Shares::Last(last) => {
                let mut plot = Sentence::new(self.last_head(study), &tokens, &tokens, rows(last));
                (plot.title, plot.subtitle) = (&title, &subtitle);
                plot.caption = "Left the states after the last layer, right the tokens: each line says how much of a state comes from \
                                a token through all layers.";
                Ok(use_it(&Plot::Lines(plot))?)
            }
        }
    }

    /// The views of one head are drawn for one of the last layer.
    fn last_head(&self, study: &Study) -> HeadId {
        let info = study.capture().model().attention(self.attention);
        HeadId::new(
            self.attention,
            info.map_or(0, |info| info.layers.len().saturating_sub(1)),
            0,
        )
    }
}
