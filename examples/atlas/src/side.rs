//! One model in the window: its data, how a person looks at it, and its pictures.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use attn_egui::{Exports, JobEvent, Notes, SceneView, TextTable};
use attn_sdk::{
    Guest, Progress, Steps, Study, Summary, TokenFilter, Weighting,
    core::HeadId,
    models::{Capturer, Checkpoint},
    project::AtlasParams,
    render::{Event, Format, Pick, Plot, ViewState, over},
    study::{gallery::head_file_name, source::Source},
};
use eframe::egui::{Context, RichText, Ui};

use crate::{
    apart::{self, Apart},
    detail::Detail,
    experiment::Experiments,
    work::{News, Work},
};

/// How often a matrix that fills up is laid out anew.
const REFRESH: Duration = Duration::from_millis(400);
/// One model and how a person looks at it.
pub(crate) struct Side {
    pub(crate) name: String,
    /// The model that reads, if it can be run again.
    pub(crate) model: Option<Checkpoint>,
    pub(crate) work: Work,
    pub(crate) study: Option<Study>,
    /// The steps of a training, of which the study is one; and where between them a person looks.
    pub(crate) steps: Option<Steps>,
    pub(crate) step: f32,
    pub(crate) capturer: Option<Arc<Capturer>>,
    pub(crate) summary: Option<Summary>,
    /// How the matrix or the open head is looked at.
    pub(crate) view: ViewState,
    pub(crate) picture: SceneView,
    pub(crate) detail: Detail,
    pub(crate) table: TextTable,
    /// Which tokens are drawn.
    pub(crate) filter: TokenFilter,
    /// The sequence that is brought out.
    pub(crate) sequence: Option<usize>,
    /// Numbers of queries and keys a search found.
    found: BTreeMap<String, String>,
    /// What a person typed, and where its tokens lie.
    pub(crate) typed: String,
    guests: BTreeMap<HeadId, Guest>,
    pub(crate) experiments: Experiments,
    /// A picture of its own; and one that is still to be shown.
    pub(crate) shown_apart: Option<apart::Shown>,
    came: Option<Apart>,
    /// Where files go, and what the last one was.
    pub(crate) exports: Exports,
    pub(crate) notes: Notes,
    pub(crate) failure: Option<String>,
    /// When heads came in that are not drawn yet.
    waiting: Option<Instant>,
}

