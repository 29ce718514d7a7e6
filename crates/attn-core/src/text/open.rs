//! Bounded reading of files: what does not end, or is absurdly large, is an error before it fills the memory.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use super::wrong;
use crate::{Error, Result};

/// Most bytes of a text: 1 GiB.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// Reads a file of at most `limit` bytes.
///
/// Devices and named pipes are refused: nothing tells whether they end, and to open a pipe may wait for ever. Pipes that a
/// shell has opened for this process (`/dev/stdin`, `<(command)`) are read up to the limit.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let io = |error| Error::io(path, error);
    let metadata = fs::metadata(path).map_err(io)?;
    let place = path.display().to_string();
    if metadata.is_dir() {
        return Err(wrong(&place, None, "a file of text", "a folder"));
    }
    let opened = ["/dev/fd/", "/dev/stdin", "/proc/self/fd/"];
    if !metadata.is_file() && !(is_pipe(&metadata) && opened.iter().any(|prefix| place.starts_with(prefix))) {
        return Err(wrong(&place, None, "a regular file", "a device or a named pipe"));
    }
    if metadata.len() > limit {
        return Err(too_large(place, limit));
    }
    read_from(File::open(path).map_err(io)?, &place, limit)
}

/// Reads at most `limit` bytes; `place` is the reader's name in errors.
pub(super) fn read_from(reader: impl Read, place: &str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| Error::io(place, error))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(place.to_owned(), limit));
    }
    Ok(bytes)
}

fn too_large(place: String, limit: u64) -> Error {
    Error::TooLarge {
        place,
        what: "bytes",
        limit,
    }
}

#[cfg(unix)]
fn is_pipe(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_that_do_not_end_are_refused() {
        let endless = read_from(std::io::repeat(b'a'), "endless", 1000).unwrap_err();
        assert_eq!(endless.to_string(), "endless: expected at most 1000 bytes");
        assert_eq!(read_from(&b"abc"[..], "three", 3).unwrap(), b"abc");
        assert!(read_from(&b"abcd"[..], "four", 3).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn devices_folders_and_absurd_sizes_are_refused() {
        let message = |path: &Path| read(path, MAX_BYTES).unwrap_err().to_string();
        assert_eq!(
            message("/dev/zero".as_ref()),
            "/dev/zero: expected a regular file, found a device or a named pipe"
        );
        let folder = tempfile::tempdir().unwrap();
        assert!(message(folder.path()).ends_with("expected a file of text, found a folder"));
        // A file with a hole of 2 TiB takes no space.
        let path = folder.path().join("large.txt");
        File::create(&path).unwrap().set_len(1 << 41).unwrap();
        assert!(message(&path).ends_with("expected at most 1073741824 bytes"));
    }
}
