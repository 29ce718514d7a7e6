//! The tensors of a checkpoint: its weight files as one, with an adapter merged in where there is one.

use std::{path::Path, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use crate::{
    Result,
    adapter::Adapter,
    tensor_file::{Entry, TensorFile},
};

/// Cheap to clone: files are shared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    files: Vec<Arc<TensorFile>>,
    adapter: Option<Adapter>,
}

/// A tensor that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a TensorFile,
    pub(crate) entry: &'a Entry,
}

impl Store {
    pub(crate) fn new(files: Vec<TensorFile>) -> Self {
        Self {
            files: files.into_iter().map(Arc::new).collect(),
            adapter: None,
        }
    }

    /// Whether there are no files: weights are fresh then.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The weight files, those of an adapter that counts last.
    pub(crate) fn files(&self) -> impl Iterator<Item = &TensorFile> {
        let adapter = self.adapter().map(|adapter| adapter.file());
        self.files.iter().map(|file| &**file).chain(adapter)
    }

    /// The path that messages about a missing tensor name: the one weight file, or `index`.
    pub(crate) fn path<'a>(&'a self, index: &'a Path) -> &'a Path {
        match self.files.as_slice() {
            [only] => &only.path,
            _ => index,
        }
    }

    /// An adapter that changes anything.
    fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref().filter(|adapter| adapter.scale() != 0.0)
    }

    /// Whether the adapter changes a tensor.
    pub(crate) fn changes(&self, name: &str) -> bool {
        self.adapter().is_some_and(|adapter| adapter.changes(name))
    }

    /// The tensors that the adapter changes or adds.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &str> {
        self.adapter().into_iter().flat_map(Adapter::changed)
    }

    /// A tensor as it is without the adapter, if that changes it and what is tied to it does not follow.
    pub(crate) fn read_untied(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let apart = self
            .adapter()
            .is_some_and(|adapter| adapter.changes(name) && !adapter.ties());
        match self.stored(name).filter(|_| apart) {
            Some(found) => found.file.read(found.name, found.entry).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn adapter_scale(&self) -> Option<f64> {
        self.adapter.as_ref().map(Adapter::scale)
    }

    /// The same files with this adapter, or without one.
    pub(crate) fn with_adapter(&self, adapter: Option<Adapter>) -> Self {
        Self {
            files: self.files.clone(),
            adapter,
        }
    }

    pub(crate) fn adapter_mut(&mut self) -> Option<&mut Adapter> {
        self.adapter.as_mut()
    }

    /// A tensor of the files themselves.
    pub(crate) fn stored(&self, name: &str) -> Option<Found<'_>> {
        self.files.iter().find_map(|file| {
            let (name, entry) = file.entries.get_key_value(name)?;
            Some(Found { name, file, entry })
        })
    }

    /// A tensor, those that an adapter adds included.
    pub(crate) fn find(&self, name: &str) -> Option<Found<'_>> {
        self.stored(name)
            .or_else(|| self.adapter().and_then(|adapter| adapter.added(name)))
    }

    /// Every tensor. One that is in two files counts as the first's.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Found<'_>> {
        let stored = self.files.iter().flat_map(|file| {
            let file = &**file;
            file.entries
                .iter()
                .map(move |(name, entry)| Found { name, file, entry })
        });
        let added = self.adapter().into_iter().flat_map(Adapter::all_added);
        stored.chain(added.filter(|found| self.stored(found.name).is_none()))
    }

    /// Whether there is a tensor whose name begins so.
    pub(crate) fn has_below(&self, start: &str) -> bool {
        let stored = self.files.iter().any(|file| {
            let next = file.entries.range(start.to_owned()..).next();
            next.is_some_and(|(name, _)| name.starts_with(start))
        });
        stored
            || self
                .adapter()
                .is_some_and(|adapter| adapter.all_added().any(|found| found.name.starts_with(start)))
    }

    /// A tensor that was found, as f32, row by row.
    pub(crate) fn read(&self, found: Found<'_>) -> Result<Vec<f32>> {
        let values = found.file.read(found.name, found.entry)?;
        match self.adapter() {
            Some(adapter) => adapter.merge(found, values),
            None => Ok(values),
        }
    }

    /// A hash of the contents of the files, and of how much of an adapter is merged.
    pub(crate) fn hash(&self, into: &mut Xxh3) {
        for file in self.files() {
            into.update(&file.digest().to_le_bytes());
        }
        // All of it is what its files are.
        if let Some(adapter) = self.adapter().filter(|adapter| adapter.scale() != 1.0) {
            into.update(&adapter.scale().to_le_bytes());
        }
    }
}
