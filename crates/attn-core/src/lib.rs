//! Data model, capture store and attention arithmetic of the attn SDK. Every other crate of the SDK stands on this one.
//!
//! A [`Capture`] holds the [`Sequence`]s that a transformer read, facts about the model ([`ModelInfo`]) and, for each layer,
//! the queries, keys and values of every head. It lives in memory or in a folder that any framework can write (the schema
//! is in `docs/CAPTURE.md`). Attention itself is not stored; [`Capture::attention`] recomputes it exactly.
//!
//! ```
//! use attn_core::{Attention, CaptureWriter, HeadId, ModelInfo, Sequence, Side, Token};
//! use attn_core::{capture::CapturePlan, model::{AttentionInfo, LayerAttention, Mask}};
//!
//! // A model with one layer of one head, and one sequence of two tokens.
//! let attention = Attention::EncoderSelf;
//! let layer = LayerAttention::new(1.0, Mask::Full);
//! let model = ModelInfo::new("tiny", "bert", 2).with_attention(AttentionInfo::new(attention, 1, 2, vec![layer]));
//! let sequence = Sequence::new("line 1").with_tokens(Side::Encoder, ["to", "be"].map(Token::new));
//!
//! let writer = CaptureWriter::in_memory(CapturePlan::new(model, vec![sequence]))?;
//! let vectors = [1.0, 0.0, 0.0, 1.0]; // [heads, tokens, head_dim]
//! writer.write_layer(attention, 0, 0, [&vectors, &vectors, &vectors])?;
//! writer.commit(&[0])?;
//! let capture = writer.finish()?;
//! let weights = capture.attention(HeadId::new(attention, 0, 0), 0)?;
//! assert!(weights[[0, 0]] > weights[[0, 1]]);
//! # Ok::<(), attn_core::Error>(())
//! ```
//!
//! This crate runs no model (`attn-models` does), projects nothing (`attn-project`) and draws nothing (`attn-render`).
//!
//! # Features
//! `store` (default) is the capture and the arithmetic of attention. Without it there are heads, the model's facts, sequences,
//! text readers, random numbers and progress, and no safetensors, memory maps or ndarray.

#[cfg(feature = "store")]
pub mod attention;
mod bias;
#[cfg(feature = "store")]
pub mod capture;
pub mod column;
mod disk;
mod error;
pub mod files;
pub mod format;
pub mod head;
mod limits;
pub mod model;
pub mod progress;
pub mod rng;
pub mod scores;
pub mod sequence;
pub mod table;
pub mod text;
pub mod third_party;
#[cfg(feature = "store")]
mod weights;

#[cfg(feature = "store")]
pub use {
    capture::{Capture, CaptureWriter},
    ndarray,
    weights::HeadWeights,
};

pub use column::{SequenceColumn, TokenColumn};
pub use error::{Error, Result};
pub use head::{Attention, HeadId, LayerHead, Side};
pub use limits::Limits;
pub use model::ModelInfo;
pub use progress::Progress;
pub use rng::Rng;
pub use sequence::{Sequence, Token};

/// The examples of the README.
#[cfg(all(doctest, feature = "store"))]
#[doc = include_str!("../README.md")]
struct Readme;
