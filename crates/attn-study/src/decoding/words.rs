//! Texts as a model's vocabulary has them: targets, and words that it lacks.

use attn_models::Tokenizer;

use super::{Decoder, TokenRow};
use crate::{Error, error::quoted};

/// Words that a message about unknown ones names.
const NAMED: usize = 5;

impl Decoder {
    /// The ids of a text as a target, or as the beginning of one: without special tokens, and read by what reads targets.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn target_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let targets = self.tokenizer().for_targets();
        Ok(targets.plain_ids(text, self.model().info())?)
    }

    /// As [`target_ids`](Self::target_ids), for a text that has to be written whole: a prefix, or an output that is expected.
    ///
    /// # Errors
    /// [`Error::NoText`]; [`Error::UnknownWords`] for a script, or words, that the vocabulary lacks; those of the tokenizer.
    pub fn exact_ids(&self, text: &str) -> Result<Vec<u32>, Error> {
        let targets = self.tokenizer().for_targets();
        let words = self.unknown_words(targets, text);
        if !words.is_empty() {
            return Err(Error::UnknownWords { words });
        }
        match self.target_ids(text) {
            Ok(ids) if ids.is_empty() => Err(Error::NoText { what: "target" }),
            Err(Error::Models(attn_models::Error::Empty { .. })) => Err(Error::NoText { what: "target" }),
            ids => ids,
        }
    }

    /// The first words of a text with something that a vocabulary lacks.
    fn unknown_words(&self, tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let Some(unknown) = tokenizer.unknown_id() else {
            return Vec::new();
        };
        let lacks = |text: &str| {
            let encoded = tokenizer.encode(text, self.model().info());
            encoded.is_ok_and(|encoded| encoded.tokens.iter().any(|token| token.id == Some(unknown)))
        };
        if !lacks(text) {
            return Vec::new();
        }
        // Who spells the token out means it.
        let spelling = tokenizer.token(unknown).text;
        let words = text.split_whitespace().filter(|word| *word != spelling && lacks(word));
        let mut words: Vec<String> = words.take(NAMED).map(str::to_owned).collect();
        if words.is_empty() && !text.contains(&spelling) {
            // Unknown only together, or as white space.
            words.push(text.to_owned());
        }
        words
    }

    /// A note on source tokens that the vocabulary lacks.
    pub(super) fn about_unknown(&self, source: &TokenRow) -> Option<String> {
        let unknown = self.tokenizer().unknown_id()?;
        let count = source.ids.iter().filter(|id| **id == unknown).count();
        let words = self.unknown_words(self.tokenizer(), &source.text);
        (count > 0 && !words.is_empty()).then(|| {
            let all = source.len();
            format!(
                "source: {count} of {all} tokens are unknown to the model: {}",
                quoted(&words)
            )
        })
    }
}
