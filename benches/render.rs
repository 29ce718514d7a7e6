//! The matrix of 12 x 12 heads with 10,112 points each: building the scene, the first frame with its upload, a steady frame after a
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
    Headless, View,
    views::{Coordinates, Matrix, MatrixPanel},
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

criterion_group!(all, benches);
criterion_main!(all);
