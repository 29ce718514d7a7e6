//! Models whose ids are not those of their tokenizer.

use std::collections::{BTreeMap, HashMap};

use crate::tokenizer::is_language;

/// Ids of a model that are not those of its tokenizer: Marian's two tokenizers share one list of tokens.
#[derive(Debug)]
pub(crate) struct Renumbering {
    /// The model's id of each of the tokenizer's.
    to_model: Vec<u32>,
    /// The model's tokens.
    pub(crate) ids: BTreeMap<String, u32>,
    tokens: HashMap<u32, String>,
    /// Not shown when ids become text, beside tokens in angle brackets.
    unknown: u32,
}

impl Renumbering {
    /// `ids` are the model's tokens, `to_model` the model's id of each of the tokenizer's.
    pub(crate) fn new(to_model: Vec<u32>, ids: BTreeMap<String, u32>, unknown: u32) -> Self {
        Self {
            tokens: ids.iter().map(|(token, &id)| (id, token.clone())).collect(),
            to_model,
            ids,
            unknown,
        }
    }

    pub(crate) fn id(&self, id: u32) -> u32 {
        self.to_model.get(id as usize).copied().unwrap_or(self.unknown)
    }

    /// The token of one of the model's ids.
    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(&id).map(String::as_str)
    }

    /// The text of ids, special tokens left out; the id that is none, if one is not.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, u32> {
        let mut text = String::new();
        for id in ids {
            let token = self.tokens.get(id).ok_or(*id)?;
            let bracketed = token.starts_with('<') && token.ends_with('>');
            if *id != self.unknown && !bracketed && !is_language(token) {
                text.push_str(token);
            }
        }
        Ok(text.replace('▁', " ").trim_start().to_owned())
    }
}
