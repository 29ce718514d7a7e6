//! Rotary position embedding (Su et al. 2021), the two halves of what is rotated against each other as in Llama, or
//! neighboring dimensions as in GPT-J.

mod scaling;

use attn_core::Side;
use candle_core::{D, Device, Tensor};

use self::scaling::Spelling;
use super::Pass;
use crate::{Result, Site, families::Config, inputs::Padding};

/// Heads are never wider than this; a larger number is a corrupt one.
const WIDEST_HEAD: usize = 1 << 16;

/// Names and defaults of a family's options.
#[derive(Debug, Clone, Copy)]
pub struct RotaryOptions {
    /// Name and default of the base of the angles.
    pub theta: (&'static str, f64),
    /// Name and default of the share of a head that is rotated; `None` in families that rotate all of it.
    pub share: Option<(&'static str, f64)>,
    /// Which dimensions turn together.
    pub pairs: Pairs,
    /// Which layers they are for.
    pub layers: RotaryLayers,
}

/// Which dimensions of what is rotated turn together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pairs {
    /// Dimension `i` and `i + n / 2` of `n` (Llama, GPT-NeoX).
    #[default]
    Halves,
    /// Dimensions `2 i` and `2 i + 1` (GPT-J).
    Neighbors,
}

/// Which layers of a model options are for: some families have parameters for each kind of layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RotaryLayers {
    /// All: the configuration has one set of parameters.
    #[default]
    All,
    /// Those of a kind of `layer_types`. The object of parameters may hold one set per kind.
    Kind {
        /// `full_attention`, `sliding_attention`.
        name: &'static str,
        /// Whether an object that holds a single set is about them.
        main: bool,
    },
}

impl Default for RotaryOptions {
    /// Those of Llama and its relatives.
    fn default() -> Self {
        Self {
            theta: ("rope_theta", 10_000.0),
            share: None,
            pairs: Pairs::Halves,
            layers: RotaryLayers::All,
        }
    }
}

/// The angles per position of one model.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// Of a pair of dimensions, from first to last: radians per position.
    frequencies: Vec<f64>,
    /// How they change with the sequence.
    growth: Option<Growth>,
    /// A factor on rotated queries and keys.
    magnitude: f64,
    pairs: Pairs,
    max_tokens: usize,
    device: Device,
}

/// Frequencies that depend on the number of tokens; up to `trained` of them nothing changes.
#[derive(Debug, Clone)]
struct Growth {
    trained: usize,
    beyond: Beyond,
}

/// Frequencies beyond the trained length.
#[derive(Debug, Clone)]
enum Beyond {
    /// The base grows with the sequence.
    Base { theta: f64, factor: f64 },
    /// These, however long it is.
    Fixed(Vec<f64>),
}

/// Cosines and sines of the tokens of one batch: `[batch, tokens, pairs]`, or without the batch if all sequences have
/// the same positions.
#[derive(Debug, Clone)]
pub struct Rotation {
    cos: Tensor,
    sin: Tensor,
    pairs: Pairs,
}

impl Rotary {
    /// The length beyond which all tokens of a sequence have other angles, once and for all.
    pub(crate) fn turns_anew_beyond(&self) -> Option<usize> {
        match &self.growth {
            Some(Growth {
                trained,
                beyond: Beyond::Fixed(_),
            }) => Some(*trained),
            _ => None,
        }
    }

    /// Reads the base, the rotated share and the scaling, however the configuration spells them. `max_tokens` is the
    /// model's `max_position_embeddings`.
    ///
    /// `rope_scaling` and `rope_parameters` are two names of one object, the older and the newer; where both are there,
    /// `rope_scaling` counts and the other is not read, as in the reference. The object may hold the base and the share
    /// too, which the options beside it have otherwise. Its kind is `rope_type` or, in older files, `type`.
    /// `original_max_position_embeddings` beside the object comes before that inside it; without either it is
    /// `max_tokens`. With [`RotaryLayers::Kind`] the object may hold an object per kind of layers.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) and [`Error::Unsupported`](crate::Error::Unsupported) for an option.
    pub fn read(
        config: &Config,
        options: RotaryOptions,
        head_dim: usize,
        max_tokens: usize,
        device: &Device,
    ) -> Result<Self> {
        let spelling = Spelling::find(config, options.layers)?;
        let theta = spelling.number(("rope_theta", options.theta.0), options.theta.1)?;
        let share = match options.share {
            Some((key, default)) => spelling.number(("partial_rotary_factor", key), default)?.min(1.0),
            None => {
                for place in [&spelling.inside, config] {
                    if place.number_or("partial_rotary_factor", 1.0)? != 1.0 {
                        return Err(place.unsupported("partial_rotary_factor", "1"));
                    }
                }
                1.0
            }
        };
        let rotated = (head_dim as f64 * share) as usize;
        if rotated == 0 || !rotated.is_multiple_of(2) || head_dim > WIDEST_HEAD {
            let key = options.share.map_or("head_dim", |(key, _)| key);
            let expected = format!("an even number of dimensions to rotate in pairs, at most {WIDEST_HEAD}");
            return Err(config.wrong(key, expected));
        }
        let mut rotary = Self::plain(theta, rotated, options.pairs, max_tokens, device);
        rotary.scale(&spelling, theta, rotated)?;
        Ok(rotary)
    }

