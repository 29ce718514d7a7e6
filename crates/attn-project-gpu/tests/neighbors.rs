//! The GPU's neighbor table against the CPU's and against brute force in f64.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod common;

use attn_project::{Metric, Neighbors, metric::Kernel};
use attn_project_gpu::Gpu;
use common::{METRICS, cloud};
use ndarray::Array2;

fn distance(points: &Array2<f32>, i: usize, j: usize, metric: &Metric) -> f64 {
    let (a, b) = (points.row(i).mapv(f64::from), points.row(j).mapv(f64::from));
    match metric.kernel() {
        Kernel::Euclidean => (&a - &b).mapv(|x| x * x).sum().sqrt(),
        Kernel::InnerProduct => -a.dot(&b),
        _ => {
            let norms = (a.dot(&a) * b.dot(&b)).sqrt();
            if norms == 0.0 { 1.0 } else { 1.0 - a.dot(&b) / norms }
        }
    }
}

/// Points, dimensions and neighbors: below and above a tile, more than a block, every kind of padding, few and most
/// neighbors.
const SHAPES: [(usize, usize, usize); 5] = [(4, 1, 3), (65, 3, 1), (300, 19, 299), (600, 16, 504), (1100, 33, 90)];

#[test]
fn equal_to_the_cpu() {
    let gpu = Gpu::headless().unwrap();
    for (n, d, k) in SHAPES {
        let points = cloud(n, d, 3);
        for metric in METRICS {
            let found = gpu.neighbors(points.view(), k, &metric, &()).unwrap();
            let truth = Neighbors::exact(points.view(), k, &metric, &()).unwrap();
            assert_eq!(found, truth, "{n} x {d}, {k}, {metric:?}");
        }
    }
}

#[test]
fn recall_is_one_up_to_ties() {
    let gpu = Gpu::headless().unwrap();
    let (n, k) = (900, 30);
    let mut points = cloud(n, 12, 5);
    points.row_mut(7).fill(0.0);
    points.row_mut(800).fill(0.0);
    for metric in METRICS {
        let found = gpu.neighbors(points.view(), k, &metric, &()).unwrap();
        for i in (0..n).step_by(3) {
            let mut truth: Vec<f64> = (0..n)
                .filter(|&j| j != i)
                .map(|j| distance(&points, i, j, &metric))
                .collect();
            truth.sort_by(f64::total_cmp);
            let mut seen = found.indices(i).to_vec();
            seen.sort_unstable();
            seen.dedup();
            assert!(seen.len() == k && !seen.contains(&(i as u32)));
            for ((&j, &distance_found), &true_distance) in found.indices(i).iter().zip(found.distances(i)).zip(&truth) {
                // As far as the one that belongs in this place, and measured right.
                let tolerance = 1e-5 * (1.0 + true_distance.abs());
                assert!(
                    (distance(&points, i, j as usize, &metric) - true_distance).abs() < tolerance,
                    "{metric:?} {i}"
                );
                assert!(
                    (f64::from(distance_found) - true_distance).abs() < tolerance,
                    "{metric:?} {i}"
                );
            }
        }
    }
}

#[test]
fn equal_far_huge_and_tiny_points() {
    let gpu = Gpu::headless().unwrap();
    let plain = cloud(400, 6, 9);
    let mut copies = plain.clone();
    for i in (0..400).step_by(4) {
        copies.row_mut(i).assign(&plain.row(0));
    }
    let clouds = [
        copies,
        Array2::from_elem((100, 3), 2.5),
        Array2::zeros((70, 2)),
        plain.clone() + 1000.0,
        plain.clone() * 1e30,
        plain * 1e-30,
    ];
    for (which, points) in clouds.iter().enumerate() {
        for metric in METRICS {
            let found = gpu.neighbors(points.view(), 5, &metric, &()).unwrap();
            let truth = Neighbors::exact(points.view(), 5, &metric, &()).unwrap();
            // Far from the origin all directions are the same to within rounding, and the CPU cannot tell them apart
            // either.
            let doubt = if which == 3 && metric == Metric::COSINE {
                2e-7
            } else {
                0.0
            };
            for i in 0..points.nrows() {
                let pairs = found.distances(i).iter().zip(truth.distances(i));
                for (a, b) in pairs {
                    assert!((a - b).abs() <= doubt, "cloud {which}, {metric:?}, point {i}: {a} {b}");
                }
            }
            if which < 3 && metric == Metric::EUCLIDEAN {
                assert_eq!(found, truth, "equal points come by index: cloud {which}");
            }
        }
    }
}

#[test]
fn the_same_bits_again() {
    let gpu = Gpu::headless().unwrap();
    let points = cloud(1200, 20, 1);
    let run = || gpu.neighbors(points.view(), 40, Metric::COSINE, &()).unwrap();
    assert_eq!(run(), run());
}
