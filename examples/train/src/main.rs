//! Trains the embedded models from scratch, on two cores in minutes, and writes their default input.
//!
//! ```text
//! cargo run --release -p train -- text-encoder --out crates/attn-embedded/models/text-encoder
//! cargo run --release -p train -- text-decoder --out crates/attn-embedded/models/text-decoder
//! cargo run --release -p train -- vision --out crates/attn-embedded/models/vision
//! cargo run --release -p train -- sentiment --out crates/attn-embedded/models/sentiment
//! cargo run --release -p train -- dates --out crates/attn-embedded/models/dates
//! cargo run --release -p train -- data --out crates/attn-embedded/models/data
//! cargo run --release -p train -- inspect --model crates/attn-embedded/models/vision
//! ```
//!
//! The same seed and number of steps give the same data and the same batches. Order to read: data (`lexicon`, `grammar`,
//! `stories`, `stimuli`, `data`), models (`tokens`, `training`, `encoder`, `decoder`, `vision`, `sentiment`, `dates`), evaluation
//! (`inspect`, `card`).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod card;
mod data;
mod dates;
mod decoder;
mod encoder;
mod grammar;
mod inspect;
mod lexicon;
mod random;
mod sentiment;
mod stimuli;
mod stories;
mod tokens;
mod training;
mod vision;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// An error ends the program with its message.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Train the embedded models from scratch")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train the masked language model (BERT).
    TextEncoder(Training),
    /// Train the causal language model (GPT-2).
    TextDecoder(Training),
    /// Train the classifier of synthetic images (ViT).
    Vision(Training),
    /// Fine-tune the masked language model to classify sentiment. Writes a checkpoint per epoch and a log of every example.
    Sentiment {
        #[command(flatten)]
        training: Training,
        /// Folder of the base model.
        #[arg(long, default_value = "crates/attn-embedded/models/text-encoder")]
        base: PathBuf,
    },
    /// Train the date converter (Pegasus, an encoder-decoder).
    Dates(Training),
    /// Write the default data: sentences with tags, and images.
    Data {
        /// Output folder.
        #[arg(long)]
        out: PathBuf,
        /// Number of additional images that the vision model was not trained on, as `fresh/`.
        #[arg(long, default_value_t = 0)]
        fresh: usize,
    },
    /// Measure a trained model on held-out data and print scores of each head.
    Inspect {
        /// Folder of the model.
        #[arg(long)]
        model: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Training {
    /// Output folder.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Seed of weights, data and batches.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Training steps [default: as for the embedded model].
    #[arg(long)]
    pub(crate) steps: Option<usize>,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::TextEncoder(training) => encoder::train(&training),
        Command::TextDecoder(training) => decoder::train(&training),
        Command::Vision(training) => vision::train(&training),
        Command::Sentiment { training, base } => sentiment::train(&training, &base),
        Command::Dates(training) => dates::train(&training),
        Command::Data { out, fresh } => data::write(&out, fresh),
        Command::Inspect { model } => inspect::report(&model),
    }
}
