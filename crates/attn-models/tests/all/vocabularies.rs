//! Tokenizers built from vocabulary files, against what the reference tokenizers gave for the same texts.

use std::{fs, path::Path};

use attn_core::ModelInfo;
use attn_models::{Checkpoint, Error, Model};
use serde_json::{Value, json};

use crate::{
    support::{fixture, open, third_party},
    tokens::agrees,
};

/// A folder with a fixture's vocabulary and without its `tokenizer.json`. The weights are any.
fn raw(name: &str, files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files.iter().chain(&["config.json"]) {
        fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
    }
    fs::copy(
        fixture("bert/model.safetensors"),
        folder.path().join("model.safetensors"),
    )
    .unwrap();
    folder
}

fn cases(name: &str) -> Vec<Value> {
    serde_json::from_slice(&fs::read(fixture(name).join("tokenization.json")).unwrap()).unwrap()
}

/// What a model says that takes any text in a vocabulary of a size.
fn any_length(vocab_size: usize) -> ModelInfo {
    ModelInfo {
        max_tokens: None,
        vocab_size: Some(vocab_size),
        ..Model::load(&open("bert")).unwrap().info().clone()
    }
}

#[test]
fn vocabularies_of_word_pieces_are_berts() {
    for name in ["bert", "bert-cls", "distilbert", "electra"] {
        for files in [&["vocab.txt", "tokenizer_config.json"][..], &["vocab.txt"]] {
            let folder = raw(name, files);
            let checkpoint = Checkpoint::open(folder.path()).unwrap();
            assert!(checkpoint.has_tokenizer());
            let described = checkpoint.describe();
            assert!(described.files.iter().any(|file| file.name == "vocab.txt"));
            assert_eq!(described.vocabulary, Some(220));
            agrees(name, &checkpoint.tokenizer().unwrap(), &any_length(220), &cases(name));
        }
    }
}

#[test]
fn the_options_of_berts_normalizer_are_heeded() {
    let folder = raw("bert", &["vocab.txt"]);
    let vocabulary = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "Cafe", "café", "Café", "日", "##本", "<x>",
    ];
    fs::write(folder.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
    let ids = |options: Value, text: &str| {
        fs::write(folder.path().join("tokenizer_config.json"), options.to_string()).unwrap();
        let tokenizer = Checkpoint::open(folder.path()).unwrap().tokenizer();
        Ok::<_, Error>(tokenizer?.encode(text, &any_length(20))?.ids())
    };
    assert_eq!(ids(json!({}), "Café").unwrap(), [2, 4, 3]);
    assert_eq!(ids(json!({"strip_accents": false}), "Café").unwrap(), [2, 6, 3]);
    assert_eq!(ids(json!({"do_lower_case": false}), "Café").unwrap(), [2, 7, 3]);
    assert_eq!(
        ids(json!({"do_lower_case": false, "strip_accents": true}), "Café").unwrap(),
        [2, 5, 3]
    );
    assert_eq!(ids(json!({}), "日本").unwrap(), [2, 8, 1, 3]);
    assert_eq!(
        ids(json!({"tokenize_chinese_chars": false}), "日本").unwrap(),
        [2, 8, 9, 3]
    );
    assert_eq!(
        ids(json!({"cls_token": {"content": "<x>"}}), "cafe").unwrap(),
        [10, 4, 3]
    );
    let refused = ids(json!({"do_basic_tokenize": false}), "cafe");
    assert!(matches!(refused, Err(Error::Unsupported { key, .. }) if key == "do_basic_tokenize"));
    let unknown = ids(json!({"unk_token": "<none>"}), "cafe");
    assert!(matches!(unknown, Err(Error::Tokenizer { path, .. }) if path.ends_with("vocab.txt")));
}

