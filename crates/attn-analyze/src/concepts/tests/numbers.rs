//! Clustering of points far from the origin, far from one another, huge, tiny and equal.

use ndarray::{Array2, Axis, array, concatenate, s};
use proptest::prelude::*;

use super::clustering::by_matrix;
use crate::{
    Error, Rng,
    concepts::{
        Clusterer, KMeansClusterer, KMeansParams, LeadersWard, OpticsClusterer, Partition, Ward, k_means, leaders,
        leaders_ward, ward,
    },
};

/// Coordinates with few enough bits that a shift of up to 2^16 is exact in single precision.
fn grid(points: usize, dims: usize, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, &[]);
    Array2::from_shape_simple_fn((points, dims), || ((rng.normal() * 64.0).round() / 64.0) as f32)
}

fn methods() -> [Box<dyn Clusterer>; 4] {
    [
        Box::new(Ward),
        Box::new(LeadersWard::default()),
        Box::new(KMeansClusterer::default()),
        Box::new(KMeansClusterer {
            batch_per_cluster: Some(2),
            ..KMeansClusterer::default()
        }),
    ]
}

/// Those, and one that leaves points out as noise: it need not give as many clusters as are asked for.
fn with_optics() -> Vec<Box<dyn Clusterer>> {
    let optics = OpticsClusterer {
        min_points: 2,
        ..OpticsClusterer::default()
    };
    let mut all: Vec<Box<dyn Clusterer>> = methods().into();
    all.push(Box::new(optics));
    all
}

/// Sum of squared distances to the mean of each cluster, in double precision.
fn within(points: &Array2<f32>, partition: &Partition) -> f64 {
    let of_cluster = |members: Vec<usize>| {
        let part = points.select(Axis(0), &members).mapv(f64::from);
        let mean = part.mean_axis(Axis(0)).unwrap();
        (part - mean).mapv(|x| x * x).sum()
    };
    partition.members().into_iter().map(of_cluster).sum()
}

fn lloyd(clusters: usize) -> KMeansParams {
    KMeansParams {
        clusters,
        iterations: 1000,
        tolerance: 0.0,
        ..KMeansParams::default()
    }
}

#[test]
fn a_shift_changes_nothing() {
    let points = grid(240, 5, 2);
    let at_origin = (
        k_means(points.view(), &lloyd(7), &()).unwrap(),
        ward(points.view(), None, &()).unwrap(),
        leaders_ward(points.view(), 7, None, 0, &()).unwrap(),
    );
    for shift in [3e4_f32.round(), -65_000.0] {
        let far = points.mapv(|x| x + shift);
        assert_eq!(far.mapv(|x| x - shift), points, "the shift is exact");
        let found = k_means(far.view(), &lloyd(7), &()).unwrap();
        assert_eq!(found.partition, at_origin.0.partition);
        assert!((found.inertia / at_origin.0.inertia - 1.0).abs() < 1e-6);
        assert!((found.inertia / within(&far, &found.partition) - 1.0).abs() < 1e-6);
        let tree = ward(far.view(), None, &()).unwrap();
        for (merge, near) in tree.merges().iter().zip(at_origin.1.merges()) {
            assert!((merge.height - near.height).abs() <= 1e-6 * near.height);
        }
        assert_eq!(tree.cut(7).unwrap(), at_origin.1.cut(7).unwrap());
        assert_eq!(leaders_ward(far.view(), 7, None, 0, &()).unwrap(), at_origin.2);
    }
}

