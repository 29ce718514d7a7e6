//! Attention weighted by what it carries: a large weight on a tiny value vector moves little (Kobayashi et al. 2020,
//! *Attention is not only a weight*, section 2).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::{Error, error::finite};

/// `a_ij |v_j|`, each row divided by its sum, `[queries, keys]`.
///
/// `attention` is `[queries, keys]`, `values` `[keys, head_dim]`. Rows to which nothing is carried become zeros.
///
/// # Errors
/// [`Error::Shape`] if the keys do not agree, [`Error::NotFinite`].
///
/// ```
/// use ndarray::array;
///
/// let attention = array![[0.5, 0.5]];
/// let values = array![[3.0, 4.0], [0.0, 15.0]]; // norms 5 and 15
/// let weighted = attn_analyze::heads::value_weighted(attention.view(), values.view())?;
/// assert_eq!(weighted, array![[0.25, 0.75]]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
pub fn value_weighted(attention: ArrayView2<'_, f32>, values: ArrayView2<'_, f32>) -> Result<Array2<f32>, Error> {
    finite(values, || "values".into())?;
    weighted(attention, values)
}

/// `a_ij |v_j O|`, each row divided by its sum, `[queries, keys]`: the norm of what reaches the residual stream.
///
/// `output` is the head's part of the output projection, `[head_dim, hidden]`, multiplying row vectors.
///
/// # Errors
/// As [`value_weighted`], and [`Error::Shape`] if `output` does not fit the values.
pub fn output_weighted(
    attention: ArrayView2<'_, f32>,
    values: ArrayView2<'_, f32>,
    output: ArrayView2<'_, f32>,
) -> Result<Array2<f32>, Error> {
    if values.ncols() != output.nrows() {
        return Err(Error::Shape {
            place: "output".into(),
            expected: format!("[{}, _], one row per value dimension", values.ncols()),
            found: format!("{:?}", output.shape()),
        });
    }
    finite(values, || "values".into())?;
    finite(output, || "output".into())?;
    weighted(attention, values.dot(&output).view())
}

fn weighted(attention: ArrayView2<'_, f32>, carried: ArrayView2<'_, f32>) -> Result<Array2<f32>, Error> {
    if attention.ncols() != carried.nrows() {
        return Err(Error::Shape {
            place: "values".into(),
            expected: format!("[{}, _], one row per key", attention.ncols()),
            found: format!("[{}, _]", carried.nrows()),
        });
    }
    finite(attention, || "attention".into())?;
    let norm = |row: ArrayView1<'_, f32>| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let norms: Array1<f64> = carried.rows().into_iter().map(norm).collect();
    let mut result = Array2::zeros(attention.dim());
    for (row, mut out) in attention.rows().into_iter().zip(result.rows_mut()) {
        let total: f64 = row.iter().zip(&norms).map(|(&a, norm)| f64::from(a) * norm).sum();
        if total > 0.0 {
            for ((out, &a), norm) in out.iter_mut().zip(row).zip(&norms) {
                #[expect(clippy::cast_possible_truncation, reason = "a share in [0, 1]")]
                let share = (f64::from(a) * norm / total) as f32;
                *out = share;
            }
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn output_weights_by_hand() {
        let attention = array![[0.5_f32, 0.5], [1.0, 0.0], [0.0, 0.0]];
        let values = array![[1.0_f32, 0.0], [0.0, 1.0]];
        // The projection drops the first dimension's value to 1/3 of the second's.
        let output = array![[1.0_f32, 0.0, 0.0], [0.0, 3.0, 0.0]];
        let found = output_weighted(attention.view(), values.view(), output.view()).unwrap();
        assert_eq!(found, array![[0.25, 0.75], [1.0, 0.0], [0.0, 0.0]]);
        // An orthogonal projection keeps norms.
        let turned = array![[0.0_f32, 1.0], [-1.0, 0.0]];
        assert_eq!(
            output_weighted(attention.view(), values.view(), turned.view()).unwrap(),
            value_weighted(attention.view(), values.view()).unwrap()
        );
    }

    #[test]
    fn wrong_input_is_refused() {
        let attention = array![[0.5_f32, 0.5]];
        assert!(matches!(
            value_weighted(attention.view(), array![[1.0]].view()),
            Err(Error::Shape { .. })
        ));
        let bad = array![[1.0], [f32::INFINITY]];
        assert!(matches!(
            value_weighted(attention.view(), bad.view()),
            Err(Error::NotFinite { index: 1, .. })
        ));
        let values = array![[1.0, 2.0], [0.0, 0.0]];
        assert!(output_weighted(attention.view(), values.view(), array![[1.0]].view()).is_err());
        assert_eq!(
            value_weighted(attention.view(), Array2::zeros((2, 3)).view()).unwrap(),
            array![[0.0, 0.0]]
        );
    }
}
