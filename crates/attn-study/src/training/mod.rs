//! A training run: what it did to its examples, from its log and checkpoints.
//!
//! A [`TrainingRun`] is where a run lies; it follows one that is still being written. A [`Training`] is a run at one time, with the
//! dynamics of its examples; it gives plots, tables and the report.

mod folder;
mod plots;
mod run;
mod trainer;

use std::sync::Arc;

use attn_analyze::training::{DynamicsParams, ExampleDynamics, Log, dynamics};

pub use folder::{RunCheckpoint, RunPaths};
pub use run::TrainingRun;
pub use trainer::{TrainerEntry, TrainerState};

/// A training run as it stands, with the dynamics of its examples.
#[derive(Debug, Clone)]
pub struct Training {
    log: Arc<Log>,
    checkpoints: Vec<RunCheckpoint>,
    trainer: Option<TrainerState>,
    notes: Vec<String>,
    params: DynamicsParams,
    dynamics: Arc<[ExampleDynamics]>,
}

impl Training {
    /// A training from its log and checkpoints.
    pub fn new(log: Log, checkpoints: Vec<RunCheckpoint>) -> Self {
        let params = DynamicsParams::default();
        Self {
            dynamics: dynamics(&log, &params).into(),
            log: Arc::new(log),
            checkpoints,
            trainer: None,
            notes: Vec::new(),
            params,
        }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The checkpoints, in the order of training.
    pub fn checkpoints(&self) -> &[RunCheckpoint] {
        &self.checkpoints
    }

    /// The state of the trainer, if it left one.
    pub fn trainer(&self) -> Option<&TrainerState> {
        self.trainer.as_ref()
    }

    /// The dynamics of each example.
    pub fn dynamics(&self) -> &[ExampleDynamics] {
        &self.dynamics
    }

    /// What the dynamics count.
    pub fn params(&self) -> &DynamicsParams {
        &self.params
    }

    /// Counts other moments from now on.
    pub fn set_params(&mut self, params: DynamicsParams) {
        self.dynamics = dynamics(&self.log, &params).into();
        self.params = params;
    }

    /// What could not be read, in words.
    pub fn notes(&self) -> Vec<String> {
        let log = &self.log;
        let mut notes = self.notes.clone();
        notes.extend(log.notes().iter().map(ToString::to_string));
        if log.more_notes() > 0 {
            notes.push(format!("{} more lines of the log could not be read", log.more_notes()));
        }
        if log.replaced() > 0 {
            notes.push(format!(
                "{} predictions came twice for an epoch; the last one counts",
                log.replaced()
            ));
        }
        notes
    }
}
