//! Languages of models that translate between many: each is a token, put around a text by the tokenizer, or the first
//! that the decoder writes.
//!
//! | model | tokens |
//! |---|---|
//! | NLLB (Costa-jussà et al. 2022) | `eng_Latn` |
//! | mBART, mBART-50 (Liu et al. 2020, Tang et al. 2020) | `en_XX` |
//! | M2M100 (Fan et al. 2020) | `__en__`, whose code is `en` |

use attn_core::third_party::guard;
use serde_json::Value;
use tokenizers::PostProcessorWrapper;

use super::Tokenizer;
use crate::{
    Error, Result,
    error::{SHORT, excerpt},
};

/// Codes that a message about an unknown one lists.
const SHOWN: usize = 5;

/// How the tokens of languages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Script,
    Region,
    Underscores,
}

/// How a token writes a language, if it may be one.
fn writing(token: &str) -> Option<Writing> {
    let lower = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    if let Some(code) = token.strip_prefix("__").and_then(|rest| rest.strip_suffix("__")) {
        return lower(code, &[2, 3]).then_some(Writing::Underscores);
    }
    let (language, rest) = token.split_once('_')?;
    let capital = rest.starts_with(|c: char| c.is_ascii_uppercase());
    if capital && lower(language, &[3]) && rest.len() == 4 && lower(&rest[1..], &[3]) {
        return Some(Writing::Script);
    }
    let region = rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_uppercase());
    (region && lower(language, &[2])).then_some(Writing::Region)
}

/// Whether a token may be a language.
pub(crate) fn is_language(token: &str) -> bool {
    writing(token).is_some()
}

/// The code of a language's token.
fn code(token: &str) -> &str {
    token.trim_matches('_')
}

/// The special tokens that a post-processor puts around a text.
fn around(processor: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = vec![processor];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                found.extend(map.get("SpecialToken").and_then(|token| token["id"].as_str()));
                open.extend(map.values());
            }
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    found
}

/// Puts one token in the place of another, wherever a post-processor names it.
fn replace(processor: &mut Value, old: &str, new: &str, id: u32) {
    let mut open = vec![processor];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(token) = map.get_mut("SpecialToken")
                    && token["id"] == old
                {
                    token["id"] = new.into();
                }
                if let Some(Value::Object(described)) = map.get_mut("special_tokens")
                    && described.remove(old).is_some()
                {
                    let token = serde_json::json!({"id": new, "ids": [id], "tokens": [new]});
                    described.insert(new.to_owned(), token);
                }
                open.extend(map.values_mut());
            }
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
}

impl Tokenizer {
    /// Notes the languages: where the token of one is put around a text, all tokens written like it. They are special
    /// tokens then, which not every file says.
    pub(super) fn with_languages(mut self, processor: &Value) -> Self {
        let own = around(processor)
            .into_iter()
            .find_map(|token| Some((token, writing(token)?)));
        let Some((own, written)) = own else { return self };
        let mut tokens: Vec<(u32, String)> = self
            .inner
            .get_vocab(true)
            .into_iter()
            .filter(|(token, _)| writing(token) == Some(written))
            .map(|(token, id)| (id, token))
            .collect();
        tokens.sort_unstable();
        if tokens.is_empty() {
            return self;
        }
        let known = self.inner.get_added_vocabulary();
        let new: Vec<tokenizers::AddedToken> = tokens
            .iter()
            .filter(|(_, token)| !known.is_special_token(token))
            .map(|(_, token)| tokenizers::AddedToken::from(token.clone(), true))
            .collect();
        let mut inner = self.inner.clone();
        if guard("tokenizers", || inner.add_special_tokens(new)).is_ok_and(|added| added.is_ok()) {
            self.inner = inner;
        }
        self.language = Some(own.to_owned());
        self.languages = tokens.into_iter().map(|(_, token)| token).collect();
        self
    }

