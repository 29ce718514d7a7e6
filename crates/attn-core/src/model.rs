//! Facts about a model: sizes, scales, masks, positions. Enough to recompute attention from Q and K (and, where positions are
//! vectors, from their tables).

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Attention, HeadId,
    scores::{Alibi, RelativeBias, RelativeVectors},
};

/// The keys that a query may see, by position inside its own sequence (padding never counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Every key.
    Full,
    /// Keys up to and including the query's own position.
    Causal,
    /// The query's own position and the `width - 1` before it.
    Window {
        /// Number of visible keys, itself included.
        width: usize,
    },
    /// The query's own position and `width` positions before and after it.
    Local {
        /// Largest distance of a visible key.
        width: usize,
    },
}

impl Mask {
    /// Whether the query at position `query` sees the key at position `key`.
    pub fn visible(self, query: usize, key: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Causal => key <= query,
            Self::Window { width } => key <= query && query - key < width,
            Self::Local { width } => query.abs_diff(key) <= width,
        }
    }

    /// The keys that the query at position `query` sees, of a sequence with `keys` keys. Every mask shows a contiguous range.
    ///
    /// ```
    /// use attn_core::model::Mask;
    ///
    /// assert_eq!(Mask::Full.visible_keys(4, 9), 0..9);
    /// assert_eq!(Mask::Causal.visible_keys(4, 9), 0..5);
    /// assert_eq!(Mask::Window { width: 3 }.visible_keys(4, 9), 2..5);
    /// assert_eq!(Mask::Local { width: 3 }.visible_keys(4, 9), 1..8);
    /// ```
    pub fn visible_keys(self, query: usize, keys: usize) -> Range<usize> {
        let end = (query + 1).min(keys);
        match self {
            Self::Full => 0..keys,
            Self::Causal => 0..end,
            Self::Window { width } => (query + 1).saturating_sub(width).min(end)..end,
            Self::Local { width } => {
                let end = (query + 1).saturating_add(width).min(keys);
                query.saturating_sub(width).min(end)..end
            }
        }
    }
}

/// Encoding of token positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A learned vector per position is added to the input.
    Learned,
    /// A fixed sinusoid per position is added to the input.
    Sinusoidal,
    /// Queries and keys are rotated by their position (Su et al. 2021).
    Rotary,
    /// A learned bias per relative offset is added to the scores (Raffel et al. 2020).
    RelativeBias,
    /// A bias that grows with distance is added to the scores (Press et al. 2022).
    Alibi,
    /// Queries and keys are multiplied by vectors of relative offsets (Shaw et al. 2018; He et al. 2021).
    RelativeVectors,
    /// The model is given no positions.
    None,
}

/// Scale, mask, soft cap and sinks of one layer's attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerAttention {
    /// Factor on `q · k` before the softmax, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// The keys that a query may see.
    pub mask: Mask,
    /// A bound that scaled scores approach: `cap * tanh(score / cap)`, before bias and mask (Gemma 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_cap: Option<f32>,
    /// A logit per head, `[head]`, that takes part in the softmax and that no key holds (GPT-OSS). Rows then sum to less than 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Vec<f32>>,
    /// Query heads of this layer where they are not as many as [`AttentionInfo::heads`]; 0 for a layer without attention, as
    /// hybrid models have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Key/value heads of this layer where they are not as many as [`AttentionInfo::kv_heads`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
}

impl LayerAttention {
    /// A layer without soft cap and sinks, with the heads of its attention.
    pub fn new(scale: f32, mask: Mask) -> Self {
        Self {
            scale,
            mask,
            soft_cap: None,
            sinks: None,
            heads: None,
            kv_heads: None,
        }
    }

    /// A layer without attention: of a state-space model, a convolution, or an MLP alone. Scale and mask mean nothing.
    pub fn none() -> Self {
        Self::new(1.0, Mask::Full).with_heads(0, 0)
    }

    /// The same layer with its own numbers of query heads and key/value heads.
    #[must_use]
    pub fn with_heads(mut self, heads: usize, kv_heads: usize) -> Self {
        (self.heads, self.kv_heads) = (Some(heads), Some(kv_heads));
        self
    }

    /// The sink of a head, if there is one.
    pub fn sink(&self, head: usize) -> Option<f32> {
        self.sinks.as_ref()?.get(head).copied()
    }
}

