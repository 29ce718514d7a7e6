//! GGUF: one file with a model's configuration, tokenizer and (often quantized) weights, as llama.cpp reads it.
//!
//! The file's own names and orders become those of the hub when it is opened, so that a family sees a checkpoint like any
//! other: [`header`] reads what is there, [`architectures`] and [`names`] say what it is on the hub, [`config`] writes the
//! `config.json` and [`tokens`] the vocabulary.

mod architectures;
mod config;
mod header;
mod names;
mod tokens;

use std::path::Path;

pub(crate) use self::tokens::TokenList;
use self::{architectures::Architecture, config::describe, header::Header};
use crate::{
    Error, Result,
    config::Config,
    error::{SHORT, excerpt},
    files::is_itself,
    tensor_file::{Bytes, TensorFile},
};

/// What one file holds.
#[derive(Debug)]
pub(crate) struct Gguf {
    pub(crate) config: Config,
    pub(crate) weights: TensorFile,
    /// `None` for a file without a tokenizer.
    pub(crate) tokens: Option<TokenList>,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::parse(path, Bytes::open(path)?)
    }

    /// # Errors
    /// [`Error::Weights`] for a damaged file, [`Error::UnknownFamily`] and [`Error::Unsupported`] for what is not read,
    /// [`Error::Tensor`] for a quantization that is not, [`Error::Config`].
    pub(crate) fn parse(path: &Path, bytes: Bytes) -> Result<Self> {
        is_itself(path, &bytes)?;
        let header = Header::parse(path, &bytes)?;
        if header.integer("split.count").is_some_and(|count| count > 1) {
            return Err(Error::Unsupported {
                path: path.to_owned(),
                key: "split.count".to_owned(),
                found: "several files".to_owned(),
                supported: "one file: merge them with `llama-gguf-split --merge`".to_owned(),
            });
        }
        let name = header.text("general.architecture").unwrap_or_default();
        let Some(architecture) = Architecture::find(name, &header) else {
            return Err(Error::UnknownFamily {
                path: path.to_owned(),
                found: excerpt(name, SHORT),
                supported: Architecture::names(),
            });
        };
        let entries = architecture.entries(path, &header)?;
        let tokens = TokenList::read(path, &header, &bytes)?;
        let mut weights = TensorFile::new(path, bytes, entries);
        let config = describe(path, &header, architecture, &mut weights)?;
        Ok(Self {
            config,
            weights,
            tokens,
        })
    }
}
