//! Finished heads on disk, named after all that they depend on.
//!
//! A file per head: whatever changes (a vector, a parameter, the version), the name changes, so that nothing stale is
//! ever read and nothing need be told to be forgotten. Files are written whole or not at all, and checked when read: a
//! damaged one counts as missing and is made again.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use attn_core::{
    Capture,
    files::{self, write_atomically},
};

use super::{
    HeadProjection,
    file::{self, Expected},
};
use crate::Result;

/// How a file's name ends.
const ENDING: &str = "safetensors";
/// Folder beside a capture's files.
const FOLDER: &str = "projections";
/// Default bound: some 2,000 heads of 20,000 points.
const BYTES: u64 = 1 << 30;

/// A folder of finished heads, bounded in size: the heads written longest ago go first.
///
/// Any number of threads and programs may share a folder.
#[derive(Debug, Clone)]
pub struct AtlasCache {
    folder: PathBuf,
    most_bytes: u64,
    /// Shared by clones.
    ignored: Arc<Mutex<Vec<PathBuf>>>,
}

/// A file of the cache.
struct Entry {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

impl AtlasCache {
    /// A cache in a folder, which is made if it is not there. Bounded to 1 GiB, see
    /// [`with_most_bytes`](Self::with_most_bytes).
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) if the folder cannot be made.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        fs::create_dir_all(&folder).map_err(|e| attn_core::Error::io(&folder, e))?;
        Ok(Self {
            folder,
            most_bytes: BYTES,
            ignored: Arc::default(),
        })
    }

    /// A cache in the folder `projections` of a capture; `None` for a capture in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn beside(capture: &Capture) -> Result<Option<Self>> {
        capture
            .folder()
            .map(|folder| Self::open(folder.join(FOLDER)))
            .transpose()
    }

    /// The same with another bound, in bytes. The newest head is kept even if it alone is larger.
    pub fn with_most_bytes(self, most_bytes: u64) -> Self {
        Self { most_bytes, ..self }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes that its heads take.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) if the folder cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.entries()?.iter().map(|entry| entry.bytes).sum())
    }

    /// Removes the heads written longest ago until the others take at most `most_bytes`; with 0, all. Returns how many
    /// went.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) if the folder cannot be read or a file not removed.
    pub fn prune(&self, most_bytes: u64) -> Result<usize> {
        self.remove_oldest(most_bytes, 0)
    }

    /// Files that are damaged, or hold something else than their names say. They count as missing: their heads were made
    /// again.
    pub fn ignored(&self) -> Vec<PathBuf> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The head of this name, if it is there, whole and what is expected.
    pub(super) fn load(&self, name: &str, expected: &Expected) -> Option<HeadProjection> {
        let path = self.path(name);
        let found = match files::read(&path, self.most_bytes.max(BYTES)) {
            Err(attn_core::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return None,
            Err(_) => None,
            Ok(bytes) => file::read(&bytes, name, expected),
        };
        if found.is_none() {
            self.ignored.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        }
        found
    }

    /// Keeps a head and brings the folder back into its bound.
    pub(super) fn store(&self, name: &str, head: &HeadProjection) -> Result<()> {
        let path = self.path(name);
        write_atomically(&path, &file::write(head, name)?)?;
        self.remove_oldest(self.most_bytes, 1)?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(ENDING)
    }

    /// Oldest first, ties by name.
    fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|e| attn_core::Error::io(&self.folder, e))? {
            let entry = entry.map_err(|e| attn_core::Error::io(&self.folder, e))?;
            let path = entry.path();
            let ours = path.extension().is_some_and(|ending| ending == ENDING);
            // Another program may remove a file at any time.
            if let (true, Ok(data)) = (ours, entry.metadata()) {
                entries.push(Entry {
                    path,
                    bytes: data.len(),
                    written: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        entries.sort_by(|a, b| a.written.cmp(&b.written).then_with(|| a.path.cmp(&b.path)));
        Ok(entries)
    }

    /// Removes files, oldest first, until `most_bytes` or `least` files are left.
    fn remove_oldest(&self, most_bytes: u64, least: usize) -> Result<usize> {
        let entries = self.entries()?;
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let mut removed = 0;
        for entry in &entries[..entries.len().saturating_sub(least)] {
            if total <= most_bytes {
                break;
            }
            match fs::remove_file(&entry.path) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(attn_core::Error::io(&entry.path, error).into()),
            }
            total -= entry.bytes;
        }
        Ok(removed)
    }
}
