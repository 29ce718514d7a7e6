//! The list of tokens in a GGUF file. How texts are split before byte pairs is named there, not written down:
//! `llama-vocab.cpp` of <https://github.com/ggml-org/llama.cpp> has the patterns.

use std::{collections::HashMap, path::Path};

use serde_json::{Map, json};

use super::{
    Added, Description, Settings,
    byte_level::{Words, byte_level},
    pieces::{Model, Piece, is_sound},
    wordpiece,
};
use crate::{
    Result,
    config::Config,
    error::{SHORT, excerpt},
    formats::gguf::TokenList,
};

impl TokenList {
    /// The `tokenizer.json` it amounts to; `path` is the file.
    pub(crate) fn describe(&self, path: &Path) -> Result<Description> {
        let mut said = Map::new();
        let tokens = [
            ("bos_token", &self.begin),
            ("eos_token", &self.end),
            ("unk_token", &self.unknown),
        ];
        for (role, token) in tokens {
            if let Some(token) = token {
                said.insert(role.to_owned(), json!(token));
            }
        }
        for (option, flag) in [("add_bos_token", self.adds_begin), ("add_eos_token", self.adds_end)] {
            if let Some(flag) = flag {
                said.insert(option.to_owned(), json!(flag));
            }
        }
        // Those that T5 has beside its model are in the list; XLM-RoBERTa, whose texts begin with a token, has none.
        let extra = self.tokens.iter().any(|token| token.starts_with("<extra_id_"));
        if extra || self.adds_begin == Some(true) {
            said.insert("extra_ids".to_owned(), json!(0));
        }
        if self.model == "bert" {
            // llama.cpp reads every text in small letters; a vocabulary that has others was made of texts as they are.
            let capital = |token: &String| token.chars().any(char::is_uppercase);
            let cased = self
                .tokens
                .iter()
                .zip(&self.kinds)
                .any(|(token, &kind)| kind == 1 && capital(token));
            said.insert("do_lower_case".to_owned(), json!(!cased));
        }
        let options = Config::from_parts(said, path, Vec::new());
        let none = options.empty();
        let settings = Settings {
            family: match self.model.as_str() {
                "bert" => "bert",
                "t5" => "t5",
                _ => "llama",
            },
            options: &options,
            special: &none,
            added: &none,
            path: path.to_owned(),
        };
        match self.model.as_str() {
            "llama" => self.pieces(&settings)?.llama(&settings),
            "t5" => self.unigrams(&settings)?.t5(&settings),
            "gpt2" => self.byte_pairs(&settings),
            "bert" => wordpiece::describe(&settings, self.words_and_pieces(&settings)?.as_bytes()),
            other => Err(settings.broken(format!(
                "`tokenizer.ggml.model` = `{}` is not read (read: llama, gpt2, bert, t5): put the model's tokenizer.json beside \
                 the file, in a folder of its own",
                excerpt(other, SHORT)
            ))),
        }
    }

    /// SentencePiece's byte pairs: the model without its table of normalization, which Llama's does not have.
    fn pieces(&self, settings: &Settings<'_>) -> Result<Model> {
        let lists = [self.scores.len(), self.kinds.len()];
        if lists != [self.tokens.len(); 2] || self.scores.iter().any(|score| !score.is_finite()) {
            return Err(settings.broken("expected a finite score and a kind for each token"));
        }
        let pieces = self.tokens.iter().zip(&self.scores).zip(&self.kinds);
        let pieces = pieces.map(|((text, &score), &kind)| Piece {
            text: text.clone(),
            score,
            kind,
        });
        Ok(Model {
            pieces: pieces.collect(),
            pairs: true,
            byte_fallback: true,
            table: Vec::new(),
            prefix: self.adds_space.unwrap_or(true),
        })
    }

    /// SentencePiece's unigrams. The converter fills the list up to the size of the model.
    fn unigrams(&self, settings: &Settings<'_>) -> Result<Model> {
        let mut model = self.pieces(settings)?;
        let filling = |piece: &Piece| piece.kind == 5 && piece.text.starts_with("[PAD");
        while model.pieces.last().is_some_and(filling) {
            model.pieces.pop();
        }
        if !self.table.is_empty() && !is_sound(&self.table) {
            return Err(settings.broken("`tokenizer.ggml.precompiled_charsmap`: not a table of normalization"));
        }
        (model.pairs, model.byte_fallback) = (false, false);
        model.table.clone_from(&self.table);
        Ok(model)
    }

