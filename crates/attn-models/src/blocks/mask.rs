//! Which keys a query may see, as a tensor added to the scores.

use attn_core::Mask;
use candle_core::{Device, Tensor};

use crate::{Result, inputs::Padding};

/// Added to a forbidden score. Finite, so that a query that sees nothing (padding on the left) gets some finite
/// attention instead of NaN, which would spread to real tokens through `0 * NaN`. Added to any score of a sane
/// model it is the same number again, so its exponential is exactly 0.
const FORBIDDEN: f32 = f32::MIN;

/// The mask of one layer: `[batch or 1, 1, queries, keys]`, or `None` if every query sees every key.
///
/// `padding` marks the real keys. Queries are the last `queries` of the `keys` tokens, as in a step of generation.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle).
pub fn additive_mask(
    mask: Mask,
    padding: Option<&Padding>,
    queries: usize,
    keys: usize,
    device: &Device,
) -> Result<Option<Tensor>> {
    let first = keys.saturating_sub(queries);
    let restricts = (first..keys).any(|query| (0..keys).any(|key| !mask.visible(query, key)));
    if padding.is_none() && !restricts {
        return Ok(None);
    }
    let batch = padding.map_or(1, |padding| padding.batch());
    let mut values = Vec::with_capacity(batch * queries * keys);
    for sequence in 0..batch {
        for query in first..keys {
            values.extend((0..keys).map(|key| {
                let real = padding.is_none_or(|padding| padding.is_real(sequence, key));
                if real && mask.visible(query, key) {
                    0.0
                } else {
                    FORBIDDEN
                }
            }));
        }
    }
    Ok(Some(Tensor::from_vec(values, (batch, 1, queries, keys), device)?))
}

/// The masks of several layers, as [`additive_mask`] makes them; layers with the same mask share a tensor.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle).
pub fn additive_masks(
    layers: impl IntoIterator<Item = Mask>,
    padding: Option<&Padding>,
    queries: usize,
    keys: usize,
    device: &Device,
) -> Result<Vec<Option<Tensor>>> {
    let mut made: Vec<(Mask, Option<Tensor>)> = Vec::new();
    let mut of = |mask: Mask| -> Result<Option<Tensor>> {
        if let Some((_, tensor)) = made.iter().find(|(other, _)| *other == mask) {
            return Ok(tensor.clone());
        }
        let tensor = additive_mask(mask, padding, queries, keys, device)?;
        made.push((mask, tensor.clone()));
        Ok(tensor)
    };
    layers.into_iter().map(&mut of).collect()
}
