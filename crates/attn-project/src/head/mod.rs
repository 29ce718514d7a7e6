//! Queries and keys of one head: brought into one space with the attention unchanged, and asked whether near means
//! attended, in that space and in a layout of it.

mod cloud;
pub(crate) mod correlation;
pub(crate) mod normalize;
pub(crate) mod plane;
mod scale;

pub use self::{
    cloud::{HeadCloud, SequenceRows},
    correlation::{DistanceCorrelation, KeySet, distance_correlation},
    normalize::{Normalization, ScaleChoice},
    plane::{PlaneScore, plane_score},
};
