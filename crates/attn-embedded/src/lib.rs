//! Five small models of our own training, with text and images to run them on.
//!
//! They give a program something to show within a minute, and tests a known ground. `examples/train` trained them from
//! scratch; the `README.md` beside each says on what data, how long and with which accuracy.
//!
//! Every model is a constant of its own: a binary holds only those that it names.
//!
//! ```
//! # #[cfg(all(feature = "data", feature = "models"))] {
//! use attn_models::Model;
//!
//! let model = Model::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
//! assert_eq!(model.info().heads().count(), 16);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `data` (default) holds the files, without it the crate is empty; `models` (default) adds
//! `EmbeddedModel::checkpoint`.

#[cfg(feature = "data")]
mod data;
#[cfg(feature = "data")]
mod model;

#[cfg(feature = "data")]
pub use data::{IMAGES, SENTENCES_CONLLU, SENTIMENT_LOG, dates, sentences};
#[cfg(feature = "data")]
pub use model::{DATES, EmbeddedModel, SENTIMENT, SENTIMENT_EPOCHS, TEXT_DECODER, TEXT_ENCODER, VISION, all, find};
