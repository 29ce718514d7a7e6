//! Clusters of words: Ward linkage, k-means, leaders and the scorer.
//!
//! `CONCEPTS_POINTS` sets the number of points (default 2,000, which is quick). Beyond 20,000 only Ward runs, once:
//! `CONCEPTS_POINTS=50000 cargo bench --bench concepts` takes minutes. docs/PERFORMANCE.md has figures beside fastcluster.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has nothing to report"
)]

mod common;

use attn_sdk::analyze::concepts::{AlignParams, KMeansParams, LabelSet, Units, align, k_means, leaders, ward};
use criterion::{Criterion, criterion_group};

const DIMS: usize = 768;

/// Above this, ten samples of anything would take hours.
const MOST: usize = 20_000;

fn count() -> usize {
    let count = std::env::var("CONCEPTS_POINTS")
        .ok()
        .and_then(|count| count.parse().ok());
    count.unwrap_or(2_000)
}

fn benches(c: &mut Criterion) {
    let count = count();
    let points = common::cloud(count, DIMS, 1);
    let clusters = (count / 16).max(1);
    let mut group = c.benchmark_group(format!("{count}x{DIMS}"));
    group.sample_size(10);
    group.bench_function("Ward", |b| b.iter(|| ward(points.view(), None, &()).unwrap()));
    group.bench_function("leaders", |b| b.iter(|| leaders(points.view(), None, 0, &()).unwrap()));
    for (name, batch) in [("k-means", None), ("k-means in mini-batches", Some(500))] {
        let options = KMeansParams {
            clusters,
            batch,
            ..KMeansParams::default()
        };
        group.bench_function(name, |b| b.iter(|| k_means(points.view(), &options, &()).unwrap()));
    }
    let partition = ward(points.view(), None, &()).unwrap().cut(clusters).unwrap();
    let types: Vec<String> = (0..count).map(|at| (at % 997).to_string()).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let units = Units::of_types(&types);
    let labels = LabelSet::new("tag", (0..count).map(|at| vec![["A", "B", "C"][at % 3]]));
    group.bench_function("scorer with 20 permutations", |b| {
        b.iter(|| align(&partition, &labels, &units, &AlignParams::default(), &()).unwrap());
    });
    group.finish();
}

criterion_group!(clustering, benches);

fn main() {
    if count() > MOST {
        let points = common::cloud(count(), DIMS, 1);
        let start = std::time::Instant::now();
        let tree = ward(points.view(), None, &()).unwrap();
        let total: f64 = tree.merges().iter().map(|merge| merge.height).sum();
        let seconds = start.elapsed().as_secs_f64();
        println!("{}x{DIMS}/Ward: {seconds:.1} s, sum of heights {total:.3}", count());
        return;
    }
    clustering();
    Criterion::default().configure_from_args().final_summary();
}
