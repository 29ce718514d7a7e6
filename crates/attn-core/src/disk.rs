//! Changes to the disk, each in one function, so that a test can end the process or fill the disk at any of them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Opens a file for reading and writing, and makes it if it is not there. Its content stays.
#[cfg(feature = "store")]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    before()?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).open(path)
}

/// Makes a file that must not be there yet.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    before()?;
    OpenOptions::new().create_new(true).read(true).write(true).open(path)
}

#[cfg(feature = "store")]
pub(crate) fn set_len(file: &File, length: u64) -> io::Result<()> {
    before()?;
    file.set_len(length)
}

pub(crate) fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    fault::write(file, bytes)?;
    file.write_all(bytes)
}

pub(crate) fn sync(file: &File) -> io::Result<()> {
    before()?;
    file.sync_all()
}

/// Makes renamed and removed names of a folder last. Not every system can; there it does nothing.
#[cfg(feature = "store")]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    before()?;
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    before()?;
    fs::rename(from, to)
}

/// Removes a file, if it is there.
#[cfg(feature = "store")]
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    before()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn before() -> io::Result<()> {
    #[cfg(test)]
    fault::before()?;
    Ok(())
}

/// Faults on demand, in a process of their own: `ATTN_TEST_FAULT=kill:7` ends it before the 7th change, `torn:7` in the
/// middle of it if it is a write. With `full:7` the disk is full from then on; with `half:7` it is full in the middle of the
/// write, and has room again after it. `count:0` prints how many there were.
#[cfg(test)]
pub(crate) mod fault {
    use std::{
        fs::File,
        io::{self, Write},
        sync::{
            LazyLock,
            atomic::{AtomicUsize, Ordering},
        },
    };

    pub(crate) const VARIABLE: &str = "ATTN_TEST_FAULT";

    static FAULT: LazyLock<Option<(String, usize)>> = LazyLock::new(|| {
        let given = std::env::var(VARIABLE).ok()?;
        let (kind, at) = given.split_once(':')?;
        Some((kind.to_owned(), at.parse().ok()?))
    });
    static CHANGES: AtomicUsize = AtomicUsize::new(0);

    /// Changes so far.
    pub(crate) fn count() -> usize {
        CHANGES.load(Ordering::Relaxed)
    }

    /// The kind of fault that comes at this change.
    fn next() -> Option<&'static str> {
        let (kind, at) = FAULT.as_ref()?;
        let number = CHANGES.fetch_add(1, Ordering::Relaxed) + 1;
        (number == *at || (kind == "full" && number > *at)).then_some(kind.as_str())
    }

    pub(super) fn before() -> io::Result<()> {
        match next() {
            Some("kill" | "torn") => std::process::abort(),
            // A full disk still renames and removes.
            _ => Ok(()),
        }
    }

    pub(super) fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match next() {
            Some("kill") => std::process::abort(),
            Some("torn") => {
                let _ = file.write_all(&bytes[..bytes.len() / 2]);
                std::process::abort()
            }
            Some("half") => {
                file.write_all(&bytes[..bytes.len() / 2])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some("full") => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}
