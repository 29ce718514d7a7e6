//! What takes long, on a thread of its own: capture, projection of the heads, summary. The window hears of it by messages and is
//! never blocked; dropping the work stops it.

use std::{
    collections::BTreeMap,
    error::Error,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use attn_sdk::{
    Column, Guest, Placer, Progress, SequenceRollout, Steps, Study, Summary, SummaryParams,
    core::{Attention, HeadId, Sequence},
    models::Capturer,
    project::{AtlasCache, AtlasOptions, AtlasParams, HeadProjection, HeadSteps, Priority, atlas_with},
};
use eframe::egui;
use rayon::prelude::*;

use crate::{
    apart::Apart,
    experiment::{Answered, Question},
    guest,
    source::{Read, Source},
};

/// What is done beside the main work is on view when it has taken so long.
const SOON: Duration = Duration::from_millis(400);

/// How far the work is is shown so often.
const OFTEN: Duration = Duration::from_millis(150);

/// What the work has to tell.
pub(crate) enum News {
    /// The data is there; heads follow.
    Opened(Box<Study>, Option<Arc<Capturer>>),
    /// The steps of a training, in place of what was there.
    Steps(Box<Steps>),
    /// A head is projected in all steps.
    HeadSteps(Box<HeadSteps>),
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
    /// Something a person should know.
    Note(String),
    /// It could not go on.
    Failed(String),
}

pub(crate) struct Work {
    pub(crate) news: Receiver<News>,
    sender: Sender<News>,
    /// The heads that are to be projected first: those on view.
    pub(crate) priority: Arc<Priority>,
    shared: Arc<Shared>,
    /// What places typed texts: made once, with the first of them.
    placers: Arc<Mutex<BTreeMap<HeadId, Arc<Placer>>>>,
}

/// What the threads and the window see.
struct Shared {
    /// What is being done, by number: 0 is the main work, what is done beside it counts up.
    tasks: Mutex<BTreeMap<usize, Task>>,
    /// Nobody waits for anything any more.
    closed: AtomicBool,
    context: egui::Context,
}

/// Something that is being done.
struct Task {
    since: Instant,
    /// Stage, steps done, steps in all.
    stage: (String, usize, usize),
    stopped: bool,
}

/// The main work.
const MAIN: usize = 0;

impl Work {
    pub(crate) fn start(
        source: Source,
        capturer: Option<Arc<Capturer>>,
        params: AtlasParams,
        folder: Option<PathBuf>,
        context: &egui::Context,
    ) -> Self {
        let shared = Arc::new(Shared {
            tasks: Mutex::default(),
            closed: AtomicBool::new(false),
            context: context.clone(),
        });
        let priority = Arc::new(Priority::default());
        let (sender, news) = channel();
        let (teller, first) = (Teller::start(&sender, &shared, MAIN, "model"), priority.clone());
        thread::spawn(move || {
            if let Err(error) = run(source, capturer, &params, folder, &first, &teller)
                && !teller.is_stopped()
            {
                teller.tell(News::Failed(error.to_string()));
            }
        });
        Self {
            news,
            sender,
            priority,
            shared,
            placers: Arc::default(),
        }
    }

    /// Reads a typed text or a picture and places its tokens into the heads that are projected, `first` before the others.
    pub(crate) fn read(&self, capturer: Arc<Capturer>, study: Study, text: String, first: Option<HeadId>) {
        let placers = self.placers.clone();
        self.aside("guest", move |teller| {
            let capture = guest::read(&capturer, &text, teller)?;
            let mut heads: Vec<HeadId> = study.heads().map(|head| head.head).collect();
            heads.sort_by_key(|head| Some(*head) != first);
            let (open, others) = heads.split_at(usize::from(first.is_some()).min(heads.len()));
            let place = |head: &HeadId| -> Result<(), attn_sdk::Error> {
                let known = || placers.lock().unwrap_or_else(PoisonError::into_inner);
                let found = known().get(head).cloned();
                let placer = match found {
                    Some(placer) => placer,
                    None => {
                        let placer = Arc::new(study.placer(*head, teller)?);
                        known().insert(*head, placer.clone());
                        placer
                    }
                };
                let guest = placer.place(&capture, 0, teller)?;
                teller.tell(News::Guest(Box::new(guest)));
                Ok(())
            };
            open.iter().try_for_each(place)?;
            Ok(others.par_iter().try_for_each(place)?)
        });
    }

    /// Runs an experiment.
    pub(crate) fn answer(&self, question: Question, capturer: Arc<Capturer>, sequences: Vec<Sequence>) {
        self.aside("experiment", move |teller| {
            let answer = question.answer(&capturer, &sequences, teller);
            teller.tell(News::Answer(Box::new((question, answer))));
            Ok(())
        });
    }

    /// Makes a picture of its own.
    pub(crate) fn apart(&self, make: impl FnOnce(&dyn Progress) -> Result<Apart, Box<dyn Error>> + Send + 'static) {
        self.aside("layout", move |teller| {
            teller.tell(News::Apart(Box::new(make(teller)?)));
            Ok(())
        });
    }

    /// Follows the attention in a sequence through all layers.
    pub(crate) fn roll_out(&self, study: Study, attention: Attention, sequence: usize) {
        self.aside("rollout", move |teller| {
            let rollout = study.roll_out(attention, sequence, teller)?;
            teller.tell(News::Rollout(Box::new(rollout)));
            Ok(())
        });
    }

    /// Does something beside the main work, which goes on.
    fn aside(&self, stage: &str, task: impl FnOnce(&Teller) -> Result<(), Box<dyn Error>> + Send + 'static) {
        let number = self.shared.tasks().last_key_value().map_or(MAIN, |(last, _)| *last) + 1;
        let teller = Teller::start(&self.sender, &self.shared, number, stage);
        thread::spawn(move || {
            if let Err(error) = task(&teller)
                && !teller.is_stopped()
            {
                teller.tell(News::Note(error.to_string()));
            }
        });
    }

    /// What is being done: number, stage, steps done, steps in all. What is done beside the main work is among it when it takes long.
    pub(crate) fn stages(&self) -> Vec<(usize, String, usize, usize)> {
        let tasks = self.shared.tasks();
        let shown = tasks
            .iter()
            .filter(|(number, task)| **number == MAIN || task.since.elapsed() >= SOON);
        let stage = |(number, task): (&usize, &Task)| {
            let (stage, done, total) = task.stage.clone();
            (*number, stage, done, total)
        };
        shown.map(stage).collect()
    }

    /// Ends at the next safe point; what is there stays.
    pub(crate) fn stop(&self, number: usize) {
        if let Some(task) = self.shared.tasks().get_mut(&number) {
            task.stopped = true;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, BTreeMap<usize, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a task tells by; it is done when this is dropped.
struct Teller {
    sender: Sender<News>,
    shared: Arc<Shared>,
    number: usize,
}

impl Teller {
    fn start(sender: &Sender<News>, shared: &Arc<Shared>, number: usize, stage: &str) -> Self {
        let task = Task {
            since: Instant::now(),
            stage: (stage.to_owned(), 0, 0),
            stopped: false,
        };
        shared.tasks().insert(number, task);
        Self {
            sender: sender.clone(),
            shared: shared.clone(),
            number,
        }
    }

    fn tell(&self, news: News) {
        // A window that is closed needs no news.
        let _ = self.sender.send(news);
        self.shared.context.request_repaint();
    }

    fn is_stopped(&self) -> bool {
        let stopped = self.shared.tasks().get(&self.number).is_some_and(|task| task.stopped);
        stopped || self.shared.closed.load(Ordering::Relaxed)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.shared.tasks().remove(&self.number);
        self.shared.context.request_repaint();
    }
}

impl Progress for Teller {
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()> {
        if let Some(task) = self.shared.tasks().get_mut(&self.number) {
            task.stage = (stage.to_owned(), done, total);
        }
        // Not a frame for every step: drawing takes time from the work.
        self.shared.context.request_repaint_after(OFTEN);
        if self.is_stopped() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn run(
    source: Source,
    known: Option<Arc<Capturer>>,
    params: &AtlasParams,
    folder: Option<PathBuf>,
    priority: &Priority,
    teller: &Teller,
) -> Result<(), Box<dyn Error>> {
    let Read {
        capture,
        capturer,
        columns,
        later,
        complete,
    } = source.read(folder.as_deref(), teller)?;
    let capturer = capturer.map(Arc::new).or(known);
    if !complete {
        teller.tell(News::Note("Stopped: this is what was read until then.".into()));
    }
    if !later.is_empty() {
        let captures = std::iter::once(capture).chain(later).collect();
        return run_steps(Steps::new(captures, params)?, &columns, capturer, teller);
    }
    let mut study = Study::new(capture.clone(), params)?;
    columns.into_iter().try_for_each(|column| study.add_column(column))?;
    teller.tell(News::Opened(Box::new(study), capturer.clone()));
    // Finished heads are kept beside the capture: a projection that was stopped goes on where it was.
    let cache = AtlasCache::beside(&capture).unwrap_or_else(|error| {
        teller.tell(News::Note(format!("Projections are not kept: {error}")));
        None
    });
    let options = AtlasOptions {
        cache: cache.as_ref(),
        priority: Some(priority),
        ..AtlasOptions::default()
    };
    let head = |head| teller.tell(News::Head(Box::new(head)));
    atlas_with(&capture, params, options, &head, teller)?;
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryParams::default(), teller)?;
    teller.tell(News::Summary(Box::new(summary)));
    Ok(())
}

/// The heads of all steps together, then how far they move and what those of the last step do.
fn run_steps(
    mut steps: Steps,
    columns: &[Column],
    capturer: Option<Arc<Capturer>>,
    teller: &Teller,
) -> Result<(), Box<dyn Error>> {
    columns.iter().try_for_each(|column| steps.add_column(column))?;
    let Some(last) = steps.studies().last().cloned() else {
        return Ok(());
    };
    let capture = last.capture().clone();
    teller.tell(News::Opened(Box::new(last), capturer.clone()));
    teller.tell(News::Steps(Box::new(steps.clone())));
    let heads = std::cell::RefCell::new(Vec::new());
    let on_head = |head: HeadSteps| {
        heads.borrow_mut().push(head.clone());
        teller.tell(News::HeadSteps(Box::new(head)));
    };
    steps.project_heads(&on_head, teller)?;
    heads.into_inner().into_iter().for_each(|head| steps.insert(head));
    steps.compare(teller)?;
    teller.tell(News::Steps(Box::new(steps)));
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryParams::default(), teller)?;
    teller.tell(News::Summary(Box::new(summary)));
    Ok(())
}
