//! One model in the window: its data, its view state and its plots.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use attn_egui::{Exports, Notes, SceneView, TextTable, session::Bookmarks};
use attn_sdk::{
    Progress, Study, TokenFilter, Weighting,
    core::{HeadId, LayerHead},
    models::{Capturer, Checkpoint},
    project::{AtlasParams, Dims},
    render::{Format, Pick, Plot, ViewState, control::Event, plot::over},
    study::{
        checkpoints::Checkpoints, gallery::head_file_name, placed::PlacedTokens, sequence::SwitchedOff, source::Source,
        summary::Summary,
    },
};
use eframe::egui::{Context, RichText, Ui};

use crate::{
    arrive::Opened,
    detail::Detail,
    experiment::Experiments,
    inset::{self, Inset},
    options::Projection,
    selection::Selected,
    session::{Fingerprint, Look, Saved},
    source::What,
    stopped::{Again, Stopped},
    weighting,
    work::Work,
};

/// Names of what undo goes through beside what plots read.
const FILTER: &str = "filter";
const SEQUENCE: &str = "sequence";
const WEIGHTING: &str = "weighting";
const PROJECTION: &str = "projection";
const SWITCHED_OFF: &str = "switched off";

/// How heads are projected: the method and the dimensions.
pub(crate) type Projected = (Projection, Dims);

/// One model and its view state.
pub(crate) struct Pane {
    pub(crate) name: String,
    /// What was opened, for sessions; `None` for a control model.
    pub(crate) what: Option<What>,
    /// Where its data come from, and the parameters it was opened with.
    pub(crate) source: Source,
    pub(crate) first_params: AtlasParams,
    /// Where its capture is kept; `None`: in memory.
    pub(crate) folder: Option<PathBuf>,
    /// The model that reads, if it can be run again.
    pub(crate) model: Option<Checkpoint>,
    pub(crate) work: Work,
    pub(crate) study: Option<Study>,
    /// What comes in place of the study, and the model that reads more.
    pub(crate) incoming: Option<Opened>,
    /// Parameters that were chosen while there was a preview alone.
    pub(crate) next_params: Option<AtlasParams>,
    /// The checkpoints of a training run, the study being one of them; and the shown position between them.
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) checkpoint: f32,
    pub(crate) capturer: Option<Arc<Capturer>>,
    /// Shared: a frame holds it while it changes the pane.
    pub(crate) summary: Option<Arc<Summary>>,
    /// View state of the matrix or the open head.
    pub(crate) view: ViewState,
    pub(crate) plot: SceneView,
    pub(crate) detail: Detail,
    pub(crate) table: TextTable,
    /// The chosen weighting of attention.
    pub(crate) weighting: Weighting,
    /// Filter of drawn tokens.
    pub(crate) filter: TokenFilter,
    /// How heads are projected; and what undo or redo asks for in its place.
    pub(crate) projected: Projected,
    pub(crate) asked_projection: Option<Projected>,
    /// What the view had last under these names: another value was brought back by undo or redo.
    kept: BTreeMap<String, String>,
    /// The highlighted sequence.
    pub(crate) sequence: Option<usize>,
    /// Descriptions of search matches, by search.
    pub(crate) found: BTreeMap<String, String>,
    /// The field for new text; what was captured of it, and a failure of it.
    pub(crate) typed: String,
    pub(crate) guest: Option<Study>,
    pub(crate) typed_failed: Option<String>,
    /// Tokens placed in heads: of what was typed (`None`), or of a sequence that is not among the points.
    pub(crate) placed: BTreeMap<(Option<usize>, HeadId), PlacedTokens>,
    /// Heads in which what was typed is to be placed; and the sequence that was asked for last.
    pub(crate) stale: BTreeSet<HeadId>,
    pub(crate) asked: Option<(usize, HeadId)>,
    /// What is known of the selection.
    pub(crate) selected: Selected,
    pub(crate) experiments: Experiments,
    /// An inset; and one that is still to be shown.
    pub(crate) shown_inset: Option<inset::Shown>,
    pub(crate) next_inset: Option<Inset>,
    /// Where files go, and what the last one was.
    pub(crate) exports: Exports,
    pub(crate) notes: Notes,
    pub(crate) failure: Option<String>,
    /// What was stopped, and how it goes on.
    pub(crate) stopped: Stopped,
    /// Arrival of the first head that is not drawn yet, and whether it replaces a draft.
    pub(crate) waiting: Option<Instant>,
    pub(crate) moves: bool,
    pub(crate) bookmarks: Bookmarks<Look>,
    /// What a session says of the data, and how it looked at them, until they are there.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) restored: Option<Look>,
    /// The weighting and the head to begin with, by their names.
    pub(crate) first_weighting: Option<String>,
    first_head: Option<LayerHead>,
    /// Whether that is of a session, else of the command line.
    pub(crate) from_session: bool,
}

