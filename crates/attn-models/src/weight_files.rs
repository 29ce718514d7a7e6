//! The weight files of a folder: one, or shards and their index. What stands in their place is named.

use std::{collections::BTreeSet, path::Path};

use crate::{
    Error, Result,
    checkpoint::{WEIGHTS, WEIGHTS_INDEX},
    error::{SHORT, excerpt},
    families::Config,
    files::{self, LARGEST_CONFIG, wrong},
    tensor_file::TensorFile,
};

/// The one weight file, or the shards its index lists, in name order.
pub(crate) fn open_weights(folder: &Path) -> Result<Vec<TensorFile>> {
    let single = folder.join(WEIGHTS);
    if files::regular(&single)?.is_some() {
        return Ok(vec![TensorFile::open(&single)?]);
    }
    let index_path = folder.join(WEIGHTS_INDEX);
    let Some(index) = files::read(&index_path, LARGEST_CONFIG)? else {
        return Err(Error::NotAModel {
            path: folder.to_owned(),
            expected: format!("{WEIGHTS} or {WEIGHTS_INDEX}"),
            found: instead(folder),
        });
    };
    let index = Config::parse(&index, &index_path)?;
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
                let expected = format!("the shard that {WEIGHTS_INDEX} names");
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
            return Err(misdirected(&index_path, tensor, shard, "no shard that has it"));
        };
        let named = shard.as_str().unwrap_or_default();
        if first != named && holders.all(|holder| holder != named) {
            return Err(misdirected(&index_path, tensor, shard, &format!("it in {first}")));
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
    if let Some(adapter) = adapter(folder) {
        return adapter;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let with_end = |ends: &[&str]| names.iter().find(|name| ends.iter().any(|end| name.ends_with(end)));
    if let Some(name) = with_end(&[".safetensors"]) {
        let name = excerpt(name, SHORT);
        return if name.contains("-of-") {
            format!("{name}, a shard without the index of all shards: download {WEIGHTS_INDEX} too")
        } else {
            format!("{name}: rename it to {WEIGHTS} if it holds this model's weights")
        };
    }
    let others = [
        ".bin",
        ".bin.index.json",
        ".h5",
        ".msgpack",
        ".pt",
        ".pth",
        ".ckpt",
        ".gguf",
        ".onnx",
        ".npz",
    ];
    match with_end(&others) {
        Some(name) => format!(
            "{}, a format that is not read: convert it to safetensors (`save_pretrained` of transformers writes it)",
            excerpt(name, SHORT)
        ),
        None => "neither".to_owned(),
    }
}

/// Says of a folder that holds an adapter alone what it needs.
pub(crate) fn adapter(folder: &Path) -> Option<String> {
    const NAMES: [&str; 3] = ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];
    let name = NAMES.into_iter().find(|name| folder.join(name).is_file())?;
    let path = folder.join(NAMES[0]);
    let config = files::read(&path, LARGEST_CONFIG).ok().flatten();
    let config = config.and_then(|bytes| Config::parse(&bytes, &path).ok());
    let base = config
        .as_ref()
        .and_then(|config| config.text("base_model_name_or_path").ok()?);
    let base = base.map_or_else(
        || "its base model".to_owned(),
        |base| format!("its base model {}", excerpt(base, SHORT)),
    );
    Some(format!(
        "{name}, an adapter without the model it adapts: merge it into {base} (`merge_and_unload` of PEFT) and save that"
    ))
}
