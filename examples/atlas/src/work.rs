//! The long work of the window, as jobs on threads of their own: capture, projection of the heads, summary; and beside them
//! new points, experiments, layouts.

use std::{error::Error, path::PathBuf, sync::Arc};

use attn_egui::{Job, JobId, Jobs};
use attn_sdk::{
    ExperimentParams, Guest, Placers, Progress, SequenceRollout, Steps, Study, Summary, SummaryParams, TokenColumn,
    core::{Attention, HeadId, Sequence},
    models::Capturer,
    project::{
        AtlasParams, HeadProjection,
        atlas::{AtlasCache, AtlasOptions, HeadCheckpoints, Priority, atlas},
    },
    read_typed,
    study::{
        experiment::Question,
        source::{Opened, Source},
    },
};
use eframe::egui;

use crate::{apart::Apart, experiment::Answered};

/// What the work has to tell.
pub(crate) enum News {
    /// The data is there; heads follow.
    Opened(Box<Study>, Option<Arc<Capturer>>),
    /// The steps of a training, in place of what was there.
    Steps(Box<Steps>),
    /// A head is projected in all steps.
    HeadSteps(Box<HeadCheckpoints>),
    /// A head is projected.
    Head(Box<HeadProjection>),
    /// Everything that can be said of the heads.
    Summary(Box<Summary>),
    /// A picture of its own.
    Apart(Box<Apart>),
    /// What a sequence's states are made of.
    Rollout(Box<SequenceRollout>),
    /// A typed text's tokens in a head.
    Guest(Box<Guest>),
    /// What an experiment found.
    Answer(Box<Answered>),
    /// Something the user should know.
    Note(String),
}

pub(crate) struct Work {
    pub(crate) jobs: Jobs<News>,
    /// Capture, projection and summary; everything else goes on beside it.
    main: JobId,
    /// The heads that are to be projected first: those on view.
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

    /// Whether an event is the failure of the main work, after which nothing more comes.
    pub(crate) fn is_main(&self, job: JobId) -> bool {
        job == self.main
    }

    /// Reads a typed text or a picture and places its tokens into the heads that are projected, `first` before the others.
    pub(crate) fn read(&self, capturer: Arc<Capturer>, study: Study, text: String, first: Option<HeadId>) {
        let placers = self.placers.clone();
        self.jobs.start("new point", move |job| {
            let capture = read_typed(&capturer, &text, job)?;
            let send = |guest: Guest| job.send(News::Guest(Box::new(guest)));
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

    /// Makes a picture of its own.
    pub(crate) fn apart(&self, make: impl FnOnce(&dyn Progress) -> Result<Apart, Box<dyn Error>> + Send + 'static) {
        self.jobs.start("layout", move |job| {
            job.send(News::Apart(Box::new(make(job)?)));
            Ok(())
        });
    }

    /// Follows the attention in a sequence through all layers.
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
    let Opened {
        capture,
        capturer,
        columns,
        notes,
        later,
        complete,
    } = source.open(folder.as_deref(), job)?;
    let capturer = capturer.map(Arc::new).or(known);
    for note in notes {
        job.send(News::Note(note.to_string()));
    }
    if !complete {
        job.send(News::Note("Stopped: this is what was read until then.".into()));
    }
    if !later.is_empty() {
        let captures = std::iter::once(capture).chain(later).collect();
        return run_steps(Steps::new(captures, params)?, &columns, capturer, job);
    }
    let mut study = Study::new(capture.clone(), params)?;
    columns.into_iter().try_for_each(|column| study.add_column(column))?;
    job.send(News::Opened(Box::new(study), capturer.clone()));
    // Finished heads are kept beside the capture: a projection that was stopped goes on where it was.
    let cache = AtlasCache::beside(&capture).unwrap_or_else(|error| {
        job.send(News::Note(format!("Projections are not kept: {error}")));
        None
    });
    let options = AtlasOptions {
        cache: cache.as_ref(),
        priority: Some(priority),
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

/// The heads of all steps together, then how far they move and what those of the last step do.
fn run_steps(
    mut steps: Steps,
    columns: &[TokenColumn],
    capturer: Option<Arc<Capturer>>,
    job: &Job<News>,
) -> Result<(), Box<dyn Error>> {
    columns.iter().try_for_each(|column| steps.add_column(column))?;
    let Some(last) = steps.studies().last().cloned() else {
        return Ok(());
    };
    let capture = last.capture().clone();
    job.send(News::Opened(Box::new(last), capturer.clone()));
    job.send(News::Steps(Box::new(steps.clone())));
    let heads = std::cell::RefCell::new(Vec::new());
    let on_head = |head: HeadCheckpoints| {
        heads.borrow_mut().push(head.clone());
        job.send(News::HeadSteps(Box::new(head)));
    };
    steps.project_heads(&on_head, job)?;
    heads.into_inner().into_iter().for_each(|head| steps.insert(head));
    steps.compare(job)?;
    job.send(News::Steps(Box::new(steps)));
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryParams::default(), job)?;
    job.send(News::Summary(Box::new(summary)));
    Ok(())
}
