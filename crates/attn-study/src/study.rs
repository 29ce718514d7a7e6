//! A study: a capture with the projections of its heads. It gives plots and tables.
//!
//! Plots of `attn-render` hold plain data and know no capture; a study connects the two. Heads may be added one by one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use attn_core::{
    Capture, HeadId, LayerHead, Limits, ModelInfo, Progress, TokenColumn, model::AttentionInfo, sequence::ImageData,
};
use attn_project::{
    AtlasParams, HeadProjection,
    atlas::{AtlasOptions, HeadFailure, atlas, sequence_sample},
};
use attn_render::{
    Plot, Scene, Table, Target, ViewState,
    plot::Tooltip,
    plots::{Coordinates, NamedPlace},
};

use crate::{
    Error, Weighting,
    attributes::{self, TokenAttribute},
    filter::Drawn,
    image::Sheet,
    points::Labels,
    report::Report,
    weighting::Recent,
};

/// A capture, and the projections of its heads so far.
///
/// Cheap to make before anything is projected: [`insert`](Self::insert) adds heads as they finish.
#[derive(Debug, Clone)]
pub struct Study {
    capture: Capture,
    params: AtlasParams,
    /// The sequences whose tokens are points.
    sequences: Vec<usize>,
    heads: BTreeMap<HeadId, Projected>,
    failures: Vec<HeadFailure>,
    /// The name of the projection, if a host made it.
    projection_name: Option<String>,
    /// The sequences of the data, if the capture is a preview of them.
    preview_of: Option<usize>,
    /// Whether the heads that are not there are being projected.
    filling: bool,
    /// The roles that the matrix names.
    pub(crate) roles: BTreeMap<HeadId, String>,
    /// The columns that the user added.
    pub(crate) columns: Vec<TokenColumn>,
    /// Attributes for colors, in addition to the columns.
    pub(crate) attributes: Vec<Arc<dyn TokenAttribute>>,
    /// The filter of drawn tokens.
    pub(crate) drawn: Drawn,
    /// The weighting of attention.
    pub(crate) weighting: Weighting,
    pub(crate) recent: Recent,
    pub(crate) sheet: Sheet,
    pub(crate) labels: Labels,
    /// What one table or image may take of memory.
    pub(crate) limits: Limits,
}

/// A projection, and its coordinates as plots share them.
#[derive(Debug, Clone)]
struct Projected {
    projection: HeadProjection,
    coordinates: OnceLock<Coordinates>,
    /// Names of its dense regions, until the filter or a column changes.
    regions: OnceLock<Arc<[NamedPlace]>>,
}

impl Study {
    /// A study without projections yet. The parameters are checked when heads are projected.
    pub fn new(capture: Capture, params: &AtlasParams) -> Self {
        let sequences = sequence_sample(&capture, params.max_points, params.seed);
        Self {
            capture,
            params: params.clone(),
            sequences,
            heads: BTreeMap::new(),
            failures: Vec::new(),
            projection_name: None,
            preview_of: None,
            filling: false,
            roles: BTreeMap::new(),
            columns: Vec::new(),
            attributes: attributes::builtin(),
            drawn: Drawn::default(),
            weighting: Weighting::default(),
            recent: Recent::default(),
            sheet: Sheet::default(),
            labels: Labels::default(),
            limits: Limits::default(),
        }
    }

    /// Memory that one table or one image may take whose size comes from the capture. Default: half of the machine's free
    /// memory, as it was when the study was made.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Projects every head.
    ///
    /// # Errors
    /// Those of [`attn_project::atlas::atlas`].
    pub fn project(capture: Capture, params: &AtlasParams) -> Result<Self, Error> {
        Self::project_with(capture, params, AtlasOptions::default(), &())
    }

    /// The same with progress, for some heads, some of them first, or with what was computed before: see [`AtlasOptions`].
    ///
    /// # Errors
    /// Those of [`attn_project::atlas::atlas`].
    pub fn project_with(
        capture: Capture,
        params: &AtlasParams,
        options: AtlasOptions<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let mut study = Self::new(capture, params);
        study.project_heads(options, progress)?;
        Ok(study)
    }

