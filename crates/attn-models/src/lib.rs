//! Transformer families with taps: run a checkpoint, and record or replace what happens inside.
//!
//! ```no_run
//! use attn_models::{Capturer, Checkpoint};
//!
//! let capturer = Capturer::load(&Checkpoint::open("bert-base-uncased")?)?;
//! let capture = capturer.capture_lines(["The cat sat on the mat.", "She sells sea shells."])?;
//! # let attention = attn_models::attn_core::Attention::EncoderSelf;
//! let weights = capture.layer_attention(attention, 2, 0)?; // [head, query, key]
//! # Ok::<(), attn_models::Error>(())
//! ```
//!
//! A [`Checkpoint`] is a Hugging Face folder, or its files in memory. [`Model::load`] builds the family that its
//! `config.json` names. [`Model::forward`] runs a batch of [`Inputs`] and calls a [`Tap`] at every [`Site`]: queries,
//! keys, values, scores, attention, head outputs, hidden states. A tap records what it is given, or replaces it.
//! Everything that works on one family works on all, because it is a tap. A [`Capturer`] is the tap that keeps all of a
//! data set.
//!
//! | module | what it is for |
//! |---|---|
//! | [`capture`] | captures of texts, pairs and images, in memory or in a folder |
//! | [`families`], [`blocks`] | the families, how a host adds its own, and what they are built from |
//! | [`tap`], [`record`] | sites, taps, and the tap that keeps tensors |
//! | [`layout`] | which sequence and token a row and a column of a tensor is about |
//! | [`intervene`] | edits as data: ablation, steering, noise, attention edits, knock-outs, patches |
//! | [`control`] | control models: untrained, shuffled positions, position-free |
//! | [`generate`] | greedy search, sampling, beam search, with everything that was weighed |
//! | [`attribute`] | gradients, relevance, head importance, logit lens |
//! | [`text`], [`images`], [`sounds`], [`tokenizer`] | what prepares input |
//! | [`checkpoint`], [`model`] | the files of a model; its inputs and outputs |
//! | [`pooling`] | one vector per text, as sentence-transformers makes it |
//! | [`towers`] | texts compared with images: CLIP, SigLIP |
//!
//! The same code trains: [`Weights::initialize`] makes fresh variables under the published names,
//! [`Weights::finetune`] starts from a checkpoint.
//!
//! # Features
//! `cuda`, `metal`, `mkl` and `accelerate` are passed through to candle. Default: the CPU, in pure Rust. `hub` adds
//! `Checkpoint::download`, which gets a model by its name; without it nothing here opens a connection.

mod adapter;
mod array;
pub mod attribute;
pub mod blocks;
pub mod capture;
pub mod checkpoint;
mod config;
pub mod control;
#[cfg(feature = "hub")]
pub mod download;
mod error;
pub mod families;
mod files;
mod formats;
pub mod generate;
mod graph;
mod head_weights;
mod hub;
pub mod images;
pub mod inputs;
pub mod intervene;
mod json;
pub mod layout;
pub mod model;
pub mod pooling;
mod random;
pub mod record;
pub mod sounds;
pub mod start;
mod store;
pub mod tap;
mod tensor_file;
pub mod tokenizer;
pub mod towers;
mod turns;
mod vocabulary;
mod weight_files;
mod weights;

/// The data model whose types appear in this crate's interface, and with it the array library.
pub use attn_core;
/// Readers of text, whose lines a [`Capturer`] takes.
pub use attn_core::text;
/// The tensor library whose types appear in this crate's interface.
pub use candle_core as candle;
/// The image library whose types appear in this crate's interface.
pub use image;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use self::{
    array::to_array,
    capture::Capturer,
    checkpoint::Checkpoint,
    error::{Error, Result},
    inputs::Inputs,
    model::{Gradients, Model, Problem},
    tap::{Point, Site, Tap},
    tokenizer::Tokenizer,
    weights::Weights,
};
