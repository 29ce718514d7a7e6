//! Log files that may still be written: what is new is read, what is whole is taken.

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use attn_core::{Error as CoreError, Limits, Progress, files};

use super::{
    log::{Log, Moment},
    reader::{LogReader, ReadFile},
};
use crate::Result;

/// Bytes read at once.
const CHUNK: usize = 64 << 20;

/// Bytes at the start of a file by which it is known again.
const HEAD: usize = 256;

/// One or more files of a log, followed while a training writes them.
///
/// ```no_run
/// use attn_analyze::training::LogFiles;
///
/// let mut files = LogFiles::default();
/// files.add("run/log.jsonl");
/// files.update(&())?;
/// // Later:
/// let change = files.update(&())?;
/// println!("{} new predictions", change.predictions);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogFiles {
    reader: LogReader,
    files: Vec<Followed>,
    limits: Limits,
}

#[derive(Debug, Clone)]
struct Followed {
    path: PathBuf,
    file: ReadFile,
    offset: u64,
    head: Vec<u8>,
    /// The last failure to read, said once.
    failure: Option<String>,
    /// A cancelled reading took a part of a chunk.
    broken: bool,
}

/// What an update brought.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogChange {
    /// Examples that are new.
    pub examples: usize,
    /// Predictions that are new or replace others.
    pub predictions: usize,
    /// Moments that are new.
    pub moments: Vec<Moment>,
    /// Whether a file was written anew, so that everything was read again.
    pub restarted: bool,
}

impl LogChange {
    /// Whether nothing is new.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LogFiles {
    /// No files yet; the log takes no more memory than this.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            reader: LogReader::with_limits(limits),
            limits,
            ..Self::default()
        }
    }

    /// Adds a file, which the next [`update`](Self::update) reads. A file that is there already is not added again.
    pub fn add(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if self.files.iter().any(|file| file.path == path) {
            return;
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        self.files.push(Followed {
            path: path.to_owned(),
            file: self.reader.file(&*name),
            offset: 0,
            head: Vec::new(),
            failure: None,
            broken: false,
        });
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The log so far.
    pub fn log(&self) -> &Log {
        self.reader.log()
    }

    /// The log.
    pub fn into_log(self) -> Log {
        self.reader.into_log()
    }

    /// Files that cannot be read at present, and why.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|file| file.failure.as_deref())
    }

    /// Files whose last line is not whole yet.
    pub fn cut(&self) -> impl Iterator<Item = &Path> {
        let cut = self.files.iter().filter(|file| file.file.is_cut());
        cut.map(|file| file.path.as_path())
    }

    /// Reads what the files have that was not read before. A file that shrank or has another start was written anew: then all files are
    /// read again. A file that cannot be read is one of the [failures](Self::failures) until it can.
    ///
    /// # Errors
    /// Those of [`LogReader::push`].
    pub fn update(&mut self, progress: &dyn Progress) -> Result<LogChange> {
        let mut change = LogChange::default();
        if self.files.iter().any(Followed::is_other) {
            self.reader = LogReader::with_limits(self.limits);
            for file in &mut self.files {
                file.file = self.reader.file(file.file.place());
                file.offset = 0;
                file.head.clear();
                file.broken = false;
            }
            change.restarted = true;
        }
        let log = self.reader.log();
        let (examples, predictions) = (log.examples().len(), log.predictions() + log.replaced());
        let before: Vec<Moment> = log.moments().to_vec();
        for file in &mut self.files {
            file.update(&mut self.reader, progress)?;
        }
        let log = self.reader.log();
        change.examples = log.examples().len() - examples;
        change.predictions = log.predictions() + log.replaced() - predictions;
        let new = log
            .moments()
            .iter()
            .filter(|moment| !before.iter().any(|known| known.key() == moment.key()));
        change.moments = new.copied().collect();
        Ok(change)
    }
}

impl Followed {
    /// Whether the file is another one than was read so far.
    fn is_other(&self) -> bool {
        if self.broken {
            return true;
        }
        if self.offset == 0 {
            return false;
        }
        let Ok(mut file) = fs::File::open(&self.path) else {
            return false;
        };
        let Ok(metadata) = file.metadata() else { return false };
        let mut head = vec![0; self.head.len()];
        metadata.len() < self.offset || (file.read_exact(&mut head).is_ok() && head != self.head)
    }

    fn update(&mut self, reader: &mut LogReader, progress: &dyn Progress) -> Result<()> {
        loop {
            match self.chunk() {
                Ok(bytes) => {
                    self.failure = None;
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    // Known before the bytes are taken: a cancelled reading does not take them twice.
                    self.offset += bytes.len() as u64;
                    if self.head.len() < HEAD {
                        let more = bytes.len().min(HEAD - self.head.len());
                        self.head.extend_from_slice(&bytes[..more]);
                    }
                    reader
                        .push(&mut self.file, &bytes, progress)
                        .inspect_err(|error| self.broken = error.is_cancelled())?;
                }
                Err(error) => {
                    self.failure = Some(error.to_string());
                    return Ok(());
                }
            }
        }
    }

    fn chunk(&self) -> attn_core::Result<Vec<u8>> {
        let wrap = |error| CoreError::io(&self.path, error);
        let mut file = files::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset)).map_err(wrap)?;
        let mut bytes = Vec::new();
        file.take(CHUNK as u64).read_to_end(&mut bytes).map_err(wrap)?;
        Ok(bytes)
    }
}
