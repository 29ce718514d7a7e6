//! What a training run left on disk: logs, checkpoints, the state of a trainer, examples.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attn_analyze::training::{Log, Moment};
use attn_models::Checkpoint;
use serde_json::Value;

use super::{
    trainer::TrainerState,
    whole::{Lacking, is_whole},
};
use crate::Error;

/// Where a run lies. What is not given is looked for in the run's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunPaths {
    /// The folder of the run.
    pub run: Option<PathBuf>,
    /// Its log: a file, or a folder of `dynamics_epoch_X.jsonl`.
    pub log: Option<PathBuf>,
    /// The folder of its checkpoints.
    pub checkpoints: Option<PathBuf>,
    /// Examples by id: `.jsonl`, `.json`, `.csv`, `.tsv`, or `.parquet` with the feature of this name.
    pub examples: Option<PathBuf>,
}

impl RunPaths {
    /// A run whose parts lie in one folder.
    pub fn folder(run: impl Into<PathBuf>) -> Self {
        Self {
            run: Some(run.into()),
            ..Self::default()
        }
    }
}

/// A checkpoint of a run.
#[derive(Debug, Clone)]
pub struct RunCheckpoint {
    /// Its name: `epoch 2`, `step 500`.
    pub name: String,
    /// When it was written.
    pub moment: Moment,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Opened(Box<Checkpoint>),
}

impl RunCheckpoint {
    /// A checkpoint that is open already, such as an embedded one.
    pub fn opened(moment: Moment, checkpoint: Checkpoint) -> Self {
        Self {
            name: moment.to_string(),
            moment,
            place: Place::Opened(Box::new(checkpoint)),
        }
    }

    /// A checkpoint in a folder.
    pub fn in_folder(moment: Moment, folder: impl Into<PathBuf>) -> Self {
        Self {
            name: moment.to_string(),
            moment,
            place: Place::Folder(folder.into()),
        }
    }

    /// Opens it, with this checkpoint's name.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`]: a folder that is half written, or gone.
    pub fn open(&self) -> Result<Checkpoint, Error> {
        let checkpoint = match &self.place {
            Place::Folder(folder) => Checkpoint::open(folder)?,
            Place::Opened(checkpoint) => (**checkpoint).clone(),
        };
        Ok(checkpoint.named(&self.name))
    }

    /// Its folder, if it lies in one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Opened(_) => None,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) checkpoints: Vec<RunCheckpoint>,
    pub(super) trainer: Option<TrainerState>,
    pub(super) examples: Option<PathBuf>,
    pub(super) notes: Vec<String>,
}

/// Names of logs in a run's folder, best first.
const LOGS: [&str; 3] = ["log.jsonl", "training_log.jsonl", "attn_log.jsonl"];

/// Names of files of examples.
const EXAMPLES: [&str; 6] = [
    "examples.jsonl",
    "examples.json",
    "examples.csv",
    "examples.tsv",
    "examples.parquet",
    "train.jsonl",
];