    /// Projects the heads of a study that has its columns already.
    ///
    /// # Errors
    /// Those of [`attn_project::atlas::atlas`].
    pub fn project_heads(&mut self, options: AtlasOptions<'_>, progress: &dyn Progress) -> Result<(), Error> {
        let heads = Mutex::new(Vec::new());
        let collect = |head| {
            heads
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(head)
        };
        self.failures = atlas(&self.capture, &self.params, options, &collect, progress)?;
        for head in heads.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            self.insert(head);
        }
        Ok(())
    }

    /// Heads that could not be projected, and why. The others could.
    pub fn failures(&self) -> &[HeadFailure] {
        &self.failures
    }

    /// Adds a head, or replaces it. It must come from the same capture and parameters.
    pub fn insert(&mut self, head: HeadProjection) {
        let projected = Projected {
            projection: head,
            coordinates: OnceLock::new(),
            regions: OnceLock::new(),
        };
        self.heads.insert(projected.projection.head, projected);
    }

    /// Names the projection in the subtitles of plots, for projections that a host made and [inserted](Self::insert). By
    /// default the method of the parameters names it: `t-SNE 2D`.
    pub fn set_projection_name(&mut self, name: impl Into<String>) {
        self.projection_name = Some(name.into());
    }

    /// The name of the projection, if a host gave one.
    pub(crate) fn projection_name(&self) -> Option<&str> {
        self.projection_name.as_deref()
    }

    /// Says in the subtitles of plots that the capture holds the first of `sequences` sequences: see
    /// [`Loaded::preview`](crate::source::Loaded::preview).
    pub fn set_preview_of(&mut self, sequences: usize) {
        self.preview_of = Some(sequences);
    }

    /// Whether the heads that are not there yet are being projected: the matrix then keeps their places. Default: no.
    pub fn set_filling(&mut self, filling: bool) {
        self.filling = filling;
    }

    /// Whether heads that are not there yet are being projected.
    pub fn is_filling(&self) -> bool {
        self.filling
    }

    /// Names the roles of heads in the matrix: a word or two per head. They need no projection.
    pub fn set_roles(&mut self, roles: impl IntoIterator<Item = (HeadId, String)>) {
        self.roles = roles.into_iter().collect();
    }

    /// The heads that are being projected.
    pub(crate) fn pending(&self) -> Vec<HeadId> {
        let heads = self.capture().model().heads();
        heads
            .filter(|head| self.filling && !self.heads.contains_key(head))
            .collect()
    }

    /// Places in the grid of layers and heads where the model has none, once all of its heads have theirs.
    pub(crate) fn absent(&self) -> Vec<HeadId> {
        let model = self.capture().model();
        let there = model
            .heads()
            .filter(|head| self.filling || self.heads.contains_key(head));
        if there.count() == model.heads().count() {
            model.holes().collect()
        } else {
            Vec::new()
        }
    }

    /// The sequences of the data, if the capture is a preview of them.
    pub fn preview_of(&self) -> Option<usize> {
        self.preview_of
    }

    /// Gives images in memory to the sequences of these names: see [`Capture::add_images`].
    pub fn add_images<N: AsRef<str>, D: Into<ImageData>>(&mut self, images: impl IntoIterator<Item = (N, D)>) {
        self.capture.add_images(images);
        self.sheet = Sheet::default();
    }

    /// The capture.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Parameters of projections.
    pub fn params(&self) -> &AtlasParams {
        &self.params
    }

    /// The sequences whose tokens are points, ascending.
    pub fn sequences(&self) -> &[usize] {
        &self.sequences
    }

    /// The heads projected so far, in the order of the model.
    pub fn heads(&self) -> impl Iterator<Item = &HeadProjection> {
        self.heads.values().map(|head| &head.projection)
    }

    /// The coordinates of a head's points, shared by all its plots.
    pub(crate) fn coordinates(&self, head: HeadId) -> Result<Coordinates, Error> {
        let projected = self.heads.get(&head).ok_or(Error::NotProjected {
            head,
            projected: self.heads.len(),
        })?;
        if let Some(known) = projected.coordinates.get() {
            return Ok(known.clone());
        }
        let points = projected.projection.embedding.points.as_standard_layout();
        let coordinates = Coordinates::new(points.as_slice().unwrap_or_default(), points.ncols())?;
        Ok(projected.coordinates.get_or_init(|| coordinates).clone())
    }

    /// Names of the dense regions of a head, made once.
    pub(crate) fn known_regions(&self, head: HeadId) -> Result<Arc<[NamedPlace]>, Error> {
        let Some(projected) = self.heads.get(&head) else {
            return self.regions(head);
        };
        if let Some(known) = projected.regions.get() {
            return Ok(known.clone());
        }
        let regions = self.regions(head)?;
        Ok(projected.regions.get_or_init(|| regions).clone())
    }

    /// Drops what was known of regions: other points are drawn, or have other values.
    pub(crate) fn forget_regions(&mut self) {
        self.heads.values_mut().for_each(|head| head.regions = OnceLock::new());
    }

    /// A head's projection.
    ///
    /// # Errors
    /// [`Error::NotProjected`].
    pub fn projection(&self, head: HeadId) -> Result<&HeadProjection, Error> {
        let projected = self.heads.get(&head).map(|head| &head.projection);
        projected.ok_or(Error::NotProjected {
            head,
            projected: self.heads.len(),
        })
    }

    /// The head of a name that a user typed.
    ///
    /// # Errors
    /// [`Error::NoHead`], which says what the model has.
    pub fn find_head(&self, name: LayerHead) -> Result<HeadId, Error> {
        find_head(self.capture.model(), name)
    }

    /// The sequence of a number that a user typed, counted from 1, as its index.
    ///
    /// # Errors
    /// [`Error::NoSequence`].
    pub fn find_sequence(&self, number: usize) -> Result<usize, Error> {
        let count = self.capture.sequences().len();
        let index = number.checked_sub(1).filter(|index| *index < count);
        index.ok_or(Error::NoSequence { number, count })
    }

    /// Heads by how much their plots show of attention: by the [share](attn_project::head::PlaneScore::above_chance) of queries
    /// whose nearest key is the one they attend to most, above chance; heads without one last.
    pub fn ranking(&self) -> Vec<HeadId> {
        let strength = |head: &HeadProjection| head.plane.above_chance().unwrap_or(-1.0);
        let mut heads: Vec<_> = self.heads().map(|head| (strength(head), head.head)).collect();
        heads.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        heads.into_iter().map(|(_, head)| head).collect()
    }

    /// All drawn data.
    pub fn report(&self) -> Report {
        Report::new(self)
    }

    /// Whether a sequence is an image.
    pub fn is_image(&self, sequence: usize) -> bool {
        self.capture
            .sequences()
            .get(sequence)
            .is_some_and(|sequence| sequence.image.is_some())
    }

    /// The visible sequence closest to 14 tokens, which fits a page; ties go to the first. Visible: the [filter](Self::set_filter)
    /// leaves some of its tokens.
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

    /// The plot of a state: the open head, with the sequence of the selected point highlighted, or the matrix. An empty page
    /// while no head is there yet.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix) and [`head`](Self::head).
    pub fn plot(&self, state: &ViewState) -> Result<Box<dyn Plot>, Error> {
        Ok(match state.open {
            Some(head) if self.heads.contains_key(&head) => {
                let selected = state.selection.filter(|pick| pick.head == Some(head));
                let sequence = selected
                    .and_then(|pick| self.place(head, pick.id))
                    .map(|place| place.sequence);
                Box::new(self.head(head, sequence, state)?)
            }
            _ if self.heads.is_empty() && !self.filling => Box::new(Nothing),
            _ => Box::new(self.matrix(state)?),
        })
    }
}

