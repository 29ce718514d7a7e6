//! One run of a model over its input: its folder, its progress, and its batches.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::{Attention, Capture, CapturePlan, CaptureWriter, Progress, Side, Slot, progress::step};

use super::{
    Capturer,
    batch::{Lengths, Store, buckets, in_turn},
    input::{Batches, Input, Prepared},
};
use crate::{Error, Result};

/// Most batches under way at a time.
const UNDER_WAY: usize = 4;

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
    /// model, the run goes on from there.
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
    /// Those of the method that made this run; [`Error::Empty`] without input; those of
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
            model: capturer.changed_info(),
            sequences: prepared.sequences,
            options: capturer.options,
            fingerprint: capturer.changed_fingerprint(),
        };
        // Wrong changes are refused before anything is written.
        capturer.changes(&[])?;
        let writer = match folder {
            Some(folder) => CaptureWriter::create(folder, plan)?,
            None => CaptureWriter::in_memory(plan)?,
        };
        let lengths: Vec<Lengths> = writer.plan().sequences.iter().map(Lengths::of_sequence).collect();
        let finished = (0..lengths.len()).filter(|&at| writer.is_done(at));
        Ok(Self {
            done: AtomicUsize::new(finished.map(|at| lengths[at].sum()).sum()),
            total: lengths.iter().map(Lengths::sum).sum(),
            capturer,
            writer,
            inputs: prepared.batches,
            lengths,
            progress,
        })
    }

    fn run(self) -> Result<CaptureOutcome> {
        let batches = self.batches();
        let captured = in_turn(batches.len(), self.threads(), |at| self.capture(&batches[at]));
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
        Ok(CaptureOutcome { capture, complete })
    }

    /// The batches that are not captured yet, long sequences first: what is too large for the memory is found at once,
    /// and no thread waits for a long one at the end.
    fn batches(&self) -> Vec<Vec<usize>> {
        let lengths: Vec<usize> = self.lengths.iter().map(|own| own.encoder.max(own.decoder)).collect();
        let pending = (0..lengths.len()).filter(|&at| !self.writer.is_done(at)).collect();
        let mut batches = buckets(pending, &lengths, self.capturer.batch_tokens);
        batches.reverse();
        batches
    }

    /// Batches under way at a time: a few fill the time that one leaves idle, however many threads share its products,
    /// and each takes memory. A GPU computes one after the other in any case, and a browser has no threads.
    fn threads(&self) -> usize {
        if self.capturer.model.device().is_cpu() && !cfg!(target_family = "wasm") {
            rayon::current_num_threads().min(UNDER_WAY)
        } else {
            1
        }
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
            keeps_hidden: capturer.options.hidden,
        };
        // What is changed is changed before it is kept.
        let mut changes = capturer.changes(&lengths)?;
        let output = capturer.model.forward(&inputs, &mut (&mut changes, &mut store))?;
        let keeps = |logits: &candle_core::Tensor| capturer.options.logits && logits.rank() == 3;
        if let Some(logits) = output.logits.filter(keeps) {
            let side = self.logits_side();
            store.write(Slot::Logits { side }, side, &logits.unsqueeze(1)?)?;
        }
        writer.commit(batch)?;
        let tokens = lengths.iter().map(Lengths::sum).sum();
        self.done.fetch_add(tokens, Ordering::Relaxed);
        Ok(())
    }

    /// Logits belong to the decoder where there is one.
    fn logits_side(&self) -> Side {
        match self.capturer.model.info().attention(Attention::DecoderSelf) {
            Some(_) => Side::Decoder,
            None => Side::Encoder,
        }
    }
}
