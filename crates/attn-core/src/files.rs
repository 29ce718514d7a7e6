//! Files that appear whole or not at all.

use std::{fs, io::Write, path::Path};

use crate::{Error, Result};

/// Writes a file so that it is there whole or not at all: under a temporary name in the same folder, then renamed.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written to; the old file, if any, is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // A half-written temporary file is of no use.
        let _ = fs::remove_file(&temporary);
        Error::io(path, error)
    })
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
}
