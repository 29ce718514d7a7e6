//! Blame: which stage caused a wrong output, by intervention.
//!
//! Search or model is decided first: if the expected output scores at least as high as the output found, the search missed it
//! (Stahlberg and Byrne 2019, "On NMT search errors and model errors"). For a model error, the stages are repaired one after
//! another at the first step where both outputs differ, in the order in which the model computes them: the activations of a
//! stage are replaced by those of a clean run, those before stay repaired. A stage's share is what its repair brings back of the
//! difference of the two logits. Its control is the same repair from random donors: other sources, or this one with its tokens
//! shuffled, and the prefix shuffled, for which the model does not prefer the expected token.

use attn_core::{Progress, progress::step};
use attn_models::{Inputs, generate::Generator};
use serde::{Deserialize, Serialize};

use super::{Decoder, Decoding, DecodingParams, EntryFate, Sweep, edits::Edits, repair::Question};
use crate::Error;

/// Kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlameKind {
    /// The model prefers the expected output; the search did not find it.
    Search,
    /// The model prefers another output.
    Model,
    /// The output is as expected.
    None,
}

/// A stage of the model, in the order of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The states of the source.
    Encoder,
    /// The attention weights of the decoder.
    Attention,
    /// The states of the decoder.
    Decoder,
    /// From the last state to the logits.
    Prediction,
    /// No repair beats its control.
    Undetermined,
}

/// What the repair of one stage brings back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageShare {
    /// The stage.
    pub stage: Stage,
    /// Share of the difference of logits between the clean run and this one.
    pub recovered: f32,
    /// The mean of the same from random donors; 0 without any.
    pub control: f32,
    /// The layer whose repair brings back most; `None` for the prediction.
    pub layer: Option<usize>,
}

/// Scores of whole outputs: log-probability over length to the power of the penalty, under the rules of the search. `None` for what
/// the rules forbid, whose score is minus infinity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TextScores {
    /// Of the output found.
    pub found: Option<f32>,
    /// Of the expected output.
    pub expected: Option<f32>,
    /// Of the empty output.
    pub empty: Option<f32>,
}

/// Where a search lost the expected output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchError {
    /// The step at which its prefix left the beam.
    pub step: usize,
    /// Its place among the expansions of that step, 1 for the best; `None` if it was not among those compared.
    pub rank: Option<usize>,
    /// By how much its total log-probability was below the last one that was kept; `None` with `rank`.
    pub margin: Option<f32>,
    /// The fewest beams that find an output with at least its score, of the widths that were tried.
    pub width: Option<usize>,
}

/// The result: kind, stage, and the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blame {
    /// Search, model, or no error.
    pub kind: BlameKind,
    /// The stage of a model error.
    pub stage: Option<Stage>,
    /// Share that the repair of that stage brings back; of an undetermined one, the largest share of any stage.
    pub recovered: Option<f32>,
    /// The same from random donors.
    pub control: Option<f32>,
    /// The expected output.
    pub expected: String,
    /// The output found.
    pub found: String,
    /// Their scores.
    pub scores: TextScores,
    /// The first step at which both differ.
    pub step: Option<usize>,
    /// Evidence of a search error.
    pub search: Option<SearchError>,
    /// Evidence of a model error, in the order of computation.
    pub stages: Vec<StageShare>,
    /// Share brought back by the state of one token after one layer; `None` without a clean run.
    pub sweep: Option<Sweep>,
    /// What the clean run was, or why there is none; what the rules forbid.
    pub note: String,
}

/// Settings of the search for a cause.
#[derive(Debug, Clone)]
pub struct BlameParams {
    /// A model of the same kind without the error, as clean run. Default: none; where a fault is planted, the model without it.
    pub healthy: Option<Decoder>,
    /// Other sources, for random donors and, where the healthy model does not write the expected token, for a clean run: the most
    /// similar that has it, of as many tokens if there is one. Default: none.
    pub references: Vec<String>,
    /// Random donors per stage. Default 8.
    pub random: usize,
    /// Most beams that are tried for a search error. Default 16.
    pub most_beams: usize,
    /// The least share by which a stage is blamed. Default 0.5.
    pub least: f32,
    /// By how much it must be above its control. Default 0.1.
    pub margin: f32,
    /// Seed of the random donors. Default 0.
    pub seed: u64,
}

