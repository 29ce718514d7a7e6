//! Latencies of the atlas: the first head of a model and its data, and a typed sentence in every head, by a model of MiniLM's
//! shape (6 layers x 12 heads, 384 wide) with 300 sequences of 11 to 25 tokens; and a picture in every head of the embedded vision model
//! among 24 others.
//!
//! docs/PERFORMANCE.md names the limits.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

use attn_models::{Capturer, Gradients, Model, Weights};
use attn_project::{AtlasParams, HeadProjection, atlas::project_head};
use attn_sdk::{
    Study,
    core::{Capture, HeadId, Sequence, Token},
    embedded::{self, IMAGES},
    study::placed::Placer,
};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use rayon::prelude::*;

const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 30522, "hidden_size": 384, "num_hidden_layers": 6,
    "num_attention_heads": 12, "intermediate_size": 1536, "max_position_embeddings": 512, "architectures": ["BertModel"]}"#;

/// Tokens of Zipf-like frequency.
fn sequence(number: usize) -> Sequence {
    let token = |position: usize| {
        let draw = (number * 7919 + position * 104_729) % 9973;
        Token {
            text: "x".into(),
            id: u32::try_from(30_000 / (1 + draw)).ok(),
            position,
            ..Token::default()
        }
    };
    Sequence {
        name: format!("line {number}"),
        encoder: (0..11 + number * 7 % 21).map(token).collect(),
        ..Sequence::default()
    }
}

fn params() -> AtlasParams {
    AtlasParams {
        max_points: Some(6_000),
        ..AtlasParams::default()
    }
}

fn waiting(c: &mut Criterion) {
    let model = Model::build("MiniLM shape", CONFIG, &Weights::initialize(1), Gradients::Off).unwrap();
    let capturer = Capturer::new(model);
    let read =
        |range: std::ops::Range<usize>| -> Capture { capturer.sequences(range.map(sequence)).run().unwrap().capture };
    let mut group = c.benchmark_group("atlas");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let heads: Vec<HeadId> = capturer.model().info().heads().collect();
    group.bench_function("first head of 300 sequences", |b| {
        b.iter(|| project_head(&read(0..300), heads[0], &params(), &()).unwrap());
    });

    // One head's picture stands for all: what a placement costs does not depend on it.
    let capture = read(0..300);
    let first = project_head(&capture, heads[0], &params(), &()).unwrap();
    let mut study = Study::new(capture, &params());
    for &head in &heads {
        study.insert(HeadProjection { head, ..first.clone() });
    }
    group.bench_function("what places sentences, in 72 heads", |b| {
        b.iter(|| placers(&study, &heads));
    });
    let placers = placers(&study, &heads);
    group.bench_function("a sentence of 18 tokens, read and placed in 72 heads", |b| {
        b.iter(|| {
            let typed = read(301..302);
            let place = |placer: &Placer| placer.place(&typed, 0, &()).unwrap();
            placers.par_iter().map(place).collect::<Vec<_>>()
        });
    });
    let capturer = Capturer::load(&embedded::VISION.checkpoint().unwrap()).unwrap();
    let capture = capturer.capture_images(IMAGES).unwrap();
    let study = Study::project(capture, &params()).unwrap();
    let heads: Vec<HeadId> = study.heads().map(|head| head.head).collect();
    let placers = self::placers(&study, &heads);
    let name = format!("a picture, read and placed in {} heads", heads.len());
    group.bench_function(name, |b| {
        b.iter(|| {
            let dropped = capturer.capture_images(&IMAGES[..1]).unwrap();
            let place = |placer: &Placer| placer.place(&dropped, 0, &()).unwrap();
            placers.par_iter().map(place).collect::<Vec<_>>()
        });
    });
    group.finish();
}

fn placers(study: &Study, heads: &[HeadId]) -> Vec<Placer> {
    heads.par_iter().map(|head| study.placer(*head, &()).unwrap()).collect()
}

criterion_group!(all, waiting);
criterion_main!(all);
