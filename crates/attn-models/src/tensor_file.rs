//! Tensors on disk: one safetensors file, memory-mapped or in memory, read tensor by tensor as f32.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. The header is parsed and checked (size, offsets,
//! overlaps, length of the file) by the `safetensors` crate.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

/// The content of a file: mapped, owned or compiled in.
#[derive(Debug)]
pub(crate) enum Bytes {
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
    Memory(Cow<'static, [u8]>),
}

impl Bytes {
    /// Maps a file where the platform can, reads it where not.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn open(path: &Path) -> Result<Self> {
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
    pub(crate) fn open(path: &Path) -> Result<Self> {
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
        let (header, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| broken(format!("{error} ({} bytes long)", bytes.len())))?;
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
                let (start, end) = range.ok_or_else(|| broken(format!("tensor `{name}` lies outside the file")))?;
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
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Up to 16 short pieces spread evenly over a tensor's bytes.
    pub(crate) fn samples(&self, entry: &Entry) -> impl Iterator<Item = &[u8]> {
        const PIECE: usize = 64;
        let bytes = &self.bytes[entry.start..entry.end];
        bytes.chunks(PIECE).step_by((bytes.len() / PIECE / 16).max(1))
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
