//! Tensors on disk: one file of any format, memory-mapped or in memory, read tensor by tensor as f32.
//!
//! What a format is, is where its tensors lie and how their elements are stored: an [`Entry`] each. Reading is the same
//! for all.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    Error, Result,
    files::{is_itself, regular},
    formats::{blocks::Block, safetensors as plain, torch},
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

/// How the elements of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Plain(Dtype),
    /// Blocks of small numbers that share a scale, as GGML has them.
    Block(Block),
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(dtype) => write!(f, "{dtype:?}"),
            Self::Block(block) => block.fmt(f),
        }
    }
}

/// Where one tensor lies in its file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How the stored elements are walked, where that is not one by one.
    pub(crate) view: Option<View>,
    /// What is added to each element: some formats store weights of norms with the one that they are multiplied about.
    pub(crate) plus: f32,
}

/// A walk over stored elements that gives a tensor row by row. Sides and strides may be finer than the tensor's shape:
/// rows that change places are one side more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// The elements at which it begins, one walk after the other: 0 for all but parts that lie in no regular order.
    pub(crate) starts: Vec<usize>,
    pub(crate) sides: Vec<usize>,
    /// In elements.
    pub(crate) strides: Vec<usize>,
}

impl View {
    /// How many stored elements the walk reaches over; `None` where no `usize` holds it.
    pub(crate) fn span(sides: &[usize], strides: &[usize]) -> Option<usize> {
        if sides.contains(&0) {
            return Some(0);
        }
        let mut last = 0_usize;
        for (&side, &stride) in sides.iter().zip(strides) {
            last = last.checked_add((side - 1).checked_mul(stride)?)?;
        }
        last.checked_add(1)
    }

    /// One walk from the first element on.
    pub(crate) fn new(sides: Vec<usize>, strides: Vec<usize>) -> Self {
        Self {
            starts: vec![0],
            sides,
            strides,
        }
    }

    /// Whether it is no more than row by row.
    pub(crate) fn is_plain(&self) -> bool {
        let mut inner = 1_usize;
        self.starts == [0]
            && self.sides.iter().zip(&self.strides).rev().all(|(&side, &stride)| {
                let fits = side == 1 || stride == inner;
                inner = inner.saturating_mul(side);
                fits
            })
    }

    /// The elements in the order of the walk. All are there: the span was checked when the file was opened.
    fn walk(&self, stored: &[f32]) -> Vec<f32> {
        let count: usize = self.sides.iter().product();
        let mut values = Vec::with_capacity(count * self.starts.len());
        for &start in &self.starts {
            self.walk_from(start, stored, &mut values, count);
        }
        values
    }

    fn walk_from(&self, start: usize, stored: &[f32], values: &mut Vec<f32>, count: usize) {
        let (Some((&row, sides)), Some((&step, strides))) = (self.sides.split_last(), self.strides.split_last()) else {
            values.extend(stored.get(start));
            return;
        };
        let mut at = vec![0; sides.len()];
        let mut place = start;
        let end = values.len() + count;
        while values.len() < end {
            values.extend((0..row).map(|column| stored[place + column * step]));
            for side in (0..at.len()).rev() {
                at[side] += 1;
                place += strides[side];
                if at[side] < sides[side] {
                    break;
                }
                place -= at[side] * strides[side];
                at[side] = 0;
            }
        }
    }
}

/// An open file of tensors.
#[derive(Debug)]
pub(crate) struct TensorFile {
    pub(crate) path: PathBuf,
    bytes: Bytes,
    pub(crate) entries: BTreeMap<String, Entry>,
    digest: OnceLock<u128>,
}

