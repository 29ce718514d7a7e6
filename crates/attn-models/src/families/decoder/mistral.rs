//! Mistral: Llama's network whose queries see the last few thousand tokens only.
//!
//! Jiang et al. 2023, <https://arxiv.org/abs/2310.06825>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | mistralai/Mistral-7B-v0.1 (window), Mistral-7B-v0.3 (none) | `MistralForCausalLM` |
//! | fine-tuned classifiers | `MistralForSequenceClassification` |
//! | bare models | `MistralModel` |

use super::llama::{self, Variant, Windows};
use crate::{
    Result, Weights,
    families::{Config, Network},
};

const MISTRAL: Variant = Variant {
    family: "mistral",
    defaults: &[
        ("num_key_value_heads", 8),
        ("intermediate_size", 14336),
        ("max_position_embeddings", 131_072),
    ],
    biases: Some((false, false)),
    mlp_bias: false,
    norms: false,
    windows: Windows::All,
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    llama::build_variant(config, name, weights, &MISTRAL)
}
