//! A study: a capture with the projections of its heads, and every view of them as a scene.
//!
//! The views of `attn-render` take plain data and know no capture; this file is where the two meet. Heads may come in one by
//! one while one watches.

use std::{collections::BTreeMap, sync::Mutex};

use attn_core::{Attention, Capture, HeadId, Progress};
use attn_project::{AtlasOptions, AtlasParams, Dims, HeadProjection, atlas_with, sequence_sample};
use attn_render::{
    ColorMode, Scene, View,
    views::{ColorBy, Coordinates, Head, HeadSequence, Matrix, MatrixPanel, ValueKind},
};

use crate::{Column, ColumnKind, Error, Report, Weighting, coloring::Values, filter::Drawn, trust};

/// A capture, and the projections of its heads so far.
///
/// Cheap to make before anything is projected: [`insert`](Self::insert) adds heads as they finish.
#[derive(Debug, Clone)]
pub struct Study {
    capture: Capture,
    params: AtlasParams,
    /// The sequences whose tokens are points.
    sequences: Vec<usize>,
    heads: BTreeMap<HeadId, HeadProjection>,
    /// What the user brought to colour by.
    pub(crate) columns: Vec<Column>,
    /// Which tokens are drawn.
    pub(crate) drawn: Drawn,
    /// What weights of attention stand for.
    pub(crate) weighting: Weighting,
}

/// Under the matrix.
const CAPTION: &str = "Each plot is one attention head: queries and keys projected together, so that near means attended. \
                       ρ is the rank correlation of distance with attention; −1 would be perfect.";
/// The same where a model has several attentions.
const STACKS: &str = "Each plot is one attention head: queries and keys projected together, so that near means attended. \
                      eL: a layer of the encoder; dL: of the decoder; ×L: queries of the decoder, keys of the encoder. \
                      ρ is the rank correlation of distance with attention; −1 would be perfect.";

/// The layout of the single views unless a host says otherwise.
const PAGE: [f32; 2] = [900.0, 820.0];

impl Study {
    /// A study without projections yet.
    ///
    /// # Errors
    /// None at present; the parameters are checked when heads are projected.
    pub fn new(capture: Capture, params: &AtlasParams) -> Result<Self, Error> {
        let sequences = sequence_sample(&capture, params.max_points, params.seed);
        Ok(Self {
            capture,
            params: params.clone(),
            sequences,
            heads: BTreeMap::new(),
            columns: Vec::new(),
            drawn: Drawn::default(),
            weighting: Weighting::default(),
        })
    }

    /// Projects every head.
    ///
    /// # Errors
    /// Those of [`attn_project::atlas`].
    pub fn project(capture: Capture, params: &AtlasParams, progress: &dyn Progress) -> Result<Self, Error> {
        Self::project_with(capture, params, AtlasOptions::default(), progress)
    }

