//! Data model, capture store and attention arithmetic: what every other crate of the attn SDK shares.
//!
//! A [`Capture`] holds what went through a transformer: the [`Sequence`]s, the facts of the model ([`ModelInfo`]) and, per
//! layer, the queries, keys and values of every head. It lives in memory or in a folder that any framework can write (the schema
//! is in `docs/CAPTURE.md`). Attention itself is not stored; [`Capture::attention`] recomputes it exactly.
//!
//! ```
//! use attn_core::*;
//!
//! // A model with one layer of one head, and one sequence of two tokens.
//! let attention = Attention::EncoderSelf;
//! let layer = LayerAttention { scale: 1.0, mask: Mask::Full };
//! let model = ModelInfo {
//!     name: "tiny".into(), family: "bert".into(), hidden_size: 2, vocab_size: None, max_tokens: None,
//!     positions: Positions::None,
//!     attentions: vec![AttentionInfo { attention, heads: 1, kv_heads: 1, head_dim: 2, layers: vec![layer], relative_bias: None }],
//! };
//! let token = |text: &str, position| Token { text: text.into(), position, ..Token::default() };
//! let sequence = Sequence { name: "line 1".into(), encoder: vec![token("to", 0), token("be", 1)], ..Sequence::default() };
//!
//! let writer = CaptureWriter::in_memory(CapturePlan::new(model, vec![sequence]))?;
//! for slot in [Slot::Query { attention, layer: 0 }, Slot::Key { attention, layer: 0 }, Slot::Value { attention, layer: 0 }] {
//!     writer.write(slot, 0, &[1.0, 0.0, 0.0, 1.0])?; // [heads, tokens, head_dim]
//! }
//! writer.commit(&[0])?;
//! let capture = writer.finish()?;
//! let weights = capture.attention(HeadId::new(attention, 0, 0), 0)?;
//! assert!(weights[[0, 0]] > weights[[0, 1]]);
//! # Ok::<(), attn_core::Error>(())
//! ```
//!
//! This crate runs no model (`attn-models` does), projects nothing (`attn-project`) and draws nothing (`attn-render`).

mod attention;
mod bias;
mod capture;
mod error;
mod head;
mod model;
pub mod progress;
mod sequence;
pub mod table;

pub use attention::attention_weights;
pub use bias::RelativeBias;
pub use capture::{Capture, CaptureOptions, CapturePlan, CaptureWriter, Precision, Slot, write_atomically};
pub use error::Error;
pub use head::{Attention, HeadId, HeadWeights, LayerHead, Side};
pub use model::{AttentionInfo, LayerAttention, Mask, ModelInfo, Positions};
pub use ndarray;
pub use progress::Progress;
pub use sequence::{ImageData, ImageInfo, Sequence, Token};
