//! Tokenizers of checkpoints that are published without `tokenizer.json`.
//!
//! Older checkpoints hold a vocabulary in the format of the program that made it: `vocab.txt` (WordPiece),
//! `vocab.json` with `merges.txt` (byte-level BPE) or a SentencePiece model. What such a file leaves open (normalizer,
//! special tokens, what is put around a text) belongs to the model family. Here each is written as the
//! `tokenizer.json` it amounts to, so that there is one way on.

mod byte_level;
mod deberta;
mod listed;
mod pegasus;
mod pieces;
mod renumbering;
mod sentencepiece;
mod wordpiece;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

pub(crate) use self::{pieces::is_sound, renumbering::Renumbering};
use crate::{
    Error, Result,
    checkpoint::TOKENIZER_CONFIG,
    families::Config,
    files::{self, LARGEST_CONFIG, LARGEST_VOCABULARY, is_itself},
};

/// Vocabulary files in the order they are looked for, and the format of each.
const FILES: [(&str, Format); 7] = [
    ("sentencepiece.bpe.model", Format::SentencePiece),
    ("spiece.model", Format::SentencePiece),
    ("spm.model", Format::SentencePiece),
    (SOURCE, Format::SentencePiece),
    ("vocab.txt", Format::WordPiece),
    ("vocab.json", Format::ByteLevel),
    ("tokenizer.model", Format::SentencePiece),
];
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const MERGES: &str = "merges.txt";
const VOCAB: &str = "vocab.json";
/// Marian's model of the sources and of the targets.
const SOURCE: &str = "source.spm";
const TARGET: &str = "target.spm";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    WordPiece,
    ByteLevel,
    SentencePiece,
}

impl Format {
    /// The file beside the vocabulary.
    fn second(self) -> Option<&'static str> {
        match self {
            Self::WordPiece => None,
            Self::ByteLevel => Some(MERGES),
            Self::SentencePiece => Some(VOCAB),
        }
    }
}

/// The vocabulary files of a folder, as they are.
#[derive(Debug, Clone)]
pub(crate) struct Vocabulary {
    format: Format,
    folder: PathBuf,
    /// Name of the vocabulary file.
    pub(crate) file: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// `merges.txt` of a byte-level BPE; `vocab.json` of a SentencePiece model that has one (Marian).
    second: Option<Vec<u8>>,
    /// The model of targets beside that of sources.
    target: Option<Vec<u8>>,
    /// What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say; empty without them.
    options: Config,
    special: Config,
    added: Config,
}

/// What is said about a tokenizer beside its vocabulary.
struct Settings<'a> {
    family: &'a str,
    options: &'a Config,
    special: &'a Config,
    added: &'a Config,
    path: PathBuf,
}

/// A `tokenizer.json`, and how its ids become the model's where they differ.
pub(crate) struct Description {
    pub(crate) json: Value,
    pub(crate) renumbering: Option<Renumbering>,
}

impl Vocabulary {
    /// Reads the vocabulary of a folder, if it has one.
    pub(crate) fn find(folder: &Path) -> Result<Option<Self>> {
        let read = |name: &str| files::read(&folder.join(name), LARGEST_VOCABULARY);
        let options = |name: &str| -> Result<Config> {
            let path = folder.join(name);
            let bytes = files::read(&path, LARGEST_CONFIG)?;
            Config::parse(bytes.as_deref().unwrap_or(b"{}"), &path)
        };
        let mut found = None;
        for (file, format) in FILES {
            if let Some(bytes) = read(file)? {
                found = Some((file, format, bytes));
                break;
            }
        }
        let Some((file, format, bytes)) = found else {
            return Ok(None);
        };
        Ok(Some(Self {
            format,
            folder: folder.to_owned(),
            file,
            bytes,
            second: match format.second() {
                Some(name) => read(name)?,
                None => None,
            },
            target: match file {
                SOURCE => read(TARGET)?,
                _ => None,
            },
            options: options(TOKENIZER_CONFIG)?,
            special: options(SPECIAL_TOKENS)?,
            added: options(ADDED_TOKENS)?,
        }))
    }

    /// The `tokenizer.json` it amounts to, for a model family.
    pub(crate) fn describe(&self, family: &str) -> Result<Description> {
        self.described(family, self.file, &self.bytes)
    }

    /// The same for targets, where those have a vocabulary of their own.
    pub(crate) fn describe_targets(&self, family: &str) -> Result<Option<Description>> {
        let described = |bytes: &Vec<u8>| self.described(family, TARGET, bytes);
        self.target.as_ref().map(described).transpose()
    }

    fn described(&self, family: &str, file: &str, bytes: &[u8]) -> Result<Description> {
        let settings = Settings {
            family,
            options: &self.options,
            special: &self.special,
            added: &self.added,
            path: self.folder.join(file),
        };
        let second = self.second.as_deref();
        is_itself(&settings.path, bytes)?;
        if let (Some(name), Some(bytes)) = (self.format.second(), second) {
            is_itself(&self.folder.join(name), bytes)?;
        }
        match self.format {
            Format::WordPiece => wordpiece::describe(&settings, bytes),
            Format::ByteLevel => byte_level::describe(&settings, bytes, second),
            Format::SentencePiece => sentencepiece::describe(&settings, bytes, second),
        }
    }
}

