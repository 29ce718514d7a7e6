use ndarray::Array2;

use super::*;
use crate::rng::Rng;

fn cloud(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, 0);
    Array2::from_shape_fn((n, d), |(i, _)| (rng.normal() + (i % 5) as f64) as f32)
}

/// All distances in f64, sorted by (distance, index).
fn brute_force(points: &Array2<f32>, i: usize, metric: Metric) -> Vec<(f64, usize)> {
    let x = points.mapv(f64::from);
    let mut all: Vec<(f64, usize)> = (0..x.nrows())
        .filter(|&j| j != i)
        .map(|j| {
            let (a, b) = (x.row(i), x.row(j));
            let distance = match metric {
                Metric::Euclidean => a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
                Metric::InnerProduct => -a.dot(&b),
                Metric::Cosine => {
                    let norms = (a.dot(&a) * b.dot(&b)).sqrt();
                    if norms == 0.0 { 1.0 } else { 1.0 - a.dot(&b) / norms }
                }
            };
            (distance, j)
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

#[test]
fn agrees_with_brute_force() {
    let mut points = cloud(1500, 19, 3);
    points.row_mut(77).fill(0.0);
    points.row_mut(1400).fill(0.0);
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::InnerProduct] {
        let neighbors = Neighbors::exact(points.view(), 23, metric, &()).unwrap();
        for i in (0..1500).step_by(7) {
            let truth = brute_force(&points, i, metric);
            for (slot, &(distance, _)) in truth.iter().take(23).enumerate() {
                let found = f64::from(neighbors.distances(i)[slot]);
                assert!(
                    (found - distance).abs() < 1e-5 * (1.0 + distance.abs()),
                    "{metric:?} {i} {slot}: {found} {distance}"
                );
            }
            assert!(!neighbors.indices(i).contains(&(i as u32)));
        }
    }
}

/// Several blocks of pairs, and points whose bar, found in a sample, is too low or too high: sorted points, a tight group
/// far from all others, copies of one point.
#[test]
fn points_that_a_sample_misjudges() {
    const N: usize = 2300;
    let mut points = cloud(N, 7, 8);
    for i in 0..N {
        let shift = i as f32 * 0.01;
        points.row_mut(i).mapv_inplace(|x| x + shift);
    }
    for i in 100..600 {
        points.row_mut(i).mapv_inplace(|x| 30.0 + 0.01 * x);
    }
    let copied = points.row(900).to_owned();
    for i in (900..1400).step_by(2) {
        points.row_mut(i).assign(&copied);
    }
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::InnerProduct] {
        let neighbors = Neighbors::exact(points.view(), 30, metric, &()).unwrap();
        for i in (0..N).step_by(13).chain(100..600) {
            let truth = brute_force(&points, i, metric);
            let scale = truth[29].0.abs().max(1.0);
            for (slot, &(distance, _)) in truth.iter().take(30).enumerate() {
                let found = f64::from(neighbors.distances(i)[slot]);
                assert!(
                    (found - distance).abs() < 1e-5 * scale,
                    "{metric:?} {i} {slot}: {found} {distance}"
                );
            }
            let mut indices = neighbors.indices(i).to_vec();
            indices.sort_unstable();
            indices.dedup();
            assert!(indices.len() == 30 && !indices.contains(&(i as u32)));
        }
    }
    let equal = Array2::<f32>::from_elem((N, 3), 2.5);
    let neighbors = Neighbors::exact(equal.view(), 4, Metric::Euclidean, &()).unwrap();
    assert_eq!(neighbors.indices(2), [0, 1, 3, 4]);
    assert_eq!(neighbors.indices(2299), [0, 1, 2, 3]);
}

#[test]
fn far_from_the_origin() {
    let points = cloud(600, 8, 5) + 1000.0;
    let neighbors = Neighbors::exact(points.view(), 10, Metric::Euclidean, &()).unwrap();
    for i in 0..600 {
        let truth: Vec<u32> = brute_force(&points, i, Metric::Euclidean)
            .iter()
            .take(10)
            .map(|p| p.1 as u32)
            .collect();
        assert_eq!(neighbors.indices(i), truth);
    }
}

#[test]
fn duplicates_are_at_distance_zero_and_ordered_by_index() {
    let mut points = cloud(400, 6, 9);
    for i in (0..400).step_by(4) {
        let first = points.row(0).to_owned();
        points.row_mut(i).assign(&first);
    }
    for metric in [Metric::Euclidean, Metric::Cosine] {
        let neighbors = Neighbors::exact(points.view(), 5, metric, &()).unwrap();
        assert_eq!(neighbors.indices(8), [0, 4, 12, 16, 20]);
        assert_eq!(neighbors.distances(8), [0.0; 5]);
    }
    let equal = Array2::<f32>::from_elem((50, 3), 2.5);
    let neighbors = Neighbors::exact(equal.view(), 4, Metric::Euclidean, &()).unwrap();
    assert_eq!(neighbors.indices(2), [0, 1, 3, 4]);
}

#[test]
fn huge_and_tiny_values() {
    for scale in [1e30f32, 1e-30] {
        let points = cloud(60, 4, 1);
        let plain = Neighbors::exact(points.view(), 5, Metric::Euclidean, &()).unwrap();
        let scaled = Neighbors::exact((points * scale).view(), 5, Metric::Euclidean, &()).unwrap();
        assert_eq!(plain.indices, scaled.indices);
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let points = cloud(2500, 16, 2);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Neighbors::exact(points.view(), 12, Metric::Cosine, &()).unwrap())
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(8));
}

