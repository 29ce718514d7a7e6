//! What a person waits for: vector drawings, finding the point under the cursor and what a lasso holds among 1.5 million points,
//! and the matrix of 12 x 12 heads with 10,112 points each: building the scene, the first frame with its upload, a steady frame after a
//! camera move.
//!
//! Run on the software rasteriser these are worst cases: what counts is the ratio to the bare draw in docs/PERFORMANCE.md.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

mod common;

use attn_core::{Attention, HeadId};
use attn_render::{
    Area, Headless, Picker, Projection, SvgOptions, View, svg,
    views::{Coordinates, Head, Matrix, MatrixPanel, Sentence, SentenceToken},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const SIDE: usize = 12;
const POINTS: usize = 10_112;

fn benches(c: &mut Criterion) {
    let clouds: Vec<Vec<f32>> = (0..SIDE * SIDE)
        .map(|i| common::cloud(POINTS, 2, i as u64).into_raw_vec_and_offset().0)
        .collect();
    let panels = clouds.iter().enumerate().map(|(i, cloud)| MatrixPanel {
        head: HeadId::new(Attention::EncoderSelf, i / SIDE, i % SIDE),
        coordinates: Coordinates::new(cloud, 2).unwrap(),
        queries: POINTS / 2,
        values: None,
        labels: &[],
        note: String::new(),
    });
    let matrix = Matrix {
        title: "12 x 12",
        panels: panels.collect(),
        ..Matrix::default()
    };
    let mut view = View::default();
    let size = [1200.0, 1300.0];
    let scene = matrix.scene(&view, size).unwrap();

    let mut group = c.benchmark_group("12x12x10112");
    group.sample_size(10);
    group.bench_function("scene", |b| b.iter(|| matrix.scene(&view, size).unwrap()));
    group.bench_function("first frame", |b| {
        let new = || Headless::new().unwrap();
        b.iter_batched(
            new,
            |mut headless| headless.draw_frame(&scene, &View::default(), 1.0).unwrap(),
            BatchSize::PerIteration,
        );
    });
    let mut headless = Headless::new().unwrap();
    headless.draw_frame(&scene, &view, 1.0).unwrap();
    group.bench_function("steady frame", |b| {
        b.iter(|| {
            // A camera that moves, as under a hand.
            view.stage.center[0] = 1.0 - view.stage.center[0] + 1e-3;
            headless.draw_frame(&scene, &view, 1.0).unwrap();
        });
    });
    group.finish();
}

/// One panel of 1,500,000 points, the index built.
fn picking(c: &mut Criterion) {
    let cloud = common::cloud(1_500_000, 2, 3);
    let coordinates = Coordinates::new(cloud.as_slice().unwrap(), 2).unwrap();
    let head = Head::new(HeadId::new(Attention::EncoderSelf, 0, 0), coordinates, 750_000);
    let view = View::default();
    let size = [1200.0, 1000.0];
    let scene = head.scene(&view, size).unwrap();
    let projection = Projection::new(&scene, &view, size);
    let panel = projection.panels[1].rect;
    let mut picker = Picker::default();
    picker.hit(&scene, &projection, panel.center(), 8.0);
    let mut group = c.benchmark_group("1500000 points");
    let mut step = 0_u16;
    group.bench_function("point under the cursor", |b| {
        b.iter(|| {
            // All over the panel, its crowds included.
            step = step.wrapping_add(1);
            let at = [
                panel.min[0] + panel.width() * f32::from(step % 101) / 101.0,
                panel.min[1] + panel.height() * f32::from(step % 97) / 97.0,
            ];
            picker.hit(&scene, &projection, at, 8.0)
        });
    });
    let [x, y] = panel.center();
    let lasso = Area::Lasso(
        (0..40_u8)
            .map(|i| {
                let (sin, cos) = (f32::from(i) / 40.0 * std::f32::consts::TAU).sin_cos();
                [x + 120.0 * cos, y + 80.0 * sin]
            })
            .collect(),
    );
    group.sample_size(10);
    group.bench_function("lasso", |b| b.iter(|| picker.within(&scene, &projection, 1, &lasso)));
    group.finish();
}

fn drawings(c: &mut Criterion) {
    let words = "the old keeper of the light house said that the ship would come before the storm".split(' ');
    let tokens: Vec<SentenceToken<'_>> = words.map(|text| SentenceToken { text, special: false }).collect();
    let count = tokens.len();
    let attention = vec![1.0 / count as f32; count * count];
    let id = HeadId::new(Attention::EncoderSelf, 0, 0);
    let sentence = Sentence::new(id, &tokens, &tokens, &attention);
    let view = View::default();
    let options = SvgOptions::default();
    let mut group = c.benchmark_group("svg");
    group.bench_function("sentence", |b| {
        b.iter(|| {
            let scene = sentence.scene(&view, sentence.natural_size()).unwrap();
            svg(&scene, &view, &options).unwrap()
        });
    });
    let cloud = common::cloud(POINTS, 2, 3);
    let head = Head::new(id, Coordinates::new(cloud.as_slice().unwrap(), 2).unwrap(), POINTS / 2);
    let scene = head.scene(&view, [900.0, 800.0]).unwrap();
    group.bench_function("head of 10112 points", |b| {
        b.iter(|| svg(&scene, &view, &options).unwrap())
    });
    group.finish();
}

criterion_group!(all, drawings, picking, benches);
criterion_main!(all);
