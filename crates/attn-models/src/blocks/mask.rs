//! Which keys a query may see, as numbers added to the scores.

use std::{fmt, ops::Range, sync::Arc};

use attn_core::model::Mask;
use candle_core::{Device, Tensor};

use crate::{Result, inputs::Padding};

/// What is added to the scores of an attention: a mask, relative positions, or their sum.
///
/// It is a tensor at hand or, where that would be large, what makes its rows: a long text then never has all of them in
/// memory at once.
#[derive(Clone)]
pub struct Bias(Source);

#[derive(Clone)]
enum Source {
    /// `[batch or 1, heads or 1, queries, keys]`.
    Tensor(Tensor),
    Rows(Arc<Rows>),
}

/// Makes the rows of a range of queries: `[batch or 1, heads or 1, rows, keys]`.
type Rows = dyn Fn(Range<usize>) -> Result<Tensor> + Send + Sync;

/// Numbers up to which a bias is made at once and shared by all layers.
const AT_ONCE: usize = 1 << 24;

impl Bias {
    /// A bias of `queries` rows and of `numbers` in all, whose rows are made by `rows`: all now, or block by block when a
    /// layer asks for them.
    ///
    /// # Errors
    /// Those of `rows`.
    pub fn of_rows(
        queries: usize,
        numbers: usize,
        rows: impl Fn(Range<usize>) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Self> {
        Ok(Self(if numbers <= AT_ONCE {
            Source::Tensor(rows(0..queries)?)
        } else {
            Source::Rows(Arc::new(rows))
        }))
    }

    /// The rows of a range of queries: `[batch or 1, heads or 1, rows, keys]`.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        match &self.0 {
            Source::Tensor(tensor) if range == (0..tensor.dim(2)?) => Ok(tensor.clone()),
            Source::Tensor(tensor) => Ok(tensor.narrow(2, range.start, range.len())?),
            Source::Rows(rows) => rows(range),
        }
    }
}

/// A tensor `[batch or 1, heads or 1, queries, keys]`.
impl From<Tensor> for Bias {
    fn from(tensor: Tensor) -> Self {
        Self(Source::Tensor(tensor))
    }
}

impl fmt::Debug for Bias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Tensor(tensor) => f.debug_tuple("Bias").field(&tensor.dims()).finish(),
            Source::Rows(_) => f.write_str("Bias(rows)"),
        }
    }
}

/// Added to a forbidden score. Finite, so that a query that sees nothing (padding on the left) gets some finite
/// attention instead of NaN, which would spread to real tokens through `0 * NaN`. Added to any score of a sane
/// model it is the same number again, so its exponential is exactly 0.
const FORBIDDEN: f32 = f32::MIN;

/// The mask of one layer, or `None` if every query sees every key.
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
) -> Result<Option<Bias>> {
    let first = keys.saturating_sub(queries);
    let restricts = (first..keys).any(|query| mask.visible_keys(query, keys) != (0..keys));
    if padding.is_none() && !restricts {
        return Ok(None);
    }
    let (padding, device) = (padding.cloned(), device.clone());
    let batch = padding.as_ref().map_or(1, Padding::batch);
    let rows = move |range: Range<usize>| -> Result<Tensor> {
        let mut values = Vec::with_capacity(batch * range.len() * keys);
        for sequence in 0..batch {
            for query in range.clone() {
                let visible = mask.visible_keys(first + query, keys);
                values.extend((0..keys).map(|key| {
                    let real = padding.as_ref().is_none_or(|padding| padding.is_real(sequence, key));
                    if real && visible.contains(&key) { 0.0 } else { FORBIDDEN }
                }));
            }
        }
        Ok(Tensor::from_vec(values, (batch, 1, range.len(), keys), &device)?)
    };
    let numbers = batch.saturating_mul(queries).saturating_mul(keys);
    Ok(Some(Bias::of_rows(queries, numbers, rows)?))
}

/// The masks of several layers, as [`additive_mask`] makes them; layers with the same mask share one.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle).
pub fn additive_masks(
    layers: impl IntoIterator<Item = Mask>,
    padding: Option<&Padding>,
    queries: usize,
    keys: usize,
    device: &Device,
) -> Result<Vec<Option<Bias>>> {
    let mut made: Vec<(Mask, Option<Bias>)> = Vec::new();
    let mut of = |mask: Mask| -> Result<Option<Bias>> {
        if let Some((_, bias)) = made.iter().find(|(other, _)| *other == mask) {
            return Ok(bias.clone());
        }
        let bias = additive_mask(mask, padding, queries, keys, device)?;
        made.push((mask, bias.clone()));
        Ok(bias)
    };
    layers.into_iter().map(&mut of).collect()
}
