//! GPT-2: a causal decoder of text, norms before each sublayer, learned positions.
//!
//! Radford, Wu, Child, Luan, Amodei and Sutskever 2019, "Language models are unsupervised multitask learners".
//! `scale_attn_by_inverse_layer_idx` is that of Mistral's GPT-2 (Karamcheti et al. 2021).
//!
//! | checkpoint | architecture |
//! |---|---|
//! | openai-community/gpt2, gpt2-medium, gpt2-large, gpt2-xl; distilbert/distilgpt2 | `GPT2LMHeadModel` |
//! | stanford-crfm/alias-gpt2-small-x21 and siblings | `GPT2LMHeadModel`, scaled by layer |
//! | fine-tuned classifiers | `GPT2ForSequenceClassification` |
//! | bare models | `GPT2Model` |

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions, Side};
use candle_core::{Device, Tensor};

use super::{
    Network,
    causal::{self, CausalHead},
};
use crate::{
    Inputs, Output, Result, Site, Weights,
    blocks::{Activation, Embedding, Linear, Mlp, MultiHead, Norm, Pass, Projection, Shape, additive_mask},
    config::Config,
    inputs,
};

struct Gpt2 {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    final_norm: Norm,
    head: CausalHead,
    labels: Vec<String>,
}

struct Layer {
    attention_norm: Norm,
    attention: MultiHead,
    mlp_norm: Norm,
    mlp: Mlp,
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    config.refuse_flag("add_cross_attention")?;
    let hidden = config.size_or("n_embd", 768)?;
    let heads = config.size_or("n_head", 12)?;
    let layers = config.layers_or("n_layer", 12)?;
    let inner = config.optional_size("n_inner")?.unwrap_or(4 * hidden);
    let vocab_size = config.size_or("vocab_size", 50257)?;
    let max_tokens = config.size_or("n_positions", 1024)?;
    let epsilon = config.positive_or("layer_norm_epsilon", 1e-5)?;
    let activation = Activation::read(config, "activation_function", Activation::GeluTanh)?;
    let head_dim = config.divide("n_embd", hidden, "n_head", heads)?;
    let scaled = config.flag_or("scale_attn_weights", true)?;
    let scaled_by_layer = config.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    let scale = |layer: usize| {
        let by_size = if scaled { 1.0 / (head_dim as f64).sqrt() } else { 1.0 };
        if scaled_by_layer {
            by_size / (layer + 1) as f64
        } else {
            by_size
        }
    };

    let root = weights.below("transformer");
    let words = Embedding::load(&root.at("wte"), vocab_size, hidden)?;
    let output = causal::Output {
        name: "lm_head",
        tied: true,
    };
    let (head, labels) = CausalHead::load(config, weights, &words, output)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("h.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load_conv1d(&weights.at(name), inputs, outputs);
        Ok(Layer {
            attention_norm: Norm::layer(&weights.at("ln_1"), hidden, epsilon)?,
            attention: MultiHead {
                attention: Attention::DecoderSelf,
                layer,
                shape: Shape {
                    heads,
                    kv_heads: heads,
                    head_dim,
                },
                scale: scale(layer),
                projection: Projection::Joint(linear("attn.c_attn", hidden, 3 * hidden)?),
                norms: None,
                output: linear("attn.c_proj", hidden, hidden)?,
            },
            mlp_norm: Norm::layer(&weights.at("ln_2"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("mlp.c_fc", hidden, inner)?,
                gate: None,
                down: linear("mlp.c_proj", inner, hidden)?,
                activation,
            },
        })
    };
    Ok(Box::new(Gpt2 {
        positions: Embedding::load(&root.at("wpe"), max_tokens, hidden)?,
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        final_norm: Norm::layer(&root.at("ln_f"), hidden, epsilon)?,
        words,
        head,
        labels,
        device: weights.device().clone(),
        info: ModelInfo {
            name: name.to_owned(),
            family: "gpt2".to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(max_tokens),
            positions: Positions::Learned,
            attentions: vec![AttentionInfo {
                attention: Attention::DecoderSelf,
                heads,
                kv_heads: heads,
                head_dim,
                layers: (0..layers)
                    .map(|layer| LayerAttention {
                        scale: scale(layer) as f32,
                        mask: Mask::Causal,
                    })
                    .collect(),
                relative_bias: None,
            }],
        },
    }))
}

impl Network for Gpt2 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn labels(&self) -> &[String] {
        &self.labels
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
        let (past, new) = (pass.past(), tokens.tokens - pass.past());
        let mask = additive_mask(Mask::Causal, tokens.padding.as_ref(), new, tokens.tokens, &self.device)?;

        let words = pass.tap(
            Site::embedding(Side::Decoder),
            self.words.forward(&tokens.ids.narrow(1, past, new)?)?,
        )?;
        let positions = self
            .positions
            .forward(&Tensor::new(positions, &self.device)?.narrow(1, past, new)?)?;
        let positions = pass.tap(Site::positions(Side::Decoder), positions)?;
        let mut x = words.broadcast_add(&positions)?;

        for (layer, block) in self.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(Side::Decoder, layer), x)?;
            let normed = block.attention_norm.forward(&x, pass)?;
            x = (block.attention.forward(&normed, &normed, mask.as_ref(), None, pass)? + x)?;
            let inner = block.mlp.forward(&block.mlp_norm.forward(&x, pass)?, pass)?;
            x = (pass.tap(Site::mlp(Side::Decoder, layer), inner)? + x)?;
        }
        let x = self.final_norm.forward(&x, pass)?;
        let x = pass.tap(Site::hidden(Side::Decoder, self.layers.len()), x)?;
        Ok(Output {
            logits: self.head.logits(&x, &tokens, pass)?,
            last_hidden: x,
            pooled: None,
        })
    }

    fn caches(&self) -> bool {
        true
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        // The last state has passed the final norm.
        if layer == self.layers.len() {
            return self.head.words(hidden, pass);
        }
        self.head.words(&self.final_norm.forward(hidden, pass)?, pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::DecoderSelf)?;
        Some(&block.attention)
    }
}
