//! mT5: T5 v1.1 for a hundred languages.
//!
//! Xue et al. 2021, <https://arxiv.org/abs/2010.11934>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google/mt5-small and siblings | `MT5ForConditionalGeneration` |
//! | bare models | `MT5Model` |

use super::t5::{self, Defaults};
use crate::{
    Result, Weights,
    families::{Config, Network},
};

const MT5: Defaults = Defaults {
    family: "mt5",
    heads: 6,
    layers: 8,
    inner: 1024,
    vocab_size: 250_112,
    feed_forward: "gated-gelu",
    tied: false,
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    t5::build_with(config, name, weights, &MT5)
}
