//! The tokenizers of the two text models, built from the corpus.
//!
//! The encoder's is BERT's (Devlin et al. 2019): lower case, whole words of the corpus, and single letters and
//! digits from which any other English word is spelt. The decoder's is GPT-2's (Radford et al. 2019): byte pairs
//! learned from the corpus on top of all 256 bytes, so that nothing is unknown.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokenizers::{
    AddedToken, Tokenizer,
    models::{TrainerWrapper, bpe::BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

use crate::{Result, grammar::Tag, stories::Stories};

pub(crate) const PAD: &str = "[PAD]";
pub(crate) const MASK: &str = "[MASK]";
const UNKNOWN: &str = "[UNK]";
const CLASS: &str = "[CLS]";
const SEPARATOR: &str = "[SEP]";
/// First and last token of a text for the decoder.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";

/// Stories from which the vocabularies are taken: enough for every word to be among them.
const SAMPLE: usize = 30_000;

/// Lower-case word pieces in the order of their ids.
pub(crate) fn word_pieces(seed: u64) -> Result<Tokenizer> {
    let words: BTreeSet<String> = Stories::new(seed)
        .take(SAMPLE)
        .flat_map(|story| story.words)
        .filter(|word| word.tag != Tag::Punct && word.form.len() > 1 && word.form.chars().all(char::is_alphabetic))
        .map(|word| word.form.to_lowercase())
        .collect();
    let special = [PAD, UNKNOWN, CLASS, SEPARATOR, MASK];
    let marks = (33..127u8)
        .map(char::from)
        .filter(|c| !c.is_ascii_uppercase())
        .map(String::from);
    let pieces = ('0'..='9').chain('a'..='z').map(|c| format!("##{c}"));
    let vocabulary: serde_json::Map<String, Value> = special
        .map(str::to_owned)
        .into_iter()
        .chain(marks)
        .chain(pieces)
        .chain(words)
        .enumerate()
        .map(|(id, piece)| (piece, json!(id)))
        .collect();
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, token)| special_token(id, token))
        .collect();
    let framing = |token: &str, kind: usize| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let text = |name: &str, kind: usize| json!({"Sequence": {"id": name, "type_id": kind}});
    build(&json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [framing(CLASS, 0), text("A", 0), framing(SEPARATOR, 0)],
            "pair": [framing(CLASS, 0), text("A", 0), framing(SEPARATOR, 0), text("B", 1), framing(SEPARATOR, 1)],
            "special_tokens": {
                CLASS: {"id": CLASS, "ids": [2], "tokens": [CLASS]},
                SEPARATOR: {"id": SEPARATOR, "ids": [3], "tokens": [SEPARATOR]}
            }
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary
        }
    }))
}

/// Byte pairs. Numbers of several digits are left out of the sample, so that digits stay single tokens.
pub(crate) fn byte_pairs(seed: u64) -> Result<Tokenizer> {
    let mut tokenizer = build(&json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special_token(0, END_OF_TEXT)],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
                {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [
                        {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                        {"Sequence": {"id": "B", "type_id": 1}}
                    ],
                    "special_tokens": {END_OF_TEXT: {"id": END_OF_TEXT, "ids": [0], "tokens": [END_OF_TEXT]}}
                }
            ]
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {END_OF_TEXT: 0}, "merges": []}
    }))?;
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .vocab_size(4000)
        .min_frequency(10)
        .build();
    let texts = Stories::new(seed)
        .take(SAMPLE)
        .map(|story| without_long_numbers(&story.text()));
    tokenizer.train(
        &mut TrainerWrapper::BpeTrainer(trainer),
        texts.collect::<Vec<_>>().into_iter(),
    )?;
    Ok(tokenizer)
}

fn without_long_numbers(text: &str) -> String {
    let short = |word: &&str| word.chars().filter(char::is_ascii_digit).count() < 2;
    text.split(' ').filter(short).collect::<Vec<_>>().join(" ")
}

pub(crate) fn special_token(id: usize, token: &str) -> Value {
    json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
}

pub(crate) fn build(definition: &Value) -> Result<Tokenizer> {
    Tokenizer::from_bytes(definition.to_string())
}

/// The id of a token that the vocabulary has.
pub(crate) fn id(tokenizer: &Tokenizer, token: &str) -> Result<u32> {
    Ok(tokenizer
        .token_to_id(token)
        .ok_or_else(|| format!("the vocabulary lacks `{token}`"))?)
}

/// `tokenizer_config.json` of the encoder, as the transformers library reads it.
pub(crate) fn word_pieces_config(longest: usize) -> Value {
    json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": longest,
        "pad_token": PAD, "unk_token": UNKNOWN, "cls_token": CLASS, "sep_token": SEPARATOR, "mask_token": MASK
    })
}

/// `tokenizer_config.json` of the decoder, as the transformers library reads it.
pub(crate) fn byte_pairs_config(longest: usize) -> Value {
    json!({
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true, "add_bos_token": true, "model_max_length": longest,
        "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": END_OF_TEXT
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        tokenizer.encode(text, true).unwrap().get_tokens().to_vec()
    }

    #[test]
    fn words_of_the_corpus_are_whole_and_others_are_spelt() {
        let tokenizer = word_pieces(1).unwrap();
        let found = tokens(&tokenizer, "\"The foxes run,\" said Zoe 42!");
        let expected = [
            "[CLS]", "\"", "the", "foxes", "run", ",", "\"", "said", "z", "##o", "##e", "4", "##2", "!", "[SEP]",
        ];
        assert_eq!(found, expected);
        assert_eq!(tokenizer.token_to_id(PAD), Some(0));
    }

    #[test]
    fn byte_pairs_are_whole_words_and_read_back_exactly() {
        let tokenizer = byte_pairs(1).unwrap();
        assert_eq!(
            tokens(&tokenizer, "The foxes run."),
            [END_OF_TEXT, "ĠThe", "Ġfoxes", "Ġrun", "."]
        );
        assert_eq!(tokens(&tokenizer, "In 1987"), [END_OF_TEXT, "ĠIn", "Ġ1", "9", "8", "7"]);
        let text = "Größe, zebra & \"quotes\": 1234?";
        let ids = tokenizer.encode(text, true).unwrap().get_ids().to_vec();
        assert_eq!(tokenizer.decode(&ids, true).unwrap().trim_start(), text);
    }

    #[test]
    fn vocabularies_repeat_with_the_seed() {
        assert_eq!(
            word_pieces(3).unwrap().get_vocab(true),
            word_pieces(3).unwrap().get_vocab(true)
        );
        assert_eq!(
            byte_pairs(3).unwrap().to_string(false).unwrap(),
            byte_pairs(3).unwrap().to_string(false).unwrap()
        );
    }
}
