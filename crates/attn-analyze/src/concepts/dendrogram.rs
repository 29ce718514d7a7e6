//! Trees of hierarchical clustering. A tree holds a partition for every number of clusters.

use std::collections::BTreeSet;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

    /// From its steps, lowest first, as they were saved: the two parts of each and its height.
    ///
    /// # Errors
    /// [`Error::Shape`] for steps that do not join all points into one, each part once; [`Error::Parameter`] for a height below
    /// that of a part.
    pub fn from_steps(points: usize, steps: impl IntoIterator<Item = (usize, usize, f64)>) -> Result<Self, Error> {
        let (mut merges, mut used): (Vec<Merge>, BTreeSet<usize>) = (Vec::new(), BTreeSet::new());
        for (left, right, height) in steps {
            let next = points.saturating_add(merges.len());
            if left == right || left.max(right) >= next || !used.insert(left) || !used.insert(right) {
                return Err(Error::Shape {
                    place: format!("dendrogram, step {}", merges.len()),
                    expected: format!("two parts below {next} that no other step has"),
                    found: format!("{left} and {right}"),
                });
            }
            let of = |node: usize| match node.checked_sub(points).and_then(|at| merges.get(at)) {
                Some(merge) => (merge.size, merge.height),
                None => (1, 0.0),
            };
            let (a, b) = (of(left), of(right));
            let least = a.1.max(b.1);
            if !(height.is_finite() && height >= least) {
                return Err(Error::Parameter {
                    name: "height of a step",
                    expected: format!("at least {least}, that of its parts"),
                    found: height.to_string(),
                });
            }
            merges.push(Merge {
                left: left.min(right),
                right: left.max(right),
                height,
                size: a.0 + b.0,
            });
        }
        if merges.len() + 1 != points {
            return Err(Error::Shape {
                place: "dendrogram".into(),
                expected: format!("{} steps for {points} points", points.saturating_sub(1)),
                found: merges.len().to_string(),
            });
        }
        Ok(Self { points, merges })
    }

    /// The number of points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// The steps, lowest first: one fewer than points.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// Height of the union at a node; 0 for a point.
    pub fn height(&self, node: usize) -> f64 {
        let merge = node.checked_sub(self.points).and_then(|at| self.merges.get(at));
        merge.map_or(0.0, |merge| merge.height)
    }

    /// The partition into `clusters` clusters, numbered by their first point.
    ///
    /// # Errors
    /// [`Error::Parameter`] for 0 clusters and for more than points.
    pub fn cut(&self, clusters: usize) -> Result<Partition, Error> {
        Ok(self.top(clusters)?.partition)
    }

    /// As [`cut`](Self::cut), with the tree of the clusters.
    ///
    /// ```
    /// use attn_analyze::concepts::ward;
    /// use ndarray::array;
    ///
    /// let tree = ward(array![[0.0_f32], [10.0], [1.0], [30.0]].view(), None, &())?;
    /// let top = tree.top(3)?;
    /// assert_eq!(top.partition.labels(), [0, 1, 0, 2]);
    /// assert_eq!(top.nodes, [4, 1, 3, 5, 6]); // 4 is the first union
    /// let first = top.tree.merges()[0];
    /// assert_eq!((first.left, first.right), (0, 1)); // clusters, not points
    /// # Ok::<(), attn_analyze::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`cut`](Self::cut).
    pub fn top(&self, clusters: usize) -> Result<Top, Error> {
        if !(1..=self.points).contains(&clusters) {
            return Err(Error::Parameter {
                name: "clusters",
                expected: format!("1 to the {} points", self.points),
                found: clusters.to_string(),
            });
        }
        let first_open = 2 * self.points - clusters;
        Ok(self.opened(|node| node >= first_open))
    }

    /// The tree with only some of its unions open. A closed union is one cluster, with all unions inside it. For browsing a tree,
    /// one branch deeper than the others.
    pub fn opened(&self, open: impl Fn(usize) -> bool) -> Top {
        let points = self.points;
        // From the last step down, every node learns which cluster it is in, or that it is a part of an open union.
        let mut cluster: Vec<usize> = (0..points + self.merges.len()).collect();
        let mut exposed = vec![false; cluster.len()];
        if let Some(root) = exposed.last_mut() {
            *root = true;
        }
        for (at, merge) in self.merges.iter().enumerate().rev() {
            let node = points + at;
            exposed[node] &= open(node);
            for part in [merge.left, merge.right] {
                if exposed[node] {
                    exposed[part] = true;
                } else {
                    cluster[part] = cluster[node];
                }
            }
        }
        let partition = Partition::new(&cluster[..points]);
        let mut nodes = vec![0; partition.count()];
        for (number, &node) in partition.of().iter().zip(&cluster) {
            if let Some(number) = *number {
                nodes[number] = node;
            }
        }
        // Clusters become the points of the tree of clusters.
        let mut renamed = vec![0; cluster.len()];
        nodes
            .iter()
            .enumerate()
            .for_each(|(number, &node)| renamed[node] = number);
        let clusters = nodes.len();
        let mut merges: Vec<Merge> = Vec::with_capacity(clusters - 1);
        for (at, merge) in self.merges.iter().enumerate().filter(|(at, _)| exposed[points + at]) {
            let (a, b) = (renamed[merge.left], renamed[merge.right]);
            renamed[points + at] = nodes.len();
            nodes.push(points + at);
            let size = |node: usize| node.checked_sub(clusters).map_or(1, |at| merges[at].size);
            merges.push(Merge {
                left: a.min(b),
                right: a.max(b),
                height: merge.height,
                size: size(a) + size(b),
            });
        }
        let tree = Self {
            points: clusters,
            merges,
        };
        Top { partition, nodes, tree }
    }
}

/// The upper part of a [`Dendrogram`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// Its clusters, numbered by their first point.
    pub partition: Partition,
    /// The node in the whole tree of each cluster, then of each step of `tree`.
    pub nodes: Vec<usize>,
    /// How the clusters are joined; its points are the clusters.
    pub tree: Dendrogram,
}
