//! The choice of plots and files of a gallery, and the checks of its names.

use attn_core::{HeadId, LayerHead, ModelInfo};
use attn_models::Capturer;
use attn_render::{Format, ViewState, state::ColorChoice};

#[cfg(doc)]
use super::HEADS;
use crate::{
    Error, Study, Weighting,
    experiment::{Edges, Question},
    placed::read_typed,
    sequence::SwitchedOff,
    study::find_head,
};

/// The choice of plots and files.
#[derive(Debug, Clone)]
pub struct GalleryParams {
    /// Heads drawn on their own. Default, if empty: the [`HEADS`] whose plots show most of attention: [`Study::ranking`].
    pub heads: Vec<LayerHead>,
    /// Number of the sequence that is drawn, counted from 1. Default: [`Study::typical_sequence`].
    pub sequence: Option<usize>,
    /// Row and column of the patch whose attention is drawn over an image. Default: the one in the middle.
    pub patch: Option<(usize, usize)>,
    /// A text, or the path of an image, that is placed into the heads. Default: none.
    pub typed: Option<String>,
    /// Whether the values of the chosen heads' layers are drawn. Default: no.
    pub values: bool,
    /// Whether the tokens that the search of the state finds are also projected alone. Default: no.
    pub matches: bool,
    /// Tokens that are switched off in sentences, lines and means. Default: none.
    pub off: SwitchedOff,
    /// Heads to ablate together. Default: none.
    pub ablate: Vec<LayerHead>,
    /// Edges to knock out, each rule by itself. Default: none.
    pub knock_out: Vec<(LayerHead, Edges)>,
    /// Colors, sizes, theme and search. Default: that of [`ViewState`].
    pub state: ViewState,
    /// Formats of every plot. CSV also writes the tables of the summary and of the sequences. Default: PNG.
    pub formats: Vec<Format>,
}

impl Default for GalleryParams {
    fn default() -> Self {
        Self {
            heads: Vec::new(),
            sequence: None,
            patch: None,
            typed: None,
            values: false,
            matches: false,
            off: SwitchedOff::default(),
            ablate: Vec::new(),
            knock_out: Vec::new(),
            state: ViewState::default(),
            formats: vec![Format::Png],
        }
    }
}

impl GalleryParams {
    /// Draws these heads on their own.
    #[must_use]
    pub fn with_heads(mut self, heads: &[HeadId]) -> Self {
        let name = |head: &HeadId| LayerHead {
            attention: Some(head.attention),
            layer: head.layer,
            head: head.head,
        };
        self.heads = heads.iter().map(name).collect();
        self
    }

    /// Checks the names of heads against a model: before any of its data is read.
    ///
    /// ```
    /// use attn_study::gallery::GalleryParams;
    ///
    /// let model = attn_embedded::TEXT_ENCODER.checkpoint()?.describe().model.expect("a model");
    /// let params = GalleryParams { ablate: vec!["9:9".parse()?], ..GalleryParams::default() };
    /// let error = params.check_model(&model).unwrap_err();
    /// assert_eq!(error.to_string(), "head 9:9: the model has layers 0 to 3, heads 0 to 3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoHead`].
    pub fn check_model(&self, model: &ModelInfo) -> Result<(), Error> {
        let knocked_out = self.knock_out.iter().map(|(head, _)| head);
        let mut named = self.heads.iter().chain(&self.ablate).chain(knocked_out);
        named.try_for_each(|name| find_head(model, *name).map(|_| ()))
    }

