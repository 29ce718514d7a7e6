//! Which head is next, and on which thread.
//!
//! One head is made at once and on all threads, so that there is something to see; drafts of all heads take its place
//! where they are wanted. From then on first come the heads
//! that a caller asks for, then the cheap part of all others (which the cache may spare), then these by the strength
//! of their distance-attention correlation.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use attn_core::{HeadId, Progress, progress};

use super::{
    AtlasCache, HeadFailure, HeadProjection,
    head::{Atlas, Prepared},
};
use crate::{Error, Result, stages};

/// Heads that come before all others. May be changed by any thread while an atlas runs: a head already begun is
/// finished, the next one taken is the first of these that is not done.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// let visible = attn_project::atlas::Priority::default();
/// visible.set(&[HeadId::new(Attention::EncoderSelf, 3, 9)]); // scrolled there
/// assert_eq!(visible.get().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Priority(Mutex<Vec<HeadId>>);

impl Priority {
    /// Replaces the heads, first comes first. Heads that the atlas does not make or has made are passed over.
    pub fn set(&self, heads: &[HeadId]) {
        *lock(&self.0) = heads.to_vec();
    }

    /// The heads, first comes first.
    pub fn get(&self) -> Vec<HeadId> {
        lock(&self.0).clone()
    }
}

/// How an atlas is made; nothing of it changes a coordinate.
#[derive(Debug, Clone, Copy, Default)]
pub struct AtlasOptions<'a> {
    /// The heads to make. Default: all.
    pub heads: Option<&'a [HeadId]>,
    /// Heads to make first. Default: none.
    pub priority: Option<&'a Priority>,
    /// Where finished heads are kept and looked for. Default: nowhere.
    pub cache: Option<&'a AtlasCache>,
    /// Whether each head that is not in the cache is first handed over as a [draft](super::draft_head), all of them
    /// before the first is laid out. For whoever watches. Default: no.
    pub drafts: bool,
    /// Whether each head is handed over when it is laid out and again when its layout has been judged: without its
    /// [quality](HeadProjection::quality), then with it. For whoever watches. Default: no.
    pub quality_follows: bool,
}

/// A lock that outlives a panic of its holder: what it guards is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Heads still to be made.
#[derive(Default)]
struct Schedule {
    waiting: Vec<HeadId>,
    /// Those whose cheap part is done, with their name in the cache.
    prepared: Vec<(Prepared, Option<String>)>,
    stopped: bool,
}

enum Task {
    Prepare(HeadId),
    Make(HeadId),
    Finish(Box<(Prepared, Option<String>)>),
}

impl Task {
    fn head(&self) -> HeadId {
        match self {
            Self::Prepare(head) | Self::Make(head) => *head,
            Self::Finish(prepared) => prepared.0.head,
        }
    }
}

impl Schedule {
    /// The next task. With `drafts`, every head is prepared before the first is laid out, wanted ones first.
    fn next(&mut self, wanted: &[HeadId], drafts: bool) -> Option<Task> {
        if self.stopped {
            return None;
        }
        if drafts && !self.waiting.is_empty() {
            let first = wanted
                .iter()
                .find_map(|head| self.waiting.iter().position(|waiting| waiting == head));
            return Some(Task::Prepare(self.waiting.remove(first.unwrap_or(0))));
        }
        for head in wanted {
            if let Some(i) = self.prepared.iter().position(|(prepared, _)| prepared.head == *head) {
                return Some(Task::Finish(Box::new(self.prepared.swap_remove(i))));
            }
            if let Some(i) = self.waiting.iter().position(|waiting| waiting == head) {
                return Some(Task::Make(self.waiting.remove(i)));
            }
        }
        if !self.waiting.is_empty() {
            return Some(Task::Prepare(self.waiting.remove(0)));
        }
        let strength = |head: &Prepared| head.correlation.value.unwrap_or(f32::INFINITY);
        let order = |a: &Prepared, b: &Prepared| strength(a).total_cmp(&strength(b)).then(a.head.cmp(&b.head));
        let best = (0..self.prepared.len()).min_by(|&a, &b| order(&self.prepared[a].0, &self.prepared[b].0))?;
        Some(Task::Finish(Box::new(self.prepared.swap_remove(best))))
    }
}

/// A run, as its threads share it.
struct Run<'a> {
    atlas: &'a Atlas<'a>,
    options: AtlasOptions<'a>,
    on_head: &'a (dyn Fn(HeadProjection) + Sync),
    progress: &'a dyn Progress,
    within: Within<'a>,
    schedule: Mutex<Schedule>,
    /// What ends the run: a cancellation.
    ended: Mutex<Option<Error>>,
    failures: Mutex<Vec<HeadFailure>>,
    unwritten: Mutex<Option<Error>>,
}

