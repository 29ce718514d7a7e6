//! OPTICS: an order of points in which dense regions are valleys, for clusters of any density.
//!
//! Ankerst, Breunig, Kriegel and Sander, *OPTICS: Ordering Points To Identify the Clustering Structure*, SIGMOD 1999.

use attn_core::{Progress, progress::step};
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Clusterer, Clustering, Partition,
    points::{Frame, check},
};
use crate::Error;

/// Points whose distances are computed at a time.
const BLOCK: usize = 32;
/// Cuts that are tried for a number of clusters.
const CUTS: usize = 200;

/// Points in the order in which OPTICS reaches them. A valley of [`reachability`](Self::reachability) is a cluster, and valleys
/// within valleys are clusters within it: the reachability plot shows all densities at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reachability {
    /// The points in order.
    pub order: Vec<usize>,
    /// By place in the order, how far the point is from those before it: the distance to the nearest of them, or its core distance
    /// if that is more. `None` for the first point.
    pub reachability: Vec<Option<f64>>,
    /// By point, its core distance: to its `min_points`-th neighbor, itself included.
    pub core: Vec<f64>,
}

/// Orders points, `[point, dimension]`, by OPTICS without a limit on distances. `min_points`, itself included, make the surroundings
/// of a point dense. Time grows with the square of the points; distances are those of single precision.
///
/// ```
/// use attn_analyze::concepts::optics;
/// use ndarray::array;
///
/// let found = optics(array![[0.0_f32], [1.0], [9.0], [10.0], [2.0]].view(), 2, &())?;
/// assert_eq!(found.order, [0, 1, 4, 2, 3]);
/// let rounded: Vec<_> = found.reachability.iter().map(|reach| reach.map(f64::round)).collect();
/// assert_eq!(rounded, [None, Some(1.0), Some(1.0), Some(7.0), Some(1.0)]);
/// assert_eq!(found.cut(2.0).labels(), [0, 0, 1, 1, 0]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without points, [`Error::NotFinite`], [`Error::Project`] for a coordinate that is too large,
/// [`Error::Parameter`] for fewer than 2 neighbors or more than points, a cancellation.
pub fn optics(points: ArrayView2<'_, f32>, min_points: usize, progress: &dyn Progress) -> Result<Reachability, Error> {
    const STAGE: &str = "OPTICS";
    check(points)?;
    let count = points.nrows();
    if min_points < 2 || min_points > count.max(2) {
        return Err(Error::Parameter {
            name: "min_points",
            expected: format!("2 to the {count} points"),
            found: min_points.to_string(),
        });
    }
    let frame = Frame::of(points);
    let placed = frame.placed(points);
    let mut core = Vec::with_capacity(count);
    for start in (0..count).step_by(BLOCK) {
        step(progress, STAGE, start / 2, count)?;
        let rows: Vec<usize> = (start..count.min(start + BLOCK)).collect();
        let mut distances = frame.distances(points, &placed, &rows);
        core.par_extend(distances.par_iter_mut().map(|distances| {
            let at = (min_points - 1).min(distances.len() - 1);
            distances.select_nth_unstable_by(at, f64::total_cmp);
            distances[at].sqrt()
        }));
    }
    let mut reach = vec![f64::INFINITY; count];
    let mut left: Vec<usize> = (0..count).collect();
    let (mut order, mut reachability) = (Vec::with_capacity(count), Vec::with_capacity(count));
    while let Some(next) = (0..left.len()).min_by(|&a, &b| reach[left[a]].total_cmp(&reach[left[b]])) {
        if order.len() % BLOCK == 0 {
            step(progress, STAGE, count / 2 + order.len() / 2, count)?;
        }
        // Points that are left stay in their order: the first of equally near ones is next.
        let point = left.remove(next);
        order.push(point);
        reachability.push(Some(reach[point]).filter(|reach| reach.is_finite()));
        let distances = frame.distances(points, &placed, &[point]).remove(0);
        for &other in &left {
            reach[other] = reach[other].min(distances[other].sqrt().max(core[point]));
        }
    }
    step(progress, STAGE, count, count)?;
    Ok(Reachability {
        order,
        reachability,
        core,
    })
}

impl Reachability {
    /// The clusters of DBSCAN with this radius, up to the points at the border of two clusters: valleys of the plot below a line.
    pub fn cut(&self, radius: f64) -> Partition {
        let mut of = vec![None; self.order.len()];
        let mut clusters = 0;
        for (&point, reach) in self.order.iter().zip(&self.reachability) {
            let far = reach.is_none_or(|reach| reach > radius);
            if far && self.core[point] <= radius {
                clusters += 1;
            } else if far {
                continue;
            }
            of[point] = Some(clusters);
        }
        Partition::with_noise(of)
    }

    /// The radius whose cut has the number of clusters that is nearest to `clusters`; of several the one with least noise. 0 without
    /// points.
    pub fn radius_for(&self, clusters: usize) -> f64 {
        let mut heights: Vec<f64> = self
            .core
            .iter()
            .copied()
            .chain(self.reachability.iter().flatten().copied())
            .collect();
        heights.sort_unstable_by(f64::total_cmp);
        heights.dedup();
        let every = heights.len().div_ceil(CUTS).max(1);
        let fit = |&radius: &f64| {
            let cut = self.cut(radius);
            (cut.count().abs_diff(clusters), cut.noise())
        };
        let best = heights.into_iter().step_by(every).min_by_key(fit);
        best.unwrap_or(0.0)
    }
}

/// [`optics`], cut where the number of clusters is nearest to what is asked for. Points between clusters are noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpticsClusterer {
    /// Points that make the surroundings of a point dense, itself included. Default 5.
    pub min_points: usize,
    /// The radius of the cut. Default `None`: by the number of clusters.
    pub radius: Option<f64>,
}

impl Default for OpticsClusterer {
    fn default() -> Self {
        Self {
            min_points: 5,
            radius: None,
        }
    }
}

impl Clusterer for OpticsClusterer {
    fn name(&self) -> &str {
        "OPTICS"
    }

    fn cluster(
        &self,
        points: ArrayView2<'_, f32>,
        clusters: usize,
        progress: &dyn Progress,
    ) -> Result<Clustering, Error> {
        let found = optics(points, self.min_points, progress)?;
        let partition = found.cut(self.radius.unwrap_or_else(|| found.radius_for(clusters)));
        if partition.count() == 0 {
            return Err(Error::Clustering {
                method: self.name().to_owned(),
                reason: "all points are noise at this radius".into(),
            });
        }
        Ok(Clustering {
            reachability: Some(found),
            ..partition.into()
        })
    }
}