#[test]
fn vocabularies_of_byte_pairs_are_gpt2s_or_robertas() {
    for (name, entries) in [
        ("gpt-neox", 340),
        ("gpt2", 340),
        ("llama", 340),
        ("qwen2", 340),
        ("qwen3", 340),
        ("roberta", 340),
    ] {
        for more in [
            &["tokenizer_config.json", "special_tokens_map.json"][..],
            &["special_tokens_map.json"],
        ] {
            // Without its own word on it, Qwen splits in a way of its own.
            if more.len() == 1 && name.starts_with("qwen") {
                continue;
            }
            let folder = raw(name, &[&["vocab.json", "merges.txt"], more].concat());
            let tokenizer = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
            agrees(name, &tokenizer, &any_length(entries), &cases(name));
        }
    }
    let folder = raw("qwen2", &["vocab.json", "merges.txt"]);
    let tokenizer = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
    let encoded = tokenizer.encode("a 123", &any_length(340)).unwrap();
    let shown: Vec<&str> = encoded.tokens.iter().map(|token| token.text.as_str()).collect();
    // Qwen: digits one by one, and no space before them.
    assert_eq!(shown, ["a", "␣", "1", "2", "3"]);
}

#[test]
fn byte_pairs_need_their_merges() {
    let folder = raw("gpt2", &["vocab.json"]);
    let error = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap_err();
    assert!(error.to_string().contains("merges.txt"), "{error}");
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\nh e\nhe\n").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
}

