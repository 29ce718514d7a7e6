//! Whatever comes in, `attn-project`'s typed errors or a finite picture come out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use attn_project::{Dims, Method, Metric, Neighbors, TsneParams, UmapParams, project};
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
    let tsne = TsneParams::default();
    let methods = [
        Method::Pca,
        Method::default(),
        Method::Umap(UmapParams::default()),
        Method::Tsne(TsneParams {
            perplexity: f32::NAN,
            ..tsne
        }),
        Method::Tsne(TsneParams {
            learning_rate: Some(0.0),
            ..tsne
        }),
        Method::Tsne(TsneParams {
            exaggerated_iterations: 0,
            iterations: 0,
            ..tsne
        }),
    ];
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
        for (which, method) in methods.iter().enumerate() {
            if points.dim() == (30, 4) && points[[4, 2]].is_finite() && which < 3 {
                continue;
            }
            for dims in [Dims::Two, Dims::Three] {
                let Err(expected) = project(points.view(), method, dims, Metric::Cosine, 1, &()) else {
                    continue;
                };
                let found = gpu
                    .project(points.view(), method, dims, Metric::Cosine, 1, &())
                    .unwrap_err();
                assert!(
                    same(&found, &expected),
                    "{method:?} {:?}: {found} | {expected}",
                    points.dim()
                );
            }
        }
        for k in [0, 1, 30] {
            if let Err(expected) = Neighbors::exact(points.view(), k, Metric::Cosine, &()) {
                let found = gpu.neighbors(points.view(), k, Metric::Cosine, &()).unwrap_err();
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
    let table = |points: &Array2<f32>, k| Neighbors::exact(points.view(), k, Metric::Euclidean, &()).unwrap();
    for table in [table(&points, 10), table(&cloud(90, 4, 1), 80)] {
        let method = Method::default();
        let found = gpu
            .project_with(points.view(), &table, &method, Dims::Two, 1, &())
            .unwrap_err();
        let expected = attn_project::project_with(points.view(), &table, &method, Dims::Two, 1, &()).unwrap_err();
        assert!(same(&found, &expected), "{found} | {expected}");
    }
}

#[test]
fn too_many_neighbours_are_refused() {
    let points = cloud(600, 2, 1);
    let gpu = Gpu::headless().unwrap();
    let found = gpu
        .neighbors(points.view(), Gpu::MOST_NEIGHBORS + 1, Metric::Euclidean, &())
        .unwrap_err();
    assert!(
        matches!(
            &found,
            Error::Project(attn_project::Error::Parameter { parameter: "k", .. })
        ),
        "{found}"
    );
}

#[test]
fn trouble_gives_finite_pictures() {
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
                let found = gpu
                    .project(points.view(), &Method::Tsne(params), dims, metric, 1, &())
                    .unwrap();
                assert!(
                    found.points.iter().all(|x| x.is_finite()),
                    "{:?} {metric:?}",
                    points.dim()
                );
                assert!(found.kl_divergence.unwrap().is_finite());
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
    let method = Method::Tsne(params);
    for stage in ["neighbours", "distances", "t-SNE"] {
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
        let error = gpu
            .project(points.view(), &method, Dims::Two, Metric::Cosine, 1, &stop)
            .unwrap_err();
        assert!(error.is_cancelled() && !error.is_device(), "{stage}: {error}");
        assert!(last.load(Relaxed) > 0);
    }
    // The device is as good as before.
    gpu.neighbors(points.view(), 3, Metric::Cosine, &()).unwrap();
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
        gpu.neighbors(points.view(), 4, Metric::Cosine, &()).unwrap(),
        Neighbors::exact(points.view(), 4, Metric::Cosine, &()).unwrap()
    );
    let wide = Array2::<f32>::zeros((300, 4096));
    let error = gpu.neighbors(wide.view(), 4, Metric::Cosine, &()).unwrap_err();
    assert!(
        matches!(error, Error::BufferSize { .. }) && error.is_device(),
        "{error}"
    );
    assert!(error.to_string().contains("points of the neighbour search"), "{error}");
}
