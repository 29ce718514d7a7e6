//! A training: what it did to its examples, and which heads it needs.
//!
//! ```sh
//! cargo run --release -p finetune                             # the embedded fine-tuning
//! cargo run --release -p finetune -- --run DIR                # a window that follows a run
//! cargo run --release -p finetune -- --run DIR --out DIR      # every plot, table and report as files
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod actions;
mod files;
mod options;
mod sections;
mod sides;
mod views;
mod window;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use examples_common::Terminal;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(options))
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if options.out.is_none() && examples_common::has_display() {
        return window::open(options);
    }
    let terminal = Terminal::new();
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(options::OUT));
    let training = options.training(&terminal)?;
    let failures = files::write(&training, &options, &out, &terminal)?;
    for note in training.notes() {
        terminal.say(note);
    }
    for failure in &failures {
        terminal.say(failure);
    }
    println!("{}", out.join("report.md").display());
    match failures.len() {
        0 => Ok(()),
        some => Err(format!("{some} files could not be written").into()),
    }
}
