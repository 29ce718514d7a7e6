//! The views: each takes plain data and a [`View`](crate::View) and gives a [`Scene`](crate::Scene), with title,
//! legend and caption, fit for a paper. No view knows a capture or a model.
//!
//! Ids of points and tokens count the queries first, then the keys.

mod aggregate;
mod axes;
mod beam;
mod crowd;
mod data_map;
mod dendrogram;
mod flow;
mod head;
mod head_grid;
mod head_layout;
mod head_map;
mod histogram;
mod image;
mod legend;
mod lines;
mod map;
mod matrix;
pub mod overlay;
mod overview;
mod page;
mod pictograms;
mod points;
mod rollout;
mod sentence;
mod tables;
mod trajectories;

pub use aggregate::Aggregate;
pub use beam::{BeamNode, BeamTree};
pub use data_map::DataMap;
pub use dendrogram::{Dendrogram, DendrogramLeaf, DendrogramMerge};
pub use flow::{CrossFlow, covering};
pub use head::{Head, HeadSequence};
pub use head_grid::{HeadCells, HeadGrid};
pub use head_map::{HeadMap, HeadMapPart};
pub use histogram::Histogram;
pub use image::{Flows, ImageAttention};
pub use lines::{Lines, Series};
pub use map::{ClusterMap, MapCluster};
pub use matrix::{Matrix, MatrixPanel};
pub use overview::{Overview, OverviewHead};
pub use points::{ColorBy, Coordinates, ValueKind};
pub use rollout::Rollout;
pub use sentence::{Sentence, SentenceToken};
pub use trajectories::{Trajectories, Trajectory};
