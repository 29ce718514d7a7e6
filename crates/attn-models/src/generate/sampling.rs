//! Drawing a token: the distribution of the logits, and what is cut from it.

use serde::{Deserialize, Serialize};

use super::rules::best;

/// How the next token is drawn, instead of taken as the most likely one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Divides the logits: below 1 the likely tokens become likelier. Default: 1.
    pub temperature: f64,
    /// Draws among this many of the most likely tokens; 0 for all. Default: 50, the reference's.
    pub top_k: usize,
    /// Draws among the most likely tokens that together have at least this probability (Holtzman et al. 2020).
    /// Default: 1, all of them.
    pub top_p: f64,
    /// Draws among the tokens that are at least this share as likely as the most likely one (Nguyen et al. 2024).
    /// Default: 0, all of them.
    pub min_p: f64,
    /// Draws among the tokens whose surprise is nearest to the expected one, which together have at least this probability
    /// (Meister et al. 2023). Default: 1, all of them.
    pub typical_p: f64,
    /// Same seed, same tokens, whatever else runs in the batch. Default: 0.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// The probability of each token to be drawn, given the logits: temperature, then the cuts by `top_k`, `top_p`, `min_p`
    /// and `typical_p`, in this order, as in the reference. What is left shares the probability of what is cut.
    ///
    /// ```
    /// use attn_models::generate::Sampling;
    ///
    /// let sampling = Sampling { top_k: 2, ..Sampling::default() };
    /// let found = sampling.probabilities(&[0.0, 2.0_f32.ln(), 0.0]);
    /// assert_eq!(found.iter().filter(|&&p| p > 0.0).count(), 3, "of equals all stay");
    /// assert!((found[1] - 0.5).abs() < 1e-6);
    /// ```
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let mut all = vec![0.0; logits.len()];
        for (at, probability) in self.candidates(logits) {
            all[at] = probability;
        }
        all
    }

    /// The tokens that may be drawn and their probabilities, the likeliest first.
    fn candidates(&self, logits: &[f32]) -> Vec<(usize, f64)> {
        // Of equals at the border all stay.
        let last = match self.top_k {
            0 => None,
            count => best(logits.iter().copied(), count).last().map(|(_, logit)| *logit),
        };
        let cut = |logit: f32| {
            if last.is_some_and(|last| logit < last) {
                f32::NEG_INFINITY
            } else {
                logit
            }
        };
        let kept = best(logits.iter().map(|&logit| cut(logit)), logits.len());
        let Some(&(_, largest)) = kept.first() else {
            return Vec::new();
        };
        let weight = |logit: f32| (f64::from(logit - largest) / self.temperature).exp();
        let mut left: Vec<(usize, f64)> = kept.into_iter().map(|(at, logit)| (at, weight(logit))).collect();
        normalize(&mut left);
        if self.top_p < 1.0 {
            // The token that reaches the threshold is the last one in.
            let mut before = 0.0;
            left.retain(|(_, probability)| {
                let within = before < self.top_p;
                before += probability;
                within
            });
            normalize(&mut left);
        }
        if self.min_p > 0.0 {
            let least = self.min_p * left.first().map_or(0.0, |(_, probability)| *probability);
            left.retain(|(_, probability)| *probability >= least);
            normalize(&mut left);
        }
        if self.typical_p < 1.0 {
            let entropy: f64 = left.iter().map(|(_, p)| -p * p.max(f64::MIN_POSITIVE).ln()).sum();
            let surprise = |p: f64| (-p.max(f64::MIN_POSITIVE).ln() - entropy).abs();
            let mut order: Vec<f64> = left.iter().map(|(_, p)| *p).collect();
            order.sort_by(|a, b| surprise(*a).total_cmp(&surprise(*b)));
            let mut before = 0.0;
            let last = order.into_iter().take_while(|p| {
                let within = before < self.typical_p;
                before += p;
                within
            });
            let most = last.last().map_or(f64::INFINITY, surprise);
            left.retain(|(_, p)| surprise(*p) <= most);
            normalize(&mut left);
        }
        left
    }
}

fn normalize(candidates: &mut [(usize, f64)]) {
    let sum: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    candidates.iter_mut().for_each(|(_, weight)| *weight /= sum);
}

/// The token at a place `uniform` in `[0, 1)` of the distribution that remains after the cuts.
pub(super) fn draw(logits: &[f32], sampling: &Sampling, uniform: f64) -> Option<usize> {
    let candidates = sampling.candidates(logits);
    let mut left = uniform;
    let chosen = candidates.iter().find(|(_, probability)| {
        left -= probability;
        left < 0.0
    });
    chosen.or(candidates.last()).map(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// How often each of four tokens is drawn in 40,000 draws.
    fn shares(sampling: Sampling) -> [f64; 4] {
        // Probabilities 0.1, 0.2, 0.3 and 0.4.
        let logits = [1.0_f32, 2.0, 3.0, 4.0].map(f32::ln);
        let mut random = Random::new(1, 2);
        let mut counts = [0.0; 4];
        for _ in 0..40_000 {
            counts[draw(&logits, &sampling, random.uniform()).unwrap()] += 1.0 / 40_000.0;
        }
        counts
    }

    fn close(found: [f64; 4], expected: [f64; 4]) {
        // Five standard deviations of a share of 40,000.
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.0125),
            "{found:?} instead of {expected:?}"
        );
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely() {
        let all = Sampling {
            top_k: 0,
            ..Sampling::default()
        };
        close(shares(all), [0.1, 0.2, 0.3, 0.4]);
        // Squares of the probabilities: 1, 4, 9, 16 of 30.
        let cold = Sampling {
            temperature: 0.5,
            ..all
        };
        close(shares(cold), [1.0 / 30.0, 4.0 / 30.0, 9.0 / 30.0, 16.0 / 30.0]);
        let two = Sampling { top_k: 2, ..all };
        close(shares(two), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
        // 0.4 + 0.3 reach 0.6; of exactly 0.4 the first token is enough.
        let nucleus = Sampling { top_p: 0.6, ..all };
        close(shares(nucleus), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
        let likeliest = Sampling { top_p: 0.39, ..all };
        close(shares(likeliest), [0.0, 0.0, 0.0, 1.0]);
        // At least 0.45 times as likely as the likeliest.
        let clear = Sampling { min_p: 0.45, ..all };
        close(shares(clear), [0.0, 2.0 / 9.0, 3.0 / 9.0, 4.0 / 9.0]);
        // The entropy is 1.2799; surprises 2.3026, 1.6094, 1.2040 and 0.9163 are 1.02, 0.33, 0.08 and 0.36 from it.
        let typical = Sampling { typical_p: 0.45, ..all };
        close(shares(typical), [0.0, 2.0 / 5.0, 3.0 / 5.0, 0.0]);
        let most_typical = Sampling { typical_p: 0.2, ..all };
        close(shares(most_typical), [0.0, 0.0, 1.0, 0.0]);
    }
}
