//! Clustering methods of `linfa-clustering` as [`Clusterer`]s: one with noise, one with overlapping clusters.

use attn_core::{Progress, progress::step};
use attn_project::{
    linfa::{Search, linfa_nn::distance::L2Dist},
    pca::Components,
};
use linfa_clustering::{Dbscan, GaussianMixtureModel};
use linfa_lib::{
    DatasetBase, ParamGuard,
    traits::{Fit, Predict, Transformer},
};
use ndarray::ArrayView2;

use super::{
    Clusterer, Clustering, Partition,
    points::{Frame, check},
};
use crate::{Error, Rng};

/// DBSCAN (Ester et al. 1996): clusters are dense regions, the points between them are noise. It finds the number of
/// clusters by itself. Neighbors come from [`Search`], the exact search of `attn-project`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DbscanClusterer {
    /// Largest Euclidean distance of neighbors, above 0; `None`, the default, takes the median core distance of 1,000 points drawn by
    /// the seed, so that about half of the points are cores.
    pub radius: Option<f32>,
    /// Neighbors that make a point the core of a cluster, at least 2. Default 5.
    pub min_points: usize,
    /// Seed of the sample that gives the radius. Default 0.
    pub seed: u64,
}

impl Default for DbscanClusterer {
    fn default() -> Self {
        Self {
            radius: None,
            min_points: 5,
            seed: 0,
        }
    }
}

impl DbscanClusterer {
    /// With a radius, and 5 neighbors.
    pub fn new(radius: f32) -> Self {
        Self {
            radius: Some(radius),
            ..Self::default()
        }
    }

    /// The median distance of a sample to the point that makes each of it a core, itself included.
    fn typical_radius(&self, points: ArrayView2<'_, f32>) -> f64 {
        let frame = Frame::of(points);
        let placed = frame.placed(points);
        let sample = Rng::new(self.seed, &[]).sample(points.nrows(), SAMPLE);
        let mut cores = Vec::with_capacity(sample.len());
        for rows in sample.chunks(BLOCK) {
            for mut distances in frame.distances(points, &placed, rows) {
                let at = self.min_points.saturating_sub(1).min(distances.len().saturating_sub(1));
                distances.select_nth_unstable_by(at, f64::total_cmp);
                cores.push(distances[at].sqrt());
            }
        }
        cores.sort_unstable_by(f64::total_cmp);
        // Occurrences of one word may have one vector: then the first distance above 0, and any if all points are equal.
        let median = cores.get(cores.len() / 2).copied();
        let radius = median.filter(|&radius| radius > 0.0);
        radius.or(cores.into_iter().find(|&radius| radius > 0.0)).unwrap_or(1.0)
    }
}

impl Clusterer for DbscanClusterer {
    fn name(&self) -> &str {
        "DBSCAN"
    }

    fn cluster(&self, points: ArrayView2<'_, f32>, _: usize, progress: &dyn Progress) -> Result<Clustering, Error> {
        check(points)?;
        step(progress, "DBSCAN", 0, 1)?;
        let radius = match self.radius {
            Some(radius) => f64::from(radius),
            None => self.typical_radius(points),
        };
        // In double precision, where the squares of all numbers that come in fit.
        let params = Dbscan::params_with(self.min_points, L2Dist, Search).tolerance(radius);
        let params = params.check().map_err(|error| Error::Parameter {
            name: "dbscan",
            expected: error.to_string(),
            found: format!("min_points {}, radius {radius}", self.min_points),
        })?;
        let clusters = params.transform(&points.mapv(f64::from));
        step(progress, "DBSCAN", 1, 1)?;
        Ok(Partition::with_noise(clusters).into())
    }
}

/// Points whose distances give the default radius, and how many are looked at in one go.
const SAMPLE: usize = 1_000;
const BLOCK: usize = 32;

/// Covariances of more Gaussians cannot be estimated from the words of a corpus.
const MOST: usize = 100;
/// Least share of a cluster in a point that is told.
const SHARE: f64 = 0.01;

