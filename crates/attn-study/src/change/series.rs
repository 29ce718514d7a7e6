//! The checkpoints of a run: a folder of folders, whole models or adapters.

use std::path::{Path, PathBuf};

use attn_models::Checkpoint;

use crate::Error;

/// A checkpoint of a series, not opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesEntry {
    /// The folder's name.
    pub name: String,
    /// The number at its end: a step or an epoch.
    pub number: Option<u64>,
    /// The folder.
    pub path: PathBuf,
    /// Whether it is an adapter, which is merged into the model that it names.
    pub adapter: bool,
}

impl SeriesEntry {
    /// Opens the checkpoint; an adapter with its model.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`].
    pub fn open(&self) -> Result<Checkpoint, Error> {
        Ok(Checkpoint::open(&self.path)?)
    }
}

/// The checkpoints in a folder, by the numbers of their names: `checkpoint-500`, `epoch-2`; those without a number come last, by
/// name, and the folder itself, where it is a model or an adapter, after all. Folders that are neither are passed over: those
/// that are being written are there the next time.
///
/// # Errors
/// [`attn_core::Error::Io`] for a folder that cannot be read.
pub fn series(folder: &Path) -> Result<Vec<SeriesEntry>, Error> {
    let failed = |error| attn_core::Error::io(folder, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        found.extend(entry_of(&entry.map_err(failed)?.path()));
    }
    let key = |entry: &SeriesEntry| (entry.number.is_none(), entry.number, entry.name.clone());
    found.sort_by_key(key);
    found.extend(entry_of(folder));
    Ok(found)
}

/// A folder with a configuration and weights, of a model or of an adapter.
fn entry_of(path: &Path) -> Option<SeriesEntry> {
    let has = |names: &[&str]| names.iter().any(|name| path.join(name).is_file());
    let adapter = has(&["adapter_config.json"]) && has(&["adapter_model.safetensors", "adapter_model.bin"]);
    let weights = [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ];
    let whole = has(&["config.json"]) && has(&weights);
    if !adapter && !whole {
        return None;
    }
    let name = path.file_name()?.to_string_lossy().into_owned();
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    Some(SeriesEntry {
        number: name[name.len() - digits..].parse().ok(),
        name,
        path: path.to_owned(),
        adapter: adapter && !whole,
    })
}
