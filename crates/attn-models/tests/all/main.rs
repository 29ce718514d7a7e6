//! What an application does with this crate, checked against the reference implementation's own numbers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it skips"
)]

mod adapters;
mod attribution;
mod attribution_sums;
mod bad_checkpoints;
mod bad_inputs;
mod bad_tokenizers;
mod by_hand;
mod capture;
mod controls;
mod decoders;
mod edit_data;
mod edits;
mod encoders;
mod families;
mod formats;
mod generation;
mod gguf;
mod head_weights;
mod images;
mod importance;
mod interventions;
mod languages;
mod lens;
mod limits;
mod mutations;
mod options;
mod parts;
mod pooling;
mod real_weights;
mod relevance;
mod rotary;
mod spellings;
mod support;
mod tokens;
mod training;
mod vision;
mod vocabularies;
mod wrong_files;
