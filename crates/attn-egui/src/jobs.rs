//! Work on threads of its own beside a window: progress, a stop button, errors as text.
//!
//! A window starts a [`Job`] with [`Jobs::start`], takes its messages once a frame with [`Jobs::poll`], and shows what is
//! running with [`Jobs::show`]. The window is never blocked. Dropping the `Jobs` stops all of them at their next safe point.

use std::{
    collections::BTreeMap,
    error::Error,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use attn_core::Progress;
use egui::{Context, RichText, Ui};

use crate::progress_bar;

/// A job is on view when it has taken so long: most end before a user could read its name.
const VISIBLE_AFTER: Duration = Duration::from_millis(400);

/// Time between two frames that show progress. A frame for every step would take time from the work.
const REPAINT: Duration = Duration::from_millis(150);

/// The number of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(usize);

/// News from a job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JobEvent<M> {
    /// The job sent a message.
    Message(M),
    /// The job ended with an error, in words. A job that was stopped ends without one.
    Failed(JobId, String),
    /// The job ended.
    Finished(JobId),
}

/// A job that is running.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningJob {
    /// Its number.
    pub id: JobId,
    /// Its name, as given to [`Jobs::start`].
    pub name: String,
    /// Stages under way, the outermost first: a layer of a model, then the step within the layer.
    pub stages: Vec<Stage>,
    /// Time since it started.
    pub elapsed: Duration,
}

/// A stage of a job, as [`Progress::update`] reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

/// The jobs of a window, which send messages of type `M`.
///
/// ```
/// use attn_core::Progress;
/// use attn_egui::{Jobs, jobs::JobEvent};
///
/// let jobs = Jobs::new(&egui::Context::default());
/// let id = jobs.start("sum", |job| {
///     let mut sum = 0;
///     for (done, value) in [1, 2, 3].into_iter().enumerate() {
///         attn_core::progress::step(job, "numbers", done, 3)?;
///         sum += value;
///     }
///     job.send(sum);
///     Ok(())
/// });
/// let mut events = Vec::new();
/// while !events.contains(&JobEvent::Finished(id)) {
///     events.extend(jobs.poll());
/// }
/// assert_eq!(events, [JobEvent::Message(6), JobEvent::Finished(id)]);
/// ```
#[derive(Debug)]
pub struct Jobs<M> {
    sender: Sender<JobEvent<M>>,
    events: Receiver<JobEvent<M>>,
    shared: Arc<Shared>,
}

/// What the threads and the window both see.
#[derive(Debug)]
struct Shared {
    tasks: Mutex<Tasks>,
    /// The window is gone.
    closed: AtomicBool,
    context: Context,
}

#[derive(Debug, Default)]
struct Tasks {
    started: usize,
    running: BTreeMap<JobId, Task>,
}

#[derive(Debug)]
struct Task {
    name: String,
    since: Instant,
    stages: Vec<Stage>,
    stopped: bool,
}

