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
mod edit_places;
mod edit_vectors;
mod edits;
mod edits_in_steps;
mod edits_of_positions;
mod encoders;
mod families;
mod formats;
mod generation;
mod gguf;
mod gguf_families;
mod gguf_more;
mod gguf_texts;
mod head_weights;
mod hybrids;
mod images;
mod importance;
mod interventions;
mod languages;
mod lens;
mod limits;
mod mixtures;
mod mutations;
mod options;
mod parts;
mod penalties;
mod pooling;
mod real_weights;
mod relevance;
mod resumed;
mod rotary;
mod scores;
mod sounds;
mod spellings;
mod starts;
mod support;
mod tokens;
mod towers;
mod training;
mod vision;
mod vocabularies;
mod wrong_files;
