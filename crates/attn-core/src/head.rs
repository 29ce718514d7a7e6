//! How a head is named: which attention, which layer, which head.

use std::{fmt, str::FromStr};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// One of the two token streams of a transformer.
///
/// A model with a single stack uses one of them: the encoder for bidirectional models (BERT, ViT), the
/// decoder for causal ones (GPT-2, Llama).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The source: what a bidirectional encoder reads.
    Encoder,
    /// The target: what a causal decoder reads or writes.
    Decoder,
}

/// The three attentions a transformer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Encoder tokens attend to encoder tokens.
    EncoderSelf,
    /// Decoder tokens attend to decoder tokens.
    DecoderSelf,
    /// Decoder tokens attend to encoder tokens.
    Cross,
}

impl Attention {
    /// The side whose tokens ask.
    pub fn query_side(self) -> Side {
        match self {
            Self::EncoderSelf => Side::Encoder,
            Self::DecoderSelf | Self::Cross => Side::Decoder,
        }
    }

    /// The side whose tokens are attended to.
    pub fn key_side(self) -> Side {
        match self {
            Self::EncoderSelf | Self::Cross => Side::Encoder,
            Self::DecoderSelf => Side::Decoder,
        }
    }

    /// The name used in files and on the command line: `encoder-self`, `decoder-self`, `cross`.
    pub fn name(self) -> &'static str {
        match self {
            Self::EncoderSelf => "encoder-self",
            Self::DecoderSelf => "decoder-self",
            Self::Cross => "cross",
        }
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One attention head. Layers and heads count from 0, as in the literature ("L3 H9").
///
/// ```
/// use attn_core::{Attention, HeadId};
/// let head = HeadId::new(Attention::EncoderSelf, 3, 9);
/// assert_eq!(head.to_string(), "L3 H9");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeadId {
    /// Which attention.
    pub attention: Attention,
    /// Layer, from 0.
    pub layer: usize,
    /// Head within the layer, from 0.
    pub head: usize,
}

impl HeadId {
    /// Names a head.
    pub fn new(attention: Attention, layer: usize, head: usize) -> Self {
        Self { attention, layer, head }
    }
}

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attention == Attention::Cross {
            f.write_str("cross ")?;
        }
        write!(f, "L{} H{}", self.layer, self.head)
    }
}

/// A layer and a head as a person types them: `3:9`. Which attention is meant follows from the model.
///
/// ```
/// let place: attn_core::LayerHead = "3:9".parse()?;
/// assert_eq!((place.layer, place.head), (3, 9));
/// assert!("3".parse::<attn_core::LayerHead>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerHead {
    /// Layer, from 0.
    pub layer: usize,
    /// Head, from 0.
    pub head: usize,
}

impl FromStr for LayerHead {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("expected LAYER:HEAD such as 3:9, found `{s}`");
        let (layer, head) = s.split_once(':').ok_or_else(wrong)?;
        let number = |part: &str| part.trim().parse().map_err(|_| wrong());
        Ok(Self {
            layer: number(layer)?,
            head: number(head)?,
        })
    }
}
/// The weights of one head, as they multiply row vectors from the right. Heads that share keys and values carry those of their
/// group. Biases and what families put around the matrices (norms, rotation) are not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWeights {
    /// The head.
    pub head: HeadId,
    /// `[hidden, head_dim]`.
    pub query: Array2<f32>,
    /// `[hidden, head_dim]`; of a cross-attention, from the encoder's states.
    pub key: Array2<f32>,
    /// `[hidden, head_dim]`; of a cross-attention, from the encoder's states.
    pub value: Array2<f32>,
    /// `[head_dim, hidden]`.
    pub output: Array2<f32>,
}
