//! Folders that are not what they should be: a typed error each, naming file, tensor, expected and found.

use std::{fs, path::Path};

use attn_models::{
    Checkpoint, Error, Inputs, Model, Result,
    candle::{DType, Device, Tensor},
    families::Families,
};

use crate::support::{difference, expected, fixture, inputs, third_party};

/// A copy of a fixture that a test may break.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "preprocessor_config.json",
    ] {
        if fixture(name).join(file).exists() {
            fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
        }
    }
    folder
}

fn load(folder: &Path) -> Result<Model> {
    Model::load(&Checkpoint::open(folder)?)
}

fn edit_config(folder: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

/// Rewrites the weights, with some tensors changed or (`None`) left out.
fn edit_weights(folder: &Path, edit: impl Fn(&str, Tensor) -> Option<Tensor>) {
    let path = folder.join("model.safetensors");
    let tensors = attn_models::candle::safetensors::load(&path, &Device::Cpu).unwrap();
    let edited = tensors
        .into_iter()
        .filter_map(|(name, tensor)| edit(&name, tensor).map(|tensor| (name, tensor)))
        .collect();
    fs::remove_file(&path).unwrap();
    attn_models::candle::safetensors::save(&edited, &path).unwrap();
}

#[test]
fn no_such_folder() {
    let error = Checkpoint::open("no/such/folder").unwrap_err();
    assert!(matches!(error, Error::NotAModel { .. }), "{error}");
    assert!(error.to_string().contains("no/such/folder"));
    assert!(matches!(
        Checkpoint::open(fixture("bert/config.json")),
        Err(Error::NotAModel { .. })
    ));
}

#[test]
fn a_folder_that_is_not_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::NotAModel { expected, .. } if expected == "config.json"),
        "{error}"
    );
    fs::write(folder.path().join("config.json"), r#"{"model_type": "bert"}"#).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::NotAModel { expected, .. } if expected.contains("model.safetensors")),
        "{error}"
    );
    fs::write(folder.path().join("model.onnx"), "x").unwrap();
    assert!(
        Checkpoint::open(folder.path())
            .unwrap_err()
            .to_string()
            .contains("convert it to safetensors")
    );
}

#[test]
fn a_configuration_that_does_not_parse() {
    let folder = copy("bert");
    fs::write(folder.path().join("config.json"), "{\n\"model_type\": bert}").unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Json { line: 2, .. }), "{error}");
    fs::write(folder.path().join("config.json"), "[]").unwrap();
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Config { .. })));
}

#[test]
fn an_unknown_family_lists_the_known_ones() {
    let folder = copy("bert");
    edit_config(folder.path(), |config| config["model_type"] = "mamba".into());
    let error = load(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownFamily { found, .. } if found == "mamba"),
        "{error}"
    );
    for family in Families::builtin().names() {
        assert!(error.to_string().contains(family));
    }
    edit_config(folder.path(), |config| {
        drop(config.as_object_mut().unwrap().remove("model_type"))
    });
    assert!(matches!(load(folder.path()), Err(Error::Config { key, .. }) if key == "model_type"));
}

#[test]
fn a_missing_tensor() {
    let wanted = "transformer.h.1.ln_1.weight";
    let folder = copy("gpt2");
    edit_weights(folder.path(), |name, tensor| (name != wanted).then_some(tensor));
    let error = load(folder.path()).unwrap_err();
    match &error {
        Error::MissingTensor { path, tensor, expected } => {
            assert_eq!((tensor.as_str(), expected.as_slice()), (wanted, &[32][..]));
            assert!(path.ends_with("model.safetensors"));
        }
        other => panic!("{other}"),
    }
    let described = Checkpoint::open(folder.path()).unwrap().describe();
    assert_eq!(described.missing, [wanted]);
}