impl Pane {
    pub(crate) fn new(
        source: Source,
        what: Option<What>,
        params: AtlasParams,
        view: ViewState,
        out: &Path,
        folder: Option<PathBuf>,
        state: &attn_egui::egui_wgpu::RenderState,
        context: &Context,
    ) -> Self {
        let mut plot = SceneView::new(state, "attention heads");
        plot.set_takes_keys(true);
        Self {
            name: source.to_string(),
            what,
            folder: folder.clone(),
            model: source.checkpoint().cloned(),
            source: source.clone(),
            work: Work::start(source, params.clone(), folder, context),
            first_params: params.clone(),
            study: None,
            incoming: None,
            next_params: None,
            checkpoints: None,
            checkpoint: 0.0,
            capturer: None,
            summary: None,
            view,
            plot,
            detail: Detail::new(state),
            table: TextTable::default(),
            weighting: Weighting::default(),
            filter: TokenFilter::default(),
            projected: (Projection::of(&params.method), params.dims),
            asked_projection: None,
            kept: BTreeMap::new(),
            sequence: None,
            found: BTreeMap::new(),
            typed: String::new(),
            guest: None,
            typed_failed: None,
            placed: BTreeMap::new(),
            stale: BTreeSet::new(),
            asked: None,
            selected: Selected::default(),
            experiments: Experiments::default(),
            shown_inset: None,
            next_inset: None,
            exports: Exports::new(out),
            notes: Notes::default(),
            failure: None,
            stopped: Stopped::default(),
            waiting: None,
            moves: false,
            bookmarks: Bookmarks::default(),
            fingerprint: None,
            restored: None,
            first_weighting: None,
            first_head: None,
            from_session: false,
        }
    }

    /// Takes over what a session keeps; the data follow.
    pub(crate) fn restore(&mut self, saved: Saved) {
        self.view.shared = saved.look.view.shared.clone();
        self.from_session = saved.fingerprint.is_some();
        self.fingerprint = saved.fingerprint;
        self.restored = Some(saved.look);
        self.detail.set_kind(saved.kind);
        self.typed = saved.typed;
        self.bookmarks = saved.bookmarks;
        (self.first_weighting, self.first_head) = (saved.weighting, saved.head);
        self.detail.set_off(saved.off);
    }

    /// Once all data are there, what a session or the command line asks for beside how they are looked at.
    pub(crate) fn start(&mut self) {
        if let Some(name) = self.first_weighting.take() {
            weighting::set(self, &name);
        }
        let head = self.first_head.take().zip(self.study.as_ref());
        match head.map(|(name, study)| study.find_head(name)) {
            Some(Ok(head)) => self.open(head),
            Some(Err(error)) => self.notes.push(error.to_string()),
            None => {}
        }
        if !self.typed.trim().is_empty() {
            self.read_typed();
        }
    }

    /// Sets the filter of drawn tokens; all are drawn if the data has no such columns.
    pub(crate) fn draw(&mut self, filter: TokenFilter) {
        let Some(study) = &mut self.study else { return };
        if *study.filter() == filter {
            return;
        }
        self.filter = match study.set_filter(filter.clone()) {
            Ok(()) => {
                // All checkpoints have the same columns.
                if let Some(checkpoints) = &mut self.checkpoints
                    && let Err(error) = checkpoints.set_filter(&filter)
                {
                    self.notes.push(error.to_string());
                }
                filter
            }
            Err(error) => {
                self.notes.push(format!("All tokens are drawn: {error}"));
                TokenFilter::default()
            }
        };
        self.refresh();
    }

