//! SentencePiece models, beside the other files of the models that use them.

use std::fs;

use attn_models::Checkpoint;

use super::models::read_text;
use crate::{
    fixtures::{file, files, folder},
    mutate::{Form, Seed},
};

/// Fixtures whose tokens are pieces, and the family that reads them: DeBERTa and Pegasus read those of T5.
const MODELS: [(&str, &str, &str); 7] = [
    ("m2m100-spm", "sentencepiece.bpe.model", "m2m_100"),
    ("marian", "source.spm", "marian"),
    ("mbart50", "sentencepiece.bpe.model", "mbart"),
    ("nllb", "sentencepiece.bpe.model", "m2m_100"),
    ("t5-spm", "spiece.model", "t5"),
    ("t5-spm", "spiece.model", "deberta-v2"),
    ("t5-spm", "spiece.model", "pegasus"),
];

/// A model: read, and odd texts to tokens and back.
pub(super) fn pieces(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let (fixture, name, family) = MODELS[usize::from(*choice) % MODELS.len()];
    let scratch = tempfile::tempdir().unwrap();
    let skipped = |name: &str| ["tokenizer.json", "tokenization.json"].contains(&name) || name.starts_with("expected");
    for (other, whole) in files(&folder(fixture)) {
        if !skipped(&other) {
            fs::write(scratch.path().join(other), whole).unwrap();
        }
    }
    fs::write(scratch.path().join(name), bytes).unwrap();
    let config = format!(r#"{{"model_type": "{family}"}}"#);
    fs::write(scratch.path().join("config.json"), config).unwrap();
    let Ok(checkpoint) = Checkpoint::open(scratch.path()) else {
        return;
    };
    if let Ok(tokenizer) = checkpoint.tokenizer() {
        read_text(&tokenizer);
        read_text(tokenizer.for_targets());
    }
}

pub(super) fn all_pieces() -> Vec<Seed> {
    let seed = |(choice, (fixture, name, _)): (usize, &(&str, &str, &str))| {
        Some(Seed {
            choice: choice as u8,
            form: Form::Bytes,
            bytes: file(fixture, name)?,
        })
    };
    MODELS.iter().enumerate().filter_map(seed).collect()
}
