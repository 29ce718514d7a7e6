//! Runs text, images or sounds through a model and keeps queries, keys and values of every head in a folder that every view opens
//! (docs/CAPTURE.md has the schema).
//!
//! ```sh
//! cargo run --release --example capture -- --model bert-base-uncased --text sentences.txt --out my-capture
//! ```
//!
//! With `--inputs` and `--raw` it feeds exactly the given tensors and writes what the model computed under plain names
//! (`x.0.self.q`, `x.0.self.attn`, `x.hidden.0`, `logits`, ...), so that any model can be compared with its reference implementation
//! from outside.

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::{error::Error, path::PathBuf, process::ExitCode};

use attn_sdk::{
    core::{
        Side,
        capture::{CaptureOptions, Precision},
        text::{Dataset, TextFormat, TextParams},
    },
    models::{
        Capturer, Checkpoint, Model,
        capture::cut_notes,
        images::images_in,
        record::{read_inputs, run_raw, write_tensors},
        sounds::sounds_in,
    },
};
use clap::Parser;
use examples_common::Terminal;

/// Captures queries, keys and values of every head.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Folder of the model, GGUF file, or name in the local cache of the hub
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Text, which CLIP and SigLIP read with their text tower: one sequence per line (.txt); or .csv, .tsv, .jsonl, .ndjson, .json, .conllu or .conllup
    #[arg(long, value_name = "FILE", requires = "out")]
    text: Option<PathBuf>,
    /// Format of the text, whatever the file's name: lines, csv, tsv, jsonl, json, conllu, conllup or word-tag
    #[arg(long, value_name = "FORMAT", requires = "text")]
    text_format: Option<TextFormat>,
    /// Folder of images
    #[arg(long, value_name = "DIR", requires = "out", conflicts_with = "text")]
    images: Option<PathBuf>,
    /// Folder of sounds (WAV), with transcripts in NAME.txt beside NAME.wav
    #[arg(long, value_name = "DIR", requires = "out", conflicts_with_all = ["text", "images"])]
    sounds: Option<PathBuf>,
    /// Folder to write the capture to; an interrupted capture of the same goes on
    #[arg(long, value_name = "CAPTURE")]
    out: Option<PathBuf>,
    /// Keep hidden states too
    #[arg(long)]
    hidden: bool,
    /// Keep hidden states alone, without queries, keys and values: enough for latent concepts
    #[arg(long, conflicts_with = "hidden")]
    states: bool,
    /// Keep logits over the vocabulary too
    #[arg(long)]
    logits: bool,
    /// Store 16-bit floats: half the size
    #[arg(long)]
    half: bool,
    /// Input tensors to feed as they are
    #[arg(long, value_name = "IN.safetensors", requires = "raw", conflicts_with_all = ["text", "images", "sounds", "out"])]
    inputs: Option<PathBuf>,
    /// Where to write every tensor of that run
    #[arg(long, value_name = "OUT.safetensors", requires = "inputs")]
    raw: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| capture(&options))
}

fn capture(options: &Options) -> Result<(), Box<dyn Error>> {
    let checkpoint = Checkpoint::open(&options.model)?;
    if let (Some(inputs), Some(raw)) = (&options.inputs, &options.raw) {
        let model = Model::load(&checkpoint)?;
        say_notes(&model);
        let tensors = run_raw(&model, &read_inputs(inputs)?)?;
        write_tensors(raw, &tensors)?;
        println!("{}: {} tensors", raw.display(), tensors.len());
        return Ok(());
    }
    let Some(out) = &options.out else {
        return Err(
            "nothing to do: give --text FILE, --images DIR or --sounds DIR with --out CAPTURE, or --inputs with --raw"
                .into(),
        );
    };
    let terminal = Terminal::new();
    let precision = if options.half { Precision::F16 } else { Precision::F32 };
    let tower = options.text.as_ref().map(|_| checkpoint.text_tower()).transpose()?;
    let capturer = Capturer::load(&tower.flatten().unwrap_or(checkpoint))?.with_options(CaptureOptions {
        precision,
        attention: !options.states,
        hidden: options.hidden || options.states,
        logits: options.logits,
    });
    say_notes(capturer.model());
    let run = match (&options.text, &options.images) {
        (Some(text), _) => {
            let params = TextParams {
                format: options.text_format,
                ..TextParams::default()
            };
            let data = Dataset::read(text, &params)?;
            for note in &data.notes {
                terminal.say(format!("note: {note}"));
            }
            capturer.lines(data.lines)
        }
        (_, Some(images)) => capturer.images(images_in(images)?),
        _ => match &options.sounds {
            Some(sounds) => capturer.sounds(sounds_in(sounds)?),
            None => return Err("give --text FILE, --images DIR or --sounds DIR".into()),
        },
    };
    let outcome = run.to_folder(out).progress(&terminal).run()?;
    let capture = outcome.capture;
    for note in outcome.notes.into_iter().chain(cut_notes(capture.sequences())) {
        terminal.say(format!("note: {note}"));
    }
    let tokens = capture.tokens(Side::Encoder) + capture.tokens(Side::Decoder);
    println!(
        "{}: {} sequences, {tokens} tokens, {} heads",
        out.display(),
        capture.sequences().len(),
        capture.model().heads().count()
    );
    if !outcome.complete {
        println!("stopped early: the capture holds what was finished and can be used as it is");
    }
    Ok(())
}

/// What the model runs without.
fn say_notes(model: &Model) {
    let terminal = Terminal::new();
    for note in model.notes() {
        terminal.say(format!("note: the model {note}"));
    }
}
