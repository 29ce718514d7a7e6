//! Ward against the matrix method of `kodama`, k-means and leaders against what they promise.

use std::ops::ControlFlow;

use ndarray::{Array2, Axis, array};
use proptest::prelude::*;

use crate::{
    Error, Rng,
    concepts::{
        KMeansParams, KMeansStart, Partition, adjusted_rand, k_means, leaders, leaders_ward, means, scan::Clusters,
        ward,
    },
};

/// Points around `centers` centers.
pub(crate) fn blobs(points: usize, dims: usize, centers: usize, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, &[]);
    let middle = Array2::from_shape_simple_fn((centers, dims), || 3.0 * rng.normal());
    Array2::from_shape_fn((points, dims), |(row, dim)| {
        (middle[[row % centers, dim]] + rng.normal()) as f32
    })
}

/// Heights, and the clusters at each of some numbers of them, by the matrix method.
pub(super) fn by_matrix(points: &Array2<f32>, cuts: &[usize]) -> (Vec<f64>, Vec<Partition>) {
    let n = points.nrows();
    let mut condensed = Vec::with_capacity(n * (n - 1) / 2);
    for i in 0..n {
        for j in i + 1..n {
            let squares = points.row(i).into_iter().zip(points.row(j));
            condensed.push(
                squares
                    .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2))
                    .sum::<f64>()
                    .sqrt(),
            );
        }
    }
    let tree = kodama::linkage(&mut condensed, n, kodama::Method::Ward);
    let heights = tree.steps().iter().map(|step| step.dissimilarity).collect();
    let cut = |clusters: usize| {
        let mut names: Vec<usize> = (0..2 * n).collect();
        // Later steps name first, so one pass is enough.
        for (at, step) in tree.steps().iter().enumerate().take(n - clusters).rev() {
            names[step.cluster1] = names[n + at];
            names[step.cluster2] = names[n + at];
        }
        Partition::new(&names[..n])
    };
    (heights, cuts.iter().map(|&clusters| cut(clusters)).collect())
}

#[test]
fn ward_makes_the_merges_of_the_matrix_method() {
    for (n, dims, centers) in [(2, 1, 1), (300, 2, 7), (1500, 3, 40), (1200, 48, 1), (5000, 24, 60)] {
        let points = blobs(n, dims, centers, 5);
        let tree = ward(points.view(), None, &()).unwrap();
        let cuts: Vec<usize> = [1, 2, 7, 60, 600]
            .into_iter()
            .filter(|&clusters| clusters <= n)
            .collect();
        let (heights, expected) = by_matrix(&points, &cuts);
        for (merge, height) in tree.merges().iter().zip(heights) {
            assert!(
                (merge.height - height).abs() <= 1e-4 * height,
                "{n} {dims}: {} {height}",
                merge.height
            );
        }
        for (clusters, expected) in cuts.into_iter().zip(expected) {
            assert_eq!(
                tree.cut(clusters).unwrap(),
                expected,
                "{n} x {dims}, {clusters} clusters"
            );
        }
        assert_eq!(tree.merges().last().unwrap().size, n);
    }
}

