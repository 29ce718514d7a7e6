//! DeBERTa v2 and v3: scores are sums of products of content with content, of content with keys of relative offsets, and of
//! queries of relative offsets with content ("disentangled attention").
//!
//! He, Liu, Gao and Chen 2021, <https://arxiv.org/abs/2006.03654>; He, Gao and Chen 2023, <https://arxiv.org/abs/2111.09543>.
//!
//! | checkpoint | architecture |
//! |---|---|
//! | microsoft/deberta-v2-xlarge, -xxlarge, with a convolution beside the first layer | none named: bare models |
//! | microsoft/deberta-v3-xsmall, -small, -base, -large, mdeberta-v3-base | none named: bare models |
//! | MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli and other classifiers | `DebertaV2ForSequenceClassification` |
//! | masked words | `DebertaV2ForMaskedLM` |

use attn_core::scores::RelativeVectors;
use serde_json::Value;

use super::{Convolution, Embeddings, Encoder, Head, Layer, Names, Relative, Sizes, decoder};
use crate::{
    Result, Weights,
    blocks::{Activation, Linear, Norm, OffsetMaps},
    families::{Config, Network},
};

const NAMES: Names = Names {
    query: "attention.self.query_proj",
    key: "attention.self.key_proj",
    value: "attention.self.value_proj",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

/// What the scores have of relative offsets.
struct Offsets {
    facts: RelativeVectors,
    /// Whether offsets are mapped to keys and queries as content is.
    shared: bool,
}

impl Offsets {
    /// None without relative attention.
    fn read(config: &Config) -> Result<Option<Self>> {
        if !config.flag_or("relative_attention", false)? {
            return Ok(None);
        }
        let [keys, queries] = parts(config)?;
        let or_none = |key: &str| -> Result<Option<usize>> {
            match config.number_or(key, -1.0)? {
                number if number < 1.0 => Ok(None),
                _ => config.optional_size(key),
            }
        };
        let reach = match or_none("max_relative_positions")? {
            Some(reach) => reach,
            None => config.size_or("max_position_embeddings", 512)?,
        };
        let half = or_none("position_buckets")?;
        let facts = RelativeVectors {
            buckets: 2 * half.unwrap_or(reach),
            // Without buckets every offset has a row of its own.
            exact: half.map_or(reach, |half| half / 2),
            max_distance: reach,
            keys,
            queries,
        };
        if facts.exact == 0 || facts.exact + 1 >= facts.max_distance && half.is_some() {
            let expected =
                format!("a number from 2, half of which is less than {reach}, the largest distance, minus 1");
            return Err(config.wrong("position_buckets", expected));
        }
        let shared = config.flag_or("share_att_key", false)?;
        Ok((keys || queries).then_some(Self { facts, shared }))
    }
}

/// `pos_att_type`: whether content is multiplied by keys of offsets (`c2p`) and by queries of offsets (`p2c`). A list of names or
/// one text with `|` between them.
fn parts(config: &Config) -> Result<[bool; 2]> {
    const KEY: &str = "pos_att_type";
    let names: Vec<&str> = match config.get(KEY) {
        None => Vec::new(),
        Some(Value::String(names)) => names
            .split('|')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect(),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => return Err(config.wrong(KEY, "a list of names")),
    };
    match names.iter().all(|name| ["c2p", "p2c"].contains(name)) {
        true => Ok(["c2p", "p2c"].map(|part| names.contains(&part))),
        false => Err(config.unsupported(KEY, "c2p, p2c")),
    }
}

pub(crate) fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let root = weights.below("deberta");
    let defaults = config.with_defaults(&[
        ("vocab_size", 128_100),
        ("hidden_size", 1536),
        ("num_hidden_layers", 24),
        ("num_attention_heads", 24),
        ("intermediate_size", 6144),
        ("type_vocab_size", 0),
    ]);
    let mut sizes = Sizes::read(&defaults, Some(&root.at("encoder.layer")))?;
    let longest = sizes.positions;
    // Otherwise positions enter nowhere but in the scores.
    let added = config.flag_or("position_biased_input", true)?;
    if !added {
        sizes.positions = 0;
    }
    let Sizes { hidden, epsilon, .. } = sizes;
    if config.size_or("embedding_size", hidden)? != hidden {
        return Err(config.unsupported("embedding_size", "the same as `hidden_size`"));
    }
    let embeddings = Embeddings::load(&root.at("embeddings"), &sizes, hidden)?;
    let offsets = Offsets::read(config)?;
    let relative = match &offsets {
        None => Relative::None,
        Some(offsets) => {
            let encoder = root.at("encoder");
            Relative::Vectors {
                table: encoder
                    .at("rel_embeddings")
                    .get("weight", [offsets.facts.buckets, hidden])?,
                norm: match rows_are_normed(config)? {
                    true => Some(Norm::layer(&encoder.at("LayerNorm"), hidden, epsilon)?),
                    false => None,
                },
            }
        }
    };
    let (head, labels) = head(config, weights, &embeddings, &sizes)?;
    let layer = |layer: usize| -> Result<Layer> {
        let weights = root.at(format_args!("encoder.layer.{layer}"));
        let mut block = Layer::load(&weights, &NAMES, layer, &sizes)?;
        if let Some(offsets) = &offsets {
            block.attention.scale = scale(&offsets.facts, sizes.head_dim);
            block.attention.terms.offsets = Some(maps(offsets, &weights, hidden)?);
        }
        if layer == 0 {
            block.convolution = Convolution::read(config, &root.at("encoder.conv"), hidden, epsilon)?;
        }
        Ok(block)
    };
    let layers = (0..sizes.layers).map(layer).collect::<Result<Vec<_>>>()?;
    let mut info = relative.facts(sizes.info(name, "deberta-v2", longest, &layers));
    if !added {
        // Only a table of positions ends.
        info.max_tokens = None;
    }
    if !added && offsets.is_none() {
        info.positions = attn_core::model::Positions::None;
    }
    Ok(Box::new(Encoder {
        info,
        device: weights.device().clone(),
        embeddings,
        relative,
        layers,
        pooler: None,
        head,
        labels,
        prunes: false,
    }))
}

