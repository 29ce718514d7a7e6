//! Beam search (Graves 2012; length penalty of Wu et al. 2016), with the reference's rules on when a sequence counts as
//! finished and when the search ends.
//!
//! At each step every running beam is expanded by every token, and the best `max(2, 1 + ends) * beams` expansions are
//! compared: enough for as many unfinished ones as beams, whatever ends. Those among the best `beams` that end are
//! finished; the best that do not end run on.

use super::{
    Candidate, EarlyStopping, Expansion, Fate, Generated, Hypothesis, Step,
    rules::{Next, Rules, best, kept_top, likeliest},
    search::Search,
    trace::Beam,
};

/// The search for one sequence.
pub(super) struct BeamSearch<'a> {
    rules: Rules<'a>,
    prompt: Vec<u32>,
    running: Vec<Beam>,
    /// At most as many as beams, best score first.
    finished: Vec<Hypothesis>,
    trace: Vec<Step>,
}

impl<'a> BeamSearch<'a> {
    pub(super) fn new(rules: Rules<'a>, prompt: Vec<u32>) -> Self {
        Self {
            rules,
            prompt,
            running: vec![Beam::default()],
            finished: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Log-probabilities of the token after a beam, and the likeliest before a given token excludes all others.
    fn weigh(&self, beam: &Beam, logits: Vec<f32>) -> (Vec<f32>, Vec<Candidate>) {
        let tokens = [self.prompt.as_slice(), &beam.tokens].concat();
        let (next, mut weighed) = self.rules.weigh(&tokens, logits);
        let top = likeliest(&weighed, self.rules.params.top_tokens);
        let only = match next {
            Next::Free => None,
            Next::Prefix(token) => Some((token, None)),
            Next::Forced(token) => Some((token, Some(0.0))),
        };
        if let Some((token, price)) = only {
            let kept = weighed.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
            weighed.fill(f32::NEG_INFINITY);
            if let Some(score) = weighed.get_mut(token as usize) {
                *score = price.unwrap_or(kept);
            }
        }
        (weighed, top)
    }

    /// Whether what runs can still improve on what is finished, after `new` tokens.
    fn is_over(&self, new: usize) -> bool {
        let params = self.rules.params;
        let (Some(best), Some(worst)) = (self.running.first(), self.finished.last()) else {
            return self.running.is_empty();
        };
        if self.finished.len() < params.beams {
            return false;
        }
        let length = match params.early_stopping {
            EarlyStopping::Full => return true,
            // The longer, the better, unless the penalty says otherwise.
            EarlyStopping::Impossible if params.length_penalty > 0.0 => self.rules.limit - self.rules.prompt,
            _ => new,
        };
        self.rules.score(best.total, length) <= worst.score
    }
}

impl Search for BeamSearch<'_> {
    fn running(&self) -> &[Beam] {
        &self.running
    }

    fn advance(&mut self, logits: Vec<Vec<f32>>) -> Vec<usize> {
        let beams = self.rules.params.beams;
        let compared = beams * (1 + self.rules.params.end.len()).max(2);
        let weighed = self.running.iter().zip(logits);
        let (weighed, top): (Vec<Vec<f32>>, Vec<Vec<Candidate>>) =
            weighed.map(|(beam, logits)| self.weigh(beam, logits)).unzip();
        let vocabulary = weighed.first().map_or(1, Vec::len).max(1);
        let totals = self
            .running
            .iter()
            .zip(&weighed)
            .flat_map(|(beam, row)| row.iter().map(|log_probability| beam.total + log_probability));
        let candidates = best(totals, compared);

        let (mut running, mut parents, mut expansions) = (Vec::new(), Vec::new(), Vec::new());
        let mut finished = std::mem::take(&mut self.finished);
        for (rank, (index, total)) in candidates.into_iter().enumerate() {
            let (parent, at) = (index / vocabulary, index % vocabulary);
            let Ok(token) = u32::try_from(at) else { continue };
            let log_probability = weighed[parent][at];
            let beam = &self.running[parent];
            let new = beam.tokens.len() + 1;
            let fate = if self.rules.ends(token, self.rules.prompt + new) {
                if rank < beams {
                    let score = self.rules.score(total, new);
                    let ended = self.rules.params.end.contains(&token);
                    let beam = beam.extended(parent, token, log_probability, total);
                    finished.push(beam.hypothesis(score, ended));
                    Fate::Finished
                } else {
                    Fate::Pruned
                }
            } else if running.len() < beams {
                running.push(beam.extended(parent, token, log_probability, total));
                parents.push(parent);
                Fate::Kept(running.len() - 1)
            } else {
                Fate::Pruned
            };
            expansions.push(Expansion {
                parent,
                token,
                log_probability,
                total,
                fate,
            });
        }
        // Stable: of equals the one that finished first stays ahead.
        finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        finished.truncate(beams);
        self.finished = finished;
        self.trace.push(Step {
            expansions,
            top: kept_top(top),
        });
        // Without any choice left, what ran so far is all there is.
        if running.is_empty() && self.finished.is_empty() {
            self.finished = std::mem::take(&mut self.running)
                .into_iter()
                .map(|beam| {
                    let score = self.rules.score(beam.total, beam.tokens.len().max(1));
                    beam.hypothesis(score, false)
                })
                .collect();
        }
        self.running = running;
        let new = self.trace.len();
        if self.is_over(new) {
            self.running.clear();
            parents.clear();
        }
        parents
    }

    fn finish(self: Box<Self>) -> Generated {
        Generated {
            prompt: self.prompt,
            hypotheses: self.finished,
            trace: self.trace,
        }
    }
}