#[test]
fn marians_pieces_have_the_ids_of_its_vocabulary() {
    let folder = raw("marian", &["source.spm", "vocab.json", "tokenizer_config.json"]);
    let tokenizer = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
    assert_eq!(tokenizer.vocab_size(), 150);
    assert_eq!((tokenizer.id("</s>"), tokenizer.id("<pad>")), (Some(0), Some(149)));
    for case in cases("marian") {
        let text = case["text"].as_str().unwrap();
        if text.trim().is_empty() || case["pair"].is_string() {
            continue;
        }
        let ids: Vec<u64> = case["ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap())
            .collect();
        let encoded = tokenizer.encode(text, &any_length(150)).unwrap();
        assert_eq!(
            encoded.ids().into_iter().map(u64::from).collect::<Vec<_>>(),
            ids,
            "{text}"
        );
    }
    let ids = tokenizer
        .encode("She sells sea shells", &any_length(150))
        .unwrap()
        .ids();
    // The capital is unknown to it... and left out, as special tokens are.
    assert!(tokenizer.decode(&ids).unwrap().ends_with("he sells sea shells"));
    assert!(tokenizer.decode(&[9999]).is_err());

    // Targets have pieces of their own, with ids of the same list.
    let letters = "▁Thecatsonm.".chars().map(|letter| (letter.to_string(), 0.0, 1));
    let pieces: Vec<_> = special(&[("</s>", 3), ("<unk>", 2)])
        .into_iter()
        .chain(letters)
        .collect();
    fs::write(folder.path().join("target.spm"), model(&pieces, 1, true)).unwrap();
    let both = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
    let ids = |tokenizer: &attn_models::Tokenizer| tokenizer.encode("The cat", &any_length(150)).unwrap().ids();
    assert_eq!(ids(&both), ids(&tokenizer));
    let spelled = ["▁", "T", "h", "e", "▁", "c", "a", "t", "</s>"].map(|piece| both.id(piece).unwrap_or(1));
    assert_eq!(ids(both.for_targets()), spelled);
    assert_eq!(ids(tokenizer.for_targets()), ids(&tokenizer));

    // A vocabulary for each language needs a tokenizer for each.
    let path = folder.path().join("tokenizer_config.json");
    let mut options: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    options["separate_vocabs"] = true.into();
    fs::write(&path, options.to_string()).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap_err();
    assert!(
        matches!(&error, attn_models::Error::Unsupported { key, .. } if key == "separate_vocabs"),
        "{error}"
    );
}

/// A field of a protocol buffer.
fn field(number: u64, wire: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = varint(number << 3 | wire);
    if wire == 2 {
        bytes.extend(varint(content.len() as u64));
    }
    bytes.extend(content);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A SentencePiece model of pieces (text, score, kind); kind 2 of trainer is byte pairs. Its table of normalization is
/// Marian's, which is the usual one.
fn model(pieces: &[(String, f64, u64)], trainer: u64, table: bool) -> Vec<u8> {
    let piece = |(text, score, kind): &(String, f64, u64)| {
        let score = (*score as f32).to_le_bytes();
        field(
            1,
            2,
            &[
                field(1, 2, text.as_bytes()),
                field(2, 5, &score),
                field(3, 0, &varint(*kind)),
            ]
            .concat(),
        )
    };
    let mut bytes: Vec<u8> = pieces.iter().flat_map(piece).collect();
    bytes.extend(field(
        2,
        2,
        &[field(3, 0, &varint(trainer)), field(35, 0, &varint(trainer - 1))].concat(),
    ));
    if table {
        // The last message of Marian's file is the normalizer's.
        let marian = fs::read(fixture("marian/source.spm")).unwrap();
        let name = marian.windows(8).rposition(|window| window == b"nmt_nfkc").unwrap();
        let start = (0..name).rev().find(|&at| marian[at] == 0x1a).unwrap();
        bytes.extend(&marian[start..]);
    }
    bytes
}

/// The vocabulary of a fixture's `tokenizer.json`, from an id on.
fn vocabulary(name: &str, from: usize) -> Vec<(String, f64, u64)> {
    let json: Value = serde_json::from_slice(&fs::read(fixture(name).join("tokenizer.json")).unwrap()).unwrap();
    let entries = json["model"]["vocab"].as_array().unwrap().iter().skip(from);
    entries
        .map(|entry| (entry[0].as_str().unwrap().to_owned(), entry[1].as_f64().unwrap(), 1))
        .collect()
}

/// Cases without white space other than single spaces between words: what the fixtures' own normalizers do with the rest
/// is not what the usual table does.
fn plain_cases(name: &str, id: impl Fn(u64) -> u64) -> Vec<Value> {
    let mut kept = Vec::new();
    for mut case in cases(name) {
        let plain = |text: &Value| {
            let text = text.as_str().unwrap_or_default();
            text.split(' ').collect::<Vec<_>>() == text.split_whitespace().collect::<Vec<_>>()
        };
        if !case["text"].as_str().unwrap().is_empty()
            && plain(&case["text"])
            && (case["pair"].is_null() || plain(&case["pair"]))
        {
            let ids: Vec<u64> = case["ids"]
                .as_array()
                .unwrap()
                .iter()
                .map(|old| id(old.as_u64().unwrap()))
                .collect();
            case["ids"] = json!(ids);
            kept.push(case);
        }
    }
    assert!(kept.len() > 8, "{}", kept.len());
    kept
}

fn special(tokens: &[(&str, u64)]) -> Vec<(String, f64, u64)> {
    tokens
        .iter()
        .map(|&(text, kind)| (text.to_owned(), 0.0, kind))
        .collect()
}

fn sentence_piece(name: &str, file: &str, pieces: &[(String, f64, u64)], options: Value) -> attn_models::Tokenizer {
    let folder = raw(name, &[]);
    fs::write(folder.path().join(file), model(pieces, 1, true)).unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), options.to_string()).unwrap();
    Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap()
}

#[test]
fn sentence_pieces_of_albert() {
    let mut pieces = special(&[("<pad>", 3), ("<unk>", 2), ("[CLS]", 3), ("[SEP]", 3), ("[MASK]", 3)]);
    pieces.extend(vocabulary("albert", 5));
    let options = json!({"keep_accents": true});
    let tokenizer = sentence_piece("albert", "spiece.model", &pieces, options);
    agrees("albert", &tokenizer, &any_length(233), &plain_cases("albert", |id| id));
    let lower = sentence_piece("albert", "spiece.model", &pieces, json!({}));
    let ids = |text: &str| lower.encode(text, &any_length(233)).unwrap().ids();
    assert_eq!(ids("Thé ``cat''"), ids("the \"cat\""));
}

