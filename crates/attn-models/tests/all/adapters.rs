//! LoRA adapters: merged as the reference merges them, as much as is asked for, and refused where they do not fit.

use std::{collections::HashMap, fs, path::Path};

use attn_models::{
    Checkpoint, Error, Inputs, Model, Weights,
    candle::{Device, Tensor},
    record::run_raw,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    families::agree,
    support::{difference, expected, fixture, inputs, largest, open, values},
};

/// Everything that the reference recorded of the model.
fn compare(name: &str, model: &Model) {
    let compared = agree(name, model);
    assert!(compared >= 12, "{name}: only {compared} tensors compared");
}

#[test]
fn merged_models_agree_with_the_reference() {
    for name in ["lora-bert", "lora-llama"] {
        let checkpoint = open(name);
        assert_eq!((checkpoint.name(), checkpoint.adapter_scale()), ("adapter", Some(1.0)));
        compare(name, &Model::load(&checkpoint).unwrap());
        let described = checkpoint.describe();
        assert_eq!(described.problems, [""; 0]);
        assert!(
            described
                .files
                .iter()
                .any(|file| file.name == "adapter_model.safetensors")
        );
    }
    let weights = Weights::finetune(&open("lora-bert"), 0);
    let model = Model::load_from(&open("lora-bert"), &weights, attn_models::Gradients::On).unwrap();
    compare("lora-bert", &model);
}

