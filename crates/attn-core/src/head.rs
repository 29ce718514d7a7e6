//! Names of heads: attention, layer, head.

use std::{fmt, str::FromStr};

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
    pub const fn new(attention: Attention, layer: usize, head: usize) -> Self {
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

/// A head as a user types it: `3:9`, or `cross:3:9` where a model has several attentions.
///
/// ```
/// use attn_core::{Attention, HeadId, LayerHead};
/// let place: LayerHead = "3:9".parse()?;
/// assert!(place.is(HeadId::new(Attention::EncoderSelf, 3, 9)) && place.is(HeadId::new(Attention::Cross, 3, 9)));
/// let place: LayerHead = "cross:3:9".parse()?;
/// assert!(!place.is(HeadId::new(Attention::EncoderSelf, 3, 9)));
/// assert!("3".parse::<LayerHead>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerHead {
    /// Which attention; `None` for the first of the model that has such a head.
    pub attention: Option<Attention>,
    /// Layer, from 0.
    pub layer: usize,
    /// Head, from 0.
    pub head: usize,
}

impl LayerHead {
    /// Whether it names this head.
    pub fn is(&self, head: HeadId) -> bool {
        (self.layer, self.head) == (head.layer, head.head)
            && self.attention.is_none_or(|attention| attention == head.attention)
    }
}

impl fmt::Display for LayerHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(attention) = self.attention {
            write!(f, "{attention}:")?;
        }
        write!(f, "{}:{}", self.layer, self.head)
    }
}

impl FromStr for LayerHead {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("expected LAYER:HEAD such as 3:9, or cross:3:9, found `{s}`");
        let all = [Attention::EncoderSelf, Attention::DecoderSelf, Attention::Cross];
        let named = all.into_iter().find_map(|attention| {
            let rest = s.strip_prefix(attention.name())?.strip_prefix(':')?;
            Some((attention, rest))
        });
        let (attention, place) = named.map_or((None, s), |(attention, rest)| (Some(attention), rest));
        let (layer, head) = place.split_once(':').ok_or_else(wrong)?;
        let number = |part: &str| part.trim().parse().map_err(|_| wrong());
        Ok(Self {
            attention,
            layer: number(layer)?,
            head: number(head)?,
        })
    }
}
