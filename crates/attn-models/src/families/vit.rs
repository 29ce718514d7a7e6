//! ViT: a bidirectional encoder of image patches behind a class token, norms before each sublayer. DeiT is the same
//! network with a distillation token beside the class token.
//!
//! Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>; Touvron et al. 2021, <https://arxiv.org/abs/2012.12877>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/vit-base-patch16-224, vit-base-patch32-384, WinKawaks/vit-tiny-patch16-224 | `ViTForImageClassification` |
//! | google/vit-base-patch16-224-in21k, facebook/dino-vits16 | `ViTModel` |
//! | facebook/deit-base-distilled-patch16-224 | `DeiTForImageClassificationWithTeacher`: the mean of two heads |
//! | fine-tuned classifiers | `DeiTForImageClassification` |
//! | bare models | `DeiTModel` |

use super::{
    Network,
    vision::{Embeddings, Head, Pooler, Sizes, VisionEncoder},
};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm, Resampling},
    config::Config,
};

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    encoder(config, name, weights, "vit", 1)
}

pub(super) fn build_deit(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    encoder(config, name, weights, "deit", 2)
}

fn encoder(config: &Config, name: &str, weights: &Weights, family: &str, special: usize) -> Result<Box<dyn Network>> {
    let sizes = Sizes::read(config, 224, 16, special)?;
    let hidden = sizes.hidden;
    let root = weights.below(family);
    let embeddings = root.at("embeddings");
    let class_head = |name: &str, labels: &[String]| Linear::load(&weights.at(name), hidden, labels.len(), true);
    let (has_pooler, head, labels) = match config.architecture() {
        Some("ViTForImageClassification" | "DeiTForImageClassification") => {
            let labels = config.labels()?;
            (false, Head::Class(class_head("classifier", &labels)?), labels)
        }
        Some("DeiTForImageClassificationWithTeacher") => {
            let labels = config.labels()?;
            let class = class_head("cls_classifier", &labels)?;
            let distillation = class_head("distillation_classifier", &labels)?;
            (false, Head::ClassAndDistillation(class, distillation), labels)
        }
        _ => (root.has("pooler.dense.weight"), Head::None, Vec::new()),
    };
    let pooler = if has_pooler {
        let width = config.size_or("pooler_output_size", hidden)?;
        let activation = Activation::read(config, "pooler_act", Activation::Tanh)?;
        Pooler::Mapped(Linear::load(&root.at("pooler.dense"), hidden, width, true)?, activation)
    } else {
        Pooler::None
    };
    let mut placed = vec![embeddings.get("cls_token", [1, 1, hidden])?];
    if special > 1 {
        placed.push(embeddings.get("distillation_token", [1, 1, hidden])?);
    }
    let layer = |layer: usize| sizes.vit_layer(config, &root.at(format_args!("encoder.layer.{layer}")), layer);
    Ok(Box::new(VisionEncoder {
        embeddings: Embeddings {
            patches: Linear::load_patches(&embeddings.at("patch_embeddings.projection"), sizes.patch_shape(), true)?,
            placed,
            registers: None,
            positions: embeddings
                .get("position_embeddings", [1, special + sizes.patches(), hidden])?
                .squeeze(0)?,
            resampling: Resampling::Plain,
            norm: None,
        },
        layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
        final_norm: Norm::layer(&root.at("layernorm"), hidden, sizes.epsilon)?,
        norm_all: true,
        pooler,
        head,
        labels,
        vision: sizes.vision,
        device: weights.device().clone(),
        info: sizes.info(name, family),
    }))
}
