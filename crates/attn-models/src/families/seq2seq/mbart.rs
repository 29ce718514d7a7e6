//! mBART: BART's network for many languages, norms before each sublayer.
//!
//! Liu et al. 2020, <https://arxiv.org/abs/2001.08210>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | facebook/mbart-large-cc25, mbart-large-50-many-to-many-mmt | `MBartForConditionalGeneration` |
//! | bare models | `MBartModel` |

use super::bart::{self, BART, Variant};
use crate::{
    Result, Weights,
    families::{Config, Network},
};

const MBART: Variant = Variant {
    family: "mbart",
    pre_norm: true,
    ..BART
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    bart::build_variant(config, name, weights, &MBART)
}
