//! Weight files other than one safetensors file: the same model whatever they are, and errors where they are damaged.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use attn_models::{
    Checkpoint, Error, Gradients, Inputs, Model, Weights,
    candle::{Device, Tensor},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    families::agree,
    support::{difference, expected, fixture, largest, open},
    tokens::agrees,
};

/// Every fixture of a format, in which the whole model is compared.
const FORMATS: [&str; 5] = [
    "bert-bin",
    "gpt2-gguf",
    "llama-gguf",
    "llama-sharded-bf16",
    "qwen2-gguf",
];

/// Everything that the reference recorded of the model.
fn compare(name: &str, model: &Model) {
    let compared = agree(name, model);
    assert!(compared >= 12, "{name}: only {compared} tensors compared");
}

#[test]
fn models_of_any_format_agree_with_the_reference() {
    for name in FORMATS {
        let checkpoint = open(name);
        compare(name, &Model::load(&checkpoint).unwrap());
        let described = checkpoint.describe();
        // The second names of one matrix and one bias.
        let mut twice = vec!["cls.predictions.decoder.bias", "cls.predictions.decoder.weight"];
        twice.retain(|_| name == "bert-bin");
        assert_eq!(
            (described.problems.len(), described.unused),
            (0, twice.iter().map(|&name| name.to_owned()).collect()),
            "{name}"
        );
        assert!(described.parameters > 10_000 && described.model.is_some(), "{name}");
    }
    let elements = |name: &str| open(name).describe().elements.into_keys().collect::<Vec<_>>();
    assert_eq!(elements("bert-bin"), ["f32", "i64"]);
    assert_eq!(elements("llama-sharded-bf16"), ["bf16"]);
    assert_eq!(elements("qwen2-gguf"), ["bf16", "f16", "f32", "q4_0", "q5_1", "q8_0"]);
}

#[test]
fn trained_further_from_any_format() {
    for name in FORMATS {
        let checkpoint = open(name);
        let weights = Weights::finetune(&checkpoint, 0);
        let model = Model::load_from(&checkpoint, &weights, attn_models::Gradients::On).unwrap();
        compare(name, &model);
    }
}

#[test]
fn tensors_of_blocks_are_the_references() {
    for (name, folder) in [
        ("llama-gguf", "model.layers.0"),
        ("qwen2-gguf", "model.layers.0"),
        ("gpt2-gguf", "transformer.h.0"),
    ] {
        let weights = Weights::open(&open(name));
        let expected = expected(name);
        let hub: Value = serde_json::from_slice(&fs::read(fixture(name).join("expected.json")).unwrap()).unwrap();
        let mut compared = 0;
        for (key, wanted) in &expected {
            let Some(own) = key.strip_prefix("dequantised.") else {
                continue;
            };
            let hub = hub["hub_names"][own].as_str().unwrap();
            assert!(hub.starts_with(folder), "{hub}");
            // The file's order: transposed, or with the pairs of a head beside each other.
            let (rows, columns) = wanted.dims2().unwrap();
            let wanted = if name == "gpt2-gguf" {
                wanted.t().unwrap().contiguous().unwrap()
            } else if name == "llama-gguf" && (own.contains("attn_q") || own.contains("attn_k")) {
                let pairs = wanted.reshape((rows / 8, 4, 2, columns)).unwrap();
                pairs
                    .transpose(1, 2)
                    .unwrap()
                    .contiguous()
                    .unwrap()
                    .reshape((rows, columns))
                    .unwrap()
            } else {
                wanted.clone()
            };
            let found = weights.get(hub, wanted.dims()).unwrap();
            let difference = (found - &wanted).unwrap();
            assert!(largest(&difference) <= 1e-7, "{name} {own}");
            compared += 1;
        }
        assert!(compared >= 4, "{name}: {compared}");
    }
}

#[test]
fn tokens_of_gguf_files_are_the_references() {
    for name in ["gpt2-gguf", "llama-gguf", "qwen2-gguf"] {
        let checkpoint = open(name);
        let info = Model::load(&checkpoint).unwrap().info().clone();
        let cases: Value = serde_json::from_slice(&fs::read(fixture(name).join("tokenization.json")).unwrap()).unwrap();
        agrees(name, &checkpoint.tokenizer().unwrap(), &info, cases.as_array().unwrap());
    }
}

fn gguf(name: &str) -> PathBuf {
    let files = fs::read_dir(fixture(name)).unwrap().map(|entry| entry.unwrap().path());
    files
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "gguf"))
        .unwrap()
}