impl Side {
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
            steps: None,
            step: 0.0,
            capturer: None,
            summary: None,
            view,
            picture: SceneView::new(state, "attention heads"),
            detail: Detail::new(state),
            table: TextTable::default(),
            filter: TokenFilter::default(),
            sequence: None,
            found: BTreeMap::new(),
            typed: String::new(),
            guests: BTreeMap::new(),
            experiments: Experiments::default(),
            shown_apart: None,
            came: None,
            exports: Exports::new(out),
            notes: Notes::default(),
            failure: None,
            waiting: None,
        }
    }

    /// The same data projected in another way.
    pub(crate) fn project(&mut self, params: AtlasParams, context: &Context) {
        let Some(study) = &self.study else { return };
        let studies = self.steps.as_ref().map_or(std::slice::from_ref(study), Steps::studies);
        let captures = studies.iter().map(|study| study.capture().clone()).collect();
        let source = Source::Captures {
            captures,
            columns: study.columns().to_vec(),
        };
        self.work = Work::start(source, self.capturer.clone(), params, None, context);
    }

    /// Takes in what the work has to tell.
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
        if let (Some(since), Some(study)) = (self.waiting, &self.study) {
            let (there, all) = (study.heads().count(), study.capture().model().heads().count());
            // The first and the last are not waited for.
            if there <= 1 || there == all || since.elapsed() >= REFRESH {
                self.refresh();
            } else {
                context.request_repaint_after(REFRESH - since.elapsed());
            }
        }
        // An open head that is still to come is made next.
        self.work.priority.set(self.view.open.as_slice());
    }

    /// Takes in a message of the work.
    fn take(&mut self, news: News) {
        match news {
            News::Opened(study, capturer) => {
                self.name = study.capture().model().name.clone();
                // The sequence on view stays if the data is the same.
                let kept = self.sequence.filter(|index| *index < study.capture().sequences().len());
                self.sequence = kept.or_else(|| Some(study.typical_sequence()));
                let exists = |head: &HeadId| study.capture().model().heads().any(|other| other == *head);
                if !self.view.open.is_some_and(|head| exists(&head)) {
                    self.view.close_head();
                }
                self.study = Some(*study);
                (self.shown_apart, self.came) = (None, None);
                self.detail.clear();
                self.steps = None;
                self.draw(self.filter.clone());
                self.capturer = capturer;
                self.summary = None;
                self.table.invalidate();
                self.found.clear();
                self.guests.clear();
                self.refresh();
            }
            News::Steps(steps) => {
                if self.steps.is_none() {
                    self.step = steps.studies().len().saturating_sub(1) as f32;
                }
                self.steps = Some(*steps);
                self.go_to_step(self.step);
            }
            News::HeadSteps(head) => {
                if let Some(steps) = &mut self.steps {
                    steps.insert(*head);
                }
                self.go_to_step(self.step);
            }
            News::Head(head) => {
                if let Some(study) = &mut self.study {
                    study.insert(*head);
                    self.waiting.get_or_insert_with(Instant::now);
                }
            }
            News::Summary(summary) => self.summary = Some(*summary),
            News::Apart(apart) => self.came = Some(*apart),
            News::Rollout(rollout) => self.detail.take_rollout(*rollout),
            News::Guest(guest) => {
                self.guests.insert(guest.head, *guest);
                self.picture.invalidate();
            }
            News::Answer(answered) => self.notes.extend(self.experiments.take(*answered)),
            News::Note(note) => self.notes.push(note),
        }
    }

    /// Looks at a step of the training, counted from 0, or at points on their way between two.
    pub(crate) fn go_to_step(&mut self, step: f32) {
        let Some(steps) = &mut self.steps else { return };
        self.step = step;
        let nearest = step.round() as usize;
        // The study that was made anew draws what is drawn.
        if let Err(error) = steps.set_filter(&self.filter) {
            self.notes.push(error.to_string());
        }
        let values = self
            .study
            .as_ref()
            .is_some_and(|study| matches!(study.weighting(), Weighting::Value));
        self.study = steps.studies().get(nearest).cloned().or(self.study.take());
        if let Some(study) = self.study.as_mut().filter(|_| values) {
            study.set_weighting(Weighting::Value);
        }
        self.guests.clear();
        self.detail.drop_rollout();
        self.refresh();
    }

    /// Draws these tokens; all of them if the data has no such columns.
    pub(crate) fn draw(&mut self, filter: TokenFilter) {
        let Some(study) = &mut self.study else { return };
        if *study.filter() == filter {
            return;
        }
        self.filter = match study.set_filter(filter.clone()) {
            Ok(()) => {
                // All steps have the columns of one.
                if let Some(steps) = &mut self.steps
                    && let Err(error) = steps.set_filter(&filter)
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
        self.picture.invalidate();
        self.detail.invalidate();
    }

    /// The head that is spoken of: the open one, the one under the pointer, or the one that says most.
    pub(crate) fn head(&self) -> Option<HeadId> {
        let study = self.study.as_ref()?;
        self.view
            .open
            .or(self.picture.interaction().head)
            .or_else(|| study.ranking().first().copied())
            .or_else(|| study.capture().model().heads().next())
    }

    /// Opens a head, with the chosen sequence brought out.
    pub(crate) fn open(&mut self, head: HeadId) {
        if self.view.open != Some(head) {
            self.view.open_head(head);
        }
        self.choose(self.sequence);
    }

    /// Opens the head `by` places further on, around the end.
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

    /// Brings a sequence out, in the open head and beside it.
    pub(crate) fn choose(&mut self, sequence: Option<usize>) {
        self.sequence = sequence.or(self.sequence);
        self.detail.forget();
        if let (Some(study), Some(head), Some(sequence)) = (&self.study, self.view.open, sequence) {
            let pick = |id| Pick { head: Some(head), id };
            self.view.selection = study.point(head, sequence).map(pick);
        }
    }

    /// Reads what was typed, and shows where its tokens lie in the pictures that are there.
    pub(crate) fn read_typed(&mut self) {
        self.guests.clear();
        self.picture.invalidate();
        let last = self
            .steps
            .as_ref()
            .map_or(0, |steps| steps.studies().len().saturating_sub(1));
        if self.steps.is_some() && self.step.round() as usize != last {
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

    /// Makes a picture of its own of what is on view.
    pub(crate) fn apart(
        &self,
        make: impl FnOnce(&Study, Option<&Capturer>, &dyn Progress) -> Result<Apart, Box<dyn std::error::Error>>
        + Send
        + 'static,
    ) {
        if let Some(study) = self.study.clone() {
            let capturer = self.capturer.clone();
            self.work
                .apart(move |progress| make(&study, capturer.as_deref(), progress));
        }
    }

    /// Shows what came since.
    pub(crate) fn show_apart(&mut self, ui: &Ui, state: &attn_egui::egui_wgpu::RenderState) {
        if let Some(came) = self.came.take() {
            self.shown_apart = Some(apart::Shown::new(came, state));
        }
        apart::show(ui, self);
    }

    /// Writes the matrix or the open head, or the numbers behind it.
    pub(crate) fn export(&mut self, format: Format) {
        let Some(study) = &self.study else { return };
        let what = match self.view.open {
            Some(head) => format!("head-{}", head_file_name(study, head)),
            None => "matrix".into(),
        };
        let plot = plot(study, self.steps.as_ref(), self.step, &self.guests);
        self.exports.plot(&what, format, &plot, &self.view, Some(&self.picture));
    }

    /// How many tokens the search finds.
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

    /// The matrix or the open head.
    pub(crate) fn show_picture(&mut self, ui: &mut Ui) -> bool {
        let Some(study) = &self.study else {
            ui.centered_and_justified(|ui| match &self.failure {
                Some(failure) => ui.label(failure),
                None => ui.label(RichText::new("The model reads its data …").weak()),
            });
            return false;
        };
        let plot = plot(study, self.steps.as_ref(), self.step, &self.guests);
        let shown = self.picture.show(ui, &mut self.view, &plot);
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

    /// How far the work is, and a way to stop it.
    pub(crate) fn show_progress(&mut self, ui: &mut Ui) {
        self.work.jobs.show(ui);
    }
}

/// The matrix or the open head, at a step of the training, with what a person brought.
fn plot<'a>(
    study: &'a Study,
    steps: Option<&'a Steps>,
    step: f32,
    guests: &'a BTreeMap<HeadId, Guest>,
) -> impl Plot + 'a {
    let plot: Box<dyn Plot + 'a> = match steps {
        Some(steps) => Box::new(steps.at(step)),
        None => Box::new(study),
    };
    over(plot, move |scene, view| {
        let colors = view.colors();
        guests.values().for_each(|guest| guest.draw(scene, &colors));
    })
}
