//! ViT: a bidirectional encoder of image patches behind a class token, norms before each sublayer.
//!
//! Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/vit-base-patch16-224, vit-base-patch32-384, WinKawaks/vit-tiny-patch16-224 | `ViTForImageClassification` |
//! | google/vit-base-patch16-224-in21k, facebook/dino-vits16 | `ViTModel` |

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions, Side};
use candle_core::{DType, Device, Tensor};

use super::Network;
use crate::{
    Error, Inputs, Output, Result, Site, Vision, Weights,
    blocks::{Activation, Linear, Mlp, MultiHead, Norm, Pass, Projection, Shape},
    config::Config,
};

struct Vit {
    info: ModelInfo,
    vision: Vision,
    device: Device,
    patch: (usize, usize),
    /// A convolution whose stride is its size: a linear map of flattened patches.
    patches: Linear,
    class_token: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    final_norm: Norm,
    pooler: Option<(Linear, Activation)>,
    classifier: Option<Linear>,
    labels: Vec<String>,
}

struct Layer {
    attention_norm: Norm,
    attention: MultiHead,
    mlp_norm: Norm,
    mlp: Mlp,
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let hidden = config.size_or("hidden_size", 768)?;
    let heads = config.size_or("num_attention_heads", 12)?;
    let layers = config.size_or("num_hidden_layers", 12)?;
    let inner = config.size_or("intermediate_size", 3072)?;
    let epsilon = config.positive_or("layer_norm_eps", 1e-12)?;
    let activation = Activation::read(config, "hidden_act", Activation::Gelu)?;
    let bias = config.flag_or("qkv_bias", true)?;
    let channels = config.size_or("num_channels", 3)?;
    let (height, width) = config.height_width("image_size", 224)?;
    let (patch_height, patch_width) = config.height_width("patch_size", 16)?;
    // The reference drops the pixels that do not fill a patch.
    let (rows, columns) = (height / patch_height, width / patch_width);
    if rows == 0 || columns == 0 {
        return Err(config.wrong("patch_size", format!("at most the image's size, {height} x {width}")));
    }
    let tokens = rows * columns + 1;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
    let scale = 1.0 / (head_dim as f64).sqrt();

    let root = weights.below("vit");
    let embeddings = root.at("embeddings");
    let (has_pooler, classifier, labels) = match config.architecture() {
        Some("ViTForImageClassification") => {
            let labels = config.labels()?;
            (
                false,
                Some(Linear::load(&weights.at("classifier"), hidden, labels.len(), true)?),
                labels,
            )
        }
        _ => (root.has("pooler.dense.weight"), None, Vec::new()),
    };
    let pooler = if has_pooler {
        let width = config.size_or("pooler_output_size", hidden)?;
        let activation = Activation::read(config, "pooler_act", Activation::Tanh)?;
        Some((Linear::load(&root.at("pooler.dense"), hidden, width, true)?, activation))
    } else {
        None
    };
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        Ok(Layer {
            attention_norm: Norm::layer(&weights.at("layernorm_before"), hidden, epsilon)?,
            attention: MultiHead {
                attention: Attention::EncoderSelf,
                layer,
                shape: Shape {
                    heads,
                    kv_heads: heads,
                    head_dim,
                },
                scale,
                projection: Projection::Separate {
                    query: linear("attention.attention.query", hidden, hidden, bias)?,
                    key: linear("attention.attention.key", hidden, hidden, bias)?,
                    value: linear("attention.attention.value", hidden, hidden, bias)?,
                },
                norms: None,
                output: linear("attention.output.dense", hidden, hidden, true)?,
            },
            mlp_norm: Norm::layer(&weights.at("layernorm_after"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("intermediate.dense", hidden, inner, true)?,
                gate: None,
                down: linear("output.dense", inner, hidden, true)?,
                activation,
            },
        })
    };
    Ok(Box::new(Vit {
        patches: Linear::load_patches(
            &embeddings.at("patch_embeddings.projection"),
            [hidden, channels, patch_height, patch_width],
        )?,
        class_token: embeddings.get("cls_token", [1, 1, hidden])?,
        positions: embeddings.get("position_embeddings", [1, tokens, hidden])?,
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        final_norm: Norm::layer(&root.at("layernorm"), hidden, epsilon)?,
        pooler,
        classifier,
        labels,
        patch: (patch_height, patch_width),
        vision: Vision {
            channels,
            height,
            width,
            rows,
            columns,
            special: 1,
        },
        device: weights.device().clone(),
        info: ModelInfo {
            name: name.to_owned(),
            family: "vit".to_owned(),
            hidden_size: hidden,
            vocab_size: None,
            max_tokens: Some(tokens),
            positions: Positions::Learned,
            attentions: vec![AttentionInfo {
                attention: Attention::EncoderSelf,
                heads,
                kv_heads: heads,
                head_dim,
                layers: vec![
                    LayerAttention {
                        scale: scale as f32,
                        mask: Mask::Full
                    };
                    layers
                ],
                relative_bias: None,
            }],
        },
    }))
}

