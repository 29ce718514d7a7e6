//! The smallest program: load, capture, project, draw.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

use attn_sdk::{
    Study,
    embedded::{self, sentences},
    models::Capturer,
    project::AtlasParams,
    render::{Headless, View},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A folder would be `Checkpoint::open("bert-base-uncased")?`.
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;

    // Queries, keys and values of every head, for every line.
    let capture = capturer.capture_lines(sentences().take(100))?;

    // Queries and keys of each head in one plane, such that near means attended.
    let study = Study::project(capture, &AtlasParams::default(), &())?;

    // All heads at once, on a device of its own; in your own window a `Renderer` draws the same scene.
    let view = View::default();
    let picture = Headless::new()?.render(&study.matrix(&view, None)?, &view, 2.0)?;
    picture.write_png("hello_attention.png")?;
    println!(
        "hello_attention.png: {} heads, best first: {:?}",
        study.heads().count(),
        &study.ranking()[..3]
    );
    Ok(())
}
