//! `trainer_state.json`: what the trainer of Hugging Face writes beside each `checkpoint-N`.

use std::path::Path;

use attn_core::files;
use serde_json::Value;

use super::folder::number;
use crate::Error;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 28;

/// The state of a trainer: its epoch, and what it logged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainerState {
    /// Epochs so far.
    pub epoch: Option<f64>,
    /// Steps so far.
    pub step: Option<u64>,
    /// The folder of the best checkpoint by its metric.
    pub best: Option<String>,
    /// What was logged, in its order.
    pub history: Vec<TrainerEntry>,
}

/// Values logged at one step.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerEntry {
    /// Step.
    pub step: u64,
    /// Epoch, if it was logged.
    pub epoch: Option<f64>,
    /// Values by name: `loss`, `eval_loss`, `eval_accuracy`, `learning_rate`. Those that are no finite numbers are left out.
    pub values: Vec<(String, f64)>,
}

impl TrainerState {
    /// Reads a file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        if !path.is_file() {
            return Ok(None);
        }
        Self::parse(&files::read(path, LARGEST)?, path).map(Some)
    }

    /// The state in the bytes of a file; `path` names it in errors.
    ///
    /// # Errors
    /// [`attn_core::Error::Text`] for anything but a JSON object. Entries of other shapes are left out.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let wrong = |line, found: String| {
            Error::Core(attn_core::Error::Text {
                place: path.display().to_string(),
                line,
                expected: "the state of a trainer: a JSON object".into(),
                found,
            })
        };
        let text = String::from_utf8_lossy(bytes);
        // Python writes NaN where a loss diverged.
        let text = attn_analyze::training::without_nan(&text);
        let state: Value = serde_json::from_str(&text).map_err(|error| wrong(Some(error.line()), error.to_string()))?;
        if !state.is_object() {
            return Err(wrong(None, "another JSON value".into()));
        }
        let logged = state.get("log_history").and_then(Value::as_array);
        let history = logged.into_iter().flatten().filter_map(|entry| {
            let values = entry.as_object()?.iter().filter_map(|(name, value)| {
                let value = value.as_f64().filter(|value| value.is_finite())?;
                (name != "step" && name != "epoch").then(|| (name.clone(), value))
            });
            Some(TrainerEntry {
                step: entry.get("step").and_then(Value::as_u64)?,
                epoch: number(entry, "epoch"),
                values: values.collect(),
            })
        });
        Ok(Self {
            epoch: number(&state, "epoch"),
            step: state.get("global_step").and_then(Value::as_u64),
            best: state
                .get("best_model_checkpoint")
                .and_then(Value::as_str)
                .map(str::to_owned),
            history: history.collect(),
        })
    }
}
