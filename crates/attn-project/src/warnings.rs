//! Warnings: what a reader should know before believing a layout, found from the points and their neighbor graph.
//!
//! A warning is no failure: the layout is there and finite, but shows less than it seems to.

use std::collections::HashMap;

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::{Method, Neighbors, method::FitInput, metric::Kernel};

/// Nearest neighbors whose graph tells the groups of a cloud apart. Umap-learn and scikit-learn build theirs from
/// 5 to 15; fewer and even one normal cloud falls into pieces.
pub(crate) const GROUPING: usize = 5;
/// Share of duplicates below which there is no warning.
const FEW_DUPLICATES: f32 = 0.05;

/// A reason to doubt a layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// The neighbor graph of the method falls into pieces: how these lie to each other in the layout is chance.
    Pieces {
        /// Number of connected components, at least 2.
        count: usize,
        /// Points of the largest.
        largest: usize,
        /// Points of the smallest.
        smallest: usize,
    },
    /// Groups that nothing joins to the rest have fewer points than the perplexity: t-SNE then asks them to be near
    /// strangers too, and they may not show.
    PerplexityHidesGroups {
        /// The perplexity used, the smallest of several.
        perplexity: f32,
        /// Connected components of the graph of the five nearest neighbors with fewer points than that.
        groups: usize,
        /// Points of the smallest.
        smallest: usize,
    },
    /// There are too few points for the perplexity asked for: a third of the other points is the most.
    PerplexityReduced {
        /// The perplexity asked for.
        asked: f32,
        /// The perplexity used.
        used: f32,
    },
    /// There are too few points for the neighborhood asked for, which counts the point itself.
    NeighborsReduced {
        /// Size of the neighborhood asked for.
        asked: usize,
        /// Size used.
        used: usize,
    },
    /// Many points equal another, or one point is there so often that its copies know only each other.
    Duplicates {
        /// Share of the points that equal at least one other, from 0 to 1.
        share: f32,
        /// How often the most frequent point is there.
        largest: usize,
    },
    /// Rows of zeros, which have no direction and are equally far from everything under the cosine.
    ZeroVectors {
        /// How many.
        count: usize,
    },
    /// What a method of a host's has to say.
    Other(String),
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pieces {
                count,
                largest,
                smallest,
            } => write!(
                f,
                "the neighbor graph falls into {count} pieces of {smallest} to {largest} points: how they lie to each other means nothing"
            ),
            Self::PerplexityHidesGroups {
                perplexity,
                groups,
                smallest,
            } => match groups {
                1 => write!(
                    f,
                    "perplexity {perplexity} is above the size of a separate group of {smallest} points: it may not show"
                ),
                _ => write!(
                    f,
                    "perplexity {perplexity} is above the size of {groups} separate groups, the smallest of {smallest} points: they may not show"
                ),
            },
            Self::PerplexityReduced { asked, used } => {
                write!(f, "perplexity {used} instead of {asked}: there are too few points")
            }
            Self::NeighborsReduced { asked, used } => {
                write!(
                    f,
                    "neighborhoods of {used} instead of {asked}: there are too few points"
                )
            }
            Self::Duplicates { share, largest } => write!(
                f,
                "{:.0} % of the points equal another, one of them {largest} times",
                100.0 * share
            ),
            Self::ZeroVectors { count } => {
                write!(
                    f,
                    "{count} rows of zeros have no direction: their cosine distances are all 1"
                )
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// All warnings about a layout: of its neighbor graph, of the method, of the points. None without a neighbor table.
pub(crate) fn of(method: &Method, input: &FitInput<'_>) -> Vec<Warning> {
    let Some(table) = input.neighbors else {
        return method.warnings(input);
    };
    let width = method.neighbors(table.len()).min(table.k());
    let mut found = Vec::from_iter(pieces(table, width));
    found.extend(method.warnings(input));
    let (share, largest) = duplicates(input.points);
    if share >= FEW_DUPLICATES || largest > width {
        found.push(Warning::Duplicates { share, largest });
    }
    if table.metric().kernel() == Kernel::Cosine {
        found.extend(zero_vectors(input.points));
    }
    found
}

fn pieces(table: &Neighbors, width: usize) -> Option<Warning> {
    let sizes = components(table, width);
    match sizes.as_slice() {
        [largest, .., smallest] => Some(Warning::Pieces {
            count: sizes.len(),
            largest: *largest,
            smallest: *smallest,
        }),
        _ => None,
    }
}

fn zero_vectors(points: ArrayView2<'_, f32>) -> Option<Warning> {
    let rows = points.rows().into_iter();
    let count = rows.filter(|row| row.iter().all(|&x| x == 0.0)).count();
    (count > 0).then_some(Warning::ZeroVectors { count })
}

/// Sizes of the connected components of the graph of the first `width` neighbors, edges taken both ways; largest
/// first. Union-find with path halving (Tarjan and van Leeuwen, J. ACM 31, 1984).
pub(crate) fn components(neighbors: &Neighbors, width: usize) -> Vec<usize> {
    let mut parents: Vec<u32> = (0..neighbors.len() as u32).collect();
    fn root(parents: &mut [u32], mut i: u32) -> u32 {
        while parents[i as usize] != i {
            parents[i as usize] = parents[parents[i as usize] as usize];
            i = parents[i as usize];
        }
        i
    }
    for i in 0..neighbors.len() {
        for &j in &neighbors.indices(i)[..width] {
            let (a, b) = (root(&mut parents, i as u32), root(&mut parents, j));
            // The lower index stays, so that the result does not depend on the order of the edges.
            parents[a.max(b) as usize] = a.min(b);
        }
    }
    let mut sizes = vec![0usize; neighbors.len()];
    for i in 0..neighbors.len() {
        let top = root(&mut parents, i as u32);
        sizes[top as usize] += 1;
    }
    sizes.retain(|&size| size > 0);
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// The share of rows that equal another, and how often the most frequent row is there.
fn duplicates(points: ArrayView2<'_, f32>) -> (f32, usize) {
    let mut counts: HashMap<Vec<u32>, usize> = HashMap::with_capacity(points.nrows());
    // -0 counts as 0.
    let bits = |row: ArrayView1<'_, f32>| row.iter().map(|&x| (x + 0.0).to_bits()).collect::<Vec<u32>>();
    for row in points.rows() {
        *counts.entry(bits(row)).or_default() += 1;
    }
    let copies: usize = counts.values().filter(|&&count| count > 1).sum();
    let largest = counts.values().copied().max().unwrap_or(0);
    (copies as f32 / points.nrows().max(1) as f32, largest)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{
        Metric, Projector,
        pca::Pca,
        rng::Rng,
        tsne::{Tsne, TsneParams},
        umap::{Umap, UmapParams},
    };

    /// Groups of the given sizes, far apart on a line of 100 units.
    fn groups(sizes: &[usize]) -> Array2<f32> {
        let mut rng = Rng::new(1, 1);
        let place: Vec<usize> = sizes.iter().enumerate().flat_map(|(g, &size)| vec![g; size]).collect();
        Array2::from_shape_fn((place.len(), 3), |(i, c)| {
            rng.normal() as f32 + if c == 0 { 100.0 * place[i] as f32 } else { 0.0 }
        })
    }

    fn found(points: &Array2<f32>, method: impl Into<Method>, metric: Metric) -> Vec<Warning> {
        let projector = Projector::new(method).metric(metric);
        projector.fit(points.view(), &()).unwrap().warnings
    }

    fn quick(perplexity: f32) -> Tsne {
        Tsne::new(TsneParams {
            perplexity,
            exaggerated_iterations: 5,
            iterations: 5,
            ..TsneParams::default()
        })
        .unwrap()
    }

    #[test]
    fn a_cloud_in_one_piece_gives_none() {
        assert_eq!(found(&groups(&[200]), quick(30.0), Metric::EUCLIDEAN), []);
        assert_eq!(found(&groups(&[5]), Pca, Metric::EUCLIDEAN), []);
    }

    #[test]
    fn pieces_and_groups_below_the_perplexity() {
        let points = groups(&[80, 60, 12]);
        // 15 neighbors a point: only the smallest group reaches out.
        assert_eq!(
            found(&points, quick(5.0), Metric::EUCLIDEAN),
            [Warning::Pieces {
                count: 2,
                largest: 80,
                smallest: 72
            }]
        );
        // 60: every group reaches the others; the group of 12 points is below the perplexity.
        assert_eq!(
            found(&points, quick(20.0), Metric::EUCLIDEAN),
            [Warning::PerplexityHidesGroups {
                perplexity: 20.0,
                groups: 1,
                smallest: 12
            }]
        );
        let umap = Umap::new(UmapParams {
            epochs: Some(3),
            neighbors: 10,
            ..UmapParams::default()
        })
        .unwrap();
        assert_eq!(
            found(&points, umap, Metric::EUCLIDEAN),
            [Warning::Pieces {
                count: 3,
                largest: 80,
                smallest: 12
            }]
        );
    }

    #[test]
    fn too_few_points() {
        let points = groups(&[10]);
        assert_eq!(
            found(&points, quick(30.0), Metric::EUCLIDEAN),
            [Warning::PerplexityReduced { asked: 30.0, used: 3.0 }]
        );
        let umap = Umap::new(UmapParams {
            epochs: Some(3),
            ..UmapParams::default()
        })
        .unwrap();
        assert_eq!(
            found(&points, umap, Metric::EUCLIDEAN),
            [Warning::NeighborsReduced { asked: 15, used: 10 }]
        );
    }

    #[test]
    fn duplicates_and_zeros() {
        let mut points = groups(&[200]);
        for i in 0..20 {
            points.row_mut(i).fill(0.0);
        }
        assert_eq!(
            found(&points, quick(30.0), Metric::COSINE),
            [
                // A row of zeros has only other such rows as its nearest.
                Warning::PerplexityHidesGroups {
                    perplexity: 30.0,
                    groups: 1,
                    smallest: 20
                },
                Warning::Duplicates {
                    share: 0.1,
                    largest: 20
                },
                Warning::ZeroVectors { count: 20 }
            ]
        );
        assert_eq!(
            found(&points, quick(30.0), Metric::EUCLIDEAN),
            [Warning::Duplicates {
                share: 0.1,
                largest: 20
            }]
        );
    }

    #[test]
    fn they_read_as_sentences_and_serialize() {
        let warning = Warning::PerplexityReduced { asked: 30.0, used: 3.0 };
        assert_eq!(
            warning.to_string(),
            "perplexity 3 instead of 30: there are too few points"
        );
        let json = serde_json::to_string(&warning).unwrap();
        assert_eq!(serde_json::from_str::<Warning>(&json).unwrap(), warning);
    }
}
