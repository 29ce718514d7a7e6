//! linfa's algorithms on this crate's search, and linfa's reductions as methods.

#![cfg(feature = "linfa")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use attn_project::{
    Dims, Error, FittedProjection, Projector,
    linfa::{
        FromLinfa, Search,
        linfa::{
            DatasetBase,
            prelude::ParamGuard,
            traits::{Fit, Transformer},
        },
        linfa_nn::{
            BuildError, CommonNearestNeighbour, NearestNeighbour, NnError,
            distance::{L1Dist, L2Dist},
        },
    },
    ndarray::{Array1, Array2},
};
use linfa_clustering::Dbscan;
use linfa_reduction::random_projection::GaussianRandomProjection;

/// Eight groups of different density, and some points between them.
fn cloud(n: usize, d: usize) -> Array2<f64> {
    let wave = |i: usize, c: usize| ((i * (2 * c + 3)) as f64 * 0.618_033_988).sin();
    Array2::from_shape_fn((n, d), |(i, c)| {
        let group = i % 8;
        let apart = if i % 37 == 0 { 3.0 } else { 0.4 + 0.05 * group as f64 };
        4.0 * wave(group + 1, c) + apart * wave(i + 100, c) * wave(i * 7 + 13, c + 5)
    })
}

#[test]
fn dbscan_finds_the_clusters_of_the_kd_tree() {
    for (n, d, radius) in [(900, 3, 0.3), (700, 24, 2.1)] {
        let points = cloud(n, d);
        let ours = Dbscan::params_with(5, L2Dist, Search).tolerance(radius);
        let theirs = Dbscan::params_with(5, L2Dist, CommonNearestNeighbour::KdTree).tolerance(radius);
        let (ours, theirs) = (
            ours.check().unwrap().transform(&points),
            theirs.check().unwrap().transform(&points),
        );
        assert_eq!(ours, theirs);
        let clusters = ours.iter().flatten().max().unwrap() + 1;
        let noise = ours.iter().filter(|label| label.is_none()).count();
        assert!(
            clusters >= 4 && noise > 0 && noise < n / 2,
            "{clusters} clusters, {noise} noise"
        );
        let single = points.mapv(|x| x as f32);
        let ours = Dbscan::params_with(5, L2Dist, Search).tolerance(radius as f32);
        let theirs = Dbscan::params_with(5, L2Dist, CommonNearestNeighbour::LinearSearch).tolerance(radius as f32);
        assert_eq!(
            ours.check().unwrap().transform(&single),
            theirs.check().unwrap().transform(&single)
        );
    }
}

#[test]
fn queries_are_those_of_the_linear_search() {
    let points = cloud(300, 6);
    let mut new = cloud(310, 6).slice_move(attn_project::ndarray::s![300.., ..]);
    new.row_mut(2).assign(&points.row(7));
    let l2 = (
        Search.from_batch(&points, L2Dist).unwrap(),
        CommonNearestNeighbour::LinearSearch
            .from_batch(&points, L2Dist)
            .unwrap(),
    );
    let l1 = (
        Search.from_batch(&points, L1Dist).unwrap(),
        CommonNearestNeighbour::LinearSearch
            .from_batch(&points, L1Dist)
            .unwrap(),
    );
    for (ours, theirs) in [l2, l1] {
        for row in new.rows() {
            for k in [0, 1, 9, 300, 1000] {
                let of = |found: Vec<(_, usize)>| found.into_iter().map(|found| found.1).collect::<Vec<_>>();
                let (a, b) = (
                    of(ours.k_nearest(row, k).unwrap()),
                    of(theirs.k_nearest(row, k).unwrap()),
                );
                assert_eq!(a, b, "{k}");
            }
            let of = |found: Vec<(_, usize)>| {
                let mut found: Vec<usize> = found.into_iter().map(|found| found.1).collect();
                found.sort_unstable();
                found
            };
            assert_eq!(
                of(ours.within_range(row, 2.5).unwrap()),
                of(theirs.within_range(row, 2.5).unwrap())
            );
        }
        let short = Array1::<f64>::zeros(3);
        assert!(matches!(ours.k_nearest(short.view(), 2), Err(NnError::WrongDimension)));
        assert!(matches!(
            ours.within_range(short.view(), 2.0),
            Err(NnError::WrongDimension)
        ));
    }
    let none = Array2::<f64>::zeros((4, 0));
    assert!(matches!(
        Search.from_batch(&none, L2Dist).map(|_| ()),
        Err(BuildError::ZeroDimension)
    ));
    let leaf = Search.from_batch_with_leaf_size(&points, 0, L2Dist).map(|_| ());
    assert!(matches!(leaf, Err(BuildError::EmptyLeaf)));
}

#[test]
fn a_random_projection_is_a_method() {
    let points = cloud(80, 9).mapv(|x| x as f32);
    let method = FromLinfa::new("random projection", |points: &Array2<f64>, dims, _| {
        let data = DatasetBase::from(points.clone());
        GaussianRandomProjection::<f64>::params().target_dim(dims).fit(&data)
    });
    let projector = Projector::new(method).dims(Dims::Three);
    let fitted = FittedProjection::fit(points.view(), &projector, &()).unwrap();
    assert_eq!(fitted.embedding().points.dim(), (80, 3));
    assert_eq!(fitted.embedding(), &projector.fit(points.view(), &()).unwrap());
    // Linear: old points land on themselves.
    let again = fitted.transform(points.view(), &()).unwrap();
    assert!((&again - &fitted.embedding().points).iter().all(|x| x.abs() < 1e-4));
    let narrow = points.slice(attn_project::ndarray::s![.., ..2]);
    assert!(matches!(
        projector.fit(narrow, &()),
        Err(Error::Parameter { name: "points", .. })
    ));
}

#[test]
fn what_linfa_cannot_do_is_an_error() {
    let points = cloud(80, 9).mapv(|x| x as f32);
    let random = |points: &Array2<f64>, dims: usize, _: u64| {
        let data = DatasetBase::from(points.clone());
        GaussianRandomProjection::<f64>::params().target_dim(dims).fit(&data)
    };
    let limited = Projector::new(FromLinfa::new("random projection", random).at_most(79));
    let error = limited.fit(points.view(), &()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("at most 79 points for random projection, found 80"),
        "{error}"
    );
    // As linfa-reduction does on what it cannot take.
    let panics = move |points: &Array2<f64>, dims: usize, seed: u64| {
        assert!(points.nrows() < 60, "a matrix that is too tall");
        random(points, dims, seed)
    };
    let method = Projector::new(FromLinfa::new("brittle", panics));
    let error = method.fit(points.view(), &()).unwrap_err();
    assert!(
        matches!(&error, Error::Method { method, .. } if method == "brittle")
            && error.to_string().contains("a matrix that is too tall"),
        "{error}"
    );
    assert!(
        method
            .fit(points.slice(attn_project::ndarray::s![..50, ..]), &())
            .is_ok()
    );
    let huge = Array2::<f32>::from_elem((80, 9), 2e33);
    assert!(matches!(method.fit(huge.view(), &()), Err(Error::TooLarge { .. })));
}