#[test]
fn bad_input_is_refused() {
    let mut points = cloud(10, 3, 1);
    let search = |points: &Array2<f32>, k| Neighbors::exact(points.view(), k, Metric::Cosine, &()).unwrap_err();
    assert!(matches!(
        search(&points, 10),
        Error::TooFewPoints {
            needed: 11,
            found: 10,
            ..
        }
    ));
    assert!(matches!(search(&points, 0), Error::Parameter { parameter: "k", .. }));
    points[[4, 2]] = f32::INFINITY;
    assert!(matches!(search(&points, 3), Error::NotFinite { row: 4, column: 2, .. }));
    let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
    points[[4, 2]] = 0.0;
    assert!(
        Neighbors::exact(points.view(), 3, Metric::Cosine, &stop)
            .unwrap_err()
            .is_cancelled()
    );
}

/// Enough points for the thresholds of the sample, which 1,500 are not; sorted, and with many equal ones.
#[test]
fn agrees_with_brute_force_where_thresholds_are_guessed() {
    let mut rng = Rng::new(21, 0);
    let mut points = Array2::from_shape_fn((6000, 7), |(i, _)| (rng.normal() + (i / 600) as f64) as f32);
    for i in 3000..3400 {
        let first = points.row(3000).to_owned();
        points.row_mut(i).assign(&first);
    }
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::InnerProduct] {
        let neighbors = Neighbors::exact(points.view(), 20, metric, &()).unwrap();
        for i in (0..6000).step_by(97).chain([3000, 3001, 3399]) {
            for (slot, &(distance, _)) in brute_force(&points, i, metric).iter().take(20).enumerate() {
                let found = f64::from(neighbors.distances(i)[slot]);
                assert!(
                    (found - distance).abs() < 1e-5 * (1.0 + distance.abs()),
                    "{metric:?} {i} {slot}: {found} {distance}"
                );
            }
        }
    }
    // Among equals the lowest indices, whatever the order in which they were met.
    let neighbors = Neighbors::exact(points.view(), 20, Metric::Euclidean, &()).unwrap();
    assert_eq!(neighbors.indices(3390), (3000..3020).collect::<Vec<u32>>());
}

#[test]
fn the_recall_is_what_was_asked_for_and_what_is_reported() {
    let points = cloud(5000, 16, 7);
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::InnerProduct] {
        let exact = Neighbors::exact(points.view(), 15, metric, &()).unwrap();
        for wanted in [0.8, 0.99, 1.0] {
            let params = ApproximateParams {
                recall: wanted,
                ..ApproximateParams::default()
            };
            let (found, reported) = Neighbors::approximate(points.view(), 15, metric, &params, &()).unwrap();
            let hits: usize = (0..5000)
                .map(|i| {
                    let row = found.indices(i);
                    assert!(!row.contains(&(i as u32)));
                    assert!(found.distances(i).windows(2).all(|pair| pair[0] <= pair[1]));
                    exact.indices(i).iter().filter(|&j| row.contains(j)).count()
                })
                .sum();
            let recall = hits as f32 / 75_000.0;
            assert!(recall > wanted - 0.02, "{metric:?} {wanted}: {recall}");
            assert!(
                (recall - reported).abs() < 0.02,
                "{metric:?} {wanted}: {recall} {reported}"
            );
        }
    }
}

#[test]
fn approximate_neighbours_of_few_and_equal_points() {
    let params = ApproximateParams::default();
    let few = cloud(6, 3, 1);
    let (found, recall) = Neighbors::approximate(few.view(), 5, Metric::Euclidean, &params, &()).unwrap();
    assert_eq!(found, Neighbors::exact(few.view(), 5, Metric::Euclidean, &()).unwrap());
    assert_eq!(recall, 1.0);
    // All in one cell, and more cells than different points.
    let equal = Array2::<f32>::from_elem((200, 3), 2.5);
    let (found, _) = Neighbors::approximate(equal.view(), 40, Metric::Euclidean, &params, &()).unwrap();
    assert!((0..200).all(|i| found.distances(i) == [0.0; 40] && !found.indices(i).contains(&(i as u32))));
}

#[test]
fn approximate_neighbours_are_the_same_bits_on_any_number_of_threads() {
    let points = cloud(3000, 16, 2);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let params = ApproximateParams::default();
        pool.install(|| Neighbors::approximate(points.view(), 12, Metric::Cosine, &params, &()).unwrap())
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(8));
}

#[test]
fn bad_parameters_of_the_approximate_search_are_refused() {
    let points = cloud(50, 3, 1);
    let with = |recall, sample| {
        let params = ApproximateParams {
            recall,
            sample,
            seed: 0,
        };
        Neighbors::approximate(points.view(), 3, Metric::Euclidean, &params, &()).unwrap_err()
    };
    for recall in [0.0, 1.1, f32::NAN] {
        assert!(matches!(
            with(recall, 9),
            Error::Parameter {
                parameter: "recall",
                ..
            }
        ));
    }
    assert!(matches!(
        with(0.9, 0),
        Error::Parameter {
            parameter: "sample",
            ..
        }
    ));
}
