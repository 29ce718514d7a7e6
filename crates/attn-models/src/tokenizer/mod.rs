//! From text to the tokens of a model, and back.
//!
//! The splitting is that of the `tokenizers` library, which reads `tokenizer.json` exactly as the reference does;
//! this module adds what a viewer needs: words, byte spans, readable text, and cutting to the model's longest input.
//!
//! A file is checked before the library reads it, and a panic of the library is an [`Error::Tokenizer`]. The panic hook
//! of the program still runs then, and the standard one prints; where panics abort, nothing is caught.

mod description;
mod languages;
mod words;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use attn_core::{Attention, ModelInfo, Token, third_party::guard};

pub(crate) use self::languages::is_language;
use self::words::words;
use crate::{
    Error, Result,
    error::{SHORT, excerpt},
    json,
    vocabulary::{Description, Renumbering},
};

/// Shown for tokens that are nothing but white space.
const VISIBLE_SPACE: [(char, char); 3] = [(' ', '␣'), ('\n', '⏎'), ('\t', '⇥')];

/// A tokenizer loaded from `tokenizer.json`, or from the vocabulary files older checkpoints have instead.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    /// Tokens spell bytes with stand-in characters (`Ġ` for a space), as in GPT-2.
    byte_level: bool,
    /// Its decoder takes letters off the end of tokens.
    strips_ends: bool,
    renumbering: Option<Arc<Renumbering>>,
    /// The token of the language that texts are marked with, and all tokens of languages.
    language: Option<String>,
    languages: Vec<String>,
    /// What reads targets, where that is another.
    targets: Option<Arc<Tokenizer>>,
    /// Tokens up to which a text is read, if the tokenizer says so.
    max_tokens: Option<usize>,
    /// The token that texts are filled up with to the longest.
    filling: Option<u32>,
    /// What marks the last token of a word (CLIP's `</w>`).
    word_end: Option<String>,
    /// The token of what is in no vocabulary.
    unknown: Option<String>,
}

/// A text as a model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The tokens, those the format adds included.
    pub tokens: Vec<Token>,
    /// Which of two texts each token belongs to (`token_type_ids`); all 0 for a single text.
    pub types: Vec<u32>,
    /// How many there were before the text was cut to the model's longest input; `None` if it was not cut.
    pub cut_from: Option<usize>,
}

impl Encoded {
    /// The tokens' ids.
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().filter_map(|token| token.id).collect()
    }
}

