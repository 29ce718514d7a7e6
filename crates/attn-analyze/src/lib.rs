//! Scores of attention heads and latent concepts of layers, from a capture; statistics of a training, from its log.
//!
//! [`heads`] turns a [`Capture`](attn_core::Capture) into scores beside their chance level, and the scores into roles with
//! reasons. [`concepts`] clusters the words of a text in every layer and compares the clusters with labels. [`training`]
//! reads what a training logged about its examples. Nothing here runs a model or draws a plot.
//!
//! ```
//! use attn_analyze::heads::{Role, Rules, ScoreId, ScoreList, ScoreParams, head_labels, score_heads};
//! use attn_core::{Attention, CaptureWriter, ModelInfo, Sequence, Token};
//! use attn_core::{capture::{CapturePlan, Slot}, model::{AttentionInfo, LayerAttention, Mask, Positions}};
//!
//! // A head that looks at the token before: the query of position i is the key of position i - 1.
//! let attention = Attention::DecoderSelf;
//! let layer = LayerAttention::new(20.0, Mask::Causal);
//! let tokens = ["once", "upon", "a", "time"];
//! let model = ModelInfo {
//!     name: "planted".into(), family: "gpt2".into(), hidden_size: 4, vocab_size: None, max_tokens: None,
//!     positions: Positions::None,
//!     attentions: vec![AttentionInfo::new(attention, 1, 4, vec![layer])],
//! };
//! let token = |(position, text): (usize, &&str)| Token { text: text.to_string(), position, ..Token::default() };
//! let sequence = Sequence { name: "line 1".into(), decoder: tokens.iter().enumerate().map(token).collect(), ..Sequence::default() };
//! let writer = CaptureWriter::in_memory(CapturePlan::new(model, vec![sequence]))?;
//! let one_hot = |shift: usize| (0..16).map(|i| f32::from(i % 4 + shift == i / 4)).collect::<Vec<f32>>();
//! writer.write(Slot::Query { attention, layer: 0 }, 0, &one_hot(1))?;
//! writer.write(Slot::Key { attention, layer: 0 }, 0, &one_hot(0))?;
//! writer.write(Slot::Value { attention, layer: 0 }, 0, &one_hot(0))?;
//! writer.commit(&[0])?;
//!
//! let scores = score_heads(&writer.finish()?, &ScoreList::builtin(), &ScoreParams::default(), &())?;
//! let previous = scores[0].get(&ScoreId::PREVIOUS).unwrap();
//! assert!(previous.value > 0.999);
//! assert!((previous.chance - (1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0) / 3.0).abs() < 1e-9); // rows that see 2, 3 and 4 keys
//! let labels = head_labels(&scores[0], &ScoreList::builtin(), &Rules::default());
//! assert_eq!(labels[0].role, Role::PREVIOUS);
//! assert!(labels[0].reason.starts_with("1.00 of attention goes to the previous token (chance 0.36; 3 rows)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod concepts;
mod error;
pub mod heads;
mod steps;
pub mod training;

pub use attn_core;
pub use ndarray;

pub use attn_core::Rng;
pub use error::{Error, Result};

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