impl<M: Send + 'static> Jobs<M> {
    /// No jobs yet; each asks `context` for a frame when it has news.
    pub fn new(context: &Context) -> Self {
        let (sender, events) = channel();
        let shared = Shared {
            tasks: Mutex::default(),
            closed: AtomicBool::new(false),
            context: context.clone(),
        };
        Self {
            sender,
            events,
            shared: Arc::new(shared),
        }
    }

    /// Starts `work` on a thread of its own. Its error becomes [`JobEvent::Failed`], and so does a panic; where no thread can
    /// be started (in a browser), the job fails at once.
    pub fn start(
        &self,
        name: &str,
        work: impl FnOnce(&Job<M>) -> Result<(), Box<dyn Error>> + Send + 'static,
    ) -> JobId {
        let id = self.shared.tasks().start(name);
        let job = Job {
            sender: self.sender.clone(),
            shared: self.shared.clone(),
            id,
            ended: false,
        };
        let thread = thread::Builder::new().name(name.to_owned());
        // Without a thread the job is dropped unfinished, which reports the failure.
        let _ = thread.spawn(move || job.run(work));
        id
    }

    /// The news since the last call, in their order. Never blocks.
    pub fn poll(&self) -> impl Iterator<Item = JobEvent<M>> + '_ {
        self.events.try_iter()
    }

    /// The jobs that are running, in the order of their start.
    pub fn running(&self) -> Vec<RunningJob> {
        self.shared.tasks().running.iter().map(RunningJob::new).collect()
    }

    /// Whether a job is running.
    pub fn is_running(&self, id: JobId) -> bool {
        self.shared.tasks().running.contains_key(&id)
    }

    /// Ends a job at its next safe point; what it sent stays.
    pub fn stop(&self, id: JobId) {
        if let Some(task) = self.shared.tasks().running.get_mut(&id) {
            task.stopped = true;
        }
    }

    /// Shows the first job that has run for a moment in one line, for a bar at the foot of a window, with the number of others.
    /// Returns the job that was stopped. Shows nothing while nothing runs, so the host keeps the line's height.
    pub fn show_line(&self, ui: &mut Ui) -> Option<JobId> {
        let running = self.running();
        let mut visible = running.iter().filter(|job| job.elapsed >= VISIBLE_AFTER);
        let Some(first) = visible.next() else {
            if let Some(job) = running.first() {
                ui.ctx()
                    .request_repaint_after(VISIBLE_AFTER.saturating_sub(job.elapsed));
            }
            return None;
        };
        let stage = first.stages.first().map_or((first.name.as_str(), 0, 0), Stage::parts);
        let stopped = progress_bar(ui, stage.0, stage.1, stage.2).then_some(first.id);
        let others: Vec<&str> = visible.map(|job| job.name.as_str()).collect();
        if !others.is_empty() {
            ui.label(RichText::new(format!("+ {}", others.len())).weak())
                .on_hover_text(others.join(", "));
        }
        if let Some(id) = stopped {
            self.stop(id);
        }
        stopped
    }

    /// Shows a bar with a stop button for every job that has run for a moment.
    pub fn show(&self, ui: &mut Ui) {
        for job in self.running() {
            if job.elapsed < VISIBLE_AFTER {
                ui.ctx().request_repaint_after(VISIBLE_AFTER - job.elapsed);
                continue;
            }
            ui.horizontal(|ui| {
                let (outer, inner) = match job.stages.as_slice() {
                    [] => (None, None),
                    [only] => (Some(only), None),
                    [outer, .., inner] => (Some(outer), Some(inner)),
                };
                let (stage, done, total) = outer.map_or((job.name.as_str(), 0, 0), Stage::parts);
                if progress_bar(ui, stage, done, total) {
                    self.stop(job.id);
                }
                if let Some((stage, done, total)) = inner.map(Stage::parts) {
                    ui.label(RichText::new(format!("{stage}: {done} of {total}")).weak());
                }
            });
        }
    }
}

impl<M> Drop for Jobs<M> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

impl RunningJob {
    fn new((id, task): (&JobId, &Task)) -> Self {
        Self {
            id: *id,
            name: task.name.clone(),
            stages: task.stages.clone(),
            elapsed: task.since.elapsed(),
        }
    }
}

impl Stage {
    fn parts(&self) -> (&str, usize, usize) {
        (&self.name, self.done, self.total)
    }
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    fn start(&mut self, name: &str) -> JobId {
        let id = JobId(self.started);
        self.started += 1;
        let task = Task {
            name: name.to_owned(),
            since: Instant::now(),
            stages: Vec::new(),
            stopped: false,
        };
        self.running.insert(id, task);
        id
    }
}

impl Task {
    /// Stages stay in the order of their start; those inside a stage that starts again are forgotten with it.
    fn update(&mut self, name: &str, done: usize, total: usize) {
        let known = self.stages.iter().position(|stage| stage.name == name);
        let place = match known {
            Some(place) => place,
            None => {
                self.stages.retain(|stage| stage.done < stage.total);
                self.stages.push(Stage {
                    name: name.to_owned(),
                    done,
                    total,
                });
                self.stages.len() - 1
            }
        };
        let stage = &mut self.stages[place];
        let went_on = stage.done != done;
        (stage.done, stage.total) = (done, total);
        if went_on {
            self.stages.truncate(place + 1);
        }
    }
}

/// A job as its own thread sees it: a [`Progress`] that the window shows, and a way to send messages.
#[derive(Debug)]
pub struct Job<M> {
    sender: Sender<JobEvent<M>>,
    shared: Arc<Shared>,
    id: JobId,
    ended: bool,
}

