//! The command line.

use std::{error::Error, path::PathBuf};

use attn_sdk::{
    Progress,
    analyze::training::{LogReader, Moment},
    core::Limits,
    embedded,
    models::Checkpoint,
    render::{Theme, ViewState, state::Shared},
    study::training::{RunCheckpoint, RunPaths, Training, TrainingRun},
};
use clap::Parser;

/// The default output folder.
pub(crate) const OUT: &str = "out/finetune";

/// Shows what a training did to its examples, and which heads it needs.
#[derive(Parser, Clone)]
#[command(version)]
pub(crate) struct Options {
    /// Folder of a training run: a log, checkpoints, or both [default: the embedded fine-tuning]
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// The training log, or the folder of dynamics_epoch_X.jsonl, where it lies apart
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The folder of checkpoints (epoch-N, checkpoint-N), where they lie apart
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoints: Option<PathBuf>,
    /// Examples by id, as .jsonl, .json, .csv, .tsv or (feature `parquet`) .parquet: their texts and attributes
    #[arg(long, value_name = "FILE")]
    pub(crate) examples: Option<PathBuf>,
    /// What the training is compared with: the name of a checkpoint of the run (`epoch 2`), or the folder, GGUF file or hub name of any
    /// model [default: the first checkpoint]
    #[arg(long, value_name = "MODEL")]
    pub(crate) before: Option<String>,
    /// What is measured and compared, named as for --before [default: the last checkpoint]
    #[arg(long, value_name = "MODEL")]
    pub(crate) after: Option<String>,
    /// Output folder of the report, tables and plots [default: a window, or out/finetune without a display]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Most examples whose states are shown and on which heads are measured: a seeded sample of more [default: 1000, 400]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) most: Option<u32>,
    /// Dark theme
    #[arg(long)]
    pub(crate) dark: bool,
    /// Seed of samples and permutations: the same seed gives the same result
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Which examples are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Seed of samples, orders and layouts.
    pub(crate) seed: u64,
    /// The most that the user asked for.
    most: Option<usize>,
}

impl Sample {
    /// At most so many, unless the user said otherwise.
    pub(crate) fn most(self, default: usize) -> usize {
        self.most.unwrap_or(default)
    }
}

impl Options {
    /// Which examples are measured.
    pub(crate) fn sample(&self) -> Sample {
        Sample {
            seed: self.seed,
            most: self.most.map(|most| most as usize),
        }
    }

    /// Where the run lies; `None` for the embedded one.
    pub(crate) fn paths(&self) -> Option<RunPaths> {
        let paths = RunPaths {
            run: self.run.clone(),
            log: self.log.clone(),
            checkpoints: self.checkpoints.clone(),
            examples: self.examples.clone(),
        };
        (paths != RunPaths::default()).then_some(paths)
    }

    /// The training as it stands.
    pub(crate) fn training(&self, progress: &dyn Progress) -> Result<Training, Box<dyn Error>> {
        let Some(paths) = self.paths() else {
            return embedded_training(progress);
        };
        let mut run = TrainingRun::new(paths, Limits::default());
        let (training, _) = run.update(progress)?.ok_or("the run is empty")?;
        Ok(training)
    }

    /// The view state of plots.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            ..Shared::default()
        })
    }
}

/// The checkpoint of a run by its name, or any other model; without a name the one at a place.
pub(crate) fn named(training: &Training, name: Option<&str>, default: usize) -> Result<Checkpoint, Box<dyn Error>> {
    let all = training.checkpoints();
    let Some(name) = name else {
        return Ok(all.get(default).ok_or("the run has no checkpoint")?.open()?);
    };
    if let Some(found) = all.iter().find(|checkpoint| checkpoint.name == name) {
        return Ok(found.open()?);
    }
    Checkpoint::open(name).map_err(|error| {
        let names: Vec<&str> = all.iter().map(|checkpoint| checkpoint.name.as_str()).collect();
        format!("{error}; the checkpoints of the run are: {}", names.join(", ")).into()
    })
}

/// The fine-tuning that is part of the program.
pub(crate) fn embedded_training(progress: &dyn Progress) -> Result<Training, Box<dyn Error>> {
    let mut reader = LogReader::default();
    let mut file = reader.file("log.jsonl");
    reader.push(&mut file, embedded::SENTIMENT_LOG.as_bytes(), progress)?;
    let checkpoints = embedded::SENTIMENT_EPOCHS.iter().zip(1..);
    let checkpoints = checkpoints
        .map(|(model, epoch)| {
            Ok(RunCheckpoint::opened(
                Moment::epoch(f64::from(epoch)),
                model.checkpoint()?,
            ))
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    Ok(Training::new(reader.into_log(), checkpoints))
}

/// Whether the user stopped the work.
pub(crate) fn is_cancelled(error: &attn_sdk::Error) -> bool {
    error.is_cancelled()
}
