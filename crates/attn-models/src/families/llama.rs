//! Llama: a causal decoder of text, RMS norms before each sublayer, rotary positions, gated MLP, grouped heads.
//!
//! Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>; grouped heads since <https://arxiv.org/abs/2307.09288>;
//! longer contexts since <https://arxiv.org/abs/2407.21783>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | meta-llama/Llama-2-7b-hf, Meta-Llama-3-8B, Llama-3.2-1B | `LlamaForCausalLM` |
//! | TinyLlama/TinyLlama-1.1B-Chat-v1.0, HuggingFaceTB/SmolLM2-135M | `LlamaForCausalLM` |
//! | bare models | `LlamaModel` |

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions, Side};
use candle_core::{Device, Tensor};

use super::Network;
use crate::{
    Inputs, Output, Result, Site, Weights,
    blocks::{Activation, Embedding, Linear, Mlp, MultiHead, Norm, Pass, Projection, Rotary, Shape, additive_mask},
    config::Config,
    inputs,
};

struct Llama {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    rotary: Rotary,
    layers: Vec<Layer>,
    final_norm: Norm,
    head: Option<Linear>,
}

struct Layer {
    attention_norm: Norm,
    attention: MultiHead,
    mlp_norm: Norm,
    mlp: Mlp,
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let hidden = config.size_or("hidden_size", 4096)?;
    let heads = config.size_or("num_attention_heads", 32)?;
    let kv_heads = config.size_or("num_key_value_heads", heads)?;
    config.divide("num_attention_heads", heads, "num_key_value_heads", kv_heads)?;
    let head_dim = match config.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None => config.divide("hidden_size", hidden, "num_attention_heads", heads)?,
    };
    let layers = config.size_or("num_hidden_layers", 32)?;
    let inner = config.size_or("intermediate_size", 11008)?;
    let vocab_size = config.size_or("vocab_size", 32000)?;
    let max_tokens = config.size_or("max_position_embeddings", 2048)?;
    let epsilon = config.positive_or("rms_norm_eps", 1e-6)?;
    let attention_bias = config.flag_or("attention_bias", false)?;
    let mlp_bias = config.flag_or("mlp_bias", false)?;
    let activation = Activation::read(config, "hidden_act", Activation::Silu)?;
    let rotary = Rotary::read(config, head_dim, 10_000.0, weights.device())?;
    let scale = 1.0 / (head_dim as f64).sqrt();

    let root = weights.below("model");
    let words = Embedding::load(&root.at("embed_tokens"), vocab_size, hidden)?;
    let head = match config.architecture() {
        Some("LlamaForCausalLM") if config.flag_or("tie_word_embeddings", false)? => {
            Some(Linear::tied(words.table(), None)?)
        }
        Some("LlamaForCausalLM") => Some(Linear::load(&weights.at("lm_head"), hidden, vocab_size, false)?),
        _ => None,
    };
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("layers.{layer}"));
        let attention = |name: &str, inputs, outputs| {
            Linear::load(
                &weights.at(format_args!("self_attn.{name}")),
                inputs,
                outputs,
                attention_bias,
            )
        };
        let mlp = |name: &str, inputs, outputs| {
            Linear::load(&weights.at(format_args!("mlp.{name}")), inputs, outputs, mlp_bias)
        };
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
                    query: attention("q_proj", hidden, heads * head_dim)?,
                    key: attention("k_proj", hidden, kv_heads * head_dim)?,
                    value: attention("v_proj", hidden, kv_heads * head_dim)?,
                },
                norms: None,
                output: attention("o_proj", heads * head_dim, hidden)?,
            },
            mlp_norm: Norm::rms(&weights.at("post_attention_layernorm"), hidden, epsilon)?,
            mlp: Mlp {
                up: mlp("up_proj", hidden, inner)?,
                gate: Some(mlp("gate_proj", hidden, inner)?),
                down: mlp("down_proj", inner, hidden)?,
                activation,
            },
        })
    };
    Ok(Box::new(Llama {
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        final_norm: Norm::rms(&root.at("norm"), hidden, epsilon)?,
        words,
        rotary,
        head,
        device: weights.device().clone(),
        info: ModelInfo {
            name: name.to_owned(),
            family: "llama".to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(max_tokens),
            positions: Positions::Rotary,
            attentions: vec![AttentionInfo {
                attention: Attention::DecoderSelf,
                heads,
                kv_heads,
                head_dim,
                layers: vec![
                    LayerAttention {
                        scale: scale as f32,
                        mask: Mask::Causal
                    };
                    layers
                ],
                relative_bias: None,
            }],
        },
    }))
}

impl Network for Llama {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask", "position_ids"])?;
        let tokens = inputs::tokens(
            ("input_ids", inputs.input_ids.as_ref()),
            ("attention_mask", inputs.attention_mask.as_ref()),
            self.words.table().dim(0)?,
            self.info.max_tokens,
            &self.device,
        )?;
        let positions = inputs::positions(inputs.position_ids.as_ref(), &tokens, self.info.max_tokens)?;
        let rotation = self.rotary.rotation(&positions, Side::Decoder, pass)?;
        let mask = additive_mask(
            Mask::Causal,
            tokens.padding.as_ref(),
            tokens.tokens,
            tokens.tokens,
            &self.device,
        )?;

        let mut x = pass.tap(Site::embedding(Side::Decoder), self.words.forward(&tokens.ids)?)?;
        for (layer, block) in self.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(Side::Decoder, layer), x)?;
            let normed = block.attention_norm.forward(&x, pass)?;
            x = (block
                .attention
                .forward(&normed, &normed, mask.as_ref(), Some(&rotation), pass)?
                + x)?;
            let inner = block.mlp.forward(&block.mlp_norm.forward(&x, pass)?, pass)?;
            x = (pass.tap(Site::mlp(Side::Decoder, layer), inner)? + x)?;
        }
        let x = self.final_norm.forward(&x, pass)?;
        let x = pass.tap(Site::hidden(Side::Decoder, self.layers.len()), x)?;
        let logits = self.head.as_ref().map(|head| head.forward(&x, pass)).transpose()?;
        Ok(Output {
            logits,
            last_hidden: x,
            pooled: None,
        })
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let Some(head) = &self.head else { return Ok(None) };
        // The last state has passed the final norm.
        let normed = if layer < self.layers.len() {
            self.final_norm.forward(hidden, pass)?
        } else {
            hidden.clone()
        };
        head.forward(&normed, pass).map(Some)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::DecoderSelf)?;
        Some(&block.attention)
    }
}
