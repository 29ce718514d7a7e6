//! Latent concepts.

mod dendrogram;
mod kmeans;
mod leaders;
mod partition;
mod ward;

pub use dendrogram::{Dendrogram, Merge};
pub use kmeans::{KMeans, KMeansOptions, k_means, means};
pub use leaders::{Leaders, leaders, leaders_ward};
pub use partition::{Partition, adjusted_rand};
pub use ward::ward;

#[cfg(test)]
mod tests;