#[test]
fn as_much_of_an_adapter_as_is_asked_for() {
    let (adapted, base) = (open("lora-bert"), open("bert-cls"));
    let scaled = |scale: f64| adapted.clone().with_adapter_scale(scale).unwrap();
    assert_eq!(scaled(0.0).fingerprint(), base.fingerprint());
    let prints = [0.0, 0.5, 1.0].map(|scale| scaled(scale).fingerprint());
    assert!(prints[0] != prints[1] && prints[1] != prints[2]);
    assert_eq!(prints[2], adapted.fingerprint());
    // The reference recorded the base too.
    let expected = expected("lora-bert");
    let run = |checkpoint: &Checkpoint| {
        let model = Model::load(checkpoint).unwrap();
        run_raw(&model, &inputs(&expected, "pad")).unwrap()["logits"].clone()
    };
    let wanted = &expected["base.logits"];
    assert!(difference(&run(&scaled(0.0)), wanted, None) <= 2e-4 * largest(wanted));
    // Weights lie half way between.
    for name in ["classifier.weight", "bert.encoder.layer.1.attention.self.query.weight"] {
        let shape = |checkpoint: &Checkpoint| {
            let rows = if name.starts_with("classifier") { 3 } else { 32 };
            Weights::open(checkpoint).get(name, [rows, 32]).unwrap()
        };
        let middle = ((shape(&scaled(0.0)) + shape(&scaled(1.0))).unwrap() / 2.0).unwrap();
        assert!(difference(&shape(&scaled(0.5)), &middle, None) < 1e-6);
        assert!(difference(&shape(&base), &shape(&scaled(0.0)), None) == 0.0);
        assert!(difference(&shape(&base), &shape(&adapted), None) > 1e-3);
    }
    for scale in [-0.1, 1.1, f64::NAN] {
        let error = adapted.clone().with_adapter_scale(scale).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Parameter {
                    name: "adapter_scale",
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(base.with_adapter_scale(0.5).is_err());
}

/// A small model of plain matrices, and an adapter for it.
struct Made {
    base: Checkpoint,
    config: Value,
    tensors: HashMap<String, Tensor>,
}

fn ramp(shape: &[usize], step: f32) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|at| (at as f32 * step).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn bytes(tensors: &HashMap<String, Tensor>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    attn_models::candle::safetensors::save(tensors, &path).unwrap();
    fs::read(path).unwrap()
}

impl Made {
    fn new() -> Self {
        let base = [
            ("h.0.attn.c_attn.weight", ramp(&[4, 12], 0.3)),
            ("h.0.attn.c_attn.bias", ramp(&[12], 0.5)),
            ("wte.weight", ramp(&[10, 4], 0.7)),
        ];
        let base = base.map(|(name, tensor)| (name.to_owned(), tensor)).into();
        let base = Checkpoint::from_bytes("tiny", &br#"{"model_type": "gpt2"}"#[..], bytes(&base)).unwrap();
        let tensors = [
            ("transformer.h.0.attn.c_attn.lora_A.weight", ramp(&[2, 4], 0.9)),
            ("transformer.h.0.attn.c_attn.lora_B.weight", ramp(&[12, 2], 1.1)),
            ("transformer.wte.lora_embedding_A", ramp(&[2, 10], 1.3)),
            ("transformer.wte.lora_embedding_B", ramp(&[4, 2], 1.7)),
            ("transformer.h.0.attn.c_attn.base_layer.bias", ramp(&[12], 1.9)),
        ];
        let named = |(name, tensor): (&str, Tensor)| (format!("base_model.model.{name}"), tensor);
        Self {
            base,
            config: json!({"peft_type": "LORA", "r": 2, "lora_alpha": 8, "fan_in_fan_out": true, "use_dora": false,
                "target_modules": ["c_attn", "wte"]}),
            tensors: tensors.map(named).into(),
        }
    }

    fn open(&self) -> Result<Checkpoint, Error> {
        let config = self.config.to_string();
        self.base
            .clone()
            .with_adapter_bytes(config.as_bytes(), bytes(&self.tensors))
    }

    fn get(&self, name: &str, shape: &[usize]) -> Tensor {
        Weights::open(&self.open().unwrap()).get(name, shape).unwrap()
    }

    fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.get_mut(&format!("base_model.model.{name}")).unwrap()
    }
}

#[test]
fn factors_patterns_and_orders_are_pefts() {
    let mut made = Made::new();
    let (a, b) = (ramp(&[2, 4], 0.9), ramp(&[12, 2], 1.1));
    let product = b.matmul(&a).unwrap().t().unwrap();
    let change = |made: &Made, factor: f64| {
        let wanted = (ramp(&[4, 12], 0.3) + (&product * factor).unwrap()).unwrap();
        let found = made.get("h.0.attn.c_attn.weight", &[4, 12]);
        assert!(difference(&found, &wanted, None) < 1e-5, "{factor}");
    };
    change(&made, 4.0);
    // An embedding's matrices are the other way round.
    let embedding = ramp(&[4, 2], 1.7).matmul(&ramp(&[2, 10], 1.3)).unwrap().t().unwrap();
    let wanted = (ramp(&[10, 4], 0.7) + (embedding * 4.0).unwrap()).unwrap();
    assert!(difference(&made.get("wte.weight", &[10, 4]), &wanted, None) < 1e-5);
    assert_eq!(
        difference(&made.get("h.0.attn.c_attn.bias", &[12]), &ramp(&[12], 1.9), None),
        0.0
    );
    made.config["use_rslora"] = true.into();
    change(&made, 8.0 / 2_f64.sqrt());
    made.config["use_rslora"] = false.into();
    for (pattern, alpha) in [
        ("c_attn", 6.0),
        ("attn.c_attn", 10.0),
        ("h\\.\\d+\\.attn\\..*", 2.0),
        ("^transformer.h", 4.0),
        ("attn", 8.0),
    ] {
        made.config["alpha_pattern"] = json!({ pattern: alpha });
        change(&made, alpha / 2.0);
    }
    made.config["alpha_pattern"] = json!({});
    made.config["r"] = 3.into();
    let error = made.open().unwrap_err().to_string();
    assert!(
        error.contains("expected rank 3, as adapter_config.json says, found [2, 4] and [12, 2]"),
        "{error}"
    );
    made.config["rank_pattern"] = json!({"c_attn|wte": 2});
    change(&made, 4.0);
    made.config["rank_pattern"] = json!({"(": 2});
    assert!(matches!(made.open(), Err(Error::Config { .. })));
}

#[test]
fn adapters_that_do_not_fit_name_the_tensor_and_both_shapes() {
    let mut made = Made::new();
    *made.tensor("transformer.h.0.attn.c_attn.lora_B.weight") = ramp(&[8, 2], 1.0);
    let error = made.open().unwrap_err().to_string();
    for part in ["c_attn.lora_A.weight", "shape [4, 12]", "[2, 4] and [8, 2]"] {
        assert!(error.contains(part), "{error}");
    }
    let mut made = Made::new();
    *made.tensor("transformer.h.0.attn.c_attn.base_layer.bias") = ramp(&[8], 1.0);
    let error = made.open().unwrap_err().to_string();
    assert!(
        error.contains("expected shape [12], that of `h.0.attn.c_attn.bias`, found [8]"),
        "{error}"
    );
    let mut made = Made::new();
    made.config["fan_in_fan_out"] = false.into();
    assert!(matches!(made.open(), Err(Error::Tensor { .. })));
    // Of another model.
    let error = open("bert").with_adapter(fixture("lora-llama/adapter")).unwrap_err();
    assert!(
        matches!(&error, Error::MissingTensor { tensor, expected, .. }
        if tensor == "model.layers.0.self_attn.q_proj.weight" && *expected == [32, 32]),
        "{error}"
    );
    // One takes the place of another.
    let both = open("lora-bert").with_adapter(fixture("lora-bert/adapter")).unwrap();
    assert_eq!(both.fingerprint(), open("lora-bert").fingerprint());
    // Half a pair.
    let mut made = Made::new();
    made.tensors.remove("base_model.model.transformer.wte.lora_embedding_B");
    let error = made.open().unwrap_err().to_string();
    assert!(error.contains("wte.lora_embedding_B"), "{error}");
}

#[test]
fn other_adapters_are_refused_by_name() {
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("peft_type", json!(null)),
        ("use_dora", json!(true)),
        ("lora_bias", json!(true)),
        ("use_bdlora", json!({"x": 1})),
        ("layer_replication", json!([[0, 4]])),
        ("target_parameters", json!(["x"])),
        ("trainable_token_indices", json!([1])),
        ("init_lora_weights", json!("pissa_niter_4")),
    ] {
        let mut made = Made::new();
        made.config[key] = value;
        let error = made.open().unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported { key: found, .. } if found == key),
            "{error}"
        );
        assert!(error.to_string().contains("merge"), "{error}");
    }
    let mut made = Made::new();
    made.tensors.insert(
        "base_model.model.transformer.wte.lora_magnitude_vector".to_owned(),
        ramp(&[4], 1.0),
    );
    assert!(matches!(made.open(), Err(Error::Tensor { .. })));
}

