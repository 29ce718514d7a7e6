//! Which tokens may come next, and at what price.

use std::collections::BTreeSet;

use super::{Candidate, GenerationParams};

/// The rules for one sequence: settings, the length of its prompt, and its longest length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) params: &'a GenerationParams,
    pub(super) prompt: usize,
    pub(super) limit: usize,
}

/// What the rules say of the next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Any token that is not forbidden.
    Free,
    /// This one, at the price the model puts on it.
    Prefix(u32),
    /// This one, for nothing.
    Forced(u32),
}

impl Rules<'_> {
    /// What follows `tokens`, the prompt included.
    pub(super) fn next(&self, tokens: &[u32]) -> Next {
        if let Some(token) = self.forced(tokens.len()) {
            return Next::Forced(token);
        }
        let chosen = (self.prompt..tokens.len()).filter(|&place| self.forced(place).is_none());
        let prefix = self.params.prefix.get(chosen.count());
        prefix.map_or(Next::Free, |&token| Next::Prefix(token))
    }

    /// Whether the token at a place behind the prompt was given: forced, or of the prefix.
    fn is_given(&self, place: usize) -> bool {
        let forced = |place: &usize| self.forced(*place).is_some();
        let before = (self.prompt..place).filter(|place| !forced(place)).count();
        forced(&place) || before < self.params.prefix.len()
    }

    /// The token that the settings force to a place, counted with the prompt.
    fn forced(&self, place: usize) -> Option<u32> {
        let params = self.params;
        let end = params.forced_end.filter(|_| place + 1 == self.limit);
        // As in the reference, a language is only forced right after the decoder's start.
        let first = params.forced_first.filter(|_| self.prompt == 1 && place == 1);
        let own = params.forced_places.iter().find(|(own, _)| *own == place);
        end.or(first).or(own.map(|(_, token)| *token))
    }

    /// Log-probabilities of what follows `tokens` as this search weighs it, and what the rules say of it. Tokens that are
    /// not allowed have minus infinity; where a token is given, all others keep what the model says.
    ///
    /// A beam search works on log-probabilities, everything else on logits: forbidden tokens then leave their probability to
    /// the others, which a beam search does only if asked to (`renormalize`). All as in the reference.
    pub(super) fn weigh(&self, tokens: &[u32], mut logits: Vec<f32>) -> (Next, Vec<f32>) {
        let beams = self.params.beams > 1;
        if beams {
            log_softmax(&mut logits);
        }
        let next = self.process(tokens, &mut logits);
        if !beams || self.params.renormalize {
            log_softmax(&mut logits);
        }
        (next, logits)
    }

    /// Applies the rules to the scores of what follows `tokens`, in the order of the reference: the penalty for what is
    /// there already, then what is forbidden.
    pub(super) fn process(&self, tokens: &[u32], scores: &mut [f32]) -> Next {
        self.penalize(tokens, scores);
        let next = self.next(tokens);
        if next == Next::Free {
            self.forbid(tokens, scores);
        }
        next
    }

    /// Makes the tokens that are there already less likely, each once (Keskar et al. 2019).
    fn penalize(&self, tokens: &[u32], scores: &mut [f32]) {
        let penalty = self.params.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        let there: BTreeSet<u32> = tokens.iter().copied().collect();
        for token in there {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = if *score < 0.0 {
                    *score * penalty
                } else {
                    *score / penalty
                };
            }
        }
    }

    /// Whether a sequence of that many tokens ends with this one.
    pub(super) fn ends(&self, token: u32, length: usize) -> bool {
        self.params.end.contains(&token) || length >= self.limit
    }

    /// Sets the scores of forbidden tokens to minus infinity.
    pub(super) fn forbid(&self, tokens: &[u32], scores: &mut [f32]) {
        let params = self.params;
        let mut refuse = |token: u32| {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = f32::NEG_INFINITY;
            }
        };
        let new = tokens.len() - self.prompt;
        if new < params.min_new_tokens || tokens.len() < params.min_length {
            params.end.iter().copied().for_each(&mut refuse);
        }
        for run in &params.forbidden {
            if let Some((&last, before)) = run.split_last()
                && tokens.ends_with(before)
            {
                refuse(last);
            }
        }
        // In the reference, too, what is forced does not count.
        if (self.prompt..tokens.len()).all(|place| self.is_given(place)) {
            params.forbidden_first.iter().copied().for_each(&mut refuse);
        }
        if let Some(before) = params.no_repeat.checked_sub(1)
            && tokens.len() > before
        {
            let recent = &tokens[tokens.len() - before..];
            for run in tokens.windows(params.no_repeat).filter(|run| run.starts_with(recent)) {
                run.last().copied().into_iter().for_each(&mut refuse);
            }
        }
    }

    /// The score of a sequence: its log-probability over a power of the number of new tokens.
    pub(super) fn score(&self, total: f32, new: usize) -> f32 {
        let penalty = self.params.length_penalty as f32;
        total / (new as f32).powf(penalty)
    }
}