/// Sizes and layers of one of a model's attentions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionInfo {
    /// The attention.
    pub attention: Attention,
    /// Query heads per layer; a layer may have fewer ([`LayerAttention::heads`]).
    pub heads: usize,
    /// Key/value heads per layer; divides `heads`. Query head `h` uses key/value head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Length of a query, key or value vector.
    pub head_dim: usize,
    /// One entry per layer.
    pub layers: Vec<LayerAttention>,
    /// The bias by relative offset that is added to the scores, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_bias: Option<RelativeBias>,
    /// The bias that grows with distance, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alibi: Option<Alibi>,
    /// The vectors of relative offsets that queries and keys are multiplied by, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_vectors: Option<RelativeVectors>,
}

/// Facts about a model, independent of any framework.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// Its name for users, usually the folder's name.
    pub name: String,
    /// The family, as `model_type` in `config.json`: `bert`, `gpt2`, ...
    pub family: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Size of the vocabulary; `None` for models of images.
    #[serde(deserialize_with = "number_or_null")]
    pub vocab_size: Option<usize>,
    /// Longest sequence in tokens; `None` if unlimited.
    #[serde(deserialize_with = "number_or_null")]
    pub max_tokens: Option<usize>,
    /// Encoding of positions.
    pub positions: Positions,
    /// The attentions it has, at most one entry per [`Attention`].
    pub attentions: Vec<AttentionInfo>,
}

impl ModelInfo {
    /// A model without attentions, vocabulary, limit and positions. Its fields are public; set what is known.
    ///
    /// ```
    /// use attn_core::{Attention, ModelInfo, model::{AttentionInfo, LayerAttention, Mask}};
    ///
    /// let layer = LayerAttention::new(0.125, Mask::Causal);
    /// let model = ModelInfo::new("mine", "llama", 4096)
    ///     .with_attention(AttentionInfo::new(Attention::DecoderSelf, 32, 128, vec![layer; 24]).with_kv_heads(8));
    /// assert_eq!(model.heads().count(), 24 * 32);
    /// ```
    pub fn new(name: impl Into<String>, family: impl Into<String>, hidden_size: usize) -> Self {
        Self {
            name: name.into(),
            family: family.into(),
            hidden_size,
            vocab_size: None,
            max_tokens: None,
            positions: Positions::None,
            attentions: Vec::new(),
        }
    }

    /// The same model with one more attention.
    #[must_use]
    pub fn with_attention(mut self, attention: AttentionInfo) -> Self {
        self.attentions.push(attention);
        self
    }

    /// The sizes of one attention, if the model has it.
    pub fn attention(&self, attention: Attention) -> Option<&AttentionInfo> {
        self.attentions.iter().find(|info| info.attention == attention)
    }

    /// Every head, attention by attention, layer by layer.
    pub fn heads(&self) -> impl Iterator<Item = HeadId> + '_ {
        self.attentions.iter().flat_map(|info| {
            (0..info.layers.len()).flat_map(move |layer| {
                (0..info.heads_of(layer)).map(move |head| HeadId::new(info.attention, layer, head))
            })
        })
    }

    /// Places in the grid of layers and heads where there is no head: of layers without attention, or with fewer heads than
    /// others.
    pub fn holes(&self) -> impl Iterator<Item = HeadId> + '_ {
        self.attentions.iter().flat_map(|info| {
            (0..info.layers.len()).flat_map(move |layer| {
                (info.heads_of(layer)..info.heads).map(move |head| HeadId::new(info.attention, layer, head))
            })
        })
    }

    /// The mask of a head's layer; `None` if the model has no such attention or layer.
    pub fn mask(&self, head: HeadId) -> Option<Mask> {
        let info = self.attention(head.attention)?;
        Some(info.layers.get(head.layer)?.mask)
    }

    /// A head's name among all of the model's: `L3 H9`; `encoder L3 H9`, `decoder L3 H9` and `cross L3 H9` where there are several
    /// attentions.
    pub fn head_name(&self, head: HeadId) -> String {
        let stack = match head.attention {
            _ if self.attentions.len() < 2 => "",
            Attention::EncoderSelf => "encoder ",
            Attention::DecoderSelf => "decoder ",
            // Its name says so itself.
            Attention::Cross => "",
        };
        format!("{stack}{head}")
    }
}

