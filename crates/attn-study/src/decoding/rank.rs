//! How likely the model would have written something else.

use attn_core::{Progress, progress::step};

use super::{Decoder, Decoding, Rank, pass::place};
use crate::Error;

impl Decoder {
    /// Rank and log-probability of a token at a step of a hypothesis, among the whole vocabulary.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoStep`], [`Error::NoToken`]; those of the pass.
    pub fn rank(&self, decoding: &Decoding, hypothesis: usize, step: usize, token: u32) -> Result<Rank, Error> {
        let found = decoding.hypothesis(hypothesis)?;
        if step >= found.row.len() {
            return Err(Error::NoStep {
                step,
                steps: found.row.len(),
            });
        }
        let pass = self.repeated(decoding, &found.row.ids)?;
        let row = pass.log_probabilities(step).unwrap_or_default();
        let log_probability = *row.get(token as usize).ok_or(Error::NoToken {
            token,
            vocabulary: row.len(),
        })?;
        Ok(Rank {
            step,
            id: token,
            rank: place(&row, token),
            log_probability,
        })
    }

    /// Rank and log-probability of every token of a text, forced from a step of a hypothesis on.
    ///
    /// # Errors
    /// As [`rank`](Self::rank); those of the tokenizer.
    pub fn rank_text(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        step: usize,
        text: &str,
    ) -> Result<Vec<Rank>, Error> {
        let found = decoding.hypothesis(hypothesis)?;
        let before = found.row.ids.get(..step).ok_or(Error::NoStep {
            step,
            steps: found.row.len(),
        })?;
        let forced = self.exact_ids(text)?;
        let all = [before, &forced].concat();
        let pass = self.repeated(decoding, &all)?;
        let ranks = forced.iter().zip(step..).filter_map(|(&id, step)| {
            let row = pass.log_probabilities(step)?;
            Some(Rank {
                step,
                id,
                rank: place(&row, id),
                log_probability: row.get(id as usize).copied()?,
            })
        });
        Ok(ranks.collect())
    }

    /// How likely a text is at every step of a hypothesis, the steps before forced: a pass over the hypothesis, and one per step
    /// where the text has more than one token. Id and rank are those of its first token, the log-probability is of all. Empty for
    /// a text without tokens.
    ///
    /// # Errors
    /// As [`rank_text`](Self::rank_text); cancellation.
    ///
    /// ```
    /// use attn_study::decoding::Decoder;
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let run = decoder.decode("May 21, 2000", &decoder.params(), &())?;
    /// let ranks = decoder.rank_everywhere(&run, 0, "5", &())?;
    /// let best = ranks.iter().max_by(|a, b| a.log_probability.total_cmp(&b.log_probability));
    /// // Step 6, counted from 0, writes the month of 2000-05-21.
    /// assert_eq!(best.map(|rank| (rank.step, rank.rank)), Some((6, 1)));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn rank_everywhere(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        text: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<Rank>, Error> {
        let found = decoding.hypothesis(hypothesis)?;
        let forced = self.exact_ids(text)?;
        let Some(&id) = forced.first() else {
            return Ok(Vec::new());
        };
        let pass = self.repeated(decoding, &found.row.ids)?;
        let steps = found.row.len();
        let mut ranks = Vec::with_capacity(steps);
        for at in 0..steps {
            step(progress, "ranks", at, steps)?;
            let Some(row) = pass.log_probabilities(at) else {
                continue;
            };
            let first = *row.get(id as usize).ok_or(Error::NoToken {
                token: id,
                vocabulary: row.len(),
            })?;
            let log_probability = match forced.len() {
                1 => first,
                _ => {
                    let tokens = self.rank_text(decoding, hypothesis, at, text)?;
                    // What lies beyond the longest sequence cannot be written.
                    let whole = tokens.len() == forced.len();
                    let sum = tokens.iter().map(|own| own.log_probability).sum();
                    if whole { sum } else { f32::NEG_INFINITY }
                }
            };
            ranks.push(Rank {
                step: at,
                id,
                rank: place(&row, id),
                log_probability,
            });
        }
        let _ = progress.update("ranks", steps, steps);
        Ok(ranks)
    }
}
