#![doc = include_str!("../README.md")]

mod attributes;
pub mod change;
mod checkpoints;
mod coloring;
mod contrast;
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
mod placed;
mod plots;
mod points;
mod prediction;
pub mod pruning;
mod regions;
mod report;
mod rollout;
mod rows;
mod selection;
mod sequence;
pub mod source;
mod study;
mod subset;
pub mod summary;
pub mod training;
mod trust;
mod values;
mod weighting;

pub use {attn_analyze, attn_core, attn_models, attn_project, attn_render};

pub use attn_core::{
    ColumnKind, Sequence, SequenceColumn, Side, TokenColumn,
    text::{Dataset, TextParams},
};
pub use attributes::TokenAttribute;
pub use checkpoints::{AtCheckpoint, Checkpoints, HeadMovement};
pub use contrast::{Contrast, HeadContrast, read_again};
pub use decoding::{Decoder, Decoding, DecodingParams};
pub use error::Error;
pub use experiment::{Ablation, Edges, ExperimentParams, KnockOut, ablate, intervene, knock_out};
pub use filter::TokenFilter;
pub use gallery::{Gallery, GalleryParams};
pub use placed::{PlacedTokens, Placer, Placers, read_typed};
pub use points::Place;
pub use prediction::class_prediction;
pub use report::{HeadReport, Report};
pub use rollout::SequenceRollout;
pub use selection::{Attended, NearPoint, SelectionAttention, SelectionSummary, Trait};
pub use sequence::SwitchedOff;
pub use source::{Opened, Source};
pub use study::Study;
pub use subset::Subset;
pub use summary::{HeadSummary, Page, Summary, SummaryParams};
pub use values::LayerValues;
pub use weighting::Weighting;
