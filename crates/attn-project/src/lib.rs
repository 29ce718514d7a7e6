#![doc = include_str!("../README.md")]
//!
//! # Which method
//! | method | shows | does not show | time, 10,112 x 64, one core |
//! |---|---|---|---|
//! | [`Pca`](pca::Pca) | directions, spread, large distances | neighborhoods: groups overlap | 0.01 s |
//! | [`Umap`](umap::Umap) | groups and how they touch | how near within a group, size of groups | 1 s |
//! | [`Tsne`](tsne::Tsne) | neighborhoods, most faithfully | distance between groups, size of groups | 4 s |
//! | [`AttentionTsne`](tsne::AttentionTsne) | as t-SNE; of a head, queries beside the keys that they attend to | as t-SNE; without links of attention it is t-SNE | 4 s |
//! | [`Mds`](mds::Mds) | all distances alike | neighborhoods in many dimensions | up to 4,096 points |
//!
//! A host's own [`ProjectionMethod`] goes wherever these go, and so does its own [`Distance`](metric::Distance).
//!
//! Neighbors are searched exactly up to [`Neighbors::EXACT_UP_TO`] points, in time that grows with their square;
//! beyond that, [`Neighbors::search`] misses about 3 of 1,000. t-SNE and UMAP grow about linearly after that search.
//! Above 20,000 points [`quality()`](quality::quality) scores a sample.
//!
//! # Modules
//! | module | holds |
//! |---|---|
//! | [`method`], [`pca`], [`tsne`], [`umap`], [`mds`] | methods, and the trait they implement |
//! | [`neighbors`], [`metric`] | neighbor tables and searches; distances |
//! | [`quality`](mod@quality) | trustworthiness, continuity, neighbors kept |
//! | [`head`], [`atlas`](mod@atlas) | queries and keys of one head, and what a layout shows of its attention; every head of a capture |
//! | [`aligned`], [`place`] | comparable layouts of several states; new points in an existing layout |
//! | [`stages`] | names of the stages that progress reports |
#![cfg_attr(
    feature = "linfa",
    doc = "| [`linfa`](mod@linfa) | the search for linfa, and linfa's transformers as methods |"
)]
//!
//! # Promises
//! - The same seed gives the same bits on any number of threads. Another processor, or another optimization level of
//!   the compiler, may round differently.
//! - NaN, infinity, coordinates above 10^33, wrong shapes and impossible parameters are an [`Error`] that names the
//!   place; results are finite.
//! - Work that can last takes an [`attn_core::Progress`] and can be cancelled.

pub mod aligned;
pub mod atlas;
mod digest;
mod eigen;
mod error;
pub mod head;
mod linalg;
#[cfg(feature = "linfa")]
pub mod linfa;
pub mod mds;
pub mod method;
pub mod metric;
pub mod neighbors;
pub mod pca;
pub mod place;
mod projector;
pub mod quality;
mod rng;
pub mod stages;
mod start;
pub mod tsne;
pub mod umap;
mod warnings;

pub use attn_core;
pub use ndarray;
pub use serde_json;

pub use atlas::{AtlasParams, HeadProjection};
pub use error::{Error, Result};
pub use linalg::check_points;
pub use method::{Dims, Embedding, Method, ProjectionMethod};
pub use metric::Metric;
pub use neighbors::Neighbors;
pub use place::FittedProjection;
pub use projector::{Points, Projector};
pub use warnings::Warning;
