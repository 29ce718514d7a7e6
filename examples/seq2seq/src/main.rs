//! Sequence to sequence: what a model writes, and why: attention, predictions, beams, states, alignments, what-if, blame.
//!
//! ```sh
//! cargo run --release -p seq2seq                                       # a window on the embedded date model
//! cargo run --release -p seq2seq -- --model DIR --source TEXT --beams 4 --out DIR
//! cargo run --release -p seq2seq -- --model DIR --sources FILE --out DIR
//! cargo run --release -p seq2seq -- index --model DIR --pairs FILE --out INDEX
//! cargo run --release -p seq2seq -- --model DIR --source TEXT --index INDEX --out DIR
//! cargo run --release -p seq2seq -- --explain "March 21, 2000" --expected 2000-03-21 --fault FILE --out DIR
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod actions;
mod bar;
mod detail;
mod experiments;
mod files;
mod help;
mod indexing;
mod look;
mod near;
mod options;
mod panel;
mod reopen;
mod report;
mod saved;
mod session;
mod studio;
mod views;
mod window;
mod work;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use examples_common::Terminal;
use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(options))
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if let Some(Command::Index(index)) = &options.command {
        let lines = indexing::run(index, &Terminal::new())?;
        lines.iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    if options.out.is_none() && examples_common::has_display() {
        return window::open(options);
    }
    let terminal = Terminal::new();
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(options::OUT));
    // Before hours of work.
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut session = session::run(&options, &terminal)?;
    files::write(&mut session, &options, &out, &terminal)?;
    for line in session.lines() {
        println!("{line}");
    }
    for note in session.notes() {
        eprintln!("note: {note}");
    }
    let report = out.join("report.md");
    println!("{}", report.display());
    match session.failures().count() {
        0 => Ok(()),
        _ if session.runs.iter().all(|run| run.result.is_err()) => Err("no source could be decoded".into()),
        1 => Err(format!("1 failure; {} names it", report.display()).into()),
        some => Err(format!("{some} failures; {} names them", report.display()).into()),
    }
}
