//! Tokenizer files that are cut, or valid and wrong: typed errors, and no panic of the library behind.

use std::fs;

use attn_core::ModelInfo;
use attn_models::{Error, Model, Result, Tokenizer};
use serde_json::{Value, json};

use crate::support::{fixture, open};

fn read(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name).join("tokenizer.json")).unwrap()).unwrap()
}

fn load(text: &str) -> Result<Tokenizer> {
    Tokenizer::from_bytes(text.as_bytes(), "tokenizer.json".as_ref())
}

fn edited(name: &str, edit: impl FnOnce(&mut Value)) -> Result<Tokenizer> {
    let mut description = read(name);
    edit(&mut description);
    load(&description.to_string())
}

fn info(name: &str) -> ModelInfo {
    Model::load(&open(name)).unwrap().info().clone()
}

/// A tokenizer of single letters without a pre-tokenizer, as Llama's and Mistral's do not split at spaces.
fn letters() -> Tokenizer {
    let vocabulary: serde_json::Map<String, Value> = ["<unk>", "▁", "a", "b", "c", "ab", "▁a"]
        .iter()
        .zip(0..)
        .map(|(token, id)| ((*token).to_owned(), id.into()))
        .collect();
    let description = json!({"version": "1.0", "added_tokens": [], "post_processor": null, "decoder": null,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "pre_tokenizer": null,
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "vocab": vocabulary,
            "merges": [["a", "b"], ["▁", "a"]]}});
    load(&description.to_string()).unwrap()
}

#[test]
fn files_that_are_cut_anywhere() {
    for name in ["bert", "gpt2", "albert", "llama", "xlm-roberta"] {
        let text = read(name).to_string();
        // Densely through the last part, where the decoder and the template stand, and where the file begins.
        let ends = (0..2000).chain((2000..text.len()).step_by(997));
        for end in ends.filter(|&end| end < text.len() && text.is_char_boundary(end)) {
            let error = load(&text[..end]).unwrap_err();
            assert!(
                matches!(&error, Error::Json { path, .. } if path.ends_with("tokenizer.json")),
                "{name} {end}: {error}"
            );
            assert!(error.to_string().len() < 1000);
        }
        // In the order of a file as the library writes it, the decoder comes before the model.
        let at = text.find("\"decoder\"").unwrap();
        for end in (at..(at + 400).min(text.len())).filter(|&end| text.is_char_boundary(end)) {
            assert!(matches!(load(&text[..end]), Err(Error::Json { .. })), "{name} {end}");
        }
    }
}

