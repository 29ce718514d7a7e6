//! A seeded generator of random numbers: the same numbers on every machine and for any number of threads.
//!
//! SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014): one addition and one
//! mixing step per number. A stream is named after the thing that is computed (a sequence, a query), never after the
//! thread that computes it.

use std::f64::consts::TAU;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A seeded generator of random numbers (SplitMix64), not for secrets.
///
/// Every constructor gives another stream. Each of them is part of results that users compare, so none of them changes.
///
/// ```
/// use attn_core::Rng;
///
/// let mut rng = Rng::new(7, &[0, 3]);
/// assert!(rng.below(10) < 10);
/// assert_eq!(Rng::new(7, &[0, 3]).sample(100, 5), Rng::new(7, &[0, 3]).sample(100, 5));
/// ```
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a stream that is named by a path of numbers, such as `[sequence, query]`.
    pub fn new(seed: u64, path: &[usize]) -> Self {
        let start = mix(seed.wrapping_add(GOLDEN));
        Self(path.iter().fold(start, |state, &part| {
            mix(state ^ (part as u64).wrapping_add(1).wrapping_mul(GOLDEN))
        }))
    }

    /// The generator of a stream that is named by one number.
    #[inline]
    pub fn stream(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(GOLDEN)) ^ stream.wrapping_mul(GOLDEN)))
    }

    /// The generator whose state is `state`: the published stream of SplitMix64.
    #[inline]
    pub const fn from_state(state: u64) -> Self {
        Self(state)
    }

    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..n`; 0 for `n == 0`. The bias is below `n / 2^64`.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        // The product's upper half is below n, so the cast back keeps it.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[0, 1)`, with 24 bits.
    #[inline]
    pub fn unit_f32(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Standard normal (Box and Muller).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// Brings the items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A random order of `0..count`.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        self.shuffle(&mut order);
        order
    }

    /// `count` different numbers below `n`, ascending. All of `0..n`, without a draw, if there are no more than `count`.
    pub fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        if count >= n {
            return (0..n).collect();
        }
        self.draw(n, count)
    }

    /// As [`sample`](Self::sample), with a draw for every number even if it takes all of them. Where more is drawn from the
    /// same generator afterwards, the two differ.
    pub fn draw(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        let count = count.min(n);
        for i in 0..count {
            let j = i + self.below(n - i);
            all.swap(i, j);
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

/// The mixing step of SplitMix64, for code that runs several generators in the lanes of a vector register.
#[inline(always)]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_stream_is_reproduced() {
        // First outputs for seed 1234567, as listed with the reference implementation in C.
        let mut rng = Rng::from_state(1_234_567);
        assert_eq!(
            [rng.bits(), rng.bits(), rng.bits()],
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn streams_by_path_and_by_number_are_those_of_released_results() {
        // A path of one number is the stream of the next number; an empty path is a stream of its own.
        for part in [0, 1, 9] {
            assert_eq!(
                Rng::new(7, &[part]).bits(),
                Rng::stream(7, part as u64 + 1).bits(),
                "{part}"
            );
        }
        assert_ne!(Rng::new(7, &[]).bits(), Rng::stream(7, 0).bits());
        assert_ne!(Rng::new(7, &[1, 2]).bits(), Rng::new(7, &[2, 1]).bits());
    }

    #[test]
    fn numbers_have_the_moments_of_their_distributions() {
        let mut rng = Rng::stream(7, 0);
        let n = 200_000;
        let (mut mean, mut square, mut counts) = (0.0, 0.0, [0_usize; 7]);
        for _ in 0..n {
            let x = rng.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
            counts[rng.below(7)] += 1;
            assert!((0.0..1.0).contains(&rng.unit_f32()));
        }
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.02, "{mean} {square}");
        assert!(
            counts.iter().all(|&c| (c as f64 * 7.0 / n as f64 - 1.0).abs() < 0.03),
            "{counts:?}"
        );
    }

    #[test]
    fn samples_are_distinct_and_ascending() {
        let sample = Rng::new(0, &[0, 1]).sample(50, 20);
        assert!(sample.len() == 20 && sample.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sample, Rng::new(0, &[0, 1]).draw(50, 20));
        assert_ne!(sample, Rng::new(0, &[1, 0]).sample(50, 20));
        let mut rng = Rng::new(0, &[]);
        assert_eq!(rng.sample(3, 9), [0, 1, 2]);
        assert_eq!(rng.bits(), Rng::new(0, &[]).bits(), "nothing was drawn");
        assert_eq!(rng.draw(3, 9), [0, 1, 2]);
    }

    #[test]
    fn shuffles_keep_every_item() {
        let mut items = [0, 1, 2, 3, 4, 5, 6];
        Rng::new(9, &[]).shuffle(&mut items);
        assert_ne!(items, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(items.to_vec(), Rng::new(9, &[]).permutation(7));
        items.sort_unstable();
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6]);
    }
}
