//! Options under every name and in every form that the reference reads.

use attn_models::{Checkpoint, Error, Gradients, Model, Result, Weights, families::Config, record::run_raw};
use serde_json::{Map, Value, json};

use crate::support::{difference, expected, fixture, inputs, open};

fn build(config: &Value) -> Result<Model> {
    Model::build("tiny", &config.to_string(), &Weights::initialize(5), Gradients::Off)
}

/// The configuration of a fixture.
fn config(name: &str) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(fixture(name).join("config.json")).unwrap()).unwrap()
}

/// Names that all families have in common and those of some, as in `attribute_map` of transformers 5.24.
const NAMES: [(&str, &[(&str, &str)]); 16] = [
    (
        "gpt2",
        &[
            ("hidden_size", "n_embd"),
            ("max_position_embeddings", "n_positions"),
            ("num_attention_heads", "n_head"),
            ("num_hidden_layers", "n_layer"),
        ],
    ),
    (
        "gptj",
        &[
            ("hidden_size", "n_embd"),
            ("max_position_embeddings", "n_positions"),
            ("num_attention_heads", "n_head"),
            ("num_hidden_layers", "n_layer"),
        ],
    ),
    (
        "gpt-neo",
        &[
            ("num_attention_heads", "num_heads"),
            ("num_hidden_layers", "num_layers"),
        ],
    ),
    (
        "bloom",
        &[("num_attention_heads", "n_head"), ("num_hidden_layers", "n_layer")],
    ),
    (
        "mpt",
        &[
            ("hidden_size", "d_model"),
            ("num_attention_heads", "n_heads"),
            ("num_hidden_layers", "n_layers"),
        ],
    ),
    ("mixtral", &[("num_experts", "num_local_experts")]),
    ("qwen3-moe", &[("num_local_experts", "num_experts")]),
    (
        "distilbert",
        &[
            ("hidden_size", "dim"),
            ("num_attention_heads", "n_heads"),
            ("num_hidden_layers", "n_layers"),
        ],
    ),
    (
        "t5",
        &[
            ("hidden_size", "d_model"),
            ("num_attention_heads", "num_heads"),
            ("num_hidden_layers", "num_layers"),
            ("head_dim", "d_kv"),
        ],
    ),
    ("bart", BART),
    ("mbart", BART),
    ("marian", BART),
    ("marian-two", BART),
    ("m2m100", BART),
    ("pegasus", BART),
    ("bert", &[]),
];
const BART: &[(&str, &str)] = &[
    ("hidden_size", "d_model"),
    ("num_attention_heads", "encoder_attention_heads"),
    ("num_hidden_layers", "encoder_layers"),
];

#[test]
fn names_common_to_all_families_are_read() {
    for (name, names) in NAMES {
        let own = config(name);
        let mut common = own.clone();
        for (new, old) in names {
            common.remove(*new);
            let value = common.remove(*old).unwrap();
            common.insert((*new).to_owned(), value);
        }
        let checkpoint = open(name);
        let weights = Weights::open(&checkpoint);
        let load = |config: &Map<String, Value>| {
            Model::build(name, &Value::from(config.clone()).to_string(), &weights, Gradients::Off)
        };
        let (by_own, by_common) = (load(&own).unwrap(), load(&common).unwrap());
        assert_eq!(by_own.info(), by_common.info(), "{name}");
        let expected = expected(name);
        let case = ["pad", "one", "rand"]
            .into_iter()
            .find(|case| expected.keys().any(|key| key.starts_with(case)));
        let inputs = inputs(&expected, case.unwrap());
        let (first, second) = (
            run_raw(&by_own, &inputs).unwrap(),
            run_raw(&by_common, &inputs).unwrap(),
        );
        for (key, tensor) in &first {
            assert_eq!(difference(tensor, &second[key], None), 0.0, "{name} {key}");
        }
        // Both names: fine where they agree, refused by name where they do not.
        for (new, old) in names {
            let mut both = own.clone();
            both.insert((*new).to_owned(), own[*old].clone());
            assert!(load(&both).is_ok(), "{name} {new}");
            both.insert((*new).to_owned(), (own[*old].as_u64().unwrap() * 2).into());
            // An attribute of its own beside `encoder_layers`, which a model that was pruned still has.
            if *old == "encoder_layers" {
                assert_eq!(load(&both).unwrap().info(), by_own.info());
                continue;
            }
            match load(&both).unwrap_err() {
                Error::Config { key, expected, .. } => {
                    assert_eq!(key, *new);
                    assert!(expected.contains(&format!("`{old}`")), "{expected}");
                }
                other => panic!("{name} {new}: {other}"),
            }
        }
    }
}

