//! Clouds for every test.

#![allow(dead_code, unreachable_pub, reason = "no test uses all, and every test is a crate")]

use attn_project::Metric;
use ndarray::Array2;

pub const METRICS: [Metric; 3] = [Metric::EUCLIDEAN, Metric::COSINE, Metric::INNER_PRODUCT];

/// SplitMix64, by its index.
fn uniform(index: u64) -> f64 {
    let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Normal points around five centers in a row.
pub fn cloud(n: usize, d: usize, seed: u64) -> Array2<f32> {
    Array2::from_shape_fn((n, d), |(i, c)| {
        let index = (seed << 40) + 2 * (i * d + c) as u64 + 1;
        let radius = (-2.0 * (1.0 - uniform(index)).ln()).sqrt();
        (radius * (std::f64::consts::TAU * uniform(index + 1)).cos() + (i % 5) as f64) as f32
    })
}

/// Far groups of points: what a projection must keep apart.
pub fn groups(n: usize, d: usize, groups: usize) -> Array2<f32> {
    let centers = cloud(groups, d, 77);
    let noise = cloud(n, d, 78);
    Array2::from_shape_fn((n, d), |(i, c)| {
        6.0 * centers[[i % groups, c]] + noise[[i, c]] - (i % 5) as f32
    })
}
