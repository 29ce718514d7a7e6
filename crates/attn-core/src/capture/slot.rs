//! The place of a value in a capture: file, tensor, shape.

use crate::{Attention, Error, ModelInfo, Result, Sequence, Side};

/// One kind of value that a capture holds: for each sequence, or once as a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Slot {
    /// Queries `[heads, tokens, head_dim]`: after bias and rotation, before scaling.
    Query {
        /// The attention.
        attention: Attention,
        /// Layer, from 0.
        layer: usize,
    },
    /// Keys `[kv_heads, tokens, head_dim]`: after bias and rotation.
    Key {
        /// The attention.
        attention: Attention,
        /// Layer, from 0.
        layer: usize,
    },
    /// Values `[kv_heads, tokens, head_dim]`.
    Value {
        /// The attention.
        attention: Attention,
        /// Layer, from 0.
        layer: usize,
    },
    /// Hidden states `[1, tokens, hidden_size]`; layer 0 is the embedding, layer `j` the output of block `j`.
    Hidden {
        /// The stack.
        side: Side,
        /// 0 to the number of layers, both included.
        layer: usize,
    },
    /// Logits over the vocabulary `[1, tokens, vocab_size]`.
    Logits {
        /// The stack whose tokens they belong to.
        side: Side,
    },
    /// Keys of relative offsets `[kv_heads, buckets, head_dim]`, a table for all sequences
    /// ([`RelativeVectors`](crate::scores::RelativeVectors)).
    OffsetKey {
        /// The attention.
        attention: Attention,
        /// Layer, from 0.
        layer: usize,
    },
    /// Queries of relative offsets `[heads, buckets, head_dim]`, a table for all sequences.
    OffsetQuery {
        /// The attention.
        attention: Attention,
        /// Layer, from 0.
        layer: usize,
    },
}

impl Slot {
    /// The side whose tokens are the rows; of a table, the side that is multiplied by it.
    pub(super) fn side(self) -> Side {
        match self {
            Self::Query { attention, .. } | Self::OffsetKey { attention, .. } => attention.query_side(),
            Self::Key { attention, .. } | Self::Value { attention, .. } | Self::OffsetQuery { attention, .. } => {
                attention.key_side()
            }
            Self::Hidden { side, .. } | Self::Logits { side } => side,
        }
    }

    /// File name and tensor name.
    pub(super) fn place(self) -> (String, &'static str) {
        let side_name = |side| match side {
            Side::Encoder => "encoder",
            Side::Decoder => "decoder",
        };
        let layer_file = |attention: Attention, layer| format!("{attention}-{layer:02}.safetensors");
        match self {
            Self::Query { attention, layer } => (layer_file(attention, layer), "q"),
            Self::Key { attention, layer } => (layer_file(attention, layer), "k"),
            Self::Value { attention, layer } => (layer_file(attention, layer), "v"),
            Self::OffsetKey { attention, layer } => (layer_file(attention, layer), "k_offset"),
            Self::OffsetQuery { attention, layer } => (layer_file(attention, layer), "q_offset"),
            Self::Hidden { side, layer } => (format!("{}-hidden-{layer:02}.safetensors", side_name(side)), "hidden"),
            Self::Logits { side } => (format!("{}-logits.safetensors", side_name(side)), "logits"),
        }
    }

    /// Rows of a table, which are no tokens; `None` for what every sequence has.
    pub(super) fn table_rows(self, model: &ModelInfo) -> Option<usize> {
        match self {
            Self::OffsetKey { attention, .. } | Self::OffsetQuery { attention, .. } => {
                let vectors = model.attention(attention).and_then(|info| info.relative_vectors);
                Some(vectors.map_or(0, |vectors| vectors.buckets))
            }
            Self::Query { .. } | Self::Key { .. } | Self::Value { .. } | Self::Hidden { .. } | Self::Logits { .. } => {
                None
            }
        }
    }

    /// Heads and vector length of the tensor `[heads, rows, width]`.
    pub(super) fn size(self, model: &ModelInfo) -> Result<(usize, usize)> {
        let missing = || Error::NotFound {
            what: "slot",
            asked: format!("{self:?}"),
            available: model
                .attentions
                .iter()
                .map(|a| format!("{} with layers 0..{}", a.attention, a.layers.len()))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let attention_info = |attention, layer| {
            model
                .attention(attention)
                .filter(|info| info.heads_of(layer) > 0)
                .ok_or_else(missing)
        };
        match self {
            Self::Query { attention, layer } | Self::OffsetQuery { attention, layer } => {
                attention_info(attention, layer).map(|a| (a.heads_of(layer), a.head_dim))
            }
            Self::Key { attention, layer }
            | Self::Value { attention, layer }
            | Self::OffsetKey { attention, layer } => {
                attention_info(attention, layer).map(|a| (a.kv_heads_of(layer), a.head_dim))
            }
            Self::Hidden { side, layer } => {
                let layers = stack_layers(model, side).ok_or_else(missing)?;
                if layer > layers {
                    Err(missing())
                } else {
                    Ok((1, model.hidden_size))
                }
            }
            Self::Logits { .. } => Ok((1, model.vocab_size.ok_or_else(missing)?)),
        }
    }
}

/// The tables of a model, which a capture holds once.
pub(super) fn tables(model: &ModelInfo) -> Vec<Slot> {
    let mut tables = Vec::new();
    for info in &model.attentions {
        let Some(vectors) = info.relative_vectors else { continue };
        let attention = info.attention;
        for layer in info.attending_layers() {
            tables.extend(Some(Slot::OffsetKey { attention, layer }).filter(|_| vectors.keys));
            tables.extend(Some(Slot::OffsetQuery { attention, layer }).filter(|_| vectors.queries));
        }
    }
    tables
}

/// Whether a file is named as the tensors of some slot are: `cross-03.safetensors`.
pub(super) fn is_tensor_file(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".safetensors") else {
        return false;
    };
    let Some((kind, layer)) = stem.rsplit_once('-') else {
        return false;
    };
    let numbered = layer.len() > 1 && layer.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        "encoder-self" | "decoder-self" | "cross" | "encoder-hidden" | "decoder-hidden" => numbered,
        "encoder" | "decoder" => layer == "logits",
        _ => false,
    }
}

/// Number of layers of the stack that reads `side`; `None` if the model has no such stack.
pub(super) fn stack_layers(model: &ModelInfo, side: Side) -> Option<usize> {
    let attention = match side {
        Side::Encoder => Attention::EncoderSelf,
        Side::Decoder => Attention::DecoderSelf,
    };
    model.attention(attention).map(|info| info.layers.len())
}

/// First row of every sequence, and the number of rows, when sequences follow one another without gaps.
pub(super) fn starts(sequences: &[Sequence], side: Side) -> (Vec<usize>, usize) {
    let mut next = 0;
    let starts = sequences
        .iter()
        .map(|sequence| {
            let start = next;
            next += sequence.tokens(side).len();
            start
        })
        .collect();
    (starts, next)
}
