//! Files of PyTorch: a zip archive of a pickle that says what the tensors are, and of storages with their numbers.
//!
//! `torch.save` since PyTorch 1.6, <https://pytorch.org/docs/stable/notes/serialization.html>. Storages lie in the
//! archive as they are, so that a tensor is a place in the file. Tensors may share a storage, be a part of one, or walk it
//! in another order than row by row.

use std::{collections::BTreeMap, io::Cursor, ops::Range, path::Path};

use attn_core::third_party::guard;
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::pickle;
use crate::{
    Error, Result,
    error::{LONG, SHORT, excerpt},
    files::wrong,
    tensor_file::{Element, Entry, View},
};

/// The longest program: it takes about two hundred bytes for a tensor. Following it takes some forty times its length.
const LONGEST: usize = 16 << 20;

/// The tensors of a file.
///
/// # Errors
/// [`Error::WrongFile`] for the older forms, [`Error::Weights`] for a damaged file, [`Error::Tensor`] for a tensor that
/// lies outside its storage or has elements of an unknown kind.
pub(crate) fn entries(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let broken = |message: String| Error::Weights {
        path: path.to_owned(),
        format: "PyTorch",
        message,
    };
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(no_archive(path, bytes));
    }
    let archive = guard("zip", || archive(bytes)).and_then(|archive| archive);
    let archive = archive.map_err(|message| broken(excerpt(&message, LONG)))?;
    let programs = archive.keys().filter(|name| name.ends_with("/data.pkl"));
    let Some(program) = programs.min_by_key(|name| name.len()) else {
        return Err(broken("an archive without data.pkl".to_owned()));
    };
    let root = program.strip_suffix("data.pkl").unwrap_or_default();
    if archive.contains_key(&format!("{root}constants.pkl")) {
        return Err(wrong(
            path,
            "the tensors of a model",
            "a compiled model (TorchScript)".to_owned(),
            "save the `state_dict()` of the model instead",
        ));
    }
    if let Some(order) = archive.get(&format!("{root}byteorder"))
        && bytes[order.clone()] != *b"little"
    {
        return Err(broken("expected the byte order `little`".to_owned()));
    }
    let program = &bytes[archive[program].clone()];
    if program.len() > LONGEST {
        let length = program.len();
        return Err(broken(format!(
            "data.pkl: expected at most {LONGEST} bytes, found {length}"
        )));
    }
    let tensors = pickle::tensors(program).map_err(broken)?;
    let entry = |(name, tensor): (String, pickle::Tensor)| {
        let refuse = |expected: String, found: String| Error::Tensor {
            path: path.to_owned(),
            tensor: excerpt(&name, SHORT),
            expected,
            found,
        };
        let (dtype, size) = element(&tensor.storage).ok_or_else(|| {
            let expected = "a storage of floats, integers or truth values";
            refuse(expected.to_owned(), pickle::shown(&tensor.storage))
        })?;
        let storage = archive.get(&format!("{root}data/{}", tensor.key));
        let storage = storage.ok_or_else(|| {
            let expected = format!("storage {} in the archive", pickle::shown(&tensor.key));
            refuse(expected, "nothing".to_owned())
        })?;
        let place = || {
            let start = storage.start.checked_add(tensor.first.checked_mul(size)?)?;
            let span = View::span(&tensor.shape, &tensor.strides)?;
            let end = start.checked_add(span.checked_mul(size)?)?;
            // A walk may pass elements many times over; what it makes stays within the size of the file.
            let count = tensor
                .shape
                .iter()
                .try_fold(1_usize, |count, &side| count.checked_mul(side))?;
            (end <= storage.end && count <= bytes.len()).then_some(start..end)
        };
        let place = place().ok_or_else(|| {
            let expected = format!("a walk within its storage of {} bytes", storage.len());
            let found = format!(
                "shape {:?} in steps of {:?} from element {}",
                tensor.shape, tensor.strides, tensor.first
            );
            refuse(expected, excerpt(&found, LONG))
        })?;
        let view = View::new(tensor.shape.clone(), tensor.strides);
        let entry = Entry {
            element: Element::Plain(dtype),
            shape: tensor.shape,
            start: place.start,
            end: place.end,
            view: (!view.is_plain()).then_some(view),
            plus: 0.0,
        };
        Ok((name, entry))
    };
    tensors.into_iter().map(entry).collect()
}

/// The files of the archive, by name, and where each lies.
fn archive(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let damaged = |error: zip::result::ZipError| {
        format!(
            "{error}: the file is damaged or was not downloaded to its end ({} bytes long)",
            bytes.len()
        )
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut files = BTreeMap::new();
    for number in 0..archive.len() {
        let file = archive.by_index_raw(number).map_err(damaged)?;
        let name = file.name().map_err(damaged)?.into_owned();
        if file.compression() != CompressionMethod::Stored || file.encrypted() {
            return Err(format!(
                "{name}: expected it as it is, found it compressed or encrypted"
            ));
        }
        let place = || {
            let start = usize::try_from(file.data_start()?).ok()?;
            let end = start.checked_add(usize::try_from(file.compressed_size()).ok()?)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let place = place().ok_or_else(|| format!("{name} lies outside the file"))?;
        files.insert(name, place);
    }
    Ok(files)
}

/// The elements of a class of storages, and the bytes of one.
fn element(storage: &str) -> Option<(Dtype, usize)> {
    Some(match storage {
        "FloatStorage" => (Dtype::F32, 4),
        "HalfStorage" => (Dtype::F16, 2),
        "BFloat16Storage" => (Dtype::BF16, 2),
        "DoubleStorage" => (Dtype::F64, 8),
        "LongStorage" => (Dtype::I64, 8),
        "IntStorage" => (Dtype::I32, 4),
        "ShortStorage" => (Dtype::I16, 2),
        "CharStorage" => (Dtype::I8, 1),
        "ByteStorage" => (Dtype::U8, 1),
        "BoolStorage" => (Dtype::BOOL, 1),
        _ => return None,
    })
}

/// What is there instead of an archive.
fn no_archive(path: &Path, bytes: &[u8]) -> Error {
    let older = bytes.starts_with(b"\x80") || bytes.get(257..262).is_some_and(|word| word == b"ustar");
    if older {
        return wrong(
            path,
            "the archive that PyTorch writes since version 1.6",
            "an older form of it".to_owned(),
            "load and save it with a newer PyTorch: `torch.save(torch.load(path), path)`",
        );
    }
    Error::Weights {
        path: path.to_owned(),
        format: "PyTorch",
        message: format!(
            "{} bytes that are no zip archive: it is damaged or of another format",
            bytes.len()
        ),
    }
}
