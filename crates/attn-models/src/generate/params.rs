//! Settings of generation: the reference's, with its defaults, read from a checkpoint and overridable one by one.

use attn_core::Limits;
use serde::{Deserialize, Serialize};

use super::Sampling;
use crate::{Error, Model, Result, Tokenizer, tokenizer::is_language};

/// The reference's limit on the length of a sequence where nothing else is said.
const DEFAULT_LENGTH: usize = 20;

/// When a beam search ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EarlyStopping {
    /// When no running beam, if it ended now, would beat the worst finished one (`early_stopping: false`).
    #[default]
    Unlikely,
    /// As soon as there are as many finished sequences as beams (`true`).
    Full,
    /// When no running beam can ever beat the worst finished one, however long it gets (`"never"`).
    Impossible,
}

/// Settings that a user gives in place of those of a checkpoint; `None` leaves a setting as it is.
///
/// ```
/// use attn_models::generate::{GenerationOverrides, GenerationParams, Sampling};
/// let mut params = GenerationParams { beams: 4, ..GenerationParams::default() };
/// params.override_with(&GenerationOverrides { temperature: Some(0.7), ..Default::default() });
/// assert_eq!(params.beams, 1, "drawing needs one beam");
/// assert_eq!(params.sampling.map(|sampling| sampling.temperature), Some(0.7));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GenerationOverrides {
    /// [`GenerationParams::beams`].
    pub beams: Option<usize>,
    /// [`GenerationParams::max_new_tokens`].
    pub max_new_tokens: Option<usize>,
    /// [`GenerationParams::length_penalty`].
    pub length_penalty: Option<f64>,
    /// [`GenerationParams::early_stopping`].
    pub early_stopping: Option<EarlyStopping>,
    /// [`GenerationParams::repetition_penalty`].
    pub repetition_penalty: Option<f64>,
    /// [`GenerationParams::renormalize`].
    pub renormalize: Option<bool>,
    /// [`GenerationParams::top_tokens`].
    pub top_tokens: Option<usize>,
    /// [`Sampling::temperature`]. This and those below draw tokens where the checkpoint does not.
    pub temperature: Option<f64>,
    /// [`Sampling::top_k`].
    pub top_k: Option<usize>,
    /// [`Sampling::top_p`].
    pub top_p: Option<f64>,
    /// [`Sampling::min_p`].
    pub min_p: Option<f64>,
    /// [`Sampling::typical_p`].
    pub typical_p: Option<f64>,
    /// [`Sampling::seed`].
    pub seed: Option<u64>,
}

