//! One model in the window: its data, its view state and its plots.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use attn_egui::{Exports, JobEvent, Notes, SceneView, TextTable};
use attn_sdk::{
    Checkpoints, PlacedTokens, Progress, Study, Summary, TokenFilter, Weighting,
    core::HeadId,
    models::{Capturer, Checkpoint},
    project::AtlasParams,
    render::{Event, Format, Interaction, Pick, Plot, Selection, ViewState, over},
    study::{gallery::head_file_name, source::Source},
};
use eframe::egui::{Context, RichText, Ui};

use crate::{
    detail::Detail,
    experiment::Experiments,
    inset::{self, Inset},
    work::{News, Work},
};

/// Interval at which a matrix that fills up is redrawn.
const REFRESH: Duration = Duration::from_millis(400);

/// An opened study, and the model that reads more.
type Opened = (Box<Study>, Option<Arc<Capturer>>);

/// One model and its view state.
pub(crate) struct Pane {
    pub(crate) name: String,
    /// The model that reads, if it can be run again.
    pub(crate) model: Option<Checkpoint>,
    pub(crate) work: Work,
    pub(crate) study: Option<Study>,
    /// The study of all sequences while a preview of it is shown, and the model that reads more.
    incoming: Option<Opened>,
    /// Parameters that were chosen while there was a preview alone.
    next_params: Option<AtlasParams>,
    /// The checkpoints of a training run, the study being one of them; and the shown position between them.
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) checkpoint: f32,
    pub(crate) capturer: Option<Arc<Capturer>>,
    pub(crate) summary: Option<Summary>,
    /// View state of the matrix or the open head.
    pub(crate) view: ViewState,
    pub(crate) plot: SceneView,
    pub(crate) detail: Detail,
    pub(crate) table: TextTable,
    /// Filter of drawn tokens.
    pub(crate) filter: TokenFilter,
    /// The highlighted sequence.
    pub(crate) sequence: Option<usize>,
    /// Descriptions of search matches, by search.
    found: BTreeMap<String, String>,
    /// The typed text, and its tokens placed in each head.
    pub(crate) typed: String,
    placed: BTreeMap<HeadId, PlacedTokens>,
    pub(crate) experiments: Experiments,
    /// An inset; and one that is still to be shown.
    pub(crate) shown_inset: Option<inset::Shown>,
    next_inset: Option<Inset>,
    /// Where files go, and what the last one was.
    pub(crate) exports: Exports,
    pub(crate) notes: Notes,
    pub(crate) failure: Option<String>,
    /// Arrival of the first head that is not drawn yet.
    waiting: Option<Instant>,
}

impl Pane {
    pub(crate) fn new(
        source: Source,
        params: AtlasParams,
        view: ViewState,
        out: &Path,
        folder: Option<PathBuf>,
        state: &attn_egui::egui_wgpu::RenderState,
        context: &Context,
    ) -> Self {
        Self {
            name: source.to_string(),
            model: source.checkpoint().cloned(),
            work: Work::start(source, None, params, folder, context),
            study: None,
            incoming: None,
            next_params: None,
            checkpoints: None,
            checkpoint: 0.0,
            capturer: None,
            summary: None,
            view,
            plot: SceneView::new(state, "attention heads"),
            detail: Detail::new(state),
            table: TextTable::default(),
            filter: TokenFilter::default(),
            sequence: None,
            found: BTreeMap::new(),
            typed: String::new(),
            placed: BTreeMap::new(),
            experiments: Experiments::default(),
            shown_inset: None,
            next_inset: None,
            exports: Exports::new(out),
            notes: Notes::default(),
            failure: None,
            waiting: None,
        }
    }

    /// Projects the same data with other parameters.
    pub(crate) fn project(&mut self, params: AtlasParams, context: &Context) {
        self.show_incoming();
        let Some(study) = &self.study else { return };
        if study.preview_of().is_some() {
            self.next_params = Some(params);
            return;
        }
        let studies = self
            .checkpoints
            .as_ref()
            .map_or(std::slice::from_ref(study), Checkpoints::studies);
        let captures = studies.iter().map(|study| study.capture().clone()).collect();
        let source = Source::Captures {
            captures,
            columns: study.columns().to_vec(),
        };
        self.work = Work::start(source, self.capturer.clone(), params, None, context);
    }

