//! Bounded reading of regular files. Endless or absurdly large input is an error before it fills the memory.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use crate::{Error, Result};

/// Opens a regular file.
///
/// Devices and named pipes are refused: they need not end, and opening a pipe may wait forever. Pipes that a shell has
/// opened for this process (`/dev/stdin`, `<(command)`) are opened.
///
/// # Errors
/// [`Error::NotAFile`] for a folder, a device, a pipe or a socket; [`Error::Io`].
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    let io = |error| Error::io(path, error);
    let metadata = fs::metadata(path).map_err(io)?;
    refuse_other_than_file(path, &metadata)?;
    File::open(path).map_err(io)
}

/// Refuses a name that is taken by anything but a regular file, also by a link to one: what is written under the name would
/// go elsewhere.
///
/// # Errors
/// [`Error::NotAFile`].
#[cfg(feature = "store")]
pub(crate) fn not_other_than_file(path: &Path) -> Result<()> {
    fs::symlink_metadata(path).map_or(Ok(()), |metadata| refuse_other_than_file(path, &metadata))
}

fn refuse_other_than_file(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    match other_than_file(path, metadata) {
        Some(found) => Err(Error::NotAFile {
            path: path.to_owned(),
            found,
        }),
        None => Ok(()),
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// Those of [`open`], and [`Error::TooLarge`].
pub fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let file = open(path)?;
    let place = path.display().to_string();
    // A pipe has no length.
    if file.metadata().is_ok_and(|metadata| metadata.len() > limit) {
        return Err(too_large(place, limit));
    }
    read_from(file, &place, limit)
}

/// Reads at most `limit` bytes; `place` is the reader's name in errors.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Io`].
pub fn read_from(reader: impl Read, place: &str, limit: u64) -> Result<Vec<u8>> {
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

/// What is there instead of a file that can be read to its end; `None` for such a file.
fn other_than_file(path: &Path, metadata: &fs::Metadata) -> Option<&'static str> {
    let opened = ["/dev/fd/", "/dev/stdin", "/proc/self/fd/"];
    let by_shell = |path: &str| opened.iter().any(|of| path.starts_with(of));
    match kind(metadata) {
        FILE => None,
        PIPE if path.to_str().is_some_and(by_shell) => None,
        other => Some(other),
    }
}

const FILE: &str = "a file";
const PIPE: &str = "a named pipe";

/// The kind of what a path leads to, in words for errors: `a file`, `a folder`, `a symbolic link`, `a named pipe`, `a socket`,
/// `a device`.
///
/// ```
/// let here = std::fs::metadata(".").map_err(|error| attn_core::Error::io(".", error))?;
/// assert_eq!(attn_core::files::kind(&here), "a folder");
/// # Ok::<(), attn_core::Error>(())
/// ```
pub fn kind(metadata: &fs::Metadata) -> &'static str {
    if metadata.is_file() {
        return FILE;
    }
    if metadata.is_dir() {
        return "a folder";
    }
    if metadata.is_symlink() {
        return "a symbolic link";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return PIPE;
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    "a device"
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
    fn devices_pipes_folders_and_absurd_sizes_are_refused() {
        let message = |path: &Path| read(path, 1 << 30).unwrap_err().to_string();
        assert_eq!(
            message("/dev/zero".as_ref()),
            "/dev/zero: expected a regular file, found a device"
        );
        let folder = tempfile::tempdir().unwrap();
        assert!(message(folder.path()).ends_with("expected a regular file, found a folder"));
        let pipe = folder.path().join("pipe");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        assert!(message(&pipe).ends_with("expected a regular file, found a named pipe"));
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(message(&socket).ends_with("expected a regular file, found a socket"));
        // A file with a hole of 2 TiB takes no space.
        let path = folder.path().join("large.txt");
        File::create(&path).unwrap().set_len(1 << 41).unwrap();
        assert!(message(&path).ends_with("expected at most 1073741824 bytes"));
        assert!(matches!(read(folder.path().join("none"), 1), Err(Error::Io { .. })));
    }
}
