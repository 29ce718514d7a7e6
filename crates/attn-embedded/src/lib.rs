#![cfg_attr(all(feature = "data", feature = "models"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "data", feature = "models")),
    doc = "Five small models of our own training, with text and images. The features `data` and `models` add them."
)]

#[cfg(feature = "data")]
mod data;
#[cfg(feature = "data")]
mod model;

/// What opens the models, and the type of their checkpoints.
#[cfg(all(feature = "data", feature = "models"))]
pub use attn_models;

#[cfg(feature = "data")]
pub use data::{IMAGES, SENTENCES_CONLLU, SENTIMENT_LOG, dates, sentences};
#[cfg(feature = "data")]
pub use model::{DATES, EmbeddedModel, SENTIMENT, SENTIMENT_EPOCHS, TEXT_DECODER, TEXT_ENCODER, VISION, all, find};
