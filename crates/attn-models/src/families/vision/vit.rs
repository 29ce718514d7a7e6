//! ViT: a bidirectional encoder of image patches behind a class token, norms before each sublayer.
//!
//! Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/vit-base-patch16-224, vit-base-patch32-384, WinKawaks/vit-tiny-patch16-224 | `ViTForImageClassification` |
//! | google/vit-base-patch16-224-in21k, facebook/dino-vits16 | `ViTModel` |

use candle_core::Tensor;

use super::{Embeddings, Head, Places, Pooler, Sizes, VisionEncoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm, Resampling},
    families::{Config, Network},
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let root = weights.below("vit");
    let sizes = Sizes::read(config, (224, 16), 1, &root.at("encoder.layer"))?;
    let head = match config.architecture() {
        Some("ViTForImageClassification") => {
            let class = |labels| Linear::load(&weights.at("classifier"), sizes.hidden, labels, true).map(Head::Class);
            Some(Head::classifier(config, weights, class)?)
        }
        _ => None,
    };
    let class = root.at("embeddings").get("cls_token", [1, 1, sizes.hidden])?;
    network(config, name, "vit", &root, &sizes, vec![class], head)
}

/// The network behind special tokens, under the names ViT and DeiT share; a bare model may have a pooler.
pub(super) fn network(
    config: &Config,
    name: &str,
    family: &str,
    root: &Weights,
    sizes: &Sizes,
    special: Vec<Tensor>,
    head: Option<(Head, Vec<String>)>,
) -> Result<Box<dyn Network>> {
    let hidden = sizes.hidden;
    let embeddings = root.at("embeddings");
    let mut pooler = Pooler::None;
    if head.is_none() && root.has("pooler.dense.weight") {
        let width = config.size_or("pooler_output_size", hidden)?;
        let activation = Activation::read(config, "pooler_act", Activation::Tanh)?;
        let load = || Linear::load(&root.at("pooler.dense"), hidden, width, true);
        if let Some(map) = root.optional("pooler", load)? {
            pooler = Pooler::Mapped(map, Some(activation));
        }
    }
    let (head, labels) = head.unwrap_or((Head::None, Vec::new()));
    let layer = |layer: usize| sizes.vit_layer(config, &root.at(format_args!("encoder.layer.{layer}")), layer);
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    let tokens = special.len() + sizes.patches();
    Ok(Box::new(VisionEncoder {
        info: sizes.info(name, family, &layers),
        vision: sizes.vision,
        device: root.device().clone(),
        embeddings: Embeddings {
            patches: Linear::load_patches(&embeddings.at("patch_embeddings.projection"), sizes.patch_shape(), true)?,
            placed: special,
            registers: None,
            positions: Places::Added {
                table: embeddings.get("position_embeddings", [1, tokens, hidden])?.squeeze(0)?,
                resampling: Resampling::Plain,
            },
            norm: None,
        },
        layers,
        final_norm: Norm::layer(&root.at("layernorm"), hidden, sizes.epsilon)?,
        norm_all: true,
        pooler,
        head,
        labels,
    }))
}
