//! The bytes of a file, mapped or owned.

use std::path::Path;

#[cfg(any(doc, not(target_family = "wasm")))]
use crate::Error;
use crate::{Result, files};

/// The bytes of a file: mapped into memory where the system can, so that they are read when they are asked for.
///
/// ```
/// use attn_core::files::Bytes;
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("numbers"), [1, 2, 3])?;
/// assert_eq!(Bytes::open(&folder.path().join("numbers"))?.as_slice(), [1, 2, 3]);
/// assert_eq!(Bytes::from(vec![4, 5]).as_slice(), [4, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bytes(Kept);

#[derive(Debug)]
enum Kept {
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
    /// Held as words so that numbers in it are aligned, with the length in bytes.
    Owned(Vec<u64>, usize),
}

impl Bytes {
    /// Maps a file; where there are no memory maps, reads it.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::NotAFile`].
    pub fn open(path: &Path) -> Result<Self> {
        #[cfg(not(target_family = "wasm"))]
        {
            let file = files::open(path)?;
            if file.metadata().map_err(|e| Error::io(path, e))?.len() == 0 {
                return Ok(Self(Kept::Owned(Vec::new(), 0)));
            }
            // SAFETY: the map is read-only. Another process that truncates the file while it is mapped would
            // make reads fault, as with every memory map; captures and indexes are written once and then only read.
            #[allow(unsafe_code)]
            let map = unsafe { memmap2::Mmap::map(&file) };
            map.map(|map| Self(Kept::Mapped(map))).map_err(|e| Error::io(path, e))
        }
        #[cfg(target_family = "wasm")]
        {
            Ok(Self::from(files::read(path, u64::MAX)?))
        }
    }

    /// Words that are in memory already, and how many bytes of them count.
    pub(crate) fn owned(words: Vec<u64>, length: usize) -> Self {
        let length = length.min(8 * words.len());
        Self(Kept::Owned(words, length))
    }

    /// All bytes; they begin at a multiple of 8.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            #[cfg(not(target_family = "wasm"))]
            Kept::Mapped(map) => map,
            Kept::Owned(words, length) => &bytemuck::cast_slice(words)[..*length],
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(&bytes);
        Self::owned(words, bytes.len())
    }
}
