//! Seeded random numbers, the same on every machine and for every number of threads.
//!
//! SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014): one
//! addition and one mixing per number, and a stream for every (seed, stream) pair, so that parallel work
//! draws from streams named after what is computed, never after the thread that computes it.

use std::f64::consts::TAU;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of stream `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(STEP)) ^ stream.wrapping_mul(STEP)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// Uniform in `0..n`; 0 for `n == 0`. The bias of the multiplication is below `n / 2^64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// Several streams drawn from together, in the lanes of vector registers.
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

#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `count` different numbers below `n`, ascending (Floyd's algorithm would need a set; this one needs a
/// vector of `n` numbers, which is small beside the points themselves).
pub(crate) fn sample(n: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    let count = count.min(n);
    for i in 0..count {
        let j = i + rng.below(n - i);
        all.swap(i, j);
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_distributions() {
        let mut rng = Rng::new(7, 0);
        let n = 200_000;
        let (mut mean, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x = rng.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
        }
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.02, "{mean} {square}");
        let mut counts = [0usize; 7];
        (0..n).for_each(|_| counts[rng.below(7)] += 1);
        assert!(
            counts.iter().all(|&c| (c as f64 * 7.0 / n as f64 - 1.0).abs() < 0.03),
            "{counts:?}"
        );
    }

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

    #[test]
    fn samples_are_distinct_and_ascending() {
        let picked = sample(100, 40, &mut Rng::new(1, 2));
        assert_eq!(picked.len(), 40);
        assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sample(5, 9, &mut Rng::new(1, 2)), [0, 1, 2, 3, 4]);
    }
}
