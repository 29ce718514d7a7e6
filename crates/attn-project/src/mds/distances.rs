//! A map of things of which only distances are known.
//!
//! Starts from classical scaling (Torgerson, *Multidimensional scaling: I. Theory and method*, Psychometrika 1952),
//! which is exact where the distances fit, then moves the points so that the squared differences of distances shrink
//! with every step (SMACOF: de Leeuw 1977; Borg and Groenen, *Modern Multidimensional Scaling*, 2nd ed., chapters 8
//! and 12).

use attn_core::{Progress, progress};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use crate::{Dims, Error, Result, eigen, linalg::check_points, stages};

/// Up to so many points all eigenvectors cost less than a search for a few.
const DENSE: usize = 160;
/// Residual of an eigenvector as a share of the largest eigenvalue, and restarts to reach it: it is a start.
const TOLERANCE: f64 = 1e-6;
const RESTARTS: usize = 20;
/// Steps end when the stress shrinks by less than this share, or after so many.
const ENOUGH: f64 = 1e-7;
const STEPS: usize = 1000;

/// A layout of things by their distances.
#[derive(Debug, Clone, PartialEq)]
pub struct DistanceMap {
    /// Coordinates `[thing, dimension]`: their mean is the origin, the direction of largest spread comes first.
    pub points: Array2<f32>,
    /// Error of the distances between them, 0 for exact: the root of the sum of squared errors over the sum of squared
    /// distances (Kruskal's stress-1, after scaling). Below 0.1 is usually called good, above 0.2 poor.
    pub stress: f64,
}

impl DistanceMap {
    /// Lays things out by their `distances`, `[thing, thing]`: symmetric, not negative, and 0 from a thing to itself.
    ///
    /// Memory and a step's time grow with the square of their number. Nothing is drawn at random; the same bits on any
    /// number of threads.
    ///
    /// ```
    /// use attn_project::{Dims, mds::DistanceMap};
    /// // Three, four and five: a right angle.
    /// let distances = ndarray::array![[0.0, 3.0, 4.0], [3.0, 0.0, 5.0], [4.0, 5.0, 0.0_f32]];
    /// let map = DistanceMap::fit(distances.view(), Dims::Two, &())?;
    /// assert!(map.stress < 1e-6);
    /// let apart = &map.points.row(1) - &map.points.row(2);
    /// assert!((apart.dot(&apart) - 25.0).abs() < 1e-4);
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without things, [`Error::Shape`] if the matrix is not square, [`Error::Parameter`] if it
    /// is not one of distances, [`Error::NotFinite`], [`Error::TooLarge`], [`Error::Cancelled`].
    pub fn fit(distances: ArrayView2<'_, f32>, dims: Dims, progress: &dyn Progress) -> Result<Self> {
        check(distances)?;
        let distances = distances.mapv(f64::from);
        let n = distances.nrows();
        let mut points = classical(&distances, dims.count())?;
        let total: f64 = distances.iter().map(|distance| distance * distance).sum();
        let mut error = if total > 0.0 {
            squared_error(&points, &distances)
        } else {
            0.0
        };
        for taken in 0..STEPS {
            progress::step(progress, stages::MDS, taken, STEPS)?;
            // Exact to rounding is as good as it gets.
            if error <= 1e-14 * total {
                break;
            }
            let next = guttman(&points, &distances);
            let less = squared_error(&next, &distances);
            points = next;
            let gain = error - less;
            error = less;
            if gain <= ENOUGH * error {
                break;
            }
        }
        turn(&mut points);
        progress::step(progress, stages::MDS, STEPS, STEPS)?;
        Ok(Self {
            points: points.mapv(|x| x as f32),
            stress: if n > 1 && total > 0.0 {
                (error / total).sqrt()
            } else {
                0.0
            },
        })
    }
}

fn check(distances: ArrayView2<'_, f32>) -> Result<()> {
    let (rows, columns) = distances.dim();
    if rows == 0 {
        return Err(Error::too_few("map of distances", 1, 0));
    }
    if rows != columns {
        let found = format!("[{rows}, {columns}]");
        return Err(Error::shape("distances", format!("[{rows}, {rows}]"), found));
    }
    check_points("distances", distances)?;
    for ((a, b), &distance) in distances.indexed_iter() {
        let back = distances[[b, a]];
        if distance < 0.0 || (a == b && distance != 0.0) {
            let expected = "none below 0, and 0 from a thing to itself";
            return Err(Error::parameter(
                "distances",
                expected,
                format!("{distance} from {a} to {b}"),
            ));
        }
        if (distance - back).abs() > 1e-5 * distance.max(back) {
            let found = format!("{distance} from {a} to {b}, {back} back");
            return Err(Error::parameter("distances", "the same both ways", found));
        }
    }
    Ok(())
}

