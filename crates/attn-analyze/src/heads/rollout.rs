//! Attention rollout: attention followed through the layers back to the input (Abnar and Zuidema 2020, section 3).
//!
//! The residual stream carries half: each layer's head-averaged attention A becomes `(A + I) / 2`, rows normalized, and
//! layers multiply.

use attn_core::{Attention, Capture, HeadId, Progress, progress::step};
use ndarray::{Array2, ArrayView2};

use super::scoring::attention as head_attention;
use crate::{Error, error::finite};

/// The rollout after each layer, `[tokens, tokens]`: row i is how much of token i's state comes from each input token,
/// and sums to 1.
///
/// `layers` are attention matrices averaged over heads, first layer first. A row without any attention (a query that
/// sees nothing) keeps its own token.
///
/// # Errors
/// [`Error::Shape`] if a matrix is not square or of another size than the first, [`Error::NotFinite`].
///
/// ```
/// use ndarray::array;
///
/// // Two layers that attend to token 0: half of token 1 comes from it, then three quarters.
/// let sink = array![[1.0, 0.0], [1.0, 0.0]];
/// let rollout = attn_analyze::heads::rollout(&[sink.view(), sink.view()])?;
/// assert_eq!(rollout[0], array![[1.0, 0.0], [0.5, 0.5]]);
/// assert_eq!(rollout[1], array![[1.0, 0.0], [0.75, 0.25]]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
pub fn rollout(layers: &[ArrayView2<'_, f32>]) -> Result<Vec<Array2<f32>>, Error> {
    let tokens = layers.first().map_or(0, ArrayView2::nrows);
    let mut through: Vec<Array2<f32>> = Vec::with_capacity(layers.len());
    for (layer, attention) in layers.iter().enumerate() {
        if attention.dim() != (tokens, tokens) {
            return Err(Error::Shape {
                place: format!("attention of layer {layer}"),
                expected: format!("[{tokens}, {tokens}]"),
                found: format!("{:?}", attention.shape()),
            });
        }
        let mixed = residual_mix(*attention, layer)?;
        through.push(match through.last() {
            Some(before) => mixed.dot(before),
            None => mixed,
        });
    }
    Ok(through)
}

/// Mixing matrix of a layer: `(A + I) / 2`, rows summing to 1.
fn residual_mix(attention: ArrayView2<'_, f32>, layer: usize) -> Result<Array2<f32>, Error> {
    finite(attention, || format!("attention of layer {layer}"))?;
    let mut mixed = attention.to_owned();
    mixed.diag_mut().mapv_inplace(|weight| weight + 1.0);
    for mut row in mixed.rows_mut() {
        let sum = row.sum();
        if sum > 0.0 {
            row /= sum;
        }
    }
    Ok(mixed)
}

/// Mixing matrices of every layer in one sequence, `[token, token]`, of one self-attention: the mean over heads, with the identity for
/// the residual stream. [`capture_rollout`] is their product.
///
/// # Errors
/// As [`capture_rollout`].
pub fn capture_mixing(
    capture: &Capture,
    attention: Attention,
    sequence: usize,
    progress: &dyn Progress,
) -> Result<Vec<Array2<f32>>, Error> {
    let mut layers = Vec::new();
    each_layer(capture, attention, sequence, progress, |mixed| layers.push(mixed))?;
    Ok(layers)
}

/// The [`rollout`] of one sequence of a capture after the last layer of one self-attention, heads averaged, `[token, token]`. Holds
/// three such matrices at a time.
///
/// # Errors
/// [`Error::NotSelfAttention`] for cross-attention, [`Error::NotFinite`], [`Error::Core`] for an attention or sequence
/// that does not exist, or if `progress` cancels.
pub fn capture_rollout(
    capture: &Capture,
    attention: Attention,
    sequence: usize,
    progress: &dyn Progress,
) -> Result<Array2<f32>, Error> {
    let mut through: Option<Array2<f32>> = None;
    each_layer(capture, attention, sequence, progress, |mixed| {
        through = Some(match &through {
            Some(before) => mixed.dot(before),
            None => mixed,
        });
    })?;
    Ok(through.unwrap_or_default())
}

/// Hands on what each layer mixes, first layer first.
fn each_layer(
    capture: &Capture,
    attention: Attention,
    sequence: usize,
    progress: &dyn Progress,
    mut take: impl FnMut(Array2<f32>),
) -> Result<(), Error> {
    if attention == Attention::Cross {
        return Err(Error::NotSelfAttention {
            head: HeadId::new(attention, 0, 0),
            purpose: "rollout",
        });
    }
    let heads: Vec<usize> = match capture.model().attention(attention) {
        Some(info) => (0..info.layers.len()).map(|layer| info.heads_of(layer)).collect(),
        None => vec![1], // the capture itself says that there is none
    };
    let layers = heads.len();
    for (layer, heads) in heads.into_iter().enumerate() {
        step(progress, "rollout", layer, layers)?;
        if heads == 0 {
            // A layer without attention mixes nothing.
            take(Array2::eye(capture.rows(sequence, attention.query_side()).len()));
            continue;
        }
        let mut mean = head_attention(capture, HeadId::new(attention, layer, 0), sequence)?;
        for head in 1..heads {
            mean += &head_attention(capture, HeadId::new(attention, layer, head), sequence)?;
        }
        mean /= heads as f32;
        take(residual_mix(mean.view(), layer)?);
    }
    Ok(step(progress, "rollout", layers, layers)?)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn identity_stays_and_uniform_mixes() {
        let eye = Array2::<f32>::eye(3);
        assert_eq!(
            rollout(&[eye.view(), eye.view()]).unwrap(),
            vec![eye.clone(), eye.clone()]
        );
        // Half stays at each of two layers: 1/4 never mixed, the rest spread evenly.
        let uniform = Array2::from_elem((3, 3), 1.0_f32 / 3.0);
        let twice = &rollout(&[uniform.view(), uniform.view()]).unwrap()[1];
        for ((row, column), value) in twice.indexed_iter() {
            let expected = 0.25 + if row == column { 0.25 } else { 0.0 };
            assert!((value - expected).abs() < 1e-6, "{twice}");
        }
    }

    #[test]
    fn later_layers_multiply_from_the_left() {
        let (first, second) = (array![[0.0_f32, 1.0], [0.0, 1.0]], array![[1.0_f32, 0.0], [1.0, 0.0]]);
        let found = rollout(&[first.view(), second.view()]).unwrap();
        // [[.5 .5], [0 1]], then [[1 0], [.5 .5]] times it.
        assert_eq!(found[1], array![[0.5, 0.5], [0.25, 0.75]]);
    }

    #[test]
    fn odd_input() {
        assert!(rollout(&[]).unwrap().is_empty());
        let blind = array![[0.0_f32, 0.0], [1.0, 0.0]];
        assert_eq!(rollout(&[blind.view()]).unwrap()[0], array![[1.0, 0.0], [0.5, 0.5]]);
        assert!(matches!(
            rollout(&[array![[1.0_f32, 0.0]].view()]),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(
            rollout(&[array![[f32::NAN]].view()]),
            Err(Error::NotFinite { index: 0, .. })
        ));
    }
}
