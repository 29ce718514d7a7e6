//! Files of a checkpoint as they lie in a folder: what is no regular file is never opened, what is read whole has a
//! bound, and what is not the file that its name says is named for what it is.

use std::{
    fs::Metadata,
    io::Read,
    path::{Path, PathBuf},
};

use attn_core::{Limits, files::kind};

use crate::{Error, Result};

/// The most bytes of a configuration, an index or another small file.
pub(crate) const LARGEST_CONFIG: u64 = 64 << 20;
/// The most bytes of a vocabulary or a `tokenizer.json`; the largest published ones have 35 MB.
pub(crate) const LARGEST_VOCABULARY: u64 = 1 << 30;

/// How a Git LFS pointer begins, <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The content of a file, or `None` where there is none.
///
/// # Errors
/// [`Error::WrongFile`] for a folder, a pipe, a device, a link that leads nowhere and a file of more than `most` bytes;
/// [`Error::Io`].
pub(crate) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let Some(metadata) = regular(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    if metadata.len() <= most {
        // A file that grows meanwhile is not followed.
        let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io(path, error))?;
    }
    let length = metadata.len().max(bytes.len() as u64);
    if length > most {
        let expected = format!("a file of at most {most} bytes");
        return Err(wrong(
            path,
            &expected,
            format!("{length} bytes"),
            "is it the right file?",
        ));
    }
    Ok(Some(bytes))
}

/// The content of a file of data, within the limits; `wrong` is the error for what is no file. A pipe might have no end.
pub(crate) fn whole(path: &Path, limits: Limits, wrong: fn(&Path, &str) -> Error) -> Result<Vec<u8>> {
    let facts = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !facts.is_file() {
        return Err(wrong(path, &format!("{}, not a file", kind(&facts))));
    }
    limits.check(path.display(), facts.len())?;
    std::fs::read(path).map_err(|error| Error::io(path, error))
}

/// What the system says about a regular file, or `None` where there is nothing. Opening a pipe would wait for its other
/// end, and a device has none.
pub(crate) fn regular(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(metadata) => {
            let found = kind(&metadata);
            Err(wrong(path, "a regular file", found.to_owned(), "give the file itself"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match std::fs::read_link(path) {
            Ok(target) => {
                let found = format!("a link to {}, which is not there", target.display());
                Err(wrong(
                    path,
                    "a file",
                    found,
                    "download the file again, or copy it without its link",
                ))
            }
            Err(_) => Ok(None),
        },
        Err(error) => Err(Error::io(path, error)),
    }
}

/// The files of a folder with one of these endings, by name. Hidden files, other files and subfolders are left out.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read, [`Error::Empty`] if it holds none.
pub(crate) fn named(folder: &Path, what: &str, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))? {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if !hidden && ending.is_some_and(|ending| endings.contains(&ending.as_str())) && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::Empty {
            place: folder.display().to_string(),
            message: format!("no {what} ({})", endings.join(", ")),
        });
    }
    paths.sort();
    Ok(paths)
}

/// Refuses what is stored in the place of a file: a Git LFS pointer or the page of a server.
pub(crate) fn is_itself(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(rest) = bytes.strip_prefix(LFS) {
        let size = String::from_utf8_lossy(&rest[..rest.len().min(400)]);
        let size = size
            .lines()
            .find_map(|line| line.strip_prefix("size ")?.trim().parse::<u64>().ok());
        let found = match size {
            Some(size) => format!("a Git LFS pointer to it ({size} bytes)"),
            None => "a Git LFS pointer to it".to_owned(),
        };
        return Err(wrong(path, "the file itself", found, "fetch it with `git lfs pull`"));
    }
    let start = bytes.trim_ascii_start();
    let start = start[..start.len().min(16)].to_ascii_lowercase();
    let pages: [(&[u8], &str); 4] = [
        (b"<!doctype html", "a web page"),
        (b"<html", "a web page"),
        (b"<?xml", "a page of XML"),
        (b"entry not found", "the answer of a server that does not have it"),
    ];
    match pages.iter().find(|(begin, _)| start.starts_with(begin)) {
        Some((_, found)) => Err(wrong(path, "the file itself", (*found).to_owned(), "download it again")),
        None => Ok(()),
    }
}

pub(crate) fn wrong(path: &Path, expected: &str, found: String, advice: &str) -> Error {
    Error::WrongFile {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_pages_are_named() {
        let refused = |bytes: &[u8]| is_itself("model.safetensors".as_ref(), bytes).unwrap_err().to_string();
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 440449768\n";
        assert_eq!(
            refused(pointer),
            "model.safetensors: expected the file itself, found a Git LFS pointer to it (440449768 bytes): fetch it \
             with `git lfs pull`"
        );
        assert!(refused(&pointer[..45]).contains("a Git LFS pointer to it:"));
        assert!(refused(b"\n <!DOCTYPE HTML><html>").contains("a web page"));
        assert!(refused(b"Entry not found").contains("download it again"));
        for fine in [&b""[..], b"{\"a\": 1}", b"version 1", b"[PAD]\n<html>"] {
            is_itself("config.json".as_ref(), fine).unwrap();
        }
    }

    #[test]
    fn what_is_read_whole_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert!(read(&path, 4).unwrap().is_none());
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap().unwrap(), b"12345");
        let error = read(&path, 4).unwrap_err();
        assert!(
            matches!(&error, Error::WrongFile { found, .. } if found == "5 bytes"),
            "{error}"
        );
        assert!(matches!(read(folder.path(), 4), Err(Error::WrongFile { found, .. }) if found == "a folder"));
    }
}
