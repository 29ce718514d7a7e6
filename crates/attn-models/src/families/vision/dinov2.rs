//! DINOv2: a ViT trained without labels, with a learned factor on what each sublayer adds; with or without registers,
//! tokens that belong to no patch and give the model room to compute.
//!
//! Oquab et al. 2024, <https://arxiv.org/abs/2304.07193>; Darcet et al. 2024, <https://arxiv.org/abs/2309.16588>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/dinov2-small, dinov2-base, dinov2-giant (gated MLP) | `Dinov2Model` |
//! | facebook/dinov2-with-registers-base | `Dinov2WithRegistersModel` |
//! | facebook/dinov2-base-imagenet1k-1-layer | `Dinov2ForImageClassification` and its like with registers |

use super::{Embeddings, Head, Layer, Places, Pooler, Sizes, VisionEncoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Mlp, Norm, Qkv, Resampling},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    encoder(config, name, weights, "dinov2", 0)
}

pub(crate) fn build_with_registers(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let registers = match config.get("num_register_tokens").and_then(serde_json::Value::as_u64) {
        Some(0) => 0,
        _ => config.size_or("num_register_tokens", 4)?,
    };
    encoder(config, name, weights, "dinov2_with_registers", registers)
}

fn encoder(config: &Config, name: &str, weights: &Weights, family: &str, registers: usize) -> Result<Box<dyn Network>> {
    let root = weights.below(family);
    let mut sizes = Sizes::read(config, (224, 14), 1 + registers, &root.at("encoder.layer"))?;
    sizes.epsilon = config.positive_or("layer_norm_eps", 1e-6)?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let ratio = config.positive_or("mlp_ratio", 4.0)?;
    let inner = (hidden as f64 * ratio) as usize;
    if !(1..=1 << 28).contains(&inner) {
        return Err(config.wrong(
            "mlp_ratio",
            format!("a ratio that gives `hidden_size` = {hidden} a sane MLP"),
        ));
    }
    let embeddings = root.at("embeddings");
    let (head, labels) = match config.architecture() {
        Some(class) if class.ends_with("ForImageClassification") => {
            let load = |labels| Linear::load(&weights.at("classifier"), 2 * hidden, labels, true);
            Head::classifier(config, weights, |labels| load(labels).map(Head::ClassAndPatches))?
        }
        _ => (Head::None, Vec::new()),
    };
    let gated = config.flag_or("use_swiglu_ffn", false)?;
    let bias = config.flag_or("qkv_bias", true)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let scale = |name: &str| weights.get(name, [hidden]);
        let qkv = Qkv::Separate {
            query: linear("attention.attention.query", hidden, hidden, bias)?,
            key: linear("attention.attention.key", hidden, hidden, bias)?,
            value: linear("attention.attention.value", hidden, hidden, bias)?,
        };
        let output = linear("attention.output.dense", hidden, hidden, true)?.scaled(scale("layer_scale1.lambda1")?);
        let mlp_scale = scale("layer_scale2.lambda1")?;
        let mlp = if gated {
            // Two thirds of the width, so that three matrices hold what two did (Shazeer 2020), in whole eights.
            let inner = (2 * inner / 3).div_ceil(8) * 8;
            let (gate, up) = Linear::load_pair(&weights.at("mlp.weights_in"), hidden, inner, true)?;
            Mlp {
                up,
                gate: Some(gate),
                down: linear("mlp.weights_out", inner, hidden, true)?.scaled(mlp_scale),
                activation: Activation::Silu,
            }
        } else {
            Mlp {
                up: linear("mlp.fc1", hidden, inner, true)?,
                gate: None,
                down: linear("mlp.fc2", inner, hidden, true)?.scaled(mlp_scale),
                activation: sizes.activation,
            }
        };
        Ok(Layer {
            attention_norm: Norm::layer(&weights.at("norm1"), hidden, epsilon)?,
            attention: sizes.attention(layer, qkv, output),
            mlp_norm: Norm::layer(&weights.at("norm2"), hidden, epsilon)?,
            mlp,
        })
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(VisionEncoder {
        info: sizes.info(name, family, &layers),
        embeddings: Embeddings {
            patches: Linear::load_patches(&embeddings.at("patch_embeddings.projection"), sizes.patch_shape(), true)?,
            placed: vec![embeddings.get("cls_token", [1, 1, hidden])?],
            registers: if registers > 0 {
                Some(embeddings.get("register_tokens", [1, registers, hidden])?)
            } else {
                None
            },
            positions: Places::Added {
                table: embeddings
                    .get("position_embeddings", [1, 1 + sizes.patches(), hidden])?
                    .squeeze(0)?,
                resampling: if registers > 0 {
                    Resampling::Antialiased
                } else {
                    Resampling::Plain
                },
            },
            norm: None,
        },
        layers,
        final_norm: Norm::layer(&root.at("layernorm"), hidden, epsilon)?,
        norm_all: true,
        pooler: Pooler::Class,
        head,
        labels,
        vision: sizes.vision,
        device: weights.device().clone(),
    }))
}
