//! What is known of a model: sizes, scales, masks, positions. Enough to recompute attention from Q and K.

use serde::{Deserialize, Serialize};

use crate::{Attention, HeadId, RelativeBias};

/// Which keys a query may see, by position inside its own sequence (padding never counts).
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
}

impl Mask {
    /// Whether the query at position `query` sees the key at position `key`.
    pub fn visible(self, query: usize, key: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Causal => key <= query,
            Self::Window { width } => key <= query && query - key < width,
        }
    }
}

/// How a model knows where a token stands.
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
    /// The model is given no positions.
    None,
}

/// What one layer's attention needs beside Q and K.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LayerAttention {
    /// Factor on `q · k` before the softmax, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Which keys a query may see.
    pub mask: Mask,
}

/// One of a model's attentions: its sizes and its layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttentionInfo {
    /// Which attention.
    pub attention: Attention,
    /// Query heads per layer.
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
}

/// Facts about a model, independent of any framework.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// What a person calls it, usually the folder's name.
    pub name: String,
    /// The family, as `model_type` in `config.json`: `bert`, `gpt2`, ...
    pub family: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Size of the vocabulary; `None` for models of images.
    pub vocab_size: Option<usize>,
    /// Longest sequence in tokens; `None` if unlimited.
    pub max_tokens: Option<usize>,
    /// How positions enter.
    pub positions: Positions,
    /// The attentions it has, at most one entry per [`Attention`].
    pub attentions: Vec<AttentionInfo>,
}

impl ModelInfo {
    /// The sizes of one attention, if the model has it.
    pub fn attention(&self, attention: Attention) -> Option<&AttentionInfo> {
        self.attentions.iter().find(|info| info.attention == attention)
    }

    /// Every head, attention by attention, layer by layer.
    pub fn heads(&self) -> impl Iterator<Item = HeadId> + '_ {
        self.attentions.iter().flat_map(|info| {
            (0..info.layers.len())
                .flat_map(move |layer| (0..info.heads).map(move |head| HeadId::new(info.attention, layer, head)))
        })
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
    /// The key/value head that query head `head` uses.
    pub fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads.max(1)).max(1)
    }
}