#[test]
fn a_gguf_file_is_a_model_by_itself_in_a_folder_and_in_memory() {
    let file = Checkpoint::open(gguf("llama-gguf")).unwrap();
    assert_eq!(file.name(), "tiny-llama-q8_0");
    compare("llama-gguf", &Model::load(&file).unwrap());
    let memory = Checkpoint::from_gguf("tiny", fs::read(gguf("llama-gguf")).unwrap()).unwrap();
    assert_eq!((memory.name(), memory.fingerprint()), ("tiny", file.fingerprint()));
    assert!(memory.tokenizer().is_ok());
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.gguf", "b.gguf"] {
        fs::copy(gguf("llama-gguf"), folder.path().join(name)).unwrap();
    }
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("found 2: a.gguf, b.gguf: name the file itself"),
        "{error}"
    );
    // A tokenizer beside it comes first.
    fs::remove_file(folder.path().join("b.gguf")).unwrap();
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(Checkpoint::open(folder.path()).unwrap().tokenizer().is_err());
}

#[test]
fn safetensors_come_before_other_files() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("bert/config.json", "config.json"),
        ("bert/model.safetensors", "model.safetensors"),
    ] {
        fs::copy(fixture(from), folder.path().join(to)).unwrap();
    }
    fs::write(folder.path().join("pytorch_model.bin"), "x").unwrap();
    fs::write(folder.path().join("model.gguf"), "x").unwrap();
    Model::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
}

#[test]
fn shards_of_pytorch_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let (config, weights) = (fixture("bert-bin/config.json"), fixture("bert-bin/pytorch_model.bin"));
    fs::copy(config, folder.path().join("config.json")).unwrap();
    fs::copy(weights, folder.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("download pytorch_model.bin.index.json too"), "{error}");
    let map: serde_json::Map<String, Value> = open("bert-bin")
        .describe()
        .model
        .into_iter()
        .flat_map(|_| ["bert.embeddings.word_embeddings.weight"])
        .map(|name| (name.to_owned(), json!("pytorch_model-00001-of-00001.bin")))
        .collect();
    let index = folder.path().join("pytorch_model.bin.index.json");
    fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
    compare(
        "bert-bin",
        &Model::load(&Checkpoint::open(folder.path()).unwrap()).unwrap(),
    );
    fs::write(
        &index,
        json!({"weight_map": {"x": "pytorch_model-00001-of-00001.bin"}}).to_string(),
    )
    .unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("pytorch_model.bin.index.json: expected tensor `x`"),
        "{error}"
    );
}

fn torch(bytes: &[u8]) -> Result<Checkpoint, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture("bert-bin/config.json"), folder.path().join("config.json")).unwrap();
    fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
    let opened = Checkpoint::open(folder.path());
    // The file is mapped: what is read of it is read now.
    opened.and_then(|checkpoint| Model::load(&checkpoint).map(|_| checkpoint))
}

#[test]
fn older_files_of_pytorch_say_what_to_do() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    for bytes in [&b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."[..], &tar] {
        let error = torch(bytes).unwrap_err();
        assert!(
            matches!(&error, Error::WrongFile { advice, .. } if advice.contains("torch.save")),
            "{error}"
        );
    }
    assert!(matches!(torch(b"x"), Err(Error::Weights { format: "PyTorch", .. })));
    assert!(matches!(torch(b""), Err(Error::Weights { format: "PyTorch", .. })));
}

/// What opening and reading damaged bytes says.
fn use_gguf(bytes: Vec<u8>) -> Result<(), Error> {
    let checkpoint = Checkpoint::from_gguf("damaged", bytes)?;
    checkpoint.describe();
    let _ = checkpoint.tokenizer();
    Model::load(&checkpoint).map(|_| ())
}

fn use_torch(bytes: Vec<u8>) -> Result<(), Error> {
    let config = fs::read(fixture("bert-bin/config.json")).unwrap();
    let checkpoint = Checkpoint::from_bytes("damaged", config, bytes)?;
    checkpoint.describe();
    Model::load(&checkpoint).map(|_| ())
}

/// A place near the begin or the end of a file, where headers and directories are.
fn place(length: usize) -> impl Strategy<Value = usize> {
    prop_oneof![0..length, 0..length.min(4096), length.saturating_sub(4096)..length]
}

fn whole(name: &str) -> Vec<u8> {
    match name {
        "bert-bin" => fs::read(fixture("bert-bin/pytorch_model.bin")).unwrap(),
        name => fs::read(gguf(name)).unwrap(),
    }
}