    /// Checks every name against a study that need not be projected yet. Does no long work: at most the typed text is read.
    ///
    /// ```
    /// use attn_study::{Error, Study, gallery::GalleryParams};
    ///
    /// let capturer = attn_models::Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(attn_embedded::sentences().take(5))?;
    /// let study = Study::new(capture, &attn_project::AtlasParams::default());
    /// let params = GalleryParams { sequence: Some(6), ..GalleryParams::default() };
    /// let error = params.check(&study, None).unwrap_err();
    /// assert_eq!(error.to_string(), "sequence 6: expected a number from 1 to 5");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoHead`], [`Error::NoSequence`], [`Error::NoPatch`], [`Error::NoColor`], [`Error::NoMatch`], [`Error::FewMatches`]; those of
    /// [`Study::check_filter`] for the study's filter; [`Error::NoModel`] for what a capture alone cannot give;
    /// [`Error::NoEdges`]; those of [`read_typed`], and of [`Study::weights`] for a weighting that the capture does not allow.
    pub fn check(&self, study: &Study, capturer: Option<&Capturer>) -> Result<(), Error> {
        let heads = self.named(study)?;
        let sequence = self.sequence_in(study)?;
        self.check_patch(study, sequence)?;
        study.check_filter(study.filter())?;
        let shared = &self.state.shared;
        if let Some(name) = shared.color.name()
            && !study.has_color(&shared.color)
        {
            return Err(Error::NoColor {
                name: name.to_owned(),
                names: study.color_names(),
            });
        }
        if let Some(name) = &shared.size_by
            && !study.has_color(&ColorChoice::values(name))
        {
            return Err(Error::NoColor {
                name: name.clone(),
                names: study.color_names(),
            });
        }
        check_search(study, &shared.search)?;
        self.check_matches(study, &heads)?;
        if !matches!(study.weighting(), Weighting::Attention)
            && let Some(head) = heads
                .first()
                .copied()
                .or_else(|| study.capture().model().heads().next())
        {
            study.weights(head, sequence)?;
        }
        if self.values {
            capturer.ok_or(Error::NoModel {
                what: "the values of a layer",
            })?;
        }
        if let Some(typed) = &self.typed {
            let capturer = capturer.ok_or(Error::NoModel { what: "a new point" })?;
            read_typed(capturer, typed, &())?;
        }
        let questions = self.questions(study)?;
        if !questions.is_empty() {
            capturer.ok_or(Error::NoModel { what: "an experiment" })?;
        }
        questions.iter().try_for_each(|question| check_edges(study, question))
    }

    /// The heads that are named.
    pub(super) fn named(&self, study: &Study) -> Result<Vec<HeadId>, Error> {
        self.heads.iter().map(|name| study.find_head(*name)).collect()
    }

    /// The index of the sequence.
    pub(super) fn sequence_in(&self, study: &Study) -> Result<usize, Error> {
        match self.sequence {
            Some(number) => study.find_sequence(number),
            None => Ok(study.typical_sequence()),
        }
    }

    /// The matches of the search have enough points to be projected alone, in each head that they may be projected in.
    fn check_matches(&self, study: &Study, named: &[HeadId]) -> Result<(), Error> {
        let search = &self.state.shared.search;
        if !self.matches || search.is_empty() {
            return Ok(());
        }
        let one_per_attention = study.capture().model().attentions.iter();
        let one_per_attention = one_per_attention
            .map(|info| HeadId::new(info.attention, 0, 0))
            .collect();
        let heads: Vec<HeadId> = if named.is_empty() {
            one_per_attention
        } else {
            named.to_vec()
        };
        let needed = study.params().method.min_points();
        for head in heads {
            let found = study.matches(head, search).ids().count();
            if found < needed {
                return Err(Error::FewMatches {
                    text: search.clone(),
                    method: study.params().method.name().to_owned(),
                    needed,
                    found,
                });
            }
        }
        Ok(())
    }

    fn check_patch(&self, study: &Study, sequence: usize) -> Result<(), Error> {
        let item = study.capture().sequences().get(sequence);
        let Some(((item, image), patch)) = item.and_then(|item| Some((item, item.image.as_ref()?))).zip(self.patch)
        else {
            return Ok(());
        };
        if patch.0 < image.rows && patch.1 < image.columns {
            return Ok(());
        }
        Err(Error::NoPatch {
            patch,
            image: item.name.clone(),
            rows: image.rows,
            columns: image.columns,
        })
    }

    /// The experiments.
    pub(super) fn questions(&self, study: &Study) -> Result<Vec<Question>, Error> {
        let mut questions = Vec::new();
        if !self.ablate.is_empty() {
            let heads = self.ablate.iter().map(|name| study.find_head(*name));
            questions.push(Question {
                heads: heads.collect::<Result<_, _>>()?,
                edges: None,
            });
        }
        for (name, edges) in &self.knock_out {
            questions.push(Question {
                heads: vec![study.find_head(*name)?],
                edges: Some(edges.clone()),
            });
        }
        Ok(questions)
    }
}

fn check_search(study: &Study, text: &str) -> Result<(), Error> {
    let heads = study.capture().model().attentions.iter();
    let mut heads = heads.map(|info| HeadId::new(info.attention, 0, 0));
    if text.is_empty() || heads.any(|head| study.matches(head, text).ids().next().is_some()) {
        return Ok(());
    }
    Err(Error::NoMatch {
        text: text.to_owned(),
        columns: study.columns().iter().map(|column| column.name.clone()).collect(),
    })
}

fn check_edges(study: &Study, question: &Question) -> Result<(), Error> {
    let Some(edges) = &question.edges else { return Ok(()) };
    let capture = study.capture();
    for &head in &question.heads {
        let mut sequences = capture.sequences().iter();
        if !sequences.any(|sequence| !edges.of(capture.model(), head, sequence).is_empty()) {
            return Err(Error::NoEdges {
                edges: edges.to_string(),
                head,
            });
        }
    }
    Ok(())
}
