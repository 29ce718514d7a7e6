//! The weight files of a folder: one, or shards and their index. What stands in their place is named.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    checkpoint::{WEIGHTS, WEIGHTS_INDEX},
    error::{SHORT, excerpt},
    families::Config,
    files::{self, LARGEST_CONFIG, wrong},
    formats::gguf::first_of,
    tensor_file::TensorFile,
};

pub(crate) const TORCH: &str = "pytorch_model.bin";
pub(crate) const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// The names of weight files and of the index of several, in the order they are looked for.
pub(crate) const NAMES: [(&str, &str); 2] = [(WEIGHTS, WEIGHTS_INDEX), (TORCH, TORCH_INDEX)];

/// Whether a folder has weight files, be they what their names say or not.
pub(crate) fn has_weights(folder: &Path) -> Result<bool> {
    for name in NAMES.iter().flat_map(|&(single, index)| [single, index]) {
        if files::regular(&folder.join(name))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The one weight file, or the shards its index lists, in name order.
pub(crate) fn open_weights(folder: &Path) -> Result<Vec<TensorFile>> {
    for (single, index) in NAMES {
        let single = folder.join(single);
        if files::regular(&single)?.is_some() {
            return Ok(vec![TensorFile::open(&single)?]);
        }
        let index = folder.join(index);
        if let Some(bytes) = files::read(&index, LARGEST_CONFIG)? {
            return shards(folder, &Config::parse(&bytes, &index)?);
        }
    }
    Err(Error::NotAModel {
        path: folder.to_owned(),
        expected: format!("{WEIGHTS} or {WEIGHTS_INDEX}"),
        found: instead(folder),
    })
}

/// The shards that an index lists.
fn shards(folder: &Path, index: &Config) -> Result<Vec<TensorFile>> {
    let map = index
        .object("weight_map")?
        .ok_or_else(|| index.wrong("weight_map", "an object from tensor names to files"))?;
    let shards = map
        .entries()
        .map(|(_, file)| file.as_str())
        .collect::<Option<BTreeSet<_>>>();
    let shards = shards.ok_or_else(|| index.wrong("weight_map", "file names as values"))?;
    let opened = shards
        .into_iter()
        .map(|shard| {
            // Shards are files of the folder: a name that leads elsewhere is not followed.
            if Path::new(shard).file_name().is_none_or(|name| name != shard) {
                return Err(index.wrong("weight_map", "names of files in the same folder"));
            }
            let path = folder.join(shard);
            if files::regular(&path)?.is_none() {
                let index = index.path().file_name().unwrap_or_default().to_string_lossy();
                let expected = format!("the shard that {index} names");
                return Err(wrong(
                    &path,
                    &expected,
                    "nothing".to_owned(),
                    "download it, it holds a part of the weights",
                ));
            }
            TensorFile::open(&path)
        })
        .collect::<Result<Vec<_>>>()?;
    if opened.is_empty() {
        return Err(index.wrong("weight_map", "at least one tensor"));
    }
    let shard_name = |file: &TensorFile| file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (tensor, shard) in map.entries() {
        let mut holders = opened
            .iter()
            .filter(|file| file.entries.contains_key(tensor))
            .map(shard_name);
        let Some(first) = holders.next() else {
            return Err(misdirected(index.path(), tensor, shard, "no shard that has it"));
        };
        let named = shard.as_str().unwrap_or_default();
        if first != named && holders.all(|holder| holder != named) {
            return Err(misdirected(index.path(), tensor, shard, &format!("it in {first}")));
        }
    }
    Ok(opened)
}

/// An index that its shards contradict.
fn misdirected(index: &Path, tensor: &str, shard: &serde_json::Value, found: &str) -> Error {
    let shard = excerpt(shard.as_str().unwrap_or_default(), SHORT);
    wrong(
        index,
        &format!("tensor `{}` in {shard}", excerpt(tensor, SHORT)),
        found.to_owned(),
        "the index and the shards are of different models or versions: download both again",
    )
}

/// What a folder without weights holds in their place, and what to do.
fn instead(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let with_end = |ends: &[&str]| names.iter().find(|name| ends.iter().any(|end| name.ends_with(end)));
    for ((single, index), ending) in NAMES.into_iter().zip([".safetensors", ".bin"]) {
        if let Some(name) = with_end(&[ending]) {
            let name = excerpt(name, SHORT);
            return if name.contains("-of-") {
                format!("{name}, a shard without the index of all shards: download {index} too")
            } else {
                format!("{name}: rename it to {single} if it holds this model's weights")
            };
        }
    }
    let others = [".h5", ".msgpack", ".pt", ".pth", ".ckpt", ".onnx", ".npz"];
    match with_end(&others) {
        Some(name) => format!(
            "{}, a format that is not read: convert it to safetensors (`save_pretrained` of transformers writes it)",
            excerpt(name, SHORT)
        ),
        None => "neither".to_owned(),
    }
}

/// The one file in a folder that holds a whole model, or the first of its parts.
///
/// # Errors
/// [`Error::WrongFile`] for several.
pub(crate) fn find_gguf(folder: &Path) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(|path| is_gguf(path)).collect();
    files.sort();
    match files.as_slice() {
        [] => Ok(None),
        [file] => Ok(Some(file.clone())),
        several if first_of(several).is_some() => Ok(first_of(several).cloned()),
        several => {
            let names = several
                .iter()
                .map(|path| path.file_name().unwrap_or_default().to_string_lossy());
            let names: Vec<_> = names.take(8).collect();
            Err(wrong(
                folder,
                "one GGUF file",
                format!("{}: {}", several.len(), names.join(", ")),
                "name the file itself",
            ))
        }
    }
}

pub(crate) fn is_gguf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}
