//! Neighbors, projections, their quality and the placement of a sentence, on the cloud of one head: 10,112 points in 64
//! dimensions; neighbors and PCA also at 100,000 points, PCA also at 4,096 dimensions. The maps of 144 and of 1,024 heads by distances.
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
    Dims, FittedProjection, Method, Neighbors, Projector,
    mds::DistanceMap,
    metric::Euclidean,
    ndarray::Array2,
    neighbors::ApproximateParams,
    pca::{Components, Pca},
    quality::{QualityParams, quality},
    tsne::Tsne,
    umap::Umap,
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
        group.bench_function(format!("exact neighbors, k = {k}"), |b| {
            b.iter(|| Neighbors::exact(points.view(), k, Euclidean, &()).unwrap());
        });
    }
    group.bench_function("approximate neighbors, k = 90", |b| {
        let params = ApproximateParams::default();
        b.iter(|| Neighbors::approximate(points.view(), 90, Euclidean, &params, &()).unwrap());
    });
    let methods = [
        ("PCA", Method::from(Pca)),
        ("UMAP", Umap::default().into()),
        ("t-SNE", Tsne::default().into()),
    ];
    for (name, method) in &methods {
        for dims in [Dims::Two, Dims::Three] {
            let projector = Projector::new(method).dims(dims);
            group.bench_function(format!("{name} {}D", dims.count()), |b| {
                b.iter(|| projector.fit(points.view(), &()).unwrap());
            });
        }
    }
    let embedding = Projector::new(Pca).fit(points.view(), &()).unwrap();
    group.bench_function("quality of 1,000 sampled points", |b| {
        let params = QualityParams {
            exact_up_to: 0,
            sample: 1_000,
            ..QualityParams::default()
        };
        b.iter(|| quality(points.view(), embedding.points.view(), Euclidean, &params, &()).unwrap());
    });
    let sentence = common::cloud(SENTENCE, 64, 2);
    for (name, method) in &methods {
        for dims in [Dims::Two, Dims::Three] {
            let fitted = FittedProjection::fit(points.view(), &Projector::new(method).dims(dims), &()).unwrap();
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
        b.iter(|| Projector::new(Pca).fit(points.view(), &()).unwrap());
    });
    group.bench_function("approximate neighbors, k = 90", |b| {
        let params = ApproximateParams::default();
        b.iter(|| Neighbors::approximate(points.view(), 90, Euclidean, &params, &()).unwrap());
    });
    group.bench_function("exact neighbors, k = 90", |b| {
        b.iter(|| Neighbors::exact(points.view(), 90, Euclidean, &()).unwrap());
    });
    group.finish();
}

fn wide_points(c: &mut Criterion) {
    let points = common::cloud(2_000, 4_096, 1);
    let mut group = c.benchmark_group("2000x4096");
    group.sample_size(10);
    group.bench_function("randomized PCA, 2 components", |b| {
        b.iter(|| Components::fit_randomized(points.view(), 2, 0, &()).unwrap());
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
            b.iter(|| DistanceMap::fit(distances.view(), Dims::Two, &()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(all, one_head, many_points, wide_points, maps);
criterion_main!(all);
