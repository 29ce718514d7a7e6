//! Jobs of the window, each on its own thread: capture, projection and summary; beside them new points, experiments, insets and
//! rollouts.

use std::{error::Error, path::PathBuf, sync::Arc};

use attn_egui::{Job, JobId, Jobs};
use attn_sdk::{
    Checkpoints, ExperimentParams, PlacedTokens, Placers, Progress, SequenceRollout, Study, Summary, SummaryParams,
    TokenColumn,
    core::{Attention, HeadId, Sequence},
    models::Capturer,
    project::{
        AtlasParams, HeadProjection,
        atlas::{AtlasCache, AtlasOptions, HeadCheckpoints, Priority, atlas, draft_head},
    },
    read_typed,
    study::{
        experiment::Question,
        source::{Opened, Preview, Source},
    },
};
use eframe::egui;

use crate::{experiment::Answered, inset::Inset};

/// A message of a job.
pub(crate) enum News {
    /// The capture is complete; heads follow.
    Opened(Box<Study>, Option<Arc<Capturer>>),
    /// The checkpoints of a training run, in place of the study.
    Checkpoints(Box<Checkpoints>),
    /// A head was projected at all checkpoints.
    HeadCheckpoints(Box<HeadCheckpoints>),
    /// A head was projected.
    Head(Box<HeadProjection>),
    /// The summary of all heads.
    Summary(Box<Summary>),
    /// An inset.
    Inset(Box<Inset>),
    /// The rollout of a sequence.
    Rollout(Box<SequenceRollout>),
    /// The tokens of a typed text, placed in a head.
    Placed(Box<PlacedTokens>),
    /// The result of an experiment.
    Answer(Box<Answered>),
    /// A note for the user.
    Note(String),
}

pub(crate) struct Work {
    pub(crate) jobs: Jobs<News>,
    /// The job of capture, projection and summary.
    main: JobId,
    /// Heads to project first: those on view.
    pub(crate) priority: Arc<Priority>,
    /// What places typed texts: made once, with the first of them.
    placers: Arc<Placers>,
}

impl Work {
    pub(crate) fn start(
        source: Source,
        capturer: Option<Arc<Capturer>>,
        params: AtlasParams,
        folder: Option<PathBuf>,
        context: &egui::Context,
    ) -> Self {
        let jobs = Jobs::new(context);
        let priority = Arc::new(Priority::default());
        let first = priority.clone();
        let main = jobs.start("model", move |job| run(source, capturer, &params, folder, &first, job));
        Self {
            jobs,
            main,
            priority,
            placers: Arc::default(),
        }
    }

    /// Whether a job is the main one.
    pub(crate) fn is_main(&self, job: JobId) -> bool {
        job == self.main
    }

    /// Whether the main job goes on.
    pub(crate) fn is_running(&self) -> bool {
        self.jobs.is_running(self.main)
    }

    /// Captures a typed text or image and places its tokens in the projected heads, `first` before the others.
    pub(crate) fn read(&self, capturer: Arc<Capturer>, study: Study, text: String, first: Option<HeadId>) {
        let placers = self.placers.clone();
        self.jobs.start("new point", move |job| {
            let capture = read_typed(&capturer, &text, job)?;
            let send = |placed: PlacedTokens| job.send(News::Placed(Box::new(placed)));
            Ok(placers.place_each(&study, &capture, first, &send, job)?)
        });
    }

    /// Runs an experiment.
    pub(crate) fn answer(&self, question: Question, capturer: Arc<Capturer>, sequences: Vec<Sequence>) {
        self.jobs.start("experiment", move |job| {
            let answer = question.answer(&capturer, &sequences, &ExperimentParams::default(), job);
            job.send(News::Answer(Box::new((question, answer))));
            Ok(())
        });
    }

    /// Computes an inset.
    pub(crate) fn make_inset(
        &self,
        make: impl FnOnce(&dyn Progress) -> Result<Inset, Box<dyn Error>> + Send + 'static,
    ) {
        self.jobs.start("layout", move |job| {
            job.send(News::Inset(Box::new(make(job)?)));
            Ok(())
        });
    }

    /// Computes the rollout of a sequence.
    pub(crate) fn roll_out(&self, study: Study, attention: Attention, sequence: usize) {
        self.jobs.start("rollout", move |job| {
            let rollout = study.roll_out(attention, sequence, job)?;
            job.send(News::Rollout(Box::new(rollout)));
            Ok(())
        });
    }
}

fn run(
    source: Source,
    known: Option<Arc<Capturer>>,
    params: &AtlasParams,
    folder: Option<PathBuf>,
    priority: &Priority,
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
        job.send(News::Note(
            "Stopped: the capture holds the sequences finished so far.".into(),
        ));
    }
    if !later.is_empty() {
        let captures = std::iter::once(capture).chain(later).collect();
        return run_checkpoints(Checkpoints::new(captures, params)?, &columns, capturer, job);
    }
    let mut study = Study::new(capture.clone(), params)?;
    columns.into_iter().try_for_each(|column| study.add_column(column))?;
    study.set_filling(true);
    job.send(News::Opened(Box::new(study), capturer.clone()));
    // Finished heads are cached beside the capture, so that a stopped projection resumes.
    let cache = AtlasCache::beside(&capture).unwrap_or_else(|error| {
        job.send(News::Note(format!("Projections are not cached: {error}")));
        None
    });
    let options = AtlasOptions {
        cache: cache.as_ref(),
        priority: Some(priority),
        drafts: true,
        ..AtlasOptions::default()
    };
    let head = |head| job.send(News::Head(Box::new(head)));
    for failure in atlas(&capture, params, options, &head, job)? {
        job.send(News::Note(format!("Not projected: {}", failure.error)));
    }
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryParams::default(), job)?;
    job.send(News::Summary(Box::new(summary)));
    Ok(())
}

/// Shows drafts of all heads on the first sequences.
fn show_preview(preview: Preview, params: &AtlasParams, job: &Job<News>) -> Result<(), Box<dyn Error>> {
    let Preview { capture, columns, of } = preview;
    let mut study = Study::new(capture.clone(), params)?;
    study.set_preview_of(of);
    columns.into_iter().try_for_each(|column| study.add_column(column))?;
    let heads: Vec<HeadId> = capture.model().heads().collect();
    study.set_filling(true);
    job.send(News::Opened(Box::new(study), None));
    for head in heads {
        // A head that fails here is reported by the projection of all sequences.
        if let Ok(draft) = draft_head(&capture, head, params, job) {
            job.send(News::Head(Box::new(draft)));
        }
    }
    Ok(())
}

/// Projects the heads of all checkpoints, then measures their movement and summarizes the last checkpoint.
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
    let capture = last.capture().clone();
    job.send(News::Opened(Box::new(last), capturer.clone()));
    job.send(News::Checkpoints(Box::new(checkpoints.clone())));
    let heads = std::cell::RefCell::new(Vec::new());
    let on_head = |head: HeadCheckpoints| {
        heads.borrow_mut().push(head.clone());
        job.send(News::HeadCheckpoints(Box::new(head)));
    };
    checkpoints.project_heads(&on_head, job)?;
    heads.into_inner().into_iter().for_each(|head| checkpoints.insert(head));
    checkpoints.compare(job)?;
    job.send(News::Checkpoints(Box::new(checkpoints)));
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryParams::default(), job)?;
    job.send(News::Summary(Box::new(summary)));
    Ok(())
}
