//! Whether a folder holds a whole checkpoint, or one that is still being written.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest header of a file of tensors, in bytes, as the format has it.
const LONGEST: u64 = 100_000_000;

/// What a folder lacks of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    pub(super) expected: String,
    pub(super) found: &'static str,
}

impl Lacking {
    fn none(expected: &str) -> Self {
        Self {
            expected: expected.to_owned(),
            found: "none",
        }
    }
}

/// Looks for a configuration and for weights; a file of safetensors has the length that its header says, and a file of PyTorch
/// ends in the directory of its archive.
pub(super) fn is_whole(folder: &Path) -> Result<(), Lacking> {
    let is = |name: &str| folder.join(name).is_file();
    if !folder.is_dir() {
        return Err(Lacking::none("the folder of a checkpoint"));
    }
    let of_adapter = is("adapter_config.json");
    if !of_adapter && !is("config.json") {
        return Err(Lacking::none("config.json"));
    }
    let stem = if of_adapter { "adapter_model" } else { "model" };
    let safetensors = format!("{stem}.safetensors");
    let bins: &[&str] = match of_adapter {
        true => &["adapter_model.bin"],
        false => &["pytorch_model.bin", "pytorch_model.bin.index.json"],
    };
    if is(&safetensors) {
        return whole_file(folder, &safetensors);
    }
    if is("model.safetensors.index.json") && !of_adapter {
        return whole_shards(folder, "model.safetensors.index.json");
    }
    match bins.iter().find(|name| is(name)) {
        Some(name) if name.ends_with(".json") => whole_shards(folder, name),
        Some(name) => whole_file(folder, name),
        None => Err(Lacking::none(&safetensors)),
    }
}

/// The files that an index names.
fn whole_shards(folder: &Path, index: &str) -> Result<(), Lacking> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: Map<String, Value>,
    }
    let cut = || Lacking {
        expected: format!("a whole {index}"),
        found: "a part",
    };
    let bytes = fs::read(folder.join(index)).map_err(|_| cut())?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|_| cut())?;
    let shards: BTreeSet<&str> = index.weight_map.values().filter_map(Value::as_str).collect();
    for shard in shards {
        if !folder.join(shard).is_file() {
            return Err(Lacking::none(shard));
        }
        whole_file(folder, shard)?;
    }
    Ok(())
}

fn whole_file(folder: &Path, name: &str) -> Result<(), Lacking> {
    let path = folder.join(name);
    let whole = match name.ends_with(".bin") {
        true => has_directory(&path).unwrap_or(false),
        false => length_by_header(&path).is_some_and(|(said, found)| found >= said),
    };
    match whole {
        true => Ok(()),
        false => Err(Lacking {
            expected: format!("a whole {name}"),
            found: "a part",
        }),
    }
}

/// Whether a file that begins as a zip archive ends in its directory, which is written last. A file of another kind is left to who
/// reads it.
fn has_directory(path: &Path) -> io::Result<bool> {
    const LONGEST_END: u64 = 22 + 0xffff;
    let mut file = fs::File::open(path)?;
    let mut start = [0; 4];
    if file.read(&mut start)? < start.len() {
        return Ok(false);
    }
    if start != *b"PK\x03\x04" {
        return Ok(true);
    }
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_END)))?;
    let mut end = Vec::new();
    file.take(LONGEST_END).read_to_end(&mut end)?;
    Ok(end.windows(4).any(|bytes| bytes == b"PK\x05\x06"))
}

/// The length that the header of a file of tensors says, and the file's; `None` where the header is not whole.
fn length_by_header(path: &Path) -> Option<(u64, u64)> {
    let mut file = fs::File::open(path).ok()?;
    let found = file.metadata().ok()?.len();
    let mut start = [0; 8];
    file.read_exact(&mut start).ok()?;
    let header = u64::from_le_bytes(start);
    if header > LONGEST.min(found.checked_sub(8)?) {
        return None;
    }
    let mut text = Vec::new();
    file.take(header).read_to_end(&mut text).ok()?;
    let entries: Map<String, Value> = serde_json::from_slice(&text).ok()?;
    let ends = entries
        .values()
        .filter_map(|entry| entry.get("data_offsets")?.get(1)?.as_u64());
    let data = ends.max().unwrap_or(0);
    Some((header.checked_add(data)?.checked_add(8)?, found))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_folder_is_whole_when_its_files_are() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let write = |name: &str, bytes: &[u8]| fs::write(place.join(name), bytes).unwrap();
        let lacks = |expected: &str, found: &'static str| {
            Err(Lacking {
                expected: expected.to_owned(),
                found,
            })
        };
        assert_eq!(
            is_whole(&place.join("later")),
            lacks("the folder of a checkpoint", "none")
        );
        assert_eq!(is_whole(place), lacks("config.json", "none"));
        write("config.json", b"{}");
        assert_eq!(is_whole(place), lacks("model.safetensors", "none"));
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}"#;
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header);
        file.extend([0; 8]);
        for length in [0, 5, 8, 30, file.len() - 1] {
            write("model.safetensors", &file[..length]);
            assert_eq!(
                is_whole(place),
                lacks("a whole model.safetensors", "a part"),
                "{length}"
            );
        }
        write("model.safetensors", &file);
        assert_eq!(is_whole(place), Ok(()));
        fs::remove_file(place.join("model.safetensors")).unwrap();
        let index = br#"{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#;
        write("model.safetensors.index.json", &index[..20]);
        assert_eq!(is_whole(place), lacks("a whole model.safetensors.index.json", "a part"));
        write("model.safetensors.index.json", index);
        write("one.safetensors", &file);
        assert_eq!(is_whole(place), lacks("two.safetensors", "none"));
        write("two.safetensors", &file[..40]);
        assert_eq!(is_whole(place), lacks("a whole two.safetensors", "a part"));
        write("two.safetensors", &file);
        assert_eq!(is_whole(place), Ok(()));
        write("adapter_config.json", b"{}");
        assert_eq!(is_whole(place), lacks("adapter_model.safetensors", "none"));
        for part in [&b""[..], b"PK", b"PK\x03\x04data and no directory"] {
            write("adapter_model.bin", part);
            assert_eq!(
                is_whole(place),
                lacks("a whole adapter_model.bin", "a part"),
                "{part:?}"
            );
        }
        write("adapter_model.bin", b"PK\x03\x04dataPK\x05\x06 and a comment");
        assert_eq!(is_whole(place), Ok(()));
        // The older form has no end to look for.
        write("adapter_model.bin", b"\x80\x02pickled");
        assert_eq!(is_whole(place), Ok(()));
    }
}
