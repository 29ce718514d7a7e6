//! Tensors on disk: one safetensors file, memory-mapped or in memory, read tensor by tensor as f32.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The header is parsed and checked (size, offsets,
//! overlaps, length of the file) by the `safetensors` crate.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Error, Result,
    error::{LONG, SHORT, excerpt},
    files::{is_itself, regular, wrong},
};

/// Bytes that one thread hashes at a time. Part of what a digest is: another number gives other digests.
const PIECE: usize = 1 << 24;

/// The content of a file: mapped, owned or compiled in.
#[derive(Debug)]
pub(crate) enum Bytes {
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
    Memory(Cow<'static, [u8]>),
}

impl Bytes {
    /// Maps a regular file where the platform can, reads it where not.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        match regular(path)? {
            Some(_) => Self::map(path),
            None => Err(Error::io(path, std::io::ErrorKind::NotFound.into())),
        }
    }

    #[cfg(not(target_family = "wasm"))]
    fn map(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
        let length = file.metadata().map_err(|error| Error::io(path, error))?.len();
        if length == 0 {
            // A mapping of nothing is refused by some systems; the header check reports the empty file.
            return Ok(Self::Memory(Cow::Borrowed(&[])));
        }
        // SAFETY: the mapping is only read. A file that another process truncates while it is mapped ends this
        // process with a bus error, as for every reader of mapped checkpoints.
        #[allow(unsafe_code, reason = "memory-mapped weights load at the speed of the page cache")]
        let mapped = unsafe { memmap2::Mmap::map(&file) };
        mapped.map(Self::Mapped).map_err(|error| Error::io(path, error))
    }

    #[cfg(target_family = "wasm")]
    fn map(path: &Path) -> Result<Self> {
        std::fs::read(path)
            .map(|bytes| Self::Memory(bytes.into()))
            .map_err(|error| Error::io(path, error))
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Where one tensor lies in its file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    start: usize,
    end: usize,
}

/// An open safetensors file.
#[derive(Debug)]
pub(crate) struct TensorFile {
    pub(crate) path: PathBuf,
    bytes: Bytes,
    pub(crate) entries: BTreeMap<String, Entry>,
    digest: OnceLock<u128>,
}

impl TensorFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::parse(path, Bytes::open(path)?)
    }

    pub(crate) fn parse(path: &Path, bytes: Bytes) -> Result<Self> {
        let broken = |message: String| Error::Safetensors {
            path: path.to_owned(),
            message,
        };
        is_itself(path, &bytes)?;
        if bytes.starts_with(b"PK\x03\x04") {
            let found = "a zip archive, as PyTorch writes it".to_owned();
            return Err(wrong(path, "a safetensors file", found, "convert it to safetensors"));
        }
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| broken(damage(&error, bytes.len())))?;
        let first = header + size_of::<u64>();
        let entries = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (start, end) = info.data_offsets;
                let range = first
                    .checked_add(start)
                    .zip(first.checked_add(end))
                    .filter(|(start, end)| start <= end && *end <= bytes.len());
                let (start, end) =
                    range.ok_or_else(|| broken(format!("tensor `{}` lies outside the file", excerpt(&name, SHORT))))?;
                Ok((
                    name,
                    Entry {
                        dtype: info.dtype,
                        shape: info.shape.clone(),
                        start,
                        end,
                    },
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            entries,
            digest: OnceLock::new(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A hash of all its bytes, the same on any number of threads: XXH3 of the XXH3 of pieces. Computed once; another
    /// edit of the file is seen when it is opened again.
    pub(crate) fn digest(&self) -> u128 {
        *self.digest.get_or_init(|| {
            let pieces: Vec<[u8; 16]> = self
                .bytes
                .par_chunks(PIECE)
                .map(|piece| xxh3_128(piece).to_le_bytes())
                .collect();
            xxh3_128(pieces.as_flattened())
        })
    }

    /// One tensor as f32, checked to be finite.
    pub(crate) fn read(&self, name: &str, entry: &Entry) -> Result<Vec<f32>> {
        let bytes = &self.bytes[entry.start..entry.end];
        let values: Vec<f32> = match entry.dtype {
            Dtype::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
            Dtype::F16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f16::from_le_bytes(*b).to_f32())
                .collect(),
            Dtype::BF16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| bf16::from_le_bytes(*b).to_f32())
                .collect(),
            other => {
                return Err(Error::Tensor {
                    path: self.path.clone(),
                    tensor: name.to_owned(),
                    expected: "element type F32, F16 or BF16".to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(Error::NotFinite {
                path: self.path.clone(),
                tensor: name.to_owned(),
                index,
                value: values[index],
            }),
        }
    }

    /// One integer tensor as i64, for inputs stored beside float tensors.
    pub(crate) fn read_integers(&self, name: &str, entry: &Entry) -> Result<Vec<i64>> {
        let bytes = &self.bytes[entry.start..entry.end];
        Ok(match entry.dtype {
            Dtype::I64 => bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|b| i64::from_le_bytes(*b))
                .collect(),
            Dtype::I32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| i64::from(i32::from_le_bytes(*b)))
                .collect(),
            Dtype::U32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| i64::from(u32::from_le_bytes(*b)))
                .collect(),
            Dtype::U8 | Dtype::BOOL => bytes.iter().map(|b| i64::from(*b)).collect(),
            other => {
                return Err(Error::Tensor {
                    path: self.path.clone(),
                    tensor: name.to_owned(),
                    expected: "element type I64, I32, U32, U8 or BOOL".to_owned(),
                    found: format!("{other:?}"),
                });
            }
        })
    }
}

/// What is wrong with a file that is no safetensors file, in words.
fn damage(error: &SafeTensorError, length: usize) -> String {
    let cut = "the file is damaged or was not downloaded to its end";
    match error {
        SafeTensorError::HeaderTooSmall => format!("{length} bytes, too few for a header: {cut}"),
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => {
            format!("its first 8 bytes are no length of a header within {length} bytes: {cut}, or is of another format")
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            format!("the tensors of its header do not end where its {length} bytes end: {cut}")
        }
        other => format!("{} ({length} bytes long)", excerpt(&other.to_string(), LONG)),
    }
}
