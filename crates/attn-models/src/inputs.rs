//! The inputs of a model, and the checks by which a family can rely on them.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// The input tensors of a batch, by the names the reference implementation gives them.
///
/// Integers may be `I64`, `I32`, `U32` or `U8`. A field that the model does not read must stay `None`.
///
/// ```
/// use attn_models::Inputs;
/// // Two sequences; the shorter one is padded on the right and masked.
/// let inputs = Inputs::from_ids(&[vec![2, 40, 41, 3], vec![2, 40, 3]], 0)?;
/// assert_eq!(inputs.input_ids.as_ref().unwrap().dims(), [2, 4]);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Token ids `[batch, tokens]`.
    pub input_ids: Option<Tensor>,
    /// 1 at real tokens, 0 at padding, `[batch, tokens]`. Default: all real.
    pub attention_mask: Option<Tensor>,
    /// Segment ids `[batch, tokens]`. Default: 0.
    pub token_type_ids: Option<Tensor>,
    /// Positions `[batch, tokens]`. Default: 0, 1, 2, ..., padding included.
    pub position_ids: Option<Tensor>,
    /// Normalized pixels `[batch, channels, height, width]`.
    pub pixel_values: Option<Tensor>,
    /// Log-mel features of sounds `[batch, bins, frames]`, as a
    /// [`SoundProcessor`](crate::sounds::SoundProcessor) makes them.
    pub input_features: Option<Tensor>,
    /// Samples of sounds `[batch, samples]`.
    pub input_values: Option<Tensor>,
    /// Token ids that the decoder of an encoder-decoder reads, `[batch, tokens]`.
    pub decoder_input_ids: Option<Tensor>,
    /// 1 at real decoder tokens, `[batch, tokens]`. Default: all real.
    pub decoder_attention_mask: Option<Tensor>,
}

impl Inputs {
    /// A batch of token ids, padded on the right with `padding` and masked there. Without shorter sequences no
    /// mask is made.
    ///
    /// # Errors
    /// [`Error::Input`] without a sequence.
    pub fn from_ids(sequences: &[Vec<u32>], padding: u32) -> Result<Self> {
        let longest = sequences.iter().map(Vec::len).max().unwrap_or(0);
        if longest == 0 {
            return Err(Error::input("input_ids", "at least one token", "none"));
        }
        let rows = |value: &dyn Fn(&[u32], usize) -> u32| -> Result<Tensor> {
            let flat: Vec<u32> = sequences
                .iter()
                .flat_map(|ids| (0..longest).map(move |at| value(ids, at)))
                .collect();
            Ok(Tensor::from_vec(flat, (sequences.len(), longest), &Device::Cpu)?)
        };
        let padded = sequences.iter().any(|ids| ids.len() < longest);
        Ok(Self {
            input_ids: Some(rows(&|ids, at| ids.get(at).copied().unwrap_or(padding))?),
            attention_mask: if padded {
                Some(rows(&|ids, at| u32::from(at < ids.len()))?)
            } else {
                None
            },
            ..Self::default()
        })
    }

    /// A batch of images `[batch, channels, height, width]`, as an
    /// [`ImageProcessor`](crate::images::ImageProcessor) makes them.
    pub fn from_pixels(pixels: Tensor) -> Self {
        Self {
            pixel_values: Some(pixels),
            ..Self::default()
        }
    }

    /// A batch of features of sounds `[batch, bins, frames]`.
    pub fn from_features(features: Tensor) -> Self {
        Self {
            input_features: Some(features),
            ..Self::default()
        }
    }

