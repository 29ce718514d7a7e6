//! Rotary position embedding (Su et al. 2021), the two halves of a head rotated against each other as in Llama.
//!
//! Scaling for longer contexts: `linear` (Chen et al. 2023, position interpolation) and `llama3` (Dubey et al.
//! 2024, section 3.2).

use attn_core::Side;
use candle_core::{D, Device, Tensor};

use super::Pass;
use crate::{Result, Site, config::Config};

/// The angles per position of one model.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    /// One per pair of dimensions: `[head_dim / 2]`.
    inverse_frequencies: Tensor,
}

/// Cosines and sines of the tokens of one batch: `[batch, tokens, head_dim / 2]`, or without the batch if all
/// sequences have the same positions.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Reads `rope_theta` and `rope_scaling`, or `rope_parameters` where newer configurations keep both.
    pub(crate) fn read(config: &Config, head_dim: usize, default_theta: f64, device: &Device) -> Result<Self> {
        if !head_dim.is_multiple_of(2) {
            return Err(config.wrong("head_dim", "an even number, to rotate pairs of dimensions"));
        }
        let parameters = config.object("rope_parameters")?;
        let scaling = match &parameters {
            Some(parameters) => Some(parameters.clone()),
            None => config.object("rope_scaling")?,
        };
        let theta = match parameters
            .as_ref()
            .filter(|parameters| parameters.get("rope_theta").is_some())
        {
            Some(parameters) => parameters.positive_or("rope_theta", default_theta)?,
            None => config.positive_or("rope_theta", default_theta)?,
        };
        for place in [Some(config), parameters.as_ref()].into_iter().flatten() {
            if place.number_or("partial_rotary_factor", 1.0)? != 1.0 {
                return Err(place.unsupported("partial_rotary_factor", "1"));
            }
        }
        let mut frequencies: Vec<f64> = (0..head_dim / 2)
            .map(|pair| theta.powf(-2.0 * pair as f64 / head_dim as f64))
            .collect();
        if let Some(scaling) = scaling {
            let kind_key = if scaling.get("rope_type").is_some() {
                "rope_type"
            } else {
                "type"
            };
            match scaling.text(kind_key)? {
                None | Some("default") => {}
                Some("linear") => {
                    let factor = factor(&scaling, "factor")?;
                    frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
                }
                Some("llama3") => llama3(&scaling, &mut frequencies)?,
                Some(_) => return Err(scaling.unsupported(kind_key, "default, linear, llama3")),
            }
        }
        #[allow(clippy::cast_possible_truncation, reason = "the reference keeps frequencies in f32")]
        let frequencies: Vec<f32> = frequencies.into_iter().map(|frequency| frequency as f32).collect();
        Ok(Self {
            inverse_frequencies: Tensor::new(frequencies, device)?,
        })
    }

    /// The rotation of the tokens of a stack at `positions`, `[batch][token]`; one row serves every sequence.
    pub(crate) fn rotation(&self, positions: &[Vec<u32>], side: Side, pass: &mut Pass<'_>) -> Result<Rotation> {
        let (batch, tokens) = (positions.len(), positions.first().map_or(0, Vec::len));
        let device = self.inverse_frequencies.device();
        let positions: Vec<f32> = positions.iter().flatten().map(|&position| position as f32).collect();
        let positions = Tensor::from_vec(positions, (batch, tokens), device)?;
        let positions = pass.tap(Site::positions(side), positions)?;
        // The product in f32 and its cosine: what the reference computes.
        let angles = positions.unsqueeze(2)?.broadcast_mul(&self.inverse_frequencies)?;
        // The tap may have given each sequence its own.
        let angles = if angles.dim(0)? == 1 {
            angles.squeeze(0)?
        } else {
            angles
        };
        Ok(Rotation {
            cos: angles.cos()?,
            sin: angles.sin()?,
        })
    }
}

impl Rotation {
    /// Rotates `[batch, heads, tokens, head_dim]`.
    pub(crate) fn apply(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        if pass.fused() {
            return Ok(candle_nn::rotary_emb::rope(&x.contiguous()?, &self.cos, &self.sin)?);
        }
        let half = x.dim(D::Minus1)? / 2;
        let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        // [batch or none, tokens, pairs] to [.., 1, tokens, pairs], to broadcast over heads.
        let (cos, sin) = (self.cos.unsqueeze(D::Minus(3))?, self.sin.unsqueeze(D::Minus(3))?);
        let turned_first = first.broadcast_mul(&cos)?.sub(&second.broadcast_mul(&sin)?)?;
        let turned_second = second.broadcast_mul(&cos)?.add(&first.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[turned_first, turned_second], D::Minus1)?)
    }
}

fn factor(scaling: &Config, key: &str) -> Result<f64> {
    if scaling.get(key).is_none() {
        return Err(scaling.wrong(key, "a number above 0"));
    }
    scaling.positive_or(key, 1.0)
}

/// Long wavelengths are stretched by the factor, short ones kept, those between blended.
fn llama3(scaling: &Config, frequencies: &mut [f64]) -> Result<()> {
    let stretch = factor(scaling, "factor")?;
    let low = factor(scaling, "low_freq_factor")?;
    let high = factor(scaling, "high_freq_factor")?;
    let context = factor(scaling, "original_max_position_embeddings")?;
    if high <= low {
        return Err(scaling.wrong("high_freq_factor", format!("a number above `low_freq_factor` = {low}")));
    }
    for frequency in frequencies {
        let turns = context * *frequency / std::f64::consts::TAU;
        let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        *frequency *= keep + (1.0 - keep) / stretch;
    }
    Ok(())
}