/// Turns logits into the logarithms of the probabilities that they stand for. Minus infinity stays what it is.
pub fn log_softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return;
    }
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let normalizer = f64::from(largest) + sum.ln();
    let logarithm = |logit: f32| (f64::from(logit) - normalizer) as f32;
    logits.iter_mut().for_each(|logit| *logit = logarithm(*logit));
}

/// What a step keeps of its beams: the likeliest tokens after each; nothing if none are to be kept.
pub(super) fn kept_top(top: Vec<Vec<Candidate>>) -> Vec<Vec<Candidate>> {
    match top.iter().all(Vec::is_empty) {
        true => Vec::new(),
        false => top,
    }
}

/// How many tokens are likelier than one, 0 for the likeliest; of equals the smaller id comes first. `None` for a token that is not
/// there.
pub fn rank(log_probabilities: &[f32], token: u32) -> Option<usize> {
    let own = *log_probabilities.get(token as usize)?;
    let others = log_probabilities.iter().zip(0_u32..);
    Some(
        others
            .filter(|&(&other, id)| other > own || (other == own && id < token))
            .count(),
    )
}

/// The `count` likeliest tokens, best first; of equals the smaller id comes first. Those of minus infinity are left out.
///
/// ```
/// use attn_models::generate::{likeliest, log_softmax, rank};
/// let mut row = [1.0, 3.0, f32::NEG_INFINITY, 3.0];
/// log_softmax(&mut row);
/// let top: Vec<u32> = likeliest(&row, 9).iter().map(|found| found.token).collect();
/// assert_eq!((top, rank(&row, 3)), (vec![1, 3, 0], Some(1)));
/// ```
pub fn likeliest(log_probabilities: &[f32], count: usize) -> Vec<Candidate> {
    let best = best(log_probabilities.iter().copied(), count).into_iter();
    best.filter_map(|(at, log_probability)| {
        let token = u32::try_from(at).ok()?;
        Some(Candidate { token, log_probability })
    })
    .collect()
}

