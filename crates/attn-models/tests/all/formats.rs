//! Weight files other than one safetensors file: the same model whatever they are, and errors where they are damaged.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attn_models::{Checkpoint, Error, Model, Weights, candle::Tensor};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    families::agree,
    support::{expected, fixture, largest, open},
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

/// A GGUF file of some keys and tensors (name, sides, type, bytes).
pub(crate) fn made(keys: &[(&str, Said)], tensors: &[(&str, &[u64], u32, usize)]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((keys.len() as u64).to_le_bytes());
    for (key, said) in keys {
        bytes.extend(text(key));
        match said {
            Said::Word(number) => bytes.extend([4_u32.to_le_bytes(), number.to_le_bytes()].concat()),
            Said::Number(number) => bytes.extend([6_u32.to_le_bytes(), number.to_le_bytes()].concat()),
            Said::Text(value) => bytes.extend([8_u32.to_le_bytes().to_vec(), text(value)].concat()),
        }
    }
    let mut offset = 0_u64;
    for (name, sides, kind, size) in tensors {
        bytes.extend(text(name));
        bytes.extend((sides.len() as u32).to_le_bytes());
        sides.iter().for_each(|side| bytes.extend(side.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset += (*size as u64).next_multiple_of(32);
    }
    bytes.resize(bytes.len().next_multiple_of(32) + offset as usize, 0);
    bytes
}

pub(crate) enum Said {
    Word(u32),
    Number(f32),
    Text(&'static str),
}

/// Keys of a small Llama, with one more.
fn keys(more: (&'static str, Said)) -> Vec<(&'static str, Said)> {
    vec![
        ("general.architecture", Said::Text("llama")),
        ("llama.block_count", Said::Word(1)),
        ("llama.context_length", Said::Word(16)),
        ("llama.embedding_length", Said::Word(8)),
        ("llama.feed_forward_length", Said::Word(8)),
        ("llama.attention.head_count", Said::Word(2)),
        ("llama.attention.layer_norm_rms_epsilon", Said::Number(1e-5)),
        more,
    ]
}

#[test]
fn what_a_gguf_file_has_and_is_not_read_is_refused_by_name() {
    let refused = |bytes: Vec<u8>| Checkpoint::from_gguf("tiny", bytes).unwrap_err().to_string();
    let table: (&str, &[u64], u32, usize) = ("token_embd.weight", &[8, 4], 0, 128);
    for (kind, name) in [(16, "IQ2_XXS"), (20, "IQ4_NL"), (39, "MXFP4"), (99, "type 99 of GGML")] {
        let error = refused(made(
            &keys(("x", Said::Word(1))),
            &[("token_embd.weight", &[256, 4], kind, 128)],
        ));
        assert!(
            error.contains("token_embd.weight") && error.ends_with(&format!("found {name}")),
            "{error}"
        );
    }
    for (key, said, found) in [
        ("llama.expert_count", Said::Word(8), "`llama.expert_count` = 8"),
        ("llama.rope.scaling.type", Said::Text("longrope"), "longrope"),
        (
            "llama.rope.dimension_count",
            Said::Word(2),
            "`llama.rope.dimension_count` = 2",
        ),
        ("split.count", Said::Word(2), "llama-gguf-split"),
        (
            "llama.attention.value_length",
            Said::Word(2),
            "`llama.attention.value_length` = 2",
        ),
    ] {
        let error = refused(made(&keys((key, said)), &[table]));
        assert!(error.contains(found), "{error}");
    }
    let error = refused(made(&[("general.architecture", Said::Text("mamba"))], &[table]));
    assert!(
        error.contains("`mamba` is not supported (supported: llama, qwen2"),
        "{error}"
    );
    assert!(refused(made(&[], &[])).contains("model_type `` is not"));
    // A key of the file is what an error about a missing option names.
    let some = &keys(("x", Said::Word(1)))[..1];
    let checkpoint = Checkpoint::from_gguf("tiny", made(some, &[table])).unwrap();
    let problem = checkpoint.describe().problems.remove(0);
    assert!(problem.contains("tiny.gguf"), "{problem}");
    // Tokens.
    let unknown = keys(("tokenizer.ggml.model", Said::Text("rwkv")));
    let error = refused(made(&unknown, &[table]));
    assert!(error.contains("tokenizer.ggml.tokens"), "{error}");
}

#[test]
fn frequencies_of_llama_3_are_those_of_the_tensor() {
    // One factor for each of two pairs, all zeros here: no number above 0.
    let tensors: [(&str, &[u64], u32, usize); 2] = [
        ("token_embd.weight", &[8, 4], 0, 128),
        ("rope_freqs.weight", &[2], 0, 8),
    ];
    let checkpoint = Checkpoint::from_gguf("tiny", made(&keys(("x", Said::Word(1))), &tensors)).unwrap();
    let problems = checkpoint.describe().problems.join("\n");
    assert!(problems.contains("short_factor"), "{problems}");
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
    let config = ProptestConfig::with_cases(120);
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

#[test]
fn joint_matrices_of_gpt_neox_are_put_head_by_head() {
    // 2 heads of 2 dimensions, 4 inputs: rows of the file are q of both heads, then k, then v.
    let keys = [
        ("general.architecture", Said::Text("gptneox")),
        ("gptneox.block_count", Said::Word(1)),
        ("gptneox.embedding_length", Said::Word(4)),
        ("gptneox.attention.head_count", Said::Word(2)),
    ];
    let mut bytes = made(
        &keys,
        &[
            ("blk.0.attn_qkv.weight", &[4, 12], 0, 192),
            ("blk.0.attn_qkv.bias", &[12], 0, 48),
        ],
    );
    let first = bytes.len() - 192 - 64;
    for at in 0..48_usize {
        bytes[first + 4 * at..][..4].copy_from_slice(&(at as f32).to_le_bytes());
    }
    for at in 0..12_usize {
        bytes[first + 192 + 4 * at..][..4].copy_from_slice(&(at as f32).to_le_bytes());
    }
    let weights = Weights::open(&Checkpoint::from_gguf("tiny", bytes).unwrap());
    let get = |name: &str, shape: &[usize]| -> Tensor {
        weights
            .get(&format!("gpt_neox.layers.0.attention.query_key_value.{name}"), shape)
            .unwrap()
    };
    let order = [0.0, 1.0, 4.0, 5.0, 8.0, 9.0, 2.0, 3.0, 6.0, 7.0, 10.0, 11.0];
    assert_eq!(get("bias", &[12]).to_vec1::<f32>().unwrap(), order);
    let rows = get("weight", &[12, 4]).to_vec2::<f32>().unwrap();
    assert_eq!(rows.iter().map(|row| row[0] / 4.0).collect::<Vec<_>>(), order);
}
