//! Seeded random numbers.

pub use attn_core::Rng;
