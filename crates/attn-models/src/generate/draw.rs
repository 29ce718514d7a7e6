//! One token after the other: the most likely one, or one drawn at random.

use super::{
    Emitted, Expansion, Fate, Generated, Sampling, Step,
    rules::{Next, Rules, best, kept_top, likeliest, log_softmax},
    search::Search,
    trace::Beam,
};
use crate::random::Random;

/// Greedy generation or sampling of one sequence.
pub(super) struct Drawing<'a> {
    rules: Rules<'a>,
    prompt: Vec<u32>,
    /// The one beam, until it is finished.
    running: Vec<Beam>,
    finished: Vec<Beam>,
    ended: bool,
    trace: Vec<Step>,
    random: Random,
}

impl<'a> Drawing<'a> {
    /// `sequence` tells the sequences of a batch apart, so that each draws numbers of its own.
    pub(super) fn new(rules: Rules<'a>, prompt: Vec<u32>, sequence: usize) -> Self {
        let seed = rules.params.sampling.map_or(0, |sampling| sampling.seed);
        Self {
            rules,
            prompt,
            running: vec![Beam::default()],
            finished: Vec::new(),
            ended: false,
            trace: Vec::new(),
            random: Random::new(seed, sequence as u64),
        }
    }

    /// The next token and the log-probabilities it was taken from; `None` if every token is forbidden. Unlike in a beam
    /// search the allowed tokens share the probability of the forbidden ones, as in the reference.
    fn choose(&mut self, tokens: &[u32], mut logits: Vec<f32>) -> Option<(u32, f32, Vec<f32>)> {
        let next = self.rules.process(tokens, &mut logits);
        if logits.iter().all(|logit| *logit == f32::NEG_INFINITY) {
            return None;
        }
        let at = match (next, &self.rules.params.sampling) {
            (Next::Prefix(token) | Next::Forced(token), _) => token as usize,
            (Next::Free, None) => best(logits.iter().copied(), 1).first()?.0,
            (Next::Free, Some(sampling)) => draw(&logits, sampling, self.random.uniform())?,
        };
        log_softmax(&mut logits);
        let price = match next {
            Next::Forced(_) => 0.0,
            _ => logits.get(at).copied()?,
        };
        Some((u32::try_from(at).ok()?, price, logits))
    }
}

impl Search for Drawing<'_> {
    fn running(&self) -> &[Beam] {
        &self.running
    }

    fn advance(&mut self, logits: Vec<Vec<f32>>) -> Vec<usize> {
        let (Some(beam), Some(logits)) = (self.running.pop(), logits.into_iter().next()) else {
            return Vec::new();
        };
        let tokens = [self.prompt.as_slice(), &beam.tokens].concat();
        let Some((token, log_probability, all)) = self.choose(&tokens, logits) else {
            self.finished.push(beam);
            return Vec::new();
        };
        let next = beam.extended(0, token, log_probability, beam.total + log_probability);
        let over = self.rules.ends(token, tokens.len() + 1);
        let expansion = |token: u32, log_probability: f32, fate| Expansion {
            parent: 0,
            token,
            log_probability,
            total: beam.total + log_probability,
            fate,
        };
        let taken = expansion(
            token,
            log_probability,
            if over { Fate::Finished } else { Fate::Kept(0) },
        );
        let top = vec![likeliest(&all, self.rules.params.top_tokens)];
        let others = best(all.into_iter(), self.rules.params.alternatives + 1).into_iter();
        let others = others
            .filter_map(|(at, log_probability)| Some((u32::try_from(at).ok()?, log_probability)))
            .filter(|(other, _)| *other != token)
            .take(self.rules.params.alternatives)
            .map(|(other, log_probability)| expansion(other, log_probability, Fate::Pruned));
        let mut expansions: Vec<Expansion> = std::iter::once(taken).chain(others).collect();
        expansions.sort_by(|a, b| b.total.total_cmp(&a.total));
        self.trace.push(Step {
            expansions,
            top: kept_top(top),
        });
        if over {
            self.ended = self.rules.params.end.contains(&token);
            self.finished.push(next);
            Vec::new()
        } else {
            self.running.push(next);
            vec![0]
        }
    }

    fn emitted(&self, sequence: usize) -> Option<Emitted> {
        let beam = self.running.first().or(self.finished.first())?;
        Some(Emitted {
            sequence,
            at: beam.tokens.len().checked_sub(1)?,
            token: *beam.tokens.last()?,
            log_probability: *beam.log_probabilities.last()?,
        })
    }

    fn finish(self: Box<Self>) -> Generated {
        let rules = self.rules;
        let ended = self.ended;
        // What was stopped half way counts as far as it came.
        let beams = self.finished.into_iter().chain(self.running);
        let hypotheses = beams.map(|beam| {
            let score = rules.score(beam.total, beam.tokens.len().max(1));
            beam.hypothesis(score, ended)
        });
        Generated {
            hypotheses: hypotheses.collect(),
            prompt: self.prompt,
            trace: self.trace,
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
fn draw(logits: &[f32], sampling: &Sampling, uniform: f64) -> Option<usize> {
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
