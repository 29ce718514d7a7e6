//! The random numbers of generation and of shuffled positions.

use attn_core::Rng;

/// A stream of a seed. Its numbers are part of what a seed promises to give again.
#[derive(Debug)]
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Rng::from_state(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        rng.bits();
        Self(rng)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.unit()
    }

    /// A random order of `0..count`.
    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        self.0.permutation(count)
    }
}