/// Two crowds so far apart that products in single precision say nothing about what is near within one.
#[test]
fn crowds_far_apart_are_told_apart_inside() {
    let points = grid(160, 4, 5);
    let shift = |row: usize| if row.is_multiple_of(2) { 65_000.0 } else { -65_000.0 };
    let far = Array2::from_shape_fn(points.dim(), |(row, column)| points[[row, column]] + shift(row));
    let (heights, cuts) = by_matrix(&far, &[2, 9, 40]);
    let tree = ward(far.view(), None, &()).unwrap();
    for (merge, height) in tree.merges().iter().zip(heights) {
        assert!(
            (merge.height - height).abs() <= 1e-6 * height,
            "{} {height}",
            merge.height
        );
    }
    for expected in cuts {
        assert_eq!(tree.cut(expected.count()).unwrap(), expected);
    }
    let found = k_means(far.view(), &lloyd(12), &()).unwrap();
    assert_eq!(found.partition.count(), 12);
    let exact = within(&far, &found.partition);
    assert!((found.inertia / exact - 1.0).abs() < 1e-6, "{} {exact}", found.inertia);
    // Every point is with the nearest mean: the iterations have settled, on true distances.
    let mean = |members: Vec<usize>| far.select(Axis(0), &members).mapv(f64::from).mean_axis(Axis(0));
    let means: Vec<_> = found
        .partition
        .members()
        .into_iter()
        .map(|members| mean(members).unwrap())
        .collect();
    for row in 0..far.nrows() {
        let distance = |mean: &ndarray::Array1<f64>| (far.row(row).mapv(f64::from) - mean).mapv(|x| x * x).sum();
        let own = distance(&means[found.partition.cluster(row).unwrap()]);
        assert!(
            means.iter().all(|mean| own <= distance(mean) * (1.0 + 1e-9)),
            "point {row}"
        );
    }
    // The radius is the median distance to the nearest point, which lies in the same crowd.
    let by_hand = |row: usize| {
        let others = (0..far.nrows()).filter(|&other| other != row);
        let squares = others.map(|other| {
            let terms = far.row(row).into_iter().zip(far.row(other));
            terms.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>()
        });
        squares.fold(f64::INFINITY, f64::min).sqrt()
    };
    let mut nearest: Vec<f64> = (0..far.nrows()).map(by_hand).collect();
    nearest.sort_by(f64::total_cmp);
    let radius = leaders(far.view(), None, 0, &()).unwrap().radius;
    assert!((radius - nearest[80]).abs() < 1e-9, "{radius} {}", nearest[80]);
}

#[test]
fn a_scale_changes_nothing() {
    let points = grid(90, 3, 8);
    for method in with_optics() {
        let plain = method.cluster(points.view(), 6, &()).unwrap().partition;
        // Powers of two are exact; the last is below the normal numbers for small coordinates.
        for power in [60, 100, -60, -110] {
            let scaled = points.mapv(|x| x * 2.0_f32.powi(power));
            let found = method.cluster(scaled.view(), 6, &()).unwrap().partition;
            assert_eq!(found, plain, "{}, 2^{power}", method.name());
        }
    }
}

#[test]
fn squares_beyond_single_precision_are_no_obstacle() {
    for points in [
        array![[0.0_f32], [1e19], [3e19], [9e19]],
        array![[0.0_f32], [1.0], [2.0], [3.0], [1e20]],
        array![[1e33_f32, -1e33], [-1e33, 1e33], [1e33, 1e33], [0.0, 0.0]],
    ] {
        let (heights, _) = by_matrix(&points, &[]);
        let tree = ward(points.view(), None, &()).unwrap();
        for (merge, height) in tree.merges().iter().zip(heights) {
            assert!(
                (merge.height - height).abs() <= 1e-6 * height,
                "{} {height}",
                merge.height
            );
        }
        for method in methods() {
            for clusters in 1..=3 {
                let found = method.cluster(points.view(), clusters, &()).unwrap().partition;
                assert_eq!(found.count(), clusters, "{} of {points}", method.name());
            }
        }
    }
    let far = array![[0.0_f32], [1.0], [2.0], [3.0], [1e20]];
    assert_eq!(
        Ward.cluster(far.view(), 2, &()).unwrap().partition.labels(),
        [0, 0, 0, 0, 1]
    );
}