/// Makes the heads.
pub(super) fn run(
    atlas: &Atlas<'_>,
    options: AtlasOptions<'_>,
    on_head: &(dyn Fn(HeadProjection) + Sync),
    progress: &dyn Progress,
) -> Result<Vec<HeadFailure>> {
    let mut waiting: Vec<HeadId> = Vec::new();
    match options.heads {
        Some(heads) => heads.iter().for_each(|head| {
            if !waiting.contains(head) {
                waiting.push(*head);
            }
        }),
        None => waiting.extend(atlas.capture.model().heads()),
    }
    let count = waiting.len();
    let done = AtomicUsize::new(0);
    let run = Run {
        atlas,
        options,
        on_head,
        progress,
        within: Within {
            outer: progress,
            done: &done,
            total: count,
        },
        schedule: Mutex::new(Schedule {
            waiting,
            ..Schedule::default()
        }),
        ended: Mutex::new(None),
        failures: Mutex::new(Vec::new()),
        unwritten: Mutex::new(None),
    };
    if !options.drafts {
        run.first();
    }
    let threads = rayon::current_num_threads();
    if threads > 1 && count > threads {
        // A pool of one thread each: work inside a head must not wait by starting another head.
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
                    Ok(pool) => pool.install(|| run.work()),
                    Err(_) => run.work(),
                });
            }
        });
    } else {
        run.work();
    }
    let taken = |error: Mutex<Option<Error>>| error.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = taken(run.ended).or_else(|| taken(run.unwritten)) {
        return Err(error);
    }
    let failures = run.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    HeadFailure::unless_all(failures, count)
}

impl Run<'_> {
    /// Makes the first head, without waiting for what the others are like.
    fn first(&self) {
        if let Some(task) = self.next() {
            self.attempt(match task {
                Task::Prepare(head) => Task::Make(head),
                other => other,
            });
        }
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            self.attempt(task);
        }
    }

    fn next(&self) -> Option<Task> {
        let wanted = self.options.priority.map(Priority::get).unwrap_or_default();
        lock(&self.schedule).next(&wanted, self.options.drafts)
    }

    /// A cancellation ends the run, another failure its head alone.
    fn attempt(&self, task: Task) {
        let head = task.head();
        let end = match self.carry_out(task) {
            Ok(()) => return,
            Err(error) if error.is_cancelled() => error,
            Err(error) => {
                let error = self.atlas.named(head, error);
                lock(&self.failures).push(HeadFailure::new(head, error));
                match self.count() {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
        };
        lock(&self.schedule).stopped = true;
        lock(&self.ended).get_or_insert(end);
    }

    fn carry_out(&self, task: Task) -> Result<()> {
        progress::step(&self.within, stages::HEADS, 0, self.within.total)?;
        let (head, at_once) = match task {
            Task::Prepare(head) => (head, false),
            Task::Make(head) => (head, true),
            Task::Finish(prepared) => return self.finish(&prepared.0, prepared.1.as_deref()),
        };
        let name = match self.options.cache {
            Some(_) => Some(self.atlas.name(head, &self.atlas.revisions())?),
            None => None,
        };
        if let (Some(cache), Some(name)) = (self.options.cache, &name)
            && let Some(found) = cache.load(name, &self.atlas.expected(head)?)
        {
            return self.hand_over(found);
        }
        let prepared = self.atlas.prepare(head)?;
        if self.options.drafts {
            // What has no draft may still have a layout: components cannot outnumber a head's dimensions.
            match self.atlas.draft(&prepared, &self.within) {
                Ok(draft) => (self.on_head)(draft),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(_) => {}
            }
        }
        if at_once {
            return self.finish(&prepared, name.as_deref());
        }
        lock(&self.schedule).prepared.push((prepared, name));
        Ok(())
    }

    fn finish(&self, prepared: &Prepared, name: Option<&str>) -> Result<()> {
        let hand_over = |head| (self.on_head)(head);
        let watched = self.options.quality_follows;
        let on_layout = watched.then_some(&hand_over as &dyn Fn(HeadProjection));
        let head = self.atlas.finish(prepared, on_layout, &self.within)?;
        if let (Some(cache), Some(name)) = (self.options.cache, name)
            && let Err(error) = cache.store(name, &head)
        {
            lock(&self.unwritten).get_or_insert(error);
        }
        self.hand_over(head)
    }

    fn hand_over(&self, head: HeadProjection) -> Result<()> {
        (self.on_head)(head);
        self.count()
    }

    /// One head more is done with.
    fn count(&self) -> Result<()> {
        let count = self.within.done.fetch_add(1, Relaxed) + 1;
        Ok(progress::step(self.progress, stages::HEADS, count, self.within.total)?)
    }
}

/// Progress inside a head: says how many heads are done, and passes a cancellation on.
struct Within<'a> {
    outer: &'a dyn Progress,
    done: &'a AtomicUsize,
    total: usize,
}

impl Progress for Within<'_> {
    fn update(&self, _: &str, _: usize, _: usize) -> std::ops::ControlFlow<()> {
        self.outer.update(stages::HEADS, self.done.load(Relaxed), self.total)
    }
}
