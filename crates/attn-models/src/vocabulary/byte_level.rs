//! `vocab.json` and `merges.txt`: byte-pair encoding (Sennrich et al. 2016) of bytes, as in GPT-2 (Radford et al.
//! 2019).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Added, Description, Settings};
use crate::{
    Error, Result,
    json::{text, without_mark},
};

/// How Qwen splits a text before byte pairs: like GPT-2, but digits one by one and line breaks apart.
const QWEN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's: the same with up to three digits together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// That of GPT-4o, which GPT-OSS has: words end where a capital follows a small letter, and keep what is cut off after an
/// apostrophe.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How the words of a text are found before byte pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Gpt2,
    Qwen,
    Llama3,
    Gpt4o,
    /// GPT-2's with digits one by one.
    Digits,
}

impl Words {
    /// The normalizer and the splitter. `prefix`: whether a text starts with a space.
    pub(super) fn split(self, prefix: bool) -> (Value, Value) {
        let pattern = match self {
            Self::Gpt2 => return (Value::Null, byte_level(prefix, true)),
            Self::Digits => {
                let digits = json!({"type": "Digits", "individual_digits": true});
                let both = json!({"type": "Sequence", "pretokenizers": [digits, byte_level(prefix, true)]});
                return (Value::Null, both);
            }
            Self::Qwen => QWEN,
            Self::Llama3 => LLAMA3,
            Self::Gpt4o => GPT4O,
        };
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": false});
        let normalizer = match self {
            Self::Qwen => json!({"type": "NFC"}),
            _ => Value::Null,
        };
        (normalizer, json!({"type": "Sequence", "pretokenizers": [split, bytes]}))
    }
}

/// The part of a description that spells bytes with letters.
pub(super) fn byte_level(prefix: bool, trim: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": true})
}

pub(super) fn describe(settings: &Settings<'_>, bytes: &[u8], merges: Option<&[u8]>) -> Result<Description> {
    let vocabulary: HashMap<String, u32> =
        serde_json::from_str(&text(bytes, &settings.path)?).map_err(|error| Error::json(&settings.path, &error))?;
    let merges = merges.ok_or_else(|| settings.broken("expected merges.txt beside it"))?;
    let merges =
        std::str::from_utf8(without_mark(merges)).map_err(|error| settings.broken(format!("merges.txt: {error}")))?;
    let pair = |(at, line): (usize, &str)| {
        line.split_once(' ')
            .map(|(left, right)| [left.to_owned(), right.to_owned()])
            .ok_or_else(|| settings.broken(format!("merges.txt, line {}: expected two tokens", at + 1)))
    };
    let merges = merges
        .lines()
        .enumerate()
        .filter(|(at, line)| !(line.is_empty() || (*at == 0 && line.starts_with("#version"))))
        .map(pair)
        .collect::<Result<Vec<_>>>()?;

    let options = settings.options;
    let class = settings.class()?;
    let id = |token: &str| vocabulary.get(token).copied();
    let prefix = options.flag_or("add_prefix_space", false)?;
    let like_roberta = ["roberta", "bart"].contains(&settings.family)
        || ["Roberta", "Bart"].iter().any(|start| class.starts_with(start));
    let like_qwen = class.starts_with("Qwen2") || (class.is_empty() && ["qwen2", "qwen3"].contains(&settings.family));

    let end = if like_roberta { "</s>" } else { "<|endoftext|>" };
    let begin = if like_roberta { "<s>" } else { "<|endoftext|>" };
    let (begin, end) = (
        settings.spelling("bos_token", begin),
        settings.spelling("eos_token", end),
    );
    let mut added: Vec<Added> = [&begin, &end].map(Added::special).into();
    let post = if like_roberta {
        let (first, last) = (
            settings.spelling("cls_token", &begin),
            settings.spelling("sep_token", &end),
        );
        added.extend([
            Added::special(settings.spelling("unk_token", "<unk>")),
            Added::special(settings.spelling("pad_token", "<pad>")),
            settings.mask("<mask>"),
        ]);
        let known = |token: &str| {
            id(token).ok_or_else(|| settings.broken(format!("special token `{token}` is not in the vocabulary")))
        };
        json!({"type": "RobertaProcessing", "cls": [first, known(&first)?], "sep": [last, known(&last)?],
            "trim_offsets": true, "add_prefix_space": prefix})
    } else {
        let trimmed = byte_level(true, false);
        if options.flag_or("add_bos_token", false)? {
            let around = settings.template(
                &[(&begin, 0), ("A", 0)],
                &[(&begin, 0), ("A", 0), (&begin, 1), ("B", 1)],
                id,
            )?;
            json!({"type": "Sequence", "processors": [trimmed, around]})
        } else {
            trimmed
        }
    };
    let words = if like_qwen { Words::Qwen } else { Words::Gpt2 };
    let (normalizer, pre_tokenizer) = words.split(prefix);
    let added: Vec<_> = added
        .into_iter()
        .filter_map(|token| id(&token.content).map(|id| (token, id)))
        .collect();
    let json = settings.description(
        json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
            "merges": merges}),
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