#[test]
fn what_makes_the_library_panic_is_refused() {
    let template = |edit: fn(&mut Value)| {
        edited("bert", |description| {
            description["post_processor"] = json!({"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}});
            edit(&mut description["post_processor"]);
        })
    };
    assert!(template(|_| ()).is_ok());
    let cases: Vec<(Result<Tokenizer>, &str)> = vec![
        // More ids than tokens.
        (
            template(|post| post["special_tokens"]["[CLS]"]["ids"] = json!([2, 3])),
            "2 ids and 1 tokens",
        ),
        // A special token that is not described, alone and in a pair.
        (
            template(|post| post["single"][0]["SpecialToken"]["id"] = "[X]".into()),
            "names `[X]`",
        ),
        (
            template(|post| post["pair"][0] = json!({"SpecialToken": {"id": "[Y]", "type_id": 0}})),
            "`pair` names `[Y]`",
        ),
        // A second text where there is one.
        (
            template(|post| post["single"][1]["Sequence"]["id"] = "B".into()),
            "names text B",
        ),
        // The same without its type, which the library knows by its keys.
        (
            template(|post| {
                post["single"][0]["SpecialToken"]["id"] = "[X]".into();
                post.as_object_mut().unwrap().remove("type");
            }),
            "names `[X]`",
        ),
        // The same within a sequence of processors.
        (
            template(|post| {
                post["single"][0]["SpecialToken"]["id"] = "[X]".into();
                *post = json!({"type": "Sequence", "processors": [post.clone()]});
            }),
            "names `[X]`",
        ),
        // A prefix longer than the second part of a merge.
        (
            edited("gpt2", |description| {
                description["model"]["continuing_subword_prefix"] = "####".into()
            }),
            "merge 1:",
        ),
        // A merge that makes a token longer than any.
        (
            edited("gpt2", |description| {
                let model = &mut description["model"];
                let longest = model["vocab"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .max_by_key(|key| key.len())
                    .unwrap()
                    .clone();
                model["merges"]
                    .as_array_mut()
                    .unwrap()
                    .insert(0, json!([longest, longest]));
            }),
            "make no token of the vocabulary",
        ),
        // Tables of normalization.
        (
            edited("bert", |description| {
                description["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": null})
            }),
            "Precompiled",
        ),
        (
            edited("bert", |description| {
                description["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "!"})
            }),
            "Precompiled",
        ),
        (
            edited("bert", |description| {
                let table = json!({"type": "Precompiled", "precompiled_charsmap": "AAEAAP////8AAAAA"});
                description["normalizer"] = json!({"type": "Sequence", "normalizers": [table]});
            }),
            "Precompiled",
        ),
        (
            edited("bert", |description| {
                description["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0})
            }),
            "FixedLength",
        ),
    ];
    for (loaded, found) in cases {
        match loaded.map(|_| ()).unwrap_err() {
            Error::Tokenizer { message, .. } => assert!(message.contains(found), "{message}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_decoder_that_strips_the_end_of_tokens_encodes_and_does_not_decode() {
    let strips = |stop: u64| {
        let tokenizer = edited("bert", |description| {
            description["decoder"] = json!({"type": "Sequence", "decoders": [
                {"type": "Strip", "content": " ", "start": 1, "stop": stop}]});
        });
        tokenizer.unwrap()
    };
    let info = info("bert");
    let ids = strips(0).encode("the cat", &info).unwrap().ids();
    assert!(strips(0).decode(&ids).is_ok());
    assert_eq!(strips(9).encode("the cat", &info).unwrap().ids(), ids);
    let error = strips(9).decode(&ids).unwrap_err();
    assert!(
        matches!(&error, Error::Tokenizer { message, .. } if message.contains("`stop`")),
        "{error}"
    );
    assert_eq!(strips(9).decode(&[]).unwrap(), "");
}

#[test]
fn mutated_files_are_errors_or_tokenizers() {
    // Whole parts of one file in another's place, and values of the wrong kind anywhere near the top.
    let values = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!("x"),
        json!([]),
        json!({}),
        json!([[["a"]]]),
        json!({"type": "Fuse"}),
    ];
    let info = info("bert");
    for name in ["bert", "gpt2", "albert"] {
        let whole = read(name);
        for part in whole.as_object().unwrap().keys() {
            let mut places = vec![format!("/{part}")];
            for key in whole[part].as_object().into_iter().flat_map(|map| map.keys()) {
                places.push(format!("/{part}/{key}"));
            }
            for place in places {
                for value in &values {
                    let mut broken = whole.clone();
                    *broken.pointer_mut(&place).unwrap() = value.clone();
                    if let Ok(tokenizer) = load(&broken.to_string()) {
                        let encoded = tokenizer.encode("the café, 日本 ab", &info);
                        let ids = encoded.map(|encoded| encoded.ids()).unwrap_or_default();
                        let _ = tokenizer.decode(&ids);
                    }
                }
            }
        }
    }
}

#[test]
fn words_of_a_tokenizer_that_does_not_split_are_those_between_spaces() {
    let tokenizer = letters();
    let info = ModelInfo {
        vocab_size: None,
        max_tokens: None,
        ..info("bert")
    };
    let encoded = tokenizer.encode("ab  c ab", &info).unwrap();
    let words: Vec<_> = encoded
        .tokens
        .iter()
        .map(|token| (token.text.as_str(), token.word))
        .collect();
    assert_eq!(
        words,
        [
            ("ab", Some(0)),
            ("␣", Some(1)),
            ("␣", Some(1)),
            ("c", Some(1)),
            ("␣", Some(2)),
            ("ab", Some(2))
        ]
    );
    // A long line: every word once, in order. (Counted from the start for every token this takes minutes.)
    let text = "ab c ".repeat(100_000);
    let encoded = tokenizer.encode(&text, &info).unwrap();
    let mut last = 0;
    for token in &encoded.tokens {
        let word = token.word.unwrap();
        assert!(word == last || word == last + 1);
        last = word;
    }
    assert_eq!(last, 200_000);
}
