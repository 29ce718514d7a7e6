//! BERT: a bidirectional encoder of text, norms after each sublayer.
//!
//! Devlin, Chang, Lee and Toutanova 2019, <https://arxiv.org/abs/1810.04805>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | google-bert/bert-base-uncased, bert-large-cased, bert-base-multilingual-cased | `BertForMaskedLM`, `BertForPreTraining` |
//! | textattack/bert-base-uncased-SST-2 and other fine-tuned classifiers | `BertForSequenceClassification` |
//! | sentence-transformers/all-MiniLM-L6-v2 | `BertModel` |
//!
//! Other architectures run without their head: hidden states and attention, no logits.

use attn_core::{Attention, AttentionInfo, LayerAttention, Mask, ModelInfo, Positions, Side};
use candle_core::{Device, Tensor};

use super::Network;
use crate::{
    Inputs, Output, Result, Site, Weights,
    blocks::{Activation, Embedding, Linear, Mlp, MultiHead, Norm, Pass, Projection, Shape, additive_mask},
    config::Config,
    inputs,
};

struct Bert {
    info: ModelInfo,
    device: Device,
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    pooler: Option<Linear>,
    head: Head,
    labels: Vec<String>,
}

struct Layer {
    attention: MultiHead,
    attention_norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
}

enum Head {
    None,
    MaskedLm {
        transform: Linear,
        activation: Activation,
        norm: Norm,
        decoder: Linear,
    },
    Classifier(Linear),
}

pub(super) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    config.refuse_flag("is_decoder")?;
    config.refuse_flag("add_cross_attention")?;
    if config
        .text("position_embedding_type")?
        .is_some_and(|kind| kind != "absolute")
    {
        return Err(config.unsupported("position_embedding_type", "absolute"));
    }
    let hidden = config.size_or("hidden_size", 768)?;
    let heads = config.size_or("num_attention_heads", 12)?;
    let layers = config.size_or("num_hidden_layers", 12)?;
    let inner = config.size_or("intermediate_size", 3072)?;
    let vocab_size = config.size_or("vocab_size", 30522)?;
    let max_tokens = config.size_or("max_position_embeddings", 512)?;
    let types = config.size_or("type_vocab_size", 2)?;
    let epsilon = config.positive_or("layer_norm_eps", 1e-12)?;
    let activation = Activation::read(config, "hidden_act", Activation::Gelu)?;
    let head_dim = config.divide("hidden_size", hidden, "num_attention_heads", heads)?;
    let scale = 1.0 / (head_dim as f64).sqrt();

    let root = weights.below("bert");
    let embeddings = root.at("embeddings");
    let words = Embedding::load(&embeddings.at("word_embeddings"), vocab_size, hidden)?;
    let (has_pooler, head, labels) = match config.architecture() {
        Some("BertForMaskedLM" | "BertForPreTraining" | "BertLMHeadModel") => (
            false,
            masked_lm(config, weights, &words, hidden, vocab_size, epsilon, activation)?,
            Vec::new(),
        ),
        Some("BertForSequenceClassification") => {
            let labels = config.labels()?;
            (
                true,
                Head::Classifier(Linear::load(&weights.at("classifier"), hidden, labels.len(), true)?),
                labels,
            )
        }
        // Some bare checkpoints leave the pooler out.
        _ => (root.has("pooler.dense.weight"), Head::None, Vec::new()),
    };
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
        Ok(Layer {
            attention: MultiHead {
                attention: Attention::EncoderSelf,
                layer,
                shape: Shape {
                    heads,
                    kv_heads: heads,
                    head_dim,
                },
                scale,
                projection: Projection::Separate {
                    query: linear("attention.self.query", hidden, hidden)?,
                    key: linear("attention.self.key", hidden, hidden)?,
                    value: linear("attention.self.value", hidden, hidden)?,
                },
                norms: None,
                output: linear("attention.output.dense", hidden, hidden)?,
            },
            attention_norm: Norm::layer(&weights.at("attention.output.LayerNorm"), hidden, epsilon)?,
            mlp: Mlp {
                up: linear("intermediate.dense", hidden, inner)?,
                gate: None,
                down: linear("output.dense", inner, hidden)?,
                activation,
            },
            mlp_norm: Norm::layer(&weights.at("output.LayerNorm"), hidden, epsilon)?,
        })
    };
    Ok(Box::new(Bert {
        positions: Embedding::load(&embeddings.at("position_embeddings"), max_tokens, hidden)?,
        types: Embedding::load(&embeddings.at("token_type_embeddings"), types, hidden)?,
        embedding_norm: Norm::layer(&embeddings.at("LayerNorm"), hidden, epsilon)?,
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        pooler: if has_pooler {
            Some(Linear::load(&root.at("pooler.dense"), hidden, hidden, true)?)
        } else {
            None
        },
        words,
        head,
        labels,
        device: weights.device().clone(),
        info: ModelInfo {
            name: name.to_owned(),
            family: "bert".to_owned(),
            hidden_size: hidden,
            vocab_size: Some(vocab_size),
            max_tokens: Some(max_tokens),
            positions: Positions::Learned,
            attentions: vec![AttentionInfo {
                attention: Attention::EncoderSelf,
                heads,
                kv_heads: heads,
                head_dim,
                layers: vec![
                    LayerAttention {
                        scale: scale as f32,
                        mask: Mask::Full
                    };
                    layers
                ],
                relative_bias: None,
            }],
        },
    }))
}