#[test]
fn a_misshapen_tensor() {
    let wanted = "bert.encoder.layer.1.intermediate.dense.weight";
    let folder = copy("bert");
    edit_weights(folder.path(), |name, tensor| {
        Some(if name == wanted {
            tensor.t().unwrap().contiguous().unwrap()
        } else {
            tensor
        })
    });
    match load(folder.path()).unwrap_err() {
        Error::Tensor {
            tensor,
            expected,
            found,
            ..
        } => {
            assert_eq!(
                (tensor.as_str(), expected.as_str(), found.as_str()),
                (wanted, "shape [64, 32]", "[32, 64]")
            );
        }
        other => panic!("{other}"),
    }
    assert!(!Checkpoint::open(folder.path()).unwrap().describe().problems.is_empty());
}

#[test]
fn a_tensor_of_integers() {
    let wanted = "bert.embeddings.LayerNorm.bias";
    let folder = copy("bert");
    edit_weights(folder.path(), |name, tensor| {
        Some(if name == wanted {
            tensor.to_dtype(DType::U8).unwrap()
        } else {
            tensor
        })
    });
    let error = load(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Tensor { tensor, found, .. } if tensor == wanted && found == "U8"),
        "{error}"
    );
}

#[test]
fn weights_that_are_not_numbers() {
    for bad in [f32::NAN, f32::INFINITY] {
        let wanted = "vit.encoder.layer.0.output.dense.bias";
        let folder = copy("vit");
        edit_weights(folder.path(), |name, tensor| {
            let mut values = crate::support::values(&tensor);
            if name == wanted {
                values[5] = bad;
            }
            Some(
                Tensor::new(values, &Device::Cpu)
                    .unwrap()
                    .reshape(tensor.shape())
                    .unwrap(),
            )
        });
        let error = load(folder.path()).unwrap_err();
        assert!(
            matches!(&error, Error::NotFinite { tensor, index: 5, .. } if tensor == wanted),
            "{error}"
        );
    }
}

