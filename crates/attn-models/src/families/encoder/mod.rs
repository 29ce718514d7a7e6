//! Encoders of text: bidirectional, norms after each sublayer (Vaswani et al. 2017; Devlin et al. 2019).
//!
//! [`Encoder`] is the network of all of them but ModernBERT. They differ in the names of their tensors, in what stands before
//! the first layer, in how positions enter the scores and in their heads. Each has a file that reads its configuration and
//! builds this.

pub(super) mod albert;
pub(super) mod bert;
mod convolution;
pub(super) mod deberta_v2;
pub(super) mod distilbert;
pub(super) mod electra;
pub(super) mod modernbert;
pub(super) mod mpnet;
pub(super) mod nomic_bert;
mod relative;
pub(super) mod roberta;
pub(super) mod siglip_text;

use std::collections::{BTreeMap, BTreeSet};

use attn_core::{
    Attention, ModelInfo, Side,
    model::{Mask, Positions},
};
use candle_core::{Device, Tensor};

use self::{convolution::Convolution, relative::Relative};
use super::{Config, Network};
use crate::{
    Inputs, Result, Site, Weights,
    blocks::{Activation, Embedding, HeadShape, Linear, Mlp, MultiHead, Norm, Pass, Qkv, ScoreTerms, additive_mask},
    inputs::Tokens,
    model::Output,
};

/// The sizes of an encoder.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    hidden: usize,
    heads: usize,
    head_dim: usize,
    layers: usize,
    /// Width of the MLP.
    inner: usize,
    vocab_size: usize,
    /// Rows of the position table; 0 in families that have none.
    positions: usize,
    /// Rows of the table of token types; 0 in families that have none.
    types: usize,
    /// Of the norms.
    epsilon: f64,
    activation: Activation,
}

impl Sizes {
    /// Reads the options as BERT spells them; those not given are BERT-base's. `layers` are the weights below which
    /// each layer has its number, if it has.
    fn read(config: &Config, layers: Option<&Weights>) -> Result<Self> {
        let hidden = config.size_or("hidden_size", 768)?;
        let heads = config.size_or("num_attention_heads", 12)?;
        Ok(Self {
            hidden,
            heads,
            head_dim: config.divide("hidden_size", hidden, "num_attention_heads", heads)?,
            layers: match layers {
                Some(weights) => config.layers_in("num_hidden_layers", 12, weights)?,
                None => config.layers_or("num_hidden_layers", 12)?,
            },
            inner: config.size_or("intermediate_size", 3072)?,
            vocab_size: config.size_or("vocab_size", 30522)?,
            positions: config.size_or("max_position_embeddings", 512)?,
            types: match config.get("type_vocab_size").and_then(serde_json::Value::as_u64) {
                Some(0) => 0,
                _ => config.size_or("type_vocab_size", 2)?,
            },
            epsilon: config.positive_or("layer_norm_eps", 1e-12)?,
            activation: Activation::read(config, "hidden_act", Activation::Gelu)?,
        })
    }

    /// The facts, read off the layers, of a model whose positions are learned; `max_tokens` is the longest sequence.
    fn info(&self, name: &str, family: &str, max_tokens: usize, layers: &[Layer]) -> ModelInfo {
        let attention = MultiHead::info(layers.iter().map(|layer| (&layer.attention, Mask::Full)));
        ModelInfo {
            name: name.to_owned(),
            family: family.to_owned(),
            hidden_size: self.hidden,
            vocab_size: Some(self.vocab_size),
            max_tokens: Some(max_tokens),
            positions: Positions::Learned,
            attentions: attention.into_iter().collect(),
        }
    }
}

/// Refuses what makes another network of these families: decoding with a cache, and relative positions.
fn refuse_variants(config: &Config) -> Result<()> {
    config.refuse_flag("is_decoder")?;
    config.refuse_flag("add_cross_attention")?;
    match config.text("position_embedding_type")? {
        None | Some("absolute") => Ok(()),
        Some(_) => Err(config.unsupported("position_embedding_type", "absolute")),
    }
}

/// The state of a token before the first layer: the sum of its word, type and position, normed.
struct Embeddings {
    words: Embedding,
    /// None: positions enter elsewhere.
    positions: Option<Embedding>,
    /// None: tokens have no types (DistilBERT).
    types: Option<Embedding>,
    norm: Norm,
    /// From narrower embeddings to the width of the layers.
    widen: Option<Linear>,
    /// The id of padding, where positions skip padding and start behind its id (RoBERTa).
    padding: Option<u32>,
}

