//! Safetensors files, mapped or owned.

use std::{collections::HashMap, path::PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result, files::Bytes};

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
