//! Jobs of the window, each on its own thread: capture, roles of heads, projection; beside them new points, experiments, insets
//! and rollouts.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    path::PathBuf,
    sync::Arc,
};

use attn_egui::{
    Jobs,
    jobs::{Job, JobId},
};
use attn_sdk::{
    Progress, Study,
    core::{Attention, Capture, HeadId, Sequence, TokenColumn},
    models::Capturer,
    project::{
        AtlasParams, HeadProjection,
        atlas::{AtlasCache, AtlasOptions, HeadCheckpoints, Priority, atlas, draft_head},
    },
    render::Pick,
    study::{
        checkpoints::Checkpoints,
        experiment::{ExperimentParams, Question},
        placed::{PlacedTokens, Placers, read_typed},
        rollout::SequenceRollout,
        selection::NearPoint,
        source::{Opened, Preview, Source},
        summary::{Summary, SummaryParams},
    },
};
use eframe::egui;

use crate::{
    experiment::Answered,
    inset::Inset,
    selection::{self, Found},
    stopped::Again,
};

/// A message of a job.
pub(crate) enum News {
    /// The capture is complete.
    Opened(Box<Study>, Option<Arc<Capturer>>),
    /// The checkpoints of a training run, in place of the study.
    Checkpoints(Box<Checkpoints>),
    /// A head was projected at all checkpoints.
    HeadCheckpoints(Box<HeadCheckpoints>),
    /// A head was projected, by the projection of this number.
    Head(usize, Box<HeadProjection>),
    /// The summary of all heads.
    Summary(Box<Summary>),
    /// An inset.
    Inset(Box<Inset>),
    /// The rollout of a sequence.
    Rollout(Box<SequenceRollout>),
    /// A typed text or image was captured.
    Typed(Box<Capture>),
    /// Tokens were placed in a head: those of what was typed, or of this sequence of the data.
    Placed(Option<usize>, Box<PlacedTokens>),
    /// What is known of a selection.
    Selected(selection::Key, Found),
    /// The neighbors of a point.
    Near(Pick, Vec<NearPoint>),
    /// The result of an experiment.
    Answer(Box<Answered>),
    /// A note for the user.
    Note(String),
    /// A part of the work was stopped, and what there is.
    Stopped(String),
}

pub(crate) struct Work {
    pub(crate) jobs: Jobs<News>,
    /// The job that opens the source.
    source: JobId,
    /// The job that projects, and its number: heads of an earlier one are dropped.
    projection: Option<JobId>,
    pub(crate) number: usize,
    /// Heads to project first: those on view.
    pub(crate) priority: Arc<Priority>,
    /// The job that places tokens.
    placing: Option<JobId>,
    /// What each job does.
    tasks: BTreeMap<JobId, Again>,
}

impl Work {
    pub(crate) fn start(source: Source, params: AtlasParams, folder: Option<PathBuf>, context: &egui::Context) -> Self {
        let jobs = Jobs::new(context);
        let id = jobs.start("model", move |job| open(source, None, &params, folder, job));
        Self {
            jobs,
            source: id,
            projection: None,
            number: 0,
            priority: Arc::default(),
            placing: None,
            tasks: [(id, Again::Source)].into(),
        }
    }

    /// Starts a job.
    pub(crate) fn run(
        &mut self,
        again: Again,
        name: &str,
        work: impl FnOnce(&Job<News>) -> Result<(), Box<dyn Error>> + Send + 'static,
    ) -> JobId {
        let job = self.jobs.start(name, work);
        self.tasks.insert(job, again);
        job
    }

    /// What a job does; `None` if it has ended.
    pub(crate) fn again(&self, job: JobId) -> Option<Again> {
        self.tasks.get(&job).cloned()
    }

    /// Forgets a job.
    pub(crate) fn ended(&mut self, job: JobId) {
        self.tasks.remove(&job);
    }

    /// Opens another source in the same window: the checkpoints of a training under other parameters.
    pub(crate) fn reopen(&mut self, source: Source, capturer: Option<Arc<Capturer>>, params: AtlasParams) {
        self.jobs.stop(self.source);
        self.source = self.run(Again::Source, "model", move |job| {
            open(source, capturer, &params, None, job)
        });
    }