#[test]
fn truncated_corrupt_and_absurd_weight_files() {
    let folder = copy("bert");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 0xff;
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut large = whole.clone();
    large[..8].copy_from_slice(&99_999_999_u64.to_le_bytes());
    let header = br#"{"a":{"dtype":"F32","shape":[4000000000,4000000000,4000000000],"data_offsets":[0,8]}}"#;
    let mut overflowing = (header.len() as u64).to_le_bytes().to_vec();
    overflowing.extend(header);
    overflowing.extend([0; 8]);
    for bytes in [
        &whole[..whole.len() - 1],
        &whole[..whole.len() / 2],
        &whole[..100],
        &whole[..4],
        &[],
        &flipped,
        &huge,
        &large,
        &overflowing,
    ] {
        fs::write(&path, bytes).unwrap();
        match load(folder.path()).unwrap_err() {
            Error::Safetensors { path: named, .. } => assert_eq!(named, path),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn missing_and_broken_tokenizers_and_preprocessors() {
    let folder = copy("bert");
    fs::write(folder.path().join("tokenizer.json"), "{\"version\": 1}").unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(matches!(checkpoint.tokenizer(), Err(Error::Tokenizer { .. })));
    assert_eq!(checkpoint.describe().problems.len(), 1);
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap_err();
    assert!(
        matches!(
            error,
            Error::MissingFile {
                expected: "tokenizer.json",
                ..
            }
        ),
        "{error}"
    );
    let error = Checkpoint::open(folder.path()).unwrap().image_processor().unwrap_err();
    assert!(
        matches!(
            error,
            Error::MissingFile {
                expected: "preprocessor_config.json",
                ..
            }
        ),
        "{error}"
    );
}

/// The fixture's weights in two files and an index.
fn shard(folder: &Path) {
    let path = folder.join("model.safetensors");
    let tensors = attn_models::candle::safetensors::load(&path, &Device::Cpu).unwrap();
    fs::remove_file(&path).unwrap();
    let mut map = serde_json::Map::new();
    for shard in 0..2 {
        let file = format!("model-0000{}-of-00002.safetensors", shard + 1);
        let part: std::collections::HashMap<_, _> = tensors
            .iter()
            .filter(|(name, _)| name.len() % 2 == shard)
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        map.extend(part.keys().map(|name| (name.clone(), file.clone().into())));
        attn_models::candle::safetensors::save(&part, folder.join(file)).unwrap();
    }
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn shards_are_one_model() {
    let folder = copy("gpt2");
    shard(folder.path());
    let expected = expected("gpt2");
    let found = load(folder.path())
        .unwrap()
        .forward(&inputs(&expected, "one"), &mut ())
        .unwrap();
    assert!(difference(&found.logits.unwrap(), &expected["one.logits"], None) < 1e-3);
    assert_eq!(
        Checkpoint::open(folder.path())
            .unwrap()
            .describe()
            .files
            .iter()
            .filter(|file| file.tensors > 0)
            .count(),
        2
    );
}

#[test]
fn broken_shards() {
    let folder = copy("gpt2");
    shard(folder.path());
    let first = &folder.path().join("model-00001-of-00002.safetensors");
    let index = folder.path().join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("transformer.ln_f.bias", "transformer.ln_g.bias")).unwrap();
    let refused = || Checkpoint::open(folder.path()).unwrap_err().to_string();
    let error = refused();
    assert!(
        error.contains("index.json: expected tensor `transformer.ln_g.bias` in model-0000"),
        "{error}"
    );
    assert!(
        error.contains("found no shard that has it") && error.contains("download both again"),
        "{error}"
    );
    // A tensor in another shard than the index says.
    fs::write(&index, swapped(&text)).unwrap();
    let error = refused();
    assert!(
        error.contains("expected tensor") && error.contains("found it in model-0000"),
        "{error}"
    );
    fs::write(&index, text.replace("model-00001", "../model-00001")).unwrap();
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Config { key, .. }) if key == "weight_map"));
    fs::write(&index, "{}").unwrap();
    assert!(matches!(Checkpoint::open(folder.path()), Err(Error::Config { key, .. }) if key == "weight_map"));
    fs::write(&index, text).unwrap();
    fs::remove_file(first).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, Error::WrongFile { path, .. } if path == first),
        "{error}"
    );
    let error = error.to_string();
    assert!(
        error.contains("expected the shard that model.safetensors.index.json names, found nothing"),
        "{error}"
    );
}

/// An index with its shards exchanged.
fn swapped(index: &str) -> String {
    index
        .replace("00001-of", "(one)-of")
        .replace("00002-of", "00001-of")
        .replace("(one)-of", "00002-of")
}

#[test]
fn a_checkpoint_in_memory_is_the_same_model() {
    let read = |file: &str| fs::read(fixture("bert").join(file)).unwrap();
    let checkpoint = Checkpoint::from_bytes("embedded", read("config.json"), read("model.safetensors"))
        .unwrap()
        .with_tokenizer(read("tokenizer.json"));
    let model = Model::load(&checkpoint).unwrap();
    assert_eq!(model.info().name, "embedded");
    let expected = expected("bert");
    let found = model
        .forward(&inputs(&expected, "pad"), &mut ())
        .unwrap()
        .logits
        .unwrap();
    assert!(
        difference(
            &found.narrow(0, 1, 1).unwrap(),
            &expected["pad.logits"].narrow(0, 1, 1).unwrap(),
            None
        ) < 1e-3
    );
    assert!(checkpoint.tokenizer().is_ok());
    let opened = Checkpoint::open(fixture("bert")).unwrap();
    assert_eq!(opened.fingerprint(), checkpoint.fingerprint());
    assert_ne!(
        opened.fingerprint(),
        Checkpoint::open(fixture("bert-cls")).unwrap().fingerprint()
    );
}