/// The best `count` of scores above minus infinity, best first, ties by index.
pub(super) fn best(scores: impl Iterator<Item = f32>, count: usize) -> Vec<(usize, f32)> {
    let mut all: Vec<(usize, f32)> = scores
        .enumerate()
        .filter(|(_, score)| *score > f32::NEG_INFINITY)
        .collect();
    let order = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count == 0 {
        return Vec::new();
    }
    if all.len() > count {
        all.select_nth_unstable_by(count - 1, order);
        all.truncate(count);
    }
    all.sort_unstable_by(order);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(params: &GenerationParams, tokens: &[u32]) -> Vec<usize> {
        let rules = Rules {
            params,
            prompt: 1,
            limit: 10,
        };
        let mut scores = vec![0.0; 8];
        rules.forbid(tokens, &mut scores);
        (0..8).filter(|&token| scores[token] == f32::NEG_INFINITY).collect()
    }

    #[test]
    fn forbidden_tokens_follow_from_what_was_written() {
        let params = GenerationParams {
            end: vec![7],
            min_new_tokens: 1,
            min_length: 3,
            forbidden: vec![vec![6], vec![1, 2, 3]],
            forbidden_first: vec![5],
            ..GenerationParams::default()
        };
        assert_eq!(forbidden(&params, &[0]), [5, 6, 7]);
        assert_eq!(forbidden(&params, &[0, 2]), [6, 7]);
        assert_eq!(forbidden(&params, &[0, 1, 2]), [3, 6]);
        let pairs = GenerationParams {
            no_repeat: 2,
            ..GenerationParams::default()
        };
        // After 1 came 2 and 4.
        assert_eq!(forbidden(&pairs, &[0, 1, 2, 1, 4, 1]), [2, 4]);
        let single = GenerationParams {
            no_repeat: 1,
            ..GenerationParams::default()
        };
        assert_eq!(forbidden(&single, &[0, 3]), [0, 3]);
    }

    #[test]
    fn forced_tokens_have_their_places() {
        let params = GenerationParams {
            forced_first: Some(4),
            forced_end: Some(7),
            prefix: vec![1, 2],
            ..GenerationParams::default()
        };
        let rules = |prompt| Rules {
            params: &params,
            prompt,
            limit: 6,
        };
        assert_eq!(rules(1).next(&[0]), Next::Forced(4));
        assert_eq!(rules(1).next(&[0, 4]), Next::Prefix(1));
        assert_eq!(rules(1).next(&[0, 4, 1]), Next::Prefix(2));
        assert_eq!(rules(1).next(&[0, 4, 1, 2]), Next::Free);
        assert_eq!(rules(1).next(&[0, 4, 1, 2, 3]), Next::Forced(7));
        // After a longer prompt nothing but the prefix is forced.
        assert_eq!(rules(2).next(&[0, 4]), Next::Prefix(1));
        let places = GenerationParams {
            forced_places: vec![(1, 8), (2, 9)],
            ..params.clone()
        };
        let rules = |prompt| Rules {
            params: &places,
            prompt,
            limit: 6,
        };
        // The language goes before; a prompt that has these places is left alone.
        assert_eq!(rules(1).next(&[0]), Next::Forced(4));
        assert_eq!(rules(1).next(&[0, 4]), Next::Forced(9));
        assert_eq!(rules(1).next(&[0, 4, 9]), Next::Prefix(1));
        assert_eq!(rules(3).next(&[0, 5, 6]), Next::Prefix(1));
    }

    /// Logits above 0 are divided, others multiplied; in a beam search all are log-probabilities, and below 0.
    #[test]
    fn repetitions_are_penalized_once() {
        let params = |beams, renormalize| GenerationParams {
            beams,
            renormalize,
            repetition_penalty: 2.0,
            forbidden: vec![vec![3]],
            ..GenerationParams::default()
        };
        let weigh = |params: &GenerationParams| {
            let rules = Rules {
                params,
                prompt: 1,
                limit: 10,
            };
            rules.weigh(&[0, 1, 0], vec![1.0, -1.0, 0.5, 0.25]).1
        };
        let close = |found: &[f32], expected: [f32; 4]| {
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    found == &expected || (found - expected).abs() < 1e-6,
                    "{found} {expected}"
                );
            }
        };
        let none = f32::NEG_INFINITY;
        let normalized = |logits: [f32; 4]| {
            let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
            logits.map(|logit| logit - sum.ln())
        };
        close(&weigh(&params(1, false)), normalized([0.5, -2.0, 0.5, none]));
        let [a, b, c, _] = normalized([1.0, -1.0, 0.5, 0.25]);
        close(&weigh(&params(3, false)), [2.0 * a, 2.0 * b, c, none]);
        close(&weigh(&params(3, true)), normalized([2.0 * a, 2.0 * b, c, none]));
    }

    #[test]
    fn the_best_come_first_and_ties_keep_their_order() {
        let scores = [1.0, 3.0, f32::NEG_INFINITY, 3.0, 2.0];
        assert_eq!(best(scores.into_iter(), 3), [(1, 3.0), (3, 3.0), (4, 2.0)]);
        assert_eq!(best(scores.into_iter(), 9).len(), 4);
        assert_eq!(best(scores.into_iter(), 0), []);
    }
}