#[test]
fn sentence_pieces_of_deberta_are_followed_by_the_mask() {
    let mut pieces = special(&[("[PAD]", 3), ("[CLS]", 3), ("[SEP]", 3), ("[UNK]", 2)]);
    pieces.extend(vocabulary("deberta-v2", 4));
    let count = pieces.len() as u32;
    let tokenizer = |options: Value| sentence_piece("deberta-v2", "spm.model", &pieces, options);
    let info = any_length(300);
    // As published: `{"do_lower_case": false, "vocab_type": "spm"}`, or nothing.
    for options in [json!({"do_lower_case": false, "vocab_type": "spm"}), json!({})] {
        let own = tokenizer(options);
        agrees("deberta-v2", &own, &info, &plain_cases("deberta-v2", |id| id));
        assert_eq!(own.id("[MASK]"), Some(count));
        let special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"].map(|token| own.id(token));
        assert_eq!(special, [0, 1, 2, 3].map(Some));
        // White space around a text goes, and runs of it become one.
        let ids = |text: &str| own.encode(text, &info).unwrap().ids();
        assert_eq!(ids("  the   cat "), ids("the cat"));
        assert!(ids("the [MASK].").contains(&count));
        assert_ne!(ids("The"), ids("the"));
    }
    let lower = tokenizer(json!({"do_lower_case": true}));
    let ids = |text: &str| lower.encode(text, &info).unwrap().ids();
    assert_eq!(ids("The CAT"), ids("the cat"));
    // Punctuation stands alone, as a word of its own.
    let split = tokenizer(json!({"split_by_punct": true}));
    let inside = |tokenizer: &attn_models::Tokenizer, text: &str| {
        let ids = tokenizer.encode(text, &info).unwrap().ids();
        ids[1..ids.len() - 1].to_vec()
    };
    assert_eq!(
        inside(&split, "the."),
        [inside(&split, "the"), inside(&split, ".")].concat()
    );
    assert_ne!(inside(&split, "the."), inside(&tokenizer(json!({})), "the."));
    // A model with a mask of its own has no second one.
    let mut with_mask = pieces.clone();
    with_mask[4] = ("[MASK]".to_owned(), 0.0, 4);
    let own = sentence_piece("deberta-v2", "spm.model", &with_mask, json!({}));
    assert_eq!((own.id("[MASK]"), own.vocab_size()), (Some(4), pieces.len()));
}

/// Ids of the pieces are 103 more than their places; the numbers are those of `google/pegasus-xsum`.
#[test]
fn sentence_pieces_of_pegasus_start_behind_105_ids() {
    let mut pieces = special(&[("<pad>", 3), ("</s>", 3), ("<unk>", 2)]);
    pieces.extend(vocabulary("t5", 5));
    let tokenizer = |options: Value| sentence_piece("pegasus", "spiece.model", &pieces, options);
    let own = tokenizer(json!({}));
    let known = ["<pad>", "</s>", "<mask_1>", "<mask_2>", "<unk_2>", "<unk_102>", "<unk>"].map(|token| own.id(token));
    assert_eq!(known, [0, 1, 2, 3, 4, 104, 105].map(Some));
    let first = pieces[3].0.as_str();
    assert_eq!((own.id(first), own.vocab_size()), (Some(106), pieces.len() + 103));
    // T5 has the same pieces two places behind its own five, and the same end.
    let info = any_length(500);
    let t5 = open("t5").tokenizer().unwrap();
    let mut compared = 0;
    for case in plain_cases("t5", |id| id).iter().filter(|case| case["pair"].is_null()) {
        let text = case["text"].as_str().unwrap();
        let moved = t5.encode(text, &info).unwrap().ids().into_iter().map(|id| match id {
            2 => 105,
            5.. => id + 101,
            other => other,
        });
        assert_eq!(
            own.encode(text, &info).unwrap().ids(),
            moved.collect::<Vec<_>>(),
            "{text}"
        );
        compared += 1;
    }
    assert!(compared > 8, "{compared}");
    let ids = |text: &str| own.encode(text, &info).unwrap().ids();
    assert_eq!(ids("<mask_1> the"), [&[2][..], &ids("the")].concat());
    let folder = raw("pegasus", &[]);
    fs::write(folder.path().join("spiece.model"), model(&pieces, 1, true)).unwrap();
    for (wrong, options) in [
        ("mask_token_sent", json!({"mask_token_sent": null})),
        ("offset", json!({"offset": 3})),
        ("offset", json!({"offset": 1 << 20})),
    ] {
        fs::write(folder.path().join("tokenizer_config.json"), options.to_string()).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported { key, .. } if key == wrong),
            "{error}"
        );
    }
}