fn damaged(name: &str, act: fn(Vec<u8>) -> Result<(), Error>) {
    let whole = whole(name);
    let length = whole.len();
    let word = prop_oneof![Just(u64::MAX), Just(1 << 62), Just(u64::from(u32::MAX)), any::<u64>()];
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |(end in place(length), changes in prop::collection::vec((place(length), any::<u8>()), 0..3), at in place(length), word in word)| {
        prop_assert!(act(whole[..end].to_vec()).is_err());
        let mut changed = whole.clone();
        changes.iter().for_each(|&(at, byte)| changed[at] = byte);
        let _ = act(changed.clone());
        let end = (at + 8).min(length);
        changed[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
        let _ = act(changed);
    });
}

#[test]
fn damaged_files_of_pytorch_are_errors() {
    damaged("bert-bin", use_torch);
}

#[test]
fn damaged_gguf_files_are_errors() {
    for name in ["llama-gguf", "gpt2-gguf", "qwen2-gguf"] {
        damaged(name, use_gguf);
    }
}

#[test]
fn quantized_checkpoints_are_refused_by_name() {
    let config = fs::read(fixture("llama/config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    for (quantization, found) in [
        (json!({"quant_method": "gptq", "bits": 4}), "gptq"),
        (json!({"quant_method": "awq"}), "awq"),
        (json!({"quant_method": "fp8"}), "fp8"),
        (json!({"load_in_4bit": true}), "bitsandbytes"),
        (json!({}), "a method without a name"),
    ] {
        config["quantization_config"] = quantization;
        let weights = fs::read(fixture("llama/model.safetensors")).unwrap();
        let checkpoint = Checkpoint::from_bytes("tiny", config.to_string().into_bytes(), weights).unwrap();
        let error = Model::load(&checkpoint).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`quantization_config` = {found} is not")),
            "{error}"
        );
        assert!(error.contains("a GGUF file of it"), "{error}");
        assert_eq!(checkpoint.describe().problems, [error]);
    }
}

#[test]
fn names_that_are_nowhere_say_where_was_looked() {
    let error = Checkpoint::open("no-such-organization/no-such-model").unwrap_err();
    let Error::NotAModel { path, expected, found } = &error else {
        panic!("{error}")
    };
    assert_eq!(path, Path::new("no-such-organization/no-such-model"));
    assert!(expected.contains("cache of the hub") && found.contains("models--no-such-organization--no-such-model"));
}

