//! The result of a decoding: one value that owns everything shown of it.

use attn_models::{generate::GenerationParams, intervene::Intervention};
use serde::{Deserialize, Serialize};

use super::{
    AlignmentHead, AttentionScale, AttentionWeights, BeamEntry, Blame, HeadChoice, Neighborhood, Shift, States,
    TokenRow,
};
use crate::Error;

/// Settings of a decoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodingParams {
    /// How the model writes: beams, length penalty, prefix, lengths.
    pub generation: GenerationParams,
    /// Most likely tokens kept at each step. Default 5.
    pub top_k: usize,
    /// Hypotheses, best first, whose source shares are computed: a backward pass per token. Default 1.
    pub shares: usize,
    /// The language token that takes the place of the source's own. Default: as the tokenizer writes it.
    #[serde(default)]
    pub source_language: Option<u32>,
    /// What is changed inside the model. Tokens count from the start of each stack. Default: nothing.
    #[serde(default)]
    pub interventions: Vec<Intervention>,
}

/// A log-probability of a file, which cannot hold minus infinity: `null` there.
pub(super) fn or_impossible<'de, D: serde::Deserializer<'de>>(number: D) -> Result<f32, D::Error> {
    Ok(Option::deserialize(number)?.unwrap_or(f32::NEG_INFINITY))
}

/// A token that was likely at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// Its text.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Its log-probability, in nats.
    #[serde(deserialize_with = "or_impossible")]
    pub log_probability: f32,
}

/// One step of a hypothesis: the choice of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodedStep {
    /// The token that was chosen.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// Its log-probability as the search counted it; 0 for tokens that the settings forced.
    #[serde(deserialize_with = "or_impossible")]
    pub log_probability: f32,
    /// Its log-probability by the model, in nats.
    #[serde(deserialize_with = "or_impossible")]
    pub model_log_probability: f32,
    /// Its place among all tokens, 1 for the most likely.
    pub rank: usize,
    /// Entropy of the prediction, in nats.
    pub entropy: f32,
    /// The most likely tokens, best first.
    pub top: Vec<Alternative>,
    /// Share of the source against the prefix in what the token rests on, 0 to 1; `None` if it was not computed.
    pub source_share: Option<f32>,
}

/// A sequence that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodedHypothesis {
    /// Its text and tokens, the end included.
    #[serde(flatten)]
    pub row: TokenRow,
    /// Its score: the sum of log-probabilities over the number of tokens to the power of the length penalty.
    #[serde(deserialize_with = "or_impossible")]
    pub score: f32,
    /// Whether it ended by itself.
    pub ended: bool,
    /// A step per token.
    pub steps: Vec<DecodedStep>,
    /// Its way through [`Decoding::beam`], a node per token; empty if the trace does not have it.
    pub nodes: Vec<usize>,
    /// Cross-attention; queries are the prompt's tokens, then its own. `None` for decoder-only models.
    pub cross: Option<AttentionWeights>,
    /// Self-attention of the decoder, over the same tokens.
    pub decoder_self: AttentionWeights,
    /// States after the last decoder layer, of the same tokens.
    pub decoder_states: States,
    /// Output of the last cross-attention, of the same tokens; empty for decoder-only models.
    pub context_states: States,
    /// Sum over the tokens of what each source token gave; `None` if it was not computed.
    pub coverage: Option<Vec<f32>>,
}

/// Everything about one source and what a model wrote for it. As JSON it is the file of a saved run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Name of the model.
    pub model: String,
    /// Whether the model is an encoder-decoder; else the source is a prompt that it continues.
    pub encoder_decoder: bool,
    /// The settings.
    pub params: DecodingParams,
    /// Source or prompt.
    pub source: TokenRow,
    /// What the decoder of an encoder-decoder starts with.
    pub start: TokenRow,
    /// The sequences, best first.
    pub hypotheses: Vec<DecodedHypothesis>,
    /// Every expansion of the search; parents stand before their children.
    pub beam: Vec<BeamEntry>,
    /// Self-attention of the encoder; `None` for decoder-only models.
    pub encoder_self: Option<AttentionWeights>,
    /// States after the last encoder layer; empty for decoder-only models.
    pub encoder_states: States,
    /// Heads that align source and target, best first; empty if they were not searched.
    #[serde(default)]
    pub alignment_heads: Vec<AlignmentHead>,
    /// What went wrong; `None` if nobody asked.
    #[serde(default)]
    pub blame: Option<Blame>,
    /// Neighbors of the states in an index, and their places on its map; `None` without an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighborhood: Option<Neighborhood>,
    /// What a reader must know, such as words that the model does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The place of a token among all at a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// The step, counted from 0.
    pub step: usize,
    /// The token.
    pub id: u32,
    /// 1 for the most likely.
    pub rank: usize,
    /// Its log-probability, in nats.
    pub log_probability: f32,
}

