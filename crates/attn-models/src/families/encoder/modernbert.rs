//! ModernBERT: an encoder with norms before each sublayer, rotary positions, a gated MLP and, in two of three layers, attention to
//! the tokens around the query alone.
//!
//! Warner, Chaffin, Clavié et al. 2024, <https://arxiv.org/abs/2412.13663>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | answerdotai/ModernBERT-base, ModernBERT-large | `ModernBertForMaskedLM` |
//! | fine-tuned classifiers, of texts and of tokens | `ModernBertForSequenceClassification`, `ModernBertForTokenClassification` |
//! | nomic-ai/modernbert-embed-base, Alibaba-NLP/gte-modernbert-base | `ModernBertModel` |

use attn_core::{
    Attention, ModelInfo, Side,
    model::{Mask, Positions},
};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::{
    Inputs, Result, Site, Weights,
    blocks::{
        Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Pass, Qkv, Rotary, RotaryLayers, RotaryOptions,
        ScoreTerms, additive_masks,
    },
    families::{Config, Network},
    inputs::Padding,
    model::Output,
};

struct Layer {
    mask: Mask,
    /// None: the norm of the embeddings stands for it.
    attention_norm: Option<Norm>,
    attention: MultiHead,
    mlp_norm: Norm,
    mlp: Mlp,
}

/// What stands between the last state and a head's own map.
struct Prediction {
    dense: Linear,
    activation: Activation,
    norm: Norm,
}

enum Head {
    None,
    /// The word at each token: `[batch, tokens, vocabulary]`.
    Words(Prediction, Linear),
    /// The class of the text, from its first token or from the mean of all: `[batch, classes]`.
    Class {
        mean: bool,
        prediction: Prediction,
        classifier: Linear,
    },
    /// The class of each token: `[batch, tokens, classes]`.
    Tokens(Prediction, Linear),
}

struct ModernBert {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    embedding_norm: Norm,
    /// Of the layers that see all tokens, and of those that see some.
    rotaries: [Rotary; 2],
    layers: Vec<Layer>,
    final_norm: Norm,
    head: Head,
    labels: Vec<String>,
}

/// Sizes and options that layers and heads share.
struct Sizes {
    hidden: usize,
    epsilon: f64,
    norm_bias: bool,
}

impl Sizes {
    fn norm(&self, weights: &Weights) -> Result<Norm> {
        match self.norm_bias {
            true => Norm::layer(weights, self.hidden, self.epsilon),
            false => Norm::layer_unbiased(weights, self.hidden, self.epsilon),
        }
    }
}