#[test]
fn what_is_too_large_is_named_by_every_method() {
    let points = array![[0.0_f32, 1.0], [2.0, -1.1e33], [3.0, 4.0]];
    for method in with_optics() {
        let error = method.cluster(points.view(), 2, &()).unwrap_err();
        let Error::Project(attn_project::Error::TooLarge { row, column, .. }) = error else {
            panic!("{}: {error}", method.name())
        };
        assert_eq!((row, column), (1, 1));
    }
}

#[test]
fn k_means_gives_as_many_clusters_as_there_are_different_points() {
    let places = array![[0.0_f32, 0.0], [2.0, 2.0], [9.0, 9.0]];
    let points = places.select(Axis(0), &[0, 0, 1, 1, 1, 2]);
    for clusters in 1..=3 {
        assert_eq!(
            k_means(points.view(), &lloyd(clusters), &()).unwrap().partition.count(),
            clusters
        );
    }
    let error = k_means(points.view(), &lloyd(4), &()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "clusters: expected 1 to the 3 different points, found 4"
    );
    // Three rare points that a sample misses.
    let crowd = Array2::<f32>::ones((40_000, 2));
    let points = concatenate![Axis(0), crowd, places];
    for batch in [None, Some(10)] {
        let params = KMeansParams { batch, ..lloyd(4) };
        let found = k_means(points.view(), &params, &()).unwrap();
        assert_eq!((found.partition.count(), found.inertia), (4, 0.0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_method_ends_with_a_partition(
        rows in prop::collection::vec((0_u8..5, 0_u8..4), 1..60), clusters in 1_usize..12,
        scale in prop::sample::select(vec![1.0_f32, 1e-40, 1e-20, 1e19, 2e32]),
        shift in prop::sample::select(vec![0.0_f32, 1.0, -3e7, 1e30]),
    ) {
        let points = Array2::from_shape_fn((rows.len(), 2), |(row, dim)| f32::from([rows[row].0, rows[row].1][dim]) * scale + shift);
        let mut different: Vec<[u32; 2]> = points.rows().into_iter().map(|row| [(row[0] + 0.0).to_bits(), (row[1] + 0.0).to_bits()]).collect();
        different.sort_unstable();
        different.dedup();
        for (at, method) in methods().into_iter().enumerate() {
            let means = at >= 2;
            match method.cluster(points.view(), clusters, &()) {
                Ok(found) => {
                    prop_assert_eq!(found.partition.count(), clusters);
                    prop_assert_eq!(found.partition.points(), rows.len());
                }
                Err(Error::Parameter { .. }) if means => prop_assert!(clusters > different.len()),
                Err(Error::Parameter { .. }) => prop_assert!(clusters > rows.len() || at == 1),
                Err(error) => prop_assert!(false, "{}: {}", method.name(), error),
            }
        }
        let optics = OpticsClusterer { min_points: 2, ..OpticsClusterer::default() };
        match optics.cluster(points.view(), clusters, &()) {
            Ok(found) => {
                prop_assert_eq!(found.partition.points(), rows.len());
                let heights = found.reachability.unwrap();
                prop_assert!(heights.reachability.iter().flatten().chain(&heights.core).all(|height| height.is_finite()));
            }
            Err(Error::Clustering { .. } | Error::Parameter { .. }) => prop_assert!(rows.len() < 2),
            Err(error) => prop_assert!(false, "{}", error),
        }
        let part = points.slice(s![..points.nrows().min(9), ..]).to_owned();
        let (heights, _) = by_matrix(&part, &[]);
        let tree = ward(part.view(), None, &()).unwrap();
        let (total, expected): (f64, f64) = (
            tree.merges().iter().map(|merge| merge.height.powi(2)).sum(),
            heights.iter().map(|height| height.powi(2)).sum(),
        );
        prop_assert!((total - expected).abs() <= 1e-6 * expected, "{} {}", total, expected);
    }
}