/// A small GPT-OSS: its configuration, and tensors whose experts are packed or the same numbers as they are.
fn packed_experts(packed: bool) -> (String, HashMap<String, Tensor>) {
    let config = json!({
        "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "hidden_size": 32, "intermediate_size": 64,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "num_hidden_layers": 1, "vocab_size": 20,
        "num_local_experts": 2, "num_experts_per_tok": 1, "max_position_embeddings": 64, "sliding_window": 8,
        "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32, "truncate": false},
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
    });
    let weights = Weights::initialize(5);
    Model::build("tiny", &config.to_string(), &weights, Gradients::On).unwrap();
    let mut tensors: HashMap<String, Tensor> = weights
        .variables()
        .into_iter()
        .map(|(name, variable)| (name, variable.as_tensor().clone()))
        .collect();
    let numbers = [0.0_f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    for (name, inputs, outputs) in [("gate_up_proj", 32, 128), ("down_proj", 64, 32)] {
        let name = format!("model.layers.0.mlp.experts.{name}");
        let (groups, rows) = (inputs / 32, 2 * outputs);
        let nibble = |row: usize, at: usize| (row * 7 + at * 5 + row * at) % 16;
        let scale = |row: usize, group: usize| 120 + (row + 3 * group) % 5;
        let value = |row: usize, at: usize| {
            let bits = nibble(row, at);
            let sign = if bits > 7 { -1.0 } else { 1.0 };
            sign * numbers[bits % 8] * 2_f32.powi(scale(row, at / 32) as i32 - 127)
        };
        if packed {
            let blocks: Vec<u8> = (0..rows)
                .flat_map(|row| {
                    (0..inputs / 2).map(move |at| (nibble(row, 2 * at) | nibble(row, 2 * at + 1) << 4) as u8)
                })
                .collect();
            let scales: Vec<u8> = (0..rows)
                .flat_map(|row| (0..groups).map(move |group| scale(row, group) as u8))
                .collect();
            let blocks = Tensor::from_vec(blocks, (2, outputs, groups, 16), &Device::Cpu).unwrap();
            let scales = Tensor::from_vec(scales, (2, outputs, groups), &Device::Cpu).unwrap();
            tensors.remove(&name);
            tensors.insert(format!("{name}_blocks"), blocks);
            tensors.insert(format!("{name}_scales"), scales);
        } else {
            let values: Vec<f32> = (0..rows)
                .flat_map(|row| (0..inputs).map(move |at| value(row, at)))
                .collect();
            let matrices = Tensor::from_vec(values, (2, outputs, inputs), &Device::Cpu).unwrap();
            tensors.insert(name, matrices.transpose(1, 2).unwrap().contiguous().unwrap());
        }
    }
    (config.to_string(), tensors)
}

fn saved(tensors: &HashMap<String, Tensor>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    attn_models::candle::safetensors::save(tensors, &path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn packed_experts_are_the_numbers_they_stand_for() {
    let run = |packed: bool| {
        let (config, tensors) = packed_experts(packed);
        let checkpoint = Checkpoint::from_bytes("tiny", config.into_bytes(), saved(&tensors)).unwrap();
        let described = checkpoint.describe();
        assert_eq!((described.problems, described.unused), (Vec::new(), Vec::new()));
        let model = Model::load(&checkpoint).unwrap();
        let inputs = Inputs::from_ids(&[vec![1, 2, 3, 4, 5]], 0).unwrap();
        model.forward(&inputs, &mut ()).unwrap().logits.unwrap()
    };
    let (packed, plain) = (run(true), run(false));
    assert!(largest(&plain) > 0.0);
    assert!(difference(&packed, &plain, None) <= 1e-6 * largest(&plain));
}

#[test]
fn packed_experts_that_do_not_fit_are_named() {
    let refused = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let (config, mut tensors) = packed_experts(true);
        change(&mut tensors);
        let checkpoint = Checkpoint::from_bytes("tiny", config.into_bytes(), saved(&tensors)).unwrap();
        Model::load(&checkpoint).unwrap_err().to_string()
    };
    let blocks = "model.layers.0.mlp.experts.down_proj_blocks";
    let scales = "model.layers.0.mlp.experts.down_proj_scales";
    let missing = refused(&|tensors| drop(tensors.remove(scales)));
    assert!(missing.contains(scales), "{missing}");
    let narrow = refused(&|tensors| {
        let cut = tensors[blocks].narrow(2, 0, 1).unwrap();
        tensors.insert(blocks.to_owned(), cut.contiguous().unwrap());
    });
    assert!(
        narrow.contains("[2, 32, 2, 16]") && narrow.contains("[2, 32, 1, 16]"),
        "{narrow}"
    );
    let floats = refused(&|tensors| {
        let wide = tensors[scales].to_dtype(attn_models::candle::DType::F32).unwrap();
        tensors.insert(scales.to_owned(), wide);
    });
    assert!(floats.contains("element type U8"), "{floats}");
    let nothing = refused(&|tensors| {
        let scale = Tensor::full(255_u8, (2, 32, 2), &Device::Cpu).unwrap();
        tensors.insert(scales.to_owned(), scale);
    });
    assert!(nothing.contains("NaN") && nothing.contains(blocks), "{nothing}");
    // Another family does not unpack.
    let config = fs::read_to_string(fixture("llama/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["quantization_config"] = json!({"quant_method": "mxfp4"});
    let weights = fs::read(fixture("llama/model.safetensors")).unwrap();
    let checkpoint = Checkpoint::from_bytes("tiny", config.to_string().into_bytes(), weights).unwrap();
    assert!(Model::load(&checkpoint).unwrap_err().to_string().contains("mxfp4"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_packed_bytes_are_numbers_or_errors(
        byte in any::<u8>(), scale in any::<u8>(), groups in 1_usize..4, rows in 30_usize..34, width in 15_usize..18
    ) {
        let (config, mut tensors) = packed_experts(true);
        let blocks = Tensor::full(byte, (2, rows, groups, width), &Device::Cpu).unwrap();
        let scales = Tensor::full(scale, (2, rows, groups), &Device::Cpu).unwrap();
        tensors.insert("model.layers.0.mlp.experts.down_proj_blocks".to_owned(), blocks);
        tensors.insert("model.layers.0.mlp.experts.down_proj_scales".to_owned(), scales);
        let checkpoint = Checkpoint::from_bytes("tiny", config.into_bytes(), saved(&tensors)).unwrap();
        let loaded = Model::load(&checkpoint).is_ok();
        prop_assert!(!loaded || (groups, rows, width) == (2, 32, 16));
    }
}
