//! Latent concepts: clusters of words in every layer of a model, and their alignment with labels.
//!
//! ```sh
//! cargo run --release -p concepts                                                  # the embedded encoder before and after fine-tuning
//! cargo run --release -p concepts -- --model DIR --tags en_ewt-ud-dev.conllu --out DIR
//! cargo run --release -p concepts -- --model BASE --model-after FINE-TUNED --tags FILE.conllu --out DIR
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod browser;
mod options;
mod pictures;
mod run;
mod stage;
mod window;

use std::{error::Error, path::PathBuf, process::ExitCode};

use attn_sdk::core::files::write_atomically;
use clap::Parser;
use examples_common::Terminal;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(options))
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let sources = options.sources()?;
    if options.out.is_none() && examples_common::has_display() {
        return window::open(options, sources);
    }
    let terminal = Terminal::new();
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(options::OUT));
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let study = run::study(&options, sources, &terminal)?;
    write_atomically(&out.join("concepts.json"), &serde_json::to_vec_pretty(&study)?)?;
    write_atomically(&out.join("report.md"), study.markdown().as_bytes())?;
    pictures::write(&study, &out, &options.view(), options.svg, &terminal)?;
    for line in study.lines() {
        println!("{line}");
    }
    println!("{}", out.join("report.md").display());
    Ok(())
}