impl Embeddings {
    /// Loads tables of a width under the names BERT gave them.
    fn load(weights: &Weights, sizes: &Sizes, width: usize) -> Result<Self> {
        let table = |name: &str, entries| Embedding::load(&weights.at(name), entries, width);
        Ok(Self {
            words: table("word_embeddings", sizes.vocab_size)?,
            positions: match sizes.positions {
                0 => None,
                positions => Some(table("position_embeddings", positions)?),
            },
            types: match sizes.types {
                0 => None,
                types => Some(table("token_type_embeddings", types)?),
            },
            norm: Norm::layer(&weights.at("LayerNorm"), width, sizes.epsilon)?,
            widen: None,
            padding: None,
        })
    }

    /// The positions of a batch's tokens in a table of so many, `[batch or 1][token]`.
    fn positions(&self, inputs: &Inputs, tokens: &Tokens, rows: usize) -> Result<Vec<Vec<u32>>> {
        match self.padding {
            Some(padding) if inputs.position_ids.is_none() => {
                let row = |ids: Vec<u32>| {
                    let mut last = padding;
                    let position = |id| {
                        if id == padding {
                            return padding;
                        }
                        last += 1;
                        last
                    };
                    ids.into_iter().map(position).collect()
                };
                Ok(tokens.ids.to_vec2::<u32>()?.into_iter().map(row).collect())
            }
            _ => inputs.positions(tokens, Some(rows)),
        }
    }

    /// `[batch, tokens, hidden]`, and which tokens are real.
    fn forward(&self, inputs: &Inputs, longest: Option<usize>, pass: &mut Pass<'_>) -> Result<(Tensor, Tokens)> {
        let device = self.words.table().device();
        let tokens = inputs.tokens(self.words.size().0, longest, device)?;
        let mut x = pass.tap(Site::embedding(Side::Encoder), self.words.forward(&tokens.ids)?)?;
        if let Some(table) = &self.types {
            let types = match inputs.token_types(&tokens, table.size().0)? {
                Some(types) => table.forward(&types)?,
                // Without types every token is of the first.
                None => table.table().narrow(0, 0, 1)?.unsqueeze(0)?,
            };
            x = x.broadcast_add(&pass.offset(types)?)?;
        }
        if let Some(table) = &self.positions {
            let positions = self.positions(inputs, &tokens, table.size().0)?;
            let vectors = table.forward(&Tensor::new(positions, device)?)?;
            x = x.broadcast_add(&pass.tap(Site::positions(Side::Encoder), vectors)?)?;
        }
        let x = self.norm.forward(&x, pass)?;
        Ok(match &self.widen {
            Some(widen) => (widen.forward(&x, pass)?, tokens),
            None => (x, tokens),
        })
    }
}

/// Heads that a checkpoint lacks, by their layers.
type PrunedHeads = BTreeMap<usize, BTreeSet<usize>>;

/// Where a family keeps the tensors of a layer.
struct Names {
    query: &'static str,
    key: &'static str,
    value: &'static str,
    output: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    mlp_norm: &'static str,
}

