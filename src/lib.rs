//! See what a transformer attends to, across a whole data set.
//!
//! This crate is the front door of the attn SDK. It re-exports the crates that do the work, brings three small
//! [`embedded`] models, and ties the steps together: a [`Study`] is a capture with the projections of its heads, and draws
//! every view of them.
//!
//! ```no_run
//! use attn_sdk::{Study, embedded::Embedded, models, project::AtlasParams, render::{Headless, View}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let capturer = models::Capturer::load(&Embedded::TextEncoder.checkpoint()?)?;
//! let capture = capturer.text(&models::read_lines("sentences.txt")?, None, &())?.capture;
//! let study = Study::project(capture, &AtlasParams::default(), &())?;
//! let view = View::default();
//! let scene = study.matrix(&view, None)?;
//! Headless::new()?.render(&scene, &view, 2.0)?.write_png("matrix.png")?;
//! # Ok(())
//! # }
//! ```
//!
//! | crate | here | what |
//! |---|---|---|
//! | `attn-core` | [`core`] | sequences, captures, attention from Q and K |
//! | `attn-models` | [`models`] | checkpoints, families, taps, capture |
//! | `attn-project` | [`project`] | normalisation, PCA, t-SNE, UMAP, quality |
//! | `attn-project-gpu` | `project_gpu`, with the feature `gpu` | neighbours and t-SNE on the GPU |
//! | `attn-render` | [`render`] | scenes, views, a wgpu renderer |
//! | `attn-analyze` | [`analyze`] | what each head does |

mod coloring;
mod contrast;
mod dataset;
pub mod embedded;
mod error;
mod experiment;
mod filter;
mod guest;
mod hover;
mod patches;
mod picture;
mod plots;
mod points;
mod report;
mod rollout;
mod sequence;
mod steps;
mod study;
mod subset;
mod summary;
mod trust;
mod values;
mod weighting;

pub use attn_analyze as analyze;
pub use attn_core as core;
pub use attn_core::Progress;
pub use attn_models as models;
pub use attn_project as project;
#[cfg(feature = "gpu")]
pub use attn_project_gpu as project_gpu;
pub use attn_render as render;
pub use coloring::{Column, ColumnKind};
pub use contrast::{Contrast, HeadContrast, read_again};
pub use dataset::{DataColumn, DataValues, Dataset};
pub use error::Error;
pub use experiment::{
    Ablation, Distance, Edges, Effect, Estimate, ExperimentOptions, KnockOut, RandomEdges, RandomHeads, Task, ablate,
    intervene, knock_out,
};
pub use filter::TokenFilter;
pub use guest::{Guest, Placer};
pub use points::Place;
pub use report::{HeadReport, Report};
pub use rollout::SequenceRollout;
pub use steps::{HeadMovement, Steps};
pub use study::Study;
pub use subset::Subset;
pub use summary::{AlikeHeads, ChainedHeads, HeadSummary, Likeness, Summary, SummaryOptions, Way};
pub use values::LayerValues;
pub use weighting::Weighting;
