//! Settings of generation: the reference's, with its defaults, read from a checkpoint and overridable one by one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Checkpoint, Error, Model, Result, Tokenizer, config::Config, tokenizer::is_language};

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

/// How the next token is drawn, instead of taken as the most likely one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// Divides the logits: below 1 the likely tokens become likelier. Default: 1.
    pub temperature: f64,
    /// Draws among this many of the most likely tokens; 0 for all. Default: 50, the reference's.
    pub top_k: usize,
    /// Draws among the most likely tokens that together have at least this probability (Holtzman et al. 2020).
    /// Default: 1, all of them.
    pub top_p: f64,
    /// Draws among the tokens that are at least this share as likely as the most likely one (Nguyen et al. 2024).
    /// Default: 0, all of them.
    pub min_p: f64,
    /// Draws among the tokens whose surprise is nearest to the expected one, which together have at least this probability
    /// (Meister et al. 2023). Default: 1, all of them.
    pub typical_p: f64,
    /// Same seed, same tokens, whatever else runs in the batch. Default: 0.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            seed: 0,
        }
    }
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

/// Options of the reference that this crate does not implement, and their neutral values.
const NEUTRAL: &[(&str, f64)] = &[
    ("diversity_penalty", 0.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("guidance_scale", 1.0),
    ("num_beam_groups", 1.0),
    ("penalty_alpha", 0.0),
    ("top_h", 1.0),
];

/// More of them, which change nothing only where they are not there, empty or false.
const ABSENT: &[&str] = &[
    "constraints",
    "dola_layers",
    "exponential_decay_length_penalty",
    "force_words_ids",
    "max_time",
    "sequence_bias",
    "stop_strings",
    "token_healing",
    "watermarking_config",
];

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

    /// What a checkpoint says: its `generation_config.json` or, without one, its `config.json`; special tokens that
    /// the first does not name are looked up in the second.
    ///
    /// # Errors
    /// [`Error::Config`] for a value of the wrong kind, [`Error::Unsupported`] for a setting that would change the
    /// output and is not implemented (groups of beams, words to force, ...).
    pub fn read(checkpoint: &Checkpoint) -> Result<Self> {
        Self::of(checkpoint.config(), checkpoint.generation())
    }

    /// As [`read`](Self::read): the model's configuration, and the one of generation if there is one.
    pub(crate) fn of(model: &Config, own: Option<&Config>) -> Result<Self> {
        let config = own.unwrap_or(model);
        for (key, neutral) in NEUTRAL {
            if config.number_or(key, *neutral)? != *neutral {
                return Err(config.unsupported(key, neutral.to_string()));
            }
        }
        for key in ABSENT {
            let nothing = |value: &Value| match value {
                Value::Bool(on) => !on,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if config.get(key).is_some_and(|value| !nothing(value)) {
                return Err(config.unsupported(key, "nothing"));
            }
        }
        let tokens = Self::tokens(model, own)?;
        let mut forbidden = config.lists_of_ids("bad_words_ids")?;
        // The end is not a word: forbidding it would mean no end at all.
        forbidden.retain(|run| !(run.len() == 1 && tokens.end.contains(&run[0])));
        forbidden.extend(config.ids("suppress_tokens")?.into_iter().map(|id| vec![id]));
        let defaults = Sampling::default();
        let sampling = Sampling {
            temperature: config.number_or("temperature", defaults.temperature)?,
            top_k: config.count_or("top_k", defaults.top_k)?,
            top_p: config.number_or("top_p", defaults.top_p)?,
            min_p: config.number_or("min_p", defaults.min_p)?,
            typical_p: config.number_or("typical_p", defaults.typical_p)?,
            ..defaults
        };
        let early_stopping = match config.get("early_stopping") {
            None => EarlyStopping::Unlikely,
            Some(value) if value == "never" => EarlyStopping::Impossible,
            Some(_) if config.flag_or("early_stopping", false)? => EarlyStopping::Full,
            Some(_) => EarlyStopping::Unlikely,
        };
        Ok(Self {
            max_new_tokens: config.optional_size("max_new_tokens")?,
            max_length: config.optional_size("max_length")?,
            min_new_tokens: config.count_or("min_new_tokens", 0)?,
            min_length: config.count_or("min_length", 0)?,
            beams: config.size_or("num_beams", 1)?,
            length_penalty: config.number_or("length_penalty", 1.0)?,
            early_stopping,
            sampling: config.flag_or("do_sample", false)?.then_some(sampling),
            forced_end: config.ids("forced_eos_token_id")?.first().copied(),
            forbidden,
            forbidden_first: config.ids("begin_suppress_tokens")?,
            no_repeat: config.count_or("no_repeat_ngram_size", 0)?,
            repetition_penalty: config.number_or("repetition_penalty", 1.0)?,
            renormalize: config.flag_or("renormalize_logits", false)?,
            ..tokens
        })
    }

    /// The special tokens alone, which tell what a decoder reads of a target that is given.
    pub(crate) fn tokens(model: &Config, own: Option<&Config>) -> Result<Self> {
        let config = own.unwrap_or(model);
        let id = |key: &str| -> Result<Option<u32>> {
            match config.id(key)? {
                Some(id) => Ok(Some(id)),
                None => model.id(key),
            }
        };
        Ok(Self {
            forced_first: match config.ids("forced_bos_token_id")?.as_slice() {
                [] => None,
                [first] => Some(*first),
                _ => return Err(config.unsupported("forced_bos_token_id", "one token")),
            },
            forced_places: config.places_and_ids("forced_decoder_ids")?,
            decoder_start: match id("decoder_start_token_id")? {
                Some(start) => Some(start),
                None => id("bos_token_id")?,
            },
            end: match config.get("eos_token_id") {
                Some(_) => config.ids("eos_token_id")?,
                None => model.ids("eos_token_id")?,
            },
            ..Self::default()
        })
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
        let forced = forced.filter(|(place, _)| *place >= prompt && !(first && *place == 1));
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

impl Config {
    /// A count, or the default.
    fn count_or(&self, key: &str, default: usize) -> Result<usize> {
        match self.get(key) {
            Some(value) if value.as_u64() == Some(0) => Ok(0),
            _ => self.size_or(key, default),
        }
    }

    /// A token id or a list of them; empty if the option is not there. -1 is no token.
    fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let Some(list) = self.get(key).and_then(|value| value.as_array()) else {
            return Ok(self.id(key)?.into_iter().collect());
        };
        let tokens = list.iter().filter(|id| id.as_i64() != Some(-1));
        let ids = tokens.map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()));
        ids.collect::<Option<_>>()
            .ok_or_else(|| self.wrong(key, "a token id or a list of them"))
    }

    /// Pairs of a place and a token id; empty if the option is not there.
    fn places_and_ids(&self, key: &str) -> Result<Vec<(usize, u32)>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let guessed = |pair: &Value| pair.get(1).is_some_and(Value::is_null);
        if value.as_array().is_some_and(|pairs| pairs.iter().any(guessed)) {
            return Err(self.unsupported(key, "a token at every place: no language is guessed"));
        }
        serde_json::from_value(value.clone()).map_err(|_| self.wrong(key, "a list of pairs of a place and a token id"))
    }

    /// A list of lists of token ids; empty if the option is not there.
    fn lists_of_ids(&self, key: &str) -> Result<Vec<Vec<u32>>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        serde_json::from_value(value.clone()).map_err(|_| self.wrong(key, "a list of lists of token ids"))
    }
}