impl Settings<'_> {
    fn broken(&self, message: impl Into<String>) -> Error {
        Error::tokenizer(&self.path, message.into())
    }

    /// The class that wrote the tokenizer; empty if unknown.
    fn class(&self) -> Result<&str> {
        Ok(self.options.text("tokenizer_class")?.unwrap_or_default())
    }

    /// How a special token is spelt: as the files say, or the family's default.
    fn spelling(&self, role: &str, default: &str) -> String {
        let said = [self.options, self.special].into_iter().find_map(|place| {
            let value = place.get(role)?;
            value.as_str().or_else(|| value.get("content")?.as_str())
        });
        said.unwrap_or(default).to_owned()
    }

    /// The `additional_special_tokens`, in their order, if the files have them.
    fn more_special(&self) -> Result<Option<Vec<String>>> {
        for place in [self.special, self.options] {
            let Some(list) = place.get("additional_special_tokens") else {
                continue;
            };
            let token = |value: &Value| {
                let text = value.as_str().or_else(|| value.get("content")?.as_str());
                text.map(str::to_owned)
            };
            let tokens = list.as_array().and_then(|list| list.iter().map(token).collect());
            return tokens
                .map(Some)
                .ok_or_else(|| place.wrong("additional_special_tokens", "a list of tokens"));
        }
        Ok(None)
    }

    /// The same, and whether it takes the white space before it, as the reference has masks do.
    fn mask(&self, default: &str) -> Added {
        let described = [self.options, self.special]
            .into_iter()
            .find_map(|place| place.get("mask_token")?.get("lstrip")?.as_bool());
        Added {
            content: self.spelling("mask_token", default),
            left: described.unwrap_or(true),
            special: true,
        }
    }

    /// Tokens behind the pieces, the first with the id `first`: in their usual order or, where `added_tokens_decoder`
    /// has their ids, in the order of those.
    fn in_order(&self, mut tokens: Vec<String>, first: usize) -> Result<Vec<String>> {
        let Some(decoder) = self.options.object("added_tokens_decoder")? else {
            return Ok(tokens);
        };
        let entries = decoder.entries();
        let said: BTreeMap<&str, usize> = entries
            .filter_map(|(id, token)| Some((token.get("content")?.as_str()?, id.parse().ok()?)))
            .collect();
        let id = |token: &String| said.get(token.as_str()).copied();
        if tokens.iter().all(|token| id(token).is_some()) {
            tokens.sort_by_key(id);
        }
        for (token, place) in tokens.iter().zip(first..) {
            if let Some(id) = id(token).filter(|&id| id != place) {
                return Err(self.broken(format!(
                    "`added_tokens_decoder`: expected id {place} for `{token}`, found {id}"
                )));
            }
        }
        Ok(tokens)
    }

    /// A complete description.
    fn description(
        &self,
        model: Value,
        normalizer: Value,
        pre_tokenizer: Value,
        post_processor: Value,
        decoder: Value,
        added: &[(Added, u32)],
    ) -> Result<Value> {
        let mut all: BTreeMap<u32, Value> = added.iter().map(|(token, id)| (*id, token.value(*id))).collect();
        for (content, id) in self.added.entries() {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| self.added.wrong(content, "a token's id"))?;
            all.entry(id)
                .or_insert_with(|| Added::special(content.clone()).value(id));
        }
        if let Some(decoder) = self.options.object("added_tokens_decoder")? {
            for (id, token) in decoder.entries() {
                let content = token.get("content").and_then(Value::as_str);
                let (Ok(number), Some(content)) = (id.parse::<u32>(), content) else {
                    return Err(decoder.wrong(id, "an id and a token's content"));
                };
                let flag = |key: &str| token.get(key).and_then(Value::as_bool).unwrap_or(false);
                let value = json!({"id": number, "content": content, "single_word": flag("single_word"),
                    "lstrip": flag("lstrip"), "rstrip": flag("rstrip"), "normalized": flag("normalized"),
                    "special": flag("special")});
                all.insert(number, value);
            }
        }
        let added: Vec<Value> = all.into_values().collect();
        Ok(
            json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
            "decoder": decoder, "model": model}),
        )
    }

    /// Special tokens around one text and around two: each part is a token, or `A` or `B` for the texts, and the type
    /// of its tokens.
    fn template(&self, single: &[Part<'_>], pair: &[Part<'_>], id: impl Fn(&str) -> Option<u32>) -> Result<Value> {
        let mut tokens = serde_json::Map::new();
        let mut parts = |parts: &[Part<'_>]| -> Result<Vec<Value>> {
            let mut part = |&(name, of): &Part<'_>| -> Result<Value> {
                if name == "A" || name == "B" {
                    return Ok(json!({"Sequence": {"id": name, "type_id": of}}));
                }
                let id =
                    id(name).ok_or_else(|| self.broken(format!("special token `{name}` is not in the vocabulary")))?;
                tokens.insert(name.to_owned(), json!({"id": name, "ids": [id], "tokens": [name]}));
                Ok(json!({"SpecialToken": {"id": name, "type_id": of}}))
            };
            parts.iter().map(&mut part).collect()
        };
        let (single, pair) = (parts(single)?, parts(pair)?);
        Ok(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}))
    }
}

/// A piece of a template, and the type of its tokens.
type Part<'a> = (&'a str, u32);

/// A token that is found in a text before anything else.
struct Added {
    content: String,
    /// Whether it takes the white space before it.
    left: bool,
    special: bool,
}

impl Added {
    fn special(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            left: false,
            special: true,
        }
    }

    fn value(&self, id: u32) -> Value {
        json!({"id": id, "content": self.content, "single_word": false, "lstrip": self.left, "rstrip": false,
            "normalized": false, "special": self.special})
    }
}
