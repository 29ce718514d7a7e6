//! What of a `tokenizer.json` the tokenizers library takes for granted, checked before the library reads it: where it is
//! not so, the library panics or reads past the end.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    error::{SHORT, excerpt},
    vocabulary::is_sound,
};

/// Checks a whole description.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check(description: &Value) -> Result<(), String> {
    for table in parts(&description["normalizer"], "Precompiled", "precompiled_charsmap") {
        let bytes = table["precompiled_charsmap"]
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok());
        if !bytes.is_some_and(|bytes| is_sound(&bytes)) {
            return Err("normalizer `Precompiled`: expected a table of SentencePiece in base 64".to_owned());
        }
    }
    for pieces in parts(&description["pre_tokenizer"], "FixedLength", "length") {
        if pieces["length"] == 0 {
            return Err("pre_tokenizer `FixedLength`: expected a length above 0, found 0".to_owned());
        }
    }
    for template in parts(&description["post_processor"], "TemplateProcessing", "single") {
        self::template(template)?;
    }
    merges(&description["model"])
}

/// Whether a decoder takes letters off the end of tokens: the library panics where a token has too few.
pub(super) fn strips_ends(description: &Value) -> bool {
    let strips = parts(&description["decoder"], "Strip", "stop");
    strips
        .iter()
        .any(|strip| strip["stop"].as_u64().is_some_and(|letters| letters > 0))
}

/// Whether tokens spell bytes with stand-in characters.
pub(super) fn is_byte_level(description: &Value) -> bool {
    [&description["pre_tokenizer"], &description["decoder"]]
        .into_iter()
        .any(|part| !parts(part, "ByteLevel", "").is_empty())
}

/// The token of what is in no vocabulary. Where tokens spell bytes, nothing is.
pub(super) fn unknown(description: &Value) -> Option<&str> {
    if is_byte_level(description) {
        return None;
    }
    let model = &description["model"];
    let numbered = || {
        let at = usize::try_from(model["unk_id"].as_u64()?).ok()?;
        // Unigram: pairs of a token and its score.
        model["vocab"].get(at)?.get(0)?.as_str()
    };
    model["unk_token"].as_str().or_else(numbered)
}

/// The objects of a type in a tree of them, by its name or by a key that only it has: the library knows some without
/// their name. (The depth of a JSON is bounded by its parser.)
fn parts<'a>(value: &'a Value, kind: &str, key: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if map.get("type").is_some_and(|own| own == kind) || map.contains_key(key) {
                    found.push(value);
                }
                open.extend(map.values());
            }
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    found
}

/// A template names special tokens that are described beside it, and one text has no second.
fn template(template: &Value) -> Result<(), String> {
    let described = &template["special_tokens"];
    let quoted = |name: &str| excerpt(name, SHORT);
    for (name, token) in described.as_object().into_iter().flatten() {
        let count = |key: &str| token[key].as_array().map_or(0, Vec::len);
        let (ids, tokens) = (count("ids"), count("tokens"));
        if ids != tokens {
            return Err(format!(
                "post_processor `TemplateProcessing`: special token `{}`: expected as many tokens as ids, found {ids} \
                 ids and {tokens} tokens",
                quoted(name)
            ));
        }
    }
    for texts in ["single", "pair"] {
        for piece in template[texts].as_array().into_iter().flatten() {
            let special = piece["SpecialToken"]["id"].as_str();
            if let Some(id) = special.filter(|id| described.get(*id).is_none()) {
                return Err(format!(
                    "post_processor `TemplateProcessing`: `{texts}` names `{}`, which `special_tokens` lacks",
                    quoted(id)
                ));
            }
            if texts == "single" && piece["Sequence"]["id"] == "B" {
                return Err("post_processor `TemplateProcessing`: `single` names text B, of a pair".to_owned());
            }
        }
    }
    Ok(())
}

/// What a merge makes is no longer than the longest token, and its second half begins with the prefix of inner pieces.
fn merges(model: &Value) -> Result<(), String> {
    let (Some(merges), Some(vocabulary)) = (model["merges"].as_array(), model["vocab"].as_object()) else {
        return Ok(());
    };
    let longest = vocabulary.keys().map(String::len).max().unwrap_or(0);
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    for (at, merge) in merges.iter().enumerate() {
        let halves = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(halves) => match halves.as_slice() {
                [left, right] => left.as_str().zip(right.as_str()),
                _ => None,
            },
            _ => None,
        };
        // The library refuses what is no pair.
        let Some((left, right)) = halves else { continue };
        let fits = right.is_char_boundary(prefix.len()) && left.len() + right.len() - prefix.len() <= longest;
        if !fits {
            return Err(format!(
                "model `BPE`, merge {}: `{}` and `{}` make no token of the vocabulary (`continuing_subword_prefix` is \
                 `{}`)",
                at + 1,
                excerpt(left, SHORT),
                excerpt(right, SHORT),
                excerpt(prefix, SHORT)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_unknown_token_is_a_word_or_a_place_in_a_list() {
        let word = json!({"model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}});
        assert_eq!(unknown(&word), Some("[UNK]"));
        let place = json!({"model": {"type": "Unigram", "vocab": [["<pad>", 0.0], ["<unk>", -1.0]], "unk_id": 1}});
        assert_eq!(unknown(&place), Some("<unk>"));
        let none = json!({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}});
        assert_eq!(unknown(&none), None);
        // GPT-2 names one, and never needs it.
        let bytes = json!({
            "model": {"type": "BPE", "vocab": {"a": 0}, "unk_token": "<|endoftext|>"},
            "pre_tokenizer": {"type": "ByteLevel"},
        });
        assert_eq!(unknown(&bytes), None);
    }
}
