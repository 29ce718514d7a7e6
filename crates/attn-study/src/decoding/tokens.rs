//! Tokens of one side, with their classes and words.

use attn_core::Token;
use attn_models::Tokenizer;
use serde::{Deserialize, Serialize};

/// What a token is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenClass {
    /// A piece of text.
    #[default]
    Text,
    /// A token of the model's format: start, end, padding.
    Special,
    /// A language: `__de__`, `deu_Latn`, `de_DE`, `>>deu<<`.
    Language,
}

/// The tokens of one side. All lists are as long as `tokens`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    /// The text, without special tokens.
    pub text: String,
    /// Readable text of each token.
    pub tokens: Vec<String>,
    /// Ids in the vocabulary.
    pub ids: Vec<u32>,
    /// What each token is for.
    pub classes: Vec<TokenClass>,
    /// The word each token belongs to, counted from 0; `None` for special and language tokens.
    pub words: Vec<Option<usize>>,
}

impl TokenRow {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether a token is text, and no token of the format.
    pub fn is_text(&self, token: usize) -> bool {
        self.classes.get(token) == Some(&TokenClass::Text)
    }

    /// Groups of tokens: words, and every other token alone, in order. Each has its text and its tokens.
    pub fn word_groups(&self) -> Vec<(String, Vec<usize>)> {
        let mut groups: Vec<(Option<usize>, String, Vec<usize>)> = Vec::new();
        for (at, text) in self.tokens.iter().enumerate() {
            let word = self.words.get(at).copied().flatten();
            match groups.last_mut() {
                Some((last, name, members)) if word.is_some() && *last == word => {
                    name.push_str(text.trim_start_matches("##").trim_matches('␣'));
                    members.push(at);
                }
                _ => groups.push((word, text.clone(), vec![at])),
            }
        }
        groups.into_iter().map(|(_, text, members)| (text, members)).collect()
    }

    /// The groups of one token each.
    pub fn piece_groups(&self) -> Vec<(String, Vec<usize>)> {
        self.tokens
            .iter()
            .enumerate()
            .map(|(at, text)| (text.clone(), vec![at]))
            .collect()
    }

    /// Tokens that a tokenizer read. Words are those between white space, as in files of alignments; where there is none, those of
    /// the tokenizer.
    pub(super) fn read(text: &str, tokens: &[Token]) -> Self {
        let classes: Vec<TokenClass> = tokens.iter().map(class).collect();
        let spaced = text.split_whitespace().nth(1).is_some();
        let start = text.as_ptr().addr();
        let begins: Vec<usize> = text
            .split_whitespace()
            .map(|word| word.as_ptr().addr() - start)
            .collect();
        let word = |token: &Token| {
            let (from, to) = token.span.filter(|_| spaced)?;
            let piece = text.get(from..to)?;
            let letter = from + piece.len() - piece.trim_start().len();
            begins.partition_point(|&begin| begin <= letter).checked_sub(1)
        };
        let words = tokens.iter().zip(&classes).map(|(token, class)| {
            let word = word(token).or(token.word);
            word.filter(|_| *class == TokenClass::Text)
        });
        Self {
            text: text.to_owned(),
            tokens: tokens.iter().map(|token| token.text.clone()).collect(),
            ids: tokens.iter().map(|token| token.id.unwrap_or(0)).collect(),
            words: words.collect(),
            classes,
        }
    }

    /// Tokens that a model wrote. A word begins where the decoded text has white space.
    pub(super) fn written(tokenizer: &Tokenizer, ids: &[u32]) -> Self {
        let tokens: Vec<Token> = ids.iter().map(|&id| tokenizer.token(id)).collect();
        // Where the decoder is not supported, tokens stand for the text.
        let decode = |ids: &[u32]| match tokenizer.decode(ids) {
            Ok(text) => text,
            Err(_) => {
                let tokens = ids.iter().map(|&id| tokenizer.token(id)).filter(|token| !token.special);
                tokens.map(|token| token.text).collect::<Vec<_>>().join(" ")
            }
        };
        let mut row = Self::read(&decode(ids), &tokens);
        let mut shown = String::new();
        let mut word = None;
        for at in 0..ids.len() {
            let text = decode(&ids[..=at]);
            let more = text.strip_prefix(shown.as_str()).unwrap_or_default();
            let begins = more.starts_with(char::is_whitespace) || shown.ends_with(char::is_whitespace);
            if row.classes[at] == TokenClass::Text {
                word = Some(match word {
                    None => 0,
                    Some(word) if begins => word + 1,
                    Some(word) => word,
                });
                row.words[at] = word;
            }
            // Half a character reads as a replacement until its last byte is there.
            if !more.ends_with('\u{fffd}') {
                shown = text;
            }
        }
        row
    }
}

/// What a token is for.
pub(super) fn class(token: &Token) -> TokenClass {
    if is_language(&token.text, token.special) {
        TokenClass::Language
    } else if token.special {
        TokenClass::Special
    } else {
        TokenClass::Text
    }
}

/// Whether a token names a language, by the spellings of the multilingual families.
fn is_language(text: &str, special: bool) -> bool {
    let between = |start: &str, end: &str| {
        let inner = text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        inner.is_some_and(|inner| inner.len() >= 2 && inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    if between(">>", "<<") {
        return true;
    }
    let parts = text.split_once('_').is_some_and(|(language, script)| {
        let lower = (2..=3).contains(&language.len()) && language.chars().all(|c| c.is_ascii_lowercase());
        let region = script.len() == 2 && script.chars().all(|c| c.is_ascii_uppercase());
        let name = script.len() == 4 && script.starts_with(|c: char| c.is_ascii_uppercase());
        lower && (region || name)
    });
    special && (between("__", "__") || parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_a_class_of_their_own() {
        for name in ["__de__", "deu_Latn", "de_DE"] {
            assert!(is_language(name, true), "{name}");
            assert!(!is_language(name, false), "{name}");
        }
        assert!(is_language(">>fra<<", false));
        assert!(!is_language("</s>", true));
    }

    #[test]
    fn words_join_their_pieces() {
        let token = |text: &str, word: Option<usize>, special| Token {
            text: text.into(),
            word,
            special,
            ..Token::default()
        };
        let tokens = [
            token("[CLS]", None, true),
            token("walk", Some(0), false),
            token("##ing", Some(0), false),
            token("home", Some(1), false),
        ];
        let groups = TokenRow::read("walking home", &tokens).word_groups();
        let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["[CLS]", "walking", "home"]);
        assert_eq!(groups[1].1, [1, 2]);
    }
}
