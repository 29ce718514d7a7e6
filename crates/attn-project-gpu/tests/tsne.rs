//! The GPU's t-SNE beside the CPU's: the same divergence, neighborhoods kept as well.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by failing, and shows how close it was"
)]

mod common;

use attn_project::{
    Dims, Embedding, Method, Neighbors, Projector,
    metric::{Cosine, Euclidean},
    pca::Pca,
    quality::{QualityParams, quality},
    tsne::{KL_DIVERGENCE, PERPLEXITY, Tsne, TsneParams},
    umap::{Umap, UmapParams},
};
use attn_project_gpu::Gpu;
use common::{cloud, groups};
use ndarray::Array2;

fn trustworthiness(points: &Array2<f32>, embedding: &Embedding) -> f32 {
    let params = QualityParams::default();
    let found = quality(points.view(), embedding.points.view(), Euclidean, &params, &()).unwrap();
    found.trustworthiness.value
}

fn compare(points: &Array2<f32>, dims: Dims, params: TsneParams) {
    let gpu = Gpu::headless().unwrap();
    let projector = Projector::new(Tsne::new(params).unwrap()).dims(dims).seed(1);
    let here = gpu.fit(&projector, points.view(), &()).unwrap();
    let there = projector.fit(points.view(), &()).unwrap();
    assert_eq!(here.points.dim(), there.points.dim());
    let perplexity = |of: &Embedding| of.diagnostic(PERPLEXITY).unwrap().to_vec();
    assert_eq!(
        (perplexity(&here), &here.warnings),
        (perplexity(&there), &there.warnings)
    );
    let divergence = |of: &Embedding| of.diagnostic(KL_DIVERGENCE).unwrap()[0];
    let (kl, reference) = (divergence(&here), divergence(&there));
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
#[ignore = "minutes on a software rasterizer"]
fn as_good_as_the_cpu_at_two_thousand_points() {
    for dims in [Dims::Two, Dims::Three] {
        compare(&cloud(2000, 32, 4), dims, TsneParams::default());
    }
}

#[test]
fn follows_the_cpu_step_by_step_at_first() {
    // Below 400 points of the plane the CPU sums all pairs too, and nearly all in space with this `theta`: only
    // rounding differs, until chance has had time to grow.
    let points = groups(200, 10, 4);
    let params = TsneParams {
        perplexity: 10.0,
        theta: 0.01,
        exaggerated_iterations: 12,
        iterations: 12,
        ..TsneParams::default()
    };
    let gpu = Gpu::headless().unwrap();
    for dims in [Dims::Two, Dims::Three] {
        let projector = Projector::new(Tsne::new(params).unwrap())
            .dims(dims)
            .metric(Cosine)
            .seed(3);
        let here = gpu.fit(&projector, points.view(), &()).unwrap();
        let there = projector.fit(points.view(), &()).unwrap();
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
            let projector = Projector::new(Tsne::new(params).unwrap()).dims(dims).seed(seed);
            gpu.fit(&projector, points.view(), &()).unwrap()
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
    for method in [Method::from(Pca), Umap::new(umap).unwrap().into()] {
        let projector = Projector::new(method).metric(Cosine).seed(1);
        let here = gpu.fit(&projector, points.view(), &()).unwrap();
        assert_eq!(here, projector.fit(points.view(), &()).unwrap());
    }
}

#[test]
fn groups_stay_groups() {
    let points = groups(300, 8, 6);
    let gpu = Gpu::headless().unwrap();
    let found = gpu.fit(&Projector::default().seed(1), points.view(), &()).unwrap();
    let neighbors = Neighbors::exact(found.points.view(), 10, Euclidean, &()).unwrap();
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
    let projector = Projector::new(Pca);
    let work = send(gpu.fit_async(&projector, points.view(), &()));
    let found = std::thread::scope(|scope| scope.spawn(|| pollster::block_on(work)).join().unwrap()).unwrap();
    assert_eq!(found.points.dim(), (40, 2));
}
