//! Pegasus: an encoder-decoder trained to fill in sentences, for summaries. Sinusoids, norms before each sublayer.
//!
//! Zhang et al. 2020, <https://arxiv.org/abs/1912.08777>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/pegasus-xsum, pegasus-cnn_dailymail | `PegasusForConditionalGeneration` |
//! | bare models | `PegasusModel` |

use super::{
    bart::{self, Variant},
    marian::MARIAN,
};
use crate::{
    Result, Weights,
    families::{Config, Network},
};

const PEGASUS: Variant = Variant {
    family: "pegasus",
    pre_norm: true,
    ..MARIAN
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    bart::build_variant(config, name, weights, &PEGASUS)
}