    /// The plain rotation of the first `rotated` dimensions (an even number) by `theta^(-2 i / rotated)` per position
    /// and pair `i`.
    pub fn plain(theta: f64, rotated: usize, pairs: Pairs, max_tokens: usize, device: &Device) -> Self {
        Self {
            frequencies: frequencies(theta, rotated),
            growth: None,
            magnitude: 1.0,
            pairs,
            max_tokens,
            device: device.clone(),
        }
    }

    /// The longest sequence: the model's own, or what `dynamic` and `yarn` stretch it to.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Positions of tokens that have none of their own, one row for all sequences, where frequencies change with the
    /// sequence: a row for each, in which padding does not lengthen it. So a sequence has its frequencies whatever it is
    /// padded to.
    pub(crate) fn without_padding(&self, positions: Vec<Vec<u32>>, padding: &Padding) -> Vec<Vec<u32>> {
        let ([row], Some(_)) = (positions.as_slice(), &self.growth) else {
            return positions;
        };
        let of_sequence = |sequence| {
            let real = (0..row.len()).rev().find(|&at| padding.is_real(sequence, at));
            let last = real.map_or(u32::MAX, |at| row[at]);
            row.iter().map(|&position| position.min(last)).collect()
        };
        (0..padding.batch()).map(of_sequence).collect()
    }

    /// The rotation of the tokens of a stack at `positions`, `[batch][token]`; one row serves every sequence. Frequencies that
    /// change with the sequence are those of the largest position of its row.
    ///
    /// # Errors
    /// What the tap returns at [`Point::Positions`](crate::Point::Positions).
    pub fn rotation(&self, positions: &[Vec<u32>], side: Side, pass: &mut Pass<'_>) -> Result<Rotation> {
        let numbers = self::positions(positions, side, &self.device, pass)?;
        self.turn(positions, &numbers)
    }