/// The names of BERT, RoBERTa and ELECTRA.
const BERT_LAYER: Names = Names {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

#[derive(Debug, Clone)]
struct Layer {
    attention: MultiHead,
    attention_norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
    /// Of the layer's input, added to its output.
    convolution: Option<Convolution>,
}

impl Layer {
    /// Loads the layer whose tensors lie below `weights`.
    fn load(weights: &Weights, names: &Names, layer: usize, sizes: &Sizes) -> Result<Self> {
        Self::load_pruned(weights, names, layer, sizes, &PrunedHeads::new())
    }

    /// The same of a checkpoint that lacks heads. They are heads that read nothing here, so that all others keep their
    /// numbers.
    fn load_pruned(
        weights: &Weights,
        names: &Names,
        layer: usize,
        sizes: &Sizes,
        pruned: &PrunedHeads,
    ) -> Result<Self> {
        let Sizes {
            hidden,
            inner,
            heads,
            head_dim,
            epsilon,
            activation,
            ..
        } = *sizes;
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, true);
        let lacks = |at: usize| pruned.get(&layer).is_some_and(|heads| heads.contains(&(at / head_dim)));
        let kept: Vec<usize> = (0..hidden).filter(|&at| !lacks(at)).collect();
        let to_heads = |name: &str| Linear::load_outputs(&weights.at(name), hidden, hidden, &kept);
        Ok(Self {
            attention: MultiHead {
                attention: Attention::EncoderSelf,
                layer,
                shape: HeadShape::full(heads, head_dim),
                scale: 1.0 / (head_dim as f64).sqrt(),
                qkv: Qkv::Separate {
                    query: to_heads(names.query)?,
                    key: to_heads(names.key)?,
                    value: to_heads(names.value)?,
                },
                norms: None,
                output: Linear::load_inputs(&weights.at(names.output), hidden, hidden, &kept)?,
                terms: ScoreTerms::default(),
            },
            attention_norm: Norm::layer(&weights.at(names.attention_norm), hidden, epsilon)?,
            mlp: Mlp {
                up: linear(names.up, hidden, inner)?,
                gate: None,
                down: linear(names.down, inner, hidden)?,
                activation,
            },
            mlp_norm: Norm::layer(&weights.at(names.mlp_norm), hidden, epsilon)?,
            convolution: None,
        })
    }

    /// The same tensors (shared, not copied) as another layer.
    fn shared_as(&self, layer: usize) -> Self {
        let mut shared = self.clone();
        shared.attention.layer = layer;
        shared
    }
}

/// The head of a checkpoint.
enum Head {
    None,
    /// The word at each token: `[batch, tokens, vocabulary]`.
    Words {
        transform: Linear,
        activation: Activation,
        norm: Norm,
        decoder: Linear,
    },
    /// Whether each token was replaced: `[batch, tokens]` (Clark et al. 2020).
    Replaced {
        transform: Linear,
        activation: Activation,
        score: Linear,
    },
    /// The class of the text, from the pooled vector: `[batch, classes]`.
    Pooled(Linear),
    /// The class of the text, from the first token by way of one more layer.
    First {
        transform: Linear,
        activation: Activation,
        classifier: Linear,
    },
    /// The class of each token: `[batch, tokens, classes]`.
    Tokens(Linear),
}

impl Head {
    /// A head that predicts something at each token, if the files have it.
    fn words(weights: &Weights, load: impl FnOnce() -> Result<Self>) -> Result<(Self, Vec<String>)> {
        let head = weights.optional("head", load)?;
        Ok((head.unwrap_or(Self::None), Vec::new()))
    }

    /// A head that tells classes apart, given their number, and their names; neither if the files lack it.
    fn classifier(
        config: &Config,
        weights: &Weights,
        load: impl FnOnce(usize) -> Result<Self>,
    ) -> Result<(Self, Vec<String>)> {
        let labels = config.labels()?;
        let head = weights.optional("classifier", || load(labels.len()))?;
        Ok(head.map_or((Self::None, Vec::new()), |head| (head, labels)))
    }

    /// A head that tells classes of tokens apart, which in these families is one map of the last states.
    fn tokens(config: &Config, weights: &Weights, hidden: usize) -> Result<(Self, Vec<String>)> {
        Self::classifier(config, weights, |labels| {
            Linear::load(&weights.at("classifier"), hidden, labels, true).map(Self::Tokens)
        })
    }
}

/// A decoder from vectors of a width to words: the table of word embeddings with a bias of its own, or a map of its
/// own where the two are not tied. The reference ties the `bias` of the head to that of the map, and a file may hold
/// either.
fn decoder(config: &Config, words: &Embedding, (head, map): (&Weights, &Weights), width: usize) -> Result<Linear> {
    let rows = words.size().0;
    let bias = |places: [&Weights; 2]| {
        let stored = places.into_iter().find(|place| place.stores("bias"));
        stored.unwrap_or(places[0]).get("bias", [rows])
    };
    if config.flag_or("tie_word_embeddings", true)? {
        Linear::tied(words.tied(), Some(bias([head, map])?))
    } else {
        Linear::tied(&map.get("weight", [rows, width])?, Some(bias([map, head])?))
    }
}

