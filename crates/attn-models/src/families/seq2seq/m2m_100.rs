//! M2M100: translation between a hundred languages and more. Norms before each sublayer, sinusoids that skip padding
//! and start at row 2, scaled embeddings, logits without a bias. NLLB has the same network.
//!
//! Fan et al. 2020, <https://arxiv.org/abs/2010.11125>; NLLB team 2022, <https://arxiv.org/abs/2207.04672>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/m2m100_418M, m2m100_1.2B | `M2M100ForConditionalGeneration` |
//! | facebook/nllb-200-distilled-600M | `M2M100ForConditionalGeneration` |
//! | bare models | `M2M100Model` |

use super::{
    bart::{self, Variant},
    marian::MARIAN,
};
use crate::{
    Result, Weights,
    blocks::Wavelengths,
    families::{Config, Network},
};

const M2M_100: Variant = Variant {
    family: "m2m_100",
    pre_norm: true,
    sinusoids: Some(Wavelengths::Closed),
    first_row: 2,
    skips_padding: true,
    logits_bias: false,
    scaled: true,
    ..MARIAN
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    bart::build_variant(config, name, weights, &M2M_100)
}