#[test]
fn a_number_of_heads_that_no_tensor_tells_is_not_the_default() {
    let config = json!({"model_type": "gpt2", "n_embd": 48, "num_attention_heads": 4, "n_layer": 1, "n_positions": 8,
        "vocab_size": 20});
    assert_eq!(build(&config).unwrap().info().attentions[0].heads, 4);
    // Neither name: the default, and the error says where the number comes from.
    let config = json!({"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_positions": 8, "vocab_size": 20});
    let error = build(&config).unwrap_err().to_string();
    assert!(error.contains("found nothing, which stands for 12"), "{error}");
}

#[test]
fn layers_of_the_files_are_not_left_out_by_a_default() {
    // Each layer of a family has its number in the names of tensors.
    for (name, key, layers) in [
        ("distilbert", "n_layers", 6),
        ("gpt2", "n_layer", 12),
        ("bert", "num_hidden_layers", 12),
        ("vit", "num_hidden_layers", 12),
        ("t5", "num_layers", 6),
        ("bart", "encoder_layers", 12),
        ("llama", "num_hidden_layers", 32),
    ] {
        let mut config = config(name);
        config.remove(key);
        config.remove("num_hidden_layers");
        let checkpoint = open(name);
        let load = |config: &Map<String, Value>| {
            let text = Value::from(config.clone()).to_string();
            Model::build(name, &text, &Weights::open(&checkpoint), Gradients::Off)
        };
        // Fewer than the default: a tensor is missing.
        assert!(matches!(load(&config), Err(Error::MissingTensor { .. })), "{name}");
        // A number that is given may leave layers out.
        config.insert(key.to_owned(), 1.into());
        assert!(load(&config).is_ok(), "{name}: {layers}");
    }
    // More than the default.
    let large = json!({"model_type": "distilbert", "vocab_size": 10, "dim": 4, "n_heads": 1, "hidden_dim": 4,
        "max_position_embeddings": 4, "n_layers": 7});
    let weights = Weights::initialize(1);
    Model::build("large", &large.to_string(), &weights, Gradients::Off).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    weights.save(&file, attn_models::candle::DType::F32).unwrap();
    let mut small = large.clone();
    small.as_object_mut().unwrap().remove("n_layers");
    std::fs::write(folder.path().join("config.json"), small.to_string()).unwrap();
    let error = Model::load(&Checkpoint::open(folder.path()).unwrap()).unwrap_err();
    assert!(
        matches!(&error, Error::Config { key, .. } if key == "n_layers"),
        "{error}"
    );
    assert!(error.to_string().contains("more than the 6"), "{error}");
}

#[test]
fn null_is_as_many_key_heads_as_query_heads() {
    for family in ["llama", "mistral", "qwen2", "qwen3"] {
        for heads in [4, 8] {
            let mut config = json!({"model_type": family, "vocab_size": 30, "hidden_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": heads, "intermediate_size": 16, "max_position_embeddings": 64,
                "num_key_value_heads": null, "head_dim": null, "sliding_window": null, "rope_scaling": null,
                "pad_token_id": null, "layer_types": null});
            let model = build(&config).unwrap();
            let attention = &model.info().attentions[0];
            assert_eq!(
                (attention.kv_heads, attention.head_dim),
                (heads, 32 / heads),
                "{family}"
            );
            config["num_key_value_heads"] = 2.into();
            assert_eq!(build(&config).unwrap().info().attentions[0].kv_heads, 2);
        }
    }
}

