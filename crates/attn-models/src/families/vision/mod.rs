//! Encoders of image patches: norms before each sublayer (Dosovitskiy et al. 2021).
//!
//! [`VisionEncoder`] is the network of all of them. They differ in the names of their tensors, in the tokens that stand
//! before the patches and in what is made of the last layer; each has a file that reads its configuration and builds
//! this.
//!
//! Images may have another size than the model's own: the table of positions is then resampled to their grid, as the
//! references do (on request: ViT, DeiT, CLIP, SigLIP; always: DINOv2). DINOv3 rotates by the places of patches and has
//! no table.

pub(super) mod clip;
pub(super) mod deit;
pub(super) mod dinov2;
pub(super) mod dinov3;
mod probe;
pub(super) mod siglip;
pub(super) mod vit;

use attn_core::{
    Attention, ModelInfo, Side,
    model::{Mask, Positions},
};
use candle_core::{DType, Device, Tensor};

use self::{dinov3::PatchRotary, probe::Probe};
use super::{Config, Network, tower::Layer};
use crate::{
    Error, Inputs, Result, Site, Weights,
    blocks::{Activation, HeadShape, Linear, Mlp, MultiHead, Norm, Pass, Qkv, Resampling, ScoreTerms, resample},
    model::{Output, Vision},
};

/// The sizes of a vision encoder.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    hidden: usize,
    heads: usize,
    head_dim: usize,
    layers: usize,
    /// Of the norms.
    epsilon: f64,
    activation: Activation,
    /// The images it was trained on.
    vision: Vision,
}

impl Sizes {
    /// Reads the options ViT and its relatives share; `image_size` and `patch_size` are the family's defaults,
    /// `special` the number of tokens before the patches, `layers` the weights below which each layer has its number.
    fn read(
        config: &Config,
        (image_size, patch_size): (usize, usize),
        special: usize,
        layers: &Weights,
    ) -> Result<Self> {
        let hidden = config.size_or("hidden_size", 768)?;
        let heads = config.size_or("num_attention_heads", 12)?;
        let (height, width) = config.height_width("image_size", image_size)?;
        let patch = config.height_width("patch_size", patch_size)?;
        // The reference drops the pixels that do not fill a patch.
        let (rows, columns) = (height / patch.0, width / patch.1);
        if rows == 0 || columns == 0 {
            return Err(config.wrong("patch_size", format!("at most the image's size, {height} x {width}")));
        }
        Ok(Self {
            hidden,
            heads,
            head_dim: config.divide("hidden_size", hidden, "num_attention_heads", heads)?,
            layers: config.layers_in("num_hidden_layers", 12, layers)?,
            epsilon: config.positive_or("layer_norm_eps", 1e-12)?,
            activation: Activation::read(config, "hidden_act", Activation::Gelu)?,
            vision: Vision {
                channels: config.size_or("num_channels", 3)?,
                height,
                width,
                patch,
                rows,
                columns,
                special,
            },
        })
    }

    /// Shape of the convolution that cuts and maps patches.
    fn patch_shape(&self) -> [usize; 4] {
        let Vision { channels, patch, .. } = self.vision;
        [self.hidden, channels, patch.0, patch.1]
    }

    /// Patches of an image of the model's own size.
    fn patches(&self) -> usize {
        self.vision.rows * self.vision.columns
    }

    /// The facts, read off the layers.
    fn info(&self, name: &str, family: &str, layers: &[Layer]) -> ModelInfo {
        let attention = MultiHead::info(layers.iter().map(|layer| (&layer.attention, Mask::Full)));
        ModelInfo {
            name: name.to_owned(),
            family: family.to_owned(),
            hidden_size: self.hidden,
            vocab_size: None,
            max_tokens: Some(self.vision.special + self.patches()),
            positions: Positions::Learned,
            attentions: attention.into_iter().collect(),
        }
    }

    /// The factor on query-key products.
    fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }

    /// One layer's attention from its linear layers.
    fn attention(&self, layer: usize, qkv: Qkv, output: Linear) -> MultiHead {
        MultiHead {
            attention: Attention::EncoderSelf,
            layer,
            shape: HeadShape::full(self.heads, self.head_dim),
            scale: self.scale(),
            qkv,
            norms: None,
            output,
            terms: ScoreTerms::default(),
        }
    }

    /// A layer under the names ViT and DeiT share.
    fn vit_layer(&self, config: &Config, weights: &Weights, layer: usize) -> Result<Layer> {
        let Self {
            hidden,
            epsilon,
            activation,
            ..
        } = *self;
        let inner = config.size_or("intermediate_size", 3072)?;
        let bias = config.flag_or("qkv_bias", true)?;
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let qkv = Qkv::Separate {
            query: linear("attention.attention.query", hidden, hidden, bias)?,
            key: linear("attention.attention.key", hidden, hidden, bias)?,
            value: linear("attention.attention.value", hidden, hidden, bias)?,
        };
        let output = linear("attention.output.dense", hidden, hidden, true)?;
        Ok(Layer {
            attention_norm: Norm::layer(&weights.at("layernorm_before"), hidden, epsilon)?,
            attention: self.attention(layer, qkv, output),
            mlp_norm: Norm::layer(&weights.at("layernorm_after"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("intermediate.dense", hidden, inner, true)?,
                gate: None,
                down: linear("output.dense", inner, hidden, true)?,
                activation,
            },
        })
    }
}

