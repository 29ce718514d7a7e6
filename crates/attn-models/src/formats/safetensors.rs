//! Safetensors: <https://github.com/huggingface/safetensors#format>. The header is parsed and checked (size, offsets,
//! overlaps, length of the file) by the `safetensors` crate.

use std::{collections::BTreeMap, path::Path};

use safetensors::{SafeTensorError, SafeTensors};

use crate::{
    Error, Result,
    error::{LONG, SHORT, excerpt},
    files::wrong,
    tensor_file::{Element, Entry},
};

/// The tensors of a file.
///
/// # Errors
/// [`Error::WrongFile`] for an archive of PyTorch, [`Error::Safetensors`].
pub(crate) fn entries(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let broken = |message: String| Error::Safetensors {
        path: path.to_owned(),
        message,
    };
    if bytes.starts_with(b"PK\x03\x04") {
        let found = "a zip archive, as PyTorch writes it".to_owned();
        return Err(wrong(
            path,
            "a safetensors file",
            found,
            "rename it to pytorch_model.bin if it holds this model's weights",
        ));
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(damage(&error, bytes.len())))?;
    let first = header + size_of::<u64>();
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let range = first
            .checked_add(start)
            .zip(first.checked_add(end))
            .filter(|(start, end)| start <= end && *end <= bytes.len());
        let (start, end) =
            range.ok_or_else(|| broken(format!("tensor `{}` lies outside the file", excerpt(&name, SHORT))))?;
        let entry = Entry {
            element: Element::Plain(info.dtype),
            shape: info.shape.clone(),
            start,
            end,
            view: None,
            plus: 0.0,
        };
        Ok((name, entry))
    };
    metadata.tensors().into_iter().map(entry).collect()
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