/// Scores are sums of up to three products, and scaled by as many.
fn scale(vectors: &RelativeVectors, head_dim: usize) -> f64 {
    let products = 1 + usize::from(vectors.keys) + usize::from(vectors.queries);
    1.0 / ((products * head_dim) as f64).sqrt()
}

/// The maps of offsets, by the reference's names of a layer's tensors below `weights`.
fn maps(offsets: &Offsets, weights: &Weights, hidden: usize) -> Result<OffsetMaps> {
    let [key, query] = match offsets.shared {
        true => [NAMES.key, NAMES.query],
        false => ["attention.self.pos_key_proj", "attention.self.pos_query_proj"],
    };
    let map = |has: bool, name: &str| {
        has.then(|| Linear::load(&weights.at(name), hidden, hidden, true))
            .transpose()
    };
    Ok(OffsetMaps {
        facts: offsets.facts,
        key: map(offsets.facts.keys, key)?,
        query: map(offsets.facts.queries, query)?,
    })
}

/// `norm_rel_ebd`: `none` or `layer_norm`, perhaps among others with `|` between them.
fn rows_are_normed(config: &Config) -> Result<bool> {
    let names = config.text("norm_rel_ebd")?.unwrap_or("none").to_lowercase();
    let names: Vec<&str> = names.split('|').map(str::trim).collect();
    match names.iter().all(|name| ["none", "layer_norm"].contains(name)) {
        true => Ok(names.contains(&"layer_norm")),
        false => Err(config.unsupported("norm_rel_ebd", "none, layer_norm")),
    }
}

fn head(config: &Config, weights: &Weights, embeddings: &Embeddings, sizes: &Sizes) -> Result<(Head, Vec<String>)> {
    let Sizes {
        hidden,
        epsilon,
        activation,
        ..
    } = *sizes;
    match config.architecture() {
        Some("DebertaV2ForMaskedLM") => Head::words(weights, || {
            // Two spellings of one head.
            let (head, transform) = match config.flag_or("legacy", true)? {
                true => (weights.at("cls.predictions"), weights.at("cls.predictions.transform")),
                false => (
                    weights.at("lm_predictions.lm_head"),
                    weights.at("lm_predictions.lm_head"),
                ),
            };
            Ok(Head::Words {
                transform: Linear::load(&transform.at("dense"), hidden, hidden, true)?,
                activation,
                norm: Norm::layer(&transform.at("LayerNorm"), hidden, epsilon)?,
                decoder: decoder(config, &embeddings.words, (&head, &head.at("decoder")), hidden)?,
            })
        }),
        Some("DebertaV2ForSequenceClassification") => Head::classifier(config, weights, |labels| {
            Ok(Head::First {
                transform: Linear::load(&weights.at("pooler.dense"), hidden, hidden, true)?,
                activation: Activation::read(config, "pooler_hidden_act", Activation::Gelu)?,
                classifier: Linear::load(&weights.at("classifier"), hidden, labels, true)?,
            })
        }),
        Some("DebertaV2ForTokenClassification") => Head::tokens(config, weights, hidden),
        _ => Ok((Head::None, Vec::new())),
    }
}
