//! Normalisation, neighbours and projections of query and key clouds, and how far to trust them.
//!
//! A head's queries and keys are brought into one space without changing its attention ([`Normalization`]), laid
//! out in two or three dimensions ([`project()`]), and the picture is judged ([`quality()`],
//! [`distance_correlation`]). [`atlas()`] does all that for every head of a capture. Each step stands alone: any
//! matrix of points can be projected.
//!
//! Beyond one picture: new points are placed into one that is there ([`FittedProjection`]), some points are laid out
//! alone ([`project_selection`]), several states of the same points become comparable ([`project_aligned`]), and the
//! heads that are looked at come first and are kept on disk ([`atlas_with`]). Things of which only distances are known get places
//! too ([`Mds`]). What makes a picture doubtful is in its
//! [`Warning`]s.
//!
//! ```
//! use attn_project::{Dims, Method, Metric, QualityParams, UmapParams, project, quality};
//!
//! let points = ndarray::Array2::from_shape_fn((90, 5), |(i, j)| (i % 3) as f32 * 4.0 + ((i * (j + 2)) as f32).sin());
//! let umap = Method::Umap(UmapParams::default());
//! let embedding = project(points.view(), &umap, Dims::Two, Metric::Euclidean, 0, &())?;
//! let found = quality(points.view(), embedding.points.view(), Metric::Euclidean, &QualityParams::default(), &())?;
//! assert!(found.trustworthiness.value > 0.8);
//! # Ok::<(), attn_project::Error>(())
//! ```
//!
//! # Which method
//! | method | shows | does not show | time, 10,112 x 64, one core |
//! |---|---|---|---|
//! | [`Method::Pca`] | directions, spread, large distances | neighbourhoods: groups overlap | 0.01 s |
//! | [`Method::Umap`] | groups and how they touch | how near within a group, size of groups | 1 s |
//! | [`Method::Tsne`] | neighbourhoods, most faithfully | distance between groups, size of groups | 4 s |
//!
//! Neighbours are searched exactly up to [`Neighbors::EXACT_UP_TO`] points, in time that grows with their square;
//! beyond that, [`Neighbors::search`] misses about 3 of 1,000. t-SNE and UMAP grow about linearly after that search. Above 20,000 points [`quality()`] scores a sample.
//!
//! # When not to use it
//! - To read numbers off a t-SNE or UMAP picture: lengths, areas and densities there are the method's, not the data's.
//!   Count in the space, with [`Neighbors`].
//! - For clusters: cluster the points, not the picture.
//! - For heads whose [`DistanceCorrelation`] is near 0: *near* does not mean *attended* there, whatever the picture
//!   suggests.
//!
//! # Promises
//! - The same seed gives the same bits on any number of threads. Another processor may round differently.
//! - NaN, infinity, wrong shapes and impossible parameters are an [`Error`] that names the place; results are finite.
//! - Work that can last takes an [`attn_core::Progress`] and can be cancelled.

mod aligned;
mod atlas;
mod cloud;
mod correlation;
mod covariance;
mod eigen;
mod error;
mod linalg;
mod mds;
mod metric;
mod neighbors;
mod normalize;
mod pca;
mod projection;
mod quality;
mod rng;
mod selection;
mod transform;
mod tsne;
mod umap;
mod warnings;

pub use aligned::{AlignedProjection, Alignment, Movement, Procrustes, project_aligned};
pub use atlas::{
    AtlasCache, AtlasOptions, AtlasParams, HeadPoints, HeadProjection, HeadSteps, Priority, atlas, atlas_steps,
    atlas_with, head_points, project_head, project_head_steps, projected_points, sequence_sample,
};
pub use cloud::{HeadCloud, SequenceRows};
pub use correlation::{DistanceCorrelation, KeySet, distance_correlation};
pub use error::Error;
pub use mds::Mds;
pub use metric::Metric;
pub use ndarray;
pub use neighbors::{ApproximateParams, NeighborSearch, Neighbors};
pub use normalize::{Normalization, ScaleChoice};
pub use pca::Pca;
pub use projection::{Dims, Embedding, Method, project, project_with};
pub use quality::{PointQuality, Quality, QualityParams, Score, quality};
pub use selection::project_selection;
pub use transform::FittedProjection;
pub use tsne::{TsneParams, TsneProblem, TsneStep};
pub use umap::{Start, UmapParams};
pub use warnings::Warning;
