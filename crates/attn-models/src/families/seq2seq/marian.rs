//! Marian: the transformer of Vaswani et al. 2017 as it was trained for translation: sinusoids, norms after each
//! sublayer, no norm of the embeddings.
//!
//! Junczys-Dowmunt et al. 2018, <https://arxiv.org/abs/1804.00344>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | Helsinki-NLP/opus-mt-en-de and siblings | `MarianMTModel` |
//! | bare models | `MarianModel` |

use super::bart::{self, BART, Variant};
use crate::{
    Result, Weights,
    blocks::Wavelengths,
    families::{Config, Network},
};

pub(super) const MARIAN: Variant = Variant {
    family: "marian",
    embedding_norm: false,
    sinusoids: Some(Wavelengths::Paper),
    first_row: 0,
    ..BART
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    bart::build_variant(config, name, weights, &MARIAN)
}
