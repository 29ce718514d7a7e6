//! Models that translate between many languages: their tokens, and what they write, against the reference.

use std::{fs, path::Path};

use attn_models::{
    Checkpoint, Error, Inputs, Model, Tokenizer,
    generate::{GenerationParams, Generator},
};
use serde_json::{Value, json};

use crate::{
    families::agree,
    generation,
    support::{expected, fixture, inputs, open},
};

fn cases(name: &str) -> Vec<Value> {
    serde_json::from_slice(&fs::read(fixture(name).join("tokenization.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

/// The fixture without `tokenizer.json`.
fn without_json(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap();
        if file != "tokenizer.json" && !file.to_string_lossy().starts_with("expected") {
            fs::copy(&path, folder.path().join(file)).unwrap();
        }
    }
    if name == "nllb" {
        // Ids as the reference saves them beside a vocabulary: here, the mask is in front of the languages.
        edit(folder.path(), |config| {
            let languages = config["additional_special_tokens"].as_array().unwrap().clone();
            let tokens = [json!("<mask>")].into_iter().chain(languages).zip(191..);
            let tokens = tokens.map(|(token, id)| (id.to_string(), json!({"content": token, "special": true})));
            config["added_tokens_decoder"] = Value::Object(tokens.collect());
        });
    }
    folder
}

fn edit(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

/// The tokenizer of a folder.
fn tokenizer(folder: &Path) -> Result<Tokenizer, Error> {
    Checkpoint::open(folder).unwrap().tokenizer()
}

/// Everything that the reference recorded of the model.
fn compare(name: &str, model: &Model) {
    let compared = agree(name, model);
    assert!(compared >= 8, "{name}: only {compared} tensors compared");
}

#[test]
fn tokens_of_sentence_pieces_are_the_references() {
    for name in ["m2m100-spm", "mbart50", "nllb", "t5-spm"] {
        let folder = without_json(name);
        let mut checkpoints = vec![Checkpoint::open(folder.path()).unwrap()];
        if fixture(name).join("tokenizer.json").exists() {
            checkpoints.push(open(name));
        }
        let info = Model::load(&checkpoints[0]).unwrap().info().clone();
        for checkpoint in checkpoints {
            let tokenizer = checkpoint.tokenizer().unwrap();
            let mut compared = 0;
            for case in cases(name) {
                let language = case["src_lang"].as_str().or(case["tgt_lang"].as_str());
                let own = match language {
                    Some(language) => tokenizer.clone().with_language(language).unwrap(),
                    None => tokenizer.clone(),
                };
                assert_eq!(own.language(), language);
                let text = case["text"].as_str().unwrap();
                if case["as_target"] == true && name == "m2m100-spm" {
                    let found = tokenizer.for_targets().encode(text, &info).unwrap();
                    assert_eq!(found.ids(), ids(&case["ids"]), "{name}: {text:?}");
                }
                if text.is_empty() {
                    assert!(matches!(own.encode(text, &info), Err(Error::Empty { .. })));
                    continue;
                }
                let found = own.encode(text, &info).unwrap();
                assert_eq!(found.ids(), ids(&case["ids"]), "{name}: {text:?}");
                assert!(language.is_none() || found.tokens[0].special && found.tokens[0].span.is_none());
                if let Some(decoded) = case["decoded"].as_str().filter(|_| text.is_ascii()) {
                    let found = own.decode(&found.ids()).unwrap();
                    assert_eq!(found.trim(), decoded.trim(), "{name}: {text:?}");
                }
                compared += 1;
            }
            assert!(compared >= 14, "{name}: {compared}");
        }
    }
}

#[test]
fn models_and_their_translations_agree_with_the_reference() {
    for (name, target) in [
        ("m2m100-spm", Some("de")),
        ("mbart50", Some("de_DE")),
        ("nllb", Some("deu_Latn")),
        ("t5-spm", None),
    ] {
        let checkpoint = open(name);
        let model = Model::load(&checkpoint).unwrap();
        compare(name, &model);
        let tokenizer = checkpoint.tokenizer().unwrap();
        let expected = expected(name);
        let read = GenerationParams::read(&checkpoint).unwrap();
        let mut named = GenerationParams {
            forced_first: None,
            ..read.clone()
        };
        match target {
            Some(target) => named.set_language(&tokenizer, target).unwrap(),
            None => assert_eq!(read.forced_first, None),
        }
        assert_eq!(named, read, "{name}");
        translates(name, "config", &model, &named);
        translates(
            name,
            "greedy",
            &model,
            &GenerationParams {
                beams: 1,
                ..named.clone()
            },
        );
        // The texts of the fixture are those inputs.
        let texts: Value = serde_json::from_slice(&fs::read(fixture(name).join("expected.json")).unwrap()).unwrap();
        let rows = |key: &str| expected[&format!("gen.config.in.{key}")].to_vec2::<i64>().unwrap();
        let (sources, masks) = (rows("input_ids"), rows("attention_mask"));
        for (at, text) in texts["texts"].as_array().unwrap().iter().enumerate() {
            let real = sources[at].iter().zip(&masks[at]).filter(|(_, mask)| **mask == 1);
            let wanted: Vec<i64> = real.map(|(&id, _)| id).collect();
            let own = tokenizer.prompt(text.as_str().unwrap(), model.info()).unwrap();
            let own: Vec<i64> = own.into_iter().map(i64::from).collect();
            assert_eq!(own, wanted, "{name}: {text}");
        }
        let own = tokenizer
            .prompt(texts["texts"][0].as_str().unwrap(), model.info())
            .unwrap();
        // The language is no part of the text that comes out.
        let inputs = Inputs::from_ids(&[own], 1).unwrap();
        let generated = Generator::new(&model, &named)
            .unwrap()
            .run(&inputs, &mut (), &())
            .unwrap();
        let written = tokenizer.decode(&generated[0].hypotheses[0].tokens).unwrap();
        assert!(
            target.is_none_or(|target| !written.contains(target)),
            "{name}: {written}"
        );
    }
}

/// Sequences up to their ends, scores and beams of a run are the reference's, with the cache and without.
fn translates(name: &str, tag: &str, model: &Model, params: &GenerationParams) {
    let expected = expected(name);
    let inputs = inputs(&expected, &format!("gen.{tag}"));
    let of = |key: &str| expected.contains_key(&format!("gen.{tag}.{key}"));
    assert!(of("sequences") && (of("token_logprobs") || of("sequences_scores") && of("beam_indices")));
    for cache in [true, false] {
        let params = GenerationParams {
            cache,
            ..params.clone()
        };
        generation::compare(
            name,
            tag,
            &params,
            &generation::generate(model, &inputs, &params),
            &expected,
        );
    }
}

#[test]
fn another_language_is_another_translation() {
    for name in ["mbart50", "nllb"] {
        let checkpoint = open(name);
        let model = Model::load(&checkpoint).unwrap();
        let expected = expected(name);
        let first = expected["gen.other_language.sequences"].to_vec2::<i64>().unwrap()[0][1];
        let tokenizer = checkpoint.tokenizer().unwrap();
        let language = tokenizer
            .languages()
            .find(|code| i64::from(tokenizer.language_id(code).unwrap()) == first);
        let mut params = GenerationParams::read(&checkpoint).unwrap();
        assert_ne!(params.forced_first.map(i64::from), Some(first));
        params.set_language(&tokenizer, language.unwrap()).unwrap();
        translates(name, "other_language", &model, &params);
    }
}

#[test]
fn mbart_starts_with_the_language() {
    let tokenizer = open("mbart50").tokenizer().unwrap();
    let mut params = GenerationParams {
        decoder_start: Some(tokenizer.language_id("en_XX").unwrap()),
        ..GenerationParams::default()
    };
    params.set_language(&tokenizer, "ro_RO").unwrap();
    assert_eq!(
        (params.decoder_start, params.forced_first),
        (tokenizer.id("ro_RO"), None)
    );
}

#[test]
fn unknown_languages_list_near_ones() {
    let tokenizer = |name: &str| open(name).tokenizer().unwrap();
    for (name, count, language, near) in [
        ("nllb", 202, "deu_latin", "deu_Latn"),
        ("mbart50", 52, "de", "de_DE"),
        ("m2m100-spm", 100, "deu", "de"),
    ] {
        let tokenizer = tokenizer(name);
        assert_eq!(tokenizer.languages().count(), count, "{name}");
        let error = tokenizer.clone().with_language(language).unwrap_err();
        let Error::Parameter {
            name: "language",
            expected,
            found,
        } = &error
        else {
            panic!("{error}")
        };
        assert!(
            expected.contains(&format!("one of {count} languages")) && expected.contains(near),
            "{error}"
        );
        assert_eq!(found, language);
        assert_eq!(
            tokenizer
                .language_id("")
                .unwrap_err()
                .to_string()
                .matches("perhaps")
                .count(),
            1
        );
    }
    let tokenizer = tokenizer("t5");
    assert_eq!((tokenizer.languages().count(), tokenizer.language()), (0, None));
    let error = tokenizer.language_id("de").unwrap_err().to_string();
    assert!(error.contains("marks texts with no language"), "{error}");
}

#[test]
fn the_configuration_names_the_language_of_texts() {
    let folder = without_json("nllb");
    let json = folder.path().join("tokenizer.json");
    fs::copy(fixture("nllb/tokenizer.json"), &json).unwrap();
    for _ in ["tokenizer.json", "sentencepiece.bpe.model"] {
        edit(folder.path(), |config| config["src_lang"] = json!("fra_Latn"));
        assert_eq!(tokenizer(folder.path()).unwrap().language(), Some("fra_Latn"));
        edit(folder.path(), |config| config["src_lang"] = json!("xxx_Latn"));
        let error = tokenizer(folder.path()).unwrap_err().to_string();
        assert!(error.contains("xxx_Latn"), "{error}");
        let _ = fs::remove_file(&json);
    }
    // Behind the text, as NLLB had it first.
    edit(folder.path(), |config| {
        config["src_lang"] = json!("fra_Latn");
        config["legacy_behaviour"] = json!(true);
    });
    let info = Model::load(&open("nllb")).unwrap().info().clone();
    let own = tokenizer(folder.path()).unwrap();
    let tokens = own.encode("The cat", &info).unwrap().ids();
    assert_eq!(tokens.last(), own.id("fra_Latn").as_ref());
    // Without ids, the languages come first, as on the hub.
    edit(folder.path(), |config| {
        config.as_object_mut().unwrap().remove("added_tokens_decoder");
    });
    let own = tokenizer(folder.path()).unwrap();
    assert_eq!((own.id("ace_Arab"), own.id("<mask>")), (Some(191), Some(393)));
    // Ids that leave a gap.
    edit(folder.path(), |config| {
        config["added_tokens_decoder"] = json!({"300": {"content": "<mask>"}})
    });
    let error = tokenizer(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected id 393 for `<mask>`, found 300"), "{error}");
}
