//! The model families, one file each, and the table that finds them by `model_type`.

mod albert;
mod bart;
mod bert;
mod causal;
mod clip;
mod dinov2;
mod distilbert;
mod electra;
mod gpt2;
mod gpt_neox;
mod llama;
mod post_norm;
mod roberta;
mod t5;
mod vision;
mod vit;

use attn_core::{Attention, ModelInfo};
use candle_core::Tensor;

use crate::{
    Error, Inputs, Output, Result, Vision, Weights,
    blocks::{MultiHead, Pass},
    config::Config,
};

/// A built model of some family.
pub(crate) trait Network: Send + Sync {
    fn info(&self) -> &ModelInfo;

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output>;

    /// What the head predicts from a state as tapped after `layer` layers; `None` without a head.
    fn predict(&self, _hidden: &Tensor, _layer: usize, _pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The attention of one layer, for what is measured on its weights; `None` if there is no such layer.
    fn attention_block(&self, _attention: Attention, _layer: usize) -> Option<&MultiHead> {
        None
    }

    /// Whether a pass with a cache computes the new tokens alone (see `blocks/cache.rs`).
    fn caches(&self) -> bool {
        false
    }

    /// What a model of images expects.
    fn vision(&self) -> Option<Vision> {
        None
    }

    /// Names of the classes of a classification head.
    fn labels(&self) -> &[String] {
        &[]
    }
}

/// Builds a network from its configuration; the string is the model's name.
type Build = fn(&Config, &str, &Weights) -> Result<Box<dyn Network>>;

/// Every supported `model_type`.
const FAMILIES: &[(&str, Build)] = &[
    ("albert", albert::build),
    ("bart", bart::build),
    ("bert", bert::build),
    ("camembert", roberta::build),
    ("clip", clip::build_both),
    ("clip_vision_model", clip::build),
    ("deit", vit::build_deit),
    ("dinov2", dinov2::build),
    ("dinov2_with_registers", dinov2::build_with_registers),
    ("distilbert", distilbert::build),
    ("electra", electra::build),
    ("gpt2", gpt2::build),
    ("gpt_neox", gpt_neox::build),
    ("llama", llama::build),
    ("mistral", llama::build_mistral),
    ("qwen2", llama::build_qwen2),
    ("qwen3", llama::build_qwen3),
    ("roberta", roberta::build),
    ("m2m_100", bart::build),
    ("marian", bart::build),
    ("mbart", bart::build),
    ("mt5", t5::build),
    ("pegasus", bart::build),
    ("t5", t5::build),
    ("vit", vit::build),
    ("xlm-roberta", roberta::build),
];

/// The supported families, as `model_type` spells them.
///
/// ```
/// assert!(attn_models::families().any(|family| family == "bert"));
/// ```
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(family, _)| *family)
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let supported = || families().collect::<Vec<_>>().join(", ");
    let Some(family) = config.text("model_type")? else {
        return Err(config.wrong("model_type", format!("one of {}", supported())));
    };
    match FAMILIES.iter().find(|(name, _)| *name == family) {
        Some((_, build)) => build(config, name, weights),
        None => Err(Error::UnknownFamily {
            path: config.path().to_owned(),
            found: family.to_owned(),
            supported: supported(),
        }),
    }
}
