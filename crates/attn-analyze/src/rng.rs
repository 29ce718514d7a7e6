//! Seeded random numbers, the same on every machine and for every number of threads.
//!
//! SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014). Streams are named
//! after what is computed (a sequence, a query), never after the thread that computes it.

use std::f64::consts::TAU;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Seeded random numbers, the same on every machine and for every number of threads.
///
/// ```
/// use attn_analyze::Rng;
/// let mut rng = Rng::new(7, &[0, 3]);
/// assert!(rng.below(10) < 10);
/// assert_eq!(Rng::new(7, &[0, 3]).sample(100, 5), Rng::new(7, &[0, 3]).sample(100, 5));
/// ```
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of one stream of a seed; a stream is a path of numbers such as `[sequence, query]`.
    pub fn new(seed: u64, stream: &[usize]) -> Self {
        let start = mix(seed.wrapping_add(GOLDEN));
        Self(stream.iter().fold(start, |state, &part| {
            mix(state ^ (part as u64).wrapping_add(1).wrapping_mul(GOLDEN))
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..n`; 0 for `n == 0`.
    pub fn below(&mut self, n: usize) -> usize {
        // The product's upper half is below n, so the cast back keeps it.
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Uniform in 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// Puts the items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// At most `count` different numbers below `n`, ascending; all of them if there are no more.
    pub fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        if count >= n {
            return all;
        }
        for i in 0..count {
            all.swap(i, i + self.below(n - i));
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_moments_of_their_distributions() {
        let mut rng = Rng::new(3, &[1]);
        let n = 100_000;
        let (mut mean, mut square, mut counts) = (0.0, 0.0, [0_usize; 5]);
        for _ in 0..n {
            let x = rng.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
            counts[rng.below(5)] += 1;
        }
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.03, "{mean} {square}");
        assert!(counts.iter().all(|&c| c.abs_diff(n / 5) < n / 100), "{counts:?}");
    }

    #[test]
    fn samples_are_distinct_and_streams_differ() {
        let sample = Rng::new(0, &[0, 1]).sample(50, 20);
        assert!(sample.len() == 20 && sample.windows(2).all(|pair| pair[0] < pair[1]));
        assert_ne!(sample, Rng::new(0, &[1, 0]).sample(50, 20));
        assert_eq!(Rng::new(0, &[]).sample(3, 9), [0, 1, 2]);
        let mut items = [0, 1, 2, 3, 4, 5, 6];
        Rng::new(9, &[]).shuffle(&mut items);
        assert_ne!(items, [0, 1, 2, 3, 4, 5, 6]);
        items.sort_unstable();
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6]);
    }
}
