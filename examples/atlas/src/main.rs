//! From a checkpoint and a text file (or a folder of images) to the plots of every attention head, as files or in a window.
//!
//! ```sh
//! cargo run --release -p atlas                                        # the embedded models
//! cargo run --release -p atlas -- --model DIR --text FILE             # a window, where there is a display
//! cargo run --release -p atlas -- --model DIR --images DIR --out DIR  # matrix.png, head-L-H.png, ..., atlas.json
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod actions;
mod against;
mod arrive;
mod bar;
mod checkpoints;
mod commands;
mod detail;
mod experiment;
mod filter;
mod guest;
mod headless;
mod help;
mod inset;
mod open;
mod options;
mod pane;
mod selection;
mod session;
mod source;
mod stopped;
mod summary;
mod weighting;
mod window;
#[cfg(test)]
mod window_tests;
mod work;

use std::{error::Error, process::ExitCode};

use clap::Parser;
use examples_common::Terminal;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(&options))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    if let Some(path) = &options.session {
        if !examples_common::has_display() {
            return Err("a session is opened in a window: expected a display, found none".into());
        }
        return window::open(window::Start::Session(path.clone()), options);
    }
    let what = options.what();
    if options.out.is_none() && !options.checkpoint_info && examples_common::has_display() {
        options.check_window()?;
        return window::open(window::Start::What(what), options);
    }
    let source = what.source()?;
    let model = source.checkpoint().cloned();
    if options.checkpoint_info {
        let model = model.ok_or("--checkpoint-info: expected a model, found a capture")?;
        println!("{}", serde_json::to_string_pretty(&model.describe())?);
        return Ok(());
    }
    let out = options.out.clone().unwrap_or_else(|| "out".into());
    // Before anything is read.
    if let Some(model) = model.as_ref().and_then(|model| model.describe().model) {
        options.gallery().check_model(&model)?;
    }
    let terminal = Terminal::new();
    if options.out.is_none() {
        terminal.say(format!("no display: plots go to {}", out.display()));
    }
    let folder = out.join("capture");
    let read = source.open(Some(&folder), &terminal)?;
    if !read.complete {
        terminal.say(format!(
            "stopped: {} holds the {} finished sequences; open them with --open {0}",
            folder.display(),
            read.capture.sequences().len()
        ));
        return Ok(());
    }
    headless::write(read, model.as_ref(), options, &out, &terminal)
}
