//! Seeded random numbers, one stream at a time or several in the lanes of a vector register.

use std::ops::{Deref, DerefMut};

use attn_core::rng::mix;

/// The number by which a stream of [`Rng`] advances.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator whose stream is named by one number.
#[derive(Debug, Clone)]
pub(crate) struct Rng(attn_core::Rng);

impl Rng {
    /// The generator of stream `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(attn_core::Rng::stream(seed, stream))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.bits()
    }
}

impl Deref for Rng {
    type Target = attn_core::Rng;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Rng {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// `count` different numbers below `n`, ascending.
pub(crate) fn sample(n: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
    rng.draw(n, count)
}

/// Several streams, drawn from together.
#[derive(Debug, Clone)]
pub(crate) struct Lanes<const N: usize> {
    states: [u64; N],
    /// What is left of the last numbers: half of each, or nothing.
    halves: Option<[u32; N]>,
}

impl<const N: usize> Lanes<N> {
    #[inline(always)]
    pub(crate) fn new(seed: u64, streams: &[u64; N]) -> Self {
        let mut states = [0; N];
        let seed = mix(seed.wrapping_add(STEP));
        for lane in 0..N {
            states[lane] = mix(seed ^ streams[lane].wrapping_mul(STEP));
        }
        Self { states, halves: None }
    }

    /// Uniform in `0..n`, for every stream; 0 for `n == 0`. The bias of the multiplication is below `n / 2^32`.
    #[inline(always)]
    pub(crate) fn below(&mut self, n: u32) -> [u32; N] {
        let mut out = [0; N];
        let halves = match self.halves.take() {
            Some(halves) => halves,
            None => {
                let (mut low, mut high) = ([0; N], [0; N]);
                for lane in 0..N {
                    self.states[lane] = self.states[lane].wrapping_add(STEP);
                    let drawn = mix(self.states[lane]);
                    (low[lane], high[lane]) = (drawn as u32, (drawn >> 32) as u32);
                }
                self.halves = Some(low);
                high
            }
        };
        for lane in 0..N {
            out[lane] = ((u64::from(halves[lane]) * u64::from(n)) >> 32) as u32;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_the_halves_of_their_streams() {
        let mut lanes = Lanes::new(9, &[4, 5]);
        let (first, second) = (lanes.below(1000), lanes.below(1000));
        for (lane, stream) in [4, 5].into_iter().enumerate() {
            let drawn = Rng::new(9, stream).next();
            assert_eq!(u64::from(first[lane]), ((drawn >> 32) * 1000) >> 32);
            assert_eq!(u64::from(second[lane]), ((drawn & 0xffff_ffff) * 1000) >> 32);
        }
        assert_eq!(lanes.below(0), [0, 0]);
    }
}
