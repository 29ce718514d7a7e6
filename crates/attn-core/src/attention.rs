//! Attention from queries and keys: `softmax(cap(scale * Q Kᵀ) + bias)` over the visible keys and the sink (Vaswani et al. 2017,
//! section 3.2.1).
//!
//! A capture keeps Q and K and no attention: a matrix per head and sequence would be a hundred times larger. This
//! arithmetic gives it back exactly for one head and sequence.

use ndarray::{Array2, ArrayView2};

use crate::{Error, Result, model::LayerAttention};

/// Attention weights `[queries, keys]` of one head in one sequence.
///
/// `queries` is `[queries, head_dim]`, `keys` is `[keys, head_dim]`, both as the model multiplies them (after bias and
/// rotation, before scaling), without padding. `bias`, `[queries, keys]`, is added to the scaled and capped scores. A query
/// that sees no key gets a row of zeros. Every other row sums to 1, or to less by what the sink of `head` takes.
///
/// # Errors
/// [`Error::Shape`] if the shapes do not fit together.
///
/// ```
/// use attn_core::{attention::attention_weights, model::{LayerAttention, Mask}};
/// use ndarray::array;
///
/// let queries = array![[1.0, 0.0], [0.0, 1.0]];
/// let keys = array![[1.0, 0.0], [0.0, 1.0]];
/// let causal = LayerAttention::new(1.0, Mask::Causal);
/// let weights = attention_weights(queries.view(), keys.view(), &causal, 0, None)?;
/// assert_eq!(weights[[0, 0]], 1.0); // the first token sees only itself
/// assert!((weights[[1, 1]] - 1.0 / (1.0 + (-1.0_f32).exp())).abs() < 1e-6);
/// # Ok::<(), attn_core::Error>(())
/// ```
pub fn attention_weights(
    queries: ArrayView2<'_, f32>,
    keys: ArrayView2<'_, f32>,
    layer: &LayerAttention,
    head: usize,
    bias: Option<ArrayView2<'_, f32>>,
) -> Result<Array2<f32>> {
    if queries.ncols() != keys.ncols() {
        return Err(Error::Shape {
            place: "keys".into(),
            expected: format!("[_, {}] as the queries", queries.ncols()),
            found: format!("{:?}", keys.shape()),
        });
    }
    let mut scores = queries.dot(&keys.t());
    scores *= layer.scale;
    if let Some(cap) = layer.soft_cap {
        scores.mapv_inplace(|score| cap * (score / cap).tanh());
    }
    if let Some(bias) = bias {
        if bias.dim() != scores.dim() {
            return Err(Error::Shape {
                place: "bias".into(),
                expected: format!("{:?}", scores.shape()),
                found: format!("{:?}", bias.shape()),
            });
        }
        scores += &bias;
    }
    let sink = layer.sink(head);
    for (query, mut row) in scores.rows_mut().into_iter().enumerate() {
        let visible = layer.mask.visible_keys(query, row.len());
        let highest = row
            .iter()
            .enumerate()
            .filter(|(key, _)| visible.contains(key))
            .fold(f32::NEG_INFINITY, |m, (_, &s)| m.max(s));
        let highest = sink.map_or(highest, |sink| sink.max(highest));
        let mut sum = sink.map_or(0.0, |sink| (sink - highest).exp());
        for (key, score) in row.iter_mut().enumerate() {
            *score = if visible.contains(&key) {
                (*score - highest).exp()
            } else {
                0.0
            };
            sum += *score;
        }
        if sum > 0.0 {
            row /= sum;
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::model::Mask;

    #[test]
    fn rows_follow_the_closed_form() {
        // Scores ln 1, ln 2, ln 5 give weights 1/8, 2/8, 5/8.
        let queries = array![[1.0_f32]];
        let keys = array![[0.0_f32], [2.0_f32.ln()], [5.0_f32.ln()]];
        let weights = attention_weights(
            queries.view(),
            keys.view(),
            &LayerAttention::new(1.0, Mask::Full),
            0,
            None,
        )
        .unwrap();
        for (found, expected) in weights.iter().zip([0.125, 0.25, 0.625]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn masked_keys_get_nothing_and_rows_sum_to_one() {
        let points = array![[1.0_f32, 2.0], [-3.0, 0.5], [0.0, 1.0], [4.0, 4.0]];
        let layer = LayerAttention::new(0.7, Mask::Window { width: 2 });
        let weights = attention_weights(points.view(), points.view(), &layer, 0, None).unwrap();
        for query in 0..4 {
            assert!((weights.row(query).sum() - 1.0).abs() < 1e-6);
            for key in 0..4 {
                assert_eq!(weights[[query, key]] > 0.0, key <= query && query - key < 2);
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let layer = LayerAttention::new(1.0, Mask::Full);
        let weights = attention_weights(
            array![[1e4_f32]].view(),
            array![[1e4_f32], [0.0]].view(),
            &layer,
            0,
            None,
        )
        .unwrap();
        assert_eq!(weights, array![[1.0, 0.0]]);
    }

    #[test]
    fn bias_is_added_and_checked() {
        let layer = LayerAttention::new(1.0, Mask::Full);
        let (queries, keys) = (array![[0.0_f32]], array![[1.0_f32], [1.0]]);
        let bias = array![[0.0, 3.0_f32.ln()]];
        let weights = attention_weights(queries.view(), keys.view(), &layer, 0, Some(bias.view())).unwrap();
        assert!((weights[[0, 1]] - 0.75).abs() < 1e-6);
        assert!(attention_weights(queries.view(), keys.view(), &layer, 0, Some(keys.view())).is_err());
        assert!(attention_weights(queries.view(), array![[1.0, 2.0]].view(), &layer, 0, None).is_err());
    }

    #[test]
    fn a_cap_bends_scores_before_bias_and_mask() {
        let layer = LayerAttention {
            soft_cap: Some(2.0),
            ..LayerAttention::new(0.5, Mask::Causal)
        };
        let (queries, keys) = (array![[0.0_f32], [2.0]], array![[1.0_f32], [-6.0]]);
        let bias = array![[0.0, 0.0], [0.0, 0.25]];
        let weights = attention_weights(queries.view(), keys.view(), &layer, 0, Some(bias.view())).unwrap();
        assert_eq!(weights.row(0), array![1.0, 0.0]);
        // Scores 1 and -6: 2 tanh(1 / 2), and 2 tanh(-6 / 2) + 0.25.
        let [first, second] = [2.0 * 0.5_f32.tanh(), 2.0 * (-3.0_f32).tanh() + 0.25].map(f32::exp);
        assert!((weights[[1, 0]] - first / (first + second)).abs() < 1e-6);
    }

    #[test]
    fn a_sink_takes_its_share_of_every_row() {
        let layer = LayerAttention {
            sinks: Some(vec![0.0, 4.0_f32.ln()]),
            ..LayerAttention::new(1.0, Mask::Causal)
        };
        let (queries, keys) = (array![[1.0_f32], [1.0]], array![[0.0_f32], [3.0_f32.ln()]]);
        let weights = attention_weights(queries.view(), keys.view(), &layer, 1, None).unwrap();
        for (found, expected) in weights.iter().zip([1.0 / 5.0, 0.0, 1.0 / 8.0, 3.0 / 8.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        // A sink far above the scores takes all, and far below nothing.
        for (sink, expected) in [(1e4, 0.0), (-1e4, 1.0)] {
            let layer = LayerAttention {
                sinks: Some(vec![sink]),
                ..layer.clone()
            };
            let weights = attention_weights(queries.view(), keys.view(), &layer, 0, None).unwrap();
            assert!((weights.row(1).sum() - expected).abs() < 1e-6);
        }
    }
}
