//! k-means, whole or in mini-batches, for more points than a dendrogram is practical for.
//!
//! Lloyd's iterations (*Least squares quantization in PCM*, IEEE Transactions on Information Theory 1982) from greedy k-means++
//! (Arthur and Vassilvitskii, *k-means++*, SODA 2007, section 5: of several draws the best) or from a cut of Ward's tree;
//! mini-batches after Sculley (*Web-scale k-means clustering*, WWW 2010).

use attn_core::{Progress, progress::step};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Partition,
    points::{Frame, Placed, check, equal_rows},
    ward::ward,
};
use crate::{Error, Rng};

/// Centers that k-means starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KMeansStart {
    /// Points far from one another, drawn at random. The default.
    #[default]
    PlusPlus,
    /// The means of a cut of Ward's tree: better than any draw, at what [`ward`] takes.
    Ward,
}

/// Settings of [`k_means`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KMeansParams {
    /// Clusters, `K`. Default 600, the setting of the published work on latent concepts.
    pub clusters: usize,
    /// Passes at most. Default 50.
    pub iterations: usize,
    /// A pass that lowers the within-cluster sum of squares by less than this share is the last. Default 1e-4.
    pub tolerance: f64,
    /// Points that each step looks at; `None`, the default, takes all of them (Lloyd). For millions of points, about ten
    /// times `clusters` is enough; `iterations` then counts steps.
    pub batch: Option<usize>,
    /// The first centers, of a sample of 20 points per cluster (at least 10,000). Default: drawn.
    pub start: KMeansStart,
    /// Draws per center, of which the one that leaves the smallest sum of squares is kept. Default `None`: 2 + ln `clusters`, rounded
    /// down.
    pub trials: Option<usize>,
    /// Same seed, same clusters. Default 0.
    pub seed: u64,
}

impl Default for KMeansParams {
    fn default() -> Self {
        Self {
            clusters: 600,
            iterations: 50,
            tolerance: 1e-4,
            batch: None,
            start: KMeansStart::PlusPlus,
            trials: None,
            seed: 0,
        }
    }
}

/// Result of [`k_means`].
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// The clusters, as many as asked for.
    pub partition: Partition,
    /// The mean of each cluster, `[cluster, dimension]`.
    pub centroids: Array2<f32>,
    /// Sum of the squared distances to the means.
    pub inertia: f64,
    /// Passes, or steps of mini-batches.
    pub iterations: usize,
}

/// Divides points, `[point, dimension]`, into clusters around their means. No cluster is empty: one that loses its points
/// starts again from the point that is farthest from its own mean.
///
/// ```
/// use attn_analyze::concepts::{KMeansParams, k_means};
/// use ndarray::array;
///
/// let points = array![[0.0_f32], [1.0], [10.0], [12.0]];
/// let found = k_means(points.view(), &KMeansParams { clusters: 2, ..KMeansParams::default() }, &())?;
/// assert_eq!(found.partition.labels(), [0, 0, 1, 1]);
/// assert_eq!(found.inertia, 0.5 + 2.0);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without points, [`Error::NotFinite`], [`Error::Project`] for a coordinate that is too large,
/// [`Error::Parameter`] for 0 clusters or more than there are different points, for 0 iterations, for an empty batch and for 0
/// trials, a cancellation.
pub fn k_means(points: ArrayView2<'_, f32>, options: &KMeansParams, progress: &dyn Progress) -> Result<KMeans, Error> {
    const STAGE: &str = "k-means";
    check(points)?;
    let setting = |name, expected: String, found: usize| {
        Err(Error::Parameter {
            name,
            expected,
            found: found.to_string(),
        })
    };
    if !(1..=points.nrows()).contains(&options.clusters) {
        return setting(
            "clusters",
            format!("1 to the {} points", points.nrows()),
            options.clusters,
        );
    }
    if options.iterations == 0 {
        return setting("iterations", "at least 1".into(), 0);
    }
    if options.batch == Some(0) {
        return setting("batch", "at least 1".into(), 0);
    }
    if options.trials == Some(0) {
        return setting("trials", "at least 1".into(), 0);
    }
    let mut rng = Rng::new(options.seed, &[0]);
    let (mut centroids, frame) = start(points, options, &mut rng, progress)?;
    let batch = options.batch.filter(|&batch| batch < points.nrows());
    // All passes compare the same points; mini-batches look at all of them only once.
    let placed = batch.is_none().then(|| frame.placed(points));
    let mut iterations = 0;
    if let Some(batch) = batch {
        let mut counts = vec![0_usize; centroids.nrows()];
        for at in 0..options.iterations {
            step(progress, STAGE, at, options.iterations)?;
            let rows: Vec<usize> = (0..batch).map(|_| rng.below(points.nrows())).collect();
            let chosen = points.select(Axis(0), &rows);
            for (row, (cluster, _)) in assign(&frame, chosen.view(), None, &centroids).into_iter().enumerate() {
                counts[cluster] += 1;
                let rate = 1.0 / counts[cluster] as f64;
                let mut centroid = centroids.row_mut(cluster);
                centroid.zip_mut_with(&chosen.row(row), |c, &x| *c += rate * (f64::from(x) - *c));
            }
            iterations = at + 1;
        }
    } else {
        let mut before = f64::INFINITY;
        for at in 0..options.iterations {
            step(progress, STAGE, at, options.iterations)?;
            let assigned = fill(&frame, points, placed.as_ref(), &mut centroids, progress)?;
            let inertia: f64 = assigned.iter().map(|&(_, distance)| distance).sum();
            let clusters = assigned.iter().map(|&(cluster, _)| Some(cluster));
            move_to_means(points, clusters, &mut centroids);
            iterations = at + 1;
            if before - inertia <= options.tolerance * inertia {
                break;
            }
            before = inertia;
        }
    }
    let names: Vec<usize> = fill(&frame, points, placed.as_ref(), &mut centroids, progress)?
        .into_iter()
        .map(|(cluster, _)| cluster)
        .collect();
    let partition = Partition::new(&names);
    let means = means_of(points, &partition);
    let inertia = within(points, &partition, &means);
    step(progress, STAGE, options.iterations, options.iterations)?;
    Ok(KMeans {
        partition,
        centroids: means.mapv(|x| x as f32),
        inertia,
        iterations,
    })
}

