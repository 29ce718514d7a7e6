//! The GPU's t-SNE beside the CPU's: the same divergence, neighbourhoods kept as well.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by failing, and shows how close it was"
)]

mod common;

use attn_project::{
    Dims, Embedding, Method, Metric, Neighbors, QualityParams, TsneParams, UmapParams, project, quality,
};
use attn_project_gpu::Gpu;
use common::{cloud, groups};
use ndarray::Array2;

fn trustworthiness(points: &Array2<f32>, embedding: &Embedding) -> f32 {
    let params = QualityParams::default();
    let found = quality(points.view(), embedding.points.view(), Metric::Euclidean, &params, &()).unwrap();
    found.trustworthiness.value
}

fn compare(points: &Array2<f32>, dims: Dims, params: TsneParams) {
    let gpu = Gpu::headless().unwrap();
    let method = Method::Tsne(params);
    let here = gpu
        .project(points.view(), &method, dims, Metric::Euclidean, 1, &())
        .unwrap();
    let there = project(points.view(), &method, dims, Metric::Euclidean, 1, &()).unwrap();
    assert_eq!(here.points.dim(), there.points.dim());
    assert_eq!((here.perplexity, &here.warnings), (there.perplexity, &there.warnings));
    let (kl, reference) = (here.kl_divergence.unwrap(), there.kl_divergence.unwrap());
    let ratio = kl / reference;
    let kept = [&here, &there].map(|embedding| trustworthiness(points, embedding));
    println!(
        "{:?} {dims:?}: KL {kl} GPU, {reference} CPU; trustworthiness {kept:?}",
        points.dim()
    );
    assert!((ratio - 1.0).abs() < 0.015, "{kl} {reference}");
    assert!((kept[0] - kept[1]).abs() < 0.005, "{kept:?}");
    let mean = here.points.mean_axis(ndarray::Axis(0)).unwrap();
    assert!(mean.iter().all(|x| x.abs() < 1e-3), "{mean}");
}

#[test]
fn as_good_as_the_cpu_in_the_plane() {
    compare(&groups(350, 16, 7), Dims::Two, TsneParams::default());
    compare(&groups(1000, 24, 12), Dims::Two, TsneParams::default());
}

#[test]
fn as_good_as_the_cpu_in_space() {
    compare(&groups(600, 16, 9), Dims::Three, TsneParams::default());
}

#[test]
#[ignore = "minutes on a software rasteriser"]
fn as_good_as_the_cpu_at_two_thousand_points() {
    for dims in [Dims::Two, Dims::Three] {
        compare(&cloud(2000, 32, 4), dims, TsneParams::default());
    }
}

#[test]
fn follows_the_cpu_step_by_step_at_first() {
    // Below 400 points of the plane the CPU sums all pairs too, and nearly all in space with this `theta`: only rounding
    // differs, until chance has had time to grow.
    let points = groups(200, 10, 4);
    let params = TsneParams {
        perplexity: 10.0,
        theta: 0.01,
        exaggerated_iterations: 12,
        iterations: 12,
        ..TsneParams::default()
    };
    let method = Method::Tsne(params);
    let gpu = Gpu::headless().unwrap();
    for dims in [Dims::Two, Dims::Three] {
        let here = gpu
            .project(points.view(), &method, dims, Metric::Cosine, 3, &())
            .unwrap();
        let there = project(points.view(), &method, dims, Metric::Cosine, 3, &()).unwrap();
        let size = there.points.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let error = (&here.points - &there.points)
            .iter()
            .fold(0.0f32, |most, x| most.max(x.abs()));
        println!("{dims:?}: {error} of {size}");
        assert!(error < 1e-3 * size, "{dims:?}: {error} of {size}");
    }
}

#[test]
fn the_same_bits_again() {
    let points = groups(300, 8, 5);
    let params = TsneParams {
        exaggerated_iterations: 30,
        iterations: 30,
        ..TsneParams::default()
    };
    let gpu = Gpu::headless().unwrap();
    for dims in [Dims::Two, Dims::Three] {
        let run = |seed| {
            let method = Method::Tsne(params);
            gpu.project(points.view(), &method, dims, Metric::Euclidean, seed, &())
                .unwrap()
        };
        let five = run(5);
        assert_eq!(five, run(5));
        assert_ne!(five, run(6));
    }
}

#[test]
fn the_other_methods_are_those_of_the_cpu() {
    let points = groups(200, 8, 5);
    let gpu = Gpu::headless().unwrap();
    let umap = UmapParams {
        epochs: Some(20),
        ..UmapParams::default()
    };
    for method in [Method::Pca, Method::Umap(umap)] {
        let here = gpu
            .project(points.view(), &method, Dims::Two, Metric::Cosine, 1, &())
            .unwrap();
        assert_eq!(
            here,
            project(points.view(), &method, Dims::Two, Metric::Cosine, 1, &()).unwrap()
        );
    }
}

#[test]
fn groups_stay_groups() {
    let points = groups(300, 8, 6);
    let gpu = Gpu::headless().unwrap();
    let found = gpu
        .project(points.view(), &Method::default(), Dims::Two, Metric::Euclidean, 1, &())
        .unwrap();
    let neighbors = Neighbors::exact(found.points.view(), 10, Metric::Euclidean, &()).unwrap();
    let pure = (0..300)
        .filter(|&i| neighbors.indices(i).iter().all(|&j| j as usize % 6 == i % 6))
        .count();
    assert!(pure > 295, "{pure}");
}

#[test]
fn a_host_may_send_the_work_to_another_thread() {
    fn send<T: Send>(work: T) -> T {
        work
    }
    let points = groups(40, 8, 6);
    let gpu = Gpu::headless().unwrap();
    let method = Method::Pca;
    let work = send(gpu.project_async(points.view(), &method, Dims::Two, Metric::Euclidean, 1, &()));
    let found = std::thread::scope(|scope| scope.spawn(|| pollster::block_on(work)).join().unwrap()).unwrap();
    assert_eq!(found.points.dim(), (40, 2));
}