/// The head of a name in a model.
pub(crate) fn find_head(model: &ModelInfo, name: LayerHead) -> Result<HeadId, Error> {
    let found = model.heads().find(|head| name.is(*head));
    found.ok_or_else(|| {
        let several = model.attentions.len() > 1;
        let describe = |info: &AttentionInfo| {
            let (layers, heads) = (info.layers.len().saturating_sub(1), info.heads.saturating_sub(1));
            let stack = if several { info.attention.name() } else { "" };
            format!("{stack} layers 0 to {layers}, heads 0 to {heads}")
                .trim_start()
                .to_owned()
        };
        let heads: Vec<String> = model.attentions.iter().map(describe).collect();
        Error::NoHead {
            head: name,
            heads: heads.join("; "),
        }
    })
}

/// A study is a plot: that of the view state, with tooltips from the capture.
impl Plot for Study {
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> attn_render::Result<Scene> {
        self.plot(state)?.scene(state, size)
    }

    fn table(&self, state: &ViewState) -> attn_render::Result<Table> {
        self.plot(state)?.table(state)
    }

    fn natural_size(&self) -> [f32; 2] {
        let matrix = self.matrix(&ViewState::default());
        matrix.map_or_else(|_| Nothing.natural_size(), |matrix| matrix.natural_size())
    }

    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        self.tooltip_of(target)
    }
}

/// An empty page.
struct Nothing;

impl Plot for Nothing {
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> attn_render::Result<Scene> {
        Ok(Scene::new(size, state.colors().background))
    }

    fn table(&self, _: &ViewState) -> attn_render::Result<Table> {
        Ok(Table::default())
    }

    fn natural_size(&self) -> [f32; 2] {
        [900.0, 820.0]
    }
}
