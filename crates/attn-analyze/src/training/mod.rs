//! What a training did to its examples: its log, the statistics of training dynamics, and what changed between two epochs.
//!
//! A [`Log`] holds the outcome of every example at every logged epoch, whatever wrote it: `docs/TRAINING_LOG.md`, the
//! `dynamics_epoch_X.jsonl` of Swayamdipta et al. (2020), or a host's own loop. A [`LogFiles`] follows a log that is still
//! being written.

mod answer;
mod distributions;
mod dynamics;
mod file;
mod filter;
mod flips;
mod line;
mod log;
mod noise;
mod outcome;
mod reader;
mod region;

pub use dynamics::{DynamicsParams, ExampleDynamics, Scale, counted_moments, dynamics};
pub use file::{LogChange, LogFiles};
pub use filter::{Comparison, Condition, Filter};
pub use flips::{Flip, FlipKind, Flips, McNemar};
pub use line::without_nan;
pub use log::{Example, Gold, Log, LogNote, LoggedCheckpoint, Moment, Task};
pub use noise::{NoisePrecision, NoiseScore, suspects};
pub use outcome::Outcome;
pub use reader::{LogReader, ReadFile};
pub use region::Region;
