//! One run of a model over its input: its folder, its progress, and its batches.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::{
    Capture, CaptureWriter, Progress,
    capture::{CapturePlan, Slot},
    progress::step,
    text::Note,
};

use super::{
    Capturer,
    batch::{Lengths, Store, buckets},
    input::{Batches, Input, Prepared},
    memory,
    watch::Watch,
};
use crate::{
    Error, Result,
    turns::{in_turn, under_way},
};

/// A capture that has not begun: its input is known, its folder and its observer can still be set.
///
/// ```no_run
/// # use attn_models::{Capturer, Checkpoint};
/// # let capturer = Capturer::load(&Checkpoint::open("bert-base-uncased")?)?;
/// let outcome = capturer.lines(["the cat sat"]).to_folder("capture").progress(&()).run()?;
/// assert!(outcome.complete);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[must_use = "nothing is captured before `run`"]
pub struct CaptureRun<'a> {
    capturer: &'a Capturer,
    input: Input,
    folder: Option<PathBuf>,
    progress: &'a dyn Progress,
}

/// A capture, and whether it holds everything that was asked for.
#[derive(Debug)]
pub struct CaptureOutcome {
    /// What was captured. After a cancellation: the sequences that were finished.
    pub capture: Capture,
    /// Whether that is all; `false` after a cancellation.
    pub complete: bool,
    /// Lines that were left out because they have no token. What was cut is told by [`cut_notes`](super::cut_notes).
    pub notes: Vec<Note>,
}

impl<'a> CaptureRun<'a> {
    pub(super) fn new(capturer: &'a Capturer, input: Input) -> Self {
        Self {
            capturer,
            input,
            folder: None,
            progress: &(),
        }
    }

    /// Writes to a folder instead of memory. If the folder holds an interrupted capture of the same input by the same
    /// model, the run goes on from there. Images and sounds are the same if their pixels and samples are, and what prepares
    /// them.
    pub fn to_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Reports progress, and asks whether to go on. Default: no reports.
    ///
    /// The stages are `tokens` or `images` while input is read, `generate` while an encoder-decoder writes targets,
    /// `capture`, counted in tokens, and `close`, counted in MiB, while the files of a folder are closed. A cancellation while a
    /// whole capture is closed is an error, and the next run in this folder only closes it.
    pub fn progress(mut self, progress: &'a dyn Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Runs the model. After a cancellation the outcome holds the sequences that were finished.
    ///
    /// # Errors
    /// Those of the method that made this run; [`Error::Empty`] without input; [`attn_core::Error::Memory`], before
    /// anything runs, for a line that is too long and for a capture that is too large for memory; those of
    /// [`Model::forward`](crate::Model::forward) and of the store. A cancellation before the first finished batch is
    /// [`attn_core::Error::Cancelled`].
    pub fn run(self) -> Result<CaptureOutcome> {
        let prepared = self.capturer.prepare(self.input, self.progress)?;
        if prepared.sequences.is_empty() {
            return Err(Error::Empty {
                place: "capture".to_owned(),
                message: "at least one line or image".to_owned(),
            });
        }
        Job::new(self.capturer, prepared, self.folder, self.progress)?.run()
    }
}

impl std::fmt::Debug for CaptureRun<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureRun")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// The batches of a run, and how far it is.
struct Job<'a> {
    capturer: &'a Capturer,
    writer: CaptureWriter,
    /// What a batch is made of.
    inputs: Batches,
    /// The tokens of every sequence.
    lengths: Vec<Lengths>,
    /// Lines that were left out.
    notes: Vec<Note>,
    progress: &'a dyn Progress,
    /// Tokens that are captured, of `total`.
    done: AtomicUsize,
    total: usize,
}

impl<'a> Job<'a> {
    fn new(
        capturer: &'a Capturer,
        prepared: Prepared,
        folder: Option<PathBuf>,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let plan = CapturePlan {
            model: capturer.changed_info()?,
            sequences: prepared.sequences,
            options: capturer.options,
            fingerprint: capturer.changed_fingerprint(),
            inputs: prepared.digest,
        };
        let lengths: Vec<Lengths> = plan.sequences.iter().map(Lengths::of_sequence).collect();
        // Wrong changes and lines that are too long are refused before anything is written.
        capturer.refuse_long(&plan.sequences)?;
        let writer = match folder {
            Some(folder) => CaptureWriter::create_with(folder, plan, progress)?,
            None => {
                let what = format_args!("a capture of {} sequences in memory (not in a folder)", lengths.len());
                let needed = memory::of_capture(&plan.model, plan.options, &lengths);
                capturer.limits.check(what, needed)?;
                CaptureWriter::in_memory(plan)?
            }
        };
        let finished = (0..lengths.len()).filter(|&at| writer.is_done(at));
        Ok(Self {
            done: AtomicUsize::new(finished.map(|at| lengths[at].sum()).sum()),
            total: lengths.iter().map(Lengths::sum).sum(),
            capturer,
            writer,
            inputs: prepared.batches,
            notes: prepared.notes,
            lengths,
            progress,
        })
    }

