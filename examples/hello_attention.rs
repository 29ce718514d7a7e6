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
    render::{ViewState, write_plot},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A folder would be `Checkpoint::open("bert-base-uncased")?`.
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;

    // Queries, keys and values of every head, for every line.
    let capture = capturer.capture_lines(sentences().take(100))?;

    // Queries and keys of each head in one plane, and how far near means attended there.
    let study = Study::project(capture, &AtlasParams::default())?;

    // All heads at once, on a device of its own; `.svg` would be a drawing, `.csv` the numbers. In your own window a `Renderer`
    // draws the same plot.
    let state = ViewState::default();
    write_plot(&study.matrix(&state)?, &state, "hello_attention.png")?;
    println!(
        "hello_attention.png: {} heads, best first: {:?}",
        study.heads().count(),
        &study.ranking()[..3]
    );
    Ok(())
}