struct Encoder {
    info: ModelInfo,
    device: Device,
    embeddings: Embeddings,
    relative: Relative,
    layers: Vec<Layer>,
    pooler: Option<Linear>,
    head: Head,
    labels: Vec<String>,
    /// Whether the family reads `pruned_heads`.
    prunes: bool,
}

impl Encoder {
    /// What the pooler makes of the first token.
    fn pool(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let first = || -> Result<Tensor> { Ok(x.narrow(1, 0, 1)?.squeeze(1)?) };
        let pooler = self.pooler.as_ref();
        pooler
            .map(|pooler| pooler.activated(&first()?, Activation::Tanh, pass))
            .transpose()
    }

    fn logits(&self, x: &Tensor, pooled: Option<&Tensor>, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        Ok(match &self.head {
            Head::None => None,
            Head::Words {
                transform,
                activation,
                norm,
                decoder,
            } => {
                let transformed = transform.activated(x, *activation, pass)?;
                Some(decoder.forward(&norm.forward(&transformed, pass)?, pass)?)
            }
            Head::Replaced {
                transform,
                activation,
                score,
            } => {
                let transformed = transform.activated(x, *activation, pass)?;
                Some(score.forward(&transformed, pass)?.squeeze(2)?)
            }
            Head::Pooled(classifier) => match pooled {
                Some(pooled) => Some(classifier.forward(pooled, pass)?),
                None => None,
            },
            Head::First {
                transform,
                activation,
                classifier,
            } => {
                let first = x.narrow(1, 0, 1)?.squeeze(1)?;
                let transformed = transform.activated(&first, *activation, pass)?;
                Some(classifier.forward(&transformed, pass)?)
            }
            Head::Tokens(classifier) => Some(classifier.forward(x, pass)?),
        })
    }
}

impl Network for Encoder {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn labels(&self) -> &[String] {
        match self.head {
            Head::Tokens(_) => &[],
            _ => &self.labels,
        }
    }

    fn token_labels(&self) -> &[String] {
        match self.head {
            Head::Tokens(_) => &self.labels,
            _ => &[],
        }
    }

    fn token_types(&self) -> usize {
        self.embeddings.types.as_ref().map_or(0, |table| table.size().0)
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        let mut taken = vec!["input_ids", "attention_mask"];
        taken.extend(self.embeddings.types.is_some().then_some("token_type_ids"));
        let counted = self.embeddings.positions.is_some() || matches!(self.relative, Relative::Rotary(_));
        taken.extend(counted.then_some("position_ids"));
        inputs.only(&taken)?;
        let (mut x, tokens) = self.embeddings.forward(inputs, self.info.max_tokens, pass)?;
        let mask = additive_mask(
            Mask::Full,
            tokens.padding.as_ref(),
            tokens.tokens,
            tokens.tokens,
            &self.device,
        )?;
        let entered = self.relative.enter(inputs, &tokens, mask, pass)?;
        for (layer, block) in self.layers.iter().enumerate() {
            if pass.skips(Side::Encoder, layer) {
                continue;
            }
            x = pass.tap(Site::hidden(Side::Encoder, layer), x)?;
            let input = x.clone();
            let attended = entered.attend(&block.attention, &x, pass)?;
            x = block.attention_norm.forward(&(attended + x)?, pass)?;
            let inner = pass.tap(Site::mlp(Side::Encoder, layer), block.mlp.forward(&x, pass)?)?;
            x = block.mlp_norm.forward(&(inner + x)?, pass)?;
            if let Some(convolution) = &block.convolution {
                x = convolution.forward(&input, &x, tokens.padding.as_ref(), pass)?;
            }
        }
        let x = pass.tap(Site::hidden(Side::Encoder, self.layers.len()), x)?;
        let pooled = self.pool(&x, pass)?;
        Ok(Output {
            logits: match pass.wants_logits() {
                true => self.logits(&x, pooled.as_ref(), pass)?,
                false => None,
            },
            last_hidden: x,
            pooled,
        })
    }

    fn prunes(&self) -> bool {
        self.prunes
    }

    fn predict(&self, hidden: &Tensor, _: usize, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        self.logits(hidden, self.pool(hidden, pass)?.as_ref(), pass)
    }

    fn attention_block(&self, attention: Attention, layer: usize) -> Option<&MultiHead> {
        let block = self.layers.get(layer).filter(|_| attention == Attention::EncoderSelf)?;
        Some(&block.attention)
    }
}
