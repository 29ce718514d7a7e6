//! Decodings against what the model itself gives: scores of the search, attention that taps see during it, planted faults,
//! neighbors by brute force.

#![cfg(feature = "study")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a test"
)]

mod blame;
#[cfg(unix)]
mod crash;
mod families;
mod index;
mod search;
mod sources;
mod what_if;

use attn_sdk::{
    embedded,
    models::{Gradients, Model, Tokenizer, Weights, generate::GenerationParams},
    study::decoding::{Decoder, Decoding},
};

const BEAMS: usize = 4;

fn dates() -> Decoder {
    Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap()
}

fn decoded(decoder: &Decoder, source: &str, beams: usize) -> Decoding {
    let mut params = decoder.params();
    params.generation.beams = beams;
    decoder.decode(source, &params, &()).unwrap()
}

/// A small model of eight words with random weights, whose outputs have from 2 to 8 tokens.
fn random(seed: u64) -> Decoder {
    let words: Vec<String> = (0..8).map(|at| format!("\"w{at}\": {at}")).collect();
    let vocabulary = format!(
        r#"{{"model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w3"}}, "pre_tokenizer": {{"type": "Whitespace"}}}}"#,
        words.join(", ")
    );
    let config = r#"{"model_type": "bart", "vocab_size": 8, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 32, "init_std": 1.0, "architectures": ["BartForConditionalGeneration"]}"#;
    let model = Model::build("random", config, &Weights::initialize(seed), Gradients::Off).unwrap();
    let tokenizer = Tokenizer::from_bytes(vocabulary.as_bytes(), "tokenizer.json".as_ref()).unwrap();
    let generation = GenerationParams {
        decoder_start: Some(2),
        end: vec![2],
        max_new_tokens: Some(8),
        min_new_tokens: 2,
        // Without a penalty short outputs are best, which a single beam passes by.
        length_penalty: 0.0,
        ..GenerationParams::default()
    };
    Decoder::new(model, tokenizer, generation).unwrap()
}

/// Source and target of embedded dates.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    embedded::dates().filter_map(|line| line.split_once('\t'))
}
