//! Points of all methods of clustering: checks, equal points, distances.
//!
//! Distances that decide anything come from differences in double precision. Products of matrices in single precision, which
//! are many times as fast, only say which pairs need not be looked at: their rounding has a bound ([`Slack`]).

use std::hash::{DefaultHasher, Hash, Hasher};

use ndarray::{Array2, ArrayView2, linalg::general_mat_mul, s};
use rayon::prelude::*;

use crate::{Error, error::finite};

/// Points, and centers, compared at a time.
const BLOCK: usize = 256;
const TILE: usize = 1024;
/// A squared distance below this share of the squared lengths has lost too many digits in single precision.
const NEAR: f32 = 0.05;

/// At least one point, all of them finite and of a magnitude that [`attn_project::check_points`] lets in.
pub(super) fn check(points: ArrayView2<'_, f32>) -> Result<(), Error> {
    if points.nrows() == 0 {
        return Err(Error::Empty {
            place: "points".into(),
            expected: "at least one point".into(),
        });
    }
    finite(points.iter(), || "points".into())?;
    Ok(attn_project::check_points("points", points)?)
}

/// Squared length.
pub(super) fn norm(row: &[f32]) -> f32 {
    row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() as f32
}

/// Squared Euclidean distance from differences, in eight lanes of double precision.
pub(super) fn squared_distance<A, B>(a: &[A], b: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    let mut lanes = [0.0_f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let term = |x: A, y: B| {
        let difference = x.into() - y.into();
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

/// What rounding may add to, or take from, a squared distance of points in a [`Frame`] that comes from norms and a product in
/// single precision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slack(f32);

impl Slack {
    /// One unit for each dimension (the sum of the product, whatever its order), and some for the coordinates, the norms and
    /// what is made of them.
    pub(super) fn new(dims: usize) -> Self {
        Self((dims as f32 + 32.0) * 0.5 * f32::EPSILON)
    }

    /// The slack of a pair, from the sum of both squared lengths. Terms below the normal numbers lose all their digits, but even
    /// millions of them less than the smallest one.
    pub(super) fn of(self, norms: f32) -> f32 {
        self.0 * norms + f32::MIN_POSITIVE
    }
}

/// The mean of points and a unit near their largest distance from it. Around that origin and in that unit, single precision
/// neither overflows nor vanishes, and loses least.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    mean: Vec<f64>,
    /// A power of two, so that dividing by it rounds nothing.
    unit: f64,
}

/// Rows in a [`Frame`] in single precision, and their squared lengths.
#[derive(Debug)]
pub(super) struct Placed {
    rows: Array2<f32>,
    norms: Vec<f32>,
}

impl Frame {
    pub(super) fn of(points: ArrayView2<'_, f32>) -> Self {
        let mut mean = vec![0.0_f64; points.ncols()];
        for row in points.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        mean.iter_mut().for_each(|sum| *sum /= points.nrows().max(1) as f64);
        let mut largest = 0.0_f64;
        for row in points.rows() {
            let far = row.iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean).abs());
            largest = far.fold(largest, f64::max);
        }
        let unit = if largest > 0.0 {
            largest.log2().floor().exp2()
        } else {
            1.0
        };
        Self { mean, unit }
    }

    /// What a squared distance in this frame is outside of it, divided by that.
    pub(super) fn square(&self) -> f64 {
        self.unit * self.unit
    }

    /// One row in this frame.
    pub(super) fn place<T: Copy + Into<f64>>(&self, row: impl IntoIterator<Item = T>) -> impl Iterator<Item = f64> {
        let centered = row.into_iter().zip(&self.mean).map(|(x, mean)| x.into() - mean);
        // The reciprocal of a power of two is exact, and multiplying is many times as fast as dividing.
        let scale = 1.0 / self.unit;
        centered.map(move |x| x * scale)
    }

    /// All points in this frame, for those that are compared many times.
    pub(super) fn placed(&self, points: ArrayView2<'_, f32>) -> Placed {
        self.single(points)
    }

    fn single<T: Copy + Into<f64>>(&self, rows: ArrayView2<'_, T>) -> Placed {
        let mut placed = Vec::with_capacity(rows.len());
        for row in rows.rows() {
            placed.extend(self.place(row.iter().copied()).map(|x| x as f32));
        }
        let norms = placed.chunks(rows.ncols().max(1)).map(norm).collect();
        Placed {
            rows: Array2::from_shape_vec(rows.dim(), placed).unwrap_or_default(),
            norms,
        }
    }

    /// The squared distances of all points to some of them, outside of the frame, one list per `row` of those. They are rounded as
    /// single precision does, near ones less: no equal point is at a distance, and no other at none.
    pub(super) fn distances(&self, points: ArrayView2<'_, f32>, placed: &Placed, rows: &[usize]) -> Vec<Vec<f64>> {
        let points = points.as_standard_layout();
        let dims = points.ncols();
        let flat = points.as_slice().unwrap_or_default();
        let slack = Slack::new(dims);
        let centers = placed.rows.select(ndarray::Axis(0), rows);
        let starts: Vec<usize> = (0..points.nrows()).step_by(BLOCK).collect();
        let of_block = |start: usize| {
            let end = points.nrows().min(start + BLOCK);
            let mut products = Array2::<f32>::zeros((rows.len(), end - start));
            let block = placed.rows.slice(s![start..end, ..]);
            general_mat_mul(-2.0, &centers, &block.t(), 0.0, &mut products);
            let distance = |(at, column): (usize, usize), product: f32| {
                let (row, point) = (rows[at], start + column);
                let norms = placed.norms[row] + placed.norms[point];
                let rough = norms + product;
                if rough > NEAR * norms + slack.of(norms) {
                    return f64::from(rough) * self.square();
                }
                let place = |row: usize| &flat[row * dims..(row + 1) * dims];
                squared_distance(place(row), place(point))
            };
            Array2::from_shape_fn(products.dim(), |at| distance(at, products[at]))
        };
        let blocks: Vec<Array2<f64>> = starts.into_par_iter().map(of_block).collect();
        let of_row = |at: usize| blocks.iter().flat_map(|block| block.row(at).to_vec()).collect();
        (0..rows.len()).map(of_row).collect()
    }

    /// The nearest center of each point and the squared distance to it, outside of the frame; the first of equally near ones.
    ///
    /// `placed` are the points in this frame, where they are known. `skip` names a center that a point may not have. A point
    /// has none if there is no other.
    pub(super) fn nearest<T: Copy + Into<f64> + Sync>(
        &self,
        points: ArrayView2<'_, f32>,
        placed: Option<&Placed>,
        centers: ArrayView2<'_, T>,
        skip: impl Fn(usize) -> Option<usize> + Sync,
    ) -> Vec<Option<(usize, f64)>> {
        let points = points.as_standard_layout();
        let centers = centers.as_standard_layout();
        let dims = points.ncols();
        if dims == 0 {
            let first = |row| usize::from(skip(row) == Some(0));
            let any = |row| (first(row) < centers.nrows()).then(|| (first(row), 0.0));
            return (0..points.nrows()).map(any).collect();
        }
        let (Some(flat), Some(flat_centers)) = (points.as_slice(), centers.as_slice()) else {
            return Vec::new();
        };
        let slack = Slack::new(dims);
        let tiles: Vec<Placed> = (0..centers.nrows())
            .into_par_iter()
            .step_by(TILE)
            .map(|start| self.single(centers.slice(s![start..centers.nrows().min(start + TILE), ..])))
            .collect();
        let starts: Vec<usize> = (0..points.nrows()).step_by(BLOCK).collect();
        let of_block = |start: usize| {
            let end = points.nrows().min(start + BLOCK);
            let own;
            let (rows, norms) = match placed {
                Some(placed) => (placed.rows.slice(s![start..end, ..]), &placed.norms[start..end]),
                None => {
                    own = self.single(points.slice(s![start..end, ..]));
                    (own.rows.view(), &own.norms[..])
                }
            };
            // Of each row, the nearest so far, and the most that the nearest can be away.
            let mut near: Vec<(Option<(usize, f64)>, f32)> = vec![(None, f32::INFINITY); end - start];
            // Centers of one tile that may be nearest: equal ones all may.
            let mut candidates: Vec<(usize, f32)> = Vec::new();
            for (
                tile,
                Placed {
                    rows: centers,
                    norms: center_norms,
                },
            ) in tiles.iter().enumerate()
            {
                let mut products = Array2::<f32>::zeros((end - start, centers.nrows()));
                general_mat_mul(-2.0, &rows, &centers.t(), 0.0, &mut products);
                for (at, products) in products.rows().into_iter().enumerate() {
                    let (best, most) = &mut near[at];
                    // Nothing is nearer than an equal one.
                    if best.is_some_and(|(_, distance)| distance == 0.0) {
                        continue;
                    }
                    candidates.clear();
                    let skipped = skip(start + at);
                    for (column, (&product, &norm)) in products.iter().zip(center_norms).enumerate() {
                        let rounding = slack.of(norm + norms[at]);
                        let least = norm + product - rounding;
                        let center = tile * TILE + column;
                        if least <= *most && skipped != Some(center) {
                            candidates.push((center, least));
                            *most = most.min(norm + product + rounding);
                        }
                    }
                    let row = &flat[(start + at) * dims..(start + at + 1) * dims];
                    for &(center, _) in candidates.iter().filter(|&&(_, least)| least <= *most) {
                        let place = &flat_centers[center * dims..(center + 1) * dims];
                        let distance = squared_distance(row, place);
                        if best.is_none_or(|(_, nearest)| distance < nearest) {
                            *best = Some((center, distance));
                        }
                    }
                }
            }
            near.into_iter().map(|(best, _)| best).collect::<Vec<_>>()
        };
        starts.into_par_iter().flat_map_iter(of_block).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_the_first_of_the_nearest_among_equal_and_near_ones() {
        // More than two tiles of centers, most of them copies of a few.
        let center = |row: usize, column: usize| match row % 7 {
            0..5 => (row % 5 * 3 + column) as f32,
            _ => (row * 31 % 17 + column * 5 % 3) as f32 + 1e-3 * (row % 11) as f32,
        };
        let centers = Array2::from_shape_fn((2 * TILE + 100, 4), |(row, column)| center(row, column));
        let points = Array2::from_shape_fn((300, 4), |(row, column)| {
            center(row * 13 + 5, column) + (row % 3) as f32 * 0.25
        });
        let frame = Frame::of(points.view());
        let placed = frame.placed(points.view());
        let skip = |row: usize| row.is_multiple_of(2).then_some(row % 5);
        for placed in [None, Some(&placed)] {
            let found = frame.nearest(points.view(), placed, centers.view(), skip);
            for (row, found) in found.into_iter().enumerate() {
                let distance = |center: usize| {
                    let pairs = points.row(row).into_iter().zip(centers.row(center));
                    pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>()
                };
                let others = (0..centers.nrows()).filter(|&center| skip(row) != Some(center));
                let truth = others.min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
                assert_eq!(found.map(|(center, _)| center), truth, "{row}");
            }
        }
    }

    #[test]
    fn distances_are_those_of_differences_and_zero_only_where_points_are_equal() {
        let points = Array2::from_shape_fn((600, 5), |(row, column)| {
            1e4 + (row % 150 * 7 % 31 + column) as f32 + if row % 150 == 3 { 2e-3 } else { 0.0 }
        });
        let frame = Frame::of(points.view());
        let rows = [0, 3, 299, 599];
        let found = frame.distances(points.view(), &frame.placed(points.view()), &rows);
        for (found, &row) in found.iter().zip(&rows) {
            for (other, &found) in found.iter().enumerate() {
                let pairs = points.row(row).into_iter().zip(points.row(other));
                let truth: f64 = pairs.map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum();
                assert!((found - truth).abs() <= 1e-4 * truth, "{row} {other}: {found}, {truth}");
                assert_eq!(found == 0.0, truth == 0.0);
            }
        }
    }
}
