//! A run on disk, followed while it is written.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use attn_analyze::training::{LogChange, LogFiles};
use attn_core::{
    Limits, Progress,
    text::{Dataset, TextParams},
};

use super::{RunPaths, Training};
use crate::Error;

/// A training run on disk. [`update`](Self::update) takes in what is new.
#[derive(Debug, Clone)]
pub struct TrainingRun {
    paths: RunPaths,
    files: LogFiles,
    /// Names of checkpoints at the last update.
    seen: BTreeSet<String>,
    notes: BTreeSet<String>,
    examples: Option<ReadExamples>,
}

/// A file of examples as it was read, or why it was not.
#[derive(Debug, Clone)]
struct ReadExamples {
    path: PathBuf,
    written: Option<SystemTime>,
    data: Result<Arc<Dataset>, String>,
}

impl ReadExamples {
    fn read(path: PathBuf) -> Self {
        Self {
            written: written(&path),
            data: read_examples(&path).map(Arc::new).map_err(|error| error.to_string()),
            path,
        }
    }
}

/// Examples in a file: `.jsonl`, `.json`, `.csv`, `.tsv`, and `.parquet` with the feature of this name.
fn read_examples(path: &Path) -> Result<Dataset, Error> {
    // A file that is still being written ends in half a line.
    let params = TextParams {
        skip_bad_lines: true,
        ..TextParams::default()
    };
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
    if suffix.as_deref() != Some("parquet") {
        return Ok(Dataset::read(path, &params)?);
    }
    #[cfg(feature = "parquet")]
    return super::parquet::read(path, &params);
    #[cfg(not(feature = "parquet"))]
    Err(attn_core::Error::Text {
        place: path.display().to_string(),
        line: None,
        expected: "a build with the feature `parquet`, or JSON lines of it: `import pandas; \
                   pandas.read_parquet(\"examples.parquet\").to_json(\"examples.jsonl\", orient=\"records\", lines=True)`"
            .to_owned(),
        found: "a build without".to_owned(),
    }
    .into())
}

fn written(path: &PathBuf) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

impl TrainingRun {
    /// A run in these places, which nothing was read of yet.
    pub fn new(paths: RunPaths, limits: Limits) -> Self {
        Self {
            paths,
            files: LogFiles::with_limits(limits),
            seen: BTreeSet::new(),
            notes: BTreeSet::new(),
            examples: None,
        }
    }

    /// Where it lies.
    pub fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Reads what is new: `None` if nothing is.
    ///
    /// # Errors
    /// [`Error::NoRun`] if a place does not exist, or is without a log and checkpoints; those of [`LogFiles::update`].
    pub fn update(&mut self, progress: &dyn Progress) -> Result<Option<(Training, LogChange)>, Error> {
        for log in self.paths.logs()? {
            self.files.add(log);
        }
        let change = self.files.update(progress)?;
        let found = self.paths.find(self.files.log());
        let names: BTreeSet<String> = found
            .checkpoints
            .iter()
            .map(|checkpoint| checkpoint.name.clone())
            .collect();
        let mut notes: BTreeSet<String> = found.notes.iter().cloned().collect();
        notes.extend(self.files.failures().map(str::to_owned));
        let cut = self.files.cut();
        notes.extend(cut.map(|path| format!("{}: the last line is not whole yet", path.display())));
        if names.is_empty() && self.files.paths().next().is_none() {
            return Err(Error::NoRun {
                path: self.paths.run.clone().unwrap_or_default(),
                expected: "log.jsonl, dynamics_epoch_X.jsonl, epoch-N or checkpoint-N",
                found: "none of them".into(),
            });
        }
        let fresh = self.read_examples(found.examples);
        if let Some(Err(error)) = self.examples.as_ref().map(|examples| &examples.data) {
            notes.insert(error.clone());
        }
        if change.is_empty() && !fresh && names == self.seen && notes == self.notes {
            return Ok(None);
        }
        self.seen = names;
        self.notes.clone_from(&notes);
        let mut training = Training::new(self.files.log().clone(), found.checkpoints);
        training.trainer = found.trainer;
        training.notes = notes.into_iter().collect();
        if let Some(Ok(data)) = self.examples.as_ref().map(|examples| &examples.data) {
            training.join(data);
        }
        Ok(Some((training, change)))
    }

    /// Reads the examples if they are new; whether they are.
    fn read_examples(&mut self, path: Option<PathBuf>) -> bool {
        let Some(path) = path else { return false };
        let known = self.examples.as_ref();
        if known.is_some_and(|known| known.path == path && known.written == written(&path)) {
            return false;
        }
        self.examples = Some(ReadExamples::read(path));
        true
    }
}