#[test]
fn the_cheapest_partners_are_those_of_brute_force() {
    // One tile, two, and an odd number of them, the last one short.
    for n in [1, 90, 1000, 1100] {
        let points = blobs(n, 6, 5, 2);
        let centroids: Vec<f32> = points.iter().copied().collect();
        let norms: Vec<f32> = points.rows().into_iter().map(|row| row.dot(&row)).collect();
        let sizes: Vec<f32> = (0..n).map(|at| (1 + at % 4) as f32).collect();
        let clusters = Clusters {
            dims: 6,
            centroids: &centroids,
            norms: &norms,
            sizes: &sizes,
        };
        let all = clusters.nearest_of_all(5, &()).unwrap();
        let rows: Vec<usize> = (0..n).step_by(7).collect();
        let some = clusters.nearest_of(&rows, 5);
        for row in 0..n {
            let cost = |other: usize| {
                let (a, b) = (f64::from(sizes[row]), f64::from(sizes[other]));
                let squares = points.row(row).into_iter().zip(points.row(other));
                a * b / (a + b)
                    * squares
                        .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2))
                        .sum::<f64>()
            };
            let mut expected: Vec<f64> = (0..n).filter(|&other| other != row).map(cost).collect();
            expected.sort_by(f64::total_cmp);
            expected.truncate(5);
            let close = |found: &[(f32, u32)]| {
                assert_eq!(found.len(), expected.len());
                for (&(found, other), &expected) in found.iter().zip(&expected) {
                    assert!(
                        (f64::from(found) - expected).abs() < 1e-3 * (1.0 + expected),
                        "{found} {expected}"
                    );
                    assert!((f64::from(found) - cost(other as usize)).abs() < 1e-3 * (1.0 + expected));
                }
            };
            close(&all[row]);
            if row % 7 == 0 {
                close(&some[row / 7]);
            }
        }
    }
}

#[test]
fn a_branch_opens_alone() {
    // Joins: 0 1 (node 5), 2 3 (6), 5 4 (7), 6 7 (8).
    let points = array![[0.0_f32], [1.0], [100.0], [102.0], [5.0]];
    let tree = ward(points.view(), None, &()).unwrap();
    let top = tree.opened(|node| node == 8 || node == 6);
    assert_eq!(top.partition.labels(), [0, 0, 1, 2, 0]);
    assert_eq!(top.nodes, [7, 2, 3, 6, 8]);
    let parts: Vec<_> = top
        .tree
        .merges()
        .iter()
        .map(|merge| (merge.left, merge.right, merge.size))
        .collect();
    assert_eq!(parts, [(1, 2, 2), (0, 3, 3)]);
    assert_eq!(tree.height(top.nodes[1]), 0.0);
    assert_eq!(tree.height(7), tree.merges()[2].height);
    // A union inside one that is closed stays closed.
    assert_eq!(tree.opened(|node| node == 5).nodes, [8]);
    assert_eq!(tree.opened(|_| true).tree, tree);
}

#[test]
fn the_answer_does_not_depend_on_the_number_of_threads() {
    let points = blobs(900, 12, 20, 1);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let options = KMeansParams {
                clusters: 20,
                ..KMeansParams::default()
            };
            (
                ward(points.view(), None, &()).unwrap(),
                k_means(points.view(), &options, &()).unwrap(),
            )
        })
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn sizes_stand_for_repeated_points() {
    let points = array![[0.0_f32, 1.0], [3.0, 1.5], [0.5, 7.0], [4.0, -2.0]];
    let sizes = [5, 1, 2, 3];
    let rows: Vec<usize> = sizes
        .iter()
        .enumerate()
        .flat_map(|(row, &size)| vec![row; size])
        .collect();
    let repeated = points.select(Axis(0), &rows);
    let few = ward(points.view(), Some(&sizes), &()).unwrap();
    let many = ward(repeated.view(), None, &()).unwrap();
    let heights =
        |tree: &crate::concepts::Dendrogram| tree.merges().iter().map(|merge| merge.height).collect::<Vec<_>>();
    let (few, many) = (heights(&few), heights(&many));
    assert!(many[..7].iter().all(|&height| height == 0.0));
    assert!(
        few.iter().zip(&many[7..]).all(|(a, b)| (a - b).abs() < 1e-6),
        "{few:?} {many:?}"
    );
}