    fn run(self) -> Result<CaptureOutcome> {
        let batches = self.batches()?;
        let captured = in_turn(batches.len(), self.threads(&batches)?, |at| self.capture(&batches[at]));
        let complete = match captured {
            Ok(()) => true,
            Err(error) if error.is_cancelled() && (0..self.lengths.len()).any(|at| self.writer.is_done(at)) => false,
            Err(error) => return Err(error),
        };
        if complete {
            // The last report is not a question any more.
            let _ = self.progress.update("capture", self.total, self.total);
        }
        // A stopped capture is closed all the same: what was finished stays of use.
        let closing = |stage: &str, done: usize, total: usize| match self.progress.update(stage, done, total) {
            ControlFlow::Break(()) if complete => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let mut capture = self.writer.finish_with(&closing)?;
        if let Batches::Pixels(images) = &self.inputs {
            capture.add_images(
                images
                    .iter()
                    .filter_map(|image| Some((image.name(), image.in_memory()?))),
            );
        }
        Ok(CaptureOutcome {
            capture,
            complete,
            notes: self.notes,
        })
    }

    /// The batches that are not captured yet, long sequences first: what is too large for the memory is found at once,
    /// and no thread waits for a long one at the end.
    fn batches(&self) -> Result<Vec<Vec<usize>>> {
        let lengths: Vec<usize> = self.lengths.iter().map(|own| own.encoder.max(own.decoder)).collect();
        let mut pending: Vec<usize> = (0..lengths.len()).filter(|&at| !self.writer.is_done(at)).collect();
        let lacks_tables = self
            .writer
            .plan()
            .tables()
            .iter()
            .any(|&slot| self.writer.lacks_table(slot));
        if pending.is_empty() && lacks_tables {
            // Tables come with any sequence. An interrupted capture may have all of these.
            pending.push(0);
        }
        // Samples are not padded: what is made of a sound may depend on it.
        let alone = matches!(self.inputs, Batches::Sounds(_)) && !self.capturer.translates();
        let slots = if alone { 0 } else { self.capturer.batch_tokens };
        let mut batches = buckets(pending, &lengths, slots);
        batches.reverse();
        // A batch that the limits do not allow runs in parts. Each of its lines is allowed.
        let (mut within, limit) = (Vec::with_capacity(batches.len()), self.capturer.limits.bytes);
        while let Some(mut batch) = batches.pop() {
            while batch.len() > 1 && self.needed(&batch)? > limit {
                batches.push(batch.split_off(batch.len() / 2));
            }
            within.push(batch);
        }
        within.reverse();
        Ok(within)
    }

    /// Bytes that a batch takes.
    fn needed(&self, batch: &[usize]) -> Result<u64> {
        let longest = batch
            .iter()
            .fold(Lengths::default(), |most, &at| most.max(self.lengths[at]));
        self.capturer.needed(batch.len(), longest)
    }

    /// Batches under way at a time.
    fn threads(&self, batches: &[Vec<usize>]) -> Result<usize> {
        let needed = batches.iter().map(|batch| self.needed(batch));
        let Capturer { model, limits, .. } = self.capturer;
        Ok(under_way(model.device(), *limits, needed.collect::<Result<_>>()?))
    }

    /// Runs one batch and writes what it computed.
    fn capture(&self, batch: &[usize]) -> Result<()> {
        let Self { capturer, writer, .. } = self;
        step(self.progress, "capture", self.done.load(Ordering::Relaxed), self.total)?;
        let inputs = capturer.batch_inputs(&writer.plan().sequences, &self.inputs, batch)?;
        let lengths: Vec<Lengths> = batch.iter().map(|&at| self.lengths[at]).collect();
        let mut store = Store {
            writer,
            batch,
            lengths: &lengths,
            options: capturer.options,
        };
        // What is changed is changed before it is kept.
        let mut changes = capturer.changes(batch, &lengths)?;
        let longest = lengths.iter().fold(Lengths::default(), |most, &own| most.max(own));
        let (done, products) = (
            self.done.load(Ordering::Relaxed),
            capturer.products(batch.len(), longest),
        );
        let watch = Watch::new(self.progress, "capture", (done, self.total), products);
        let mut tap = (&mut changes, &mut store, watch);
        let layout = capturer.model.layout(&inputs).batch(batch, self.lengths.len());
        let logits = capturer.options.logits;
        let output = capturer.model.states(&inputs, layout, logits, &mut tap)?;
        if let Some(logits) = output
            .logits
            .filter(|logits| capturer.options.logits && logits.rank() == 3)
        {
            let side = memory::logits_side(capturer.model.info());
            store.write(Slot::Logits { side }, side, &logits.unsqueeze(1)?)?;
        }
        writer.commit(batch)?;
        let tokens = lengths.iter().map(Lengths::sum).sum();
        self.done.fetch_add(tokens, Ordering::Relaxed);
        Ok(())
    }
}
