//! Points of all methods of clustering: checks, equal points, distances.

use std::hash::{DefaultHasher, Hash, Hasher};

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::{Error, error::finite};

/// At least one point, all of them finite.
pub(super) fn check(points: ArrayView2<'_, f32>) -> Result<(), Error> {
    if points.nrows() == 0 {
        return Err(Error::Empty {
            place: "points".into(),
            expected: "at least one point".into(),
        });
    }
    finite(points.iter(), || "points".into())
}

/// Squared length.
pub(super) fn norm(row: &[f32]) -> f32 {
    row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() as f32
}

/// Squared Euclidean distance from differences, in eight lanes of double precision.
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let term = |x: f32, y: f32| {
        let difference = f64::from(x) - f64::from(y);
        difference * difference
    };
    let rest: f64 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(&x, &y)| term(x, y))
        .sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += term(x[lane], y[lane]);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Rows that are equal, as groups in the order of their first row.
pub(super) fn equal_rows(points: ArrayView2<'_, f32>) -> Vec<Vec<usize>> {
    // Adding 0 turns -0 into 0: they are equal, but not bit by bit.
    let bits = |row: usize| points.row(row).into_iter().map(|&x| (x + 0.0).to_bits());
    let mut hashes: Vec<(u64, usize)> = (0..points.nrows())
        .into_par_iter()
        .map(|row| {
            let mut hasher = DefaultHasher::new();
            bits(row).for_each(|x| x.hash(&mut hasher));
            (hasher.finish(), row)
        })
        .collect();
    hashes.sort_unstable();
    let mut groups: Vec<Vec<usize>> = Vec::with_capacity(hashes.len());
    let mut start = 0;
    while start < hashes.len() {
        let end = start
            + hashes[start..]
                .iter()
                .take_while(|(hash, _)| *hash == hashes[start].0)
                .count();
        let first = groups.len();
        for &(_, row) in &hashes[start..end] {
            match groups[first..].iter_mut().find(|group| bits(group[0]).eq(bits(row))) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        start = end;
    }
    groups.sort_unstable_by_key(|group| group[0]);
    groups
}