    /// Handles the events of jobs.
    pub(crate) fn listen(&mut self, context: &Context) {
        let events: Vec<JobEvent<News>> = self.work.jobs.poll().collect();
        for event in events {
            match event {
                JobEvent::Message(news) => self.take(news),
                JobEvent::Failed(job, why) if self.work.is_main(job) => self.failure = Some(why),
                JobEvent::Failed(_, why) => self.notes.push(why),
                _ => {}
            }
        }
        self.leave_preview(context);
        if let Some(study) = self.study.as_mut().filter(|study| study.is_filling())
            && !self.work.is_running()
        {
            study.set_filling(false);
            self.refresh();
        }
        if let (Some(since), Some(study)) = (self.waiting, &self.study) {
            let there = study.heads().count();
            let done = study.heads().filter(|head| !head.draft).count() == study.capture().model().heads().count();
            // The first and the last head are drawn at once.
            if there <= 1 || done || since.elapsed() >= REFRESH {
                self.refresh();
            } else {
                context.request_repaint_after(REFRESH - since.elapsed());
            }
        }
        // An open head is projected next.
        self.work.priority.set(self.view.open.as_slice());
    }

    /// Handles a message of a job.
    fn take(&mut self, news: News) {
        match news {
            // A preview stays until there is as much to see of all sequences.
            News::Opened(study, capturer) if self.study.as_ref().is_some_and(|shown| shown.preview_of().is_some()) => {
                self.incoming = Some((study, capturer));
            }
            News::Opened(study, capturer) => self.show((study, capturer)),
            News::Checkpoints(checkpoints) => {
                self.show_incoming();
                if self.checkpoints.is_none() {
                    self.checkpoint = checkpoints.studies().len().saturating_sub(1) as f32;
                }
                self.checkpoints = Some(*checkpoints);
                self.go_to_checkpoint(self.checkpoint);
            }
            News::HeadCheckpoints(head) => {
                if let Some(checkpoints) = &mut self.checkpoints {
                    checkpoints.insert(*head);
                }
                self.go_to_checkpoint(self.checkpoint);
            }
            News::Head(head) => {
                if let Some((incoming, _)) = &mut self.incoming {
                    incoming.insert(*head);
                } else if let Some(study) = &mut self.study {
                    study.insert(*head);
                    self.waiting.get_or_insert_with(Instant::now);
                }
            }
            News::Summary(summary) => {
                self.show_incoming();
                self.summary = Some(*summary);
            }
            News::Inset(inset) => self.next_inset = Some(*inset),
            News::Rollout(rollout) => self.detail.take_rollout(*rollout),
            News::Placed(placed) => {
                self.placed.insert(placed.head, *placed);
                self.plot.invalidate();
            }
            News::Answer(answered) => self.notes.extend(self.experiments.take(*answered)),
            News::Note(note) => self.notes.push(note),
        }
    }

    /// Shows all sequences in place of their preview once all heads are there, or the open one, or no more come.
    fn leave_preview(&mut self, context: &Context) {
        let Some((study, _)) = &self.incoming else { return };
        if let Some(params) = self.next_params.take() {
            return self.project(params, context);
        }
        let open = self
            .view
            .open
            .is_some_and(|open| study.heads().any(|head| head.head == open));
        let all = study.heads().count() == study.capture().model().heads().count();
        if open || all || !self.work.is_running() {
            self.show_incoming();
        }
    }

    fn show_incoming(&mut self) {
        if let Some(opened) = self.incoming.take() {
            self.show(opened);
        }
    }

    /// Shows a study.
    fn show(&mut self, (study, capturer): Opened) {
        self.name = study.capture().model().name.clone();
        let same = |old: &Study| {
            old.sequences() == study.sequences() && old.capture().sequences() == study.capture().sequences()
        };
        if !self.study.as_ref().is_some_and(same) {
            // Ids of points mean other tokens there.
            self.view.selection = None;
            self.view.shared.selected = Selection::default();
            self.plot.set_interaction(Interaction::default());
        }
        // The same data keeps its highlighted sequence.
        let kept = self.sequence.filter(|index| *index < study.capture().sequences().len());
        self.sequence = kept.or_else(|| Some(study.typical_sequence()));
        let exists = |head: &HeadId| study.capture().model().heads().any(|other| other == *head);
        if !self.view.open.is_some_and(|head| exists(&head)) {
            self.view.close_head();
        }
        self.study = Some(*study);
        (self.shown_inset, self.next_inset) = (None, None);
        self.detail.clear();
        self.checkpoints = None;
        self.draw(self.filter.clone());
        self.capturer = capturer;
        self.summary = None;
        self.table.invalidate();
        self.found.clear();
        self.placed.clear();
        self.choose(self.sequence);
        self.refresh();
    }

    /// Shows a checkpoint, counted from 0, or an interpolation between two.
    pub(crate) fn go_to_checkpoint(&mut self, checkpoint: f32) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        self.checkpoint = checkpoint;
        let nearest = checkpoint.round() as usize;
        // Studies of checkpoints take the current filter.
        if let Err(error) = checkpoints.set_filter(&self.filter) {
            self.notes.push(error.to_string());
        }
        let values = self
            .study
            .as_ref()
            .is_some_and(|study| matches!(study.weighting(), Weighting::Value));
        self.study = checkpoints.studies().get(nearest).cloned().or(self.study.take());
        if let Some(study) = self.study.as_mut().filter(|_| values) {
            study.set_weighting(Weighting::Value);
        }
        self.placed.clear();
        self.detail.drop_rollout();
        self.refresh();
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