impl RunPaths {
    /// The log files there are now.
    ///
    /// # Errors
    /// [`Error::NoRun`] if a folder or file that was named does not exist.
    pub(super) fn logs(&self) -> Result<Vec<PathBuf>, Error> {
        match (&self.log, &self.run) {
            (Some(log), _) => {
                if log.is_dir() {
                    let logs = logs_in(log);
                    if logs.is_empty() {
                        return Err(missing(log, "a log: log.jsonl or dynamics_epoch_X.jsonl"));
                    }
                    return Ok(logs);
                }
                if !log.exists() {
                    return Err(missing(log, "the log of a training"));
                }
                Ok(vec![log.clone()])
            }
            (None, Some(run)) => {
                if !run.exists() {
                    return Err(missing(run, "the folder of a training run"));
                }
                Ok(logs_in(run))
            }
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Everything but the log. What is half written is a note.
    pub(super) fn find(&self, log: &Log) -> Found {
        let mut found = Found {
            examples: self.examples.clone().or_else(|| {
                let run = self.run.as_ref()?;
                EXAMPLES
                    .map(|name| run.join(name))
                    .into_iter()
                    .find(|path| path.is_file())
            }),
            ..Found::default()
        };
        let beside = self.log.as_ref().map(|log| match log.parent() {
            _ if log.is_dir() => log.clone(),
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        });
        let named = beside.clone();
        let Some(folder) = self.checkpoints.clone().or_else(|| self.run.clone()).or(beside) else {
            return found;
        };
        found.named(log, named.as_deref(), &folder);
        found.in_folder(&folder);
        found.final_model(log, &folder);
        found.checkpoints.sort_by(|a, b| {
            let key = |checkpoint: &RunCheckpoint| (checkpoint.moment.place(), checkpoint.moment.step);
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        });
        found
    }
}

impl Found {
    /// Checkpoints that the log names, by paths that start beside it, or in the folder of checkpoints.
    fn named(&mut self, log: &Log, beside: Option<&Path>, folder: &Path) {
        for named in log.checkpoints() {
            let own = beside
                .map(|beside| beside.join(&named.path))
                .filter(|path| path.is_dir());
            self.add(named.moment, own.unwrap_or_else(|| folder.join(&named.path)));
        }
    }

    /// `epoch-N` and `checkpoint-N`.
    fn in_folder(&mut self, folder: &Path) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.notes.push(format!("{}: {error}", folder.display()));
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let mut latest = None;
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if !path.is_dir() {
                continue;
            }
            if let Some(epoch) = name.strip_prefix("epoch-").and_then(|number| number.parse().ok()) {
                self.add(Moment::epoch(epoch), path);
            } else if let Some(step) = name.strip_prefix("checkpoint-").and_then(|number| number.parse().ok()) {
                let state = TrainerState::read(&path.join("trainer_state.json"));
                let epoch = match state {
                    Ok(Some(state)) => {
                        let epoch = state.epoch;
                        if latest.as_ref().is_none_or(|(known, _)| step > *known) {
                            latest = Some((step, state));
                        }
                        epoch
                    }
                    Ok(None) => None,
                    Err(error) => {
                        self.notes.push(error.to_string());
                        None
                    }
                };
                let step = Some(step);
                self.add(Moment { epoch, step }, path);
            }
        }
        match TrainerState::read(&folder.join("trainer_state.json")) {
            Ok(state) => self.trainer = state.or(latest.map(|(_, state)| state)),
            Err(error) => {
                self.notes.push(error.to_string());
                self.trainer = latest.map(|(_, state)| state);
            }
        }
    }

    /// The model in the run's folder itself: its last state, unless a checkpoint of the last moment is there.
    fn final_model(&mut self, log: &Log, folder: &Path) {
        let last = log.moments().last().copied();
        if !folder.join("config.json").is_file() || is_whole(folder).is_err() {
            return;
        }
        let known = |moment: &Moment| {
            self.checkpoints
                .iter()
                .any(|checkpoint| checkpoint.moment.matches(moment))
        };
        match last {
            Some(moment) if !known(&moment) => self.add(moment, folder.to_owned()),
            Some(_) => {}
            None => {
                let mut checkpoint = RunCheckpoint::in_folder(Moment::epoch(f64::MAX), folder);
                checkpoint.name = "final".into();
                self.checkpoints.push(checkpoint);
            }
        }
    }

    fn add(&mut self, moment: Moment, folder: PathBuf) {
        if self
            .checkpoints
            .iter()
            .any(|known| known.folder() == Some(&folder) || known.moment.matches(&moment))
        {
            return;
        }
        match is_whole(&folder) {
            Ok(()) => self.checkpoints.push(RunCheckpoint::in_folder(moment, folder)),
            Err(Lacking { expected, found }) => {
                let folder = folder.display();
                self.notes.push(format!(
                    "{folder}: expected {expected}, found {found}; is it still being written?"
                ));
            }
        }
    }
}

fn logs_in(folder: &Path) -> Vec<PathBuf> {
    if let Some(log) = LOGS
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
    {
        return vec![log];
    }
    for place in [folder.to_owned(), folder.join("training_dynamics")] {
        let Ok(entries) = fs::read_dir(place) else { continue };
        let mut logs: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?;
                let number = name.strip_prefix("dynamics_epoch_")?.strip_suffix(".jsonl")?;
                Some((number.parse().ok()?, path))
            })
            .collect();
        logs.sort();
        if !logs.is_empty() {
            return logs.into_iter().map(|(_, path)| path).collect();
        }
    }
    Vec::new()
}

fn missing(path: &Path, expected: &'static str) -> Error {
    Error::NoRun {
        path: path.to_owned(),
        expected,
        found: match path.exists() {
            true => "none".into(),
            false => "nothing".into(),
        },
    }
}

/// A number of a JSON object.
pub(super) fn number(object: &Value, name: &str) -> Option<f64> {
    object.get(name).and_then(Value::as_f64)
}
