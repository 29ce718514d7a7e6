//! Qwen2: Llama's network with biases on queries, keys and values, and on request a window in its upper layers.
//!
//! Yang et al. 2024, <https://arxiv.org/abs/2407.10671>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | Qwen/Qwen2-0.5B, Qwen2.5-7B | `Qwen2ForCausalLM` |
//! | fine-tuned classifiers | `Qwen2ForSequenceClassification` |
//! | bare models | `Qwen2Model` |

use super::llama::{self, Variant, Windows};
use crate::{
    Result, Weights,
    families::{Config, Network},
};

const QWEN2: Variant = Variant {
    family: "qwen2",
    defaults: &[
        ("num_key_value_heads", 32),
        ("intermediate_size", 22016),
        ("vocab_size", 151_936),
        ("max_position_embeddings", 32768),
    ],
    biases: Some((true, false)),
    mlp_bias: false,
    norms: false,
    windows: Windows::Upper,
};

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    llama::build_variant(config, name, weights, &QWEN2)
}
