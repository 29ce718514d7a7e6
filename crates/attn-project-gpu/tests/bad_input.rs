//! Whatever comes in, `attn-project`'s typed errors or a finite layout come out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use attn_project::{
    Dims, Method, Neighbors, Projector,
    metric::{Cosine, Distance, Euclidean},
    pca::Pca,
    tsne::{KL_DIVERGENCE, Tsne, TsneParams},
    umap::Umap,
};
use attn_project_gpu::{Error, Gpu, wgpu};
use common::{METRICS, cloud};
use ndarray::Array2;

/// The same words as the CPU's.
fn same(found: &Error, expected: &attn_project::Error) -> bool {
    matches!(found, Error::Project(error) if error.to_string() == expected.to_string())
}

#[test]
fn bad_input_is_refused_as_on_the_cpu() {
    let gpu = Gpu::headless().unwrap();
    let methods = [Method::from(Pca), Method::default(), Umap::default().into()];
    let mut poisoned = cloud(30, 4, 1);
    poisoned[[4, 2]] = f32::INFINITY;
    let clouds = [
        cloud(0, 3, 1),
        cloud(1, 3, 1),
        cloud(3, 3, 1),
        Array2::zeros((9, 0)),
        poisoned,
        cloud(30, 4, 1),
    ];
    for points in &clouds {
        let good = points.dim() == (30, 4) && points[[4, 2]].is_finite();
        for method in methods.iter().filter(|_| !good) {
            for dims in [Dims::Two, Dims::Three] {
                let projector = Projector::new(method).dims(dims).metric(Cosine).seed(1);
                let Err(expected) = projector.fit(points.view(), &()) else {
                    continue;
                };
                let found = gpu.fit(&projector, points.view(), &()).unwrap_err();
                assert!(
                    same(&found, &expected),
                    "{method:?} {:?}: {found} | {expected}",
                    points.dim()
                );
            }
        }
        for k in [0, 1, 30] {
            if let Err(expected) = Neighbors::exact(points.view(), k, Cosine, &()) {
                let found = gpu.neighbors(points.view(), k, Cosine, &()).unwrap_err();
                assert!(
                    same(&found, &expected) && !found.is_device(),
                    "{k}: {found} | {expected}"
                );
            }
        }
    }
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let gpu = Gpu::headless().unwrap();
    let points = cloud(100, 4, 1);
    let table = |points: &Array2<f32>, k| Neighbors::exact(points.view(), k, Euclidean, &()).unwrap();
    for table in [table(&points, 10), table(&cloud(90, 4, 1), 80)] {
        let projector = Projector::default();
        let found = gpu.fit(&projector, (points.view(), &table), &()).unwrap_err();
        let expected = projector.fit((points.view(), &table), &()).unwrap_err();
        assert!(same(&found, &expected), "{found} | {expected}");
    }
}

#[test]
fn too_many_neighbors_are_refused() {
    let points = cloud(600, 2, 1);
    let gpu = Gpu::headless().unwrap();
    let found = gpu
        .neighbors(points.view(), Gpu::MOST_NEIGHBORS + 1, Euclidean, &())
        .unwrap_err();
    assert!(
        matches!(&found, Error::Project(attn_project::Error::Parameter { name: "k", .. })),
        "{found}"
    );
}

#[test]
fn trouble_gives_finite_layouts() {
    let gpu = Gpu::headless().unwrap();
    let plain = cloud(40, 5, 2);
    let mut zeros = plain.clone();
    zeros.slice_mut(ndarray::s![..20, ..]).fill(0.0);
    let clouds = [
        cloud(4, 3, 1),
        cloud(7, 1, 1),
        Array2::from_elem((40, 5), 3.0),
        zeros,
        plain.clone() * 1e30,
        plain * 1e-30,
    ];
    let wild = TsneParams {
        perplexity: 1000.0,
        exaggeration: 1e30,
        learning_rate: Some(1e9),
        exaggerated_iterations: 10,
        iterations: 10,
        theta: 0.5,
        further_perplexities: [None; 3],
    };
    let tame = TsneParams {
        exaggerated_iterations: 10,
        iterations: 10,
        ..TsneParams::default()
    };
    for points in &clouds {
        for params in [wild, tame] {
            for (metric, dims) in METRICS.into_iter().zip([Dims::Two, Dims::Three, Dims::Two]) {
                let tsne = Tsne::new(params).unwrap();
                let projector = Projector::new(tsne).dims(dims).metric(&metric).seed(1);
                let found = gpu.fit(&projector, points.view(), &()).unwrap();
                assert!(
                    found.points.iter().all(|x| x.is_finite()),
                    "{:?} {metric:?}",
                    points.dim()
                );
                assert!(found.diagnostic(KL_DIVERGENCE).unwrap()[0].is_finite());
            }
        }
    }
}

