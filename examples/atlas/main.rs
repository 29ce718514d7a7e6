//! The main job, end to end: from a checkpoint and a text file (or a folder of pictures) to the picture of every attention
//! head, as files or in a window.
//!
//! ```sh
//! cargo run --release --example atlas                                        # the embedded models
//! cargo run --release --example atlas -- --model DIR --text FILE             # a window, where there is a display
//! cargo run --release --example atlas -- --model DIR --images DIR --out DIR  # matrix.png, head-L-H.png, ..., atlas.json
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

#[path = "../common/mod.rs"]
mod common;
mod options;
mod pictures;
mod window;

use std::{error::Error, ops::ControlFlow, path::Path, process::ExitCode, sync::mpsc, thread};

use attn_sdk::{
    Progress, Study,
    core::{Capture, ModelInfo, Sequence, Side, Token},
    embedded::{self, Embedded},
    models::{CaptureOutcome, Capturer, Checkpoint, Picture, read_lines, split_lines},
    project::{AtlasCache, AtlasOptions, atlas_with},
};
use clap::Parser;
use common::Terminal;
use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    common::run(|| run(&options))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    if options.checkpoint_info {
        let info = options.checkpoint()?.describe();
        println!("{}", serde_json::to_string_pretty(&info)?);
        return Ok(());
    }
    let terminal = Terminal::new();
    let window = options.out.is_none() && has_display();
    let out = options.out.clone().unwrap_or_else(|| "out".into());
    if options.out.is_none() && !window {
        terminal.say(format!("no display: pictures go to {}", out.display()));
    }
    let (capture, capturer) = match &options.open {
        Some(folder) => (Capture::open(folder)?, None),
        None => {
            let folder = out.join("capture");
            let capturer = Capturer::load(&options.checkpoint()?)?;
            let outcome = capture(&capturer, options, &folder, &terminal)?;
            if !outcome.complete {
                let done = outcome.capture.sequences().len();
                terminal.say(format!(
                    "stopped: {} holds the {done} sequences that were finished; look at them with --open {0}",
                    folder.display()
                ));
                return Ok(());
            }
            (outcome.capture, Some(capturer))
        }
    };
    note_cuts(&capture, &terminal);
    let parameters = options.atlas();
    // Finished heads are kept beside the capture: a projection that was stopped goes on where it was.
    let cache = AtlasCache::beside(&capture).unwrap_or_else(|error| {
        terminal.say(format!("note: projections are not kept: {error}"));
        None
    });
    if !window {
        let kept = AtlasOptions {
            cache: cache.as_ref(),
            ..AtlasOptions::default()
        };
        let study = Study::project_with(capture, &parameters, kept, &terminal)?;
        return pictures::write(&study, capturer.as_ref(), options, &out, &terminal);
    }
    // The window opens at once; heads come in while one watches.
    let study = Study::new(capture.clone(), &parameters)?;
    let (sender, heads) = mpsc::channel();
    thread::spawn(move || {
        let closed = |_: &str, _: usize, _: usize| ControlFlow::Continue(());
        let kept = AtlasOptions {
            cache: cache.as_ref(),
            ..AtlasOptions::default()
        };
        let projected = atlas_with(
            &capture,
            &parameters,
            kept,
            &|head| drop(sender.send(head)),
            &closed as &dyn Progress,
        );
        if let Err(error) = projected {
            eprintln!("error: {error}");
        }
    });
    window::open(study, options.view(), heads)
}

/// Runs the model over the chosen or the default input.
fn capture(
    capturer: &Capturer,
    options: &Options,
    folder: &Path,
    terminal: &Terminal,
) -> Result<CaptureOutcome, Box<dyn Error>> {
    let outcome = match (&options.text, &options.images) {
        (Some(text), _) => capturer.text(&read_lines(text)?, Some(folder), terminal)?,
        (None, _) if options.ids.is_some() => {
            let path = options.ids.as_deref().unwrap_or_else(|| Path::new(""));
            capturer.sequences(sequences_of_ids(capturer.model().info(), path)?, Some(folder), terminal)?
        }
        (_, Some(images)) => capturer.pictures(&common::pictures_in(images)?, Some(folder), terminal)?,
        (None, None) if capturer.model().vision().is_some() => {
            let pictures = embedded::PICTURES
                .iter()
                .map(|(name, bytes)| Picture::Memory((*name).into(), (*bytes).into()));
            capturer.pictures(&pictures.collect::<Vec<_>>(), Some(folder), terminal)?
        }
        (None, None) if options.embedded == Some(Embedded::Dates) => {
            let text: String = embedded::dates().take(200).flat_map(|line| [line, "\n"]).collect();
            capturer.text(
                &split_lines(text.as_bytes(), Path::new("embedded dates"))?,
                Some(folder),
                terminal,
            )?
        }
        (None, None) => {
            let text: String = embedded::sentences().flat_map(|line| [line, "\n"]).collect();
            capturer.text(
                &split_lines(text.as_bytes(), Path::new("embedded sentences"))?,
                Some(folder),
                terminal,
            )?
        }
    };
    Ok(outcome)
}

/// Lines of token ids as sequences.
fn sequences_of_ids(model: &ModelInfo, path: &Path) -> Result<Vec<Sequence>, Box<dyn Error>> {
    let mut sequences = Vec::new();
    for line in read_lines(path)? {
        let token = |(position, text): (usize, &str)| {
            let id = text.parse().map_err(|_| {
                format!(
                    "{}, line {}: expected token ids, found `{text}`",
                    path.display(),
                    line.number
                )
            })?;
            Ok::<Token, String>(Token {
                text: text.into(),
                id: Some(id),
                position,
                ..Token::default()
            })
        };
        let tokens = line
            .text
            .split_whitespace()
            .enumerate()
            .map(token)
            .collect::<Result<_, _>>()?;
        let mut sequence = Sequence {
            name: format!("line {}", line.number),
            ..Sequence::default()
        };
        match model.attentions.first().map(|info| info.attention.query_side()) {
            Some(Side::Decoder) => sequence.decoder = tokens,
            _ => sequence.encoder = tokens,
        }
        sequences.push(sequence);
    }
    Ok(sequences)
}

impl Options {
    fn checkpoint(&self) -> Result<Checkpoint, Box<dyn Error>> {
        match (&self.model, self.embedded) {
            (Some(folder), _) => Ok(Checkpoint::open(folder)?),
            (None, embedded) => Ok(embedded.unwrap_or(Embedded::TextEncoder).checkpoint()?),
        }
    }
}

/// Says which sequences are longer than the model takes.
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
            "note: {} of {} sequences were cut to{most} tokens, {} ({} tokens) the first of them",
            cut.len(),
            capture.sequences().len(),
            first.name,
            first.cut_from.unwrap_or_default(),
        ));
    }
}

/// Whether a window can be opened. Only X11 and Wayland need a variable to say so.
fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_vendor = "apple"))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
