//! Exact neighbors and t-SNE on the GPU beside the CPU, at the same sizes in one run.
//!
//! Only a real GPU's figures mean anything: without one a single small size shows that the bench works.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

use attn_project::{
    Dims, Neighbors, Projector,
    metric::Euclidean,
    tsne::{Tsne, TsneParams},
};
use attn_project_gpu::Gpu;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ndarray::Array2;

const WIDTH: usize = 64;
const K: usize = 90;

/// Twenty groups of points, the same in every run.
fn cloud(n: usize) -> Array2<f32> {
    let wave = |i: usize, c: usize| ((i * (2 * c + 3)) as f32 * 0.618).sin();
    Array2::from_shape_fn((n, WIDTH), |(i, c)| {
        3.0 * wave(i % 20 + 1, c) + wave(i + 100, c) * wave(i * 7 + 13, c + 5)
    })
}

fn benches(c: &mut Criterion) {
    let gpu = Gpu::headless().unwrap();
    let device = gpu.adapter();
    let (sizes, params): (&[usize], _) = if gpu.is_software() {
        let short = TsneParams {
            exaggerated_iterations: 20,
            iterations: 20,
            ..TsneParams::default()
        };
        (&[2_000], short)
    } else {
        (&[10_112, 100_000], TsneParams::default())
    };
    for &n in sizes {
        let points = cloud(n);
        let mut group = c.benchmark_group(format!("{n}x{WIDTH}"));
        group.sample_size(10);
        let on = |what: &str, place: &str| BenchmarkId::new(what.to_owned(), place);
        group.bench_function(on("exact neighbors, k = 90", &device), |b| {
            b.iter(|| gpu.neighbors(points.view(), K, Euclidean, &()).unwrap());
        });
        group.bench_function(on("exact neighbors, k = 90", "CPU"), |b| {
            b.iter(|| Neighbors::exact(points.view(), K, Euclidean, &()).unwrap());
        });
        let neighbors = gpu.neighbors(points.view(), K, Euclidean, &()).unwrap();
        for dims in [Dims::Two, Dims::Three] {
            let projector = Projector::new(Tsne::new(params).unwrap()).dims(dims);
            let what = format!("t-SNE {}D without neighbors", dims.count());
            group.bench_function(on(&what, &device), |b| {
                b.iter(|| gpu.fit(&projector, (points.view(), &neighbors), &()).unwrap());
            });
            group.bench_function(on(&what, "CPU"), |b| {
                b.iter(|| projector.fit((points.view(), &neighbors), &()).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
