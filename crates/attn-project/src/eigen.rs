//! Eigenvectors of symmetric matrices.
//!
//! Small matrices: Householder tridiagonalization and implicit QR steps with Wilkinson's shift (Golub and
//! Van Loan, *Matrix Computations*, 4th ed., sections 8.3.1 to 8.3.3). Large operators, of which a few leading
//! vectors are wanted: a randomized block Krylov subspace, restarted from its best vectors (Musco and Musco,
//! *Randomized block Krylov methods for stronger and faster approximate SVD*, NeurIPS 2015).

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::{Result, linalg::matmul, rng::Rng};

/// All eigenvalues, largest first, and the eigenvectors as rows in the same order.
pub(crate) fn symmetric(matrix: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = matrix.nrows();
    let (mut diagonal, mut beside, mut vectors) = tridiagonal(matrix);
    diagonalize(&mut diagonal, &mut beside, &mut vectors);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    (
        order.iter().map(|&i| diagonal[i]).collect(),
        vectors.select(Axis(0), &order),
    )
}

/// `T = Z A Zᵀ` with `T` tridiagonal: its diagonal, the elements beside it, and `Z`.
fn tridiagonal(mut a: Array2<f64>) -> (Vec<f64>, Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut z = Array2::<f64>::eye(n);
    let mut v = vec![0.0; n];
    let mut w = vec![0.0; n];
    for k in 0..n.saturating_sub(2) {
        let norm = (k + 1..n).map(|i| a[[i, k]] * a[[i, k]]).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue;
        }
        // The reflection that maps column k onto its first element below the diagonal.
        for i in k + 1..n {
            v[i] = a[[i, k]] / norm;
        }
        let head = if v[k + 1] < 0.0 { -1.0 } else { 1.0 };
        v[k + 1] += head;
        let length = v[k + 1..].iter().map(|x| x * x).sum::<f64>().sqrt();
        v[k + 1..].iter_mut().for_each(|x| *x /= length);

        for i in k + 1..n {
            w[i] = 2.0
                * a.slice(s![i, k + 1..])
                    .iter()
                    .zip(&v[k + 1..])
                    .map(|(a, v)| a * v)
                    .sum::<f64>();
        }
        let along = (k + 1..n).map(|i| v[i] * w[i]).sum::<f64>();
        for i in k + 1..n {
            w[i] -= along * v[i];
        }
        for i in k + 1..n {
            let (vi, wi) = (v[i], w[i]);
            let row = a.slice_mut(s![i, k + 1..]);
            row.into_iter()
                .zip(v[k + 1..].iter().zip(&w[k + 1..]))
                .for_each(|(a, (v, w))| *a -= vi * w + wi * v);
        }
        let beside = -head * norm;
        for i in k + 1..n {
            a[[i, k]] = if i == k + 1 { beside } else { 0.0 };
            a[[k, i]] = a[[i, k]];
        }
        // Z <- H Z, row by row.
        w.fill(0.0);
        for i in k + 1..n {
            w.iter_mut().zip(z.row(i)).for_each(|(w, z)| *w += v[i] * z);
        }
        for i in k + 1..n {
            z.row_mut(i).iter_mut().zip(&w).for_each(|(z, w)| *z -= 2.0 * v[i] * w);
        }
    }
    let diagonal = (0..n).map(|i| a[[i, i]]).collect();
    let beside = (1..n).map(|i| a[[i, i - 1]]).collect();
    (diagonal, beside, z)
}