/// The leading axes of the points that the distances would have if they fitted a space of any number of dimensions.
fn classical(distances: &Array2<f64>, dims: usize) -> Result<Array2<f64>> {
    let n = distances.nrows();
    let mut gram = distances.mapv(|distance| -0.5 * distance * distance);
    let means = gram.mean_axis(Axis(0)).unwrap_or_default();
    let mean = means.mean().unwrap_or(0.0);
    for ((a, b), value) in gram.indexed_iter_mut() {
        *value += mean - means[a] - means[b];
    }
    let (values, vectors) = if n <= DENSE {
        eigen::symmetric(gram)
    } else {
        eigen::leading(n, dims, TOLERANCE, RESTARTS, 0, |block| Ok(block.dot(&gram)))?
    };
    Ok(Array2::from_shape_fn((n, dims), |(point, axis)| {
        let length = values.get(axis).map_or(0.0, |value| value.max(0.0).sqrt());
        if length > 0.0 {
            length * vectors[[axis, point]]
        } else {
            0.0
        }
    }))
}

fn length(points: &Array2<f64>, a: usize, b: usize) -> f64 {
    let squares = points
        .row(a)
        .into_iter()
        .zip(points.row(b))
        .map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt()
}

/// The sum over both orders of every pair.
fn squared_error(points: &Array2<f64>, distances: &Array2<f64>) -> f64 {
    let of = |a: usize| -> f64 {
        let errors = distances.row(a).into_iter().enumerate();
        errors
            .map(|(b, distance)| (distance - length(points, a, b)).powi(2))
            .sum()
    };
    // Summed in the order of the points: the same on any number of threads.
    let rows: Vec<f64> = (0..points.nrows()).into_par_iter().map(of).collect();
    rows.iter().sum()
}

/// One step: the mean of where each other point would have this one.
fn guttman(points: &Array2<f64>, distances: &Array2<f64>) -> Array2<f64> {
    let (n, dims) = points.dim();
    let of = |a: usize| -> Vec<f64> {
        let mut place = vec![0.0; dims];
        for b in (0..n).filter(|&b| b != a) {
            let now = length(points, a, b);
            // Points on each other have no direction to part in.
            let ratio = if now > 0.0 { distances[[a, b]] / now } else { 0.0 };
            for (axis, place) in place.iter_mut().enumerate() {
                *place += ratio * (points[[a, axis]] - points[[b, axis]]);
            }
        }
        place
    };
    let rows: Vec<Vec<f64>> = (0..n).into_par_iter().map(of).collect();
    Array2::from_shape_fn((n, dims), |(point, axis)| rows[point][axis] / n as f64)
}

