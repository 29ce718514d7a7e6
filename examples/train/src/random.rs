//! Pseudo-random numbers that give the same corpus, images and training run on every machine.

use attn_sdk::core::Rng;

/// A seeded stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::from_state(seed))
    }

    /// A whole number in `0..bound`. `bound` must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f32 {
        self.0.unit_f32()
    }

    /// A number in `[low, high)`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// `true` with the given probability.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.uniform() < probability
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Reorders `items`, every order equally likely.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn below_and_between_stay_in_range_and_cover_it() {
        let mut random = Random::new(7);
        let mut seen = [0; 5];
        for _ in 0..5000 {
            seen[random.below(5)] += 1;
            let x = random.between(-1.0, 2.0);
            assert!((-1.0..2.0).contains(&x));
        }
        assert!(seen.iter().all(|&count| (900..1100).contains(&count)), "{seen:?}");
    }
}
