//! The views: each takes plain data and a [`View`](crate::View) and gives a [`Scene`](crate::Scene), with title,
//! legend and caption, fit for a paper. No view knows a capture or a model.
//!
//! Ids of points and tokens count the queries first, then the keys.

mod head;
mod image;
mod lines;
mod map;
mod matrix;
pub mod overlay;
mod page;
mod points;
mod sentence;

pub use head::{Head, HeadSequence};
pub use image::{Flows, ImageAttention};
pub use lines::{Lines, Series};
pub use map::{ClusterMap, MapCluster};
pub use matrix::{Matrix, MatrixPanel};
pub use points::{ColorBy, Coordinates, ValueKind};
pub use sentence::{Sentence, SentenceToken};
