//! SigLIP's vision model: a ViT without a class token, trained to agree with captions, pair by pair; a learned query reads
//! the image. The text model is a family of its own.
//!
//! Zhai et al. 2023, <https://arxiv.org/abs/2303.15343>; Tschannen et al. 2025, <https://arxiv.org/abs/2502.14786>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/siglip-base-patch16-224, siglip-so400m-patch14-384, google/siglip2-base-patch16-224 | `SiglipModel`: its vision part |
//! | vision parts alone | `SiglipVisionModel` |
//! | fine-tuned classifiers | `SiglipForImageClassification` |

use attn_core::Attention;

use super::{Embeddings, Head, Places, Pooler, Sizes, VisionEncoder, probe::Probe};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm, Resampling},
    families::{
        Config, Network,
        tower::{Layer, Widths},
    },
};

/// `siglip_vision_model`: the vision part alone.
pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    encoder(config, config, name, weights, "siglip_vision_model")
}

/// `siglip`: a checkpoint of both parts.
pub(crate) fn build_both(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let vision = config.object("vision_config")?.unwrap_or_else(|| config.empty());
    encoder(config, &vision, name, weights, "siglip")
}

/// `config` is the whole checkpoint's, `vision` its vision part's.
fn encoder(config: &Config, vision: &Config, name: &str, weights: &Weights, family: &str) -> Result<Box<dyn Network>> {
    let root = weights.below("vision_model");
    let mut sizes = Sizes::read(vision, (224, 16), 0, &root.at("encoder.layers"))?;
    sizes.epsilon = vision.positive_or("layer_norm_eps", 1e-6)?;
    sizes.activation = Activation::read(vision, "hidden_act", Activation::GeluTanh)?;
    let Sizes { hidden, epsilon, .. } = sizes;
    let inner = vision.size_or("intermediate_size", 3072)?;
    let (head, labels) = match config.architecture() {
        Some("SiglipForImageClassification") => {
            let load = |labels| Linear::load(&weights.at("classifier"), hidden, labels, true);
            Head::classifier(config, weights, |labels| load(labels).map(Head::Patches))?
        }
        _ => (Head::None, Vec::new()),
    };
    // A classifier reads the patches and leaves the query out.
    let reads = vision.flag_or("vision_use_head", true)? && matches!(head, Head::None);
    let probe = match reads {
        true => root.optional("pooler", || Probe::load(&root.at("head"), &sizes, inner))?,
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
    let embeddings = root.at("embeddings");
    Ok(Box::new(VisionEncoder {
        info: sizes.info(name, family, &layers),
        embeddings: Embeddings {
            patches: Linear::load_patches(&embeddings.at("patch_embedding"), sizes.patch_shape(), true)?,
            placed: Vec::new(),
            registers: None,
            positions: Places::Added {
                table: embeddings
                    .at("position_embedding")
                    .get("weight", [sizes.patches(), hidden])?,
                resampling: Resampling::Plain,
            },
            norm: None,
        },
        layers,
        final_norm: Norm::layer(&root.at("post_layernorm"), hidden, epsilon)?,
        norm_all: true,
        pooler: probe.map_or(Pooler::None, |probe| Pooler::Probe(Box::new(probe))),
        head,
        labels,
        vision: sizes.vision,
        device: weights.device().clone(),
    }))
}
