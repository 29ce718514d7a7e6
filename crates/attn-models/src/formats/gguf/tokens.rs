//! The vocabulary in a GGUF file, as it is; what it amounts to is said in `vocabulary`.

use std::path::Path;

use super::header::{Header, broken};
use crate::Result;

/// A list of tokens and what is said about them.
#[derive(Debug, Clone)]
pub(crate) struct TokenList {
    /// How texts are split: `llama` (SentencePiece's byte pairs), `gpt2` (byte pairs of bytes), `bert` (words and
    /// their pieces), `t5` (SentencePiece's unigrams), or another.
    pub(crate) model: String,
    /// Of byte pairs of bytes, how words are found.
    pub(crate) words: String,
    pub(crate) tokens: Vec<String>,
    /// The compiled table of normalization of a SentencePiece model; empty without one.
    pub(crate) table: Vec<u8>,
    /// One per token; empty where there are none.
    pub(crate) scores: Vec<f32>,
    /// One per token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Empty where there are none.
    pub(crate) kinds: Vec<u64>,
    pub(crate) merges: Vec<String>,
    pub(crate) begin: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) unknown: Option<String>,
    /// Whether a text begins and ends with those tokens, where that is said.
    pub(crate) adds_begin: Option<bool>,
    pub(crate) adds_end: Option<bool>,
    /// Whether a text begins with a space, where that is said.
    pub(crate) adds_space: Option<bool>,
}

impl TokenList {
    /// Reads the vocabulary, if there is one.
    pub(super) fn read(path: &Path, header: &Header, bytes: &[u8]) -> Result<Option<Self>> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let Some(model) = header.text(&key("model")) else {
            return Ok(None);
        };
        let tokens = header.texts(&key("tokens"), bytes);
        let tokens = tokens.ok_or_else(|| broken(path, "`tokenizer.ggml.tokens`: expected a list of texts"))?;
        let numbers = |name: &str| -> Result<Vec<f64>> {
            if !header.said.contains_key(&key(name)) {
                return Ok(Vec::new());
            }
            let numbers = header.numbers(&key(name), bytes);
            let numbers = numbers.filter(|numbers| numbers.len() == tokens.len());
            let expected = || {
                format!(
                    "`tokenizer.ggml.{name}`: expected a number for each of {} tokens",
                    tokens.len()
                )
            };
            numbers.ok_or_else(|| broken(path, expected()))
        };
        let token = |name: &str| -> Result<Option<String>> {
            let Some(id) = header.integer(&key(name)) else {
                return Ok(None);
            };
            let token = usize::try_from(id).ok().and_then(|id| tokens.get(id));
            let expected = || {
                format!(
                    "`tokenizer.ggml.{name}`: expected one of {} tokens, found {id}",
                    tokens.len()
                )
            };
            token.cloned().map(Some).ok_or_else(|| broken(path, expected()))
        };
        Ok(Some(Self {
            model: model.to_owned(),
            words: header.text(&key("pre")).unwrap_or_default().to_owned(),
            scores: numbers("scores")?.into_iter().map(|score| score as f32).collect(),
            kinds: numbers("token_type")?.into_iter().map(|kind| kind as u64).collect(),
            // Bytes, with a sign or without.
            table: header
                .numbers(&key("precompiled_charsmap"), bytes)
                .unwrap_or_default()
                .into_iter()
                .map(|byte| (byte as i64) as u8)
                .collect(),
            merges: header.texts(&key("merges"), bytes).unwrap_or_default(),
            begin: token("bos_token_id")?,
            end: token("eos_token_id")?,
            unknown: token("unknown_token_id")?,
            adds_begin: header.flag(&key("add_bos_token")),
            adds_end: header.flag(&key("add_eos_token")),
            adds_space: header.flag(&key("add_space_prefix")),
            tokens,
        }))
    }
}
