//! The tree that hierarchical clustering grows, and the partitions it holds: one for every number of clusters.

use serde::{Deserialize, Serialize};

use super::{Partition, ward::Join};
use crate::Error;

/// One step of a [`Dendrogram`]. Nodes below the number of points are points; node `points + i` is the union made by step
/// `i`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Merge {
    /// The part with the lower node.
    pub left: usize,
    /// The other part.
    pub right: usize,
    /// `sqrt(2 |A||B| / (|A|+|B|)) |cA - cB|`, as SciPy and fastcluster give it: the distance, for two points.
    pub height: f64,
    /// Points (rows) in the union.
    pub size: usize,
}

/// All steps from single points to one cluster, by height.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dendrogram {
    points: usize,
    merges: Vec<Merge>,
}

impl Dendrogram {
    /// Sorts joins, which may come in any order that has parts before their union.
    pub(super) fn new(points: usize, joins: Vec<Join>) -> Self {
        // Rounding may put a union a hair below its parts.
        let mut costs: Vec<f64> = Vec::with_capacity(joins.len());
        for &(a, b, cost) in &joins {
            let of = |node: usize| node.checked_sub(points).map_or(0.0, |at| costs[at]);
            costs.push(cost.max(of(a)).max(of(b)));
        }
        let mut order: Vec<usize> = (0..joins.len()).collect();
        order.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        let mut place = vec![0; joins.len()];
        for (at, &join) in order.iter().enumerate() {
            place[join] = at;
        }
        let mut merges: Vec<Merge> = Vec::with_capacity(joins.len());
        for &join in &order {
            let (a, b, _) = joins[join];
            let node = |node: usize| node.checked_sub(points).map_or(node, |at| points + place[at]);
            let size = |node: usize| node.checked_sub(points).map_or(1, |at| merges[at].size);
            let (a, b) = (node(a), node(b));
            merges.push(Merge {
                left: a.min(b),
                right: a.max(b),
                height: (2.0 * costs[join]).sqrt(),
                size: size(a) + size(b),
            });
        }
        Self { points, merges }
    }

    /// How many points it is of.
    pub fn points(&self) -> usize {
        self.points
    }

    /// The steps, lowest first: one fewer than points.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The partition into `clusters` clusters, numbered by their first point.
    ///
    /// # Errors
    /// [`Error::Setting`] for 0 clusters and for more than points.
    pub fn cut(&self, clusters: usize) -> Result<Partition, Error> {
        Ok(self.cut_nodes(clusters)?.0)
    }

    /// As [`cut`](Self::cut), with the node of each cluster: its place in the tree.
    ///
    /// # Errors
    /// As [`cut`](Self::cut).
    pub fn cut_nodes(&self, clusters: usize) -> Result<(Partition, Vec<usize>), Error> {
        if !(1..=self.points).contains(&clusters) {
            return Err(Error::Setting {
                name: "clusters",
                expected: format!("1 to the {} points", self.points),
                found: clusters.to_string(),
            });
        }
        let joined = self.points - clusters;
        // From the last step down, every node learns the topmost union it is in.
        let mut top: Vec<usize> = (0..self.points + joined).collect();
        for at in (0..joined).rev() {
            let node = top[self.points + at];
            top[self.merges[at].left] = node;
            top[self.merges[at].right] = node;
        }
        top.truncate(self.points);
        let partition = Partition::new(&top);
        let mut nodes = vec![0; partition.count()];
        for (&cluster, &node) in partition.of().iter().zip(&top) {
            nodes[cluster] = node;
        }
        Ok((partition, nodes))
    }
}