/// The mask of each layer: by `layer_types`, or all tokens in every `global_attn_every_n_layers`-th layer from the first.
fn masks(config: &Config, layers: usize) -> Result<Vec<Mask>> {
    let local = Mask::Local {
        width: config.size_or("local_attention", 128)? / 2,
    };
    let Some(types) = config.get("layer_types") else {
        let every = config.size_or("global_attn_every_n_layers", 3)?;
        let mask = |layer: usize| if layer.is_multiple_of(every) { Mask::Full } else { local };
        return Ok((0..layers).map(mask).collect());
    };
    let types = types.as_array().filter(|types| types.len() == layers);
    let types = types.ok_or_else(|| config.wrong("layer_types", format!("a list of {layers} names")))?;
    let mask = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Ok(Mask::Full),
        Some("sliding_attention") => Ok(local),
        _ => Err(config.unsupported("layer_types", "full_attention, sliding_attention")),
    };
    types.iter().map(mask).collect()
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let root = weights.below("model");
    let sizes = Sizes {
        hidden: config.size_or("hidden_size", 768)?,
        epsilon: config.positive_or("norm_eps", 1e-5)?,
        norm_bias: config.flag_or("norm_bias", false)?,
    };
    let hidden = sizes.hidden;
    let heads = config.size_or("num_attention_heads", 12)?;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
    let layers = config.layers_in("num_hidden_layers", 22, &root.at("layers"))?;
    let inner = config.size_or("intermediate_size", 1152)?;
    let vocab_size = config.size_or("vocab_size", 50368)?;
    let max_tokens = config.size_or("max_position_embeddings", 8192)?;
    let activation = Activation::read(config, "hidden_activation", Activation::Gelu)?;
    let (attention_bias, mlp_bias) = (
        config.flag_or("attention_bias", false)?,
        config.flag_or("mlp_bias", false)?,
    );
    let masks = masks(config, layers)?;
    // Without a base of their own the local layers have that of the others.
    let global = config.positive_or("global_rope_theta", 160_000.0)?;
    let local = match config.is_null("local_rope_theta") {
        true => global,
        false => 10_000.0,
    };
    let rotary = |name: &'static str, theta: (&'static str, f64)| {
        let options = RotaryOptions {
            theta,
            layers: RotaryLayers::Kind { name, main: true },
            ..RotaryOptions::default()
        };
        Rotary::read(config, options, head_dim, max_tokens, weights.device())
    };
    let rotaries = [
        rotary("full_attention", ("global_rope_theta", global))?,
        rotary("sliding_attention", ("local_rope_theta", local))?,
    ];
    let words = Embedding::load(&root.at("embeddings.tok_embeddings"), vocab_size, hidden)?;
    let (head, labels) = head(config, weights, &words, &sizes)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs, bias| Linear::load(&weights.at(name), inputs, outputs, bias);
        let (gate, up) = Linear::load_pair(&weights.at("mlp.Wi"), hidden, inner, mlp_bias)?;
        Ok(Layer {
            mask: masks[layer],
            attention_norm: match layer {
                0 => None,
                _ => Some(sizes.norm(&weights.at("attn_norm"))?),
            },
            attention: MultiHead {
                attention: Attention::EncoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::Joint(linear("attn.Wqkv", hidden, 3 * hidden, attention_bias)?),
                norms: None,
                output: linear("attn.Wo", hidden, hidden, attention_bias)?,
                terms: ScoreTerms::default(),
            },
            mlp_norm: sizes.norm(&weights.at("mlp_norm"))?,
            mlp: Mlp {
                up,
                gate: Some(gate),
                down: linear("mlp.Wo", inner, hidden, mlp_bias)?,
                activation,
            },
        })
    };
    let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
    let attention = MultiHead::info(layers.iter().map(|layer| (&layer.attention, layer.mask)));
    Ok(Box::new(ModernBert {
        info: ModelInfo {
            name: name.to_owned(),
            family: "modernbert".to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(max_tokens),
            positions: Positions::Rotary,
            attentions: attention.into_iter().collect(),
        },
        device: weights.device().clone(),
        words,
        embedding_norm: sizes.norm(&root.at("embeddings.norm"))?,
        rotaries,
        layers,
        final_norm: sizes.norm(&root.at("final_norm"))?,
        head,
        labels,
    }))
}

fn head(config: &Config, weights: &Weights, words: &Embedding, sizes: &Sizes) -> Result<(Head, Vec<String>)> {
    let (vocab_size, hidden) = words.size();
    let prediction = || -> Result<Prediction> {
        let bias = config.flag_or("classifier_bias", false)?;
        Ok(Prediction {
            dense: Linear::load(&weights.at("head.dense"), hidden, hidden, bias)?,
            activation: Activation::read(config, "classifier_activation", Activation::Gelu)?,
            norm: sizes.norm(&weights.at("head.norm"))?,
        })
    };
    Ok(match config.architecture() {
        Some("ModernBertForMaskedLM") => {
            let load = || -> Result<Head> {
                let map = weights.at("decoder");
                let bias = match config.flag_or("decoder_bias", true)? {
                    true => Some(map.get("bias", [vocab_size])?),
                    false => None,
                };
                let map = match config.flag_or("tie_word_embeddings", true)? {
                    true => Linear::tied(words.tied(), bias)?,
                    false => Linear::tied(&map.get("weight", [vocab_size, hidden])?, bias)?,
                };
                Ok(Head::Words(prediction()?, map))
            };
            (weights.optional("head", load)?.unwrap_or(Head::None), Vec::new())
        }
        Some("ModernBertForSequenceClassification") => {
            let labels = config.labels()?;
            let mean = match config.text("classifier_pooling")? {
                None | Some("cls") => false,
                Some("mean") => true,
                Some(_) => return Err(config.unsupported("classifier_pooling", "cls, mean")),
            };
            let load = || -> Result<Head> {
                Ok(Head::Class {
                    mean,
                    prediction: prediction()?,
                    classifier: Linear::load(&weights.at("classifier"), hidden, labels.len(), true)?,
                })
            };
            match weights.optional("classifier", load)? {
                Some(head) => (head, labels),
                None => (Head::None, Vec::new()),
            }
        }
        Some("ModernBertForTokenClassification") => {
            let labels = config.labels()?;
            let load = || -> Result<Head> {
                let classifier = Linear::load(&weights.at("classifier"), hidden, labels.len(), true)?;
                Ok(Head::Tokens(prediction()?, classifier))
            };
            match weights.optional("classifier", load)? {
                Some(head) => (head, labels),
                None => (Head::None, Vec::new()),
            }
        }
        _ => (Head::None, Vec::new()),
    })
}