/// Settings of generation, checked once by [`Generator::new`](super::Generator::new). `default()` is greedy and knows
/// no special tokens; [`read`](Self::read) takes the settings of a checkpoint.
///
/// ```
/// use attn_models::generate::{GenerationParams, Sampling};
///
/// let beams = GenerationParams { beams: 4, length_penalty: 0.6, ..GenerationParams::default() };
/// let drawn = GenerationParams { sampling: Some(Sampling { temperature: 0.8, ..Sampling::default() }), ..GenerationParams::default() };
/// assert_eq!((beams.max_new_tokens, drawn.beams), (None, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationParams {
    /// At most this many new tokens, the end included. Default: none, `max_length` decides.
    pub max_new_tokens: Option<usize>,
    /// At most this many tokens of the generating stack, prompt included, where `max_new_tokens` says nothing.
    /// Default: 20, the reference's. The model's longest sequence limits both.
    pub max_length: Option<usize>,
    /// No end before this many new tokens. Default: 0.
    pub min_new_tokens: usize,
    /// No end before this many tokens, prompt included. Default: 0.
    pub min_length: usize,
    /// Sequences kept at each step; 1 for greedy generation and sampling. Default: 1.
    pub beams: usize,
    /// A sequence's score is its log-probability divided by its number of new tokens to this power: above 0 favors
    /// long sequences, below 0 short ones (Wu et al. 2016). Default: 1.
    pub length_penalty: f64,
    /// When a beam search ends. Default: when better sequences are unlikely.
    pub early_stopping: EarlyStopping,
    /// Draws tokens instead of taking the most likely one. Default: none.
    pub sampling: Option<Sampling>,
    /// The first new tokens (after `forced_first`). Their log-probabilities count as if they had been chosen, so that
    /// scores compare with those of a free search. Default: empty.
    pub prefix: Vec<u32>,
    /// The token after the decoder's start, with log-probability 0: the language of mBART and M2M100
    /// (`forced_bos_token_id`). Default: none.
    pub forced_first: Option<u32>,
    /// Tokens at other places, with log-probability 0; places are counted with the prompt, from 0, and those within it do
    /// not count (`forced_decoder_ids`). Default: empty.
    pub forced_places: Vec<(usize, u32)>,
    /// The token at the last possible place, with log-probability 0 (`forced_eos_token_id`). Default: none.
    pub forced_end: Option<u32>,
    /// Runs of tokens that are not written; a run of one token forbids it everywhere (`bad_words_ids`,
    /// `suppress_tokens`). Default: empty.
    pub forbidden: Vec<Vec<u32>>,
    /// Tokens that are not the first new one (`begin_suppress_tokens`). Default: empty.
    pub forbidden_first: Vec<u32>,
    /// No run of this many tokens occurs twice; 0 for no such rule (`no_repeat_ngram_size`). Default: 0.
    pub no_repeat: usize,
    /// Tokens that are there already, the prompt's included, are made less likely: logits above 0 are divided by this
    /// number, others multiplied; in a beam search the log-probabilities. Below 1 they are made likelier (Keskar et al.
    /// 2019). Default: 1.
    pub repetition_penalty: f64,
    /// In a beam search, divides what forbidden tokens leave of the probability among the others (`renormalize_logits`);
    /// greedy generation and sampling always do. Default: `false`.
    pub renormalize: bool,
    /// What the decoder of an encoder-decoder starts with. Default: none, which is an error there.
    pub decoder_start: Option<u32>,
    /// Tokens that end a sequence. Default: none, so that every sequence gets as long as allowed.
    pub end: Vec<u32>,
    /// Most likely tokens that the trace of greedy generation and sampling lists at each step, beside the one that was
    /// taken. A beam search lists every expansion it weighed. Default: 5.
    pub alternatives: usize,
    /// Most likely tokens that the trace keeps for every beam of every step ([`Step::top`](super::Step::top)), 0 for none.
    /// Default: 0.
    pub top_tokens: usize,
    /// Keeps keys and values from step to step. Without it every step runs all tokens anew, and taps see them all.
    /// Default: `true`.
    pub cache: bool,
}

impl Default for GenerationParams {
    fn default() -> Self {
        Self {
            max_new_tokens: None,
            max_length: None,
            min_new_tokens: 0,
            min_length: 0,
            beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            sampling: None,
            prefix: Vec::new(),
            forced_first: None,
            forced_places: Vec::new(),
            forced_end: None,
            forbidden: Vec::new(),
            forbidden_first: Vec::new(),
            no_repeat: 0,
            repetition_penalty: 1.0,
            renormalize: false,
            decoder_start: None,
            end: Vec::new(),
            alternatives: 5,
            top_tokens: 0,
            cache: true,
        }
    }
}

impl GenerationParams {
    /// Takes over the settings that are given. Drawing needs one beam: without a number of beams among them, drawing sets it.
    pub fn override_with(&mut self, given: &GenerationOverrides) {
        let before = self.sampling.unwrap_or_default();
        let cuts = [given.temperature, given.top_p, given.min_p, given.typical_p];
        let drawn = cuts.iter().any(Option::is_some) || given.top_k.is_some();
        if drawn || given.seed.is_some() {
            self.beams = 1;
            self.sampling = Some(Sampling {
                temperature: given.temperature.unwrap_or(before.temperature),
                top_k: given.top_k.unwrap_or(before.top_k),
                top_p: given.top_p.unwrap_or(before.top_p),
                min_p: given.min_p.unwrap_or(before.min_p),
                typical_p: given.typical_p.unwrap_or(before.typical_p),
                seed: given.seed.unwrap_or(before.seed),
            });
        }
        self.beams = given.beams.unwrap_or(self.beams);
        self.max_new_tokens = given.max_new_tokens.or(self.max_new_tokens);
        self.length_penalty = given.length_penalty.unwrap_or(self.length_penalty);
        self.early_stopping = given.early_stopping.unwrap_or(self.early_stopping);
        self.repetition_penalty = given.repetition_penalty.unwrap_or(self.repetition_penalty);
        self.renormalize = given.renormalize.unwrap_or(self.renormalize);
        self.top_tokens = given.top_tokens.unwrap_or(self.top_tokens);
    }