impl Vit {
    /// `[batch, channels, height, width]` to `[batch, rows * columns, channels * patch_height * patch_width]`.
    fn cut(&self, inputs: &Inputs) -> Result<Tensor> {
        let Vision {
            channels,
            height,
            width,
            rows,
            columns,
            ..
        } = self.vision;
        let expected = format!("shape [batch, {channels}, {height}, {width}]");
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
        match pixels.dims() {
            [batch, c, h, w] if *batch > 0 && (*c, *h, *w) == (channels, height, width) => {}
            other => return Err(Error::input("pixel_values", expected, format!("shape {other:?}"))),
        }
        let (patch_height, patch_width) = self.patch;
        let pixels = pixels.to_device(&self.device)?.to_dtype(DType::F32)?;
        let whole = pixels
            .narrow(2, 0, rows * patch_height)?
            .narrow(3, 0, columns * patch_width)?;
        let batch = whole.dim(0)?;
        let cut = whole.reshape(&[batch, channels, rows, patch_height, columns, patch_width][..])?;
        Ok(cut.permute(vec![0, 2, 4, 1, 3, 5])?.reshape((
            batch,
            rows * columns,
            channels * patch_height * patch_width,
        ))?)
    }
}

impl Network for Vit {
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
        let patches = self.patches.forward(&self.cut(inputs)?, pass)?;
        let patches = pass.tap(Site::embedding(Side::Encoder), patches)?;
        let (batch, _, hidden) = patches.dims3()?;
        let class_token = pass.offset(self.class_token.broadcast_as((batch, 1, hidden))?)?;
        let positions = pass.tap(Site::positions(Side::Encoder), self.positions.clone())?;
        let mut x = Tensor::cat(&[class_token, patches], 1)?.broadcast_add(&positions)?;

        for (layer, block) in self.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(Side::Encoder, layer), x)?;
            let normed = block.attention_norm.forward(&x, pass)?;
            x = (block.attention.forward(&normed, &normed, None, None, pass)? + x)?;
            let inner = block.mlp.forward(&block.mlp_norm.forward(&x, pass)?, pass)?;
            x = (pass.tap(Site::mlp(Side::Encoder, layer), inner)? + x)?;
        }
        // The reference reports the last hidden state before the final norm.
        let x = pass.tap(Site::hidden(Side::Encoder, self.layers.len()), x)?;
        let x = self.final_norm.forward(&x, pass)?;

        let class = x.narrow(1, 0, 1)?.squeeze(1)?;
        let pooled = match &self.pooler {
            Some((pooler, activation)) => Some(pooler.activated(&class, *activation, pass)?),
            None => None,
        };
        let logits = self
            .classifier
            .as_ref()
            .map(|classifier| classifier.forward(&class, pass))
            .transpose()?;
        Ok(Output {
            logits,
            last_hidden: x,
            pooled,
        })
    }

    /// Every state, the last included, is tapped before the final norm.
    fn predict(&self, hidden: &Tensor, _: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let Some(classifier) = &self.classifier else {
            return Ok(None);
        };
        let class = self.final_norm.forward(hidden, pass)?.narrow(1, 0, 1)?.squeeze(1)?;
        classifier.forward(&class, pass).map(Some)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::EncoderSelf)?;
        Some(&block.attention)
    }
}
