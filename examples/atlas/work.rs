//! What takes long, on a thread of its own: capture, projection of the heads, summary. The window hears of it by messages and is
//! never blocked; dropping the work stops it.

use std::{
    collections::BTreeMap,
    error::Error,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use attn_sdk::{
    Ablation, Column, ExperimentOptions, Guest, Placer, Progress, Steps, Study, Subset, Summary, SummaryOptions,
    ablate,
    core::{HeadId, Sequence},
    models::{Capturer, split_lines},
    project::{AtlasCache, AtlasOptions, AtlasParams, HeadProjection, HeadSteps, Priority, atlas_with},
};
use eframe::egui;
use rayon::prelude::*;

use crate::source::{Read, Source};

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
    /// Points laid out by themselves.
    Subset(Box<Subset>),
    /// A typed text's tokens in a head.
    Guest(Box<Guest>),
    /// What it does to take heads out.
    Ablation(Box<Result<Ablation, attn_sdk::Error>>),
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

/// What the thread and the window both see.
struct Shared {
    /// The main work ends; what is done beside it goes on.
    stop: AtomicBool,
    /// Nobody waits for anything any more.
    closed: AtomicBool,
    /// Stage, steps done, steps in all; `None` when all is done.
    stage: Mutex<Option<(String, usize, usize)>>,
    context: egui::Context,
}

impl Work {
    pub(crate) fn start(
        source: Source,
        capturer: Option<Arc<Capturer>>,
        params: AtlasParams,
        folder: Option<PathBuf>,
        context: &egui::Context,
    ) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            stage: Mutex::new(Some(("model".into(), 0, 0))),
            context: context.clone(),
        });
        let priority = Arc::new(Priority::default());
        let (sender, news) = channel();
        let (inside, first) = (shared.clone(), priority.clone());
        let own = sender.clone();
        thread::spawn(move || {
            let teller = Teller {
                sender,
                shared: inside,
                quiet: false,
            };
            let ran = run(source, capturer, &params, folder, &first, &teller);
            if let Err(error) = ran
                && !teller.shared.stop.load(Ordering::Relaxed)
                && !teller.shared.closed.load(Ordering::Relaxed)
            {
                teller.tell(News::Failed(error.to_string()));
            }
            teller.shared.set(None);
        });
        Self {
            news,
            sender: own,
            priority,
            shared,
            placers: Arc::default(),
        }
    }

    /// Reads a typed text and places its tokens into the heads that are projected, `first` before the others.
    pub(crate) fn read(&self, capturer: Arc<Capturer>, study: Study, text: String, first: Option<HeadId>) {
        let placers = self.placers.clone();
        self.aside(move |teller| {
            let lines = split_lines(text.as_bytes(), Path::new("your text"))?;
            let capture = capturer.text(&lines, None, teller)?.capture;
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

    /// Takes heads out and measures what that does.
    pub(crate) fn ablate(&self, capturer: Arc<Capturer>, sequences: Vec<Sequence>, heads: Vec<HeadId>) {
        self.aside(move |teller| {
            let ablation = ablate(&capturer, &sequences, &heads, &ExperimentOptions::default(), teller);
            teller.tell(News::Ablation(Box::new(ablation)));
            Ok(())
        });
    }

    /// Lays out some points of a head by themselves.
    pub(crate) fn alone(&self, study: Study, head: HeadId, points: Vec<u32>) {
        self.aside(move |teller| {
            let subset = study.subset(head, points, teller)?;
            teller.tell(News::Subset(Box::new(subset)));
            Ok(())
        });
    }

    /// Does something beside the main work, which goes on.
    fn aside(&self, task: impl FnOnce(&Teller) -> Result<(), Box<dyn Error>> + Send + 'static) {
        let teller = Teller {
            sender: self.sender.clone(),
            shared: self.shared.clone(),
            quiet: true,
        };
        thread::spawn(move || {
            if let Err(error) = task(&teller) {
                teller.tell(News::Note(error.to_string()));
            }
        });
    }

    /// What is being done: stage, steps done, steps in all.
    pub(crate) fn stage(&self) -> Option<(String, usize, usize)> {
        self.shared.stage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends at the next safe point; what is there stays.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn set(&self, stage: Option<(String, usize, usize)>) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.context.request_repaint();
    }
}

struct Teller {
    sender: Sender<News>,
    shared: Arc<Shared>,
    /// Whether its progress is not the window's.
    quiet: bool,
}

impl Teller {
    fn tell(&self, news: News) {
        // A window that is closed needs no news.
        let _ = self.sender.send(news);
        self.shared.context.request_repaint();
    }
}

impl Progress for Teller {
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()> {
        if !self.quiet {
            self.shared.set(Some((stage.to_owned(), done, total)));
        }
        let stopped = !self.quiet && self.shared.stop.load(Ordering::Relaxed);
        if stopped || self.shared.closed.load(Ordering::Relaxed) {
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
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryOptions::default(), teller)?;
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
    let summary = Summary::new(&capture, capturer.as_deref(), &SummaryOptions::default(), teller)?;
    teller.tell(News::Summary(Box::new(summary)));
    Ok(())
}
