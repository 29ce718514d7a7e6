//! The plots: each holds plain data and implements [`Plot`](crate::Plot). Its scene has title, legend and caption, fit for a
//! paper. No plot knows a capture or a model.
//!
//! A plot is a struct with public fields: what it cannot do without is asked for by `new`, everything else has a default
//! and is set. Large arrays are shared ([`Arc`](std::sync::Arc), [`Texts`], [`Coordinates`]).
//!
//! Ids of points and tokens count the queries first, then the keys.

mod aggregate;
mod beam;
mod data_map;
mod dendrogram;
mod flow;
mod head;
mod head_grid;
mod head_layout;
mod head_map;
mod heat_table;
mod histogram;
mod image;
pub mod kit;
mod line_grid;
mod lines;
mod map;
mod matrix;
pub mod overlay;
mod overview;
mod pictograms;
mod predictions;
mod rollout;
mod scatter;
mod sentence;
mod tables;
mod trajectories;

pub use aggregate::Aggregate;
pub use beam::{BeamNode, BeamSum, BeamTree};
pub use data_map::DataMap;
pub use dendrogram::{Dendrogram, DendrogramLeaf, DendrogramMerge};
pub use flow::{CrossFlow, covering};
pub use head::{Head, HeadSequence, NamedPlace};
pub use head_grid::{HeadCells, HeadGrid, HeadPattern};
pub use head_map::{HeadMap, HeadMapPart};
pub use heat_table::HeatTable;
pub use histogram::Histogram;
pub use image::{Flows, ImageAttention};
pub use kit::{ColorBy, Coordinates, Texts, ValueKind};
pub use line_grid::LineGrid;
pub use lines::{Lines, Series};
pub use map::{ClusterMap, MapCluster};
pub use matrix::{Matrix, MatrixPanel, NOTE_BREAK};
pub use overview::{Overview, OverviewHead};
pub use pictograms::Pictograms;
pub use predictions::{Predicted, PredictedStep, Predictions};
pub use rollout::Rollout;
pub use scatter::Scatter;
pub use sentence::{Sentence, SentenceToken};
pub use tables::TokenOrigin;
pub use trajectories::{Trajectories, Trajectory};
