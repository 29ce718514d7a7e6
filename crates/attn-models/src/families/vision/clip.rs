//! CLIP's vision model: a ViT with a norm before its first layer, trained to agree with captions. The text model is a family
//! of its own.
//!
//! Radford et al. 2021, <https://arxiv.org/abs/2103.00020>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | openai/clip-vit-base-patch32, clip-vit-large-patch14 | `CLIPModel`: its vision part |
//! | vision parts alone | `CLIPVisionModel`, `CLIPVisionModelWithProjection` |
//! | fine-tuned classifiers | `CLIPForImageClassification` |

use attn_core::Attention;

use super::{Embeddings, Head, Places, Pooler, Sizes, VisionEncoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm, Resampling},
    families::{
        Config, Network,
        tower::{Layer, Widths},
    },
};

/// `clip_vision_model`: the vision part alone.
pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    encoder(config, config, name, weights, "clip_vision_model")
}

/// `clip`: a checkpoint of both parts.
pub(crate) fn build_both(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    // The older name of the object comes before the other, as in the reference.
    let vision = match config.object("vision_config_dict")? {
        Some(vision) => Some(vision),
        None => config.object("vision_config")?,
    };
    // Where nothing differs from the defaults, nothing is written.
    let vision = vision.unwrap_or_else(|| config.empty());
    encoder(config, &vision, name, weights, "clip")
}

/// `config` is the whole checkpoint's, `vision` its vision part's.
fn encoder(config: &Config, vision: &Config, name: &str, weights: &Weights, family: &str) -> Result<Box<dyn Network>> {
    let root = weights.below("vision_model");
    let mut sizes = Sizes::read(vision, (224, 32), 1, &root.at("encoder.layers"))?;
    sizes.epsilon = vision.positive_or("layer_norm_eps", 1e-5)?;
    sizes.activation = Activation::read(vision, "hidden_act", Activation::QuickGelu)?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let inner = vision.size_or("intermediate_size", 3072)?;
    let embeddings = root.at("embeddings");
    let (head, labels) = match config.architecture() {
        Some("CLIPForImageClassification") => {
            let load = |labels| Linear::load(&weights.at("classifier"), hidden, labels, true);
            Head::classifier(config, weights, |labels| load(labels).map(Head::Patches))?
        }
        _ => (Head::None, Vec::new()),
    };
    // What is compared with captions.
    let projected = match config.architecture() {
        Some("CLIPVisionModelWithProjection") => true,
        Some(class) => class == "CLIPModel",
        None => family == "clip" && weights.has("visual_projection.weight"),
    };
    let pooler = match projected {
        true => {
            let width = config.size_or("projection_dim", 512)?;
            let load = || Linear::load(&weights.at("visual_projection"), hidden, width, false);
            weights.optional("projection", load)?
        }
        false => None,
    };
    let widths = Widths {
        hidden,
        heads: sizes.heads,
        inner,
        epsilon,
        activation: sizes.activation,
    };
    let layer = |layer: usize| {
        let weights = root.at(format_args!("encoder.layers.{layer}"));
        Layer::load_tower(&weights, Attention::EncoderSelf, layer, &widths)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(VisionEncoder {
        info: sizes.info(name, family, &layers),
        embeddings: Embeddings {
            patches: Linear::load_patches(&embeddings.at("patch_embedding"), sizes.patch_shape(), false)?,
            placed: vec![embeddings.get("class_embedding", [hidden])?.reshape((1, 1, hidden))?],
            registers: None,
            positions: Places::Added {
                table: embeddings
                    .at("position_embedding")
                    .get("weight", [1 + sizes.patches(), hidden])?,
                resampling: Resampling::Plain,
            },
            // The misspelling is the published one.
            norm: Some(Norm::layer(&root.at("pre_layrnorm"), hidden, epsilon)?),
        },
        layers,
        final_norm: Norm::layer(&root.at("post_layernorm"), hidden, epsilon)?,
        norm_all: false,
        pooler: pooler.map_or(Pooler::Class, |map| Pooler::Mapped(map, None)),
        head,
        labels,
        vision: sizes.vision,
        device: weights.device().clone(),
    }))
}
