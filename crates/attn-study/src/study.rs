//! A study: a capture with the projections of its heads, and every view of them as a scene.
//!
//! The views of `attn-render` take plain data and know no capture; this file is where the two meet. Heads may come in one by
//! one while one watches.

use std::{collections::BTreeMap, sync::Mutex};

use attn_core::{Capture, HeadId, Progress, TokenColumn};
use attn_project::{AtlasOptions, AtlasParams, HeadProjection, atlas_with, sequence_sample};
use attn_render::{Scene, Table, View};

use crate::{Error, Report, Weighting, filter::Drawn, picture::Sheet, weighting::Recent};

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
    /// Columns that the user added.
    pub(crate) columns: Vec<TokenColumn>,
    /// Which tokens are drawn.
    pub(crate) drawn: Drawn,
    /// What weights of attention stand for.
    pub(crate) weighting: Weighting,
    pub(crate) recent: Recent,
    pub(crate) sheet: Sheet,
}

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
            recent: Recent::default(),
            sheet: Sheet::default(),
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

    /// The numbers behind [`scene`](Self::scene): a row per point of the open head, or of all heads. Empty while no head is there.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self, view: &View) -> Result<Table, Error> {
        match view.open {
            Some(head) if self.heads.contains_key(&head) => self.head_table(head, view),
            _ if self.heads.is_empty() => Ok(Table::default()),
            _ => self.matrix_table(view),
        }
    }
}