/// Chases the elements beside the diagonal to zero, rotating the rows of `vectors` along.
fn diagonalize(d: &mut [f64], e: &mut [f64], vectors: &mut Array2<f64>) {
    let small = |e: f64, a: f64, b: f64| e.abs() <= f64::EPSILON * (a.abs() + b.abs());
    let mut high = d.len().saturating_sub(1);
    // Two or three steps an eigenvalue are usual; the limit only guards against values that never converge.
    let mut steps = 60 * d.len();
    while high > 0 && steps > 0 {
        if small(e[high - 1], d[high - 1], d[high]) {
            high -= 1;
            continue;
        }
        steps -= 1;
        let mut low = high - 1;
        while low > 0 && !small(e[low - 1], d[low - 1], d[low]) {
            low -= 1;
        }
        let half = 0.5 * (d[high - 1] - d[high]);
        let edge = e[high - 1];
        let shift = d[high] - edge * edge / (half + half.hypot(edge).copysign(half));
        let (mut x, mut bulge) = (d[low] - shift, e[low]);
        for k in low..high {
            let r = x.hypot(bulge);
            let (c, s) = if r == 0.0 { (1.0, 0.0) } else { (x / r, bulge / r) };
            if k > low {
                e[k - 1] = r;
            }
            let (a, b, beside) = (d[k], d[k + 1], e[k]);
            d[k] = c * c * a + 2.0 * c * s * beside + s * s * b;
            d[k + 1] = s * s * a - 2.0 * c * s * beside + c * c * b;
            e[k] = c * s * (b - a) + (c * c - s * s) * beside;
            x = e[k];
            if k + 1 < high {
                bulge = s * e[k + 1];
                e[k + 1] *= c;
            }
            let (mut upper, mut lower) = vectors.multi_slice_mut((s![k, ..], s![k + 1, ..]));
            upper
                .iter_mut()
                .zip(lower.iter_mut())
                .for_each(|(u, l)| (*u, *l) = (c * *u + s * *l, c * *l - s * *u));
        }
    }
}