impl Prediction {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.norm
            .forward(&self.dense.activated(x, self.activation, pass)?, pass)
    }
}

impl Head {
    /// From the last state `[batch, tokens, hidden]` after the final norm.
    fn logits(&self, x: &Tensor, padding: Option<&Padding>, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(match self {
            Self::None => None,
            Self::Words(prediction, map) | Self::Tokens(prediction, map) => {
                Some(map.forward(&prediction.forward(x, pass)?, pass)?)
            }
            Self::Class {
                mean,
                prediction,
                classifier,
            } => {
                let pooled = match mean {
                    true => mean_of_real(x, padding)?,
                    false => x.narrow(1, 0, 1)?.squeeze(1)?,
                };
                Some(classifier.forward(&prediction.forward(&pooled, pass)?, pass)?)
            }
        })
    }
}

/// The mean over real tokens: `[batch, hidden]`.
fn mean_of_real(x: &Tensor, padding: Option<&Padding>) -> Result<Tensor> {
    let Some(padding) = padding else {
        return Ok(x.mean(1)?);
    };
    let (batch, count, _) = x.dims3()?;
    let real = (0..batch).flat_map(|sequence| (0..count).map(move |token| (sequence, token)));
    let real: Vec<f32> = real
        .map(|(sequence, token)| if padding.is_real(sequence, token) { 1.0 } else { 0.0 })
        .collect();
    let real = Tensor::from_vec(real, (batch, count, 1), x.device())?.to_dtype(DType::F32)?;
    Ok(x.broadcast_mul(&real)?.sum(1)?.broadcast_div(&real.sum(1)?)?)
}

impl Network for ModernBert {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn labels(&self) -> &[String] {
        match self.head {
            Head::Tokens(..) => &[],
            _ => &self.labels,
        }
    }

    fn token_labels(&self) -> &[String] {
        match self.head {
            Head::Tokens(..) => &self.labels,
            _ => &[],
        }
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask", "position_ids"])?;
        let side = Side::Encoder;
        let tokens = inputs.tokens(self.words.size().0, self.info.max_tokens, &self.device)?;
        let positions = inputs.positions(&tokens, self.info.max_tokens)?;
        let padding = tokens.padding.as_ref();
        let count = tokens.tokens;
        let masks = self.layers.iter().map(|layer| layer.mask);
        let masks = additive_masks(masks, padding, count, count, &self.device)?;
        let words = pass.tap(Site::embedding(side), self.words.forward(&tokens.ids)?)?;
        let mut x = self.embedding_norm.forward(&words, pass)?;
        let rotations = Rotary::rotations(&self.rotaries, &positions, side, pass)?;
        for (layer, (block, mask)) in self.layers.iter().zip(&masks).enumerate() {
            if pass.skips(side, layer) {
                continue;
            }
            x = pass.tap(Site::hidden(side, layer), x)?;
            let normed = match &block.attention_norm {
                Some(norm) => norm.forward(&x, pass)?,
                None => x.clone(),
            };
            let rotation = rotations.get(usize::from(block.mask != Mask::Full));
            let attended = block
                .attention
                .forward(&normed, &normed, mask.as_ref(), rotation, pass)?;
            let after = (attended + x)?;
            let inner = block.mlp.forward(&block.mlp_norm.forward(&after, pass)?, pass)?;
            x = (pass.tap(Site::mlp(side, layer), inner)? + after)?;
        }
        let x = self.final_norm.forward(&x, pass)?;
        let x = pass.tap(Site::hidden(side, self.layers.len()), x)?;
        Ok(Output {
            logits: match pass.wants_logits() {
                true => self.head.logits(&x, tokens.padding.as_ref(), pass)?,
                false => None,
            },
            last_hidden: x,
            pooled: None,
        })
    }

    fn predict(&self, hidden: &Tensor, layer: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        // The last state has passed the final norm.
        if layer == self.layers.len() {
            return self.head.logits(hidden, pass.padding.as_ref(), pass);
        }
        let normed = self.final_norm.forward(hidden, pass)?;
        self.head.logits(&normed, pass.padding.as_ref(), pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::EncoderSelf)?;
        Some(&block.attention)
    }
}