impl TensorFile {
    /// Opens a file of PyTorch (`.bin`) or of safetensors.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::parse(path, Bytes::open(path)?)
    }

    pub(crate) fn parse(path: &Path, bytes: Bytes) -> Result<Self> {
        is_itself(path, &bytes)?;
        let entries = if path.extension().is_some_and(|ending| ending == "bin") {
            torch::entries(path, &bytes)?
        } else {
            plain::entries(path, &bytes)?
        };
        Ok(Self::new(path, bytes, entries))
    }

    /// A file whose tensors are known to lie inside it.
    pub(crate) fn new(path: &Path, bytes: Bytes, entries: BTreeMap<String, Entry>) -> Self {
        Self {
            path: path.to_owned(),
            bytes,
            entries,
            digest: OnceLock::new(),
        }
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

    /// The bytes of a tensor that lies there row by row.
    pub(crate) fn plain(&self, entry: &Entry) -> Option<&[u8]> {
        match (entry.element, &entry.view) {
            (Element::Plain(_), None) if entry.plus == 0.0 => self.bytes.get(entry.start..entry.end),
            _ => None,
        }
    }

    /// One tensor as f32, checked to be finite.
    pub(crate) fn read(&self, name: &str, entry: &Entry) -> Result<Vec<f32>> {
        let bytes = &self.bytes[entry.start..entry.end];
        let stored: Vec<f32> = match entry.element {
            Element::Plain(Dtype::F32) => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
            Element::Plain(Dtype::F16) => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f16::from_le_bytes(*b).to_f32())
                .collect(),
            Element::Plain(Dtype::BF16) => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| bf16::from_le_bytes(*b).to_f32())
                .collect(),
            Element::Block(block) => block.widen(bytes).map_err(|message| Error::Tensor {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: format!("blocks of {block}"),
                found: message,
            })?,
            other => {
                return Err(Error::Tensor {
                    path: self.path.clone(),
                    tensor: name.to_owned(),
                    expected: "element type F32, F16 or BF16".to_owned(),
                    found: other.to_string(),
                });
            }
        };
        let mut values = match &entry.view {
            None => stored,
            Some(view) => view.walk(&stored),
        };
        if entry.plus != 0.0 {
            values.iter_mut().for_each(|value| *value += entry.plus);
        }
        finite(&self.path, name, values)
    }

    /// The bytes of a tensor of bytes.
    pub(crate) fn read_bytes(&self, name: &str, entry: &Entry) -> Result<&[u8]> {
        match entry.element {
            Element::Plain(Dtype::U8) if entry.view.is_none() => Ok(&self.bytes[entry.start..entry.end]),
            other => Err(Error::Tensor {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: "element type U8, row by row".to_owned(),
                found: other.to_string(),
            }),
        }
    }

    /// One integer tensor as i64, for inputs stored beside float tensors.
    pub(crate) fn read_integers(&self, name: &str, entry: &Entry) -> Result<Vec<i64>> {
        let bytes = &self.bytes[entry.start..entry.end];
        let Element::Plain(dtype) = entry.element else {
            return Err(self.no_integers(name, entry));
        };
        Ok(match dtype {
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
            _ => return Err(self.no_integers(name, entry)),
        })
    }

    fn no_integers(&self, name: &str, entry: &Entry) -> Error {
        Error::Tensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            expected: "element type I64, I32, U32, U8 or BOOL".to_owned(),
            found: entry.element.to_string(),
        }
    }
}

/// The same values, none of which is infinite or NaN.
pub(crate) fn finite(path: &Path, name: &str, values: Vec<f32>) -> Result<Vec<f32>> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(values),
        Some(index) => Err(Error::NotFinite {
            path: path.to_owned(),
            tensor: name.to_owned(),
            index,
            value: values[index],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_transpose_and_change_rows() {
        let stored: Vec<f32> = (0..12).map(|at| at as f32).collect();
        let view = |sides: &[usize], strides: &[usize]| View::new(sides.to_vec(), strides.to_vec());
        let transposed = view(&[3, 4], &[1, 3]);
        assert_eq!(transposed.walk(&stored)[..5], [0.0, 3.0, 6.0, 9.0, 1.0]);
        assert!(!transposed.is_plain() && view(&[3, 4], &[4, 1]).is_plain() && view(&[1, 4], &[0, 1]).is_plain());
        // Rows 0 1 2 3 of three become 0 2 1 3.
        assert_eq!(view(&[2, 2, 3], &[3, 6, 1]).walk(&stored)[3..6], [6.0, 7.0, 8.0]);
        assert_eq!(view(&[0, 4], &[4, 1]).walk(&[]), [0.0; 0]);
        assert_eq!(view(&[], &[]).walk(&[5.0]), [5.0]);
        // Parts in an order of their own.
        let parts = View {
            starts: vec![4, 0],
            ..view(&[2, 2], &[2, 1])
        };
        assert_eq!(parts.walk(&stored), [4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0]);
        assert!(!parts.is_plain());
        assert_eq!(View::span(&[3, 4], &[1, 3]), Some(12));
        assert_eq!(View::span(&[3, 0], &[usize::MAX, 3]), Some(0));
        assert_eq!(View::span(&[3, 2], &[usize::MAX, 3]), None);
    }
}
