//! `seq2seq index`: keeps the states of a model over pairs.

use std::{error::Error, path::PathBuf};

use attn_sdk::{
    Progress, embedded,
    project::{Method, Projector, metric::Cosine},
    study::decoding::{Decoder, Fingerprint, IndexParams, IndexSearch, Pair, Pairs, StateIndex},
};
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use crate::options;

/// What finds neighbors.
#[derive(Clone, Copy, ValueEnum)]
enum Search {
    /// Cells over mapped states: little memory, opens at once
    Cells,
    /// A graph of hnsw_rs: all states in memory
    Graph,
}

/// Keeps the states of a model over pairs of source and target, so that neighbors are found among them.
#[derive(Args, Clone)]
pub(crate) struct IndexOptions {
    /// Folder or hub name of a model that writes [default: the embedded date model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Pairs: SOURCE TAB TARGET per line, .jsonl with `source` and `target`, or a file of sources and one of targets [default for the
    /// embedded model: its dates]
    #[arg(long, value_name = "FILE", num_args = 1..=2)]
    pairs: Vec<PathBuf>,
    /// Folder of the index. A build that was stopped goes on there
    #[arg(long, value_name = "INDEX")]
    out: PathBuf,
    /// What finds neighbors
    #[arg(long, value_enum, default_value = "cells")]
    search: Search,
    /// Share of the 20 nearest states that cells have to find, above 0, at most 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.98)]
    recall: f32,
    /// Projection of the map: pca, tsne, umap, mds
    #[arg(long, value_name = "METHOD", default_value = "umap")]
    projection: String,
    /// States that the map is fitted on
    #[arg(long, value_name = "N", default_value_t = 3000)]
    map_states: usize,
    /// Language of the sources: its code or its token
    #[arg(long, value_name = "TOKEN")]
    source_language: Option<String>,
    /// Language of the targets: its code or its token
    #[arg(long, value_name = "TOKEN")]
    target_language: Option<String>,
    /// Seed of cells and map
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Builds or opens the index; gives what it says of itself, a line each.
pub(crate) fn run(options: &IndexOptions, progress: &dyn Progress) -> Result<Vec<String>, Box<dyn Error>> {
    let pairs = match (options.pairs.as_slice(), &options.model) {
        ([], None) => dates(),
        ([], Some(_)) => return Err("expected --pairs FILE, found none".into()),
        (files, _) => Pairs::read(files)?,
    };
    let checkpoint = options::checkpoint(options.model.as_deref())?;
    let decoder = Decoder::load(&checkpoint)?;
    let mut params = decoder.params();
    if let Some(language) = &options.target_language {
        decoder.set_target_language(&mut params.generation, language)?;
    }
    if let Some(language) = &options.source_language {
        params.source_language = Some(decoder.language(language)?);
    }
    let method: Method = options.projection.parse()?;
    let settings = IndexParams {
        search: match options.search {
            Search::Cells => IndexSearch::Cells,
            Search::Graph => IndexSearch::Graph,
        },
        recall: options.recall,
        projector: Projector::new(method).metric(Cosine).seed(options.seed),
        map_states: options.map_states,
        seed: options.seed,
    };
    let fingerprint = Fingerprint::of(&checkpoint)?;
    let index = StateIndex::build(
        &decoder,
        &params,
        &fingerprint,
        &pairs,
        &settings,
        &options.out,
        progress,
    )?;
    let description = index.description();
    let pairs = match description.pairs {
        1 => "1 pair".to_owned(),
        some => format!("{some} pairs"),
    };
    let mut lines = vec![format!("{}: {pairs}", options.out.display())];
    for own in &description.kinds {
        let cells = own.cells.map_or(String::new(), |(all, probes)| {
            format!(", {probes} of {all} cells per query")
        });
        lines.push(format!(
            "{}: {} states of width {}, recall@20 {:.3}{cells}",
            own.kind, own.states, own.columns, own.recall
        ));
    }
    lines.push(match description.map_states {
        0 => "no map: too few states".to_owned(),
        states => format!("map: fitted on {states} states"),
    });
    if description.skipped_count > 0 {
        lines.push(format!("{} lines left out:", description.skipped_count));
        lines.extend(description.skipped.iter().map(|why| format!("- {why}")));
    }
    Ok(lines)
}

/// An index of the embedded dates, in a folder that goes with it: what the window has for the embedded model.
pub(crate) fn of_dates(progress: &dyn Progress) -> Result<(StateIndex, TempDir), Box<dyn Error>> {
    let (folder, checkpoint) = (TempDir::new()?, options::checkpoint(None)?);
    let decoder = Decoder::load(&checkpoint)?;
    let index = StateIndex::build(
        &decoder,
        &decoder.params(),
        &Fingerprint::of(&checkpoint)?,
        &dates(),
        &IndexParams::default(),
        folder.path(),
        progress,
    )?;
    Ok((index, folder))
}

/// The embedded dates.
fn dates() -> Pairs {
    let pair = |(line, text): (usize, &str)| {
        let (source, target) = text.split_once('\t')?;
        Some(Pair {
            line,
            source: source.to_owned(),
            target: target.to_owned(),
        })
    };
    Pairs {
        pairs: (1..).zip(embedded::dates()).filter_map(pair).collect(),
        errors: Vec::new(),
    }
}