    /// Follows what undo and redo brought back of the filter, the sequence, the weighting, the projection and the tokens that are off
    /// in every sequence, and notes what they are now.
    pub(crate) fn settle(&mut self) {
        if self.study.is_none() {
            return;
        }
        if self.view.host != self.kept {
            let filter = self.view.host.get(FILTER).map(|text| serde_json::from_str(text));
            self.draw(filter.and_then(Result::ok).unwrap_or_default());
            let weighting = self.view.host.get(WEIGHTING).cloned();
            if let Some(name) = weighting.filter(|name| name != weighting::name(&self.weighting)) {
                weighting::set(self, &name);
            }
            let projected = self.view.host.get(PROJECTION).map(|text| serde_json::from_str(text));
            if let Some(projected) = projected.and_then(Result::ok).filter(|other| *other != self.projected) {
                self.projected = projected;
                self.asked_projection = Some(projected);
            }
            let sequence = self.view.host.get(SEQUENCE).and_then(|number| number.parse().ok());
            if let Some(sequence) = sequence.filter(|sequence| Some(*sequence) != self.sequence) {
                self.detail.forget();
                self.sequence = Some(sequence);
                self.table.scroll_to(sequence);
            }
            let off = self.view.host.get(SWITCHED_OFF).map(|text| serde_json::from_str(text));
            self.set_switched_off(off.and_then(Result::ok).unwrap_or_default());
        }
        let filter = (!self.filter.is_empty()).then(|| serde_json::to_string(&self.filter));
        let filter = filter.and_then(Result::ok).map(|text| (FILTER.to_owned(), text));
        let sequence = self.sequence.map(|number| (SEQUENCE.to_owned(), number.to_string()));
        let weighting = (WEIGHTING.to_owned(), weighting::name(&self.weighting).to_owned());
        let projected = serde_json::to_string(&self.projected).ok();
        let projected = projected.map(|text| (PROJECTION.to_owned(), text));
        let off = Some(self.switched_off()).filter(|off| *off != SwitchedOff::default());
        let off = off.and_then(|off| serde_json::to_string(&off).ok());
        let off = off.map(|text| (SWITCHED_OFF.to_owned(), text));
        let others = filter.into_iter().chain(sequence).chain(projected).chain(off);
        self.view.host = others.chain([weighting]).collect();
        self.kept.clone_from(&self.view.host);
    }

    /// The current head: the open one, the one under the pointer, or the first of the ranking.
    pub(crate) fn head(&self) -> Option<HeadId> {
        let study = self.study.as_ref()?;
        self.view
            .open
            .or(self.plot.interaction().head)
            .or_else(|| study.ranking().first().copied())
            .or_else(|| study.capture().model().heads().next())
    }

    /// Opens a head with the highlighted sequence. Tokens that are switched off stay so.
    pub(crate) fn open(&mut self, head: HeadId) {
        if self.view.open != Some(head) {
            self.view.open_head(head);
        }
        if let Some(hidden) = self.detail.hidden(false) {
            self.view.hidden.clone_from(hidden);
        }
        self.choose(self.sequence);
    }

    /// Opens the head `by` places ahead, wrapping around.
    pub(crate) fn step(&mut self, by: isize) {
        let Some(study) = &self.study else { return };
        let heads: Vec<HeadId> = study.heads().map(|head| head.head).collect();
        let Ok(count @ 1..) = isize::try_from(heads.len()) else {
            return;
        };
        let now = self
            .view
            .open
            .and_then(|open| heads.iter().position(|head| *head == open));
        let next = match (now, by > 0) {
            (Some(now), _) => (now as isize + by).rem_euclid(count),
            (None, true) => 0,
            (None, false) => count - 1,
        };
        self.open(heads[next as usize]);
    }

    /// Highlights a sequence, in the open head and in the detail pane.
    pub(crate) fn choose(&mut self, sequence: Option<usize>) {
        if sequence.is_some() && sequence != self.sequence {
            self.detail.show_typed(false);
            self.detail.forget();
            self.view.hidden.clear();
        }
        self.sequence = sequence.or(self.sequence);
        if let (Some(study), Some(head), Some(sequence)) = (&self.study, self.view.open, sequence) {
            let pick = |id| Pick { head: Some(head), id };
            self.view.selection = study.point(head, sequence).map(pick);
        }
    }

    /// Selects a point, and with it its sequence.
    pub(crate) fn select_point(&mut self, pick: Pick) {
        let place = pick
            .head
            .zip(self.study.as_ref())
            .and_then(|(head, study)| study.place(head, pick.id));
        if let Some(place) = place {
            self.detail.show_typed(false);
            if self.sequence != Some(place.sequence) {
                self.detail.forget();
                self.view.hidden.clear();
            }
            self.sequence = Some(place.sequence);
            self.table.scroll_to(place.sequence);
        }
        self.view.selection = Some(pick);
    }

