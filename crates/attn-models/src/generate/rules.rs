//! Which tokens may come next, and at what price.

use super::GenerationParams;

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
        let params = self.params;
        if let Some(end) = params.forced_end.filter(|_| tokens.len() + 1 == self.limit) {
            return Next::Forced(end);
        }
        // As in the reference, a language is only forced right after the decoder's start.
        let first = params.forced_first.filter(|_| self.prompt == 1);
        if let Some(first) = first.filter(|_| tokens.len() == 1) {
            return Next::Forced(first);
        }
        let chosen = tokens.len() - self.prompt - usize::from(first.is_some());
        params
            .prefix
            .get(chosen)
            .map_or(Next::Free, |&token| Next::Prefix(token))
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
        if new == 0 {
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

/// Logarithms of the probabilities that logits stand for. Minus infinity stays what it is.
pub(super) fn log_softmax(logits: &mut [f32]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let normalizer = largest + sum.ln() as f32;
    logits.iter_mut().for_each(|logit| *logit -= normalizer);
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
    }

    #[test]
    fn the_best_come_first_and_ties_keep_their_order() {
        let scores = [1.0, 3.0, f32::NEG_INFINITY, 3.0, 2.0];
        assert_eq!(best(scores.into_iter(), 3), [(1, 3.0), (3, 3.0), (4, 2.0)]);
        assert_eq!(best(scores.into_iter(), 9).len(), 4);
        assert_eq!(best(scores.into_iter(), 0), []);
    }
}