    /// Whether a job is what the window is about: it opens the source or projects.
    pub(crate) fn is_main(&self, job: JobId) -> bool {
        job == self.source || Some(job) == self.projection
    }

    /// Whether the source is being opened or heads projected.
    pub(crate) fn is_running(&self) -> bool {
        self.is_opening() || self.is_projecting()
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.jobs.is_running(self.source)
    }

    pub(crate) fn is_projecting(&self) -> bool {
        self.projection.is_some_and(|job| self.jobs.is_running(job))
    }

    pub(crate) fn is_placing(&self) -> bool {
        self.placing.is_some_and(|job| self.jobs.is_running(job))
    }

    /// Projects heads of a study, in place of what is being projected; `None`: all.
    pub(crate) fn project(&mut self, study: &Study, heads: Option<Vec<HeadId>>) {
        if let Some(job) = self.projection {
            self.jobs.stop(job);
        }
        self.number += 1;
        let (number, priority) = (self.number, self.priority.clone());
        let (capture, params) = (study.capture().clone(), study.params().clone());
        self.projection = Some(self.run(Again::Projection, "projection", move |job| {
            // Finished heads are cached beside the capture, so that a stopped projection resumes.
            let cache = AtlasCache::beside(&capture).unwrap_or_else(|error| {
                job.send(News::Note(format!("Projections are not cached: {error}")));
                None
            });
            let options = AtlasOptions {
                heads: heads.as_deref(),
                cache: cache.as_ref(),
                priority: Some(&priority),
                drafts: true,
                quality_follows: true,
            };
            let head = |head| job.send(News::Head(number, Box::new(head)));
            for failure in atlas(&capture, &params, options, &head, job)? {
                job.send(News::Note(format!("Not projected: {}", failure.error)));
            }
            Ok(())
        }));
    }

    /// Finds the roles of heads, which need no projection.
    pub(crate) fn summarize(&mut self, capture: Capture, capturer: Option<Arc<Capturer>>) {
        self.run(Again::Roles, "roles", move |job| {
            let summary = Summary::new(&capture, capturer.as_deref(), &SummaryParams::default(), job)?;
            job.send(News::Summary(Box::new(summary)));
            Ok(())
        });
    }

    /// Captures a typed text or image.
    pub(crate) fn read(&mut self, capturer: Arc<Capturer>, text: String) {
        self.run(Again::Typed, "new text", move |job| {
            job.send(News::Typed(Box::new(read_typed(&capturer, &text, job)?)));
            Ok(())
        });
    }

    /// Places a sequence into heads of a study: what was typed (`of` is `None`), or a sequence of the data that is not among the
    /// points. The first head comes first.
    pub(crate) fn place(
        &mut self,
        study: Study,
        capture: Capture,
        of: Option<usize>,
        heads: BTreeSet<HeadId>,
        first: Option<HeadId>,
    ) {
        if let Some(job) = self.placing {
            self.jobs.stop(job);
        }
        self.placing = Some(self.run(Again::Placing, "new points", move |job| {
            // Made anew: layouts may have changed since.
            let placers = Placers::default();
            let (open, others): (Vec<HeadId>, Vec<HeadId>) = heads.into_iter().partition(|head| Some(*head) == first);
            for head in open.into_iter().chain(others) {
                let placed = placers.get(&study, head, job)?.place(&capture, of.unwrap_or(0), job)?;
                job.send(News::Placed(of, Box::new(placed)));
            }
            Ok(())
        }));
    }

    /// Runs an experiment.
    pub(crate) fn answer(&mut self, question: Question, capturer: Arc<Capturer>, sequences: Vec<Sequence>) {
        self.run(Again::Experiment(question.clone()), "experiment", move |job| {
            let answer = question.answer(&capturer, &sequences, &ExperimentParams::default(), job);
            job.send(News::Answer(Box::new((question, answer))));
            Ok(())
        });
    }

    /// Says what a selection is, then what it attends to and what attends to it.
    pub(crate) fn answer_selection(&mut self, study: Study, key: selection::Key, head: HeadId, ids: Vec<u32>) {
        self.run(Again::Selection, "selection", move |job| {
            let summary = study.selection(head, ids.iter().copied());
            job.send(News::Selected(key.clone(), Found::Points(Box::new(summary))));
            let attention = study.attention_of(head, ids, job)?;
            job.send(News::Selected(key, Found::Attention(Box::new(attention))));
            Ok(())
        });
    }

