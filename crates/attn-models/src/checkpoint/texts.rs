//! How texts become tokens, as the files of a checkpoint say it.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{TOKENIZER, TOKENIZER_CONFIG};
use crate::{
    Result, Tokenizer,
    files::{self, LARGEST_CONFIG, LARGEST_VOCABULARY},
    formats::gguf::TokenList,
    json, pooling,
    vocabulary::Vocabulary,
};

/// What a tokenizer is made of, and the file or folder it is in.
#[derive(Debug, Clone)]
pub(super) enum Tokens {
    /// A `tokenizer.json`.
    Json(Cow<'static, [u8]>, PathBuf),
    /// Older vocabulary files.
    Files(Box<Vocabulary>, PathBuf),
    /// The list in a GGUF file.
    Listed(Arc<TokenList>, PathBuf),
}

impl Tokens {
    /// Those of a folder.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>> {
        if let Some(json) = files::read(&folder.join(TOKENIZER), LARGEST_VOCABULARY)? {
            return Ok(Some(Self::Json(Cow::Owned(json), folder.to_owned())));
        }
        let vocabulary = Vocabulary::find(folder)?;
        Ok(vocabulary.map(|vocabulary| Self::Files(Box::new(vocabulary), folder.to_owned())))
    }

    pub(super) fn tokenizer(&self, family: &str) -> Result<Tokenizer> {
        match self {
            Self::Json(bytes, folder) => Tokenizer::from_bytes(bytes, &folder.join(TOKENIZER)),
            Self::Files(vocabulary, folder) => {
                let path = folder.join(vocabulary.file);
                let tokenizer = Tokenizer::from_description(vocabulary.describe(family)?, &path)?;
                let targets = vocabulary.describe_targets(family)?;
                let targets = targets
                    .map(|targets| Tokenizer::from_description(targets, &path))
                    .transpose()?;
                Ok(tokenizer.with_targets(targets))
            }
            Self::Listed(list, file) => Tokenizer::from_description(list.describe(file)?, file),
        }
    }

    /// The file that holds nothing else, with its bytes.
    pub(super) fn file(&self) -> Option<(&str, usize)> {
        match self {
            Self::Json(bytes, _) => Some((TOKENIZER, bytes.len())),
            Self::Files(vocabulary, _) => Some((vocabulary.file, vocabulary.bytes.len())),
            Self::Listed(..) => None,
        }
    }
}

/// How texts are read, as far as it is said beside the tokenizer. A file that says nothing readable says nothing here.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    /// Tokens of the longest one: `model_max_length` of `tokenizer_config.json`, at which the reference cuts texts, or
    /// `max_seq_length` of sentence-transformers. `None` without a limit, which the reference writes as a number beyond
    /// 1e20.
    pub(super) longest: Option<usize>,
    /// `src_lang`, the language that they are marked with.
    pub(super) language: Option<String>,
    /// `tgt_lang`, the same of targets.
    pub(super) target_language: Option<String>,
    /// The special tokens by their roles, and `additional_special_tokens`.
    pub(super) special: Vec<String>,
}

impl Texts {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let of_sentences = pooling::longest_text(folder)?;
        let path = folder.join(TOKENIZER_CONFIG);
        let bytes = files::read(&path, LARGEST_CONFIG)?;
        let value = bytes
            .and_then(|bytes| json::parse(&bytes, &path).ok())
            .unwrap_or_default();
        let longest = value["model_max_length"].as_f64();
        let longest = longest
            .filter(|tokens| (1.0..=1e20).contains(tokens))
            .map(|tokens| tokens as usize);
        let token = |value: &serde_json::Value| value.as_str().or(value["content"].as_str()).map(str::to_owned);
        // In the reference's order.
        let roles = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];
        let roles = roles.iter().map(|role| &value[format!("{role}_token")]);
        let more = value["additional_special_tokens"].as_array();
        Ok(Self {
            special: roles.chain(more.into_iter().flatten()).filter_map(token).collect(),
            longest: [longest, of_sentences].into_iter().flatten().min(),
            language: value["src_lang"].as_str().map(str::to_owned),
            target_language: value["tgt_lang"].as_str().map(str::to_owned),
        })
    }
}
