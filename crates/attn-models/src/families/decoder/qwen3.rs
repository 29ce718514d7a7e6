//! Qwen3: Llama's network with a norm of the queries and keys of each head.
//!
//! Yang et al. 2025, <https://arxiv.org/abs/2505.09388>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | Qwen/Qwen3-0.6B, Qwen3-8B | `Qwen3ForCausalLM` |
//! | fine-tuned classifiers | `Qwen3ForSequenceClassification` |
//! | bare models | `Qwen3Model` |

use super::llama::{self, Variant, Windows};
use crate::{
    Result, Weights,
    families::{Config, Network},
};

const QWEN3: Variant = Variant {
    family: "qwen3",
    defaults: &[
        ("head_dim", 128),
        ("num_key_value_heads", 32),
        ("intermediate_size", 22016),
        ("vocab_size", 151_936),
        ("max_position_embeddings", 32768),
    ],
    biases: None,
    mlp_bias: false,
    norms: true,
    windows: Windows::Upper,
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    llama::build_variant(config, name, weights, &QWEN3)
}