#[test]
fn sentence_pieces_of_xlm_roberta_start_behind_four_ids_and_end_with_the_mask() {
    let mut pieces = special(&[("<unk>", 2), ("<s>", 3), ("</s>", 3)]);
    pieces.extend(vocabulary("xlm-roberta", 5));
    let tokenizer = sentence_piece("xlm-roberta", "sentencepiece.bpe.model", &pieces, json!({}));
    // The fixture has its mask before the pieces.
    let cases = plain_cases("xlm-roberta", |id| if id > 4 { id - 1 } else { id });
    agrees("xlm-roberta", &tokenizer, &any_length(243), &cases);
    assert_eq!(tokenizer.id("<mask>"), Some(242));
}

#[test]
fn sentence_pieces_of_mbart_are_followed_by_languages() {
    let mut pieces = special(&[("<unk>", 2), ("<s>", 3), ("</s>", 3)]);
    pieces.extend(vocabulary("mbart", 7));
    let count = pieces.len() as u64;
    let tokenizer = sentence_piece(
        "mbart",
        "sentencepiece.bpe.model",
        &pieces,
        json!({"src_lang": "en_XX"}),
    );
    // Ids 4 and 5 of the fixture are its languages, 6 is its mask. English is the fourth of 25.
    let cases = plain_cases("mbart", |id| match id {
        4 => count + 1 + 3,
        7.. => id - 3,
        _ => id,
    });
    agrees("mbart", &tokenizer, &any_length(400), &cases);
    assert_eq!(tokenizer.id("zh_CN"), Some(count as u32 + 1 + 24));
    assert_eq!(tokenizer.id("<mask>"), Some(count as u32 + 1 + 25));
}

#[test]
fn sentence_pieces_of_t5_are_followed_by_sentinels() {
    let mut pieces = special(&[
        ("<pad>", 3),
        ("</s>", 3),
        ("<unk>", 2),
        ("<extra_id_0>", 4),
        ("<extra_id_1>", 4),
    ]);
    pieces.extend(vocabulary("t5", 5));
    let tokenizer = sentence_piece("t5", "spiece.model", &pieces, json!({"extra_ids": 0}));
    agrees("t5", &tokenizer, &any_length(400), &plain_cases("t5", |id| id));
    let mut plain = special(&[("<pad>", 3), ("</s>", 3), ("<unk>", 2)]);
    plain.extend(vocabulary("t5", 5));
    let tokenizer = sentence_piece("t5", "spiece.model", &plain, json!({}));
    // A hundred of them, counted down.
    let count = plain.len() as u32;
    assert_eq!(tokenizer.id("<extra_id_99>"), Some(count));
    assert_eq!(tokenizer.id("<extra_id_0>"), Some(count + 99));
}

#[test]
fn byte_pairs_of_llama_follow_the_scores_of_their_pieces() {
    let Some(path) = third_party("stories260k") else { return };
    let json: Value = serde_json::from_slice(&fs::read(path.join("tokenizer.json")).unwrap()).unwrap();
    let mut entries: Vec<(String, u64)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(text, id)| (text.clone(), id.as_u64().unwrap()))
        .collect();
    entries.sort_by_key(|entry| entry.1);
    let pieces: Vec<(String, f64, u64)> = entries
        .into_iter()
        .map(|(text, id)| {
            let kind = match id {
                0 => 2,
                1 | 2 => 3,
                _ if text.starts_with("<0x") => 6,
                _ => 1,
            };
            // As in that model: the later, the rarer.
            (text, -(id as f64), kind)
        })
        .collect();
    let folder = raw("llama", &[]);
    fs::write(folder.path().join("tokenizer.model"), model(&pieces, 2, false)).unwrap();
    let own = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
    let reference = Checkpoint::open(path).unwrap().tokenizer().unwrap();
    let info = any_length(512);
    for text in [
        "Once upon a time, there was a little girl named Lily.",
        "naïve café — déjà vu 🙂",
        "  two  spaces\tand\nlines ",
        "She sells sea shells",
    ] {
        let (found, expected) = (own.encode(text, &info).unwrap(), reference.encode(text, &info).unwrap());
        assert_eq!(found, expected, "{text}");
        assert_eq!(
            own.decode(&found.ids()).unwrap(),
            reference.decode(&found.ids()).unwrap()
        );
    }
}

