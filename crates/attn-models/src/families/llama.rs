//! Llama: a causal decoder of text, RMS norms before each sublayer, rotary positions, gated MLP, grouped heads.
//!
//! Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>; grouped heads since <https://arxiv.org/abs/2307.09288>;
//! longer contexts since <https://arxiv.org/abs/2407.21783>. Mistral (Jiang et al. 2023,
//! <https://arxiv.org/abs/2310.06825>) sees the last few thousand tokens only; Qwen2 (Yang et al. 2024,
//! <https://arxiv.org/abs/2407.10671>) has biases on queries, keys and values, and such windows in its upper layers on
//! request; Qwen3 (Yang et al. 2025, <https://arxiv.org/abs/2505.09388>) norms the queries and keys of each head.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | meta-llama/Llama-2-7b-hf, Meta-Llama-3-8B, Llama-3.2-1B | `LlamaForCausalLM` |
//! | TinyLlama/TinyLlama-1.1B-Chat-v1.0, HuggingFaceTB/SmolLM2-135M | `LlamaForCausalLM` |
//! | mistralai/Mistral-7B-v0.1 (window), Mistral-7B-v0.3 (none) | `MistralForCausalLM` |
//! | Qwen/Qwen2-0.5B, Qwen2.5-7B | `Qwen2ForCausalLM` |
//! | Qwen/Qwen3-0.6B, Qwen3-8B | `Qwen3ForCausalLM` |
//! | fine-tuned classifiers | `LlamaForSequenceClassification` and its like |
//! | bare models | `LlamaModel` and its like |

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions};

use super::{
    Network,
    causal::{CausalHead, Decoder, Layer, Placement, WordMap},
};
use crate::{
    Result, Weights,
    blocks::{Activation, Embedding, Linear, Mlp, MultiHead, Norm, Projection, Rotary, RotaryOptions, Shape},
    config::Config,
};

/// What its relatives do differently.
struct Variant {
    family: &'static str,
    /// Sizes where the configuration has none.
    defaults: &'static [(&'static str, usize)],
    /// Biases of queries, keys and values, and of the output; `attention_bias` where neither is fixed.
    biases: Option<(bool, bool)>,
    /// Whether queries and keys are normed per head.
    norms: bool,
    windows: Windows,
}

/// Which layers see only the last tokens.
enum Windows {
    None,
    /// Every layer, unless `sliding_window` is null.
    All,
    /// Those named in `layer_types`, or from `max_window_layers` on, if `use_sliding_window` is set.
    Upper,
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let variant = Variant {
        family: "llama",
        defaults: &[],
        biases: None,
        norms: false,
        windows: Windows::None,
    };
    decoder(config, name, weights, &variant)
}

pub(super) fn build_mistral(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let variant = Variant {
        family: "mistral",
        defaults: &[
            ("num_key_value_heads", 8),
            ("intermediate_size", 14336),
            ("max_position_embeddings", 131_072),
        ],
        biases: Some((false, false)),
        norms: false,
        windows: Windows::All,
    };
    decoder(config, name, weights, &variant)
}

pub(super) fn build_qwen2(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let variant = Variant {
        family: "qwen2",
        defaults: &[
            ("num_key_value_heads", 32),
            ("intermediate_size", 22016),
            ("vocab_size", 151_936),
            ("max_position_embeddings", 32768),
        ],
        biases: Some((true, false)),
        norms: false,
        windows: Windows::Upper,
    };
    decoder(config, name, weights, &variant)
}

pub(super) fn build_qwen3(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let variant = Variant {
        family: "qwen3",
        defaults: &[
            ("head_dim", 128),
            ("num_key_value_heads", 32),
            ("intermediate_size", 22016),
            ("vocab_size", 151_936),
            ("max_position_embeddings", 32768),
        ],
        biases: None,
        norms: true,
        windows: Windows::Upper,
    };
    decoder(config, name, weights, &variant)
}

