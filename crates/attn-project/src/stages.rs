//! Names of the stages that a [`Progress`](attn_core::Progress) of this crate hears of.
//!
//! | call | stages, in their order |
//! |---|---|
//! | [`Projector::fit`](crate::Projector::fit) with PCA | [`PCA`] |
//! | with t-SNE | [`NEIGHBORS`], [`PCA`], [`TSNE`] |
//! | with UMAP | [`NEIGHBORS`], [`SPECTRAL_START`] or [`PCA`], [`UMAP`] |
//! | with MDS | [`MDS`] |
//! | [`Projector::fit_aligned`](crate::Projector::fit_aligned) | as above for every frame; UMAP: [`ALIGNED_UMAP`] |
//! | [`Neighbors::approximate`](crate::Neighbors::approximate) | [`CELLS`], [`RECALL`], [`NEIGHBORS`] |
//! | a search on a GPU | [`NEIGHBORS`], [`DISTANCES`] |
//! | [`quality()`](crate::quality::quality) | [`QUALITY`] |
//! | [`FittedProjection::transform`](crate::FittedProjection::transform) | [`PLACEMENT`] |
//! | [`atlas()`](crate::atlas::atlas) and its siblings | [`HEADS`] alone, whatever runs inside a head |
//!
//! Above [`Neighbors::EXACT_UP_TO`](crate::Neighbors::EXACT_UP_TO) points a projection's neighbors are those of the
//! approximate search, with its stages.

/// Principal components, also as the start of another method.
pub const PCA: &str = "PCA";
/// Nearest neighbors of all points.
pub const NEIGHBORS: &str = "neighbors";
/// Cells of the approximate neighbor search.
pub const CELLS: &str = "cells";
/// Exact neighbors of a sample, to adjust and judge the approximate search.
pub const RECALL: &str = "recall";
/// Distances of neighbors that another machine found.
pub const DISTANCES: &str = "distances";
/// Iterations of t-SNE.
pub const TSNE: &str = "t-SNE";
/// Eigenvectors of the neighbor graph, the start of UMAP.
pub const SPECTRAL_START: &str = "spectral start";
/// Epochs of UMAP.
pub const UMAP: &str = "UMAP";
/// Epochs of several UMAPs that are optimized together.
pub const ALIGNED_UMAP: &str = "aligned UMAP";
/// Steps of multidimensional scaling.
pub const MDS: &str = "map of distances";
/// Scores of points.
pub const QUALITY: &str = "quality";
/// New points in an existing projection.
pub const PLACEMENT: &str = "placement";
/// Heads of a capture.
pub const HEADS: &str = "heads";
