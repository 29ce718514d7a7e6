//! Reading the settings of generation from a checkpoint, and refusing those that are not implemented.

use serde_json::Value;

use super::{EarlyStopping, GenerationParams, Sampling};
use crate::{Checkpoint, Result, config::Config};

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
    /// What a checkpoint says: its `generation_config.json` or, without one, its `config.json`; special tokens that
    /// the first does not name are looked up in the second.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a value of the wrong kind,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a setting that would change the output and is not
    /// implemented (groups of beams, words to force, ...).
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
            forced_places: config.places_and_ids("forced_decoder_ids")?,
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
            return Err(self.unsupported(
                key,
                "a token at every place: no language is guessed, `Checkpoint::with_speech` says which",
            ));
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
