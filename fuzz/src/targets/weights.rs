//! Weight files of other formats, and adapters: they are loaded, and a few tokens go through.

use std::sync::OnceLock;

use attn_models::Checkpoint;

use super::models::{forward, read_text};
use crate::{
    fixtures::{file, folder},
    mutate::{Form, Seed},
};

/// `pytorch_model.bin`, or the pickle in it.
pub(super) fn pickle(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let (Some(config), Some(whole)) = (file("bert-bin", "config.json"), torch()) else {
        return;
    };
    let weights = match choice % 2 {
        0 => bytes.to_vec(),
        _ => {
            // In its place: the archive says where it ends. A full stop ends a pickle.
            let (start, length) = program(whole);
            let mut changed = whole.to_vec();
            let mut program = bytes.to_vec();
            program.resize(length, b'.');
            changed[start..start + length].copy_from_slice(&program);
            changed
        }
    };
    if let Ok(checkpoint) = Checkpoint::from_bytes("bert", config, weights) {
        forward(&checkpoint);
    }
}

fn torch() -> Option<&'static [u8]> {
    static WHOLE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    WHOLE.get_or_init(|| file("bert-bin", "pytorch_model.bin")).as_deref()
}

/// Where the pickle begins in the archive, and its length: up to the next file's header, with what fills the gap.
fn program(archive: &[u8]) -> (usize, usize) {
    let find = |from: usize, what: &[u8]| {
        let found = archive[from..].windows(what.len()).position(|window| window == what);
        from + found.unwrap()
    };
    let start = find(0, b"\x80\x02c");
    (start, find(start, b"PK") - start)
}

pub(super) fn pickles() -> Vec<Seed> {
    let Some(whole) = torch() else { return Vec::new() };
    let (start, length) = program(whole);
    [whole, &whole[start..start + length]]
        .into_iter()
        .zip(0..)
        .map(|(bytes, choice)| Seed {
            choice,
            form: Form::Bytes,
            bytes: bytes.to_vec(),
        })
        .collect()
}

/// A GGUF file, its tokenizer included.
pub(super) fn gguf(data: &[u8]) {
    let Some((_, bytes)) = data.split_first() else { return };
    let Ok(checkpoint) = Checkpoint::from_gguf("tiny", bytes.to_vec()) else {
        return;
    };
    if let Ok(tokenizer) = checkpoint.tokenizer() {
        read_text(&tokenizer);
    }
    forward(&checkpoint);
}

pub(super) fn ggufs() -> Vec<Seed> {
    let files = [
        ("gpt2-gguf", "tiny-gpt2-f16.gguf"),
        ("llama-gguf", "tiny-llama-q8_0.gguf"),
        ("qwen2-gguf", "tiny-qwen2-mixed.gguf"),
    ];
    let seed = |(choice, (family, name)): (u8, (&str, &str))| {
        Some(Seed {
            choice,
            form: Form::Bytes,
            bytes: file(family, name)?,
        })
    };
    (0..).zip(files).filter_map(seed).collect()
}

const ADAPTER: [(&str, Form); 2] = [
    ("adapter_config.json", Form::Json),
    ("adapter_model.safetensors", Form::Safetensors),
];

/// `adapter_config.json` or `adapter_model.safetensors`, on the model that it is for.
pub(super) fn adapter(data: &[u8]) {
    static BASE: OnceLock<Option<Checkpoint>> = OnceLock::new();
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let Some(base) = BASE.get_or_init(|| Checkpoint::open(folder("bert-cls")).ok()) else {
        return;
    };
    let whole = ADAPTER.map(|(name, _)| file("lora-bert/adapter", name).unwrap_or_default());
    let [config, weights] = &whole;
    let (config, weights) = match choice % 2 {
        0 => (bytes, weights.as_slice()),
        _ => (config.as_slice(), bytes),
    };
    if let Ok(adapted) = base.clone().with_adapter_bytes(config, weights.to_vec()) {
        forward(&adapted);
    }
}

pub(super) fn adapters() -> Vec<Seed> {
    let seed = |(choice, (name, form)): (u8, (&str, Form))| {
        Some(Seed {
            choice,
            form,
            bytes: file("lora-bert/adapter", name)?,
        })
    };
    (0..).zip(ADAPTER).filter_map(seed).collect()
}
