//! Options of a generation on the command line.

use attn_sdk::models::generate::{EarlyStopping, GenerationOverrides};
use clap::Args;

/// Settings in place of those of the checkpoint.
#[derive(Args)]
pub struct SearchArgs {
    /// Sequences kept at each step
    #[arg(long, value_name = "N")]
    pub beams: Option<usize>,
    /// At most this many new tokens
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Scores are log-probabilities over the length to this power
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub length_penalty: Option<f64>,
    /// End as soon as as many sequences are finished as there are beams
    #[arg(long)]
    pub early_stopping: bool,
    /// Draw tokens; below 1 the likely ones become likelier
    #[arg(long, value_name = "F")]
    pub temperature: Option<f64>,
    /// Draw among this many tokens, 0 for all
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Draw among the most likely tokens that have this probability together
    #[arg(long, value_name = "F")]
    pub top_p: Option<f64>,
    /// Draw among the tokens that are at least this share as likely as the most likely one
    #[arg(long, value_name = "F")]
    pub min_p: Option<f64>,
    /// Draw among the tokens of the most typical surprise that have this probability together
    #[arg(long, value_name = "F")]
    pub typical_p: Option<f64>,
    /// Draw with this seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Make tokens that are there already less likely: 1 changes nothing
    #[arg(long, value_name = "F")]
    pub repetition_penalty: Option<f64>,
    /// In a beam search, let other tokens share the probability of forbidden ones
    #[arg(long)]
    pub renormalize: bool,
    /// List so many of the most likely tokens after each beam of each step
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
}

impl SearchArgs {
    /// The settings that were given.
    pub fn overrides(&self) -> GenerationOverrides {
        GenerationOverrides {
            beams: self.beams,
            max_new_tokens: self.max_new_tokens,
            length_penalty: self.length_penalty,
            early_stopping: self.early_stopping.then_some(EarlyStopping::Full),
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            seed: self.seed,
            repetition_penalty: self.repetition_penalty,
            renormalize: self.renormalize.then_some(true),
            top_tokens: self.top,
        }
    }
}
