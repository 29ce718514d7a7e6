//! The journal of a capture that is being written: which plan it is of, and which sequences are complete.
//!
//! A line that a kill has cut ends the journal: what it would list is captured again. Each sequence has the checksum of its
//! values, because lines and values reach the disk in any order.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{schema::CAPTURE_JSON, slot::is_tensor_file, writer::partial};
use crate::{
    Error, Result, disk,
    files::{self, write_atomically},
};

/// Its name in the folder.
pub(super) const JOURNAL: &str = "journal.jsonl";

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    plan: u32,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Done {
        done: Vec<usize>,
        crc32: Vec<u32>,
    },
    /// Written before the first file gets its final name.
    Closing {
        closing: bool,
    },
}

/// What an interrupted capture has left.
#[derive(Debug)]
pub(super) struct Found {
    /// Sequences, with the checksums of their values.
    pub(super) done: Vec<(usize, u32)>,
    /// Whether files may have got their final names already.
    pub(super) closing: bool,
}

/// The journal, open for the next line.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Where the next line begins.
    length: u64,
}

/// Reads the journal in a folder; `None` if there is none.
///
/// # Errors
/// [`Error::OtherCapture`] if it is of another plan, [`Error::NotAFile`], [`Error::Io`].
pub(super) fn read(folder: &Path, plan: u32) -> Result<Option<Found>> {
    let path = folder.join(JOURNAL);
    let bytes = match files::read(&path, u64::MAX) {
        Ok(bytes) => bytes,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let head = lines.next().and_then(|line| serde_json::from_slice::<Head>(line).ok());
    let other = |difference: &str| Error::OtherCapture {
        path: folder.to_owned(),
        difference: difference.into(),
    };
    match head {
        None => return Err(other("its journal is unreadable")),
        Some(head) if head.plan != plan => return Err(other("its plan differs")),
        Some(_) => {}
    }
    let mut found = Found {
        done: Vec::new(),
        closing: false,
    };
    for line in lines.map_while(|line| serde_json::from_slice::<Line>(line).ok()) {
        match line {
            Line::Done { done, crc32 } => found.done.extend(done.into_iter().zip(crc32)),
            Line::Closing { closing } => found.closing = closing,
        }
    }
    // Of a sequence that was committed twice, the later one counts.
    found.done.reverse();
    found.done.sort_by_key(|&(sequence, _)| sequence);
    found.done.dedup_by_key(|&mut (sequence, _)| sequence);
    Ok(Some(found))
}

/// Takes back the final names that an interrupted closing has given, so that writing can go on.
pub(super) fn reopen(folder: &Path, names: &[&str]) -> Result<()> {
    let renamed = names.iter().filter(|name| !folder.join(partial(name)).exists());
    let renamed: Vec<_> = renamed
        .map(|name| folder.join(name))
        .filter(|path| path.exists())
        .collect();
    if !renamed.is_empty() {
        // It may be that of the new capture already; without its files it would claim too much.
        remove(&folder.join(CAPTURE_JSON))?;
    }
    for path in renamed {
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(partial(""));
        disk::rename(&path, unfinished.as_ref()).map_err(|e| Error::io(&path, e))?;
    }
    Ok(())
}

/// Removes the tensor files of a folder whose names end with `ending`, but those to `keep`.
pub(super) fn remove_tensor_files(folder: &Path, ending: &str, keep: &[&str]) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(|name| name.strip_suffix(ending));
        if name.is_some_and(|name| is_tensor_file(name) && !keep.contains(&name)) {
            remove(&path)?;
        }
    }
    Ok(())
}

pub(super) fn remove(path: &Path) -> Result<()> {
    disk::remove(path).map_err(|e| Error::io(path, e))
}

impl Journal {
    /// Begins a journal in which these sequences are complete.
    pub(super) fn create(folder: &Path, plan: u32, done: &[(usize, u32)]) -> Result<Self> {
        let path = folder.join(JOURNAL);
        let mut text = line(&Head { plan });
        if !done.is_empty() {
            text.extend(line(&done_line(done)));
        }
        write_atomically(&path, &text)?;
        let file = File::options().write(true).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        let length = text.len() as u64;
        Ok(Self { file, path, length })
    }

    /// Adds complete sequences with the checksums of their values.
    pub(super) fn done(&mut self, sequences: &[(usize, u32)]) -> Result<()> {
        if sequences.is_empty() {
            return Ok(());
        }
        self.write(&done_line(sequences))
    }

    /// Says that files get their final names from now on. All values are on the disk by now; so must this be.
    pub(super) fn closing(&mut self) -> Result<()> {
        self.write(&Line::Closing { closing: true })?;
        disk::sync(&self.file).map_err(|e| Error::io(&self.path, e))
    }

    /// Removes the journal of a finished capture.
    pub(super) fn remove(self) -> Result<()> {
        remove(&self.path)
    }

    /// Adds a line. One that a full disk cuts is taken back: it would hide those after it.
    fn write(&mut self, content: &Line) -> Result<()> {
        let line = line(content);
        let start = self.file.seek(SeekFrom::Start(self.length));
        if let Err(error) = start.and_then(|_| disk::write(&mut self.file, &line)) {
            // If this fails too, the next line overwrites what is left.
            let _ = disk::set_len(&self.file, self.length);
            return Err(Error::io(&self.path, error));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

fn done_line(sequences: &[(usize, u32)]) -> Line {
    let (done, crc32) = sequences.iter().copied().unzip();
    Line::Done { done, crc32 }
}

/// Our own plain types always serialize.
fn line(content: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(content).unwrap_or_default();
    line.push(b'\n');
    line
}
