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

mod against;
mod checkpoints;
mod detail;
mod experiment;
mod export;
mod filter;
mod guest;
mod help;
mod inset;
mod open;
mod options;
mod pictures;
mod side;
mod source;
mod summary;
mod weighting;
mod window;
mod work;

use std::{error::Error, process::ExitCode};

use attn_sdk::{
    Study,
    core::Capture,
    project::atlas::{AtlasCache, AtlasOptions},
};
use clap::Parser;
use examples_common::Terminal;
use options::Options;
use source::Source;

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(&options))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let source = options.source();
    let model = source.model().cloned();
    if options.checkpoint_info {
        let Source::Model { model, .. } = &source else {
            return Err("--checkpoint-info: expected a model, found a capture".into());
        };
        println!("{}", serde_json::to_string_pretty(&model.checkpoint()?.describe())?);
        return Ok(());
    }
    let out = options.out.clone().unwrap_or_else(|| "out".into());
    if options.out.is_none() && examples_common::has_display() {
        return window::open(source, options, out);
    }
    let terminal = Terminal::new();
    if options.out.is_none() {
        terminal.say(format!("no display: plots go to {}", out.display()));
    }
    let folder = out.join("capture");
    let read = source.read(Some(&folder), &terminal)?;
    if !read.complete {
        terminal.say(format!(
            "stopped: {} holds the {} finished sequences; open them with --open {0}",
            folder.display(),
            read.capture.sequences().len()
        ));
        return Ok(());
    }
    for note in &read.notes {
        terminal.say(format!("note: {note}"));
    }
    note_cuts(&read.capture, &terminal);
    if !read.later.is_empty() {
        return checkpoints::write(read, options, &out, &terminal);
    }
    // Finished heads are cached beside the capture, so that a stopped projection resumes.
    let cache = AtlasCache::beside(&read.capture).unwrap_or_else(|error| {
        terminal.say(format!("note: projections are not cached: {error}"));
        None
    });
    let kept = AtlasOptions {
        cache: cache.as_ref(),
        ..AtlasOptions::default()
    };
    let mut study = Study::project_with(read.capture, &options.atlas(), kept, &terminal)?;
    read.columns
        .into_iter()
        .try_for_each(|column| study.add_column(column))?;
    study.set_filter(options.filter())?;
    study.set_weighting(weighting::of(&options.weighting, read.capturer.as_ref())?);
    let heads = pictures::chosen(&study, options)?;
    pictures::write(&study, read.capturer.as_ref(), options, &heads, &out, &terminal)?;
    if let Some(model) = model {
        for control in &options.control {
            against::write(&study, &model, *control, options, &out, &terminal)?;
        }
    }
    Ok(())
}

/// Notes which sequences were truncated to the model's limit.
fn note_cuts(capture: &Capture, terminal: &Terminal) {
    let cut: Vec<_> = capture
        .sequences()
        .iter()
        .filter(|sequence| sequence.cut_from.is_some())
        .collect();
    if let Some(first) = cut.first() {
        let most = capture
            .model()
            .max_tokens
            .map_or_else(String::new, |most| format!(" the model's {most}"));
        terminal.say(format!(
            "note: {} of {} sequences were truncated to{most} tokens; the first is {} ({} tokens)",
            cut.len(),
            capture.sequences().len(),
            first.name,
            first.cut_from.unwrap_or_default(),
        ));
    }
}
