//! A training run: what it did to its examples, from its log and checkpoints.
//!
//! A [`TrainingRun`] is where a run lies; it follows one that is still being written. A [`Training`] is a run at one time, with the
//! dynamics of its examples; it gives plots, tables and the report.

mod columns;
mod flips;
mod folder;
mod join;
mod noise;
#[cfg(feature = "parquet")]
mod parquet;
mod plots;
mod report;
mod run;
mod states;
mod trainer;
mod whole;

use std::sync::{Arc, OnceLock};

use attn_analyze::training::{DynamicsParams, ExampleDynamics, Log, Moment, Outcome, Scale, counted_moments, dynamics};
use attn_core::{table::Table, text::Dataset};

pub use folder::{RunCheckpoint, RunPaths};
pub use noise::{NoiseList, Suspect};
pub use plots::MapParams;
pub use report::{FlipReport, NoiseReport, RegionReport, TrainingReport};
pub use run::TrainingRun;
pub use states::{ExampleStates, StateMaps, StatePooling, StatesParams};
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
    /// The scale of a regression, made when it is first asked for.
    scale: OnceLock<Option<Scale>>,
    /// The examples as a table, made when it is first asked for.
    columns: OnceLock<Arc<Table>>,
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
            scale: OnceLock::new(),
            columns: OnceLock::new(),
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
        (self.scale, self.columns) = (OnceLock::new(), OnceLock::new());
    }

    /// Gives examples their texts and attributes from a file, joined by its column `id` or `guid`. What does not fit becomes a note.
    pub fn join(&mut self, data: &Dataset) {
        let notes = join::join(Arc::make_mut(&mut self.log), data);
        self.notes.extend(notes);
        self.columns = OnceLock::new();
    }

    /// The moments that the dynamics count.
    pub fn counted(&self) -> Vec<Moment> {
        let counts = counted_moments(&self.log, &self.params);
        let moments = self.log.moments().iter().zip(counts);
        moments
            .filter(|(_, counts)| *counts)
            .map(|(moment, _)| *moment)
            .collect()
    }

    /// Probability of the gold answer and whether it is right; of a regression by the spread of its gold numbers.
    pub fn judge(&self, outcome: &Outcome) -> (f32, Option<bool>) {
        let scale = self.scale.get_or_init(|| Scale::of(&self.log, self.params.tolerance));
        Scale::judge(*scale, outcome)
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