    /// The same for some heads, some of them first, or with what was computed before: see [`AtlasOptions`].
    ///
    /// # Errors
    /// Those of [`attn_project::atlas_with`].
    pub fn project_with(
        capture: Capture,
        params: &AtlasParams,
        options: AtlasOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let mut study = Self::new(capture, params)?;
        let heads = Mutex::new(Vec::new());
        let collect = |head| {
            heads
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(head)
        };
        atlas_with(&study.capture, params, options, &collect, progress)?;
        for head in heads.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            study.insert(head);
        }
        Ok(study)
    }

    /// Adds a head, or replaces it. It must come from the same capture and parameters.
    pub fn insert(&mut self, head: HeadProjection) {
        self.heads.insert(head.head, head);
    }

    /// What was captured.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// How heads are projected.
    pub fn params(&self) -> &AtlasParams {
        &self.params
    }

    /// The sequences whose tokens are points, ascending.
    pub fn sequences(&self) -> &[usize] {
        &self.sequences
    }

    /// The heads projected so far, in the order of the model.
    pub fn heads(&self) -> impl Iterator<Item = &HeadProjection> {
        self.heads.values()
    }

    /// A head's projection.
    ///
    /// # Errors
    /// [`Error::NotProjected`].
    pub fn projection(&self, head: HeadId) -> Result<&HeadProjection, Error> {
        self.heads.get(&head).ok_or(Error::NotProjected {
            head,
            projected: self.heads.len(),
        })
    }

    /// Heads by how well distance tells attention: the most negative correlation first; heads without one last.
    pub fn ranking(&self) -> Vec<HeadId> {
        let mut heads: Vec<_> = self
            .heads
            .values()
            .map(|head| (head.correlation.value.unwrap_or(f32::INFINITY), head.head))
            .collect();
        heads.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        heads.into_iter().map(|(_, head)| head).collect()
    }

    /// Everything that is drawn, as data.
    pub fn report(&self) -> Report {
        Report::new(self)
    }

    /// Whether a sequence is a picture.
    pub fn is_picture(&self, sequence: usize) -> bool {
        self.capture
            .sequences()
            .get(sequence)
            .is_some_and(|sequence| sequence.image.is_some())
    }

    /// A drawn sequence that fits a page: the one whose length is nearest to 14 tokens, the first of equals, among those of which the
    /// [filter](Self::set_filter) leaves something.
    pub fn typical_sequence(&self) -> usize {
        let length = |&sequence: &usize| {
            self.capture.sequences()[sequence]
                .tokens(self.main_side())
                .len()
                .abs_diff(14)
        };
        let drawn = |&sequence: &usize| self.leaves_some_of(sequence);
        let drawn = self.sequences.iter().copied().filter(drawn).min_by_key(length);
        drawn.or_else(|| self.sequences.first().copied()).unwrap_or(0)
    }

    /// The view's own scene: the open head, or the matrix. Nothing but a title while no head is there yet.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix) and [`head`](Self::head).
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        match view.open {
            Some(head) if self.heads.contains_key(&head) => {
                let selected = view.selection.filter(|pick| pick.head == Some(head));
                let sequence = selected
                    .and_then(|pick| self.place(head, pick.id))
                    .map(|place| place.sequence);
                self.head(head, sequence, view, Some(size))
            }
            _ if self.heads.is_empty() => Ok(Scene::new(size, view.colors().background)),
            _ => self.matrix(view, Some(size)),
        }
    }

    /// The matrix of all heads (AttentionViz, the matrix view). `size` in layout units; its natural size by default.
    ///
    /// # Errors
    /// Those of [`Matrix::scene`].
    pub fn matrix(&self, view: &View, size: Option<[f32; 2]>) -> Result<Scene, Error> {
        // Heads of one kind of attention have the same tokens; only norms and scores are a head's own.
        let mut values: Vec<Option<Values>> = Vec::new();
        let mut texts: Vec<(Attention, Vec<String>, Vec<bool>)> = Vec::new();
        let mut before: Option<Attention> = None;
        for head in self.heads.keys() {
            let own = view.color_mode == ColorMode::Norm || trust::is_score(view.color_mode);
            let same = before.replace(head.attention) == Some(head.attention) && !own;
            let last = values.last().cloned().filter(|_| same);
            values.push(match last {
                Some(values) => values,
                None => self.values(*head, view)?,
            });
            if !texts.iter().any(|(attention, ..)| *attention == head.attention) {
                let searched = match view.search.as_str() {
                    "" => Vec::new(),
                    text => self.searched(*head, text),
                };
                texts.push((head.attention, searched, self.hidden_points(*head)));
            }
        }
        let labels: Vec<(Attention, Vec<&str>, &[bool])> = texts
            .iter()
            .map(|(attention, texts, hidden)| {
                (
                    *attention,
                    texts.iter().map(String::as_str).collect(),
                    hidden.as_slice(),
                )
            })
            .collect();
        let mut panels = Vec::new();
        for (head, values) in self.heads.values().zip(&values) {
            let labels = labels.iter().find(|(attention, ..)| *attention == head.head.attention);
            panels.push(MatrixPanel {
                head: head.head,
                coordinates: coordinates(head)?,
                queries: head.queries,
                values: values.as_ref().map(|values| values.values.as_slice()),
                labels: labels.map_or(&[][..], |(_, labels, _)| labels),
                hidden: labels.map_or(&[][..], |(.., hidden)| hidden),
                note: trust::note(head, view.color_mode).unwrap_or_else(|| {
                    let value = head.correlation.value;
                    value.map_or_else(String::new, |value| format!("ρ {}", signed(value)))
                }),
            });
        }
        let info = self.capture.model();
        let title = format!("{}: queries and keys of every attention head", info.name);
        let subtitle = format!("{} · {}", self.method(), self.data());
        let values = values.iter().flatten().next().cloned();
        let names = names(values.as_ref());
        let matrix = Matrix {
            title: &title,
            subtitle: &subtitle,
            caption: trust::caption(view.color_mode).unwrap_or(if info.attentions.len() > 1 {
                STACKS
            } else {
                CAPTION
            }),
            panels,
            color_by: values.as_ref().map(|values| color_by(values, &names)),
        };
        let size = size.unwrap_or_else(|| matrix.natural_size());
        Ok(matrix.scene(view, size)?)
    }

    /// One head (AttentionViz, the single view), with the tokens and attention lines of `sequence` brought out.
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of [`Head::scene`].
    pub fn head(
        &self,
        head: HeadId,
        sequence: Option<usize>,
        view: &View,
        size: Option<[f32; 2]>,
    ) -> Result<Scene, Error> {
        let projection = self.projection(head)?;
        let texts = self.texts(head);
        let labels: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut plot = Head::new(head, coordinates(projection)?, projection.queries);
        plot.labels = &labels;
        let searched = self.searched(head, &view.search);
        let searched: Vec<&str> = searched.iter().map(String::as_str).collect();
        plot.searched = &searched;
        let values = self.values(head, view)?;
        let names = names(values.as_ref());
        plot.values = values.as_ref().map(|values| values.values.as_slice());
        plot.color_by = values.as_ref().map(|values| color_by(values, &names));
        let title = format!(
            "{}, head {}",
            self.capture.model().name,
            self.capture.model().head_name(head)
        );
        plot.title = &title;
        let mut subtitle = format!(
            "{} · ρ {} · trustworthiness {:.3} · neighbours kept {:.2} · mean norm of queries {}, keys {} · c = {:.2}",
            self.method(),
            projection.correlation.value.map_or_else(|| "–".into(), signed),
            projection.quality.trustworthiness.value,
            projection.quality.neighbors_kept.value,
            three_digits(projection.query_norm),
            three_digits(projection.key_norm),
            projection.normalization.scale,
        );
        let (queries, keys) = sequence
            .map(|sequence| self.points_of(head, sequence))
            .unwrap_or_default();
        // What is brought out is drawn, whatever is left out.
        let mut hidden = self.hidden_points(head);
        for &point in queries.iter().chain(&keys) {
            if let Some(hidden) = hidden.get_mut(point as usize) {
                *hidden = false;
            }
        }
        plot.hidden = &hidden;
        let attention = match sequence {
            Some(sequence) if !queries.is_empty() => {
                let name = &self.capture.sequences()[sequence].name;
                subtitle.push_str(&format!(" · lines: {name}{}", self.weighting.describe()));
                Some(self.weights(head, sequence)?)
            }
            _ => None,
        };
        plot.subtitle = &subtitle;
        let remarks = self.remarks(head)?;
        plot.remarks = &remarks;
        let weights: Vec<f32> = attention.iter().flat_map(|weights| weights.iter().copied()).collect();
        if attention.is_some() {
            plot.sequence = Some(HeadSequence {
                queries: &queries,
                keys: &keys,
                attention: &weights,
            });
        }
        Ok(plot.scene(view, size.unwrap_or(PAGE))?)
    }

    fn method(&self) -> String {
        let dims = if self.params.dims == Dims::Three { "3D" } else { "2D" };
        format!("{} {dims}", self.params.method.name())
    }

    fn data(&self) -> String {
        let (drawn, all) = (self.sequences.len(), self.capture.sequences().len());
        let tokens = self.points_before(self.main_side(), drawn);
        let what = if self.is_picture(0) { "pictures" } else { "sequences" };
        let mut text = if drawn == all {
            format!("{all} {what}, {tokens} tokens")
        } else {
            format!("{drawn} of {all} {what}, {tokens} tokens")
        };
        if let Some(filter) = self.drawn.describe() {
            text.push_str(&format!("; drawn: {filter}"));
        }
        text
    }
}

fn coordinates(head: &HeadProjection) -> Result<Coordinates<'_>, Error> {
    let points = &head.embedding.points;
    // Embeddings are made in standard layout.
    Ok(Coordinates::new(points.as_slice().unwrap_or_default(), points.ncols())?)
}

/// The names of classes, borrowed.
pub(crate) fn names(values: Option<&Values>) -> Vec<&str> {
    match values.map(|values| &values.kind) {
        Some(ColumnKind::Categorical(names)) => names.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn color_by<'a>(values: &'a Values, names: &'a [&'a str]) -> ColorBy<'a> {
    ColorBy {
        label: &values.label,
        kind: match values.kind {
            ColumnKind::Sequential => ValueKind::Sequential,
            ColumnKind::Diverging => ValueKind::Diverging,
            ColumnKind::Categorical(_) => ValueKind::Categorical(names),
        },
    }
}

/// Two decimals, with a real minus sign.
pub(crate) fn signed(value: f32) -> String {
    if value < 0.0 {
        format!("−{:.2}", -value)
    } else {
        format!("{value:.2}")
    }
}

fn three_digits(value: f32) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