    /// BERT's vocabulary, one token a line: here words begin with a mark, on the hub what continues them does.
    fn words_and_pieces(&self, settings: &Settings<'_>) -> Result<String> {
        let mut lines = String::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let special =
                self.kinds.get(id).is_some_and(|&kind| kind == 3) || token.starts_with('[') && token.ends_with(']');
            match token.strip_prefix('\u{2581}') {
                _ if token.contains(['\n', '\r']) => {
                    return Err(settings.broken(format!("token {id}: expected a word, found a line break")));
                }
                _ if special => lines.push_str(token),
                Some(word) => lines.push_str(word),
                None => {
                    lines.push_str("##");
                    lines.push_str(token);
                }
            }
            lines.push('\n');
        }
        Ok(lines)
    }

    fn byte_pairs(&self, settings: &Settings<'_>) -> Result<Description> {
        let words = match self.words.as_str() {
            "gpt-2" | "phi-2" | "roberta-bpe" | "default" | "" => Words::Gpt2,
            "gpt-4o" => Words::Gpt4o,
            "qwen2" => Words::Qwen,
            "llama-bpe" | "llama3" | "llama-v3" => Words::Llama3,
            "smollm" | "starcoder" | "refact" | "command-r" => Words::Digits,
            other => {
                return Err(settings.broken(format!(
                    "`tokenizer.ggml.pre` = `{}` is not read (read: gpt-2, gpt-4o, phi-2, qwen2, llama-bpe, roberta-bpe, smollm, starcoder, refact, command-r): put the model's \
                     tokenizer.json beside the file, in a folder of its own",
                    excerpt(other, SHORT)
                )));
            }
        };
        let around_two = self.words == "roberta-bpe";
        let vocabulary: HashMap<&str, usize> = self.tokens.iter().map(String::as_str).zip(0..).collect();
        let id = |token: &str| vocabulary.get(token).and_then(|&id| u32::try_from(id).ok());
        let merge = |(number, merge): (usize, &String)| {
            // A space inside a token is written as a letter of its own.
            let halves = merge
                .split_once(' ')
                .map(|(left, right)| [left.to_owned(), right.to_owned()]);
            halves.ok_or_else(|| settings.broken(format!("merge {}: expected two tokens", number + 1)))
        };
        let merges = self.merges.iter().enumerate().map(merge).collect::<Result<Vec<_>>>()?;
        let added: Vec<(Added, u32)> = self
            .tokens
            .iter()
            .zip(&self.kinds)
            .zip(0..)
            .filter(|((_, kind), _)| matches!(kind, 3 | 4))
            .map(|((token, &kind), id)| {
                let added = Added {
                    content: token.clone(),
                    // The mask of RoBERTa takes the space before it.
                    left: around_two && token == "<mask>",
                    special: kind == 3,
                };
                (added, id)
            })
            .collect();
        let trimmed = byte_level(true, false);
        let begins = self.adds_begin.unwrap_or(words == Words::Llama3);
        let (first, last) = (
            self.begin.as_deref().filter(|_| begins),
            self.end.as_deref().filter(|_| self.adds_end.unwrap_or(false)),
        );
        let post = if first.is_none() && last.is_none() {
            trimmed
        } else {
            let around = |text: &'static str, of: u32| {
                let (first, last) = (first.map(|first| (first, of)), last.map(|last| (last, of)));
                first.into_iter().chain([(text, of)]).chain(last)
            };
            let single: Vec<_> = around("A", 0).collect();
            let pair: Vec<_> = match (around_two, last) {
                // RoBERTa has its end twice between two texts, and one type.
                (true, Some(last)) => around("A", 0).chain([(last, 0), ("B", 0), (last, 0)]).collect(),
                _ => around("A", 0).chain(around("B", 1)).collect(),
            };
            let template = settings.template(&single, &pair, id)?;
            json!({"type": "Sequence", "processors": [trimmed, template]})
        };
        let (normalizer, pre_tokenizer) = words.split(false);
        let json = settings.description(
            json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": words == Words::Llama3, "vocab": vocabulary, "merges": merges}),
            normalizer,
            pre_tokenizer,
            post,
            byte_level(true, true),
            &added,
        )?;
        Ok(Description {
            json,
            renumbering: None,
        })
    }
}
