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
//! The same seed and number of steps give the same data and the same batches. Read it in this order: what is learnt
//! (`lexicon`, `grammar`, `stories`, `stimuli`, `data`), how (`tokens`, `training`, `encoder`, `decoder`, `vision`, `sentiment`,
//! `dates`),
//! and what came of it (`inspect`, `card`).

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

/// Whatever goes wrong ends the program with its message.
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
    /// Train the classifier of synthetic pictures (ViT).
    Vision(Training),
    /// Fine-tune the masked language model to tell the sentiment of a text, with a checkpoint per epoch and a log of every
    /// example.
    Sentiment {
        #[command(flatten)]
        training: Training,
        /// The folder of the model to start from.
        #[arg(long, default_value = "crates/attn-embedded/models/text-encoder")]
        base: PathBuf,
    },
    /// Train the converter of dates (Pegasus, an encoder-decoder).
    Dates(Training),
    /// Write the default input: sentences with tags, and pictures.
    Data {
        /// The folder to write.
        #[arg(long)]
        out: PathBuf,
        /// So many pictures too that the vision model has not seen, as `fresh/`.
        #[arg(long, default_value_t = 0)]
        fresh: usize,
    },
    /// Measure a trained model on held-out data and print what each head does.
    Inspect {
        /// The folder of the model.
        #[arg(long)]
        model: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Training {
    /// The folder to write.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Seed of the weights, the data and the batches.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Batches to train on [default: enough for the published model].
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
