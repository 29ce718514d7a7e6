//! The door for methods of clustering: the built-in ones, those of linfa, or a host's own.

use attn_core::Progress;
use ndarray::ArrayView2;

use super::{Dendrogram, KMeansParams, Partition, Reachability, k_means, leaders_ward, ward};
use crate::Error;

/// A method that divides points into clusters.
///
/// ```
/// use attn_analyze::{Error, concepts::{Clusterer, Clustering, Partition}, attn_core::Progress};
/// use ndarray::{ArrayView2, array};
///
/// /// Points by the sign of their first coordinate.
/// struct Sign;
///
/// impl Clusterer for Sign {
///     fn name(&self) -> &str { "sign" }
///     fn cluster(&self, points: ArrayView2<'_, f32>, _: usize, _: &dyn Progress) -> Result<Clustering, Error> {
///         let side = points.rows().into_iter().map(|point| usize::from(point[0] > 0.0));
///         Ok(Partition::new(&side.collect::<Vec<_>>()).into())
///     }
/// }
///
/// let found = Sign.cluster(array![[-1.0_f32], [2.0], [-3.0]].view(), 2, &())?;
/// assert_eq!(found.partition.labels(), [0, 1, 0]);
/// # Ok::<(), Error>(())
/// ```
pub trait Clusterer: Send + Sync {
    /// Name in tables and files.
    fn name(&self) -> &str;

    /// The most clusters that it can find; `None`, the default, for any number. A number that nobody asked for is cut to it.
    fn most_clusters(&self) -> Option<usize> {
        None
    }

    /// Divides points, `[point, dimension]`, into `clusters` clusters. A method that finds the number by itself ignores it.
    ///
    /// # Errors
    /// Those of the method, a cancellation.
    fn cluster(
        &self,
        points: ArrayView2<'_, f32>,
        clusters: usize,
        progress: &dyn Progress,
    ) -> Result<Clustering, Error>;
}

/// Result of a [`Clusterer`].
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// The clusters.
    pub partition: Partition,
    /// The tree over all points, of methods that grow one.
    pub tree: Option<Dendrogram>,
    /// Per point the clusters it is partly in, and its shares of them, largest first; empty for methods whose points are in one
    /// cluster. Shares below 0.01 are left out.
    pub membership: Vec<Vec<(usize, f32)>>,
    /// The order of the points by density, of methods that find one.
    pub reachability: Option<Reachability>,
}

impl From<Partition> for Clustering {
    fn from(partition: Partition) -> Self {
        Self {
            partition,
            tree: None,
            membership: Vec::new(),
            reachability: None,
        }
    }
}

/// [`ward`], cut into the clusters. The only built-in method with a tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ward;

impl Clusterer for Ward {
    fn name(&self) -> &str {
        "Ward"
    }

    fn cluster(
        &self,
        points: ArrayView2<'_, f32>,
        clusters: usize,
        progress: &dyn Progress,
    ) -> Result<Clustering, Error> {
        let tree = ward(points, None, progress)?;
        let cut = tree.cut(clusters)?;
        Ok(Clustering {
            tree: Some(tree),
            ..cut.into()
        })
    }
}

/// [`k_means`].
#[derive(Debug, Clone, Default)]
pub struct KMeansClusterer {
    /// Settings, but for the number of clusters.
    pub params: KMeansParams,
    /// Points per cluster in a mini-batch; `None`, the default, takes all points.
    pub batch_per_cluster: Option<usize>,
}

impl Clusterer for KMeansClusterer {
    fn name(&self) -> &str {
        match self.batch_per_cluster {
            None => "k-means",
            Some(_) => "k-means in mini-batches",
        }
    }

    fn cluster(
        &self,
        points: ArrayView2<'_, f32>,
        clusters: usize,
        progress: &dyn Progress,
    ) -> Result<Clustering, Error> {
        let batch = self.batch_per_cluster.map(|points| points.saturating_mul(clusters));
        let params = KMeansParams {
            clusters,
            batch: batch.or(self.params.batch),
            ..self.params.clone()
        };
        Ok(k_means(points, &params, progress)?.partition.into())
    }
}

/// [`leaders_ward`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LeadersWard {
    /// Radius of a leader; `None`, the default, takes the median distance to the nearest point.
    pub radius: Option<f64>,
    /// Seed of the sample that gives the radius. Default 0.
    pub seed: u64,
}

impl Clusterer for LeadersWard {
    fn name(&self) -> &str {
        "leaders + Ward"
    }

    fn cluster(
        &self,
        points: ArrayView2<'_, f32>,
        clusters: usize,
        progress: &dyn Progress,
    ) -> Result<Clustering, Error> {
        Ok(leaders_ward(points, clusters, self.radius, self.seed, progress)?.into())
    }
}
