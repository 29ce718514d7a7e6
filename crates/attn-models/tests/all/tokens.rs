//! Tokens against what the reference tokenizers gave for the same texts, hard cases included.

use attn_core::ModelInfo;
use attn_models::{Error, Model, Tokenizer};
use serde_json::Value;

use crate::support::{fixture, open, third_party};

fn numbers(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| u32::try_from(number.as_u64().unwrap()).unwrap())
        .collect()
}

#[test]
fn ids_types_and_spans_agree_with_the_reference() {
    for name in [
        "albert",
        "bert",
        "bert-cls",
        "bloom",
        "cohere",
        "deberta-v2",
        "distilbert",
        "electra",
        "falcon",
        "gemma",
        "gpt-neox",
        "gpt-oss",
        "gpt2",
        "llama",
        "modernbert",
        "mpnet",
        "mpt",
        "nomic-bert",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "qwen3-moe",
        "roberta",
        "smollm3",
        "starcoder2",
        "xlm-roberta",
    ] {
        let checkpoint = open(name);
        let tokenizer = checkpoint.tokenizer().unwrap();
        let info = Model::load(&checkpoint).unwrap().info().clone();
        let cases: Value =
            serde_json::from_slice(&std::fs::read(fixture(name).join("tokenization.json")).unwrap()).unwrap();
        agrees(name, &tokenizer, &info, cases.as_array().unwrap());
    }
}

/// Ids, types, spans and spellings of every case.
pub(crate) fn agrees(name: &str, tokenizer: &Tokenizer, info: &ModelInfo, cases: &[Value]) {
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let ids = numbers(&case["ids"]);
        let encoded = match case["pair"].as_str() {
            Some(second) => tokenizer.encode_pair(text, second, info),
            None => tokenizer.encode(text, info),
        };
        if text.is_empty() {
            assert!(matches!(encoded, Err(Error::Empty { .. })));
            continue;
        }
        let encoded = encoded.unwrap();
        assert_eq!(encoded.ids(), ids, "{name}: {text}");
        assert_eq!(encoded.types, numbers(&case["type_ids"]), "{name}: {text}");
        assert_eq!(encoded.cut_from, None);
        // Not every format has a type for the second text, but then a special token before it.
        let begun = encoded.tokens.iter().position(|token| !token.special).unwrap_or(0);
        let parted = encoded.tokens[begun..].iter().position(|token| token.special);
        let parted = parted.map_or(encoded.tokens.len(), |at| begun + at);
        for (at, (token, offsets)) in encoded
            .tokens
            .iter()
            .zip(case["offsets"].as_array().unwrap())
            .enumerate()
        {
            assert_eq!(token.position, at);
            // The reference counts characters, a span counts bytes.
            let own = if case["pair"].is_string() && (encoded.types[at] == 1 || at > parted) {
                case["pair"].as_str().unwrap()
            } else {
                text
            };
            let expected = numbers(offsets);
            match token.span {
                Some((start, end)) => {
                    let characters = [own[..start].chars().count(), own[..end].chars().count()];
                    assert_eq!(
                        characters.map(|n| n as u32).to_vec(),
                        expected,
                        "{name}: {text}: token {at}"
                    );
                }
                None => assert_eq!((expected, token.special), (vec![0, 0], true)),
            }
            let spelling = case["tokens"][at].as_str().unwrap();
            if spelling.is_ascii() {
                assert_eq!(token.text, spelling, "{name}: {text}: token {at}");
            }
        }
    }
}

#[test]
fn tokens_are_shown_as_a_person_reads_them() {
    let tokenizer = open("gpt2").tokenizer().unwrap();
    let info = Model::load(&open("gpt2")).unwrap().info().clone();
    let shown = |text: &str| -> Vec<String> {
        tokenizer
            .encode(text, &info)
            .unwrap()
            .tokens
            .into_iter()
            .map(|t| t.text)
            .collect()
    };
    assert_eq!(shown("The cat"), ["The", "c", "at"]);
    // The two bytes of an accented letter, each a token of its own.
    assert_eq!(shown("é"), ["<C3>", "<A9>"]);
    assert_eq!(shown("a\nb"), ["a", "⏎", "b"]);
    assert_eq!(
        shown("Hello, World"),
        ["H", "e", "ll", "o", ",", "␣", "W", "o", "r", "ld"]
    );
}