impl Blame {
    /// Adds a sentence to the note.
    pub(super) fn add_note(&mut self, sentence: &str) {
        if !self.note.is_empty() {
            self.note.push(' ');
        }
        self.note.push_str(sentence);
    }
}

impl Default for BlameParams {
    fn default() -> Self {
        Self {
            healthy: None,
            references: Vec::new(),
            random: 8,
            most_beams: 16,
            least: 0.5,
            margin: 0.1,
            seed: 0,
        }
    }
}

impl Decoder {
    /// Finds what caused an output other than the expected one.
    ///
    /// ```
    /// use attn_study::decoding::{BlameKind, BlameParams, Decoder};
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let blame = decoder.blame("May 21, 2000", "2000-05-21", &decoder.params(), &BlameParams::default(), &())?;
    /// assert_eq!(blame.kind, BlameKind::None);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode) and of the tokenizer for `expected`; a cancellation.
    pub fn blame(
        &self,
        source: &str,
        expected: &str,
        params: &DecodingParams,
        settings: &BlameParams,
        progress: &dyn Progress,
    ) -> Result<Blame, Error> {
        let params = DecodingParams {
            shares: 0,
            ..params.clone()
        };
        let decoding = self.decode(source, &params, progress)?;
        let found = decoding.hypothesis(0)?;
        let wanted = self.target(&decoding, expected)?;
        let mut blame = Blame {
            kind: BlameKind::None,
            stage: None,
            recovered: None,
            control: None,
            expected: expected.to_owned(),
            found: found.row.text.clone(),
            scores: TextScores {
                // Read as the others are, so that they are compared alike.
                found: self.score(&decoding, &found.row.ids)?,
                expected: self.score(&decoding, &wanted)?,
                empty: self.score(&decoding, &self.ended(&decoding, Vec::new()))?,
            },
            step: None,
            search: None,
            stages: Vec::new(),
            sweep: None,
            note: String::new(),
        };
        if found.row.ids == wanted || found.row.text.trim() == expected.trim() {
            return Ok(blame);
        }
        let step = found.row.ids.iter().zip(&wanted).position(|(a, b)| a != b);
        blame.step = step;
        if let Some(score) = blame.scores.expected
            && blame.scores.found.is_none_or(|found| score >= found)
        {
            blame.kind = BlameKind::Search;
            let width = self.least_width(&decoding, score, settings, progress)?;
            blame.search = Some(lost(&decoding, &wanted, width));
            return Ok(blame);
        }
        blame.kind = BlameKind::Model;
        blame.stage = Some(Stage::Undetermined);
        if blame.scores.expected.is_none() {
            blame.add_note(
                "The rules of the search (lengths, prefix, forced or forbidden tokens) forbid the expected output.",
            );
        }
        let Some(step) = step else {
            blame.add_note("One output is the beginning of the other: no step has two tokens to compare.");
            return Ok(blame);
        };
        let question = Question {
            step,
            expected: wanted[step],
            found: found.row.ids[step],
        };
        self.repair(&decoding, &wanted[..step], question, settings, &mut blame, progress)?;
        Ok(blame)
    }

    /// The tokens of a target: its text, after the language if the settings force one, before the end.
    fn target(&self, decoding: &Decoding, text: &str) -> Result<Vec<u32>, Error> {
        let ids = self.exact_ids(text)?;
        Ok(self.ended(decoding, ids))
    }

    fn ended(&self, decoding: &Decoding, mut ids: Vec<u32>) -> Vec<u32> {
        let settings = &decoding.params.generation;
        if let Some(first) = settings.forced_first.filter(|_| decoding.prompt_tokens() == 1) {
            ids.insert(0, first);
        }
        ids.extend(settings.end.first());
        ids
    }