/// The mean of each cluster, `[cluster, dimension]`, summed in double precision.
///
/// Noise and rows beyond the partition's points are left out.
pub fn means(points: ArrayView2<'_, f32>, partition: &Partition) -> Array2<f32> {
    means_of(points, partition).mapv(|x| x as f32)
}

fn means_of(points: ArrayView2<'_, f32>, partition: &Partition) -> Array2<f64> {
    let mut means = Array2::zeros((partition.count(), points.ncols()));
    move_to_means(points, partition.of().iter().copied(), &mut means);
    means
}

/// Sum of the squared distances to the cluster's mean.
fn within(points: ArrayView2<'_, f32>, partition: &Partition, means: &Array2<f64>) -> f64 {
    let distance = |(row, cluster): (usize, &Option<usize>)| {
        let terms = points.row(row).into_iter().zip(means.row((*cluster)?));
        Some(terms.map(|(&x, &mean)| (f64::from(x) - mean).powi(2)).sum::<f64>())
    };
    partition.of().iter().enumerate().filter_map(distance).sum()
}

/// Sets each centroid that has points to their mean.
fn move_to_means(
    points: ArrayView2<'_, f32>,
    of: impl IntoIterator<Item = Option<usize>>,
    centroids: &mut Array2<f64>,
) {
    let mut sums = Array2::<f64>::zeros(centroids.dim());
    let mut counts = vec![0_usize; centroids.nrows()];
    for (row, cluster) in points.rows().into_iter().zip(of) {
        let Some(cluster) = cluster else { continue };
        counts[cluster] += 1;
        sums.row_mut(cluster).zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
    }
    for (cluster, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
        centroids
            .row_mut(cluster)
            .zip_mut_with(&sums.row(cluster), |c, &sum| *c = sum / count as f64);
    }
}

/// The nearest centroid of each point and the squared distance to it; the first of equally near ones.
fn assign(
    frame: &Frame,
    points: ArrayView2<'_, f32>,
    placed: Option<&Placed>,
    centroids: &Array2<f64>,
) -> Vec<(usize, f64)> {
    let nearest = frame.nearest(points, placed, centroids.view(), |_| None);
    nearest.into_iter().map(|found| found.unwrap_or((0, 0.0))).collect()
}