    /// The inputs that are there, by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        [
            ("input_ids", &self.input_ids),
            ("attention_mask", &self.attention_mask),
            ("token_type_ids", &self.token_type_ids),
            ("position_ids", &self.position_ids),
            ("pixel_values", &self.pixel_values),
            ("input_features", &self.input_features),
            ("input_values", &self.input_values),
            ("decoder_input_ids", &self.decoder_input_ids),
            ("decoder_attention_mask", &self.decoder_attention_mask),
        ]
        .into_iter()
        .filter_map(|(name, tensor)| tensor.as_ref().map(|tensor| (name, tensor)))
    }

    /// How many samples of each row of [`input_values`](Self::input_values) are real, which come first; `None` without a mask.
    pub(crate) fn sample_counts(&self, batch: usize, samples: usize) -> Result<Option<Vec<usize>>> {
        let Some(rows) = id_rows("attention_mask", self.attention_mask.as_ref())? else {
            return Ok(None);
        };
        let expected = format!("shape [{batch}, {samples}] of 1 at samples and 0 behind them");
        if rows.len() != batch || rows.iter().any(|row| row.len() != samples) {
            let found = format!("shape [{}, {}]", rows.len(), rows.first().map_or(0, Vec::len));
            return Err(Error::input("attention_mask", expected, found));
        }
        let count = |row: &Vec<u32>| {
            let count = row.iter().take_while(|&&real| real == 1).count();
            row[count..].iter().all(|&real| real == 0).then_some(count)
        };
        let counts: Option<Vec<usize>> = rows.iter().map(count).collect();
        let counts = counts.ok_or_else(|| Error::input("attention_mask", expected, "other values"))?;
        Ok(Some(counts))
    }

    /// What [`attention_mask`](Self::attention_mask) says of tokens that a model has read; `None` if all are real.
    pub(crate) fn padding(&self) -> Result<Option<Padding>> {
        // That of a text beside something else is not about what is read.
        let mask = self.attention_mask.as_ref().filter(|_| self.input_ids.is_some());
        let rows = id_rows("attention_mask", mask)?.unwrap_or_default();
        let real: Vec<Vec<bool>> = rows
            .iter()
            .map(|row| row.iter().map(|&value| value == 1).collect())
            .collect();
        Ok(Padding::of(real))
    }

    /// The inputs of some sequences, in this order.
    pub(crate) fn rows(&self, sequences: &[usize]) -> Result<Self> {
        let rows: Vec<u32> = sequences.iter().filter_map(|&row| u32::try_from(row).ok()).collect();
        let pick = |tensor: &Option<Tensor>| -> Result<Option<Tensor>> {
            let Some(tensor) = tensor else { return Ok(None) };
            let rows = Tensor::new(rows.as_slice(), tensor.device())?;
            Ok(Some(tensor.contiguous()?.index_select(&rows, 0)?))
        };
        Ok(Self {
            input_ids: pick(&self.input_ids)?,
            attention_mask: pick(&self.attention_mask)?,
            token_type_ids: pick(&self.token_type_ids)?,
            position_ids: pick(&self.position_ids)?,
            pixel_values: pick(&self.pixel_values)?,
            input_features: pick(&self.input_features)?,
            input_values: pick(&self.input_values)?,
            decoder_input_ids: pick(&self.decoder_input_ids)?,
            decoder_attention_mask: pick(&self.decoder_attention_mask)?,
        })
    }

    /// Refuses inputs that the model would not read; `taken` are the names of the fields it reads.
    ///
    /// # Errors
    /// [`Error::Input`] for the first field that is given and not taken.
    pub fn only(&self, taken: &[&str]) -> Result<()> {
        match self.named().find(|(name, _)| !taken.contains(name)) {
            None => Ok(()),
            Some((name, tensor)) => Err(Error::input(
                name,
                format!("only {}", taken.join(", ")),
                format!("a tensor {:?}", tensor.dims()),
            )),
        }
    }

    /// Checks [`input_ids`](Self::input_ids) against the vocabulary and the longest sequence, and reads the mask that
    /// goes with them.
    ///
    /// # Errors
    /// [`Error::Input`] for ids that are missing, out of range, too many or misshapen, and for such a mask.
    pub fn tokens(&self, vocab_size: usize, max_tokens: Option<usize>, device: &Device) -> Result<Tokens> {
        let ids = ("input_ids", self.input_ids.as_ref());
        let mask = ("attention_mask", self.attention_mask.as_ref());
        tokens(ids, mask, vocab_size, max_tokens, device)
    }

    /// As [`tokens`](Self::tokens), of [`decoder_input_ids`](Self::decoder_input_ids).
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens).
    pub fn decoder_tokens(&self, vocab_size: usize, max_tokens: Option<usize>, device: &Device) -> Result<Tokens> {
        let ids = ("decoder_input_ids", self.decoder_input_ids.as_ref());
        let mask = ("decoder_attention_mask", self.decoder_attention_mask.as_ref());
        tokens(ids, mask, vocab_size, max_tokens, device)
    }

    /// Position ids `[batch or 1][token]` below `limit`; one row 0, 1, 2, ... where none are given.
    ///
    /// # Errors
    /// [`Error::Input`] for [`position_ids`](Self::position_ids) out of range or of another shape than the tokens.
    pub fn positions(&self, tokens: &Tokens, limit: Option<usize>) -> Result<Vec<Vec<u32>>> {
        let Some(given) = &self.position_ids else {
            return Ok(vec![(0..).take(tokens.tokens).collect()]);
        };
        let rows = integers("position_ids", given)?;
        // One row of positions for the whole batch is what the reference accepts too.
        let batch = if rows.len() == 1 { 1 } else { tokens.batch };
        same_shape("position_ids", &rows, batch, tokens.tokens)?;
        let flat = in_range("position_ids", &rows, limit.unwrap_or(u32::MAX as usize))?;
        Ok(flat.chunks(tokens.tokens).map(<[u32]>::to_vec).collect())
    }

    /// Segment ids `[batch, tokens]` below `limit`, on the device of the tokens; `None` if none are given.
    ///
    /// # Errors
    /// [`Error::Input`] for [`token_type_ids`](Self::token_type_ids) out of range or of another shape than the tokens.
    pub fn token_types(&self, tokens: &Tokens, limit: usize) -> Result<Option<Tensor>> {
        let Some(given) = &self.token_type_ids else {
            return Ok(None);
        };
        let rows = integers("token_type_ids", given)?;
        same_shape("token_type_ids", &rows, tokens.batch, tokens.tokens)?;
        let flat = in_range("token_type_ids", &rows, limit)?;
        let shape = (tokens.batch, tokens.tokens);
        Ok(Some(Tensor::from_vec(flat, shape, tokens.ids.device())?))
    }
}