    /// The same of several rotations of a stack, whose positions are tapped once.
    pub(crate) fn rotations(
        all: &[Self],
        positions: &[Vec<u32>],
        side: Side,
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Rotation>> {
        let Some(first) = all.first() else {
            return Ok(Vec::new());
        };
        let numbers = self::positions(positions, side, &first.device, pass)?;
        all.iter().map(|rotary| rotary.turn(positions, &numbers)).collect()
    }

    /// The rotation at positions as the tap gave them back, `[batch or 1, tokens]`.
    fn turn(&self, positions: &[Vec<u32>], numbers: &Tensor) -> Result<Rotation> {
        let pairs = self.frequencies.len();
        let longest = |row: &Vec<u32>| row.iter().max().map_or(0, |&last| last as usize + 1);
        let frequencies: Vec<f32> = match &self.growth {
            None => self.frequencies.iter().map(|&f| f as f32).collect(),
            Some(growth) => {
                let of_row = |row| growth.frequencies(longest(row), 2 * pairs);
                let rows = positions.iter().map(of_row);
                let rows = rows.flat_map(|grown| grown.unwrap_or_else(|| self.frequencies.clone()));
                rows.map(|f| f as f32).collect()
            }
        };
        let rows = frequencies.len() / pairs;
        let frequencies = Tensor::from_vec(frequencies, (rows, 1, pairs), &self.device)?;
        // The product in f32 and its cosine: what the reference computes.
        let angles = numbers.unsqueeze(2)?.broadcast_mul(&frequencies)?;
        // The tap may have given each sequence its own.
        let angles = if angles.dim(0)? == 1 {
            angles.squeeze(0)?
        } else {
            angles
        };
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let (cos, sin) = if self.magnitude == 1.0 {
            (cos, sin)
        } else {
            ((cos * self.magnitude)?, (sin * self.magnitude)?)
        };
        Ok(Rotation {
            cos,
            sin,
            pairs: self.pairs,
        })
    }
}

/// Positions as numbers `[batch or 1, tokens]`, tapped.
fn positions(rows: &[Vec<u32>], side: Side, device: &Device, pass: &mut Pass<'_>) -> Result<Tensor> {
    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
    let numbers: Vec<f32> = rows.iter().flatten().map(|&position| position as f32).collect();
    pass.tap(Site::positions(side), Tensor::from_vec(numbers, shape, device)?)
}

impl Growth {
    /// Those of a sequence beyond the trained length; `None` up to it.
    fn frequencies(&self, tokens: usize, rotated: usize) -> Option<Vec<f64>> {
        if tokens <= self.trained {
            return None;
        }
        Some(match &self.beyond {
            // The base at which the slowest pair turns, over these tokens, as far as it would have over the trained
            // ones (bloc97 2023, "NTK-aware scaled RoPE").
            Beyond::Base { theta, factor } => {
                let stretch = factor * tokens as f64 / self.trained as f64 - (factor - 1.0);
                let exponent = rotated as f64 / (rotated as f64 - 2.0);
                frequencies(theta * stretch.powf(exponent), rotated)
            }
            Beyond::Fixed(frequencies) => frequencies.clone(),
        })
    }
}

impl Rotation {
    /// By these angles, in radians, `[batch or 1, tokens, pairs]`: dimension `i` against `i + pairs`. An angle of 0 leaves a
    /// pair as it is.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle).
    pub fn by(angles: &Tensor) -> Result<Self> {
        let angles = match angles.dim(0)? {
            1 => angles.squeeze(0)?,
            _ => angles.clone(),
        };
        Ok(Self {
            cos: angles.cos()?,
            sin: angles.sin()?,
            pairs: Pairs::Halves,
        })
    }

    /// Rotates the first dimensions of `[batch, heads, tokens, head_dim]`, as many as there are angles for.
    pub(crate) fn apply(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (head_dim, rotated) = (x.dim(D::Minus1)?, 2 * self.cos.dim(D::Minus1)?);
        if rotated == head_dim {
            return self.rotate(x, pass);
        }
        let turned = self.rotate(&x.narrow(D::Minus1, 0, rotated)?, pass)?;
        let kept = x.narrow(D::Minus1, rotated, head_dim - rotated)?;
        Ok(Tensor::cat(&[turned, kept], D::Minus1)?)
    }

    fn rotate(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        if pass.fused() {
            let x = x.contiguous()?;
            return Ok(match self.pairs {
                Pairs::Halves => candle_nn::rotary_emb::rope(&x, &self.cos, &self.sin)?,
                Pairs::Neighbors => candle_nn::rotary_emb::rope_i(&x, &self.cos, &self.sin)?,
            });
        }
        let half = x.dim(D::Minus1)? / 2;
        let (first, second) = match self.pairs {
            Pairs::Halves => (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?),
            Pairs::Neighbors => {
                let (batch, heads, tokens, _) = x.dims4()?;
                let pairs = x.reshape((batch, heads, tokens, half, 2))?;
                let side = |at| pairs.narrow(D::Minus1, at, 1)?.squeeze(D::Minus1);
                (side(0)?, side(1)?)
            }
        };
        // [batch or none, tokens, pairs] to [.., 1, tokens, pairs], to broadcast over heads.
        let (cos, sin) = (self.cos.unsqueeze(D::Minus(3))?, self.sin.unsqueeze(D::Minus(3))?);
        let turned_first = first.broadcast_mul(&cos)?.sub(&second.broadcast_mul(&sin)?)?;
        let turned_second = second.broadcast_mul(&cos)?.add(&first.broadcast_mul(&sin)?)?;
        Ok(match self.pairs {
            Pairs::Halves => Tensor::cat(&[turned_first, turned_second], D::Minus1)?,
            Pairs::Neighbors => Tensor::stack(&[turned_first, turned_second], D::Minus1)?.reshape(x.shape())?,
        })
    }
}

/// `theta^(-2 i / rotated)` of each pair `i`.
fn frequencies(theta: f64, rotated: usize) -> Vec<f64> {
    (0..rotated / 2)
        .map(|pair| theta.powf(-2.0 * pair as f64 / rotated as f64))
        .collect()
}
