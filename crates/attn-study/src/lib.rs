#![doc = include_str!("../README.md")]

pub mod attributes;
pub mod change;
pub mod checkpoints;
mod coloring;
pub mod contrast;
pub mod decoding;
mod error;
pub mod experiment;
pub mod explain;
mod filter;
mod folder;
pub mod gallery;
mod hover;
mod image;
mod patches;
pub mod placed;
mod plots;
mod points;
pub mod prediction;
pub mod pruning;
mod regions;
pub mod report;
pub mod rollout;
mod rows;
pub mod selection;
pub mod sequence;
pub mod source;
mod study;
pub mod subset;
pub mod summary;
pub mod training;
mod trust;
pub mod values;
mod weighting;

pub use {attn_analyze, attn_core, attn_models, attn_project, attn_render};

pub use decoding::Decoder;
pub use error::{Error, Result};
pub use filter::TokenFilter;
pub use points::Place;
pub use source::{Opened, Source};
pub use study::Study;
pub use weighting::Weighting;
