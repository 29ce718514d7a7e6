//! Decodings: a beam search with everything captured against the search alone, an index of states built and queried, and the scene
//! of a large beam tree, which is made in every frame.
//!
//! `DECODING_STATES=1000000 DECODING_WIDTH=512` asks for neighbors among other numbers of states than 100,000 of width 256.
//! docs/PERFORMANCE.md sets the results beside their limits.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has nothing to report"
)]

use std::time::Instant;

use attn_sdk::{
    core::Rng,
    embedded,
    models::{Inputs, generate::Generator},
    project::neighbors::{HalfCells, HalfCellsParams, HalfExact, HalfRows, NeighborSearch},
    render::{Plot, ViewState},
    study::decoding::{
        BeamEntry, Comparison, Decoder, Decoding, EntryFate, Fingerprint, FlowParams, HeadChoice, IndexParams,
        NeighborhoodParams, Pair, Pairs, Shift, StateIndex,
    },
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;

const SOURCE: &str = "September 21, 2000";
const EDITED: &str = "September 22, 2000";

/// A search of 16 beams over 200 steps as the generator keeps it: 32 expansions a step, of beams at random, half of them pruned.
fn large_tree(decoding: &Decoding) -> Decoding {
    let mut rng = Rng::new(3, &[]);
    let mut beam: Vec<BeamEntry> = Vec::new();
    let mut running: Vec<Option<usize>> = vec![None; 16];
    for step in 0..200 {
        let mut next = Vec::new();
        for at in 0..32 {
            let fate = if at < 16 { EntryFate::Kept } else { EntryFate::Pruned };
            if fate == EntryFate::Kept {
                next.push(Some(beam.len()));
            }
            beam.push(BeamEntry {
                parent: running[rng.below(16)],
                token: "word".into(),
                id: 1,
                step,
                log_probability: -0.5,
                total: -0.5 * (step + 1) as f32,
                fate,
            });
        }
        running = next;
    }
    let mut large = decoding.clone();
    large.hypotheses[0].nodes = running[..1].iter().flatten().copied().collect();
    large.beam = beam;
    large
}

fn decodings(c: &mut Criterion) {
    let decoder = Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
    let mut params = decoder.params();
    params.generation.beams = 4;
    params.shares = 0;
    let ids = decoder.tokenizer().prompt(SOURCE, decoder.model().info()).unwrap();
    let inputs = Inputs::from_ids(&[ids], 0).unwrap();
    let decoding = decoder.decode(SOURCE, &params, &()).unwrap();
    let mut group = c.benchmark_group("decoding");
    group.sample_size(20);
    group.bench_function("4 beams, the search alone", |b| {
        let generator = Generator::new(decoder.model(), &decoding.params.generation).unwrap();
        b.iter(|| generator.run(&inputs, &mut (), &()).unwrap());
    });
    group.bench_function("4 beams, with predictions, attention and states", |b| {
        b.iter(|| decoder.decode(SOURCE, &params, &()).unwrap());
    });
    params.shares = 1;
    group.bench_function("4 beams, with source shares too", |b| {
        b.iter(|| decoder.decode(SOURCE, &params, &()).unwrap());
    });
    // What an edit in a window waits for: the run, how it compares with the one before, and the views of both in the middle.
    let flow = |run: &Decoding| {
        let plot = run.flow(0, &FlowParams::default()).unwrap();
        plot.scene(&ViewState::default(), plot.natural_size()).unwrap()
    };
    group.bench_function("an edited source: run, comparison and attention flow of both", |b| {
        b.iter(|| {
            let after = decoder.decode(EDITED, &params, &()).unwrap();
            let compared = Comparison::new((&decoding, 0), (&after, 0), &HeadChoice::All, Shift::Predicted).unwrap();
            (compared, flow(&decoding), flow(&after))
        });
    });
    let large = large_tree(&decoding);
    let tree = large.beam_tree(1.0, true).0;
    println!("beam tree: {} entries, {} nodes", large.beam.len(), tree.nodes.len());
    group.bench_function("beam tree of 6,400 entries, its scene", |b| {
        b.iter(|| tree.scene(&ViewState::default(), tree.natural_size()).unwrap());
    });
    group.finish();
}

/// A number from the environment.
fn setting((name, default): (&str, usize)) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn indexes(c: &mut Criterion) {
    let checkpoint = embedded::DATES.checkpoint().unwrap();
    let decoder = Decoder::load(&checkpoint).unwrap();
    let (params, fingerprint) = (decoder.params(), Fingerprint::of(&checkpoint).unwrap());
    let pair = |(line, text): (usize, &str)| {
        let (source, target) = text.split_once('\t')?;
        let (source, target) = (source.to_owned(), target.to_owned());
        Some(Pair { line, source, target })
    };
    let pairs = Pairs {
        pairs: (1..).zip(embedded::dates()).filter_map(pair).take(1000).collect(),
        errors: Vec::new(),
    };
    let settings = IndexParams {
        map_states: 600,
        ..IndexParams::default()
    };
    let build = |folder: &std::path::Path| {
        StateIndex::build(&decoder, &params, &fingerprint, &pairs, &settings, folder, &()).unwrap()
    };
    let kept = tempfile::tempdir().unwrap();
    let index = build(kept.path());
    let states: usize = index.description().kinds.iter().map(|own| own.states).sum();
    let mut group = c.benchmark_group("index");
    group.sample_size(10);
    group.throughput(Throughput::Elements(states as u64));
    group.bench_function("1,000 dates: states, cells and map", |b| {
        b.iter(|| build(tempfile::tempdir().unwrap().path()));
    });
    group.bench_function("opened again", |b| {
        b.iter(|| StateIndex::open(kept.path(), &()).unwrap())
    });
    let run = decoder.decode(SOURCE, &params, &()).unwrap();
    group.bench_function("100 neighbors of every state of a run, and their places", |b| {
        b.iter(|| {
            index
                .neighborhood(&run, 0, &NeighborhoodParams::default(), &())
                .unwrap()
        });
    });

    // Rows around some directions, as states are.
    let mut rng = Rng::new(1, &[]);
    let [count, width] = [("DECODING_STATES", 100_000), ("DECODING_WIDTH", 256)].map(setting);
    let what = |how: &str| format!("100 neighbors among {count} states of width {width}, {how}");
    let directions = Array2::from_shape_fn((2000, width), |_| rng.normal() as f32);
    let mut bytes = Vec::new();
    for _ in 0..count {
        let own = directions.row(rng.below(2000));
        let row: Vec<f32> = own.iter().map(|x| x + 0.7 * rng.normal() as f32).collect();
        HalfRows::encode(&row, &mut bytes);
    }
    let rows = HalfRows::new(bytes.into(), width).unwrap();
    let query = rows.select([77]);
    let start = Instant::now();
    let cells = HalfCells::new(rows.clone(), &HalfCellsParams::default(), &()).unwrap();
    println!(
        "cells of {count} states of width {width}: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    group.throughput(Throughput::Elements(1));
    group.bench_function(what("cells"), |b| {
        b.iter(|| cells.query(query.view(), 100, &()).unwrap());
    });
    group.bench_function(what("exact"), |b| {
        b.iter(|| HalfExact(rows.clone()).query(query.view(), 100, &()).unwrap());
    });
    group.finish();
}

criterion_group!(all, decodings, indexes);
criterion_main!(all);