/// Puts the direction of largest spread first, and the first point off the middle of each on the positive side: the
/// same map looks the same.
fn turn(points: &mut Array2<f64>) {
    if let Some(mean) = points.mean_axis(Axis(0)) {
        *points -= &mean;
    }
    let (_, axes) = eigen::symmetric(points.t().dot(points));
    *points = points.dot(&axes.t());
    let most = points.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    for mut axis in points.columns_mut() {
        if axis
            .iter()
            .find(|x| x.abs() > 1e-6 * most)
            .is_some_and(|first| *first < 0.0)
        {
            axis.mapv_inplace(|x| -x);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::rng::Rng;

    fn between(points: &Array2<f32>) -> Array2<f32> {
        let n = points.nrows();
        Array2::from_shape_fn((n, n), |(a, b)| {
            let apart = &points.row(a) - &points.row(b);
            apart.dot(&apart).sqrt()
        })
    }

    #[test]
    fn distances_of_a_plane_are_reproduced() {
        for n in [1, 2, 3, 40, 200] {
            let mut rng = Rng::new(3, n as u64);
            let points = Array2::from_shape_simple_fn((n, 2), || rng.normal() as f32);
            let distances = between(&points);
            let map = DistanceMap::fit(distances.view(), Dims::Two, &()).unwrap();
            assert!(map.stress < 1e-4, "{n}: {}", map.stress);
            let worst = (&between(&map.points) - &distances).fold(0.0_f32, |worst, x| worst.max(x.abs()));
            assert!(worst < 2e-3, "{n}: {worst}");
        }
    }

    #[test]
    fn four_corners_at_equal_distances_become_a_square() {
        // Gower's example: a regular tetrahedron. In the plane the least sum of squares is a square of side s and
        // diagonal s sqrt 2 with s = (4 + 2 sqrt 2) / 8: minimize 4 (1 - s)² + 2 (1 - s sqrt 2)².
        let distances = Array2::from_shape_fn((4, 4), |(a, b)| if a == b { 0.0 } else { 1.0_f32 });
        let map = DistanceMap::fit(distances.view(), Dims::Two, &()).unwrap();
        let side = (4.0 + 2.0 * 2.0_f64.sqrt()) / 8.0;
        let error = 4.0 * (1.0 - side).powi(2) + 2.0 * (1.0 - side * 2.0_f64.sqrt()).powi(2);
        assert!((map.stress - (error / 6.0).sqrt()).abs() < 1e-4, "{}", map.stress);
        let solid = DistanceMap::fit(distances.view(), Dims::Three, &()).unwrap();
        assert!(solid.stress < 1e-6);
    }

    /// scikit-learn 1.9.1, the best of 200 starts: `MDS(dissimilarity="precomputed", eps=1e-9, max_iter=3000,
    /// n_init=200)`.
    #[test]
    fn the_map_is_as_good_as_that_of_many_starts() {
        let points = Array2::from_shape_fn((40, 6), |(i, j)| {
            let (i, j) = (i as f64, j as f64);
            ((i * (j + 3.0) * 0.7).sin() + 0.3 * (i * i * 0.11 * (j + 1.0)).cos()) as f32
        });
        let map = DistanceMap::fit(between(&points).view(), Dims::Two, &()).unwrap();
        assert!((map.stress - 0.198_173_7).abs() < 1e-5, "{}", map.stress);
    }

    #[test]
    fn a_map_is_no_worse_than_any_near_it() {
        let mut rng = Rng::new(5, 0);
        let points = Array2::from_shape_simple_fn((30, 6), || rng.normal() as f32);
        let distances = between(&points).mapv(f64::from);
        let map = DistanceMap::fit(between(&points).view(), Dims::Two, &()).unwrap();
        let best = squared_error(&map.points.mapv(f64::from), &distances);
        assert!(best <= squared_error(&classical(&distances, 2).unwrap(), &distances));
        for _ in 0..50 {
            let moved = map.points.mapv(|x| f64::from(x) + 0.05 * rng.normal());
            assert!(squared_error(&moved, &distances) > best);
        }
        assert_eq!(map, DistanceMap::fit(between(&points).view(), Dims::Two, &()).unwrap());
    }

    #[test]
    fn things_at_one_place_and_wrong_matrices() {
        let nothing = Array2::<f32>::zeros((3, 3));
        let map = DistanceMap::fit(nothing.view(), Dims::Two, &()).unwrap();
        assert_eq!((map.points, map.stress), (Array2::zeros((3, 2)), 0.0));
        let fit = |matrix: Array2<f32>| DistanceMap::fit(matrix.view(), Dims::Two, &());
        assert!(matches!(fit(Array2::zeros((0, 0))), Err(Error::TooFewPoints { .. })));
        assert!(matches!(fit(Array2::zeros((2, 3))), Err(Error::Shape { .. })));
        assert!(matches!(fit(array![[f32::NAN]]), Err(Error::NotFinite { .. })));
        for wrong in [
            array![[0.0, -1.0], [-1.0, 0.0]],
            array![[1.0, 1.0], [1.0, 0.0]],
            array![[0.0, 1.0], [2.0, 0.0]],
        ] {
            assert!(matches!(fit(wrong), Err(Error::Parameter { .. })));
        }
        let stop = |_: &str, _: usize, _: usize| std::ops::ControlFlow::Break(());
        assert!(
            DistanceMap::fit(nothing.view(), Dims::Two, &stop)
                .unwrap_err()
                .is_cancelled()
        );
    }
}