#[test]
fn one_point_and_equal_points_are_fine() {
    let one = ward(array![[1.0_f32, 2.0]].view(), None, &()).unwrap();
    assert!(one.merges().is_empty());
    assert_eq!(one.cut(1).unwrap().labels(), [0]);
    let equal = Array2::<f32>::ones((500, 3));
    let tree = ward(equal.view(), None, &()).unwrap();
    assert!(tree.merges().len() == 499 && tree.merges().iter().all(|merge| merge.height == 0.0));
    assert_eq!(tree.cut(500).unwrap().count(), 500);
    let options = |clusters| KMeansParams {
        clusters,
        ..KMeansParams::default()
    };
    let found = k_means(equal.view(), &options(1), &()).unwrap();
    assert_eq!((found.partition.count(), found.inertia), (1, 0.0));
    assert!(matches!(
        k_means(equal.view(), &options(7), &()),
        Err(Error::Parameter { name: "clusters", .. })
    ));
    assert_eq!(leaders(equal.view(), None, 0, &()).unwrap().sizes, [500]);
}

#[test]
fn what_cannot_be_clustered_is_refused() {
    let none = Array2::<f32>::zeros((0, 3));
    assert!(matches!(ward(none.view(), None, &()), Err(Error::Empty { .. })));
    let bad = array![[0.0_f32, 1.0], [f32::NAN, 2.0]];
    assert!(matches!(
        ward(bad.view(), None, &()),
        Err(Error::NotFinite { index: 2, .. })
    ));
    assert!(matches!(
        leaders(bad.view(), None, 0, &()),
        Err(Error::NotFinite { .. })
    ));
    let two = array![[0.0_f32], [1.0]];
    assert!(matches!(ward(two.view(), Some(&[1]), &()), Err(Error::Shape { .. })));
    assert!(matches!(
        ward(two.view(), Some(&[1, 0]), &()),
        Err(Error::Parameter { name: "sizes", .. })
    ));
    let tree = ward(two.view(), None, &()).unwrap();
    for clusters in [0, 3] {
        assert!(matches!(
            tree.cut(clusters),
            Err(Error::Parameter { name: "clusters", .. })
        ));
        let options = KMeansParams {
            clusters,
            ..KMeansParams::default()
        };
        assert!(matches!(
            k_means(two.view(), &options, &()),
            Err(Error::Parameter { name: "clusters", .. })
        ));
    }
    assert!(matches!(
        leaders(two.view(), Some(f64::NAN), 0, &()),
        Err(Error::Parameter { name: "radius", .. })
    ));
    let stop = |_: &str, _: usize, _: usize| ControlFlow::Break(());
    assert!(ward(two.view(), None, &stop).unwrap_err().is_cancelled());
}

#[test]
fn k_means_finds_separate_blobs_and_settles() {
    let points = blobs(2000, 20, 8, 3);
    let truth = Partition::new(&(0..2000).map(|row| row % 8).collect::<Vec<_>>());
    let options = KMeansParams {
        clusters: 8,
        ..KMeansParams::default()
    };
    for batch in [None, Some(200)] {
        let options = KMeansParams {
            batch,
            ..options.clone()
        };
        let found = k_means(points.view(), &options, &()).unwrap();
        let agreement = adjusted_rand(&found.partition, &truth).unwrap();
        assert!(agreement > 0.8, "{batch:?}: {agreement}");
        // Inertia by definition.
        let centroids = means(points.view(), &found.partition);
        let by_hand: f64 = (0..2000)
            .map(|row| {
                let difference = &points.row(row) - &centroids.row(found.partition.cluster(row).unwrap());
                f64::from(difference.dot(&difference))
            })
            .sum();
        assert!((found.inertia - by_hand).abs() < 1e-3 * by_hand);
    }
}

/// Many small clusters, where a plain draw does badly: of several draws the best is better, and Ward's cut is best.
#[test]
fn better_starts_give_smaller_sums() {
    let points = blobs(3000, 16, 250, 9);
    let sum = |start, trials| {
        let params = KMeansParams {
            clusters: 250,
            start,
            trials,
            ..KMeansParams::default()
        };
        let found = k_means(points.view(), &params, &()).unwrap();
        assert_eq!(found.partition.count(), 250);
        found.inertia
    };
    let (plain, greedy) = (sum(KMeansStart::PlusPlus, Some(1)), sum(KMeansStart::PlusPlus, None));
    let ward = sum(KMeansStart::Ward, None);
    assert!(ward <= greedy && greedy < 0.95 * plain, "{ward} {greedy} {plain}");
}

