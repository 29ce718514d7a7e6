//! Neighbours, projections, their quality and the placement of a sentence, on the cloud of one head: 10,112 points in 64
//! dimensions; neighbours and PCA also at 100,000 points, PCA also at 4,096 dimensions. The maps of 144 and of 1,024 heads by distances.
//!
//! docs/PERFORMANCE.md sets the results beside openTSNE, umap-learn, scikit-learn and faiss, and names the limits. All heads
//! of a model: `cargo run --release -p attn-project --example heads`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

mod common;

use attn_project::{
    ApproximateParams, Dims, FittedProjection, Mds, Method, Metric, Neighbors, Pca, QualityParams, TsneParams,
    UmapParams, ndarray::Array2, project, quality,
};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};

const POINTS: usize = 10_112;
/// Tokens of the sentence that is placed.
const SENTENCE: usize = 30;

fn one_head(c: &mut Criterion) {
    let points = common::cloud(POINTS, 64, 1);
    let mut group = c.benchmark_group("10112x64");
    group.sample_size(10);
    for k in [15, 90] {
        group.bench_function(format!("exact neighbours, k = {k}"), |b| {
            b.iter(|| Neighbors::exact(points.view(), k, Metric::Euclidean, &()).unwrap());
        });
    }
    group.bench_function("approximate neighbours, k = 90", |b| {
        let params = ApproximateParams::default();
        b.iter(|| Neighbors::approximate(points.view(), 90, Metric::Euclidean, &params, &()).unwrap());
    });
    let methods = [
        ("PCA", Method::Pca),
        ("UMAP", Method::Umap(UmapParams::default())),
        ("t-SNE", Method::Tsne(TsneParams::default())),
    ];
    for (name, method) in &methods {
        for dims in [Dims::Two, Dims::Three] {
            group.bench_function(format!("{name} {}D", dims.count()), |b| {
                b.iter(|| project(points.view(), method, dims, Metric::Euclidean, 0, &()).unwrap());
            });
        }
    }
    let embedding = project(points.view(), &Method::Pca, Dims::Two, Metric::Euclidean, 0, &()).unwrap();
    group.bench_function("quality of 1,000 sampled points", |b| {
        let params = QualityParams {
            exact_up_to: 0,
            sample: 1_000,
            ..QualityParams::default()
        };
        b.iter(|| quality(points.view(), embedding.points.view(), Metric::Euclidean, &params, &()).unwrap());
    });
    let sentence = common::cloud(SENTENCE, 64, 2);
    for (name, method) in &methods {
        for dims in [Dims::Two, Dims::Three] {
            let fitted = FittedProjection::fit(points.view(), method, dims, Metric::Euclidean, 0, &()).unwrap();
            group.bench_function(format!("a sentence placed, {name} {}D", dims.count()), |b| {
                b.iter(|| fitted.transform(sentence.view(), &()).unwrap());
            });
        }
    }
    group.finish();
}

fn many_points(c: &mut Criterion) {
    let points = common::cloud(100_000, 64, 1);
    let mut group = c.benchmark_group("100000x64");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.bench_function("PCA 2D", |b| {
        b.iter(|| project(points.view(), &Method::Pca, Dims::Two, Metric::Euclidean, 0, &()).unwrap());
    });
    group.bench_function("approximate neighbours, k = 90", |b| {
        let params = ApproximateParams::default();
        b.iter(|| Neighbors::approximate(points.view(), 90, Metric::Euclidean, &params, &()).unwrap());
    });
    group.bench_function("exact neighbours, k = 90", |b| {
        b.iter(|| Neighbors::exact(points.view(), 90, Metric::Euclidean, &()).unwrap());
    });
    group.finish();
}

fn wide_points(c: &mut Criterion) {
    let points = common::cloud(2_000, 4_096, 1);
    let mut group = c.benchmark_group("2000x4096");
    group.sample_size(10);
    group.bench_function("randomised PCA, 2 components", |b| {
        b.iter(|| Pca::fit_randomized(points.view(), 2, 0, &()).unwrap());
    });
    group.finish();
}

/// Heads by their distances: those of BERT-base, and of a model of 32 layers of 32 heads.
fn maps(c: &mut Criterion) {
    let mut group = c.benchmark_group("map of distances");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for heads in [144, 1_024] {
        let points = common::cloud(heads, 6, 1);
        let distances = Array2::from_shape_fn((heads, heads), |(a, b)| {
            let apart = &points.row(a) - &points.row(b);
            apart.dot(&apart).sqrt()
        });
        group.bench_function(format!("{heads} heads"), |b| {
            b.iter(|| Mds::fit(distances.view(), Dims::Two, &()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(all, one_head, many_points, wide_points, maps);
criterion_main!(all);