#[test]
fn the_model_of_an_adapter_is_a_path_or_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |base: &str| {
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            fs::copy(fixture("lora-llama/adapter").join(file), folder.path().join(file)).unwrap();
        }
        let path = folder.path().join("adapter_config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["base_model_name_or_path"] = match base {
            "" => Value::Null,
            base => json!(base),
        };
        fs::write(path, config.to_string()).unwrap();
        Checkpoint::open(folder.path())
    };
    let whole = fs::canonicalize(fixture("llama")).unwrap();
    compare(
        "lora-llama",
        &Model::load(&copy(whole.to_str().unwrap()).unwrap()).unwrap(),
    );
    let given = Checkpoint::open(fixture("llama"))
        .unwrap()
        .with_adapter(folder.path())
        .unwrap();
    compare("lora-llama", &Model::load(&given).unwrap());
    for (base, found) in [
        ("", "open the model and add the adapter to it"),
        (
            "no-such/model",
            "its base model no-such/model here or in the cache of the hub",
        ),
        (".", "config.json"),
    ] {
        let error = copy(base).unwrap_err();
        assert!(
            matches!(error, Error::NotAModel { .. }) && error.to_string().contains(found),
            "{error}"
        );
    }
    // Weights of PyTorch.
    let torch = Path::new("adapter_model.bin");
    fs::remove_file(folder.path().join("adapter_model.safetensors")).unwrap();
    fs::write(folder.path().join(torch), b"\x80\x02}.").unwrap();
    let error = Checkpoint::open(fixture("llama"))
        .unwrap()
        .with_adapter(folder.path())
        .unwrap_err();
    assert!(
        matches!(&error, Error::WrongFile { path, .. } if path.ends_with(torch)),
        "{error}"
    );
}

