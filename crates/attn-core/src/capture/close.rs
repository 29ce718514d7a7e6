//! Closing a capture: the files get their final names, and `capture.json` says what they hold.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use super::{
    file::TensorFile,
    journal::{Journal, remove, remove_tensor_files},
    reader::Capture,
    schema::{CAPTURE_JSON, CaptureJson, FileRecord, SCHEMA, version},
    writer::{CaptureWriter, Committed, Output, lock},
};
use crate::{
    Error, Progress, Result, Sequence, disk,
    files::{self, Bytes, write_atomically},
    progress::step,
};

/// Bytes that are read at a time, and reported.
pub(super) const PIECE: usize = 1 << 20;

impl CaptureWriter {
    /// Closes the capture with the sequences committed so far, and opens it for reading.
    ///
    /// A cancelled capture is thereby usable: it lists only the captured sequences.
    ///
    /// # Errors
    /// [`Error::Shape`] if nothing was committed or a table was not written, [`Error::Io`].
    pub fn finish(self) -> Result<Capture> {
        self.finish_with(&())
    }

    /// As [`finish`](Self::finish), with reports. On disk every file is brought to the disk and read once for its checksum,
    /// which takes as long as the disk needs. The stage is `close`, counted in MiB.
    ///
    /// # Errors
    /// As [`finish`](Self::finish). [`Error::Cancelled`]: nothing is lost, and the same plan goes on in this folder.
    pub fn finish_with(self, progress: &dyn Progress) -> Result<Capture> {
        let Self {
            plan,
            folder,
            outputs,
            encoder_start,
            decoder_start,
            committed,
            missing_tables,
            lock: held,
            ..
        } = self;
        let missing = missing_tables.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = missing.first() {
            let (file, tensor) = slot.place();
            return Err(Error::Shape {
                place: format!("{file}, {tensor}"),
                expected: "the table, written by `write_table`".into(),
                found: "nothing".into(),
            });
        }
        let Committed { done, journal, .. } = committed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !done.contains(&true) {
            return Err(Error::Shape {
                place: "capture".into(),
                expected: "at least one finished sequence".into(),
                found: "none".into(),
            });
        }
        let complete = !done.contains(&false);
        let keep = |starts: Vec<usize>| -> Option<Vec<usize>> {
            let kept = starts.into_iter().zip(&done).filter(|(_, done)| **done);
            (!complete).then(|| kept.map(|(start, _)| start).collect())
        };
        let (encoder_start, decoder_start) = (keep(encoder_start), keep(decoder_start));
        let sequences: Vec<Sequence> = plan
            .sequences
            .into_iter()
            .zip(&done)
            .filter(|(_, done)| **done)
            .map(|(sequence, _)| sequence)
            .collect();
        let mut description = CaptureJson {
            schema: SCHEMA.into(),
            version: version(&plan.model, plan.options, &sequences),
            model: plan.model,
            options: Some(plan.options),
            fingerprint: plan.fingerprint,
            sequences,
            encoder_start,
            decoder_start,
            files: BTreeMap::new(),
        };
        let (Some(folder), Some(journal)) = (folder, journal) else {
            let mut files = BTreeMap::new();
            for (name, output) in outputs {
                if let Output::Memory(words, length) = output.into_inner().unwrap_or_else(PoisonError::into_inner) {
                    let file = TensorFile::new(PathBuf::from(&name), Bytes::owned(words, length))?;
                    files.insert(name, file);
                }
            }
            return Capture::assemble(description, None, files);
        };
        let mut open = Vec::new();
        for (name, output) in &outputs {
            if let Output::Disk(file, path) = &*lock(output) {
                let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
                open.push((name.clone(), path.clone(), length));
            }
        }
        let total = open.iter().map(|(_, _, length)| length).sum();
        let mut before = 0;
        for (name, path, length) in &open {
            if let Some(Output::Disk(file, _)) = outputs.get(name).map(|output| lock(output)).as_deref() {
                disk::sync(file).map_err(|e| Error::io(path, e))?;
            }
            let report = |done: u64| report(progress, "close", before + done, total);
            description.files.insert(name.clone(), checksum(path, &report)?);
            before += length;
        }
        // Not every system renames open files.
        drop(outputs);
        rename_all(&folder, &open, &description, journal)?;
        let capture = Capture::open(folder);
        drop(held);
        capture
    }
}

/// Gives every file its final name. From the first change to the last, the journal says what is under way.
fn rename_all(
    folder: &Path,
    files: &[(String, PathBuf, u64)],
    description: &CaptureJson,
    mut journal: Journal,
) -> Result<()> {
    let sync = || disk::sync_folder(folder).map_err(|e| Error::io(folder, e));
    journal.closing()?;
    // The new capture is whole, and an old one in this folder is replaced. Its description goes first, so that the folder
    // is never a mixture that claims to be a capture.
    let capture_json = folder.join(CAPTURE_JSON);
    remove(&capture_json)?;
    let names: Vec<&str> = files.iter().map(|(name, ..)| name.as_str()).collect();
    remove_tensor_files(folder, "", &names)?;
    for (name, path, _) in files {
        disk::rename(path, &folder.join(name)).map_err(|e| Error::io(path, e))?;
    }
    sync()?;
    // Our own plain types always serialize.
    write_atomically(&capture_json, &serde_json::to_vec(description).unwrap_or_default())?;
    sync()?;
    journal.remove()
}

/// Reports bytes as MiB.
pub(super) fn report(progress: &dyn Progress, stage: &str, done: u64, total: u64) -> Result<()> {
    let mib = |bytes: u64| usize::try_from(bytes.div_ceil(1 << 20)).unwrap_or(usize::MAX);
    step(progress, stage, mib(done), mib(total))
}

/// Size and CRC-32 of a file, read in pieces; `read` hears how many bytes were read and may cancel.
pub(super) fn checksum(path: &Path, read: &dyn Fn(u64) -> Result<()>) -> Result<FileRecord> {
    let mut file = files::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        read(bytes)?;
        match file.read(&mut buffer).map_err(|e| Error::io(path, e))? {
            0 => {
                return Ok(FileRecord {
                    bytes,
                    crc32: hasher.finalize(),
                });
            }
            n => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}