/// Token ids that have been checked, and their padding.
#[derive(Debug)]
pub struct Tokens {
    /// `[batch, tokens]`, u32, on the model's device.
    pub ids: Tensor,
    /// Sequences.
    pub batch: usize,
    /// Tokens of each, padding included.
    pub tokens: usize,
    /// Which tokens are real; `None` if all are.
    pub padding: Option<Padding>,
}

/// Which tokens of a batch are real.
#[derive(Debug, Clone)]
pub struct Padding {
    real: Vec<Vec<bool>>,
}

impl Padding {
    /// `None` where all are real.
    pub(crate) fn of(real: Vec<Vec<bool>>) -> Option<Self> {
        real.iter().flatten().any(|real| !real).then_some(Self { real })
    }

    /// 1 at real tokens and 0 at others, `[batch, tokens, 1]`.
    pub(crate) fn factors(&self, tokens: usize, device: &Device) -> Result<Tensor> {
        let places = (0..self.batch()).flat_map(|sequence| (0..tokens).map(move |token| (sequence, token)));
        let factors = places.map(|(sequence, token)| f32::from(u8::from(self.is_real(sequence, token))));
        let factors: Vec<f32> = factors.collect();
        Ok(Tensor::from_vec(factors, (self.batch(), tokens, 1), device)?)
    }

    /// Sequences of the batch.
    pub fn batch(&self) -> usize {
        self.real.len()
    }

    /// Whether a token is real; `false` for one that does not exist.
    pub fn is_real(&self, sequence: usize, token: usize) -> bool {
        self.real
            .get(sequence)
            .and_then(|row| row.get(token))
            .copied()
            .unwrap_or(false)
    }
}

/// Sequences of a batch: rows of the first input that is there.
pub(crate) fn batch_size(inputs: &Inputs) -> usize {
    let first = inputs.named().next();
    first
        .and_then(|(_, tensor)| tensor.dims().first().copied())
        .unwrap_or(0)
}