#[test]
fn damaged_adapters_are_errors() {
    let config = fs::read(fixture("lora-bert/adapter/adapter_config.json")).unwrap();
    let weights = fs::read(fixture("lora-bert/adapter/adapter_model.safetensors")).unwrap();
    let base = open("bert-cls");
    let act = |config: &[u8], weights: Vec<u8>| -> Result<(), Error> {
        let adapted = base.clone().with_adapter_bytes(config, weights)?;
        adapted.describe();
        Model::load(&adapted).map(|_| ())
    };
    let header = 8 + u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize;
    proptest!(ProptestConfig::with_cases(150), |(
        end in 0..weights.len(),
        changes in prop::collection::vec((0..header, any::<u8>()), 1..4),
        in_config in prop::collection::vec((0..config.len(), any::<u8>()), 1..4),
    )| {
        prop_assert!(act(&config, weights[..end].to_vec()).is_err());
        let mut changed = weights.clone();
        changes.iter().for_each(|&(at, byte)| changed[at] = byte);
        let _ = act(&config, changed);
        let mut changed = config.clone();
        in_config.iter().for_each(|&(at, byte)| changed[at] = byte);
        let _ = act(&changed, weights.clone());
    });
}

#[test]
fn what_an_adapter_leaves_open_is_refused() {
    // Two numbers for one module: PEFT takes the first of the file.
    let mut made = Made::new();
    made.config["alpha_pattern"] = json!({"c_attn": 6, "attn.c_attn": 10});
    let error = made.open().unwrap_err();
    assert!(
        matches!(&error, Error::Config { key, .. } if key == "alpha_pattern"),
        "{error}"
    );
    made.config["alpha_pattern"] = json!({"c_attn": 6, "attn.c_attn": 6});
    assert!(made.open().is_ok());
    // A tensor that is replaced and changed.
    let whole = "base_model.model.transformer.wte.base_layer.weight".to_owned();
    made.tensors.insert(whole.clone(), ramp(&[10, 4], 0.2));
    let error = made.open().unwrap_err().to_string();
    assert!(error.contains("one change of `wte.weight`"), "{error}");
    made.tensors.remove(&whole);
    // A classifier over a model that predicts words.
    made.config["task_type"] = "SEQ_CLS".into();
    assert!(made.open().is_ok(), "a model that does not say what it is");
    let base = open("gemma");
    let config = made.config.to_string();
    let error = base
        .with_adapter_bytes(config.as_bytes(), bytes(&made.tensors))
        .unwrap_err();
    assert!(
        matches!(&error, Error::Unsupported { key, .. } if key == "task_type"),
        "{error}"
    );
}

/// The head that an adapter was trained with is its own, though the model takes its table of words as its head.
#[test]
fn a_tied_head_gives_way_to_the_adapters_own() {
    let base = open("gemma");
    let inputs = Inputs::from_ids(&[vec![2, 5, 9]], 0).unwrap();
    let logits = |checkpoint: &Checkpoint| {
        let model = Model::load(checkpoint).unwrap();
        model.forward(&inputs, &mut ()).unwrap().logits.unwrap()
    };
    let plain = logits(&base);
    let table = [plain.dim(2).unwrap(), Model::load(&base).unwrap().info().hidden_size];
    let head = Tensor::zeros(&table[..], attn_models::candle::DType::F32, &Device::Cpu).unwrap();
    let tensors = HashMap::from([("base_model.model.lm_head.weight".to_owned(), head)]);
    let config = json!({"peft_type": "LORA", "r": 2, "modules_to_save": ["lm_head"], "target_modules": []}).to_string();
    let adapted = base.with_adapter_bytes(config.as_bytes(), bytes(&tensors)).unwrap();
    assert!(values(&logits(&adapted)).iter().all(|&logit| logit == 0.0));
    let without = adapted.with_adapter_scale(0.0).unwrap();
    assert_eq!(difference(&logits(&without), &plain, None), 0.0);
}

