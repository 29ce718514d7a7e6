//! See what a transformer attends to, across a whole data set.
//!
//! This crate is the front door of the attn SDK: it re-exports the crates that do the work, each behind a feature.
//!
//! ```no_run
//! use attn_sdk::{Study, embedded, models, project::AtlasParams, render::{ViewState, write_plot}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let capturer = models::Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;
//! let capture = capturer.capture_lines(models::text::read_lines("sentences.txt")?)?;
//! let study = Study::project(capture, &AtlasParams::default())?;
//! let state = ViewState::default();
//! write_plot(&study.matrix(&state)?, &state, "matrix.png")?;
//! # Ok(())
//! # }
//! ```
//!
//! | crate | here | feature | what |
//! |---|---|---|---|
//! | `attn-core` | [`core`] | always | sequences, captures, attention from Q and K |
//! | `attn-models` | [`models`] | `models` | checkpoints, families, taps, capture |
//! | `attn-project` | [`project`] | `project` | normalization, PCA, t-SNE, UMAP, quality |
//! | `attn-project-gpu` | `project_gpu` | `gpu` | neighbors and t-SNE on the GPU |
//! | `attn-analyze` | [`analyze`] | `analyze` | roles of heads, latent concepts, training dynamics |
//! | `attn-render` | [`render`] | `render` | plots, scenes, a wgpu renderer, SVG |
//! | `attn-study` | [`study`] | `study` | a capture with its projections and columns, the summary, experiments |
//! | `attn-embedded` | [`embedded`] | `embedded` (default) | five small models and data |
//! | `attn-egui` | `egui` | `egui` | an egui widget for every plot |
//!
//! `embedded` and `study` are on by default; `study` brings `models`, `project`, `analyze` and `render`. Further features:
//! `hnsw` and `linfa` (hnsw_rs indexes, methods of linfa), `parquet` (examples of a training), `hub` (models downloaded by name),
//! and what models compute on: `cuda`, `metal`, `accelerate`, `mkl`.

pub use attn_core as core;
pub use attn_core::Progress;

#[cfg(feature = "analyze")]
pub use attn_analyze as analyze;
#[cfg(feature = "egui")]
pub use attn_egui as egui;
#[cfg(feature = "embedded")]
pub use attn_embedded as embedded;
#[cfg(feature = "models")]
pub use attn_models as models;
#[cfg(feature = "project")]
pub use attn_project as project;
#[cfg(feature = "gpu")]
pub use attn_project_gpu as project_gpu;
#[cfg(feature = "render")]
pub use attn_render as render;
#[cfg(feature = "study")]
pub use attn_study as study;
#[cfg(feature = "study")]
pub use attn_study::{Decoder, Error, Opened, Place, Source, Study, TokenFilter, Weighting};

/// The examples of the guide for hosts, compiled.
#[cfg(all(doctest, feature = "study"))]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct Embedding;