impl AttentionInfo {
    /// An attention with a key/value head per query head, and no bias.
    pub fn new(attention: Attention, heads: usize, head_dim: usize, layers: Vec<LayerAttention>) -> Self {
        Self {
            attention,
            heads,
            kv_heads: heads,
            head_dim,
            layers,
            relative_bias: None,
            alibi: None,
            relative_vectors: None,
        }
    }

    /// The same attention with key/value heads that groups of query heads share.
    #[must_use]
    pub fn with_kv_heads(mut self, kv_heads: usize) -> Self {
        self.kv_heads = kv_heads;
        self
    }

    /// Query heads of a layer: 0 where it has no attention, or is not there.
    ///
    /// ```
    /// use attn_core::{Attention, model::{AttentionInfo, LayerAttention, Mask}};
    ///
    /// let layer = LayerAttention::new(0.125, Mask::Causal);
    /// let layers = vec![layer.clone(), LayerAttention::none(), layer.with_heads(4, 1)];
    /// let hybrid = AttentionInfo::new(Attention::DecoderSelf, 8, 64, layers).with_kv_heads(2);
    /// assert_eq!([0, 1, 2, 3].map(|layer| hybrid.heads_of(layer)), [8, 0, 4, 0]);
    /// assert_eq!((hybrid.kv_head(0, 7), hybrid.kv_head(2, 3)), (1, 0));
    /// ```
    pub fn heads_of(&self, layer: usize) -> usize {
        let layer = self.layers.get(layer);
        layer.map_or(0, |layer| layer.heads.unwrap_or(self.heads))
    }

    /// Key/value heads of a layer: 0 where it has no attention, or is not there.
    pub fn kv_heads_of(&self, layer: usize) -> usize {
        let layer = self.layers.get(layer);
        layer.map_or(0, |layer| layer.kv_heads.unwrap_or(self.kv_heads))
    }

    /// The key/value head that query head `head` of a layer uses.
    pub fn kv_head(&self, layer: usize, head: usize) -> usize {
        head / (self.heads_of(layer) / self.kv_heads_of(layer).max(1)).max(1)
    }

    /// The layers that have heads, ascending.
    pub fn attending_layers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.layers.len()).filter(|&layer| self.heads_of(layer) > 0)
    }

    /// Whether every layer has the same heads.
    pub fn is_regular(&self) -> bool {
        (0..self.layers.len())
            .all(|layer| (self.heads_of(layer), self.kv_heads_of(layer)) == (self.heads, self.kv_heads))
    }
}

/// A field that may be `null` and must be there: left out by mistake, it would pass for `null`.
fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_keys_are_what_the_mask_says() {
        for mask in [
            Mask::Full,
            Mask::Causal,
            Mask::Window { width: 3 },
            Mask::Window { width: 0 },
            Mask::Local { width: 2 },
            Mask::Local { width: 0 },
        ] {
            for (query, keys) in [(0, 1), (0, 5), (4, 5), (4, 9), (7, 5), (2, 0)] {
                let range: Vec<usize> = mask.visible_keys(query, keys).collect();
                let one_by_one: Vec<usize> = (0..keys).filter(|&key| mask.visible(query, key)).collect();
                assert_eq!(range, one_by_one, "{mask:?} {query} {keys}");
            }
        }
    }

    #[test]
    fn a_head_has_the_mask_of_its_layer() {
        let layer = |mask| LayerAttention::new(1.0, mask);
        let model = ModelInfo::new("m", "gemma", 4).with_attention(AttentionInfo::new(
            Attention::DecoderSelf,
            2,
            2,
            vec![layer(Mask::Window { width: 3 }), layer(Mask::Causal)],
        ));
        let mask = |attention, layer| model.mask(HeadId::new(attention, layer, 0));
        assert_eq!(mask(Attention::DecoderSelf, 0), Some(Mask::Window { width: 3 }));
        assert_eq!(mask(Attention::DecoderSelf, 1), Some(Mask::Causal));
        assert_eq!(mask(Attention::DecoderSelf, 2), None);
        assert_eq!(mask(Attention::Cross, 0), None);
    }
}