/// An adapter that changes the table of words of a model whose head is that table. In PEFT the embedding is a module of its
/// own then, and the head goes on with the model's matrix, unless `ensure_weight_tying` ties them.
#[test]
fn a_tied_head_follows_the_words_only_if_it_is_asked_to() {
    let base = open("gemma");
    let model = Model::load(&base).unwrap();
    let (vocabulary, hidden) = (model.info().vocab_size.unwrap(), model.info().hidden_size);
    let inputs = Inputs::from_ids(&[vec![2, 5, 9]], 0).unwrap();
    let adapted = |name: &str, tensors: Vec<(&str, Tensor)>, tied: Value| {
        let named = |(name, tensor): (&str, Tensor)| (format!("base_model.model.model.{name}"), tensor);
        let tensors: HashMap<String, Tensor> = tensors.into_iter().map(named).collect();
        let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": [name], "ensure_weight_tying": tied});
        base.clone()
            .with_adapter_bytes(config.to_string().as_bytes(), bytes(&tensors))
            .unwrap()
    };
    let lora = || {
        vec![
            ("embed_tokens.lora_embedding_A", ramp(&[2, vocabulary], 0.13)),
            ("embed_tokens.lora_embedding_B", ramp(&[hidden, 2], 0.37)),
        ]
    };
    let whole = || vec![("embed_tokens.weight", ramp(&[vocabulary, hidden], 0.21))];
    let table = Weights::open(&base)
        .get("model.embed_tokens.weight", [vocabulary, hidden])
        .unwrap();
    for tensors in [lora(), whole()] {
        for (tied, follows) in [
            (Value::Bool(false), false),
            (Value::Null, false),
            (Value::Bool(true), true),
        ] {
            let checkpoint = adapted("embed_tokens", tensors.clone(), tied);
            let output = Model::load(&checkpoint).unwrap().forward(&inputs, &mut ()).unwrap();
            let own = Weights::open(&checkpoint)
                .get("model.embed_tokens.weight", [vocabulary, hidden])
                .unwrap();
            assert!(difference(&own, &table, None) > 0.01);
            let head = if follows { own } else { table.clone() };
            let wanted = output
                .last_hidden
                .squeeze(0)
                .unwrap()
                .matmul(&head.t().unwrap())
                .unwrap();
            let found = output.logits.unwrap().squeeze(0).unwrap();
            assert!(
                difference(&found, &wanted, None) <= 1e-4 * largest(&wanted),
                "{follows}"
            );
        }
    }
}

#[test]
fn what_no_part_of_the_model_asks_for_is_a_note() {
    let config =
        json!({"peft_type": "LORA", "r": 2, "target_modules": [], "modules_to_save": ["score", "other"]}).to_string();
    let tensors = HashMap::from([
        ("base_model.model.score.weight".to_owned(), ramp(&[3, 32], 0.1)),
        ("base_model.model.other.weight".to_owned(), ramp(&[3, 32], 0.1)),
    ]);
    let adapted = open("gemma")
        .with_adapter_bytes(config.as_bytes(), bytes(&tensors))
        .unwrap();
    let model = Model::load(&adapted).unwrap();
    assert_eq!(
        model.notes(),
        ["runs without what its adapter changes in `other.weight` and 1 more"]
    );
    assert_eq!(Model::load(&open("lora-llama")).unwrap().notes(), [""; 0]);
    assert_eq!(Model::load(&open("lora-bert")).unwrap().notes(), [""; 0]);
}