/// As [`assign`], after centroids without points were moved: to the points farthest from their own, one each.
///
/// A centroid that was moved stands on a point, which nothing takes from it, so no more are moved than there are. There are
/// always enough places: at least as many different points as centroids is what [`start`] makes sure of.
fn fill(
    frame: &Frame,
    points: ArrayView2<'_, f32>,
    placed: Option<&Placed>,
    centroids: &mut Array2<f64>,
    progress: &dyn Progress,
) -> Result<Vec<(usize, f64)>, Error> {
    let mut assigned = assign(frame, points, placed, centroids);
    for at in 0..centroids.nrows() {
        let mut counts = vec![0_usize; centroids.nrows()];
        assigned.iter().for_each(|&(cluster, _)| counts[cluster] += 1);
        let empty: Vec<usize> = (0..counts.len()).filter(|&cluster| counts[cluster] == 0).collect();
        if empty.is_empty() {
            break;
        }
        step(progress, "empty clusters", at, centroids.nrows())?;
        let mut far: Vec<usize> = (0..points.nrows()).filter(|&row| assigned[row].1 > 0.0).collect();
        far.sort_unstable_by(|&a, &b| assigned[b].1.total_cmp(&assigned[a].1).then(a.cmp(&b)));
        let mut places: Vec<usize> = Vec::with_capacity(empty.len());
        for row in far {
            // Equal points are equally far from the same centroid: they stand beside each other, or among ties.
            let same = |&&other: &&usize| assigned[other].1 == assigned[row].1;
            let mut ties = places.iter().rev().take_while(same);
            if !ties.any(|&other| points.row(other) == points.row(row)) {
                places.push(row);
            }
            if places.len() == empty.len() {
                break;
            }
        }
        for (&cluster, &row) in empty.iter().zip(&places) {
            centroids
                .row_mut(cluster)
                .zip_mut_with(&points.row(row), |c, &x| *c = f64::from(x));
        }
        assigned = assign(frame, points, placed, centroids);
    }
    Ok(assigned)
}

/// The first centroids, and the frame of the points.
///
/// They come from a sample: enough to find the clusters, and it costs clusters x sample. Where that holds too few
/// different points, they come from all.
fn start(
    points: ArrayView2<'_, f32>,
    options: &KMeansParams,
    rng: &mut Rng,
    progress: &dyn Progress,
) -> Result<(Array2<f64>, Frame), Error> {
    let clusters = options.clusters;
    let frame = Frame::of(points);
    let sample = rng.sample(points.nrows(), clusters.saturating_mul(20).max(10_000));
    let sample = points.select(Axis(0), &sample);
    if options.start == KMeansStart::Ward {
        let few = equal_rows(sample.view()).len() < clusters;
        let whole = if few { points.view() } else { sample.view() };
        if equal_rows(whole).len() >= clusters {
            let cut = ward(whole, None, progress)?.cut(clusters)?;
            return Ok((means_of(whole, &cut), frame));
        }
    }
    let trials = options.trials.unwrap_or(2 + (clusters as f64).ln() as usize);
    let mut chosen = plus_plus(&frame, sample.view(), clusters, trials, rng, progress)?;
    if chosen.nrows() < clusters && sample.nrows() < points.nrows() {
        chosen = plus_plus(&frame, points, clusters, trials, rng, progress)?;
    }
    if chosen.nrows() < clusters {
        return Err(Error::Parameter {
            name: "clusters",
            expected: format!("1 to the {} different points", chosen.nrows()),
            found: clusters.to_string(),
        });
    }
    Ok((chosen.mapv(f64::from), frame))
}

/// Points far from one another. Some are drawn with a probability that grows with the squared distance to the chosen ones, and the
/// one that leaves the smallest sum of squares is chosen.
fn plus_plus(
    frame: &Frame,
    points: ArrayView2<'_, f32>,
    clusters: usize,
    trials: usize,
    rng: &mut Rng,
    progress: &dyn Progress,
) -> Result<Array2<f32>, Error> {
    let placed = frame.placed(points);
    let mut chosen = vec![rng.below(points.nrows())];
    let mut distances = frame.distances(points, &placed, &chosen).remove(0);
    while chosen.len() < clusters {
        if chosen.len() % 32 == 1 {
            step(progress, "k-means++", chosen.len(), clusters)?;
        }
        let mut total = 0.0;
        let sums: Vec<f64> = distances
            .iter()
            .map(|distance| {
                total += distance;
                total
            })
            .collect();
        if total <= 0.0 {
            break;
        }
        let draw = |_: usize| {
            let at = rng.unit() * total;
            // Rounding may leave a rest beyond the last point; what is at no distance is never drawn.
            let drawn = sums.partition_point(|&sum| sum <= at);
            let there = |row: &usize| distances[*row] > 0.0;
            (drawn..distances.len())
                .find(there)
                .or_else(|| (0..drawn).rev().find(there))
        };
        let drawn: Vec<usize> = (0..trials).filter_map(draw).collect();
        let mut nearest = frame.distances(points, &placed, &drawn);
        let left: Vec<f64> = nearest
            .par_iter_mut()
            .map(|trial| {
                trial
                    .iter_mut()
                    .zip(&distances)
                    .for_each(|(new, &old)| *new = new.min(old));
                trial.iter().sum()
            })
            .collect();
        let best = (0..drawn.len()).min_by(|&a, &b| left[a].total_cmp(&left[b]));
        let Some(best) = best else { break };
        chosen.push(drawn[best]);
        distances = nearest.swap_remove(best);
    }
    Ok(points.select(Axis(0), &chosen))
}
