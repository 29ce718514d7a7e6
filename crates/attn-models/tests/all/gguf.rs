//! GGUF files made here of checkpoints that the reference ran: names, orders and keys as llama.cpp's converter has them.

use std::collections::HashMap;

use attn_models::{
    Checkpoint, Model, Weights,
    candle::{
        Device, Tensor,
        quantized::{GgmlDType, QTensor},
    },
};

use crate::{
    families::agree,
    support::{difference, fixture},
};

/// The value of a key.
pub(crate) enum Said {
    Word(u32),
    Number(f32),
    Flag(bool),
    Text(&'static str),
    Texts(Vec<String>),
    Words(Vec<u32>),
    Numbers(Vec<f32>),
}

/// A tensor of a file: its name, its sides in the order of the file, its type, its bytes.
pub(crate) type Stored = (String, Vec<u64>, u32, Vec<u8>);

pub(crate) fn file<K: AsRef<str>>(keys: &[(K, Said)], tensors: &[Stored]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((keys.len() as u64).to_le_bytes());
    for (key, said) in keys {
        bytes.extend(text(key.as_ref()));
        let (kind, value) = match said {
            Said::Word(number) => (4_u32, number.to_le_bytes().to_vec()),
            Said::Number(number) => (6, number.to_le_bytes().to_vec()),
            Said::Flag(flag) => (7, vec![u8::from(*flag)]),
            Said::Text(value) => (8, text(value)),
            Said::Texts(values) => {
                let count = [&8_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
                (9, values.iter().fold(count, |all, value| [all, text(value)].concat()))
            }
            Said::Numbers(values) => {
                let count = [&6_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
                let values = values.iter().flat_map(|value| value.to_le_bytes());
                (9, count.into_iter().chain(values).collect())
            }
            Said::Words(values) => {
                let count = [&4_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
                let values = values.iter().flat_map(|value| value.to_le_bytes());
                (9, count.into_iter().chain(values).collect())
            }
        };
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
    }
    let mut offset = 0_usize;
    for (name, sides, kind, data) in tensors {
        bytes.extend(text(name));
        bytes.extend((sides.len() as u32).to_le_bytes());
        sides.iter().for_each(|side| bytes.extend(side.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend((offset as u64).to_le_bytes());
        offset += data.len().next_multiple_of(32);
    }
    for (.., data) in tensors {
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
    }
    bytes
}

pub(crate) fn stored(name: impl Into<String>, tensor: &Tensor) -> Stored {
    let sides = tensor.dims().iter().rev().map(|&side| side as u64).collect();
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    (name.into(), sides, 0, bytes)
}

/// Names of the hub, and of the file.
const OUTSIDE: [(&str, &str); 6] = [
    ("model.embed_tokens.", "token_embd."),
    ("gpt_neox.embed_in.", "token_embd."),
    ("model.norm.", "output_norm."),
    ("gpt_neox.final_layer_norm.", "output_norm."),
    ("lm_head.", "output."),
    ("embed_out.", "output."),
];
const INSIDE: [(&str, &str); 15] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("attention.query_key_value", "attn_qkv"),
    ("attention.dense", "attn_output"),
    ("mlp.dense_h_to_4h", "ffn_up"),
    ("mlp.dense_4h_to_h", "ffn_down"),
];

/// A tensor of the hub as the converter writes it: a layer's is `PREFIX.layers.N.PART.weight`.
fn converted(name: &str, tensor: &Tensor, pairs: bool, head_dim: usize) -> Stored {
    if let Some((hub, own)) = OUTSIDE.iter().find(|(hub, _)| name.starts_with(hub)) {
        return stored(name.replace(hub, own), tensor);
    }
    let (_, rest) = name.split_once(".layers.").unwrap();
    let (layer, rest) = rest.split_once('.').unwrap();
    let (part, last) = rest.rsplit_once('.').unwrap();
    let (_, own) = INSIDE.iter().find(|(hub, _)| *hub == part).unwrap();
    let rows = tensor.dims()[0];
    // Sides of heads, parts and rows; a vector has one column.
    let moved = |sides: [usize; 3]| {
        let columns = tensor.elem_count() / rows;
        let parts = tensor.reshape((sides[0], sides[1], sides[2], columns)).unwrap();
        (parts, tensor.shape().clone())
    };
    let tensor = match *own {
        "attn_q" | "attn_k" if pairs => {
            let (parts, shape) = moved([rows / head_dim, 2, head_dim / 2]);
            parts
                .transpose(1, 2)
                .unwrap()
                .contiguous()
                .unwrap()
                .reshape(shape)
                .unwrap()
        }
        "attn_qkv" => {
            let (parts, shape) = moved([rows / head_dim / 3, 3, head_dim]);
            parts
                .transpose(0, 1)
                .unwrap()
                .contiguous()
                .unwrap()
                .reshape(shape)
                .unwrap()
        }
        _ => tensor.clone(),
    };
    stored(format!("blk.{layer}.{own}.{last}"), &tensor)
}

pub(crate) fn hub(name: &str) -> HashMap<String, Tensor> {
    attn_models::candle::safetensors::load(fixture(name).join("model.safetensors"), &Device::Cpu).unwrap()
}

/// A factor for each pair, as the converter computes them of Llama 3's options.
fn llama3_factors(theta: f64, pairs: usize, factor: f64, trained: f64) -> Tensor {
    let of_pair = |pair: usize| {
        let turns = trained / (std::f64::consts::TAU * theta.powf(pair as f64 / pairs as f64));
        // Below one turn within the trained length, above four, and between.
        let smooth = (turns - 1.0) / (4.0 - 1.0);
        let slowed = if turns > 4.0 {
            1.0
        } else if turns < 1.0 {
            factor
        } else {
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        slowed as f32
    };
    Tensor::from_iter((0..pairs).map(of_pair), &Device::Cpu).unwrap()
}

#[test]
fn models_converted_to_gguf_agree_with_the_reference() {
    let (word, number) = (Said::Word, Said::Number);
    let small = |mut more: Vec<(&'static str, Said)>| {
        more.extend([
            ("llama.block_count", word(2)),
            ("llama.context_length", word(64)),
            ("llama.embedding_length", word(16)),
            ("llama.feed_forward_length", word(24)),
            ("llama.attention.head_count", word(2)),
            ("llama.attention.head_count_kv", word(1)),
            ("llama.attention.layer_norm_rms_epsilon", number(1e-6)),
            ("general.architecture", Said::Text("llama")),
        ]);
        more
    };
    let cases = [
        (
            "llama-llama3",
            "llama",
            8,
            small(vec![("llama.rope.freq_base", number(100.0))]),
        ),
        (
            "mistral",
            "mistral",
            8,
            small(vec![
                ("llama.rope.freq_base", number(1000.0)),
                ("llama.attention.sliding_window", word(5)),
            ]),
        ),
        (
            "qwen3",
            "qwen3",
            16,
            vec![
                ("general.architecture", Said::Text("qwen3")),
                ("qwen3.block_count", word(2)),
                ("qwen3.context_length", word(128)),
                ("qwen3.embedding_length", word(32)),
                ("qwen3.feed_forward_length", word(64)),
                ("qwen3.attention.head_count", word(4)),
                ("qwen3.attention.head_count_kv", word(2)),
                ("qwen3.attention.key_length", word(16)),
                ("qwen3.attention.value_length", word(16)),
                ("qwen3.attention.layer_norm_rms_epsilon", number(1e-6)),
                ("qwen3.rope.freq_base", number(1e6)),
            ],
        ),
        (
            "gpt-neox",
            "gpt_neox",
            8,
            vec![
                ("general.architecture", Said::Text("gptneox")),
                ("gptneox.block_count", word(2)),
                ("gptneox.context_length", word(128)),
                ("gptneox.embedding_length", word(32)),
                ("gptneox.feed_forward_length", word(64)),
                ("gptneox.attention.head_count", word(4)),
                ("gptneox.attention.layer_norm_epsilon", number(1e-5)),
                ("gptneox.rope.dimension_count", word(2)),
                ("gptneox.use_parallel_residual", Said::Flag(true)),
            ],
        ),
    ];
    for (name, family, head_dim, keys) in cases {
        let pairs = keys.iter().any(|(_, said)| matches!(said, Said::Text("llama")));
        let mut tensors: Vec<Stored> = hub(name)
            .iter()
            .map(|(name, tensor)| converted(name, tensor, pairs, head_dim))
            .collect();
        tensors.sort();
        if name == "llama-llama3" {
            tensors.push(stored("rope_freqs.weight", &llama3_factors(100.0, 4, 8.0, 16.0)));
        }
        let checkpoint = Checkpoint::from_gguf(name, file(&keys, &tensors)).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        assert_eq!(model.info().family, family);
        let compared = agree(name, &model);
        assert!(compared >= 14, "{name}: only {compared} tensors compared");
        assert_eq!(checkpoint.describe().unused, [""; 0], "{name}");
    }
}

#[test]
fn blocks_are_those_of_the_hubs_tensor() {
    let values: Vec<f32> = (0..1024).map(|at| (at as f32 * 0.37).sin()).collect();
    let table = Tensor::from_vec(values, (4, 256), &Device::Cpu).unwrap();
    for (kind, number) in [(GgmlDType::Q4K, 12), (GgmlDType::Q6K, 14), (GgmlDType::Q5_0, 6)] {
        let blocks = QTensor::quantize(&table, kind).unwrap();
        let tensor = (
            "token_embd.weight".to_owned(),
            vec![256, 4],
            number,
            blocks.data().unwrap().into_owned(),
        );
        let bytes = file(&keys(("x", Said::Word(1))), &[tensor]);
        let weights = Weights::open(&Checkpoint::from_gguf("tiny", bytes).unwrap());
        let found = weights.get("model.embed_tokens.weight", [4, 256]).unwrap();
        let wanted = blocks.dequantize(&Device::Cpu).unwrap();
        assert_eq!(difference(&found, &wanted, None), 0.0);
    }
}

/// A tensor of zeros.
fn empty(name: &str, sides: &[u64], kind: u32) -> Stored {
    let count: u64 = sides.iter().product();
    (name.to_owned(), sides.to_vec(), kind, vec![0; 4 * count as usize])
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
    let table = || [empty("token_embd.weight", &[8, 4], 0)];
    for (kind, name) in [(16, "IQ2_XXS"), (20, "IQ4_NL"), (40, "NVFP4"), (99, "type 99 of GGML")] {
        let error = refused(file(
            &keys(("x", Said::Word(1))),
            &[empty("token_embd.weight", &[256, 4], kind)],
        ));
        assert!(
            error.contains("token_embd.weight") && error.ends_with(&format!("found {name}")),
            "{error}"
        );
    }
    for (key, said, found) in [
        (
            "llama.expert_shared_count",
            Said::Word(8),
            "`llama.expert_shared_count` = 8",
        ),
        ("llama.rope.scaling.type", Said::Text("longrope"), "longrope"),
        (
            "llama.rope.dimension_count",
            Said::Word(2),
            "`llama.rope.dimension_count` = 2",
        ),
        ("split.count", Said::Word(2), "`split.count` = 2"),
        (
            "llama.attention.value_length",
            Said::Word(2),
            "`llama.attention.value_length` = 2",
        ),
    ] {
        let error = refused(file(&keys((key, said)), &table()));
        assert!(error.contains(found), "{error}");
    }
    let error = refused(file(&[("general.architecture", Said::Text("mamba"))], &table()));
    assert!(
        error.contains("`mamba` is not supported (supported: llama, qwen2"),
        "{error}"
    );
    assert!(refused(file::<&str>(&[], &[])).contains("model_type `` is not"));
    // Numbers of heads that divide nothing, or that no number of rows holds.
    for heads in [0, 3, u32::MAX] {
        let mut own = keys(("x", Said::Word(1)));
        own[5].1 = Said::Word(heads);
        let error = refused(file(&own, &[empty("blk.0.attn_q.weight", &[8, 8], 0)]));
        assert!(error.contains("does not fit the number of heads"), "{error}");
    }
    // A key of the file is what an error about a missing option names.
    let some = &keys(("x", Said::Word(1)))[..1];
    let checkpoint = Checkpoint::from_gguf("tiny", file(some, &table())).unwrap();
    let problem = checkpoint.describe().problems.remove(0);
    assert!(problem.contains("tiny.gguf"), "{problem}");
    // Tokens.
    let unknown = keys(("tokenizer.ggml.model", Said::Text("rwkv")));
    let error = refused(file(&unknown, &table()));
    assert!(error.contains("tokenizer.ggml.tokens"), "{error}");
}

#[test]
fn frequencies_of_llama_3_are_those_of_the_tensor() {
    // One factor for each of two pairs, all zeros here: no number above 0.
    let tensors = [
        empty("token_embd.weight", &[8, 4], 0),
        empty("rope_freqs.weight", &[2], 0),
    ];
    let checkpoint = Checkpoint::from_gguf("tiny", file(&keys(("x", Said::Word(1))), &tensors)).unwrap();
    let problems = checkpoint.describe().problems.join("\n");
    assert!(problems.contains("short_factor"), "{problems}");
}