#[test]
fn prefixes_may_be_missing_and_norms_may_have_old_names() {
    for (name, prefix) in [
        ("bert-cls", "bert."),
        ("gpt2", "transformer."),
        ("llama", "model."),
        ("vit", "vit."),
    ] {
        let folder = copy(name);
        let path = folder.path().join("model.safetensors");
        let tensors = attn_models::candle::safetensors::load(&path, &Device::Cpu).unwrap();
        let renamed: std::collections::HashMap<String, Tensor> = tensors
            .into_iter()
            .map(|(name, tensor)| {
                let name = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
                let name = name
                    .replace("LayerNorm.weight", "LayerNorm.gamma")
                    .replace("LayerNorm.bias", "LayerNorm.beta");
                (name, tensor)
            })
            .collect();
        attn_models::candle::safetensors::save(&renamed, &path).unwrap();
        let expected = expected(name);
        let case = if name == "vit" { "px" } else { "one" };
        let found = load(folder.path())
            .unwrap()
            .forward(&inputs(&expected, case), &mut ())
            .unwrap()
            .logits
            .unwrap();
        assert!(
            difference(&found, &expected[&format!("{case}.logits")], None) < 1e-3,
            "{name}"
        );
        let described = Checkpoint::open(folder.path()).unwrap().describe();
        assert!(
            described.unused.is_empty() && described.missing.is_empty(),
            "{described:?}"
        );
    }
}

#[test]
fn a_description_says_what_is_there() {
    let described = Checkpoint::open(fixture("bert-cls")).unwrap().describe();
    assert_eq!(described.family.as_deref(), Some("bert"));
    assert_eq!(described.architecture.as_deref(), Some("BertForSequenceClassification"));
    assert_eq!(described.model.as_ref().unwrap().attentions[0].layers.len(), 2);
    assert_eq!(described.vocabulary, Some(220));
    assert_eq!(described.elements.keys().collect::<Vec<_>>(), ["f32"]);
    // 220 + 64 + 2 rows and a norm of 32; two layers of 4 x (32 x 32 + 32) + 2 x 32 x 64 + 96 + 4 x 32; pooler; 3 labels.
    let layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 96 + 4 * 32;
    assert_eq!(
        described.parameters,
        (286 * 32 + 64 + 2 * layer + 32 * 32 + 32 + 3 * 33) as u64
    );
    assert!(described.problems.is_empty());
    // Another head: what it does not use is listed.
    let folder = copy("bert-cls");
    edit_config(folder.path(), |config| {
        config["architectures"] = serde_json::json!(["BertModel"])
    });
    let described = Checkpoint::open(folder.path()).unwrap().describe();
    assert_eq!(described.unused, ["classifier.bias", "classifier.weight"]);
    serde_json::to_string(&described).unwrap();
    if let Some(path) = third_party("all-minilm-l6-v2") {
        let described = Checkpoint::open(path).unwrap().describe();
        assert_eq!(described.parameters, 22_713_216);
        assert_eq!(described.elements["f16"], described.parameters);
    }
}

#[test]
fn mutated_configurations_never_panic() {
    let folder = copy("llama");
    let whole: serde_json::Value =
        serde_json::from_slice(&fs::read(fixture("llama").join("config.json")).unwrap()).unwrap();
    let keys: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
    let values = [
        serde_json::json!(null),
        serde_json::json!(0),
        serde_json::json!(-1),
        serde_json::json!(3),
        serde_json::json!(1e300),
        serde_json::json!(u64::MAX),
        serde_json::json!("x"),
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!(true),
        serde_json::json!({"rope_type": "linear", "factor": 1e-300}),
    ];
    for key in &keys {
        for value in &values {
            edit_config(folder.path(), |config| {
                *config = whole.clone();
                config[key] = value.clone();
            });
            if let Ok(checkpoint) = Checkpoint::open(folder.path()) {
                checkpoint.describe();
                if let Ok(model) = Model::load(&checkpoint) {
                    let _ = model.forward(&Inputs::from_ids(&[vec![1, 2, 3]], 0).unwrap(), &mut ());
                }
            }
        }
    }
}
