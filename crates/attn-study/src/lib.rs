//! A capture, the projections of its heads and its columns as one object that gives plots and tables; the one-page summary
//! of a model; experiments on its heads.
//!
//! ```no_run
//! use attn_models::{Capturer, text::read_lines};
//! use attn_project::AtlasParams;
//! use attn_render::{ViewState, write_plot};
//! use attn_study::Study;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
//! let capture = capturer.capture_lines(read_lines("sentences.txt")?)?;
//! let study = Study::project(capture, &AtlasParams::default(), &())?;
//! let state = ViewState::default();
//! write_plot(&study.matrix(&state)?, &state, "matrix.png")?;
//! # Ok(())
//! # }
//! ```

mod attributes;
mod coloring;
mod contrast;
mod error;
pub mod experiment;
mod filter;
pub mod gallery;
mod guest;
mod hover;
mod patches;
mod picture;
mod plots;
mod points;
mod prediction;
mod report;
mod rollout;
mod sequence;
pub mod source;
mod steps;
mod study;
mod subset;
pub mod summary;
mod trust;
mod values;
mod weighting;

pub use {attn_analyze, attn_core, attn_models, attn_project, attn_render};

pub use attn_core::{
    ColumnKind, SequenceColumn, TokenColumn,
    text::{Dataset, TextParams},
};
pub use attributes::TokenAttribute;
pub use contrast::{Contrast, HeadContrast, read_again};
pub use error::Error;
pub use experiment::{Ablation, Edges, ExperimentParams, KnockOut, ablate, intervene, knock_out};
pub use filter::TokenFilter;
pub use gallery::{Gallery, GalleryParams};
pub use guest::{Guest, Placer, Placers, read_typed};
pub use points::Place;
pub use prediction::class_prediction;
pub use report::{HeadReport, Report};
pub use rollout::SequenceRollout;
pub use source::{Opened, Source};
pub use steps::{AtStep, HeadMovement, Steps};
pub use study::Study;
pub use subset::Subset;
pub use summary::{HeadSummary, Page, Summary, SummaryParams};
pub use values::LayerValues;
pub use weighting::Weighting;
