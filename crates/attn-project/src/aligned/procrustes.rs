//! The rotation, reflection, scale and translation that bring one layout nearest to another (Schönemann, *A generalized
//! solution of the orthogonal Procrustes problem*, Psychometrika 31, 1966; with scale: Schönemann and Carroll,
//! Psychometrika 35, 1970).

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::{Error, Result, eigen, linalg::check_points};

/// A similarity transformation: `y = scale (x - from) rotation + to`.
#[derive(Debug, Clone, PartialEq)]
pub struct Procrustes {
    rotation: Array2<f64>,
    scale: f64,
    from: Array1<f64>,
    to: Array1<f64>,
}

impl Procrustes {
    /// The transformation of `moving` `[point, axis]` that leaves the least sum of squared distances to `fixed`, row by
    /// row. Without `scaling` sizes stay.
    ///
    /// Closed form: with `U S Vᵀ` the singular value decomposition of `Xᵀ Y` (both centered), the rotation is `U Vᵀ`
    /// and the scale `trace S / |X|²`. Reflections are allowed: t-SNE and UMAP know no handedness. Points all at one
    /// place are only moved.
    ///
    /// ```
    /// use attn_project::aligned::Procrustes;
    /// use ndarray::array;
    /// let shape = array![[0.0f32, 0.0], [2.0, 0.0], [0.0, 1.0]];
    /// let turned = array![[5.0f32, 5.0], [5.0, 9.0], [3.0, 5.0]]; // a quarter turn, twice the size
    /// let found = Procrustes::fit(shape.view(), turned.view(), true)?;
    /// assert!((found.scale() - 2.0).abs() < 1e-9);
    /// let moved = found.apply(shape.view())?;
    /// assert!((moved - turned).iter().all(|x| x.abs() < 1e-5));
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ or have no columns, [`Error::TooFewPoints`] without points,
    /// [`Error::NotFinite`].
    pub fn fit(moving: ArrayView2<'_, f32>, fixed: ArrayView2<'_, f32>, scaling: bool) -> Result<Self> {
        if moving.dim() != fixed.dim() || moving.ncols() == 0 {
            let expected = format!("{:?} as the moving points, at least one column", moving.dim());
            return Err(Error::shape("fixed", expected, format!("{:?}", fixed.dim())));
        }
        if moving.nrows() == 0 {
            return Err(Error::too_few("Procrustes", 1, 0));
        }
        check_points("moving", moving)?;
        check_points("fixed", fixed)?;
        let (x, y) = (moving.mapv(f64::from), fixed.mapv(f64::from));
        let mean = |a: &Array2<f64>| a.sum_axis(Axis(0)) / a.nrows() as f64;
        let (from, to) = (mean(&x), mean(&y));
        let (x, y) = (x - &from, y - &to);
        let (rotation, trace) = nearest_rotation(&x.t().dot(&y));
        let size: f64 = x.iter().map(|v| v * v).sum();
        let scale = if scaling && size > 0.0 && trace > 0.0 {
            trace / size
        } else {
            1.0
        };
        Ok(Self {
            rotation,
            scale,
            from,
            to,
        })
    }

    /// The factor on all lengths.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The orthogonal matrix `[axis, axis]` that rows are multiplied with; its determinant is -1 if it reflects.
    pub fn rotation(&self) -> ArrayView2<'_, f64> {
        self.rotation.view()
    }

    /// Applies it to any points with the same axes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of columns differs.
    pub fn apply(&self, points: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        if points.ncols() != self.from.len() {
            let expected = format!("{} columns", self.from.len());
            return Err(Error::shape("points", expected, points.ncols()));
        }
        let centered = points.mapv(f64::from) - &self.from;
        let moved = centered.dot(&self.rotation) * self.scale + &self.to;
        Ok(moved.mapv(|x| x as f32))
    }
}