fn masked_lm(
    config: &Config,
    weights: &Weights,
    words: &Embedding,
    hidden: usize,
    vocab_size: usize,
    epsilon: f64,
    activation: Activation,
) -> Result<Head> {
    let head = weights.at("cls.predictions");
    let decoder = if config.flag_or("tie_word_embeddings", true)? {
        Linear::tied(words.table(), Some(head.get("bias", [vocab_size])?))?
    } else {
        Linear::load(&head.at("decoder"), hidden, vocab_size, true)?
    };
    Ok(Head::MaskedLm {
        transform: Linear::load(&head.at("transform.dense"), hidden, hidden, true)?,
        activation,
        norm: Norm::layer(&head.at("transform.LayerNorm"), hidden, epsilon)?,
        decoder,
    })
}

impl Network for Bert {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask", "token_type_ids", "position_ids"])?;
        let vocab_size = self.words.table().dim(0)?;
        let tokens = inputs::tokens(
            ("input_ids", inputs.input_ids.as_ref()),
            ("attention_mask", inputs.attention_mask.as_ref()),
            vocab_size,
            self.info.max_tokens,
            &self.device,
        )?;
        let positions = inputs::positions(inputs.position_ids.as_ref(), &tokens, self.info.max_tokens)?;
        let types = inputs::types(
            inputs.token_type_ids.as_ref(),
            &tokens,
            self.types.table().dim(0)?,
            &self.device,
        )?;
        let mask = additive_mask(
            Mask::Full,
            tokens.padding.as_ref(),
            tokens.tokens,
            tokens.tokens,
            &self.device,
        )?;

        let words = pass.tap(Site::embedding(Side::Encoder), self.words.forward(&tokens.ids)?)?;
        let types = match types {
            Some(types) => self.types.forward(&types)?,
            // Without types every token is of the first.
            None => self.types.table().narrow(0, 0, 1)?.unsqueeze(0)?,
        };
        let positions = self.positions.forward(&Tensor::new(positions, &self.device)?)?;
        let positions = pass.tap(Site::positions(Side::Encoder), positions)?;
        let types = pass.offset(types)?;
        let x = words.broadcast_add(&types)?.broadcast_add(&positions)?;
        let mut x = pass.tap(Site::hidden(Side::Encoder, 0), self.embedding_norm.forward(&x, pass)?)?;

        for (layer, block) in self.layers.iter().enumerate() {
            let attended = block.attention.forward(&x, &x, mask.as_ref(), None, pass)?;
            x = block.attention_norm.forward(&(attended + x)?, pass)?;
            let inner = pass.tap(Site::mlp(Side::Encoder, layer), block.mlp.forward(&x, pass)?)?;
            x = block.mlp_norm.forward(&(inner + x)?, pass)?;
            x = pass.tap(Site::hidden(Side::Encoder, layer + 1), x)?;
        }

        let pooled = self.pool(&x, pass)?;
        let logits = self.classify(&x, pooled.as_ref(), pass)?;
        Ok(Output {
            logits,
            last_hidden: x,
            pooled,
        })
    }

    fn predict(&self, hidden: &Tensor, _: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        self.classify(hidden, self.pool(hidden, pass)?.as_ref(), pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::EncoderSelf)?;
        Some(&block.attention)
    }
}

impl Bert {
    /// What the pooler makes of the first token.
    fn pool(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let first = || -> Result<Tensor> { Ok(x.narrow(1, 0, 1)?.squeeze(1)?) };
        let pooler = self.pooler.as_ref();
        pooler
            .map(|pooler| pooler.activated(&first()?, Activation::Tanh, pass))
            .transpose()
    }

    fn classify(&self, x: &Tensor, pooled: Option<&Tensor>, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(match (&self.head, pooled) {
            (
                Head::MaskedLm {
                    transform,
                    activation,
                    norm,
                    decoder,
                },
                _,
            ) => {
                let transformed = transform.activated(x, *activation, pass)?;
                Some(decoder.forward(&norm.forward(&transformed, pass)?, pass)?)
            }
            (Head::Classifier(classifier), Some(pooled)) => Some(classifier.forward(pooled, pass)?),
            (Head::Classifier(_) | Head::None, _) => None,
        })
    }
}