#[test]
fn leaders_lead_within_their_radius() {
    let points = blobs(600, 4, 30, 2);
    let groups = leaders(points.view(), None, 0, &()).unwrap();
    assert!((100..600).contains(&groups.sizes.len()), "{}", groups.sizes.len());
    assert_eq!(groups.sizes.iter().sum::<usize>(), 600);
    for members in groups.partition.members() {
        let leader = points.row(members[0]);
        for &point in &members {
            let difference = &points.row(point) - &leader;
            assert!(f64::from(difference.dot(&difference)).sqrt() <= 1.0001 * groups.radius);
        }
    }
    let whole = ward(points.view(), None, &()).unwrap().cut(30).unwrap();
    let fast = leaders_ward(points.view(), 30, None, 0, &()).unwrap();
    assert!(adjusted_rand(&whole, &fast).unwrap() > 0.7);
}

#[test]
fn agreement_of_partitions_is_as_published() {
    // Hubert and Arabie's index on a table worked out by hand: cells 1 1 0 / 1 2 1 / 0 0 4.
    let a = Partition::new(&[0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    let b = Partition::new(&[0, 1, 0, 1, 1, 2, 2, 2, 2, 2]);
    // pairs: cells 0+0+0+1+0+6 = 7; rows 1+6+6 = 13; columns 1+3+10 = 14; expected 13*14/45.
    let expected = 13.0 * 14.0 / 45.0;
    let index = (7.0 - expected) / (13.5 - expected);
    assert!((adjusted_rand(&a, &b).unwrap() - index).abs() < 1e-12);
    assert_eq!(adjusted_rand(&a, &a).unwrap(), 1.0);
    assert_eq!(adjusted_rand(&Partition::new(&[]), &Partition::new(&[])).unwrap(), 1.0);
    assert!(matches!(
        adjusted_rand(&a, &Partition::new(&[0])),
        Err(Error::Shape { .. })
    ));
    let mut rng = Rng::new(4, &[]);
    let mut random = || Partition::new(&(0..3000).map(|_| rng.below(9)).collect::<Vec<_>>());
    assert!(adjusted_rand(&random(), &random()).unwrap().abs() < 0.01);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Ties everywhere: points on a small grid. Any tie-breaking has the same total and cuts of the right size.
    #[test]
    fn trees_are_whole(rows in prop::collection::vec((0_u8..4, 0_u8..3), 1..90), seed in 0_u64..4) {
        let mut points = Array2::from_shape_fn((rows.len(), 2), |(row, dim)| f32::from([rows[row].0, rows[row].1][dim]));
        points *= 1.0 + seed as f32;
        let tree = ward(points.view(), None, &()).unwrap();
        prop_assert_eq!(tree.merges().len(), rows.len() - 1);
        prop_assert!(tree.merges().windows(2).all(|pair| pair[0].height <= pair[1].height));
        // The costs of all merges add up to the sum of squares around the mean.
        let mean = points.mean_axis(Axis(0)).unwrap();
        let total: f32 = (&points - &mean).mapv(|x| x * x).sum();
        let costs: f64 = tree.merges().iter().map(|merge| 0.5 * merge.height * merge.height).sum();
        prop_assert!((costs - f64::from(total)).abs() < 1e-3 * (1.0 + costs), "{} {}", costs, total);
        for clusters in 1..=rows.len() {
            let top = tree.top(clusters).unwrap();
            prop_assert_eq!((top.partition.count(), top.tree.points()), (clusters, clusters));
            // Cutting the top is cutting the tree.
            let half = clusters.div_ceil(2);
            let groups = top.tree.cut(half).unwrap();
            let again: Vec<usize> = (0..top.partition.points()).map(|point| groups.cluster(top.partition.cluster(point).unwrap()).unwrap()).collect();
            prop_assert_eq!(Partition::new(&again), tree.cut(half).unwrap());
        }
    }
}