    /// Computes an inset of the current view.
    pub(crate) fn make_inset(
        &mut self,
        again: Again,
        make: impl FnOnce(&Study, Option<&Capturer>, &dyn Progress) -> Result<Inset, Box<dyn std::error::Error>>
        + Send
        + 'static,
    ) {
        if let Some(study) = self.study.clone() {
            let capturer = self.capturer.clone();
            self.stopped.resumed(&again);
            self.work
                .make_inset(again, move |progress| make(&study, capturer.as_deref(), progress));
        }
    }

    /// Shows the inset.
    pub(crate) fn show_inset(&mut self, ui: &Ui, state: &attn_egui::egui_wgpu::RenderState) {
        if let Some(inset) = self.next_inset.take() {
            self.shown_inset = Some(inset::Shown::new(inset, state));
        }
        inset::show(ui, self);
    }

    /// Notes which characters plots show as boxes.
    pub(crate) fn note_missing_characters(&mut self) {
        let note = self.plot.missing_note().or_else(|| self.detail.missing_note());
        self.notes.keep("characters", note);
    }

    /// Exports the matrix or the open head, or its data.
    pub(crate) fn export(&mut self, format: Format) {
        let Some(study) = &self.study else { return };
        let what = match self.view.open {
            Some(head) => format!("head-{}", head_file_name(study, head)),
            None => "matrix".into(),
        };
        let placed = (&self.placed, self.detail.hidden(true));
        let plot = plot(study, self.checkpoints.as_ref(), self.checkpoint, placed);
        self.exports.plot(&what, format, &plot, &self.view, Some(&self.plot));
    }

    /// The description of the search matches.
    pub(crate) fn count(&mut self) -> String {
        let text = self.view.shared.search.clone();
        let (Some(study), Some(head)) = (&self.study, self.head()) else {
            return String::new();
        };
        if self.found.len() > 64 {
            self.found.clear();
        }
        let describe = || study.matches(head, &text).describe(&text);
        self.found.entry(text.clone()).or_insert_with(describe).clone()
    }

    /// Shows the matrix or the open head.
    pub(crate) fn show_plot(&mut self, ui: &mut Ui) -> bool {
        let Some(study) = &self.study else {
            ui.centered_and_justified(|ui| match &self.failure {
                Some(failure) => ui.label(failure),
                None if self.stopped.holds(&Again::Source) => ui.label("Stopped."),
                None => ui.label(RichText::new("Running the model …").weak()),
            });
            return false;
        };
        let placed = (&self.placed, self.detail.hidden(true));
        let plot = plot(study, self.checkpoints.as_ref(), self.checkpoint, placed);
        let shown = self.plot.show(ui, &mut self.view, &plot);
        drop(plot);
        let chosen = shown.events.iter().rev().find_map(|event| match event {
            Event::SelectPoint(Some(pick)) if pick.head.is_some() => Some(*pick),
            _ => None,
        });
        if let Some(pick) = chosen {
            self.select_point(pick);
        }
        if let Some(head) = shown.opened() {
            self.open(head);
        }
        shown.changed()
    }
}

/// Placed tokens, and which of those that were typed are switched off.
type Placed<'a> = (
    &'a BTreeMap<(Option<usize>, HeadId), PlacedTokens>,
    Option<&'a BTreeSet<u32>>,
);

/// The matrix or the open head, at a checkpoint, with placed tokens.
fn plot<'a>(
    study: &'a Study,
    checkpoints: Option<&'a Checkpoints>,
    checkpoint: f32,
    (placed, typed_off): Placed<'a>,
) -> impl Plot + 'a {
    let plot: Box<dyn Plot + 'a> = match checkpoints {
        Some(checkpoints) => Box::new(checkpoints.at(checkpoint)),
        None => Box::new(study),
    };
    over(plot, move |scene, view| {
        let colors = view.colors();
        for ((of, _), tokens) in placed {
            let off = match of {
                Some(_) => Some(&view.hidden),
                None => typed_off,
            };
            // What has no line to leave out is drawn as it is.
            let left = off
                .filter(|off| !off.is_empty())
                .and_then(|off| tokens.without(off).ok());
            left.as_ref().unwrap_or(tokens).draw(scene, &colors);
        }
    })
}
