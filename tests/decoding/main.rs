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

/// Source and target of embedded dates.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    embedded::dates().filter_map(|line| line.split_once('\t'))
}