/// A mixture of at most 100 Gaussians with full covariances, fitted by expectation maximization. Each point is in its likeliest
/// cluster, and [`Clustering::membership`] has its shares of all. The seed is linfa's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianMixtureClusterer {
    /// Principal components that points are reduced to first: covariances need many points per dimension. Default 50; `None`
    /// for none.
    pub dims: Option<usize>,
    /// Iterations at most. Default 100.
    pub iterations: u64,
    /// Added to the diagonal of covariances. Default 1e-6.
    pub regularization: f64,
}

impl Default for GaussianMixtureClusterer {
    fn default() -> Self {
        Self {
            dims: Some(50),
            iterations: 100,
            regularization: 1e-6,
        }
    }
}

impl Clusterer for GaussianMixtureClusterer {
    fn name(&self) -> &str {
        "Gaussian mixture"
    }

    fn most_clusters(&self) -> Option<usize> {
        Some(MOST)
    }

    fn cluster(
        &self,
        points: ArrayView2<'_, f32>,
        clusters: usize,
        progress: &dyn Progress,
    ) -> Result<Clustering, Error> {
        const STAGE: &str = "Gaussian mixture";
        check(points)?;
        let most = points.nrows().min(MOST);
        if !(1..=most).contains(&clusters) {
            return Err(Error::Parameter {
                name: "clusters",
                expected: format!("1 to {most} for a mixture of Gaussians"),
                found: clusters.to_string(),
            });
        }
        let reduced = match self.dims {
            Some(dims) if dims < points.ncols() && dims < points.nrows() => {
                Components::fit(points, dims, progress)?.transform(points)?
            }
            _ => points.to_owned(),
        };
        step(progress, STAGE, 0, 1)?;
        let failed = |error: &dyn std::fmt::Display| Error::Clustering {
            method: STAGE.to_owned(),
            reason: error.to_string(),
        };
        let params = GaussianMixtureModel::params(clusters)
            .max_n_iterations(self.iterations)
            .reg_covariance(self.regularization)
            .check()
            .map_err(|error| failed(&error))?;
        let points = DatasetBase::from(reduced.mapv(f64::from));
        let model = params.fit(&points).map_err(|error| failed(&error))?;
        let of: Vec<usize> = model.predict(&points).into_iter().collect();
        let shares = model.predict_proba(points.records());
        step(progress, STAGE, 1, 1)?;
        let partition = Partition::new(&of);
        // Gaussians that are nobody's likeliest are no clusters.
        let mut names = vec![None; clusters];
        of.iter()
            .zip(partition.of())
            .for_each(|(&gaussian, cluster)| names[gaussian] = *cluster);
        let shares_of = |row: ndarray::ArrayView1<'_, f64>| {
            let told = row.iter().zip(&names).filter(|(share, _)| **share >= SHARE);
            let mut shares: Vec<(usize, f32)> = told
                .filter_map(|(&share, name)| Some(((*name)?, share as f32)))
                .collect();
            shares.sort_by(|a, b| b.1.total_cmp(&a.1));
            shares
        };
        Ok(Clustering {
            membership: shares.rows().into_iter().map(shares_of).collect(),
            ..partition.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// Three round clouds of 30 points, and 5 points far from all.
    fn clouds() -> Array2<f32> {
        let mut rng = Rng::new(1, &[]);
        Array2::from_shape_fn((95, 2), |(row, column)| {
            let center = [[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]];
            match row.checked_sub(90) {
                None => (center[row / 30][column] + rng.normal()) as f32,
                Some(far) => (100 * (far + 1)) as f32,
            }
        })
    }

    #[test]
    fn dense_regions_are_clusters_and_the_rest_is_noise() {
        let found = DbscanClusterer::new(3.0)
            .cluster(clouds().view(), 0, &())
            .unwrap()
            .partition;
        assert_eq!((found.count(), found.noise()), (3, 5));
        for cloud in 0..3 {
            assert!(
                found.of()[30 * cloud..30 * (cloud + 1)]
                    .iter()
                    .all(|of| *of == Some(cloud))
            );
        }
        assert!(DbscanClusterer::new(0.0).cluster(clouds().view(), 0, &()).is_err());
    }

    /// Half of the points have 5 neighbors, themselves included, within the radius: counted one by one.
    #[test]
    fn a_radius_is_found_by_itself() {
        let points = clouds();
        let distance = |a: usize, b: usize| {
            let square = |column: usize| (f64::from(points[[a, column]]) - f64::from(points[[b, column]])).powi(2);
            (square(0) + square(1)).sqrt()
        };
        let radius = DbscanClusterer::default().typical_radius(points.view());
        let core = |limit: f64| {
            let dense = |&a: &usize| (0..95).filter(|&b| distance(a, b) <= limit).count() >= 5;
            (0..95).filter(dense).count()
        };
        assert_eq!((core(radius * 0.9999), core(radius * 1.0001)), (47, 48));
        let found = DbscanClusterer::default()
            .cluster(points.view(), 0, &())
            .unwrap()
            .partition;
        assert!(found.count() >= 3 && (90..95).all(|far| found.cluster(far).is_none()));
        // Words of one vector each, three times, and all points in one place.
        let few = Array2::from_shape_fn((12, 1), |(row, _)| (row / 3) as f32);
        assert_eq!(DbscanClusterer::default().typical_radius(few.view()), 1.0);
        let equal = Array2::<f32>::from_elem((20, 3), 7.0);
        let found = DbscanClusterer::default()
            .cluster(equal.view(), 0, &())
            .unwrap()
            .partition;
        assert_eq!((found.count(), found.noise()), (1, 0));
    }

    #[test]
    fn magnitudes_make_no_difference_or_are_refused() {
        for scale in [1.0_f32, 2.0_f32.powi(80), 2.0_f32.powi(-80)] {
            let points = clouds().mapv(|x| x * scale);
            let found = DbscanClusterer::new(3.0 * scale)
                .cluster(points.view(), 0, &())
                .unwrap()
                .partition;
            assert_eq!((found.count(), found.noise()), (3, 5), "{scale}");
        }
        let methods: [&dyn Clusterer; 2] = [&DbscanClusterer::new(1.0), &GaussianMixtureClusterer::default()];
        for method in methods {
            let error = method.cluster(clouds().mapv(|x| x * 1e33).view(), 3, &()).unwrap_err();
            assert!(
                matches!(error, Error::Project(attn_project::Error::TooLarge { .. })),
                "{error}"
            );
        }
    }

    /// Equal points, points on a line, as many clusters as points: a partition or an error.
    #[test]
    fn degenerate_points_do_not_panic() {
        let line = Array2::from_shape_fn((20, 3), |(row, _)| row as f32);
        let equal = Array2::<f32>::from_elem((20, 3), 7.0);
        let far = clouds().slice(ndarray::s![..90, ..]).mapv(|x| x + 3e4);
        let methods: [&dyn Clusterer; 2] = [&DbscanClusterer::new(1.5), &GaussianMixtureClusterer::default()];
        for points in [&line, &equal, &far, &line.slice(ndarray::s![..1, ..]).to_owned()] {
            for method in methods {
                for clusters in [1, 2, 3, 20] {
                    if let Ok(found) = method.cluster(points.view(), clusters, &()) {
                        assert_eq!(found.partition.points(), points.nrows());
                    }
                }
            }
        }
    }

    #[test]
    fn a_mixture_finds_round_clouds() {
        let points = clouds().slice(ndarray::s![..90, ..]).to_owned();
        let method = GaussianMixtureClusterer::default();
        let clustering = method.cluster(points.view(), 3, &()).unwrap();
        let found = clustering.partition;
        let truth = Partition::new(&(0..90).map(|row| row / 30).collect::<Vec<_>>());
        assert!(crate::concepts::adjusted_rand(&found, &truth).unwrap() > 0.95);
        for (shares, cluster) in clustering.membership.iter().zip(found.of()) {
            assert_eq!(Some(shares[0].0), *cluster, "the largest share is that of the cluster");
            assert!((shares.iter().map(|share| share.1).sum::<f32>() - 1.0).abs() < 0.05);
        }
        assert!(method.cluster(points.view(), 101, &()).is_err());
        assert!(method.cluster(points.view(), 0, &()).is_err());
    }
}