/// The states of tokens before the first layer.
struct Embeddings {
    /// A convolution whose stride is its size: a linear map of flattened patches.
    patches: Linear,
    /// Tokens that have a position of their own, `[1, 1, hidden]` each: the class token, the distillation token.
    placed: Vec<Tensor>,
    /// Tokens behind those that have none: registers, `[1, n, hidden]`.
    registers: Option<Tensor>,
    positions: Places,
    /// A norm before the first layer (CLIP).
    norm: Option<Norm>,
}

/// How the places of patches enter.
enum Places {
    /// A vector per token is added.
    Added {
        /// `[placed + patches, hidden]`.
        table: Tensor,
        /// How those of other image sizes are made.
        resampling: Resampling,
    },
    /// Queries and keys are rotated.
    Rotated(PatchRotary),
}

/// One vector per image.
enum Pooler {
    None,
    /// The class token after the final norm.
    Class,
    /// That, mapped.
    Mapped(Linear, Option<Activation>),
    /// What a learned query reads of all tokens.
    Probe(Box<Probe>),
}

/// The head of a checkpoint.
enum Head {
    None,
    /// From the class token.
    Class(Linear),
    /// The mean of what the class token and the distillation token say (Touvron et al. 2021).
    ClassAndDistillation(Linear, Linear),
    /// From the mean of the patches.
    Patches(Linear),
    /// From the class token beside the mean of the patches.
    ClassAndPatches(Linear),
}

impl Head {
    /// A head, given the number of classes, and their names; neither if the files lack it.
    fn classifier(
        config: &Config,
        weights: &Weights,
        load: impl FnOnce(usize) -> Result<Self>,
    ) -> Result<(Self, Vec<String>)> {
        let labels = config.labels()?;
        let head = weights.optional("classifier", || load(labels.len()))?;
        Ok(head.map_or((Self::None, Vec::new()), |head| (head, labels)))
    }
}

struct VisionEncoder {
    info: ModelInfo,
    vision: Vision,
    device: Device,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    final_norm: Norm,
    /// Whether the final norm is that of every token, or only of the pooled one (CLIP).
    norm_all: bool,
    pooler: Pooler,
    head: Head,
    labels: Vec<String>,
}

impl VisionEncoder {
    /// The image size of a batch, and its patches `[batch, patches, channels * patch_height * patch_width]`.
    fn cut(&self, inputs: &Inputs) -> Result<(Vision, Tensor)> {
        let Vision { channels, patch, .. } = self.vision;
        let expected = format!(
            "shape [batch, {channels}, height, width] of at least one patch of {} x {}",
            patch.0, patch.1
        );
        let Some(pixels) = &inputs.pixel_values else {
            return Err(Error::input("pixel_values", expected, "nothing"));
        };
        if !pixels.dtype().is_float() {
            return Err(Error::input(
                "pixel_values",
                "floating-point numbers",
                format!("element type {:?}", pixels.dtype()),
            ));
        }
        let vision = match *pixels.dims() {
            [batch, found, height, width] if batch > 0 && found == channels => self.vision.at(height, width),
            _ => None,
        };
        let Some(vision) = vision else {
            return Err(Error::input(
                "pixel_values",
                expected,
                format!("shape {:?}", pixels.dims()),
            ));
        };
        let Vision { rows, columns, .. } = vision;
        let pixels = pixels.to_device(&self.device)?.to_dtype(DType::F32)?;
        let whole = pixels.narrow(2, 0, rows * patch.0)?.narrow(3, 0, columns * patch.1)?;
        let batch = whole.dim(0)?;
        let cut = whole.reshape(&[batch, channels, rows, patch.0, columns, patch.1][..])?;
        let flat = (batch, rows * columns, channels * patch.0 * patch.1);
        Ok((vision, cut.permute(vec![0, 2, 4, 1, 3, 5])?.reshape(flat)?))
    }