    /// Finds the neighbors of a point.
    pub(crate) fn find_near(&mut self, study: Study, pick: Pick, count: usize) {
        self.run(Again::Neighbors, "neighbors", move |job| {
            if let Some(head) = pick.head {
                job.send(News::Near(pick, study.nearest_points(head, pick.id, count)?));
            }
            Ok(())
        });
    }

    /// Computes an inset.
    pub(crate) fn make_inset(
        &mut self,
        again: Again,
        make: impl FnOnce(&dyn Progress) -> Result<Inset, Box<dyn Error>> + Send + 'static,
    ) {
        self.run(again, "layout", move |job| {
            job.send(News::Inset(Box::new(make(job)?)));
            Ok(())
        });
    }

    /// Computes the rollout of a sequence.
    pub(crate) fn roll_out(&mut self, study: Study, attention: Attention, sequence: usize) {
        self.run(Again::Rollout, "rollout", move |job| {
            let rollout = study.roll_out(attention, sequence, job)?;
            job.send(News::Rollout(Box::new(rollout)));
            Ok(())
        });
    }
}

fn open(
    source: Source,
    known: Option<Arc<Capturer>>,
    params: &AtlasParams,
    folder: Option<PathBuf>,
    job: &Job<News>,
) -> Result<(), Box<dyn Error>> {
    let loaded = source.load()?;
    if let Some(preview) = loaded.preview(folder.as_deref(), job)? {
        show_preview(preview, params, job)?;
    }
    let Opened {
        capture,
        capturer,
        columns,
        notes,
        later,
        complete,
    } = loaded.open(folder.as_deref(), job)?;
    let capturer = capturer.map(Arc::new).or(known);
    for note in notes {
        job.send(News::Note(note.to_string()));
    }
    if !complete {
        job.send(News::Stopped(format!(
            "Stopped: {} sequences were read.",
            capture.sequences().len()
        )));
    }
    if !later.is_empty() {
        let captures = std::iter::once(capture).chain(later).collect();
        return run_checkpoints(Checkpoints::new(captures, params), &columns, capturer, job);
    }
    let mut study = Study::new(capture, params);
    columns.into_iter().try_for_each(|column| study.add_column(column))?;
    study.set_filling(true);
    job.send(News::Opened(Box::new(study), capturer));
    Ok(())
}

/// Shows drafts of all heads on the first sequences.
fn show_preview(preview: Preview, params: &AtlasParams, job: &Job<News>) -> Result<(), Box<dyn Error>> {
    let Preview { capture, columns, of } = preview;
    let mut study = Study::new(capture.clone(), params);
    study.set_preview_of(of);
    columns.into_iter().try_for_each(|column| study.add_column(column))?;
    let heads: Vec<HeadId> = capture.model().heads().collect();
    study.set_filling(true);
    job.send(News::Opened(Box::new(study), None));
    for head in heads {
        // A head that fails here is reported by the projection of all sequences.
        if let Ok(draft) = draft_head(&capture, head, params, job) {
            job.send(News::Head(0, Box::new(draft)));
        }
    }
    Ok(())
}

/// Projects the heads of all checkpoints, then measures their movement.
fn run_checkpoints(
    mut checkpoints: Checkpoints,
    columns: &[TokenColumn],
    capturer: Option<Arc<Capturer>>,
    job: &Job<News>,
) -> Result<(), Box<dyn Error>> {
    columns.iter().try_for_each(|column| checkpoints.add_column(column))?;
    let Some(last) = checkpoints.studies().last().cloned() else {
        return Ok(());
    };
    // First the checkpoints: a study without them is projected by itself.
    job.send(News::Checkpoints(Box::new(checkpoints.clone())));
    job.send(News::Opened(Box::new(last), capturer));
    let heads = std::cell::RefCell::new(Vec::new());
    let on_head = |head: HeadCheckpoints| {
        heads.borrow_mut().push(head.clone());
        job.send(News::HeadCheckpoints(Box::new(head)));
    };
    checkpoints.project_heads(&on_head, job)?;
    heads.into_inner().into_iter().for_each(|head| checkpoints.insert(head));
    checkpoints.compare(job)?;
    job.send(News::Checkpoints(Box::new(checkpoints)));
    Ok(())
}
