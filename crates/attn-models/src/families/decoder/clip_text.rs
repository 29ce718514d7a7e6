//! CLIP's text model: causal layers with a norm before each sublayer; the state of the end token, mapped, is compared with
//! images.
//!
//! Radford et al. 2021, <https://arxiv.org/abs/2103.00020>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | openai/clip-vit-base-patch32, clip-vit-large-patch14, laion/CLIP-ViT-H-14-laion2B-s32B-b79K | `CLIPModel`: its text part, by [`Checkpoint::text_tower`](crate::Checkpoint::text_tower) |
//! | text parts alone, such as those of Stable Diffusion | `CLIPTextModel`, `CLIPTextModelWithProjection` |

use attn_core::{Attention, model::Mask};

use crate::{
    Result, Weights,
    blocks::{Activation, Linear},
    families::{
        Config, Network,
        tower::{ReadToken, TextTower, Variant},
    },
};

/// The end of text that the configurations of OpenAI's files name. It is not theirs, which is the highest of all ids.
const MISNAMED_END: u32 = 2;

const VARIANT: Variant = Variant {
    family: "clip_text_model",
    attention: Attention::DecoderSelf,
    mask: Mask::Causal,
    epsilon: 1e-5,
    activation: Activation::QuickGelu,
    defaults: &[
        ("hidden_size", 512),
        ("num_attention_heads", 8),
        ("intermediate_size", 2048),
        ("vocab_size", 49408),
        ("max_position_embeddings", 77),
    ],
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let read = match config.id_or("eos_token_id", 49407)? {
        MISNAMED_END => ReadToken::Highest,
        end => ReadToken::First(end),
    };
    TextTower::build(config, name, weights, &VARIANT, read, |_, hidden| {
        if config.architecture() != Some("CLIPTextModelWithProjection") {
            return Ok(None);
        }
        let width = config.size_or("projection_dim", 512)?;
        let load = || Linear::load(&weights.at("text_projection"), hidden, width, false);
        weights.optional("projection", load)
    })
}