    /// The vectors of all tokens of an image, `[1, tokens, hidden]`; those of registers are 0.
    fn positions(&self, vision: Vision, positions: &Tensor, resampling: Resampling) -> Result<Tensor> {
        let Embeddings { placed, registers, .. } = &self.embeddings;
        let placed = placed.len();
        let own = (self.vision.rows, self.vision.columns);
        let grid = (vision.rows, vision.columns);
        if own == grid && registers.is_none() {
            return Ok(positions.unsqueeze(0)?);
        }
        let patches = positions.narrow(0, placed, own.0 * own.1)?;
        let patches = if own == grid {
            patches
        } else {
            resample(&patches.contiguous()?, own, grid, resampling)?
        };
        let mut parts = vec![positions.narrow(0, 0, placed)?];
        if let Some(registers) = registers {
            parts.push(registers.squeeze(0)?.zeros_like()?);
        }
        parts.push(patches);
        Ok(Tensor::cat(&parts, 0)?.unsqueeze(0)?)
    }

    fn logits(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let token = |at: usize| -> Result<Tensor> { Ok(x.narrow(1, at, 1)?.squeeze(1)?) };
        let special = self.vision.special;
        let mean = || -> Result<Tensor> { Ok(x.narrow(1, special, x.dim(1)? - special)?.mean(1)?) };
        Ok(match &self.head {
            Head::None => None,
            Head::Class(class) => Some(class.forward(&token(0)?, pass)?),
            Head::ClassAndDistillation(class, distillation) => {
                let sum = (class.forward(&token(0)?, pass)? + distillation.forward(&token(1)?, pass)?)?;
                Some((sum * 0.5)?)
            }
            Head::Patches(classifier) => Some(classifier.forward(&mean()?, pass)?),
            Head::ClassAndPatches(classifier) => {
                let both = Tensor::cat(&[token(0)?, mean()?], 1)?;
                Some(classifier.forward(&both, pass)?)
            }
        })
    }
}

impl Network for VisionEncoder {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn vision(&self) -> Option<Vision> {
        Some(self.vision)
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["pixel_values"])?;
        let (vision, patches) = self.cut(inputs)?;
        let patches = self.embeddings.patches.forward(&patches, pass)?;
        let patches = pass.tap(Site::embedding(Side::Encoder), patches)?;
        let batch = patches.dim(0)?;
        let of_all = |tokens: &Tensor| tokens.broadcast_as((batch, tokens.dim(1)?, tokens.dim(2)?));
        let special = self.embeddings.placed.iter().chain(&self.embeddings.registers);
        let mut parts = special
            .map(|tokens| pass.offset(of_all(tokens)?))
            .collect::<Result<Vec<_>>>()?;
        parts.push(patches);
        let mut x = Tensor::cat(&parts, 1)?;
        let rotation = match &self.embeddings.positions {
            Places::Added { table, resampling } => {
                let positions = self.positions(vision, table, *resampling)?;
                x = x.broadcast_add(&pass.tap(Site::positions(Side::Encoder), positions)?)?;
                None
            }
            Places::Rotated(rotary) => Some(rotary.rotation(vision, &self.device, pass)?),
        };
        if let Some(norm) = &self.embeddings.norm {
            x = norm.forward(&x, pass)?;
        }

        for (index, layer) in self.layers.iter().enumerate() {
            if pass.skips(Side::Encoder, index) {
                continue;
            }
            x = layer.forward(x, None, rotation.as_ref(), pass)?;
        }
        // The reference reports the last hidden state before the final norm.
        let x = pass.tap(Site::hidden(Side::Encoder, self.layers.len()), x)?;
        let normed = self.final_norm.forward(&x, pass)?;

        let class = || -> Result<Tensor> { Ok(normed.narrow(1, 0, 1)?.squeeze(1)?) };
        let pooled = match &self.pooler {
            Pooler::None => None,
            Pooler::Class => Some(class()?),
            Pooler::Mapped(map, Some(activation)) => Some(map.activated(&class()?, *activation, pass)?),
            Pooler::Mapped(map, None) => Some(map.forward(&class()?, pass)?),
            Pooler::Probe(probe) => Some(probe.forward(&normed, pass)?),
        };
        let last_hidden = if self.norm_all { normed } else { x };
        Ok(Output {
            logits: self.logits(&last_hidden, pass)?,
            last_hidden,
            pooled,
        })
    }

    /// Every state, the last included, is tapped before the final norm.
    fn predict(&self, hidden: &Tensor, _: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let normed = if self.norm_all {
            self.final_norm.forward(hidden, pass)?
        } else {
            hidden.clone()
        };
        self.logits(&normed, pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::EncoderSelf)?;
        Some(&block.attention)
    }
}