/// `U Vᵀ` and the sum of the singular values of `m = U S Vᵀ`.
fn nearest_rotation(m: &Array2<f64>) -> (Array2<f64>, f64) {
    let d = m.nrows();
    let largest = m.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    if largest == 0.0 {
        return (Array2::eye(d), 0.0);
    }
    let m = m / largest;
    let (values, v) = eigen::symmetric(m.t().dot(&m));
    // Left vectors M v / s one by one, made orthogonal to those before; a missing one is any direction that is left.
    let mut left: Vec<Array1<f64>> = Vec::with_capacity(d);
    let mut trace = 0.0;
    for (value, v) in values.iter().zip(v.rows()) {
        let image = m.dot(&v);
        trace += image.dot(&image).sqrt();
        let remainder = |mut u: Array1<f64>| {
            for _ in 0..2 {
                for other in &left {
                    let along = other.dot(&u);
                    u.scaled_add(-along, other);
                }
            }
            let length = u.dot(&u).sqrt();
            (u, length)
        };
        let axes = (0..d).map(|c| Array1::from_shape_fn(d, |i| f64::from(u8::from(i == c))));
        // Squares lose half the digits: below this ratio the image is rounding.
        let known = (*value > 1e-14 * values[0]).then_some(image);
        let (u, length) = match known.map(&remainder) {
            Some((u, length)) if length > 0.0 => (u, length),
            _ => axes.map(&remainder).fold(
                (Array1::zeros(d), 0.0),
                |best, next| if next.1 > best.1 { next } else { best },
            ),
        };
        left.push(u / length);
    }
    let mut rotation = Array2::zeros((d, d));
    for (u, v) in left.iter().zip(v.rows()) {
        for i in 0..d {
            for j in 0..d {
                rotation[[i, j]] += u[i] * v[j];
            }
        }
    }
    (rotation, trace * largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn cloud(n: usize, d: usize, seed: u64) -> Array2<f32> {
        let mut rng = Rng::new(seed, 2);
        Array2::from_shape_fn((n, d), |(_, c)| (rng.normal() * (c + 1) as f64) as f32)
    }

    fn residual(a: &Array2<f32>, b: &Array2<f32>) -> f64 {
        (a - b).iter().map(|&x| f64::from(x).powi(2)).sum()
    }

    /// A rotation about an axis, with a reflection of the first coordinate if asked.
    fn turn(angle: f64, reflect: bool) -> Array2<f64> {
        let (s, c) = angle.sin_cos();
        let mut turn = ndarray::array![[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]];
        if reflect {
            turn.row_mut(0).mapv_inplace(|x| -x);
        }
        turn
    }

    #[test]
    fn a_planted_similarity_is_found() {
        let shape = cloud(80, 3, 1);
        for (angle, reflect, scale) in [(0.4, false, 3.0), (2.9, true, 0.2), (-1.0, true, 1.0)] {
            let planted = turn(angle, reflect);
            let moved = (shape.mapv(f64::from).dot(&planted) * scale + 7.0).mapv(|x| x as f32);
            let found = Procrustes::fit(shape.view(), moved.view(), true).unwrap();
            assert!((found.scale() - scale).abs() < 1e-5);
            assert!((&found.rotation() - &planted).iter().all(|x| x.abs() < 1e-5));
            assert!(residual(&found.apply(shape.view()).unwrap(), &moved) < 1e-6);
        }
    }

    #[test]
    fn no_other_rotation_or_scale_does_better() {
        let (x, y) = (cloud(60, 3, 3), cloud(60, 3, 4));
        for scaling in [true, false] {
            let best = Procrustes::fit(x.view(), y.view(), scaling).unwrap();
            let least = residual(&best.apply(x.view()).unwrap(), &y);
            let product = best.rotation.dot(&best.rotation.t());
            assert!((product - Array2::<f64>::eye(3)).iter().all(|x| x.abs() < 1e-12));
            for i in 0..200 {
                let angle = f64::from(i) * 0.0314;
                for reflect in [false, true] {
                    let mut other = best.clone();
                    other.rotation = best.rotation.dot(&turn(angle, reflect));
                    other.scale *= if scaling { 0.8 + 0.002 * f64::from(i) } else { 1.0 };
                    assert!(residual(&other.apply(x.view()).unwrap(), &y) >= least - 1e-3);
                }
            }
        }
    }

    #[test]
    fn flat_and_single_clouds_get_an_orthogonal_matrix() {
        let mut line = cloud(30, 3, 5);
        line.slice_mut(ndarray::s![.., 1..]).fill(0.0);
        for (x, y) in [
            (line.clone(), cloud(30, 3, 6)),
            (line.clone(), line),
            (Array2::ones((4, 2)), cloud(4, 2, 1)),
        ] {
            let found = Procrustes::fit(x.view(), y.view(), true).unwrap();
            let product = found.rotation.dot(&found.rotation.t());
            assert!((product - Array2::<f64>::eye(x.ncols())).iter().all(|x| x.abs() < 1e-9));
            assert!(found.apply(x.view()).unwrap().iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn bad_input_is_refused() {
        let (x, mut y) = (cloud(5, 2, 1), cloud(5, 2, 2));
        assert!(matches!(
            Procrustes::fit(x.view(), cloud(4, 2, 1).view(), true),
            Err(Error::Shape { .. })
        ));
        let empty = Array2::<f32>::zeros((0, 2));
        assert!(matches!(
            Procrustes::fit(empty.view(), empty.view(), true),
            Err(Error::TooFewPoints { .. })
        ));
        y[[1, 1]] = f32::INFINITY;
        assert!(matches!(
            Procrustes::fit(x.view(), y.view(), true),
            Err(Error::NotFinite {
                what: "fixed",
                row: 1,
                ..
            })
        ));
    }
}
