//! GGUF: one file with a model's configuration, tokenizer and (often quantized) weights, as llama.cpp reads it.
//!
//! The file's own names and orders become those of the hub when it is opened, so that a family sees a checkpoint like any
//! other: [`header`] reads what is there, [`architectures`] and [`names`] say what it is on the hub, [`config`] writes the
//! `config.json` and [`tokens`] the vocabulary.

mod architectures;
mod config;
mod header;
mod names;
mod parts;
mod tokens;

use std::path::Path;

use self::{architectures::Architecture, config::describe, header::broken, parts::Part};
pub(crate) use self::{
    parts::{first_of, name_of},
    tokens::TokenList,
};
use crate::{
    Error, Result,
    config::Config,
    error::{SHORT, excerpt},
    tensor_file::{Bytes, TensorFile},
};

/// What one model holds.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub(crate) config: Config,
    /// The file, or its parts in their order.
    pub(crate) weights: Vec<TensorFile>,
    /// `None` for a file without a tokenizer.
    pub(crate) tokens: Option<TokenList>,
}

impl Gguf {
    /// Opens a file; of a model in several, any of them.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`Error::WrongFile`] for a part that is not there or is another's.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::of(parts::with_others(Part::parse(path, Bytes::open(path)?)?)?)
    }

    /// # Errors
    /// [`Error::Weights`] for a damaged file, [`Error::UnknownFamily`] and [`Error::Unsupported`] for what is not read,
    /// [`Error::Tensor`] for a quantization that is not, [`Error::Config`].
    pub(crate) fn parse(path: &Path, bytes: Bytes) -> Result<Self> {
        let only = Part::parse(path, bytes)?;
        if only.count() > 1 {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                key: "split.count".to_owned(),
                found: only.count().to_string(),
                supported: "1 for the content of a file; parts are opened as files".to_owned(),
            });
        }
        Self::of(vec![only])
    }

    fn of(parts: Vec<Part>) -> Result<Self> {
        let (header, files) = parts::joined(parts)?;
        let Some((path, bytes)) = files.first() else {
            return Err(broken(Path::new(""), "no file"));
        };
        let name = header.text("general.architecture").unwrap_or_default();
        let Some(architecture) = Architecture::find(name, &header) else {
            return Err(Error::UnknownFamily {
                path: path.clone(),
                found: excerpt(name, SHORT),
                supported: Architecture::names(),
            });
        };
        let entries = architecture.entries(path, &header, files.len())?;
        let tokens = TokenList::read(path, &header, bytes)?;
        let path = path.clone();
        let mut weights: Vec<TensorFile> = files
            .into_iter()
            .zip(entries)
            .map(|((path, bytes), entries)| TensorFile::new(&path, bytes, entries))
            .collect();
        let config = describe(&path, &header, architecture, &mut weights)?;
        Ok(Self {
            config,
            weights,
            tokens,
        })
    }
}
