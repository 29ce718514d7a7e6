//! Generations as text: while they are written, and afterwards with what was weighed at each step.

use serde_json::{Value, json};

use super::{Fate, Generated, TeacherForced};
use crate::{Result, Tokenizer};

/// The text of a sequence that is being generated. What a token adds may depend on the tokens before: a space, an accent whose
/// bytes are two tokens.
///
/// ```
/// use attn_models::{Tokenizer, generate::TextStream};
/// let vocabulary = br#"{"model": {"type": "WordLevel", "vocab": {"the": 0, "cat": 1}, "unk_token": "the"},
///                       "pre_tokenizer": {"type": "Whitespace"}}"#;
/// let tokenizer = Tokenizer::from_bytes(vocabulary, "tokenizer.json".as_ref())?;
/// let mut stream = TextStream::new(&tokenizer);
/// assert_eq!((stream.push(0)?, stream.push(1)?), ("the".to_owned(), " cat".to_owned()));
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    shown: String,
}

impl<'a> TextStream<'a> {
    /// An empty text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            ids: Vec::new(),
            shown: String::new(),
        }
    }

    /// Adds a token; returns the text that is new. Empty while a character is incomplete, and where earlier text would change.
    ///
    /// # Errors
    /// Those of [`Tokenizer::decode`].
    pub fn push(&mut self, token: u32) -> Result<String> {
        self.ids.push(token);
        let text = self.tokenizer.decode(&self.ids)?;
        let more = text.strip_prefix(&self.shown).unwrap_or_default();
        if more.ends_with('\u{fffd}') || !text.starts_with(&self.shown) {
            return Ok(String::new());
        }
        let more = more.to_owned();
        self.shown = text;
        Ok(more)
    }
}

/// The text of tokens, or their ids without a tokenizer.
fn text(tokens: &[u32], tokenizer: Option<&Tokenizer>) -> String {
    let ids = || tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    tokenizer
        .and_then(|tokenizer| tokenizer.decode(tokens).ok())
        .unwrap_or_else(ids)
}

impl TeacherForced {
    /// A line for each token of the text: its log-probability, its rank from 1, and the token. Without a tokenizer, tokens are
    /// their ids.
    pub fn describe(&self, tokenizer: Option<&Tokenizer>) -> String {
        let mut lines = String::new();
        for (at, (&token, log_probability)) in self.tokens().iter().zip(self.text()).enumerate() {
            let rank = self.rank(at, token).map_or(0, |likelier| likelier + 1);
            let token = text(&[token], tokenizer);
            lines += &format!("{log_probability:9.4}  rank {rank:5}  {token:?}\n");
        }
        lines
    }
}

impl Generated {
    /// The sequences with their scores, an empty line, then for each step the expansions that lived and how many did not, and
    /// below it the likeliest tokens after each beam, where they were kept. Without a tokenizer, tokens are their ids.
    pub fn describe(&self, tokenizer: Option<&Tokenizer>) -> String {
        let mut lines = Vec::new();
        for hypothesis in &self.hypotheses {
            lines.push(format!(
                "{:9.4}  {}",
                hypothesis.score,
                text(&hypothesis.tokens, tokenizer)
            ));
        }
        lines.push(String::new());
        for (number, step) in self.trace.iter().enumerate() {
            let living = step.expansions.iter().filter_map(|expansion| match expansion.fate {
                Fate::Pruned => None,
                Fate::Finished => Some(format!("{}: {:.3}, finished", expansion.parent, expansion.total)),
                Fate::Kept(beam) => {
                    let token = text(&[expansion.token], tokenizer);
                    Some(format!(
                        "{} -> {beam} {token:?} {:.3}",
                        expansion.parent, expansion.total
                    ))
                }
            });
            let living: Vec<String> = living.collect();
            let pruned = step.expansions.len() - living.len();
            lines.push(format!(
                "step {:3}  {}  ({pruned} pruned)",
                number + 1,
                living.join("   ")
            ));
            for (beam, top) in step.top.iter().enumerate().filter(|(_, top)| !top.is_empty()) {
                let top = top.iter().map(|candidate| {
                    let token = text(&[candidate.token], tokenizer);
                    format!("{token:?} {:.3}", candidate.log_probability)
                });
                let top: Vec<String> = top.collect();
                lines.push(format!("    after {beam}  {}", top.join("   ")));
            }
        }
        lines.join("\n") + "\n"
    }

    /// Everything as JSON: `prompt`, `sequences` with their texts (null without a tokenizer), `trace`.
    pub fn to_json(&self, tokenizer: Option<&Tokenizer>) -> Value {
        let sequences = self.hypotheses.iter().map(|hypothesis| {
            json!({
                "text": tokenizer.and_then(|tokenizer| tokenizer.decode(&hypothesis.tokens).ok()),
                "tokens": hypothesis.tokens,
                "score": hypothesis.score,
                "log_probabilities": hypothesis.log_probabilities,
                "ended": hypothesis.ended,
                "beams": hypothesis.beams,
            })
        });
        let sequences: Vec<Value> = sequences.collect();
        json!({"prompt": self.prompt, "sequences": sequences, "trace": self.trace})
    }
}
