//! Queries and keys of one head: brought into one space with the attention unchanged, and asked whether near means
//! attended.

mod cloud;
pub(crate) mod correlation;
pub(crate) mod normalize;

pub use self::{
    cloud::{HeadCloud, SequenceRows},
    correlation::{DistanceCorrelation, KeySet, distance_correlation, spearman},
    normalize::{Normalization, ScaleChoice},
};
