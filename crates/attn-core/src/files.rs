//! Files that appear whole or not at all, bounded reading, and folders that one process writes at a time.

#[cfg(feature = "store")]
mod bytes;
#[cfg(feature = "store")]
mod lock;
mod read;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "store")]
pub use bytes::Bytes;
#[cfg(feature = "store")]
pub use lock::FolderLock;
#[cfg(feature = "store")]
pub(crate) use read::not_other_than_file;
pub use read::{kind, open, read, read_from};

use crate::{Error, Result, disk};

/// How the name of an unfinished file ends.
const UNFINISHED: &str = ".partial";

/// Writes a whole file or none: under a temporary name in the same folder, then renamed.
///
/// Any number of threads and processes may write the same file: the last one to finish wins. Temporary files of processes
/// that were killed are removed by the next one that writes the same file.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to; the old file, if any, is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::io(path, io::ErrorKind::InvalidInput.into()))?;
    let (temporary, mut file) = temporary(path, name).map_err(|error| Error::io(path, error))?;
    let written = disk::write(&mut file, bytes)
        .and_then(|()| disk::sync(&file))
        .and_then(|()| disk::rename(&temporary, path));
    if let Err(error) = written {
        // A half-written temporary file is of no use.
        let _ = fs::remove_file(&temporary);
        return Err(Error::io(path, error));
    }
    remove_left_over(path, name);
    Ok(())
}

/// The number of this process; 0 where processes have none.
fn process() -> u32 {
    if cfg!(target_family = "wasm") {
        0
    } else {
        std::process::id()
    }
}

/// A new file beside `path` with a name of its own. It is locked while it is open, where files can be locked.
fn temporary(path: &Path, name: &OsStr) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let mut own = name.to_owned();
        own.push(format!(
            ".{}-{}{UNFINISHED}",
            process(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let own = path.with_file_name(own);
        let file = match disk::create_new(&own) {
            // A process of the same number was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        // Before it was locked, it may have been taken for left over.
        if file.lock().is_err() || own.exists() {
            return Ok((own, file));
        }
    }
}

/// Removes temporary files of `path` that nobody writes any more.
fn remove_left_over(path: &Path, name: &OsStr) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return;
    };
    let Some(name) = name.to_str() else { return };
    let is_temporary = |other: &str| {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let middle = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        let middle = middle.and_then(|rest| rest.strip_suffix(UNFINISHED));
        middle
            .and_then(|middle| middle.split_once('-'))
            .is_some_and(|(process, count)| number(process) && number(count))
    };
    for entry in entries.flatten() {
        // Opening a named pipe might wait forever.
        if entry.file_name().to_str().is_some_and(is_temporary)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_and_failures_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, b"1").unwrap();
        write_atomically(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert!(matches!(
            write_atomically(&path.join("below-a-file"), b"{}"),
            Err(Error::Io { .. })
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_writers_of_one_file_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write_atomically(path, &vec![writer; 100_000]).unwrap()));
            }
        });
        let found = fs::read(&path).unwrap();
        assert_eq!(found.len(), 100_000);
        assert!(found.iter().all(|byte| *byte == found[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_with_the_name_of_a_left_over_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("a.json.7-3.partial");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        write_atomically(&folder.path().join("a.json"), b"1").unwrap();
        assert!(pipe.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "a.json.7-3.partial",
            "a.json.x-3.partial",
            "b.json.7-3.partial",
            "a.json.partial",
        ] {
            fs::write(at(name), "left").unwrap();
        }
        // Another writer is at work.
        let busy = File::create(at("a.json.8-0.partial")).unwrap();
        busy.lock().unwrap();
        write_atomically(&at("a.json"), b"1").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let left = [
            "a.json.8-0.partial",
            "a.json.partial",
            "a.json.x-3.partial",
            "b.json.7-3.partial",
        ];
        assert_eq!(names[0], "a.json");
        assert_eq!(names[1..], left);
    }
}
