//! Latent concepts: what words each layer of a model holds together, and how far that is what people have names for.
//!
//! ```sh
//! cargo run --release --example concepts                                                  # the embedded encoder, in a window
//! cargo run --release --example concepts -- --model DIR --tags en_ewt-ud-dev.conllu --out DIR
//! cargo run --release --example concepts -- --model BASE --model-after FINE-TUNED --tags FILE.conllu --out DIR
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod browser;
mod canvas;
#[path = "../common/mod.rs"]
mod common;
mod explain;
mod pictures;
mod report;
mod study;

use std::{error::Error, path::PathBuf, process::ExitCode};

use attn_sdk::{
    analyze::concepts::{AlignOptions, FrequencyFilter, TaggedText},
    render::{Theme, View},
};
use clap::Parser;
use common::Terminal;
use study::Corpus;

/// Clusters the words of every layer and compares them with labels.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    /// The model's folder [default: the embedded text encoder]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// A second model of the same words, for example the first one fine-tuned: what survives, what is new
    #[arg(long, value_name = "DIR")]
    model_after: Option<PathBuf>,
    /// Annotated text: CoNLL-U if the name ends in .conllu, else lines of word_tag [default: the embedded sentences]
    #[arg(long, value_name = "FILE")]
    tags: Option<PathBuf>,
    /// What stands between word and tag
    #[arg(long, default_value_t = '_')]
    separator: char,
    /// Columns of CoNLL-U to compare with [default: upos,deprel; of the embedded sentences upos,misc.Class]
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
    /// Key of a comment that labels sentences (# sentiment = positive), if the file has it
    #[arg(long, default_value = "sentiment")]
    classes: String,
    /// Layers, from 0 for the embeddings [default: all]
    #[arg(long, value_delimiter = ',')]
    layers: Vec<usize>,
    /// Clusters per layer [default: 600, or a tenth of the words if that is less]
    #[arg(long, value_name = "K")]
    clusters: Option<usize>,
    /// Share of a cluster that must have the label
    #[arg(long, default_value_t = AlignOptions::default().threshold)]
    threshold: f64,
    /// Words that occur less often are left out
    #[arg(long, default_value_t = 5)]
    at_least: usize,
    /// Occurrences of a word at most, drawn by the seed
    #[arg(long, default_value_t = 20)]
    at_most: usize,
    /// The first so many sentences
    #[arg(long, value_name = "N")]
    max_sentences: Option<usize>,
    /// Also clusters by k-means and by leaders, and says how far they agree with Ward
    #[arg(long)]
    methods: bool,
    /// If the model is a classifier: the sentence, from 1, whose prediction is told in terms of clusters
    #[arg(long, value_name = "N", default_value_t = 1)]
    explain: usize,
    /// Same seed, same result
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where concepts.json, report.md and the pictures go [default: a window, or out/concepts without a display]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Writes each picture as a vector drawing too
    #[arg(long)]
    svg: bool,
    /// On a dark ground
    #[arg(long)]
    dark: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    common::run(|| run(&options))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let out = match &options.out {
        None if common::has_display() => None,
        None => Some(PathBuf::from("out/concepts")),
        out => out.clone(),
    };
    if let Some(out) = &out {
        std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    let corpus = read(options)?;
    let study = study::run(options, &corpus, &terminal)?;
    let view = View {
        theme: if options.dark { Theme::Dark } else { Theme::Light },
        ..View::default()
    };
    let Some(out) = out else {
        return browser::open(study, corpus, view);
    };
    let json = serde_json::to_vec_pretty(&study)?;
    attn_sdk::core::write_atomically(&out.join("concepts.json"), &json)?;
    let text = report::markdown(&study, &corpus);
    attn_sdk::core::write_atomically(&out.join("report.md"), text.as_bytes())?;
    pictures::write(&study, &out, &view, options.svg, &terminal)?;
    for line in report::summary(&study) {
        println!("{line}");
    }
    println!("{}", out.join("report.md").display());
    Ok(())
}

/// The annotated text, cut to what was asked for.
fn read(options: &Options) -> Result<Corpus, Box<dyn Error>> {
    let columns = |default: &[&'static str]| -> Vec<String> {
        match options.columns.as_slice() {
            [] => default.iter().map(|&name| name.to_owned()).collect(),
            named => named.to_vec(),
        }
    };
    let conllu = |content: &str, place: &str, columns: &[String]| {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        TaggedText::conllu(content, place, &columns)
    };
    let mut text = match &options.tags {
        None => {
            let embedded = include_str!("../../models/data/sentences.conllu");
            conllu(embedded, "embedded sentences", &columns(&["upos", "misc.Class"]))?
        }
        Some(path) => {
            let content = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let place = path.display().to_string();
            if path.extension().is_some_and(|extension| extension == "conllu") {
                conllu(&content, &place, &columns(&["upos", "deprel"]))?
            } else {
                TaggedText::word_tag(&content, &place, options.separator)?
            }
        }
    };
    if let Some(most) = options.max_sentences {
        text.truncate(most);
    }
    Ok(Corpus {
        text,
        filter: FrequencyFilter {
            at_least: options.at_least,
            at_most: Some(options.at_most),
            seed: Some(options.seed),
            ..FrequencyFilter::default()
        },
    })
}