/// Ids or masks as rows, if they are given.
pub(crate) fn id_rows(name: &'static str, given: Option<&Tensor>) -> Result<Option<Vec<Vec<u32>>>> {
    let Some(given) = given else { return Ok(None) };
    let rows = integers(name, given)?;
    let width = rows.first().map_or(0, Vec::len);
    if width == 0 {
        return Err(Error::input(
            name,
            "at least one token",
            format!("shape {:?}", given.dims()),
        ));
    }
    let flat = in_range(name, &rows, u32::MAX as usize)?;
    Ok(Some(flat.chunks(width).map(<[u32]>::to_vec).collect()))
}

/// Checks ids against the vocabulary and the longest sequence, and reads the mask that goes with them.
fn tokens(
    (ids_name, ids): (&'static str, Option<&Tensor>),
    (mask_name, mask): (&'static str, Option<&Tensor>),
    vocab_size: usize,
    max_tokens: Option<usize>,
    device: &Device,
) -> Result<Tokens> {
    let ids = ids.ok_or_else(|| Error::input(ids_name, "token ids [batch, tokens]", "nothing"))?;
    let rows = integers(ids_name, ids)?;
    let (batch, tokens) = (rows.len(), rows.first().map_or(0, Vec::len));
    if tokens == 0 {
        return Err(Error::input(
            ids_name,
            "at least one token",
            format!("shape {:?}", ids.dims()),
        ));
    }
    if let Some(longest) = max_tokens.filter(|&longest| tokens > longest) {
        return Err(Error::input(
            ids_name,
            format!("at most {longest} tokens"),
            format!("{tokens}"),
        ));
    }
    let flat = in_range(ids_name, &rows, vocab_size)?;
    let padding = match mask {
        None => None,
        Some(mask) => {
            let rows = integers(mask_name, mask)?;
            same_shape(mask_name, &rows, batch, tokens)?;
            if rows.iter().flatten().any(|&value| value != 0 && value != 1) {
                return Err(Error::input(mask_name, "0 and 1", "other values"));
            }
            let real: Vec<Vec<bool>> = rows
                .iter()
                .map(|row| row.iter().map(|&value| value == 1).collect())
                .collect();
            if let Some(empty) = real.iter().position(|row| !row.contains(&true)) {
                return Err(Error::input(
                    mask_name,
                    "at least one real token per sequence",
                    format!("none in sequence {empty}"),
                ));
            }
            // A mask without padding is no restriction, and costs nothing.
            Padding::of(real)
        }
    };
    Ok(Tokens {
        ids: Tensor::from_vec(flat, (batch, tokens), device)?,
        batch,
        tokens,
        padding,
    })
}

/// Rows of an integer matrix.
fn integers(name: &'static str, tensor: &Tensor) -> Result<Vec<Vec<i64>>> {
    let integer = matches!(
        tensor.dtype(),
        DType::I64 | DType::I32 | DType::I16 | DType::U32 | DType::U8
    );
    if !integer {
        return Err(Error::input(
            name,
            "integers",
            format!("element type {:?}", tensor.dtype()),
        ));
    }
    if tensor.rank() != 2 {
        return Err(Error::input(
            name,
            "shape [batch, tokens]",
            format!("shape {:?}", tensor.dims()),
        ));
    }
    Ok(tensor.to_dtype(DType::I64)?.to_vec2()?)
}

fn same_shape(name: &'static str, rows: &[Vec<i64>], batch: usize, tokens: usize) -> Result<()> {
    let found = [rows.len(), rows.first().map_or(0, Vec::len)];
    if found == [batch, tokens] {
        Ok(())
    } else {
        Err(Error::input(
            name,
            format!("shape [{batch}, {tokens}], that of the token ids"),
            format!("shape {found:?}"),
        ))
    }
}

fn in_range(name: &'static str, rows: &[Vec<i64>], limit: usize) -> Result<Vec<u32>> {
    rows.iter()
        .enumerate()
        .flat_map(|(sequence, row)| row.iter().enumerate().map(move |(at, &value)| (sequence, at, value)))
        .map(|(sequence, at, value)| {
            usize::try_from(value)
                .ok()
                .filter(|&value| value < limit)
                .and_then(|value| u32::try_from(value).ok())
                .ok_or_else(|| {
                    Error::input(
                        name,
                        format!("values from 0 to {}", limit.saturating_sub(1)),
                        format!("{value} in sequence {sequence} at {at}"),
                    )
                })
        })
        .collect()
}
