use ndarray::{Array2, Axis, s};

use super::*;
use crate::{
    Dims, Metric, Neighbors,
    mds::Mds,
    metric::Kernel,
    pca::Pca,
    rng::Rng,
    tsne::{Tsne, TsneParams},
    umap::{Umap, UmapParams},
};

/// Ten far groups in eight dimensions.
fn groups(n: usize) -> Array2<f32> {
    let mut rng = Rng::new(12, 0);
    let centers = Array2::from_shape_simple_fn((10, 8), || 10.0 * rng.normal() as f32);
    Array2::from_shape_fn((n, 8), |(i, c)| centers[[i % 10, c]] + rng.normal() as f32)
}

fn methods() -> [Method; 4] {
    let tsne = TsneParams {
        perplexity: 15.0,
        exaggerated_iterations: 100,
        iterations: 150,
        ..TsneParams::default()
    };
    let umap = UmapParams {
        epochs: Some(100),
        ..UmapParams::default()
    };
    [
        Pca.into(),
        Tsne::new(tsne).unwrap().into(),
        Umap::new(umap).unwrap().into(),
        Mds.into(),
    ]
}

fn fit(points: &Array2<f32>, method: &Method, dims: Dims, metric: Metric) -> FittedProjection {
    let projector = Projector::new(method).dims(dims).metric(metric).seed(3);
    FittedProjection::fit(points.view(), &projector, &()).unwrap()
}

/// Root mean square distance from the mean.
fn extent(map: &Array2<f32>) -> f32 {
    let centered = map - &map.mean_axis(Axis(0)).unwrap();
    (centered.mapv(|x| x * x).sum() / map.nrows() as f32).sqrt()
}

fn distance(a: ndarray::ArrayView1<'_, f32>, b: ndarray::ArrayView1<'_, f32>) -> f32 {
    (&a - &b).mapv(|x| x * x).sum().sqrt()
}

#[test]
fn points_left_out_land_among_their_own() {
    let all = groups(460);
    let (old, new) = (all.slice(s![..400, ..]).to_owned(), all.slice(s![400.., ..]).to_owned());
    for method in &methods()[1..3] {
        for dims in [Dims::Two, Dims::Three] {
            for metric in [Metric::EUCLIDEAN, Metric::COSINE] {
                let fitted = fit(&old, method, dims, metric.clone());
                let before = fitted.embedding().points.clone();
                let placed = fitted.transform(new.view(), &()).unwrap();
                assert_eq!(fitted.embedding().points, before);
                let together = ndarray::concatenate![Axis(0), before, placed];
                let neighbors = Neighbors::exact(together.view(), 5, Metric::EUCLIDEAN, &()).unwrap();
                let pure = (400..460)
                    .filter(|&i| neighbors.indices(i).iter().all(|&j| j as usize % 10 == i % 10))
                    .count();
                assert!(pure >= 58, "{} {dims:?} {metric:?}: {pure} of 60", method.name());
            }
        }
    }
}

#[test]
fn an_old_point_lands_on_itself_and_its_like_nearby() {
    let points = groups(300);
    for method in &methods() {
        for dims in [Dims::Two, Dims::Three] {
            let fitted = fit(&points, method, dims, Metric::EUCLIDEAN);
            let map = &fitted.embedding().points;
            let again = fitted.transform(points.view(), &()).unwrap();
            assert!((&again - map).iter().all(|x| x.abs() < 1e-5), "{}", method.name());
            let like = &points + 1e-3;
            let placed = fitted.transform(like.view(), &()).unwrap();
            let far = (0..300)
                .filter(|&i| distance(placed.row(i), map.row(i)) > 0.25 * extent(map))
                .count();
            assert!(far <= 6, "{} {dims:?}: {far} of 300", method.name());
        }
    }
}

#[test]
fn a_place_depends_on_nothing_but_the_point() {
    let points = groups(200);
    let new = groups(230).slice_move(s![200.., ..]);
    for method in &methods() {
        let fitted = fit(&points, method, Dims::Two, Metric::COSINE);
        let all = fitted.transform(new.view(), &()).unwrap();
        let reversed = fitted.transform(new.slice(s![..;-1, ..]), &()).unwrap();
        assert_eq!(all.slice(s![..;-1, ..]), reversed);
        let alone = fitted.transform(new.slice(s![7..8, ..]), &()).unwrap();
        assert_eq!(alone.row(0), all.row(7));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| fitted.transform(new.view(), &()).unwrap()), all);
        assert_eq!(fitted.transform(new.slice(s![..0, ..]), &()).unwrap().dim(), (0, 2));
    }
}

#[test]
fn neighbors_as_by_sorting_all_distances() {
    let points = groups(150);
    let mut new = groups(160).slice_move(s![150.., ..]);
    new.row_mut(3).fill(0.0);
    for metric in Metric::builtin() {
        let reference = Reference::new(points.view(), metric.clone());
        let prepared = reference.prepare(new.view());
        let together = reference.nearest_of(prepared.as_slice().unwrap(), 9).unwrap();
        for ((row, prepared), near) in new.rows().into_iter().zip(prepared.rows()).zip(&together) {
            let alone = reference.nearest(prepared.as_slice().unwrap(), 9).unwrap();
            assert_eq!((&near.indices, &near.distances), (&alone.indices, &alone.distances));
            let mut all: Vec<(f64, u32)> = (0..150)
                .map(|j| {
                    let old = points.row(j).mapv(f64::from);
                    let row = row.mapv(f64::from);
                    let norms = (row.dot(&row) * old.dot(&old)).sqrt();
                    let distance = match metric.kernel() {
                        Kernel::Euclidean | Kernel::Pairs => (&row - &old).mapv(|x| x * x).sum().sqrt(),
                        Kernel::InnerProduct => -row.dot(&old),
                        Kernel::Cosine if norms == 0.0 => 1.0,
                        Kernel::Cosine => 1.0 - row.dot(&old) / norms,
                    };
                    (distance, j as u32)
                })
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (slot, truth) in all[..9].iter().enumerate() {
                let found = f64::from(near.distances[slot]);
                assert!(
                    (found - truth.0).abs() < 1e-4 * (1.0 + truth.0.abs()),
                    "{metric:?} {found} {truth:?}"
                );
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let points = groups(60);
    for method in &methods() {
        let fitted = fit(&points, method, Dims::Two, Metric::EUCLIDEAN);
        let narrow = fitted.transform(points.slice(s![.., ..5]), &());
        assert!(matches!(narrow, Err(Error::Shape { .. })));
        let mut broken = points.slice(s![..4, ..]).to_owned();
        broken[[2, 1]] = f32::NAN;
        let found = fitted.transform(broken.view(), &());
        assert!(matches!(found, Err(Error::NotFinite { row: 2, column: 1, .. })));
        let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
        assert!(fitted.transform(points.view(), &stop).unwrap_err().is_cancelled());
        let short = FittedProjection::new(
            points.slice(s![..50, ..]),
            fitted.embedding().clone(),
            &Projector::new(method),
            &(),
        );
        assert!(matches!(short, Err(Error::Shape { what: "embedding", .. })));
    }
}
