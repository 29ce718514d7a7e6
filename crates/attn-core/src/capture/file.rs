//! Safetensors files as bytes, mapped or owned.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result, files};

/// The bytes of a file.
#[derive(Debug)]
pub(super) enum Bytes {
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
    /// Held as words so that tensors in it are aligned, with the length in bytes.
    Owned(Vec<u64>, usize),
}

impl Bytes {
    /// Maps a file; where there are no memory maps, reads it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        #[cfg(not(target_family = "wasm"))]
        {
            let file = files::open(path)?;
            if file.metadata().map_err(|e| Error::io(path, e))?.len() == 0 {
                return Ok(Self::Owned(Vec::new(), 0));
            }
            // SAFETY: the map is read-only. Another process that truncates the file while it is mapped would
            // make reads fault, as with every memory map; captures are written once and then only read.
            #[allow(unsafe_code)]
            let map = unsafe { memmap2::Mmap::map(&file) };
            map.map(Self::Mapped).map_err(|e| Error::io(path, e))
        }
        #[cfg(target_family = "wasm")]
        {
            let bytes = files::read(path, u64::MAX)?;
            let mut words = vec![0_u64; bytes.len().div_ceil(8)];
            bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(&bytes);
            Ok(Self::Owned(words, bytes.len()))
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
            Self::Owned(words, len) => &bytemuck::cast_slice(words)[..*len],
        }
    }
}

/// A safetensors file whose header has been read and checked.
#[derive(Debug)]
pub(super) struct TensorFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
    tensors: HashMap<String, Stored>,
}

/// Type, shape and place of a tensor in a file.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: usize,
}

impl TensorFile {
    pub(super) fn new(path: PathBuf, bytes: Bytes) -> Result<Self> {
        // The library refuses truncated files, headers above 100 MB and overlapping or short tensors.
        let parsed = SafeTensors::read_metadata(bytes.as_slice()).and_then(|(header, metadata)| {
            SafeTensors::deserialize(bytes.as_slice())?;
            Ok((header, metadata))
        });
        let (header, metadata) = parsed.map_err(|e| Error::Safetensors {
            path: path.clone(),
            message: e.to_string(),
        })?;
        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let start = 8 + header + info.data_offsets.0;
                (
                    name,
                    Stored {
                        dtype: info.dtype,
                        shape: info.shape.clone(),
                        start,
                    },
                )
            })
            .collect();
        Ok(Self { path, bytes, tensors })
    }

    /// Whether the file has a tensor of this name.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    pub(super) fn get(&self, tensor: &str) -> Result<&Stored> {
        self.tensors.get(tensor).ok_or_else(|| Error::MissingTensor {
            path: self.path.clone(),
            tensor: tensor.to_owned(),
        })
    }
}

/// The header of a safetensors file with these tensors, laid out one after the other, and the offset of each.
pub(super) fn header(tensors: &[(&str, [usize; 3])], dtype: Dtype, width: usize) -> (Vec<u8>, Vec<u64>, u64) {
    let mut map = serde_json::Map::new();
    let mut offset = 0_usize;
    let mut offsets = Vec::new();
    for (name, shape) in tensors {
        let end = offset + shape.iter().product::<usize>() * width;
        map.insert(
            (*name).to_owned(),
            serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] }),
        );
        offsets.push(offset as u64);
        offset = end;
    }
    let mut json = serde_json::Value::Object(map).to_string().into_bytes();
    // Data starts at a multiple of 8, so that mapped numbers are aligned.
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    let data = bytes.len() as u64;
    (
        bytes,
        offsets.into_iter().map(|o| o + data).collect(),
        data + offset as u64,
    )
}