/// The `count` largest eigenvalues of a symmetric operator on vectors of length `n`, and their vectors as rows.
///
/// `apply` maps the rows of a block `[vectors, n]`; an error of it ends the search. Stops when every residual is below
/// `tolerance` times the largest eigenvalue, or after `restarts`; then the vectors are the best found.
pub(crate) fn leading(
    n: usize,
    count: usize,
    tolerance: f64,
    restarts: usize,
    seed: u64,
    mut apply: impl FnMut(ArrayView2<'_, f64>) -> Result<Array2<f64>>,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let width = (count + 5).min(n);
    let depth = 12usize;
    let mut rng = Rng::new(seed, 0);
    let mut start = Array2::from_shape_simple_fn((width, n), || rng.normal());
    let mut best = (Vec::new(), start.clone());
    for _ in 0..restarts.max(1) {
        let mut basis = Array2::<f64>::zeros((0, n));
        let mut image = Array2::<f64>::zeros((0, n));
        let mut block = start.clone();
        for _ in 0..depth {
            let fresh = orthonormal(&basis, block);
            if fresh.nrows() == 0 {
                break;
            }
            block = apply(fresh.view())?;
            // Appending rows of equal length to an owned array of rows cannot fail.
            let _ = basis.append(Axis(0), fresh.view());
            let _ = image.append(Axis(0), block.view());
            if basis.nrows() == n {
                break;
            }
        }
        let m = basis.nrows();
        let mut small = Array2::<f64>::zeros((m, m));
        matmul(basis.view(), image.t(), small.view_mut(), false);
        let (values, rotation) = symmetric(0.5 * (&small + &small.t()));
        let kept = width.min(m);
        let rotate = |rows: &Array2<f64>| {
            let mut out = Array2::zeros((kept, n));
            matmul(rotation.slice(s![..kept, ..]), rows.view(), out.view_mut(), false);
            out
        };
        let (vectors, images) = (rotate(&basis), rotate(&image));
        let wanted = count.min(kept);
        let scale = values.first().map_or(0.0, |v| v.abs());
        let worst = (0..wanted)
            .map(|i| {
                (&images.row(i) - &(&vectors.row(i) * values[i]))
                    .mapv(|x| x * x)
                    .sum()
                    .sqrt()
            })
            .fold(0.0, f64::max);
        best = (values[..wanted].to_vec(), vectors.slice(s![..wanted, ..]).to_owned());
        if worst <= tolerance * scale {
            break;
        }
        start = vectors;
    }
    Ok(best)
}

/// The part of `block` that is new to the orthonormal rows of `basis`, orthonormalized; rows that bring
/// nothing new are dropped.
fn orthonormal(basis: &Array2<f64>, mut block: Array2<f64>) -> Array2<f64> {
    let lengths: Vec<f64> = block.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect();
    // Twice is enough (Giraud et al. 2005) for orthogonality to rounding.
    for _ in 0..2 {
        let mut along = Array2::zeros((block.nrows(), basis.nrows()));
        matmul(block.view(), basis.t(), along.view_mut(), false);
        let mut shadow = Array2::zeros(block.raw_dim());
        matmul(along.view(), basis.view(), shadow.view_mut(), false);
        block -= &shadow;
    }
    let mut kept: Vec<usize> = Vec::new();
    for i in 0..block.nrows() {
        for _ in 0..2 {
            for &j in &kept {
                let (earlier, mut row) = block.multi_slice_mut((s![j, ..], s![i, ..]));
                let along = row.dot(&earlier);
                row.scaled_add(-along, &earlier);
            }
        }
        let norm = block.row(i).dot(&block.row(i)).sqrt();
        if norm > 1e-10 * lengths[i] && norm > f64::MIN_POSITIVE {
            block.row_mut(i).mapv_inplace(|x| x / norm);
            kept.push(i);
        }
    }
    block.select(Axis(0), &kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A symmetric matrix with the given eigenvalues, and its eigenvectors as rows.
    fn with_eigenvalues(values: &[f64]) -> (Array2<f64>, Array2<f64>) {
        let n = values.len();
        let mut rng = Rng::new(4, n as u64);
        let rows = orthonormal(
            &Array2::zeros((0, n)),
            Array2::from_shape_simple_fn((n, n), || rng.normal()),
        );
        let scaled = &rows * &ndarray::Array1::from(values.to_vec()).insert_axis(Axis(1));
        (rows.t().dot(&scaled), rows)
    }

    #[test]
    fn known_spectra_are_recovered() {
        for values in [
            vec![3.0],
            vec![5.0, -1.0],
            vec![4.0, 4.0, 4.0, 0.0, 0.0],
            vec![0.0; 6],
            (0..40).map(|i| 0.8f64.powi(i)).collect(),
            (0..64).map(|i| f64::from(64 - i)).collect(),
        ] {
            let (matrix, _) = with_eigenvalues(&values);
            let (found, vectors) = symmetric(matrix.clone());
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            assert!(
                found.iter().zip(&sorted).all(|(a, b)| (a - b).abs() < 1e-11 * 64.0),
                "{found:?}"
            );
            let identity = vectors.dot(&vectors.t()) - Array2::<f64>::eye(values.len());
            assert!(identity.iter().all(|x| x.abs() < 1e-12));
            let again = vectors
                .t()
                .dot(&(&vectors * &ndarray::Array1::from(found).insert_axis(Axis(1))));
            assert!((again - matrix).iter().all(|x| x.abs() < 1e-11 * 64.0));
        }
    }

    #[test]
    fn leading_vectors_of_a_large_operator() {
        let values: Vec<f64> = (0..300).map(|i| 1.0 / f64::from(i + 1)).collect();
        let (matrix, rows) = with_eigenvalues(&values);
        let (found, vectors) = leading(300, 3, 1e-10, 50, 0, |block| Ok(block.dot(&matrix))).unwrap();
        for i in 0..3 {
            assert!((found[i] - values[i]).abs() < 1e-10);
            assert!((vectors.row(i).dot(&rows.row(i)).abs() - 1.0).abs() < 1e-9);
        }
        let (found, vectors) = leading(200, 3, 1e-10, 5, 0, |block| Ok(block.to_owned())).unwrap();
        assert!(found.iter().all(|x| (x - 1.0).abs() < 1e-12) && vectors.nrows() == 3);
    }
}