#[test]
fn vocabularies_of_real_weights_are_their_tokenizers() {
    let Some(path) = third_party("all-minilm-l6-v2") else {
        return;
    };
    let folder = raw("bert", &[]);
    for file in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        fs::copy(path.join(file), folder.path().join(file)).unwrap();
    }
    let own = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
    let reference = Checkpoint::open(&path).unwrap().tokenizer().unwrap();
    let info = any_length(30522);
    for case in cases("bert") {
        let text = case["text"].as_str().unwrap();
        if !text.is_empty() {
            assert_eq!(
                own.encode(text, &info).unwrap(),
                reference.encode(text, &info).unwrap(),
                "{text}"
            );
        }
    }
    // A vocabulary that does not say how text is split.
    let Some(path) = third_party("rxn-albert") else { return };
    let folder = raw("albert", &[]);
    fs::copy(path.join("vocab.txt"), folder.path().join("vocab.txt")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap_err();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}

#[test]
fn broken_sentence_piece_models_are_errors() {
    let folder = raw("albert", &[]);
    let path: &Path = &folder.path().join("spiece.model");
    let mut pieces = special(&[("<pad>", 3), ("<unk>", 2), ("[CLS]", 3), ("[SEP]", 3)]);
    pieces.push(("▁a".to_owned(), -1.0, 1));
    let whole = model(&pieces, 1, false);
    let load = |bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        Checkpoint::open(folder.path()).unwrap().tokenizer()
    };
    assert!(load(&whole).is_ok());
    for end in 0..whole.len() {
        // Cut between two messages it may still be one; anything but a panic will do.
        if let Err(error) = load(&whole[..end]) {
            assert!(
                matches!(&error, Error::Tokenizer { path: named, .. } if named == path),
                "{error}"
            );
        }
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x81;
        let _ = load(&flipped);
    }
    let huge = field(1, 2, &[])
        .into_iter()
        .chain(varint(u64::MAX))
        .collect::<Vec<u8>>();
    assert!(load(&huge).is_err());
    assert!(matches!(
        load(&[&varint(10)[..], &varint(u64::MAX)].concat()),
        Err(Error::Tokenizer { .. })
    ));
}

#[test]
fn broken_tables_of_normalization_are_errors_or_harmless() {
    let folder = raw("marian", &["vocab.json"]);
    let path = folder.path().join("source.spm");
    let whole = fs::read(fixture("marian/source.spm")).unwrap();
    let table = whole.windows(8).rposition(|window| window == b"nmt_nfkc").unwrap() + 8;
    let text = "ﬁne ½ Å 日本語 naïve café \t a";
    let mut refused = 0;
    // Some bytes of the head, the trie and the replacements; and whole runs of them.
    for (step, run) in [(15_011, 1), (30_007, 4), (60_011, 400)] {
        for at in (table..whole.len() - run).step_by(step) {
            let mut broken = whole.clone();
            broken[at..at + run]
                .iter_mut()
                .for_each(|byte| *byte = byte.wrapping_mul(77) ^ 0xb5);
            fs::write(&path, broken).unwrap();
            match Checkpoint::open(folder.path()).unwrap().tokenizer() {
                Ok(tokenizer) => drop(tokenizer.encode(text, &any_length(150))),
                Err(error) => {
                    assert!(matches!(&error, Error::Tokenizer { .. }), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 3, "{refused}");
}
