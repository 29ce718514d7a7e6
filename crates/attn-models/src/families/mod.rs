//! The model families, one file each, and the table that finds them by `model_type`.

mod bert;
mod gpt2;
mod llama;
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
    ("bert", bert::build),
    ("gpt2", gpt2::build),
    ("llama", llama::build),
    ("vit", vit::build),
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
