//! An index of the states of many translations: built, opened again, asked; and what it takes of memory and disk.
//!
//! `STATES_PAIRS=100000 STATES_WIDTH=512` makes about a million states of every kind (encoder, decoder, cross-attention), which is
//! what docs/PERFORMANCE.md reports. The model has random weights, whose states cost the same.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has nothing to report"
)]

#[path = "common/cost.rs"]
mod cost;

use std::{fs, path::Path};

use attn_models::{Checkpoint, Gradients, Model, Weights, candle::DType};
use attn_sdk::{
    embedded,
    study::decoding::{Decoder, Fingerprint, IndexParams, NeighborhoodParams, Pair, Pairs, StateIndex},
};
use cost::measured;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The model of dates with one wide layer on each side.
fn checkpoint(folder: &Path, width: usize) -> Checkpoint {
    let mut config: serde_json::Value = serde_json::from_slice(embedded::DATES.config).unwrap();
    for (key, value) in [
        ("d_model", width),
        ("encoder_layers", 1),
        ("decoder_layers", 1),
        ("encoder_ffn_dim", width),
        ("decoder_ffn_dim", width),
    ] {
        config[key] = value.into();
    }
    let (config, weights) = (config.to_string(), Weights::initialize(1));
    Model::build("wide", &config, &weights, Gradients::Off).unwrap();
    weights.save(folder.join("model.safetensors"), DType::F32).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
    fs::write(folder.join("tokenizer.json"), embedded::DATES.tokenizer.unwrap()).unwrap();
    Checkpoint::open(folder).unwrap()
}

/// Dates, no two alike up to 302,400.
fn pairs(count: usize) -> Pairs {
    let pair = |at: usize| {
        let (day, month, year) = (at % 28 + 1, at / 28 % 12, 1200 + at / 336 % 900);
        Pair {
            line: at + 1,
            source: format!("{} {day}, {year}", MONTHS[month]),
            target: format!("{year}-{:02}-{day:02}", month + 1),
        }
    };
    Pairs {
        pairs: (0..count).map(pair).collect(),
        errors: Vec::new(),
    }
}

/// Resident memory of this process in MiB: pages of its own, and pages of mapped files, which the system may drop.
fn resident() -> [f64; 2] {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["RssAnon:", "RssFile:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        number.unwrap_or(0.0) / 1024.0
    })
}

fn main() {
    let (count, width) = (setting("STATES_PAIRS", 2_000), setting("STATES_WIDTH", 128));
    let (model, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let checkpoint = checkpoint(model.path(), width);
    let decoder = Decoder::load(&checkpoint).unwrap();
    let (params, fingerprint) = (decoder.params(), Fingerprint::of(&checkpoint).unwrap());
    let (pairs, index) = (pairs(count), IndexParams::default());
    let [cpu, wall] = measured(|| {
        StateIndex::build(&decoder, &params, &fingerprint, &pairs, &index, kept.path(), &()).unwrap();
    });
    println!("built from {count} pairs at width {width}: {wall:.1} s, {cpu:.1} CPU s");

    let before = resident();
    let mut opened = None;
    let [cpu, wall] = measured(|| opened = Some(StateIndex::open(kept.path(), &()).unwrap()));
    let index = opened.unwrap();
    let after = resident();
    for own in &index.description().kinds {
        println!("{:?}: {} states, recall {:.4}", own.kind, own.states, own.recall);
    }
    let files = fs::read_dir(kept.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len());
    println!("files: {:.0} MiB", files.sum::<u64>() as f64 / (1 << 20) as f64);
    println!(
        "opened again: {wall:.2} s, {cpu:.2} CPU s; {:.0} MiB of its own, {:.0} MiB of mapped files",
        after[0] - before[0],
        after[1] - before[1]
    );

    // The first run reads the map and touches most pages of the files.
    for source in ["March 5, 1723", "May 21, 1850", "August 13, 1402", "June 27, 2011"] {
        let run = decoder.decode(source, &params, &()).unwrap();
        let mut states = 0;
        let times = measured(|| {
            let found = index
                .neighborhood(&run, 0, &NeighborhoodParams::default(), &())
                .unwrap();
            states = found.states.len();
        });
        let [cpu, wall] = times.map(|seconds| 1e3 * seconds / states.max(1) as f64);
        println!("neighbors of {states} states of a run: {wall:.2} ms each, {cpu:.2} CPU ms");
    }
}
