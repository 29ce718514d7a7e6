//! Leaders: one pass that replaces points near one another by their mean, so that Ward's method has fewer points.
//!
//! The first point leads; each further one joins the nearest leader within a radius, or leads itself (Hartigan,
//! *Clustering Algorithms*, 1975, chapter 3).

use attn_core::{Progress, progress::step};
use ndarray::{Array2, ArrayView2, Axis};

use super::{
    Partition,
    kmeans::means,
    points::{Frame, check},
    ward::ward,
};
use crate::{Error, Rng};

/// Points whose nearest neighbors give the default radius.
const SAMPLE: usize = 1_000;

/// Result of [`leaders`].
#[derive(Debug, Clone, PartialEq)]
pub struct Leaders {
    /// The leader of each point.
    pub partition: Partition,
    /// The mean of each group, `[group, dimension]`.
    pub centroids: Array2<f32>,
    /// The number of points of each group.
    pub sizes: Vec<usize>,
    /// The radius used.
    pub radius: f64,
}

/// Groups points, `[point, dimension]`, that lie within `radius` of a leader.
///
/// Without a radius it is the median distance to the nearest of all points, over 1,000 points drawn by `seed`. Time grows
/// with points times leaders, and the result depends on the order of the points.
///
/// ```
/// use attn_analyze::concepts::leaders;
/// use ndarray::array;
///
/// let groups = leaders(array![[0.0_f32], [1.0], [10.0], [11.0]].view(), Some(2.0), 0, &())?;
/// assert_eq!(groups.partition.labels(), [0, 0, 1, 1]);
/// assert_eq!(groups.centroids, array![[0.5], [10.5]]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without points, [`Error::NotFinite`], [`Error::Project`] for a coordinate that is too large,
/// [`Error::Parameter`] for a radius that is negative or not a number, a cancellation.
pub fn leaders(
    points: ArrayView2<'_, f32>,
    radius: Option<f64>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Leaders, Error> {
    check(points)?;
    let frame = Frame::of(points);
    let radius = match radius {
        Some(radius) if radius >= 0.0 && radius.is_finite() => radius,
        Some(radius) => {
            return Err(Error::Parameter {
                name: "radius",
                expected: "0 or more".into(),
                found: radius.to_string(),
            });
        }
        None => typical_distance(&frame, points, seed),
    };
    const BLOCK: usize = 512;
    let limit = radius * radius;
    let mut of: Vec<usize> = Vec::with_capacity(points.nrows());
    let mut leading: Vec<usize> = Vec::new();
    for start in (0..points.nrows()).step_by(BLOCK) {
        step(progress, "leaders", start, points.nrows())?;
        let rows = start..points.nrows().min(start + BLOCK);
        let block = points.slice(ndarray::s![rows.clone(), ..]);
        // Leaders of earlier blocks by a product of matrices, those of this block one by one.
        let earlier = leading.len();
        let known = frame.nearest(block, None, points.select(Axis(0), &leading).view(), |_| None);
        for (row, known) in rows.zip(known) {
            let mut best = known.unwrap_or((0, f64::INFINITY));
            for (at, &other) in leading.iter().enumerate().skip(earlier) {
                let distance = distance_between(points, row, other);
                if distance < best.1 {
                    best = (at, distance);
                }
            }
            if best.1 <= limit {
                of.push(best.0);
            } else {
                of.push(leading.len());
                leading.push(row);
            }
        }
    }
    step(progress, "leaders", points.nrows(), points.nrows())?;
    let partition = Partition::new(&of);
    let sizes = partition.members().iter().map(Vec::len).collect();
    Ok(Leaders {
        centroids: means(points, &partition),
        partition,
        sizes,
        radius,
    })
}

/// Leaders, then [`ward`] on their means, each counting for its points.
///
/// # Errors
/// As [`leaders`] and [`ward`]; [`Error::Parameter`] if there are fewer leaders than `clusters`: choose a smaller radius.
pub fn leaders_ward(
    points: ArrayView2<'_, f32>,
    clusters: usize,
    radius: Option<f64>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Partition, Error> {
    let leaders = leaders(points, radius, seed, progress)?;
    let tree = ward(leaders.centroids.view(), Some(&leaders.sizes), progress)?;
    let groups = tree.cut(clusters)?;
    let leader = leaders.partition.of().iter();
    Ok(Partition::with_noise(leader.map(|leader| groups.cluster((*leader)?))))
}

/// The median distance of a sample to the nearest other point.
fn typical_distance(frame: &Frame, points: ArrayView2<'_, f32>, seed: u64) -> f64 {
    let sample = Rng::new(seed, &[]).sample(points.nrows(), SAMPLE);
    let chosen = points.select(Axis(0), &sample);
    let found = frame.nearest(chosen.view(), None, points, |row| Some(sample[row]));
    let mut nearest: Vec<f64> = found
        .into_iter()
        .flatten()
        .map(|(_, distance)| distance.sqrt())
        .collect();
    nearest.sort_unstable_by(f64::total_cmp);
    nearest.get(nearest.len() / 2).copied().unwrap_or(0.0)
}

fn distance_between(points: ArrayView2<'_, f32>, a: usize, b: usize) -> f64 {
    points
        .row(a)
        .iter()
        .zip(points.row(b))
        .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2))
        .sum()
}