    pub(crate) fn refresh(&mut self) {
        self.waiting = None;
        self.plot.invalidate();
        self.detail.invalidate();
    }

    /// The current head: the open one, the one under the pointer, or the one with the strongest correlation.
    pub(crate) fn head(&self) -> Option<HeadId> {
        let study = self.study.as_ref()?;
        self.view
            .open
            .or(self.plot.interaction().head)
            .or_else(|| study.ranking().first().copied())
            .or_else(|| study.capture().model().heads().next())
    }

    /// Opens a head with the highlighted sequence.
    pub(crate) fn open(&mut self, head: HeadId) {
        if self.view.open != Some(head) {
            self.view.open_head(head);
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
        self.sequence = sequence.or(self.sequence);
        self.detail.forget();
        if let (Some(study), Some(head), Some(sequence)) = (&self.study, self.view.open, sequence) {
            let pick = |id| Pick { head: Some(head), id };
            self.view.selection = study.point(head, sequence).map(pick);
        }
    }

    /// Captures the typed text and places its tokens in the projected heads.
    pub(crate) fn read_typed(&mut self) {
        self.placed.clear();
        self.plot.invalidate();
        let last = self
            .checkpoints
            .as_ref()
            .map_or(0, |checkpoints| checkpoints.studies().len().saturating_sub(1));
        if self.checkpoints.is_some() && self.checkpoint.round() as usize != last {
            self.notes
                .push("It is the last checkpoint that reads what you type: go there first.");
            return;
        }
        if let (Some(study), Some(capturer)) = (&self.study, &self.capturer)
            && !self.typed.trim().is_empty()
        {
            self.work
                .read(capturer.clone(), study.clone(), self.typed.clone(), self.view.open);
        }
    }

    /// Computes an inset of the current view.
    pub(crate) fn make_inset(
        &self,
        make: impl FnOnce(&Study, Option<&Capturer>, &dyn Progress) -> Result<Inset, Box<dyn std::error::Error>>
        + Send
        + 'static,
    ) {
        if let Some(study) = self.study.clone() {
            let capturer = self.capturer.clone();
            self.work
                .make_inset(move |progress| make(&study, capturer.as_deref(), progress));
        }
    }

    /// Shows the inset.
    pub(crate) fn show_inset(&mut self, ui: &Ui, state: &attn_egui::egui_wgpu::RenderState) {
        if let Some(inset) = self.next_inset.take() {
            self.shown_inset = Some(inset::Shown::new(inset, state));
        }
        inset::show(ui, self);
    }

    /// Exports the matrix or the open head, or its data.
    pub(crate) fn export(&mut self, format: Format) {
        let Some(study) = &self.study else { return };
        let what = match self.view.open {
            Some(head) => format!("head-{}", head_file_name(study, head)),
            None => "matrix".into(),
        };
        let plot = plot(study, self.checkpoints.as_ref(), self.checkpoint, &self.placed);
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
                None => ui.label(RichText::new("Running the model …").weak()),
            });
            return false;
        };
        let plot = plot(study, self.checkpoints.as_ref(), self.checkpoint, &self.placed);
        let shown = self.plot.show(ui, &mut self.view, &plot);
        drop(plot);
        for event in &shown.events {
            if let Event::SelectPoint(Some(Pick { head: Some(head), id })) = event
                && let Some(place) = study.place(*head, *id)
            {
                self.sequence = Some(place.sequence);
                self.table.scroll_to(place.sequence);
            }
        }
        if let Some(head) = shown.opened() {
            self.open(head);
        }
        shown.changed()
    }

    /// Shows the progress of jobs, with a stop button.
    pub(crate) fn show_progress(&mut self, ui: &mut Ui) {
        self.work.jobs.show(ui);
    }
}

/// The matrix or the open head, at a checkpoint, with placed tokens.
fn plot<'a>(
    study: &'a Study,
    checkpoints: Option<&'a Checkpoints>,
    checkpoint: f32,
    placed: &'a BTreeMap<HeadId, PlacedTokens>,
) -> impl Plot + 'a {
    let plot: Box<dyn Plot + 'a> = match checkpoints {
        Some(checkpoints) => Box::new(checkpoints.at(checkpoint)),
        None => Box::new(study),
    };
    over(plot, move |scene, view| {
        let colors = view.colors();
        placed.values().for_each(|tokens| tokens.draw(scene, &colors));
    })
}