impl Windows {
    /// The mask of each layer.
    fn masks(&self, config: &Config, layers: usize) -> Result<Vec<Mask>> {
        let window = |given: bool| -> Result<Mask> {
            Ok(if given && !config.is_null("sliding_window") {
                Mask::Window {
                    width: config.size_or("sliding_window", 4096)?,
                }
            } else {
                Mask::Causal
            })
        };
        match self {
            Self::None => Ok(vec![Mask::Causal; layers]),
            Self::All => Ok(vec![window(true)?; layers]),
            Self::Upper => {
                let window = window(config.flag_or("use_sliding_window", false)?)?;
                let Some(types) = config.get("layer_types") else {
                    // None of the layers has a window where the number is beyond them.
                    let first = match config.get("max_window_layers").and_then(serde_json::Value::as_u64) {
                        Some(0) => 0,
                        _ => config.size_or("max_window_layers", 28)?,
                    };
                    let mask = |layer| if layer < first { Mask::Causal } else { window };
                    return Ok((0..layers).map(mask).collect());
                };
                let types = types.as_array().filter(|types| types.len() == layers);
                let types = types.ok_or_else(|| config.wrong("layer_types", format!("a list of {layers} names")))?;
                let mask = |kind: &serde_json::Value| match kind.as_str() {
                    Some("full_attention") => Ok(Mask::Causal),
                    Some("sliding_attention") if window != Mask::Causal => Ok(window),
                    Some("sliding_attention") => {
                        Err(config.wrong("sliding_window", "a width: `layer_types` has sliding attention"))
                    }
                    _ => Err(config.unsupported("layer_types", "full_attention, sliding_attention")),
                };
                types.iter().map(mask).collect()
            }
        }
    }
}

fn decoder(config: &Config, name: &str, weights: &Weights, variant: &Variant) -> Result<Box<dyn Network>> {
    let config = &config.with_defaults(variant.defaults);
    let hidden = config.size_or("hidden_size", 4096)?;
    let heads = config.size_or("num_attention_heads", 32)?;
    let kv_heads = config.size_or("num_key_value_heads", heads)?;
    config.divide("num_attention_heads", heads, "num_key_value_heads", kv_heads)?;
    let head_dim = match config.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None => config.divide("hidden_size", hidden, "num_attention_heads", heads)?,
    };
    let layers = config.layers_or("num_hidden_layers", 32)?;
    let inner = config.size_or("intermediate_size", 11008)?;
    let vocab_size = config.size_or("vocab_size", 32000)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let (input_bias, output_bias) = match variant.biases {
        Some(biases) => biases,
        None => {
            let bias = config.flag_or("attention_bias", false)?;
            (bias, bias)
        }
    };
    let mlp_bias = variant.family == "llama" && config.flag_or("mlp_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = Rotary::read(config, RotaryOptions::default(), head_dim, max_tokens, weights.device())?;
    let masks = variant.windows.masks(config, layers)?;
    let scale = 1.0 / (head_dim as f64).sqrt();

    let root = weights.below("model");
    let words = Embedding::load(&root.at("embed_tokens"), vocab_size, hidden)?;
    let output = WordMap {
        name: "lm_head",
        tied: false,
    };
    let (head, labels) = CausalHead::load(config, weights, &words, output)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let norm = |name: &str| Norm::rms(&weights.at(name), head_dim, epsilon);
        Ok(Layer {
            attention_norm: Norm::rms(&weights.at("input_layernorm"), hidden, epsilon)?,
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: Shape {
                    heads,
                    kv_heads,
                    head_dim,
                },
                scale,
                projection: Projection::Separate {
                    query: linear("self_attn.q_proj", hidden, heads * head_dim, input_bias)?,
                    key: linear("self_attn.k_proj", hidden, kv_heads * head_dim, input_bias)?,
                    value: linear("self_attn.v_proj", hidden, kv_heads * head_dim, input_bias)?,
                },
                norms: if variant.norms {
                    Some((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?))
                } else {
                    None
                },
                output: linear("self_attn.o_proj", heads * head_dim, hidden, output_bias)?,
            },
            mlp_norm: Norm::rms(&weights.at("post_attention_layernorm"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("mlp.up_proj", hidden, inner, mlp_bias)?,
                gate: Some(linear("mlp.gate_proj", hidden, inner, mlp_bias)?),
                down: linear("mlp.down_proj", inner, hidden, mlp_bias)?,
                activation,
            },
        })
    };
    Ok(Box::new(Decoder {
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        final_norm: Norm::rms(&root.at("norm"), hidden, epsilon)?,
        words,
        head,
        labels,
        device: weights.device().clone(),
        info: ModelInfo {
            name: name.to_owned(),
            family: variant.family.to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(rotary.max_tokens()),
            positions: Positions::Rotary,
            attentions: vec![AttentionInfo {
                attention: Attention::DecoderSelf,
                heads,
                kv_heads,
                head_dim,
                layers: masks
                    .into_iter()
                    .map(|mask| LayerAttention {
                        scale: scale as f32,
                        mask,
                    })
                    .collect(),
                relative_bias: None,
            }],
        },
        placement: Placement::Rotary(rotary),
        parallel: false,
    }))
}
