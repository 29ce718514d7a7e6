//! A folder that one process writes at a time.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{not_other_than_file, process};
use crate::{Error, Result, disk};

/// The file that is locked. It is there only while the folder is written.
const NAME: &str = "writing.lock";
/// How often the lock is tried anew when its file was removed meanwhile, and the file is read until its holder has signed it.
const TRIES: usize = 100;

/// A lock on a folder, from [`FolderLock::take`] until it is dropped or its process ends.
///
/// ```
/// use attn_core::{Error, files::FolderLock};
///
/// let folder = tempfile::tempdir()?;
/// let lock = FolderLock::take(folder.path())?;
/// assert!(matches!(FolderLock::take(folder.path()), Err(Error::InUse { process: Some(_), .. })));
/// drop(lock);
/// assert!(FolderLock::take(folder.path()).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the folder is locked until this is dropped"]
pub struct FolderLock {
    path: PathBuf,
    /// Closing it releases the lock.
    _file: File,
}

/// The content of the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    process: u32,
    since: String,
    /// Tells two locks of one process apart.
    count: u64,
}

impl FolderLock {
    /// Locks a folder by the file `writing.lock` in it, which names the process; `None` where files cannot be locked.
    ///
    /// # Errors
    /// [`Error::InUse`] if another writer has it, in this process or another; [`Error::NotAFile`] if the name of the lock is
    /// taken by something else; [`Error::Io`].
    pub fn take(folder: &Path) -> Result<Option<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // No process, no clock and no files.
        if cfg!(target_family = "wasm") {
            return Ok(None);
        }
        let path = folder.join(NAME);
        let io = |error| Error::io(&path, error);
        for _ in 0..TRIES {
            not_other_than_file(&path)?;
            let mut file = disk::open(&path).map_err(io)?;
            match try_lock(&file).map_err(io)? {
                Some(true) => {}
                Some(false) => return Err(in_use(folder, &path)),
                None => {
                    let _ = fs::remove_file(&path);
                    return Ok(None);
                }
            }
            let holder = Holder {
                process: process(),
                since: utc(SystemTime::now()),
                count: NEXT.fetch_add(1, Ordering::Relaxed),
            };
            let signature = serde_json::to_vec(&holder).unwrap_or_default();
            let signed = disk::set_len(&file, 0).and_then(|()| disk::write(&mut file, &signature));
            signed.map_err(io)?;
            // Its last holder may have removed the file after it was opened here: then another can lock a new one.
            match fs::read(&path) {
                Ok(found) if found != signature => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Some systems do not let a locked file be read.
                Ok(_) | Err(_) => return Ok(Some(Self { path, _file: file })),
            }
        }
        Err(in_use(folder, &path))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Still locked: nobody else can hold the file under this name.
        let _ = disk::remove(&self.path);
    }
}

/// Whether a file could be locked: `None` where files cannot be locked at all.
fn try_lock(file: &File) -> io::Result<Option<bool>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(true)),
        Err(TryLockError::WouldBlock) => Ok(Some(false)),
        Err(TryLockError::Error(error)) if is_without_locks(&error) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether an error says that files cannot be locked: a network file system may have no service for it (`ENOLCK`).
fn is_without_locks(error: &io::Error) -> bool {
    let no_service = if cfg!(any(target_os = "linux", target_os = "android")) {
        37
    } else {
        77
    };
    error.kind() == io::ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == Some(no_service))
}

fn in_use(folder: &Path, path: &Path) -> Error {
    let mut holder = None;
    for _ in 0..TRIES {
        let read = fs::read(path).ok();
        holder = read.and_then(|bytes| serde_json::from_slice::<Holder>(&bytes).ok());
        if holder.is_some() {
            break;
        }
        // It has locked the file and not yet signed it.
        std::thread::sleep(Duration::from_millis(1));
    }
    Error::InUse {
        path: folder.to_owned(),
        process: holder.as_ref().map(|holder| holder.process),
        since: holder.map(|holder| holder.since),
    }
}

/// `2026-11-30 01:02:03 UTC`. Days to dates after Hinnant, <https://howardhinnant.github.io/date_algorithms.html>.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!(
        "{:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        era * 400 + year + later,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_signs_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap().unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(&format!("process {} is writing here since 20", std::process::id()))
                && message.contains(" UTC"),
            "{message}"
        );
        assert!(matches!(error, Error::InUse { process: Some(_), .. }));
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // A killed process leaves its file, unlocked.
        fs::write(folder.path().join(NAME), "{\"process\":1").unwrap();
        drop(FolderLock::take(folder.path()).unwrap().unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn what_the_name_of_the_lock_leads_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(NAME)).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("expected a regular file, found a symbolic link")
        );
        assert_eq!(fs::read(&target).unwrap(), b"kept");
    }

    #[test]
    fn a_file_system_without_a_lock_service_has_no_locks() {
        let number = if cfg!(target_os = "linux") { 37 } else { 77 };
        assert_eq!(is_without_locks(&io::Error::from_raw_os_error(number)), cfg!(unix));
        assert!(is_without_locks(&io::ErrorKind::Unsupported.into()));
        assert!(!is_without_locks(&io::ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn many_takers_never_hold_it_together() {
        let folder = tempfile::tempdir().unwrap();
        let holders = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut taken = 0;
                    while taken < 50 {
                        if let Ok(Some(lock)) = FolderLock::take(folder.path()) {
                            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                            std::thread::yield_now();
                            holders.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                            taken += 1;
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn times_are_dates() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        // Of `date -u -d @...`.
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_796_000_523), "2026-11-30 01:02:03 UTC");
    }
}
