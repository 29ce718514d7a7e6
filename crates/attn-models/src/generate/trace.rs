//! The result of a generation: the sequences, and every candidate that was compared on the way.

use serde::{Deserialize, Serialize};

/// The sequences generated for one input, and how they were found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The generating stack's tokens before the first new one.
    pub prompt: Vec<u32>,
    /// The sequences, best first: as many as beams, fewer only where the rules left no choice.
    pub hypotheses: Vec<Hypothesis>,
    /// Every step, in order. Step `i` chooses the new token `i`.
    pub trace: Vec<Step>,
}

/// One generated sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The new tokens, the end included.
    pub tokens: Vec<u32>,
    /// Their log-probabilities; 0 for tokens that were forced by the settings.
    pub log_probabilities: Vec<f32>,
    /// Sum of the log-probabilities over the number of new tokens to the power of the length penalty.
    pub score: f32,
    /// Whether it ended by itself, instead of at the longest length.
    pub ended: bool,
    /// For each new token the beam it was added to: with [`Step`], its way through the trace.
    pub beams: Vec<usize>,
}

/// One step: the candidates for the next token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Best total first. In a beam search every candidate that was compared, at least twice as many as beams.
    pub expansions: Vec<Expansion>,
    /// For each beam that ran before this step the likeliest tokens after it, best first, as many as
    /// [`top_tokens`](super::GenerationParams::top_tokens): the search chose among these. Where a token is given (a prefix,
    /// a language), what the model would have said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Vec<Candidate>>,
}

/// A token that may be next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its log-probability.
    pub log_probability: f32,
}

impl Generated {
    /// The likeliest tokens where the new token `at` of a hypothesis was chosen, best first; empty where nothing was kept.
    pub fn top(&self, hypothesis: &Hypothesis, at: usize) -> &[Candidate] {
        let (step, beam) = (self.trace.get(at), hypothesis.beams.get(at));
        let top = step.zip(beam).and_then(|(step, &beam)| step.top.get(beam));
        top.map_or(&[], Vec::as_slice)
    }
}

/// One beam with one token added.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expansion {
    /// The beam, among those that ran before this step.
    pub parent: usize,
    /// The token.
    pub token: u32,
    /// Its log-probability after the parent.
    pub log_probability: f32,
    /// The sum over the sequence, this token included.
    pub total: f32,
    /// Its outcome.
    pub fate: Fate,
}

/// The outcome of an expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is this beam of the next step.
    Kept(usize),
    /// It is a complete sequence, and was among the best when it ended.
    Finished,
    /// It was not good enough.
    Pruned,
}

/// A token at the moment it is chosen, for output while the rest is generated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Emitted {
    /// Which of the inputs' sequences.
    pub sequence: usize,
    /// How many new tokens came before.
    pub at: usize,
    /// The token.
    pub token: u32,
    /// Its log-probability.
    pub log_probability: f32,
}

/// A sequence that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Beam {
    pub(super) tokens: Vec<u32>,
    pub(super) log_probabilities: Vec<f32>,
    pub(super) total: f32,
    pub(super) beams: Vec<usize>,
}

impl Beam {
    pub(super) fn extended(&self, parent: usize, token: u32, log_probability: f32, total: f32) -> Self {
        let mut next = self.clone();
        next.tokens.push(token);
        next.log_probabilities.push(log_probability);
        next.beams.push(parent);
        next.total = total;
        next
    }

    pub(super) fn hypothesis(self, score: f32, ended: bool) -> Hypothesis {
        Hypothesis {
            tokens: self.tokens,
            log_probabilities: self.log_probabilities,
            score,
            ended,
            beams: self.beams,
        }
    }
}