#[test]
fn progress_rises_and_stops_the_work() {
    let gpu = Gpu::headless().unwrap();
    let points = cloud(1100, 3, 1);
    let params = TsneParams {
        exaggerated_iterations: 6,
        iterations: 6,
        ..TsneParams::default()
    };
    let projector = Projector::new(Tsne::new(params).unwrap()).metric(Cosine).seed(1);
    for stage in ["neighbors", "distances", "t-SNE"] {
        let last = AtomicUsize::new(0);
        let stop = |found: &str, done: usize, total: usize| {
            if found != stage {
                return ControlFlow::Continue(());
            }
            assert!(done >= last.swap(done, Relaxed) && done <= total);
            if 3 * done >= 2 * total {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let error = gpu.fit(&projector, points.view(), &stop).unwrap_err();
        assert!(error.is_cancelled() && !error.is_device(), "{stage}: {error}");
        assert!(last.load(Relaxed) > 0);
    }
    // The device is as good as before.
    gpu.neighbors(points.view(), 3, Cosine, &()).unwrap();
}

#[test]
fn a_device_with_little_is_told_from_bad_input() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let device = |required_limits| {
        let descriptor = wgpu::DeviceDescriptor {
            required_limits,
            ..Default::default()
        };
        pollster::block_on(adapter.request_device(&descriptor)).unwrap()
    };
    // What a host asks for that means to run on WebGL.
    let (few, queue) = device(wgpu::Limits::downlevel_webgl2_defaults());
    let error = Gpu::new(&few, &queue).unwrap_err();
    assert!(
        matches!(error, Error::Limit { limit: 0, .. }) && error.is_device(),
        "{error}"
    );
    // What WebGPU guarantees is enough, and the host's device can be shared.
    let (small, queue) = device(wgpu::Limits {
        max_storage_buffer_binding_size: 1 << 20,
        ..wgpu::Limits::default()
    });
    let gpu = Gpu::new(&small, &queue).unwrap();
    let points = cloud(300, 4, 1);
    assert_eq!(
        gpu.neighbors(points.view(), 4, Cosine, &()).unwrap(),
        Neighbors::exact(points.view(), 4, Cosine, &()).unwrap()
    );
    let wide = Array2::<f32>::zeros((300, 4096));
    let error = gpu.neighbors(wide.view(), 4, Cosine, &()).unwrap_err();
    assert!(
        matches!(error, Error::BufferSize { .. }) && error.is_device(),
        "{error}"
    );
    assert!(error.to_string().contains("points of the neighbor search"), "{error}");
}

#[derive(Debug)]
struct Manhattan;

impl Distance for Manhattan {
    fn name(&self) -> &str {
        "manhattan"
    }

    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
    }
}

#[test]
fn a_metric_of_a_hosts_has_no_shader() {
    let gpu = Gpu::headless().unwrap();
    let points = cloud(60, 4, 1);
    let error = gpu.neighbors(points.view(), 4, Manhattan, &()).unwrap_err();
    assert!(
        matches!(error, Error::Project(attn_project::Error::Unsupported { .. })),
        "{error}"
    );
    // With a table from the CPU t-SNE runs all the same.
    let projector = Projector::new(
        Tsne::new(TsneParams {
            perplexity: 5.0,
            ..TsneParams::default()
        })
        .unwrap(),
    );
    let table = Neighbors::exact(points.view(), 15, Manhattan, &()).unwrap();
    let found = gpu.fit(&projector, (points.view(), &table), &()).unwrap();
    assert_eq!(found.points.dim(), (60, 2));
}