    /// The score of an output as the search would count it; `None` if its rules forbid the output.
    fn score(&self, decoding: &Decoding, ids: &[u32]) -> Result<Option<f32>, Error> {
        let (settings, prompt) = (&decoding.params.generation, decoding.prompt_tokens());
        let limit = match (settings.max_new_tokens, settings.max_length) {
            (Some(new), _) => Some(prompt.saturating_add(new)),
            (None, length) => length,
        };
        let limit = limit.into_iter().chain(self.model().info().max_tokens).min();
        if limit.is_some_and(|limit| prompt + ids.len() > limit) {
            return Ok(None);
        }
        let (info, fault) = (self.model().info(), self.fault());
        let mut tap = (
            Edits::new(info, &fault.edits, self.fault_donors()),
            Edits::new(info, &decoding.params.interventions, &[]),
        );
        let inputs = Inputs::from_ids(std::slice::from_ref(&decoding.source.ids), 0)?;
        // The last token predicts nothing that is asked for.
        let before = ids.split_last().map_or(ids, |(_, before)| before);
        let read = Generator::new(self.model(), settings)?.teacher_forced(&inputs, 0, before, &mut tap)?;
        let mut prefix = settings.prefix.iter();
        let mut total = 0.0_f64;
        for (step, &id) in ids.iter().enumerate() {
            let place = prompt + step;
            let end = settings.forced_end.filter(|_| Some(place + 1) == limit);
            let first = settings.forced_first.filter(|_| step == 0 && prompt == 1);
            let own = settings.forced_places.iter().find(|(own, _)| *own == place);
            // A token that is forced counts nothing, one of the prefix as the model has it.
            let (given, counts) = match end.or(first).or(own.map(|(_, token)| *token)) {
                Some(forced) => (Some(forced), false),
                None => (prefix.next().copied(), true),
            };
            if given.is_some_and(|given| given != id) {
                return Ok(None);
            }
            if counts {
                total += f64::from(read.log_probability(step, id).unwrap_or(f32::NEG_INFINITY));
            }
        }
        let score = (total / (ids.len().max(1) as f64).powf(settings.length_penalty)) as f32;
        Ok(Some(score).filter(|score| score.is_finite()))
    }

    /// The fewest beams beyond those of a decoding that find a score.
    fn least_width(
        &self,
        decoding: &Decoding,
        score: f32,
        settings: &BlameParams,
        progress: &dyn Progress,
    ) -> Result<Option<usize>, Error> {
        for beams in decoding.params.generation.beams + 1..=settings.most_beams {
            step(progress, "wider beams", beams, settings.most_beams)?;
            let mut params = decoding.params.clone();
            params.generation.beams = beams;
            params.generation.sampling = None;
            let wider = self.decode(&decoding.source.text, &params, &())?;
            // Its rules may weigh tokens otherwise (beams of one draw on logits): both are read by those of the decoding.
            let found = self.score(decoding, &wider.hypothesis(0)?.row.ids)?;
            if found.is_some_and(|found| found >= score - 1e-5) {
                return Ok(Some(beams));
            }
        }
        Ok(None)
    }
}

/// Where the prefix of an output left the beam.
fn lost(decoding: &Decoding, wanted: &[u32], width: Option<usize>) -> SearchError {
    let mut parent = None;
    for (step, &id) in wanted.iter().enumerate() {
        let here = || decoding.beam.iter().enumerate().filter(|(_, entry)| entry.step == step);
        let found = here().position(|(_, entry)| entry.parent == parent && entry.id == id);
        let entry = here().find(|(_, entry)| entry.parent == parent && entry.id == id);
        match entry {
            Some((index, entry)) if entry.fate == EntryFate::Kept => parent = Some(index),
            Some((_, entry)) => {
                let last = here().rfind(|(_, other)| other.fate != EntryFate::Pruned);
                return SearchError {
                    step,
                    rank: found.map(|rank| rank + 1),
                    margin: last.map(|(_, last)| last.total - entry.total),
                    width,
                };
            }
            None => {
                return SearchError {
                    step,
                    rank: None,
                    margin: None,
                    width,
                };
            }
        }
    }
    SearchError {
        step: wanted.len(),
        rank: None,
        margin: None,
        width,
    }
}
