//! DINOv3: DINOv2's network whose queries and keys are rotated by the place of their patch, along both sides of the image.
//! The class token and the registers have no place.
//!
//! Siméoni et al. 2025, <https://arxiv.org/abs/2508.10104>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/dinov3-vits16-pretrain-lvd1689m, dinov3-vitb16, dinov3-vitl16, dinov3-vith16plus (gated MLP), dinov3-vit7b16 | `DINOv3ViTModel` |
//! | backbones | `DINOv3ViTBackbone` |

use std::f64::consts::TAU;

use attn_core::{ModelInfo, Side, model::Positions};
use candle_core::{D, Device, Tensor};

use super::{Embeddings, Head, Layer, Places, Pooler, Sizes, VisionEncoder};
use crate::{
    Result, Site, Weights,
    blocks::{Linear, Mlp, Norm, Pass, Qkv, Rotation},
    families::{Config, Network},
    model::Vision,
};

const FAMILY: &str = "dinov3_vit";

/// Sizes that the configuration may leave out: those of ViT-S.
const DEFAULTS: &[(&str, usize)] = &[("hidden_size", 384), ("num_attention_heads", 6)];

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(DEFAULTS);
    let registers = match config.get("num_register_tokens") {
        None => 0,
        Some(number) if number.as_u64() == Some(0) => 0,
        Some(_) => config.size_or("num_register_tokens", 4)?,
    };
    let mut sizes = Sizes::read(config, (224, 16), 1 + registers, &weights.at("layer"))?;
    sizes.epsilon = config.positive_or("layer_norm_eps", 1e-5)?;
    let Sizes { hidden, epsilon, .. } = sizes;
    if !sizes.head_dim.is_multiple_of(4) {
        let expected = format!("a number that gives heads whose width is a multiple of 4: `hidden_size` = {hidden}");
        return Err(config.wrong("num_attention_heads", expected));
    }
    let rotary = PatchRotary::new(config.positive_or("rope_theta", 100.0)?, sizes.head_dim);
    let inner = config.size_or("intermediate_size", 1536)?;
    let gated = config.flag_or("use_gated_mlp", false)?;
    let biases = [
        ("query_bias", true),
        ("key_bias", false),
        ("value_bias", true),
        ("proj_bias", true),
        ("mlp_bias", true),
    ];
    let [query, key, value, output, mlp] = biases.map(|(name, default)| config.flag_or(name, default));
    let (query, key, value, output, mlp_bias) = (query?, key?, value?, output?, mlp?);
    let embeddings = weights.at("embeddings");
    let layer = |layer: usize| -> Result<Layer> {
        let weights = weights.at(format_args!("layer.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let scale = |name: &str| weights.get(name, [hidden]);
        let qkv = Qkv::Separate {
            query: linear("attention.q_proj", hidden, hidden, query)?,
            key: linear("attention.k_proj", hidden, hidden, key)?,
            value: linear("attention.v_proj", hidden, hidden, value)?,
        };
        let output = linear("attention.o_proj", hidden, hidden, output)?.scaled(scale("layer_scale1.lambda1")?);
        Ok(Layer {
            attention_norm: Norm::layer(&weights.at("norm1"), hidden, epsilon)?,
            attention: sizes.attention(layer, qkv, output),
            mlp_norm: Norm::layer(&weights.at("norm2"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("mlp.up_proj", hidden, inner, mlp_bias)?,
                gate: match gated {
                    true => Some(linear("mlp.gate_proj", hidden, inner, mlp_bias)?),
                    false => None,
                },
                down: linear("mlp.down_proj", inner, hidden, mlp_bias)?.scaled(scale("layer_scale2.lambda1")?),
                activation: sizes.activation,
            },
        })
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    let info = ModelInfo {
        positions: Positions::Rotary,
        ..sizes.info(name, FAMILY, &layers)
    };
    Ok(Box::new(VisionEncoder {
        info,
        embeddings: Embeddings {
            patches: Linear::load_patches(&embeddings.at("patch_embeddings"), sizes.patch_shape(), true)?,
            placed: vec![embeddings.get("cls_token", [1, 1, hidden])?],
            registers: match registers {
                0 => None,
                _ => Some(embeddings.get("register_tokens", [1, registers, hidden])?),
            },
            positions: Places::Rotated(rotary),
            norm: None,
        },
        layers,
        final_norm: Norm::layer(&weights.at("norm"), hidden, epsilon)?,
        norm_all: true,
        pooler: Pooler::Class,
        head: Head::None,
        labels: Vec::new(),
        vision: sizes.vision,
        device: weights.device().clone(),
    }))
}

/// Rotations by the place of a patch in its image: half of the pairs turn with the row, half with the column. A place is the
/// center of the patch, from -1 to 1 along each side, so that images of any size have the same range.
pub(super) struct PatchRotary {
    /// Of a pair of dimensions, from first to last: turns per side.
    frequencies: Vec<f32>,
}

impl PatchRotary {
    /// `theta^(-4 i / head_dim)` for the pairs `i` of each side.
    fn new(theta: f64, head_dim: usize) -> Self {
        let frequency = |pair: usize| theta.powf(-4.0 * pair as f64 / head_dim as f64) as f32;
        Self {
            frequencies: (0..head_dim / 4).map(frequency).collect(),
        }
    }

    /// The rotation of the tokens of an image. The places `[1, tokens, 2]` (row, column) are tapped; those of tokens
    /// without a place are 0, which turns nothing.
    pub(super) fn rotation(&self, vision: Vision, device: &Device, pass: &mut Pass<'_>) -> Result<Rotation> {
        let Vision { rows, columns, .. } = vision;
        let center = |at: usize, count: usize| 2.0 * ((at as f32 + 0.5) / count as f32) - 1.0;
        let mut places = vec![0.0_f32; 2 * vision.special];
        for row in 0..rows {
            for column in 0..columns {
                places.extend([center(row, rows), center(column, columns)]);
            }
        }
        let places = Tensor::from_vec(places, (1, vision.tokens(), 2), device)?;
        let places = pass.tap(Site::positions(Side::Encoder), places)?;
        let frequencies = Tensor::new(self.frequencies.as_slice(), device)?;
        let along = |side: usize| -> Result<Tensor> {
            let turns = (places.narrow(D::Minus1, side, 1)? * TAU)?;
            Ok(turns.broadcast_mul(&frequencies)?)
        };
        Rotation::by(&Tensor::cat(&[along(0)?, along(1)?], D::Minus1)?)
    }
}
