//! Whole inputs, from the fixtures of the repository and made here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attn_core::{
    Attention, Capture, CaptureWriter, ModelInfo, Sequence, Side, Token,
    capture::CapturePlan,
    model::{AttentionInfo, LayerAttention, Mask},
};

/// One fixture per family and format.
pub(crate) const FAMILIES: [&str; 52] = [
    "albert",
    "bart",
    "bert",
    "bert-cls",
    "bloom",
    "clip-text",
    "clip-vision",
    "cohere",
    "deberta-v2",
    "deit",
    "dinov2",
    "dinov3",
    "distilbert",
    "electra",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3",
    "gpt-neo",
    "gpt-neox",
    "gpt-oss",
    "gpt2",
    "gptj",
    "granite",
    "llama",
    "llama-yarn",
    "m2m100",
    "marian",
    "mbart",
    "mistral",
    "mixtral",
    "modernbert",
    "mpnet",
    "mpt",
    "nomic-bert",
    "olmo2",
    "opt",
    "pegasus",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "roberta",
    "siglip",
    "smollm3",
    "starcoder2",
    "t5",
    "vit",
    "wav2vec2",
    "whisper",
    "xlm-roberta",
];

/// A file of a fixture, if it has it.
pub(crate) fn file(family: &str, name: &str) -> Option<Vec<u8>> {
    fs::read(folder(family).join(name)).ok()
}

/// The folder of a fixture.
pub(crate) fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(family)
}

/// A model of two layers with two heads, and two short sequences that it read.
pub(crate) fn plan() -> CapturePlan {
    let layer = LayerAttention::new(0.5, Mask::Causal);
    let attention = AttentionInfo::new(Attention::DecoderSelf, 2, 4, vec![layer; 2]);
    let model = ModelInfo::new("tiny", "gpt2", 8).with_attention(attention);
    let tokens = |words: &[&str]| words.iter().map(|word| Token::new(*word)).collect::<Vec<_>>();
    let sequences = vec![
        Sequence::new("line 1").with_tokens(Side::Decoder, tokens(&["to", "be", "or", "not", "to", "be"])),
        Sequence::new("line 2").with_tokens(Side::Decoder, tokens(&["سلام", "a", "🙂", ""])),
    ];
    CapturePlan::new(model, sequences)
}

/// Writes one sequence of [`plan`].
pub(crate) fn write(writer: &CaptureWriter, sequence: usize) -> attn_core::Result<()> {
    let count = writer.plan().sequences[sequence].tokens(Side::Decoder).len();
    let values = |salt: usize| -> Vec<f32> {
        (0..2 * count * 4)
            .map(|i| ((i * 7 + salt * 13 + sequence) as f32 * 0.61).sin())
            .collect()
    };
    for layer in 0..2 {
        let [q, k, v] = [1, 2, 3].map(|salt| values(salt + layer));
        writer.write_layer(Attention::DecoderSelf, layer, sequence, [&q, &k, &v])?;
    }
    writer.commit(&[sequence])
}

/// The capture of [`plan`], in memory.
pub(crate) fn capture() -> Capture {
    let writer = CaptureWriter::in_memory(plan()).unwrap();
    (0..2).for_each(|sequence| write(&writer, sequence).unwrap());
    writer.finish().unwrap()
}

/// The files of a folder by name, ascending; folders in it are left out.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}