    /// The same with special tokens that are told beside the file, where texts are marked with a language that the file
    /// itself does not list. As in the reference they follow the vocabulary, in their order.
    pub(crate) fn with_special(mut self, tokens: &[String]) -> Result<Self> {
        let broken = |message: String| Error::tokenizer(&self.path, message);
        let processor = self.inner.get_post_processor();
        let processor = serde_json::to_value(processor).map_err(|error| broken(error.to_string()))?;
        if !self.languages.is_empty() || !around(&processor).into_iter().any(is_language) {
            return Ok(self);
        }
        let mut inner = self.inner.clone();
        let new: Vec<_> = tokens
            .iter()
            .map(|token| tokenizers::AddedToken::from(token.clone(), true))
            .collect();
        let added = guard("tokenizers", || inner.add_special_tokens(new)).map_err(broken)?;
        added.map_err(|error| broken(error.to_string()))?;
        self.inner = inner;
        Ok(self.with_languages(&processor))
    }

    /// Codes of the languages that it can mark a text with, in the order of their ids: `eng_Latn` (NLLB), `en_XX`
    /// (mBART), `en` (M2M100). Empty for tokenizers without such marks.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(|token| code(token))
    }

    /// The language it marks texts with, if it does.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref().map(code)
    }

    /// The same for texts in another language. It does not change what [reads targets](Self::for_targets).
    ///
    /// # Errors
    /// As [`language_id`](Self::language_id).
    pub fn with_language(mut self, language: &str) -> Result<Self> {
        let token = self.language_token(language)?.to_owned();
        let (Some(old), Some(id)) = (self.language.clone(), self.inner.token_to_id(&token)) else {
            return Ok(self);
        };
        let broken = |error: serde_json::Error| Error::tokenizer(&self.path, error.to_string());
        let mut processor = serde_json::to_value(self.inner.get_post_processor()).map_err(broken)?;
        replace(&mut processor, &old, &token, id);
        let processor: PostProcessorWrapper = serde_json::from_value(processor).map_err(broken)?;
        self.inner.with_post_processor(Some(processor));
        self.language = Some(token);
        Ok(self)
    }

    /// The id of a language's token, with which the decoder of a translation begins.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a language that it does not have, with those that are written most alike.
    pub fn language_id(&self, language: &str) -> Result<u32> {
        let token = self.language_token(language)?;
        self.id(token)
            .ok_or_else(|| Error::parameter("language", "a token of the vocabulary", excerpt(token, SHORT)))
    }

    fn language_token(&self, language: &str) -> Result<&str> {
        let found = self
            .languages
            .iter()
            .find(|token| *token == language || code(token) == language);
        if let Some(token) = found {
            return Ok(token);
        }
        let expected = if self.languages.is_empty() {
            "none: the tokenizer marks texts with no language".to_owned()
        } else {
            let wanted = excerpt(language, SHORT);
            let mut near: Vec<(usize, &str)> = self.languages().map(|code| (distance(&wanted, code), code)).collect();
            near.sort_unstable();
            let near: Vec<&str> = near.iter().take(SHOWN).map(|&(_, code)| code).collect();
            format!("one of {} languages, perhaps {}", self.languages.len(), near.join(", "))
        };
        Err(Error::parameter("language", expected, excerpt(language, SHORT)))
    }
}

/// How many letters have to be changed, put in or left out (Levenshtein 1966), whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, letter) in a.to_lowercase().chars().enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for at in 0..b.len() {
            let changed = corner + usize::from(letter != b[at]);
            corner = row[at + 1];
            row[at + 1] = changed.min(corner + 1).min(row[at] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_languages_are_told_apart() {
        assert_eq!(writing("eng_Latn"), Some(Writing::Script));
        assert_eq!(writing("en_XX"), Some(Writing::Region));
        assert_eq!(writing("__ast__"), Some(Writing::Underscores));
        for other in [
            "",
            "_",
            "__",
            "____",
            "en",
            "eng_latn",
            "en_X",
            "<s>",
            "__EN__",
            "eng_Latné",
            "é_XX",
        ] {
            assert_eq!(writing(other), None, "{other}");
        }
    }

    #[test]
    fn distances_count_changed_letters() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("DE_de", "de_DE", 0),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (wanted, wanted), "{a} {b}");
        }
    }
}
