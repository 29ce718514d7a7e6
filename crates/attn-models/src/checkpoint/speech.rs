//! What a model of speech is to write: the language that is spoken, as it is or in English.
//!
//! Radford et al. 2022, <https://arxiv.org/abs/2212.04356>, section 2.3: the decoder starts with a token for the language, one for the
//! task, and one that says that no times are written.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Checkpoint;
use crate::{
    Error, Result,
    config::Config,
    error::{SHORT, excerpt},
};

/// Languages that a message about an unknown one lists.
const SHOWN: usize = 8;

/// What becomes of speech.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeechTask {
    /// It is written down in its own language.
    #[default]
    Transcribe,
    /// It is written down in English.
    Translate,
}

impl SpeechTask {
    fn name(self) -> &'static str {
        match self {
            Self::Transcribe => "transcribe",
            Self::Translate => "translate",
        }
    }
}

impl Checkpoint {
    /// The same model of speech (Whisper), told the language that is spoken, by its code (`de`), and what to do. Whatever
    /// generates with it or captures sounds then starts with these tokens and the one for no times; what the checkpoint
    /// itself forces (`forced_decoder_ids`) no longer counts.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a model of another kind or of English alone, and for a language or a task that has no token.
    pub fn with_speech(mut self, language: &str, task: SpeechTask) -> Result<Self> {
        let family = self.config.text("model_type")?.unwrap_or_default();
        if family != "whisper" {
            let found = excerpt(family, SHORT);
            return Err(Error::parameter(
                "language",
                "a model of speech that writes: Whisper",
                found,
            ));
        }
        let options = self.generation.as_ref().unwrap_or(&self.config);
        if !options.flag_or("is_multilingual", true)? {
            let expected = "nothing: the model knows English alone";
            return Err(Error::parameter("language", expected, excerpt(language, SHORT)));
        }
        let spelt = format!("<|{}|>", excerpt(language, SHORT));
        let Some(spoken) = self.speech_token(options, "lang_to_id", &spelt)? else {
            let codes = speech_codes(options)?;
            let expected = match codes.as_slice() {
                [] => "the code of a language that has a token".to_owned(),
                codes => format!("one of {} languages: {}", codes.len(), listed(codes)),
            };
            return Err(Error::parameter("language", expected, excerpt(language, SHORT)));
        };
        let Some(what) = self.speech_token(options, "task_to_id", task.name())? else {
            return Err(Error::parameter("task", "a task that has a token", task.name()));
        };
        let times = match options.id("no_timestamps_token_id")? {
            Some(id) => Some(id),
            None => self.token_named("<|notimestamps|>")?,
        };
        let forced = (1..).zip([Some(spoken), Some(what), times].into_iter().flatten());
        let forced: Vec<(u32, u32)> = forced.collect();
        self.generation = Some(options.with("forced_decoder_ids", json!(forced)));
        Ok(self)
    }

    /// The token of a language or a task: as the checkpoint lists it, or as the vocabulary has it.
    fn speech_token(&self, options: &Config, list: &str, name: &str) -> Result<Option<u32>> {
        if let Some(list) = options.object(list)? {
            return list.id(name);
        }
        self.token_named(&format!("<|{}|>", name.trim_matches(['<', '|', '>'])))
    }

    fn token_named(&self, token: &str) -> Result<Option<u32>> {
        match self.has_tokenizer() {
            true => Ok(self.tokenizer()?.id(token)),
            false => Ok(None),
        }
    }
}

/// Codes of the languages that a checkpoint lists.
fn speech_codes(options: &Config) -> Result<Vec<String>> {
    let list = options.object("lang_to_id")?;
    let names = list.iter().flat_map(Config::entries);
    Ok(names
        .map(|(name, _)| excerpt(name.trim_matches(['<', '|', '>']), SHORT))
        .collect())
}

fn listed(codes: &[String]) -> String {
    let more = if codes.len() > SHOWN { ", .." } else { "" };
    let first: Vec<&str> = codes.iter().take(SHOWN).map(String::as_str).collect();
    format!("{}{more}", first.join(", "))
}