#[test]
fn words_are_counted() {
    let words = |name: &str, text: &str| -> Vec<Option<usize>> {
        let checkpoint = open(name);
        let info = Model::load(&checkpoint).unwrap().info().clone();
        checkpoint
            .tokenizer()
            .unwrap()
            .encode(text, &info)
            .unwrap()
            .tokens
            .iter()
            .map(|t| t.word)
            .collect()
    };
    // [CLS] she se ##lls sea she ##lls [SEP]
    let expected = [None, Some(0), Some(1), Some(1), Some(2), Some(3), Some(3), None];
    assert_eq!(words("bert", "She sells sea shells"), expected);
    // S he Ġse lls Ġse a Ġshe lls
    let expected = [0, 0, 1, 1, 2, 2, 3, 3].map(Some);
    assert_eq!(words("gpt2", "She sells sea shells"), expected);
}

#[test]
fn words_are_found_without_a_splitting_tokenizer() {
    let Some(path) = third_party("stories260k") else { return };
    let checkpoint = attn_models::Checkpoint::open(path).unwrap();
    let info = Model::load(&checkpoint).unwrap().info().clone();
    let text = "Once upon a time";
    let encoded = checkpoint.tokenizer().unwrap().encode(text, &info).unwrap();
    let mut words = vec![String::new(); 4];
    for token in &encoded.tokens {
        if let Some(word) = token.word {
            words[word].push_str(&token.text);
        }
    }
    assert_eq!(words, ["Once", "upon", "a", "time"]);
    assert!(encoded.tokens[0].special);
}

#[test]
fn long_texts_are_cut_and_keep_their_closing_token() {
    let checkpoint = open("bert");
    let tokenizer = checkpoint.tokenizer().unwrap();
    let info = ModelInfo {
        max_tokens: Some(6),
        ..Model::load(&checkpoint).unwrap().info().clone()
    };
    let encoded = tokenizer.encode("The cat sat on the mat.", &info).unwrap();
    let shown: Vec<&str> = encoded.tokens.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(shown, ["[CLS]", "the", "ca", "##t", "sat", "[SEP]"]);
    assert_eq!(encoded.cut_from, Some(10));
    assert!(
        encoded
            .tokens
            .iter()
            .enumerate()
            .all(|(at, token)| token.position == at)
    );
}

#[test]
fn decoding_gives_the_text_back() {
    let tokenizer = open("gpt2").tokenizer().unwrap();
    let info = Model::load(&open("gpt2")).unwrap().info().clone();
    let text = "naïve café — déjà vu";
    assert_eq!(
        tokenizer.decode(&tokenizer.encode(text, &info).unwrap().ids()).unwrap(),
        text
    );
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let tokenizer = open("gpt2").tokenizer().unwrap();
    let info = Model::load(&open("bert")).unwrap().info().clone();
    let error = tokenizer.encode("The cat sat on the mat.", &info).unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutsideVocabulary {
                id: 292,
                vocab_size: 220,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.at_line("line 3").to_string().starts_with("line 3: token `"));
}

#[test]
fn a_limit_that_special_tokens_fill_is_refused() {
    let info = Model::load(&open("bert")).unwrap().info().clone();
    let encode = |most: usize| {
        let tokenizer = open("bert").tokenizer().unwrap().with_max_tokens(Some(most));
        tokenizer.encode("The cat sat", &info)
    };
    for most in [1, 2] {
        match encode(most).unwrap_err() {
            Error::Tokenizer { message, .. } => assert!(message.contains("leaves no place"), "{message}"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(encode(3).unwrap().tokens.len(), 3);
}
