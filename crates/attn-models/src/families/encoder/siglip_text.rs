//! SigLIP's text model: bidirectional layers with a norm before each sublayer; the state of the last token, mapped, is
//! compared with images. Texts are filled up to the longest one with the end of text, which the model reads like any token.
//!
//! Zhai et al. 2023, <https://arxiv.org/abs/2303.15343>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/siglip-base-patch16-224, siglip-so400m-patch14-384, google/siglip2-base-patch16-224 | `SiglipModel`: its text part, by [`Checkpoint::text_tower`](crate::Checkpoint::text_tower) |
//! | text parts alone | `SiglipTextModel` |

use attn_core::{Attention, model::Mask};

use crate::{
    Result, Weights,
    blocks::{Activation, Linear},
    families::{
        Config, Network,
        tower::{ReadToken, TextTower, Variant},
    },
};

const VARIANT: Variant = Variant {
    family: "siglip_text_model",
    attention: Attention::EncoderSelf,
    mask: Mask::Full,
    epsilon: 1e-6,
    activation: Activation::GeluTanh,
    defaults: &[],
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    TextTower::build(config, name, weights, &VARIANT, ReadToken::Last, |root, hidden| {
        let width = config.size_or("projection_size", hidden)?;
        let load = || Linear::load(&root.at("head"), hidden, width, true);
        root.optional("projection", load)
    })
}
