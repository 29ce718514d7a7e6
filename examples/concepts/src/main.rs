//! Latent concepts: clusters of words in every layer of a model, and their alignment with labels.
//!
//! ```sh
//! cargo run --release -p concepts                                                  # the embedded encoder before and after fine-tuning
//! cargo run --release -p concepts -- --model DIR --tags en_ewt-ud-dev.conllu --out DIR
//! cargo run --release -p concepts -- --model BASE --model-after FINE-TUNED --tags FILE.conllu --out DIR
//! cargo run --release -p concepts -- --capture DIR --tags FILE.conllu              # hidden states that any program wrote
//! cargo run --release -p concepts -- --open out/concepts/concepts.json             # a saved study, without the model
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod browser;
mod changes;
mod check;
mod cluster;
mod export;
mod files;
mod neurons;
mod options;
mod pictures;
mod run;
mod sentence;
mod session;
mod source;
mod stage;
mod window;

use std::{error::Error, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use examples_common::Terminal;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(options))
}

fn run(mut options: Options) -> Result<(), Box<dyn Error>> {
    if let Some(path) = options.open.as_mut().filter(|path| path.is_dir()) {
        path.push(files::STUDY);
    }
    let sources = options.sources()?;
    check::check(&options, &sources)?;
    if options.out.is_none() && examples_common::has_display() {
        return window::open(options, sources);
    }
    let terminal = Terminal::new();
    let out = options.out.clone().unwrap_or_else(|| PathBuf::from(options::OUT));
    std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let (study, loaded) = match &options.open {
        Some(path) => (run::open(&options, path, &terminal)?, Vec::new()),
        None => run::study(&options, &sources, &terminal)?,
    };
    for note in loaded.iter().flat_map(|loaded| &loaded.notes) {
        terminal.say(format!("note: {note}"));
    }
    for note in study.models.iter().flat_map(|model| &model.notes) {
        terminal.say(format!("note: {note}"));
    }
    files::write(&study, &out)?;
    if let Some(sentence) = &options.sentence {
        let pipeline = run::pipeline(&options, options.params()?)?;
        let mut placed = Vec::new();
        for (at, model) in study.models.iter().enumerate() {
            let loaded = match loaded.get(at) {
                Some(loaded) => loaded.clone(),
                None => Arc::new(run::Loaded::reopened(&options, &study.models, at)?),
            };
            placed.push((model, loaded.place(&pipeline, model, sentence, &terminal)?));
        }
        files::write_placed(&placed, &out)?;
    }
    pictures::write(&study, &out, &options.view(), options.svg, &terminal)?;
    for line in study.lines() {
        println!("{line}");
    }
    println!("{}", out.join("report.md").display());
    Ok(())
}