impl<M> Job<M> {
    /// Its number.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Sends a message to the window.
    pub fn send(&self, message: M) {
        self.tell(JobEvent::Message(message));
    }

    /// Whether the job was stopped or its window closed.
    pub fn is_stopped(&self) -> bool {
        let tasks = self.shared.tasks();
        let stopped = tasks.running.get(&self.id).is_some_and(|task| task.stopped);
        stopped || self.shared.closed.load(Ordering::Relaxed)
    }

    fn run(mut self, work: impl FnOnce(&Self) -> Result<(), Box<dyn Error>>) {
        let result = work(&self);
        self.ended = true;
        if let Err(error) = result
            && !self.is_stopped()
        {
            self.tell(JobEvent::Failed(self.id, error.to_string()));
        }
    }

    fn tell(&self, event: JobEvent<M>) {
        // A window that is closed needs no news.
        let _ = self.sender.send(event);
        self.shared.context.request_repaint();
    }
}

impl<M> Drop for Job<M> {
    fn drop(&mut self) {
        if !self.ended {
            let why = if thread::panicking() {
                "broke off: a fault of the program"
            } else {
                "no thread could be started for it"
            };
            self.tell(JobEvent::Failed(self.id, why.into()));
        }
        self.shared.tasks().running.remove(&self.id);
        self.tell(JobEvent::Finished(self.id));
    }
}

impl<M: Send> Progress for Job<M> {
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()> {
        if let Some(task) = self.shared.tasks().running.get_mut(&self.id) {
            task.update(stage, done, total);
        }
        self.shared.context.request_repaint_after(REPAINT);
        if self.is_stopped() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_of(jobs: &Jobs<u8>, id: JobId) -> Vec<JobEvent<u8>> {
        let mut events = Vec::new();
        while !events.contains(&JobEvent::Finished(id)) {
            events.extend(jobs.poll());
            thread::yield_now();
        }
        events
    }

    #[test]
    fn an_error_is_reported_in_words() {
        let jobs = Jobs::new(&Context::default());
        let id = jobs.start("fails", |_| Err("no such file".into()));
        let failed = JobEvent::Failed(id, "no such file".into());
        assert_eq!(all_of(&jobs, id), [failed, JobEvent::Finished(id)]);
        assert!(!jobs.is_running(id));
    }

    #[test]
    fn a_stopped_job_ends_without_an_error() {
        let jobs = Jobs::new(&Context::default());
        let id = jobs.start("endless", |job| {
            while job.update("turns", 1, 2).is_continue() {
                thread::yield_now();
            }
            Err("cancelled".into())
        });
        jobs.stop(id);
        assert_eq!(all_of(&jobs, id), [JobEvent::Finished(id)]);
    }

    #[test]
    fn a_closed_window_stops_its_jobs() {
        let jobs = Jobs::<u8>::new(&Context::default());
        let (sender, ended) = channel();
        jobs.start("endless", move |job| {
            while job.update("turns", 1, 2).is_continue() {
                thread::yield_now();
            }
            Ok(sender.send(())?)
        });
        drop(jobs);
        assert!(ended.recv_timeout(Duration::from_secs(30)).is_ok());
    }

    #[test]
    fn a_panic_is_reported() {
        let jobs = Jobs::new(&Context::default());
        let id = jobs.start("panics", |_| panic!("a fault"));
        let events = all_of(&jobs, id);
        assert!(
            matches!(&events[0], JobEvent::Failed(_, why) if why.starts_with("broke off")),
            "{events:?}"
        );
    }

    #[test]
    fn inner_stages_belong_to_a_step_of_the_outer_one() {
        let mut tasks = Tasks::default();
        let id = tasks.start("layers");
        let task = tasks.running.get_mut(&id).unwrap();
        task.update("layers", 0, 2);
        task.update("Ward", 3, 9);
        let names = |task: &Task| task.stages.iter().map(|stage| stage.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(task), ["layers", "Ward"]);
        task.update("Ward", 9, 9);
        task.update("k-means", 0, 4);
        assert_eq!(names(task), ["layers", "k-means"], "a stage that is done makes room");
        task.update("layers", 1, 2);
        assert_eq!(names(task), ["layers"]);
    }
}
