//! The folder of a trained model, and its model card (README) with scores.

use std::{fmt::Write, fs, path::Path, time::Duration};

use attn_models::Weights;
use candle_core::DType;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::{Result, Training};

/// One measured number.
pub(crate) struct Score {
    name: &'static str,
    value: String,
}

impl Score {
    pub(crate) fn share(name: &'static str, right: usize, all: usize) -> Self {
        Self {
            name,
            value: format!("{:.1} % of {all}", 100.0 * right as f32 / all.max(1) as f32),
        }
    }

    pub(crate) fn number(name: &'static str, value: f32) -> Self {
        Self {
            name,
            value: format!("{value:.2}"),
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

/// Content of a model card.
pub(crate) struct Card<'a> {
    pub(crate) title: &'a str,
    pub(crate) what: &'a str,
    pub(crate) data: &'a str,
    pub(crate) command: &'a str,
    pub(crate) training: &'a Training,
    pub(crate) steps: usize,
    pub(crate) elapsed: Duration,
    pub(crate) scores: &'a [Score],
}

/// Writes weights (f16), configuration and tokenizer under the names of the Hugging Face hub.
pub(crate) fn save(
    folder: &Path,
    weights: &Weights,
    config: &Value,
    files: &[(&str, Value)],
    tokenizer: Option<&Tokenizer>,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("config.json"), serde_json::to_string_pretty(config)? + "\n")?;
    for (name, content) in files {
        fs::write(folder.join(name), serde_json::to_string_pretty(content)? + "\n")?;
    }
    if let Some(tokenizer) = tokenizer {
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string(false)?)?;
    }
    Ok(weights.save(folder.join("model.safetensors"), DType::F16)?)
}

/// Writes the card, and prints the scores.
pub(crate) fn write(folder: &Path, card: &Card<'_>) -> Result<()> {
    let Training { seed, .. } = card.training;
    let minutes = card.elapsed.as_secs_f32() / 60.0;
    let mut text = format!(
        "# {}\n\n{}\n\n## Data\n\n{}\n\n## Training\n\n```text\ncargo run --release -p train -- {} --seed {seed} --steps {} --out \
         models/{}\n```\n\n{minutes:.0} minutes of wall time on two cores with other load. `train inspect --model` repeats the measurement and, for models of one stack, prints scores of each head.\n\n\
         ## Measured on held-out data, with the weights as stored (f16)\n\n",
        card.title, card.what, card.data, card.command, card.steps, card.command
    );
    for score in card.scores {
        println!("{score}");
        writeln!(text, "- {score}")?;
    }
    text.push_str("\n## License\n\nMIT OR Apache-2.0, as the project. All data are generated.\n");
    Ok(fs::write(folder.join("README.md"), text)?)
}