impl Decoding {
    /// Checks that all lists fit together, as those of a file may not.
    ///
    /// # Errors
    /// [`Error::Shape`] for the first that does not.
    pub fn check(&self) -> Result<(), Error> {
        let same = |what: &'static str, expected: usize, found: usize| {
            (expected == found).then_some(()).ok_or_else(|| Error::Shape {
                what,
                expected: expected.to_string(),
                found: found.to_string(),
            })
        };
        let row = |row: &TokenRow| {
            same("ids of tokens", row.len(), row.ids.len())?;
            same("classes of tokens", row.len(), row.classes.len())?;
            same("words of tokens", row.len(), row.words.len())
        };
        let weights = |weights: &AttentionWeights| {
            let sides = [weights.layers, weights.heads, weights.queries, weights.keys];
            let cells = sides.into_iter().try_fold(1_usize, usize::checked_mul);
            same(
                "weights of attention",
                cells.unwrap_or(usize::MAX),
                weights.weights.len(),
            )
        };
        row(&self.source)?;
        row(&self.start)?;
        self.encoder_self.iter().try_for_each(weights)?;
        for found in &self.hypotheses {
            row(&found.row)?;
            same("steps of a hypothesis", found.row.len(), found.steps.len())?;
            weights(&found.decoder_self)?;
            found.cross.iter().try_for_each(weights)?;
            if let Some(cross) = &found.cross {
                same("keys of cross-attention", self.source.len(), cross.keys)?;
            }
            if let Some(coverage) = &found.coverage {
                same("coverage of the source", self.source.len(), coverage.len())?;
            }
            if let Some(node) = found.nodes.iter().find(|node| **node >= self.beam.len()) {
                return Err(Error::NoEntry {
                    index: *node,
                    count: self.beam.len(),
                });
            }
        }
        self.neighborhood.iter().try_for_each(Neighborhood::check)?;
        for (index, entry) in self.beam.iter().enumerate() {
            if let Some(parent) = entry.parent.filter(|parent| *parent >= index) {
                return Err(Error::NoEntry {
                    index: parent,
                    count: index,
                });
            }
        }
        Ok(())
    }

    /// A hypothesis.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`] for one that does not exist.
    pub fn hypothesis(&self, index: usize) -> Result<&DecodedHypothesis, Error> {
        self.hypotheses.get(index).ok_or(Error::NoHypothesis {
            index,
            count: self.hypotheses.len(),
        })
    }

    /// Tokens of the generating stack before the first new one.
    pub fn prompt_tokens(&self) -> usize {
        if self.encoder_decoder {
            self.start.len()
        } else {
            self.source.len()
        }
    }

    /// Attention from the tokens of a hypothesis to the source, `[target, source]`: cross-attention, or what self-attention of
    /// a decoder-only model gives to the prompt. With [`Shift::Read`] a last token that nothing read has a row of zeros.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoSuchHead`].
    pub fn attention(&self, hypothesis: usize, heads: &HeadChoice, shift: Shift) -> Result<Vec<f32>, Error> {
        self.scaled_attention(hypothesis, heads, shift, AttentionScale::Weights)
    }

    /// The same with weights times lengths of values, or of what heads write for them.
    ///
    /// # Errors
    /// As [`attention`](Self::attention), and [`Error::Shape`] for a run that did not keep the lengths.
    pub fn scaled_attention(
        &self,
        hypothesis: usize,
        heads: &HeadChoice,
        shift: Shift,
        scale: AttentionScale,
    ) -> Result<Vec<f32>, Error> {
        let found = self.hypothesis(hypothesis)?;
        let weights = found.cross.as_ref().unwrap_or(&found.decoder_self);
        let scaled = match scale {
            AttentionScale::Weights => None,
            by => Some(weights.scaled(by).ok_or_else(|| Error::Shape {
                what: "lengths of values",
                expected: "a run that kept them".into(),
                found: "none".into(),
            })?),
        };
        let weights = scaled.as_ref().unwrap_or(weights);
        let mean = weights.mean(heads)?;
        Ok(self.target_rows(&mean, weights, found.row.len(), shift))
    }

    /// The attention `[source]` of the step that predicts a token; `None` for a step, a head or a hypothesis that does not exist.
    pub fn step_attention(&self, hypothesis: usize, step: usize, heads: &HeadChoice) -> Option<Vec<f32>> {
        let rows = self.attention(hypothesis, heads, Shift::Predicted).ok()?;
        let row = rows.chunks(self.source.len().max(1)).nth(step)?;
        Some(row.to_vec())
    }

    /// Rows of target tokens and columns of source tokens.
    pub(super) fn target_rows(
        &self,
        all: &[f32],
        weights: &AttentionWeights,
        targets: usize,
        shift: Shift,
    ) -> Vec<f32> {
        let first = self
            .prompt_tokens()
            .saturating_sub(usize::from(shift == Shift::Predicted));
        let source = self.source.len();
        let mut rows = Vec::with_capacity(targets * source);
        for target in 0..targets {
            let from = (first + target) * weights.keys;
            match all.get(from..from + source) {
                Some(row) if first + target < weights.queries => rows.extend_from_slice(row),
                _ => rows.resize(rows.len() + source, 0.0),
            }
        }
        rows
    }

    /// The score of an entry of the beam as if its hypothesis ended there, for any length penalty.
    pub fn rescored(&self, entry: usize, length_penalty: f64) -> f32 {
        self.beam.get(entry).map_or(f32::NEG_INFINITY, |entry| {
            entry.total / (entry.step as f32 + 1.0).powf(length_penalty as f32)
        })
    }

    /// Tokens from the first new one to an entry of the beam.
    ///
    /// # Errors
    /// [`Error::NoEntry`] for one that does not exist.
    pub fn path(&self, entry: usize) -> Result<Vec<u32>, Error> {
        let mut path = Vec::new();
        let mut at = Some(entry);
        while let Some(index) = at {
            let entry = self.beam.get(index).ok_or(Error::NoEntry {
                index,
                count: self.beam.len(),
            })?;
            path.push(entry.id);
            at = entry.parent.filter(|parent| *parent < index);
        }
        path.reverse();
        Ok(path)
    }
}