    /// Translates into a language: its token is the first that is written or, for a model that starts with a language
    /// (mBART), what the decoder starts with.
    ///
    /// # Errors
    /// Those of [`Tokenizer::language_id`].
    pub fn set_language(&mut self, tokenizer: &Tokenizer, language: &str) -> Result<()> {
        let id = tokenizer.language_id(language)?;
        let start = self.decoder_start.map(|start| tokenizer.token(start).text);
        if self.forced_first.is_none() && start.is_some_and(|start| is_language(&start)) {
            self.decoder_start = Some(id);
        } else {
            self.forced_first = Some(id);
        }
        Ok(())
    }

    /// Longest sequence of the generating stack, whatever its prompt.
    pub(super) fn longest(&self, model: &Model, prompt: usize) -> usize {
        let wanted = match (self.max_new_tokens, self.max_length) {
            (Some(new), _) => prompt.saturating_add(new),
            (None, Some(length)) => length,
            (None, None) => DEFAULT_LENGTH,
        };
        model.info().max_tokens.map_or(wanted, |longest| wanted.min(longest))
    }

    /// The same, for a prompt that leaves room.
    pub(super) fn limit(&self, model: &Model, prompt: usize) -> Result<usize> {
        let limit = self.longest(model, prompt);
        if limit <= prompt {
            return Err(Error::parameter(
                "max_length",
                format!("more than the {prompt} tokens of the prompt"),
                limit.to_string(),
            ));
        }
        let first = prompt == 1 && self.forced_first.is_some();
        let forced = self.forced_places.iter();
        let forced = forced.filter(|(place, _)| (prompt..limit).contains(place) && !(first && *place == 1));
        let given = prompt + usize::from(first) + forced.count() + self.prefix.len();
        if given > limit {
            return Err(Error::parameter(
                "prefix",
                format!("a prompt and a prefix of at most {limit} tokens"),
                given.to_string(),
            ));
        }
        Ok(limit)
    }

    /// Checks everything that does not depend on the prompt.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        let refuse = |name, expected: &str, found: String| Err(Error::parameter(name, expected, found));
        if self.beams == 0 {
            return refuse("beams", "at least 1", self.beams.to_string());
        }
        if !self.length_penalty.is_finite() {
            return refuse("length_penalty", "a finite number", self.length_penalty.to_string());
        }
        let penalty = self.repetition_penalty;
        if !(penalty > 0.0 && penalty.is_finite()) {
            return refuse("repetition_penalty", "a number above 0", penalty.to_string());
        }
        if let Some(sampling) = &self.sampling {
            if self.beams > 1 {
                return refuse("beams", "1 with sampling", self.beams.to_string());
            }
            if !(sampling.temperature > 0.0 && sampling.temperature.is_finite()) {
                return refuse("temperature", "a number above 0", sampling.temperature.to_string());
            }
            if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
                return refuse("top_p", "a number above 0 and up to 1", sampling.top_p.to_string());
            }
            if !(0.0..=1.0).contains(&sampling.min_p) {
                return refuse("min_p", "a number from 0 to 1", sampling.min_p.to_string());
            }
            if !(sampling.typical_p > 0.0 && sampling.typical_p <= 1.0) {
                return refuse(
                    "typical_p",
                    "a number above 0 and up to 1",
                    sampling.typical_p.to_string(),
                );
            }
        }
        let vocabulary = model.info().vocab_size.unwrap_or(0);
        // What a step weighs: logits, log-probabilities, and the order of the sums.
        let weighed = Limits::size(&[self.beams, vocabulary], 16);
        Limits::default().check(format_args!("setting `beams`, {}", self.beams), weighed)?;
        let lists: [(&'static str, Vec<u32>); 8] = [
            ("prefix", self.prefix.clone()),
            ("forced_first", self.forced_first.into_iter().collect()),
            ("forced_places", self.forced_places.iter().map(|(_, id)| *id).collect()),
            ("forced_end", self.forced_end.into_iter().collect()),
            ("forbidden", self.forbidden.concat()),
            ("forbidden_first", self.forbidden_first.clone()),
            ("decoder_start", self.decoder_start.into_iter().collect()),
            ("end", self.end.clone()),
        ];
        for (name, ids) in lists {
            if let Some(id) = ids.into_iter().find(|&id| id as usize >= vocabulary) {
                return refuse(name, &format!("ids below {vocabulary}"), id.to_string());
            }
        }
        if self.forbidden.iter().any(Vec::is_empty) {
            return refuse("forbidden", "runs of at least one token", "an empty one".to_owned());
        }
        Ok(())
    }
}
