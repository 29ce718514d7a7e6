//! What a head does at each position, over a whole data set (AttentionViz, Yeh et al. 2023, the aggregate view).

use ndarray::{Array2, s};

/// The mean over sequences of the weight of every key position for every query position, `[query position, key position]`, of
/// the first `most` positions of either side. A cell counts the sequences that are long enough to have it; each row is then
/// made to sum to 1 over the cells that exist, so that short sequences do not make the end of long ones look weak.
///
/// `weights` are the sequences' own, `[query, key]`.
///
/// ```
/// use attn_analyze::heads::mean_by_position;
/// use ndarray::array;
/// let sequences = [array![[1.0f32, 0.0], [0.5, 0.5]], array![[1.0]]];
/// let mean = mean_by_position(sequences.map(Ok::<_, attn_analyze::Error>), 10)?;
/// assert_eq!(mean, array![[1.0, 0.0], [0.5, 0.5]]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// The first among `weights`.
pub fn mean_by_position<E>(
    weights: impl IntoIterator<Item = Result<Array2<f32>, E>>,
    most: usize,
) -> Result<Array2<f32>, E> {
    let mut sums = Array2::<f64>::zeros((0, 0));
    let mut counts = Array2::<u32>::zeros((0, 0));
    for weights in weights {
        let weights = weights?;
        let (rows, columns) = (weights.nrows().min(most), weights.ncols().min(most));
        let wider = (sums.nrows().max(rows), sums.ncols().max(columns));
        if wider != sums.dim() {
            let (height, width) = sums.dim();
            let mut grown = (Array2::zeros(wider), Array2::zeros(wider));
            grown.0.slice_mut(s![..height, ..width]).assign(&sums);
            grown.1.slice_mut(s![..height, ..width]).assign(&counts);
            (sums, counts) = grown;
        }
        let read = weights.slice(s![..rows, ..columns]);
        sums.slice_mut(s![..rows, ..columns])
            .zip_mut_with(&read, |sum, &weight| *sum += f64::from(weight));
        counts.slice_mut(s![..rows, ..columns]).mapv_inplace(|count| count + 1);
    }
    sums.zip_mut_with(&counts, |sum, &count| {
        if count > 0 {
            *sum /= f64::from(count);
        }
    });
    for mut row in sums.rows_mut() {
        let whole = row.sum();
        if whole > 0.0 {
            row /= whole;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "shares")]
    Ok(sums.mapv(|share| share as f32))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn cells_are_means_over_the_sequences_that_have_them() {
        let all = [
            array![[1.0f32, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.2, 0.6]],
            array![[1.0, 0.0], [0.1, 0.9]],
            array![[1.0]],
        ];
        let mean = mean_by_position(all.clone().map(Ok::<_, ()>), 9).unwrap();
        // Second row: (0.3, 0.7, 0); third row: the first sequence alone.
        let wanted = array![[1.0f32, 0.0, 0.0], [0.3, 0.7, 0.0], [0.2, 0.2, 0.6]];
        assert!((&mean - &wanted).iter().all(|x| x.abs() < 1e-6), "{mean}");
        // Cut to two positions, the rows still sum to 1.
        let cut = mean_by_position(all.map(Ok::<_, ()>), 2).unwrap();
        assert!(
            (&cut - &array![[1.0f32, 0.0], [0.3, 0.7]])
                .iter()
                .all(|x| x.abs() < 1e-6)
        );
        assert_eq!(mean_by_position([Err(7)], 2), Err(7));
        assert_eq!(
            mean_by_position([Ok::<_, ()>(Array2::zeros((0, 0)))], 2).unwrap().dim(),
            (0, 0)
        );
    }
}
