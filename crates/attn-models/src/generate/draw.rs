//! One token after the other: the most likely one, or one drawn at random.

use super::{
    Emitted, Expansion, Fate, Generated, Step,
    rules::{Next, Rules, best, kept_top, likeliest, log_softmax},
    sampling::draw,
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
