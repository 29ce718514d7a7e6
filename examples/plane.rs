//! Compares projections by what holds in the picture: how many queries lie nearest to the key that they attend to most, the rank
//! correlation of distance and attention there, and how faithful the layout is. docs/PROJECTION.md has its tables.
//!
//! ```sh
//! cargo run --release --example plane -- --embedded text-encoder --method pca --method tsne --method attention
//! cargo run --release --example plane -- --capture my-capture --method '{"attention": {"share": 0.7}}' --scale balance
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::{error::Error, path::PathBuf, process::ExitCode, time::Instant};

use attn_sdk::{
    core::{Capture, HeadId},
    embedded,
    models::Checkpoint,
    project::{
        AtlasParams, HeadProjection, Method,
        atlas::project_head,
        head::ScaleChoice,
        method::Methods,
        serde_json::{self, Value},
    },
    study::source::{Data, Source},
};
use clap::Parser;
use examples_common::Terminal;

/// Compares projections by what holds in the picture.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Folder of a capture
    #[arg(long, value_name = "CAPTURE", conflicts_with_all = ["embedded", "model"])]
    capture: Option<PathBuf>,
    /// An embedded model with its data [default: text-encoder]
    #[arg(long, value_name = "NAME")]
    embedded: Option<String>,
    /// Folder of a model
    #[arg(long, value_name = "DIR", conflicts_with = "embedded")]
    model: Option<PathBuf>,
    /// Text for it, a sequence per line [default: the embedded sentences, or images]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// A method by its key, or as JSON with its parameters; repeatable
    #[arg(long, value_name = "METHOD", default_values = ["pca", "tsne", "attention", "umap"])]
    method: Vec<String>,
    /// How queries and keys are balanced: plane, correlation, balance or none; repeatable
    #[arg(long, value_name = "CHOICE", default_values = ["plane"])]
    scale: Vec<String>,
    /// Most points of a head
    #[arg(long, value_name = "N", default_value_t = 6000)]
    max_points: usize,
    /// Projects only every Nth head
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Prints a line per head too
    #[arg(long)]
    heads: bool,
    /// Seed of samples and projections
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| compare(&options))
}

fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let capture = open(options, &terminal)?;
    let heads: Vec<HeadId> = capture.model().heads().step_by(options.every.max(1)).collect();
    println!("{}, {} heads", capture.model().name, heads.len());
    println!(
        "| method | c by | nearest is attended | chance | ρ in the plane | ρ in full space | T | C | kept | s per head |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for scale in &options.scale {
        let choice: ScaleChoice = serde_json::from_value(Value::String(scale.clone()))?;
        for method in &options.method {
            let params = AtlasParams {
                method: read(method)?,
                scale: choice,
                max_points: Some(options.max_points),
                seed: options.seed,
                ..AtlasParams::default()
            };
            let start = Instant::now();
            let found = heads
                .iter()
                .map(|&head| project_head(&capture, head, &params, &terminal));
            let found = found.collect::<Result<Vec<_>, _>>()?;
            let seconds = start.elapsed().as_secs_f64() / heads.len().max(1) as f64;
            if options.heads {
                for head in &found {
                    let (plane, c) = (&head.plane, head.normalization.scale);
                    println!(
                        "{} {:?} {:?} {:?} {:?} c {c}",
                        head.head, plane.nearest, plane.chance, plane.correlation.value, head.correlation.value
                    );
                }
            }
            let mean = |value: &dyn Fn(&HeadProjection) -> Option<f32>| {
                let values: Vec<f32> = found.iter().filter_map(value).collect();
                values.iter().sum::<f32>() / values.len().max(1) as f32
            };
            println!(
                "| {method} | {scale} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {seconds:.1} |",
                mean(&|head| head.plane.nearest),
                mean(&|head| head.plane.chance),
                mean(&|head| head.plane.correlation.value),
                mean(&|head| head.correlation.value),
                mean(&|head| Some(head.quality.as_ref()?.trustworthiness.value)),
                mean(&|head| Some(head.quality.as_ref()?.continuity.value)),
                mean(&|head| Some(head.quality.as_ref()?.neighbors_kept.value)),
            );
        }
    }
    Ok(())
}

fn read(method: &str) -> Result<Method, Box<dyn Error>> {
    let methods = Methods::builtin();
    Ok(match method.starts_with('{') {
        true => methods.read(&serde_json::from_str(method)?)?,
        false => methods.get(method)?,
    })
}

fn open(options: &Options, terminal: &Terminal) -> Result<Capture, Box<dyn Error>> {
    if let Some(folder) = &options.capture {
        return Ok(Capture::open(folder)?);
    }
    let checkpoint = match (&options.model, &options.embedded) {
        (Some(folder), _) => Checkpoint::open(folder)?,
        (None, name) => embedded::find(name.as_deref().unwrap_or("text-encoder"))
            .ok_or("no embedded model of this name")?
            .checkpoint()?,
    };
    let lines: Vec<String> = match &options.text {
        Some(file) => std::fs::read_to_string(file)?.lines().map(str::to_owned).collect(),
        None => embedded::sentences().map(str::to_owned).collect(),
    };
    let images = embedded::IMAGES.iter().map(Into::into).collect();
    let data = Data::TextOrImages(Box::new(Data::lines(lines)), Box::new(Data::Images(images)));
    Ok(Source::Model { checkpoint, data }.open(None, terminal)?.capture)
}