#[test]
fn null_is_the_default_of_every_option() {
    let mut checked = 0;
    for name in crate::families::FAMILIES {
        let whole = config(name);
        for key in whole.keys().filter(|key| *key != "model_type") {
            let (mut null, mut absent) = (whole.clone(), whole.clone());
            null.insert(key.clone(), Value::Null);
            absent.remove(key);
            // Described without weights: nothing of the default sizes is allocated.
            let build = |config: Map<String, Value>| -> Result<_> {
                let text = Value::from(config).to_string().into_bytes();
                let described = Checkpoint::from_bytes(name, text, b"\x02\0\0\0\0\0\0\0{}".as_slice())?.describe();
                Ok(described.model)
            };
            // Their null is a value of its own.
            if [
                "num_key_value_heads",
                "head_dim",
                "sliding_window",
                "attn_logit_softcapping",
                "local_rope_theta",
            ]
            .contains(&key.as_str())
            {
                assert!(build(null).unwrap().is_some(), "{name} {key}");
                continue;
            }
            assert_eq!(build(null).unwrap(), build(absent).unwrap(), "{name} {key}");
            checked += 1;
        }
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn what_python_writes_is_read() {
    let text = |extra: &str| {
        let mut config = Value::from(config("bert")).to_string();
        config.truncate(config.len() - 1);
        format!("\u{feff}{config}, {extra}}}")
    };
    let load = |extra: &str| Model::build("tiny", &text(extra), &Weights::initialize(1), Gradients::Off);
    assert!(load(r#""some_limit": Infinity, "other": [NaN, {"x": -Infinity}], "y": 1e999"#).is_ok());
    for (value, shown) in [("NaN", "NaN"), ("-Infinity", "-Infinity"), ("1e400", "Infinity")] {
        let error = load(&format!(r#""layer_norm_eps": {value}"#)).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key, found, .. } if key == "layer_norm_eps" && found.contains(shown)),
            "{error}"
        );
    }
}

#[test]
fn labels_of_any_kind_are_read() {
    let labels = |text: &str| Config::parse(text.as_bytes(), "config.json".as_ref()).unwrap().labels();
    for (text, wanted) in [
        (
            r#"{"id2label": {"0": 0, "1": 1.5, "2": true}}"#,
            &["0", "1.5", "true"][..],
        ),
        (r#"{"id2label": {"0": null, "1": "b"}}"#, &["LABEL_0", "b"]),
        (r#"{"id2label": {"1": "a", "2": "b"}}"#, &["LABEL_0", "a"]),
        (r#"{"id2label": {"0": "a", "4": "b"}}"#, &["a", "LABEL_1"]),
        (r#"{"id2label": ["a", "b"]}"#, &["a", "b"]),
        (
            r#"{"id2label": null, "num_labels": 3}"#,
            &["LABEL_0", "LABEL_1", "LABEL_2"],
        ),
        (r#"{"num_labels": null}"#, &["LABEL_0", "LABEL_1"]),
        (r#"{"id2label": {"0": NaN}}"#, &["NaN"]),
    ] {
        assert_eq!(labels(text).unwrap(), wanted, "{text}");
    }
    assert!(labels(r#"{"id2label": 3}"#).is_err());
}

#[test]
fn what_an_error_repeats_of_a_file_is_bounded() {
    let long = "x".repeat(1 << 20);
    let error = build(&json!({"model_type": long})).unwrap_err();
    assert!(matches!(error, Error::UnknownFamily { .. }) && error.to_string().len() < 1000);
    let bert = |options: Value| {
        let mut config = config("bert");
        config.extend(options.as_object().unwrap().clone());
        build(&config.into()).unwrap_err().to_string()
    };
    for options in [
        json!({"hidden_size": long}),
        json!({"hidden_act": long}),
        json!({"hidden_size": {"a": long}}),
        json!({"position_embedding_type": [long]}),
    ] {
        let error = bert(options);
        assert!(error.len() < 1000, "{}", error.len());
    }
}

#[test]
fn an_error_of_json_says_its_place_once() {
    let error = Config::parse(b"{\n \"a\": x}", "config.json".as_ref())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "config.json, line 2, column 7: expected value");
}
