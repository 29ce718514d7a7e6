use ndarray::Array2;

use super::*;
use crate::rng::Rng;

fn cloud(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, 0);
    Array2::from_shape_fn((n, d), |(i, _)| (rng.normal() + (i % 5) as f64) as f32)
}

/// All distances in f64, sorted by (distance, index).
fn brute_force(points: &Array2<f32>, i: usize, metric: &Metric) -> Vec<(f64, usize)> {
    let x = points.mapv(f64::from);
    let mut all: Vec<(f64, usize)> = (0..x.nrows())
        .filter(|&j| j != i)
        .map(|j| {
            let (a, b) = (x.row(i), x.row(j));
            let distance = match metric.kernel() {
                Kernel::Euclidean | Kernel::Pairs => a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
                Kernel::InnerProduct => -a.dot(&b),
                Kernel::Cosine => {
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
    for metric in Metric::builtin() {
        let neighbors = Neighbors::exact(points.view(), 23, &metric, &()).unwrap();
        for i in (0..1500).step_by(7) {
            let truth = brute_force(&points, i, &metric);
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

/// Several blocks of pairs, and points whose bar, found in a sample, is too low or too high: sorted points, a tight
/// group far from all others, copies of one point.
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
    for metric in Metric::builtin() {
        let neighbors = Neighbors::exact(points.view(), 30, &metric, &()).unwrap();
        for i in (0..N).step_by(13).chain(100..600) {
            let truth = brute_force(&points, i, &metric);
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
    let neighbors = Neighbors::exact(equal.view(), 4, Metric::EUCLIDEAN, &()).unwrap();
    assert_eq!(neighbors.indices(2), [0, 1, 3, 4]);
    assert_eq!(neighbors.indices(2299), [0, 1, 2, 3]);
}

#[test]
fn far_from_the_origin() {
    let points = cloud(600, 8, 5) + 1000.0;
    let neighbors = Neighbors::exact(points.view(), 10, Metric::EUCLIDEAN, &()).unwrap();
    for i in 0..600 {
        let truth: Vec<u32> = brute_force(&points, i, &Metric::EUCLIDEAN)
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
    for metric in [Metric::EUCLIDEAN, Metric::COSINE] {
        let neighbors = Neighbors::exact(points.view(), 5, &metric, &()).unwrap();
        assert_eq!(neighbors.indices(8), [0, 4, 12, 16, 20]);
        assert_eq!(neighbors.distances(8), [0.0; 5]);
    }
    let equal = Array2::<f32>::from_elem((50, 3), 2.5);
    let neighbors = Neighbors::exact(equal.view(), 4, Metric::EUCLIDEAN, &()).unwrap();
    assert_eq!(neighbors.indices(2), [0, 1, 3, 4]);
}

#[test]
fn huge_and_tiny_values() {
    for scale in [1e30f32, 1e-30] {
        let points = cloud(60, 4, 1);
        let plain = Neighbors::exact(points.view(), 5, Metric::EUCLIDEAN, &()).unwrap();
        let scaled = Neighbors::exact((points * scale).view(), 5, Metric::EUCLIDEAN, &()).unwrap();
        assert_eq!(plain.indices, scaled.indices);
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let points = cloud(2500, 16, 2);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Neighbors::exact(points.view(), 12, Metric::COSINE, &()).unwrap())
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(8));
}

#[test]
fn bad_input_is_refused() {
    let mut points = cloud(10, 3, 1);
    let search = |points: &Array2<f32>, k| Neighbors::exact(points.view(), k, Metric::COSINE, &()).unwrap_err();
    assert!(matches!(
        search(&points, 10),
        Error::TooFewPoints {
            needed: 11,
            found: 10,
            ..
        }
    ));
    assert!(matches!(search(&points, 0), Error::Parameter { name: "k", .. }));
    points[[4, 2]] = f32::INFINITY;
    assert!(matches!(search(&points, 3), Error::NotFinite { row: 4, column: 2, .. }));
    let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
    points[[4, 2]] = 0.0;
    assert!(
        Neighbors::exact(points.view(), 3, Metric::COSINE, &stop)
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
    for metric in Metric::builtin() {
        let neighbors = Neighbors::exact(points.view(), 20, &metric, &()).unwrap();
        for i in (0..6000).step_by(97).chain([3000, 3001, 3399]) {
            for (slot, &(distance, _)) in brute_force(&points, i, &metric).iter().take(20).enumerate() {
                let found = f64::from(neighbors.distances(i)[slot]);
                assert!(
                    (found - distance).abs() < 1e-5 * (1.0 + distance.abs()),
                    "{metric:?} {i} {slot}: {found} {distance}"
                );
            }
        }
    }
    // Among equals the lowest indices, whatever the order in which they were met.
    let neighbors = Neighbors::exact(points.view(), 20, Metric::EUCLIDEAN, &()).unwrap();
    assert_eq!(neighbors.indices(3390), (3000..3020).collect::<Vec<u32>>());
}

#[test]
fn the_recall_is_what_was_asked_for_and_what_is_reported() {
    let points = cloud(5000, 16, 7);
    for metric in Metric::builtin() {
        let exact = Neighbors::exact(points.view(), 15, &metric, &()).unwrap();
        for wanted in [0.8, 0.99, 1.0] {
            let params = ApproximateParams {
                recall: wanted,
                ..ApproximateParams::default()
            };
            let (found, reported) = Neighbors::approximate(points.view(), 15, &metric, &params, &()).unwrap();
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
fn approximate_neighbors_of_few_and_equal_points() {
    let params = ApproximateParams::default();
    let few = cloud(6, 3, 1);
    let (found, recall) = Neighbors::approximate(few.view(), 5, Metric::EUCLIDEAN, &params, &()).unwrap();
    assert_eq!(found, Neighbors::exact(few.view(), 5, Metric::EUCLIDEAN, &()).unwrap());
    assert_eq!(recall, 1.0);
    // All in one cell, and more cells than different points.
    let equal = Array2::<f32>::from_elem((200, 3), 2.5);
    let (found, _) = Neighbors::approximate(equal.view(), 40, Metric::EUCLIDEAN, &params, &()).unwrap();
    assert!((0..200).all(|i| found.distances(i) == [0.0; 40] && !found.indices(i).contains(&(i as u32))));
}

#[test]
fn approximate_neighbors_are_the_same_bits_on_any_number_of_threads() {
    let points = cloud(3000, 16, 2);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let params = ApproximateParams::default();
        pool.install(|| Neighbors::approximate(points.view(), 12, Metric::COSINE, &params, &()).unwrap())
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
        Neighbors::approximate(points.view(), 3, Metric::EUCLIDEAN, &params, &()).unwrap_err()
    };
    for recall in [0.0, 1.1, f32::NAN] {
        assert!(matches!(with(recall, 9), Error::Parameter { name: "recall", .. }));
    }
    assert!(matches!(with(0.9, 0), Error::Parameter { name: "sample", .. }));
}

#[derive(Debug)]
struct Manhattan;

impl crate::metric::Distance for Manhattan {
    fn name(&self) -> &str {
        "manhattan"
    }

    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
    }
}

#[derive(Debug)]
struct Nowhere;

impl crate::metric::Distance for Nowhere {
    fn name(&self) -> &str {
        "nowhere"
    }

    fn distance(&self, _: &[f32], _: &[f32]) -> f32 {
        f32::NAN
    }
}

/// Indices and distances by sorting all, for any metric.
fn sorted(points: &Array2<f32>, from: &[f32], metric: &Metric) -> Vec<(u32, f32)> {
    let distance = |j: usize| metric.distance(from, points.row(j).as_slice().unwrap());
    let mut all: Vec<(u32, f32)> = (0..points.nrows()).map(|j| (j as u32, distance(j))).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    all
}

#[test]
fn a_metric_of_a_hosts() {
    let points = cloud(130, 5, 4);
    let found = Neighbors::exact(points.view(), 7, Manhattan, &()).unwrap();
    for i in 0..130 {
        let truth = sorted(&points, points.row(i).as_slice().unwrap(), &Manhattan.into());
        let truth: Vec<(u32, f32)> = truth
            .into_iter()
            .filter(|found| found.0 as usize != i)
            .take(7)
            .collect();
        let pairs = found.indices(i).iter().copied().zip(found.distances(i).iter().copied());
        assert_eq!(pairs.collect::<Vec<_>>(), truth);
    }
    let params = ApproximateParams::default();
    assert_eq!(
        Neighbors::approximate(points.view(), 7, Manhattan, &params, &()).unwrap(),
        (found, 1.0)
    );
    assert!(matches!(
        Neighbors::exact(points.view(), 7, Nowhere, &()),
        Err(Error::NotFinite { what: "distances", .. })
    ));
    assert!(matches!(
        CandidateSearch::new(points.view(), 7, Manhattan).map(|_| ()),
        Err(Error::Unsupported { .. })
    ));
}

#[test]
fn queries_and_radii_are_those_of_sorting_all() {
    let (points, new) = (cloud(700, 6, 11), cloud(45, 6, 12));
    let params = ApproximateParams {
        recall: 1.0,
        ..ApproximateParams::default()
    };
    for metric in Metric::builtin().into_iter().chain([Manhattan.into()]) {
        let mut searches: Vec<Box<dyn NeighborSearch>> = vec![Box::new(Exact::new(points.view(), &metric).unwrap())];
        match Cells::new(points.view(), &metric, &params, &()) {
            Ok(cells) => searches.push(Box::new(cells)),
            Err(error) => assert!(matches!(error, Error::Unsupported { .. }), "{error}"),
        }
        for search in &searches {
            assert_eq!((search.len(), search.columns(), search.metric()), (700, 6, &metric));
            let found = search.query(new.view(), 9, &()).unwrap();
            let radius = found.distances(3)[5];
            let near = search.within(new.view(), radius, &()).unwrap();
            assert_eq!((found.len(), near.len()), (45, 45));
            let mut missed = 0;
            for i in 0..45 {
                let truth = sorted(&points, new.row(i).as_slice().unwrap(), &metric);
                let close = |a: f32, b: f32| (a - b).abs() < 1e-4 * (1.0 + b.abs());
                for (distance, truth) in found.distances(i).iter().zip(&truth) {
                    missed += usize::from(!close(*distance, truth.1));
                }
                let inside = truth.iter().filter(|found| found.1 <= radius).count();
                assert!(near.indices(i).len().abs_diff(inside) <= 1, "{metric} {i}");
                assert!(near.distances(i).iter().all(|&distance| distance <= radius));
            }
            // A recall of 1 on the sample is nearly one elsewhere.
            assert!(missed <= 8, "{metric} {search:?}: {missed}");
            let table = search.neighbors(5, &()).unwrap();
            assert_eq!((table.len(), table.k()), (700, 5));
            let all = search.query(new.slice(ndarray::s![..1, ..]), 5000, &()).unwrap();
            assert_eq!(all.indices(0).len(), 700);
        }
    }
    let search = Exact::new(points.view(), Metric::EUCLIDEAN).unwrap();
    let same = search.query(points.slice(ndarray::s![40..41, ..]), 1, &()).unwrap();
    assert_eq!((same.indices(0), same.distances(0)), (&[40][..], &[0.0][..]));
    let narrow = new.slice(ndarray::s![.., ..3]);
    assert!(matches!(search.query(narrow, 2, &()), Err(Error::Shape { .. })));
    assert!(matches!(
        search.query(new.view(), 0, &()),
        Err(Error::Parameter { name: "k", .. })
    ));
    assert!(matches!(
        search.within(new.view(), f32::NAN, &()),
        Err(Error::Parameter { name: "radius", .. })
    ));
    let mut broken = new;
    broken[[2, 1]] = f32::NAN;
    assert!(matches!(
        search.query(broken.view(), 2, &()),
        Err(Error::NotFinite { row: 2, column: 1, .. })
    ));
}

#[test]
fn tables_of_others_are_checked() {
    let points = cloud(90, 4, 6);
    let own = Neighbors::exact(points.view(), 12, Metric::EUCLIDEAN, &()).unwrap();
    let table = |k, indices: &[u32], distances: &[f32]| {
        Neighbors::from_parts(k, Metric::EUCLIDEAN, indices.to_vec(), distances.to_vec())
    };
    assert_eq!(table(12, &own.indices, &own.distances).unwrap(), own);
    let shape = |found: Result<Neighbors>| matches!(found, Err(Error::Shape { what: "neighbors", .. }));
    assert!(matches!(table(0, &[], &[]), Err(Error::Parameter { name: "k", .. })));
    assert!(shape(table(1, &[], &[])) && shape(table(2, &[1, 2, 0], &[1.0; 3])));
    assert!(shape(table(1, &[1, 0], &[1.0])));
    // Its own neighbor, one that is not there, one that comes twice, a wrong order.
    assert!(shape(table(1, &[0, 0], &[1.0; 2])) && shape(table(1, &[1, 2], &[1.0; 2])));
    assert!(shape(table(2, &[1, 1, 0, 2, 0, 1], &[1.0; 6])));
    assert!(shape(table(2, &[1, 2, 0, 2, 0, 1], &[2.0, 1.0, 1.0, 1.0, 1.0, 1.0])));
    assert!(matches!(
        table(1, &[1, 0], &[1.0, f32::NAN]),
        Err(Error::NotFinite { row: 1, column: 0, .. })
    ));
}
