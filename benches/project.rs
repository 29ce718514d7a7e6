//! Neighbours, projections and their quality on the cloud of one head: 10,112 points in 64 dimensions.
//!
//! docs/PERFORMANCE.md sets the results beside openTSNE, umap-learn, scikit-learn and faiss.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to report"
)]

mod common;

use attn_project::{
    ApproximateParams, Dims, Method, Metric, Neighbors, QualityParams, TsneParams, UmapParams, project, quality,
};
use criterion::{Criterion, criterion_group, criterion_main};

const POINTS: usize = 10_112;

fn benches(c: &mut Criterion) {
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
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
