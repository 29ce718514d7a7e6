//! What reads files, fed with damaged ones: a panic, an endless loop or memory out of proportion is a fault, an error is not.
//!
//! A [`Target`] is a plain function of bytes. [`case`] makes its inputs: one of its seeds, which come from the fixtures of
//! the repository, with some damage that depends on a number alone. So a fault is named by target and number:
//!
//! ```sh
//! cargo run -p fuzz -- one capture 17             # that case
//! cargo run -p fuzz -- run capture 60             # as many as fit in a minute
//! ATTN_FUZZ_SECONDS=60 cargo test -p fuzz         # all targets, together a minute
//! cargo +nightly fuzz run capture --fuzz-dir fuzz/libfuzzer    # guided by coverage; needs cargo-fuzz
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "seeds and scratch folders of a test; what is under test is called without them"
)]

mod fixtures;
mod mutate;
mod random;
mod targets;

pub use random::Random;
pub use targets::{TARGETS, Target, find};

/// The input with this number: as good as different for every number, the same on every machine.
pub fn case(target: &Target, number: u64) -> Vec<u8> {
    let name = target
        .name
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
    let mut random = Random::new(name ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let seeds = target.seeds();
    let seed = &seeds[random.below(seeds.len())];
    mutate::damaged(seed, &mut random)
}