impl Tokenizer {
    /// Loads the content of a `tokenizer.json`; `path` is what errors name.
    ///
    /// # Errors
    /// [`Error::Json`] if it is cut or no JSON, [`Error::WrongFile`] for a pointer or a web page in its place,
    /// [`Error::Tokenizer`] if it describes no tokenizer.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let broken = |message: String| Error::tokenizer(path, message);
        let text = json::text(bytes, path)?;
        let description: serde_json::Value = serde_json::from_str(&text).map_err(|error| Error::json(path, &error))?;
        description::check(&description).map_err(broken)?;
        let parsed = guard("tokenizers", || text.parse::<tokenizers::Tokenizer>()).map_err(broken)?;
        let mut inner = parsed.map_err(|error| broken(error.to_string()))?;
        // Published files may ask for padding or truncation to some fixed length; both are decided here.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| broken(error.to_string()))?;
        let tokenizer = Self {
            inner,
            path: path.to_owned(),
            byte_level: description::is_byte_level(&description),
            strips_ends: description::strips_ends(&description),
            renumbering: None,
            language: None,
            languages: Vec::new(),
            targets: None,
            max_tokens: None,
            filling: None,
            word_end: description["model"]["end_of_word_suffix"].as_str().map(str::to_owned),
            unknown: description::unknown(&description).map(str::to_owned),
        };
        Ok(tokenizer.with_languages(&description["post_processor"]))
    }

    /// The same for texts of at most so many tokens; `None` leaves it to the model. A checkpoint's own tokenizer has the
    /// `model_max_length` of `tokenizer_config.json`, which matters for models without a limit of their own, like T5.
    pub fn with_max_tokens(mut self, tokens: Option<usize>) -> Self {
        self.max_tokens = tokens;
        let targets = self.targets.take();
        self.with_targets(targets.map(|targets| (*targets).clone().with_max_tokens(tokens)))
    }

    /// Tokens up to which a text is read, if the tokenizer says so.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens
    }

    /// The same with texts filled up by this token to the longest that the model takes (SigLIP).
    pub(crate) fn with_filling(mut self, filling: Option<u32>) -> Self {
        self.filling = filling;
        self
    }

    /// The same with another tokenizer for targets that are given.
    pub(crate) fn with_targets(mut self, targets: Option<Self>) -> Self {
        self.targets = targets.map(Arc::new);
        self
    }

    /// What reads the targets of an encoder-decoder: itself or, where targets have a vocabulary (`target.spm`) or a
    /// language (`tgt_lang`) of their own, the tokenizer of that.
    pub fn for_targets(&self) -> &Self {
        self.targets.as_deref().unwrap_or(self)
    }

    /// A tokenizer from the description of a vocabulary; `path` is the vocabulary's file.
    pub(crate) fn from_description(description: Description, path: &Path) -> Result<Self> {
        let bytes = serde_json::to_vec(&description.json).map_err(|error| Error::json(path, &error))?;
        Ok(Self {
            renumbering: description.renumbering.map(Arc::new),
            ..Self::from_bytes(&bytes, path)?
        })
    }

    /// Entries of its vocabulary, special tokens included.
    pub fn vocab_size(&self) -> usize {
        match &self.renumbering {
            Some(renumbering) => renumbering.ids.len(),
            None => self.inner.get_vocab_size(true),
        }
    }

    /// The id of a token spelt as in the vocabulary (`[MASK]`, `Ġthe`).
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.renumbering {
            Some(renumbering) => renumbering.ids.get(token).copied(),
            None => self.inner.token_to_id(token),
        }
    }

    /// The id of the token that stands for what its vocabulary has no token for (`[UNK]`, `<unk>`); `None` where every text has
    /// tokens, as bytes do.
    pub fn unknown_id(&self) -> Option<u32> {
        self.id(self.unknown.as_deref()?)
    }

    /// The special tokens of its vocabulary (`[MASK]`, `</s>`), in order: what a generated text does not need, the end
    /// apart.
    pub fn special_ids(&self) -> Vec<u32> {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        let mut ids: Vec<u32> = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(&id, _)| self.model_id(id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// A token by its id, with its readable text and without a word and a place.
    pub fn token(&self, id: u32) -> Token {
        let spelling = match &self.renumbering {
            Some(renumbering) => renumbering.token(id).map(str::to_owned),
            None => self.inner.id_to_token(id),
        };
        let spelling = spelling.unwrap_or_else(|| format!("<{id}>"));
        Token {
            text: self.readable(self.inner.token_to_id(&spelling), &spelling),
            id: Some(id),
            special: self.inner.get_added_vocabulary().is_special_token(&spelling),
            ..Token::default()
        }
    }

    /// Tokens of a text, with the special tokens the model's format adds. A text that is longer than the model takes, or
    /// than the [tokenizer](Self::max_tokens) says it does, is cut at its end; the special tokens that close it are kept.
    ///
    /// # Errors
    /// [`Error::Empty`] for a text without a token, [`Error::OutsideVocabulary`] if the tokenizer is not the
    /// model's, [`Error::Tokenizer`], also where the longest text leaves no place beside special tokens.
    pub fn encode(&self, text: &str, model: &ModelInfo) -> Result<Encoded> {
        self.tokens(text, None, model)
    }

    /// The ids that a generation starts from: an encoder-decoder's source, or the text that a decoder continues, which does not end
    /// yet. A text that is too long is cut; `encode(..)?.cut_from` tells whether this one is.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn prompt(&self, text: &str, model: &ModelInfo) -> Result<Vec<u32>> {
        let mut encoded = self.encode(text, model)?;
        let continues = model.attention(Attention::Cross).is_none();
        if continues && encoded.tokens.len() > 1 && encoded.tokens.last().is_some_and(|last| last.special) {
            encoded.tokens.pop();
        }
        Ok(encoded.ids())
    }

    /// The ids of a text without the special tokens of the model's format: what an answer has to begin with
    /// ([`GenerationParams::prefix`](crate::generate::GenerationParams::prefix)). A text that is too long is cut;
    /// `encode(..)?.cut_from` tells whether this one is.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn plain_ids(&self, text: &str, model: &ModelInfo) -> Result<Vec<u32>> {
        let mut encoded = self.encode(text, model)?;
        encoded.tokens.retain(|token| !token.special);
        Ok(encoded.ids())
    }

    /// Tokens of a pair of texts as one sequence, as for models that compare two sentences. The spans of each
    /// token lie in its own text; words count on.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_pair(&self, text: &str, second: &str, model: &ModelInfo) -> Result<Encoded> {
        self.tokens(text, Some(second), model)
    }

    fn tokens(&self, text: &str, second: Option<&str>, model: &ModelInfo) -> Result<Encoded> {
        let broken = |message: String| Error::tokenizer(&self.path, message);
        let encoded = guard("tokenizers", || match second {
            None => self.inner.encode(text, true),
            Some(second) => self.inner.encode((text, second), true),
        });
        let encoding = encoded.map_err(broken)?.map_err(|error| broken(error.to_string()))?;
        let special: Vec<bool> = encoding
            .get_special_tokens_mask()
            .iter()
            .map(|&mask| mask != 0)
            .collect();
        let words = words(text, second, &encoding, &special);
        let model_id = |id: u32| self.model_id(id);
        let mut tokens: Vec<Token> = (0..encoding.len())
            .map(|at| {
                let id = encoding.get_ids()[at];
                Token {
                    text: self.readable(Some(id), encoding.get_tokens().get(at).map_or("", String::as_str)),
                    id: Some(model_id(id)),
                    position: at,
                    word: words[at],
                    span: (!special[at]).then_some(encoding.get_offsets()[at]),
                    special: special[at],
                    patch: None,
                }
            })
            .collect();
        if text.trim().is_empty() || tokens.iter().all(|token| token.special) {
            return Err(Error::Empty {
                place: "text".to_owned(),
                message: "a text with at least one token".to_owned(),
            });
        }
        if let Some(vocab_size) = model.vocab_size
            && let Some((token, id)) = tokens
                .iter()
                .zip(encoding.get_ids().iter().map(|&id| model_id(id)))
                .find(|(_, id)| *id as usize >= vocab_size)
        {
            return Err(Error::OutsideVocabulary {
                place: "text".to_owned(),
                token: excerpt(&token.text, SHORT),
                id,
                vocab_size,
            });
        }
        let mut types = encoding.get_type_ids().to_vec();
        let longest = [model.max_tokens, self.max_tokens].into_iter().flatten().min();
        let cut_from = match longest {
            Some(longest) if tokens.len() > longest => {
                let before = tokens.len();
                let closing = tokens
                    .iter()
                    .rev()
                    .take_while(|token| token.special)
                    .count()
                    .min(longest);
                tokens.drain(longest - closing..before - closing);
                types.drain(longest - closing..before - closing);
                tokens
                    .iter_mut()
                    .enumerate()
                    .for_each(|(position, token)| token.position = position);
                if tokens.iter().all(|token| token.special) {
                    let message = format!("a longest text of {longest} tokens leaves no place for a token of the text");
                    return Err(broken(message));
                }
                Some(before)
            }
            _ => None,
        };
        if let (Some(filling), Some(longest)) = (self.filling, longest) {
            for position in tokens.len()..longest {
                tokens.push(Token {
                    position,
                    special: true,
                    ..self.token(filling)
                });
                types.push(0);
            }
        }
        Ok(Encoded {
            tokens,
            types,
            cut_from,
        })
    }

    /// The text of some ids, without special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let broken = |message: String| Error::tokenizer(&self.path, message);
        if let Some(renumbering) = &self.renumbering {
            return renumbering
                .decode(ids)
                .map_err(|id| broken(format!("no token has id {id}")));
        }
        if ids.is_empty() {
            return Ok(String::new());
        }
        if self.strips_ends {
            return Err(broken("decoder `Strip`: expected `stop` = 0, to decode".to_owned()));
        }
        let decoded = guard("tokenizers", || self.inner.decode(ids, true)).map_err(broken)?;
        decoded.map_err(|error| broken(error.to_string()))
    }

    /// The model's id of one of the tokenizer's.
    fn model_id(&self, id: u32) -> u32 {
        self.renumbering.as_ref().map_or(id, |renumbering| renumbering.id(id))
    }

    /// A token's spelling without the marks that stand for spaces and bytes; `id` is the tokenizer's own.
    fn readable(&self, id: Option<u32>, spelling: &str) -> String {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        if id.is_some_and(|id| added.contains_key(&id)) {
            return spelling.to_owned();
        }
        let spelling = match &self.word_end {
            // The mark alone is a token of its own.
            Some(end) if spelling.len() > end.len() => spelling.strip_suffix(end.as_str()).unwrap_or(spelling),
            _ => spelling,
        };
        let text = if self.byte_level {
            let bytes: Option<Vec<u8>> = spelling.chars().map(byte_of).collect();
            match bytes.map(String::from_utf8) {
                Some(Ok(text)) => text,
                // A piece of a character: its bytes.
                Some(Err(error)) => return error.as_bytes().iter().map(|byte| format!("<{byte:02X}>")).collect(),
                None => spelling.to_owned(),
            }
        } else {
            spelling.replace('▁', " ")
        };
        let trimmed = text.trim();
        if !trimmed.is_empty() {
            return trimmed.to_owned();
        }
        let visible = |c: char| {
            VISIBLE_SPACE
                .iter()
                .find(|(space, _)| *space == c)
                .map_or(c, |(_, shown)| *shown)
        };
        text.chars().map(visible).collect()
    }
}

/// The byte a character of the GPT-2 alphabet stands for (Radford et al. 2019): printable Latin-1 stands for
/// itself, the other 68 bytes, in order, for the characters from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => u8::try_from(code).ok().filter(printable),
        code => {
            let at = usize::try_from(code - 0x100).ok()?;
            (0..=u8::MAX).filter(|byte| !printable(byte)).nth(at)
        }
    }
}
