//! `vocab.txt`: one token a line, split by WordPiece (Schuster and Nakajima 2012) after BERT's normalizer.

use std::collections::HashMap;

use serde_json::json;

use super::{Added, Description, Settings};
use crate::{Result, json::without_mark};

/// Families whose `vocab.txt` is BERT's.
const FAMILIES: [&str; 3] = ["bert", "distilbert", "electra"];

pub(super) fn describe(settings: &Settings<'_>, bytes: &[u8]) -> Result<Description> {
    let class = settings.class()?;
    let berts = ["Bert", "DistilBert", "Electra"]
        .iter()
        .any(|start| class.starts_with(start));
    if !berts && !FAMILIES.contains(&settings.family) {
        // Others split text in ways of their own before they look here.
        return Err(settings.broken(format!(
            "how `{}` splits text is not in vocab.txt: expected tokenizer.json",
            if class.is_empty() { settings.family } else { class }
        )));
    }
    let options = settings.options;
    if !options.flag_or("do_basic_tokenize", true)? {
        return Err(options.unsupported("do_basic_tokenize", "true"));
    }
    let text = std::str::from_utf8(without_mark(bytes)).map_err(|error| settings.broken(error.to_string()))?;
    let vocabulary: HashMap<&str, usize> = text.lines().enumerate().map(|(id, token)| (token, id)).collect();
    let id = |token: &str| vocabulary.get(token).and_then(|&id| u32::try_from(id).ok());
    let unknown = settings.spelling("unk_token", "[UNK]");
    if id(&unknown).is_none() {
        return Err(settings.broken(format!("special token `{unknown}` is not in the vocabulary")));
    }
    let (first, last) = (
        settings.spelling("cls_token", "[CLS]"),
        settings.spelling("sep_token", "[SEP]"),
    );
    let post = settings.template(
        &[(&first, 0), ("A", 0), (&last, 0)],
        &[(&first, 0), ("A", 0), (&last, 0), ("B", 1), (&last, 1)],
        id,
    )?;
    let roles = [
        unknown.clone(),
        first,
        last,
        settings.spelling("pad_token", "[PAD]"),
        settings.spelling("mask_token", "[MASK]"),
    ];
    let added: Vec<_> = roles
        .into_iter()
        .filter_map(|token| id(&token).map(|id| (Added::special(token), id)))
        .collect();
    let strip_accents = options
        .get("strip_accents")
        .map(|_| options.flag_or("strip_accents", false))
        .transpose()?;
    let json = settings.description(
        json!({"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary}),
        json!({"type": "BertNormalizer", "clean_text": true, "strip_accents": strip_accents,
            "handle_chinese_chars": options.flag_or("tokenize_chinese_chars", true)?,
            "lowercase": options.flag_or("do_lower_case", true)?}),
        json!({"type": "BertPreTokenizer"}),
        post,
        json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        &added,
    )?;
    Ok(Description {
        json,
        renumbering: None,
    })
}
