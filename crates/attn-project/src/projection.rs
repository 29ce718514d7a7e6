//! One entry point for every projection, and the graph they share.

use attn_core::Progress;
use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    Error, Metric, Neighbors, Pca, TsneParams, UmapParams, Warning,
    linalg::check_finite,
    neighbors, pca,
    rng::Rng,
    tsne::{self, tsne},
    umap::{self, umap},
    warnings::warnings,
};

/// Dimensions of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dims {
    /// The plane.
    #[default]
    Two,
    /// Space, for an orbiting camera.
    Three,
}

impl Dims {
    /// 2 or 3.
    pub fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// How points are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Principal components: linear, so that directions and large distances mean what they say; neighbourhoods
    /// overlap. The metric plays no part.
    Pca,
    /// t-SNE: the most faithful neighbourhoods; sizes of and distances between groups mean little.
    Tsne(TsneParams),
    /// UMAP: fast, tighter groups, somewhat less faithful neighbourhoods.
    Umap(UmapParams),
}

impl Default for Method {
    fn default() -> Self {
        Self::Tsne(TsneParams::default())
    }
}

impl Method {
    /// Its name, as a caption has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pca => "PCA",
            Self::Tsne(_) => "t-SNE",
            Self::Umap(_) => "UMAP",
        }
    }

    /// Neighbours that each of `points` points needs; 0 for PCA.
    pub fn neighbors(&self, points: usize) -> usize {
        match self {
            Self::Pca => 0,
            Self::Tsne(params) => params.neighbors(points),
            Self::Umap(params) => params.neighbors(points),
        }
    }

    /// Revisions of the algorithms that give its coordinates.
    pub(crate) fn revisions(&self) -> Vec<u32> {
        match self {
            Self::Pca => vec![pca::REVISION],
            // The start is that of PCA.
            Self::Tsne(_) => vec![pca::REVISION, neighbors::REVISION, tsne::REVISION],
            Self::Umap(_) => vec![pca::REVISION, neighbors::REVISION, umap::REVISION],
        }
    }

    /// Refuses parameters and points that it cannot work with, as [`project`] does before it begins.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::TooFewPoints`], [`Error::Shape`] without columns, [`Error::NotFinite`].
    pub fn check(&self, points: ArrayView2<'_, f32>) -> Result<(), Error> {
        let needed = match self {
            Self::Pca => 2,
            Self::Tsne(params) => {
                params.check()?;
                4
            }
            Self::Umap(params) => {
                params.check()?;
                4
            }
        };
        if points.nrows() < needed {
            return Err(Error::TooFewPoints {
                what: self.name(),
                needed,
                found: points.nrows(),
            });
        }
        if points.ncols() == 0 {
            return Err(Error::shape(
                "points",
                "at least one column",
                format!("{:?}", points.dim()),
            ));
        }
        check_finite("points", points)
    }
}

/// Coordinates of a picture, and what the method says of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Embedding {
    /// `[point, 2 or 3]`, always finite. The mean is near the origin; the unit is the method's own.
    #[serde(serialize_with = "rows")]
    pub points: Array2<f32>,
    /// t-SNE: the Kullback-Leibler divergence reached (nats).
    pub kl_divergence: Option<f32>,
    /// t-SNE: the perplexity used (the first of several), which is below the one asked for if there are few points.
    pub perplexity: Option<f32>,
    /// PCA: each axis' share of the variance.
    pub explained_variance: Option<Vec<f32>>,
    /// What to know before believing it; empty if nothing was found.
    pub warnings: Vec<Warning>,
}

/// Lays out `points` `[point, dimension]`. The same `seed` gives the same coordinates on any number of threads.
///
/// Few points are no failure: perplexity and neighbourhoods shrink to what the points allow. Equal points give
/// equal or nearly equal coordinates, never NaN.
///
/// ```
/// use attn_project::{Dims, Method, Metric, project};
/// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
/// let embedding = project(points.view(), &Method::default(), Dims::Two, Metric::Euclidean, 0, &())?;
/// assert_eq!(embedding.points.dim(), (60, 2));
///
/// let linear = project(points.view(), &Method::Pca, Dims::Three, Metric::Euclidean, 0, &())?;
/// assert_eq!(linear.explained_variance.unwrap().len(), 3);
/// # Ok::<(), attn_project::Error>(())
/// ```
///
/// # Errors
/// [`Error::TooFewPoints`] below 4 points (PCA: 2), [`Error::NotFinite`], [`Error::Parameter`] (also for a PCA with more
/// dimensions than the points have), [`Error::Shape`] without columns, [`Error::Cancelled`].
pub fn project(
    points: ArrayView2<'_, f32>,
    method: &Method,
    dims: Dims,
    metric: Metric,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Embedding, Error> {
    method.check(points)?;
    match method.neighbors(points.nrows()) {
        0 => linear(points, dims, progress),
        k => project_with(
            points,
            &Neighbors::search(points, k, metric, progress)?,
            method,
            dims,
            seed,
            progress,
        ),
    }
}

/// The same with a neighbour table at hand, which gives the metric and may be wider than needed: find the
/// neighbours once and lay them out with t-SNE and UMAP, in the plane and in space.
///
/// # Errors
/// As [`project`]; also [`Error::Shape`] if the table is of other points, [`Error::PerplexityTooLarge`] or
/// [`Error::Parameter`] if it has too few neighbours.
pub fn project_with(
    points: ArrayView2<'_, f32>,
    neighbors: &Neighbors,
    method: &Method,
    dims: Dims,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Embedding, Error> {
    method.check(points)?;
    check_table(points, neighbors)?;
    let found = warnings(points, Some(neighbors), method);
    match method {
        Method::Pca => linear(points, dims, progress),
        Method::Tsne(params) => {
            let (points, kl) = tsne(points, neighbors, dims, params, seed, progress)?;
            let perplexity = Some(params.effective_perplexity(neighbors.len()));
            Ok(Embedding {
                points,
                kl_divergence: Some(kl),
                perplexity,
                explained_variance: None,
                warnings: found,
            })
        }
        Method::Umap(params) => {
            let points = umap(points, neighbors, dims, params, seed, progress)?;
            Ok(Embedding {
                points,
                kl_divergence: None,
                perplexity: None,
                explained_variance: None,
                warnings: found,
            })
        }
    }
}

/// Refuses a table of other points.
pub(crate) fn check_table(points: ArrayView2<'_, f32>, neighbors: &Neighbors) -> Result<(), Error> {
    if neighbors.len() != points.nrows() {
        return Err(Error::shape(
            "neighbors",
            format!("{} points", points.nrows()),
            neighbors.len(),
        ));
    }
    Ok(())
}

fn linear(points: ArrayView2<'_, f32>, dims: Dims, progress: &dyn Progress) -> Result<Embedding, Error> {
    let pca = Pca::fit(points, dims.count(), progress)?;
    let ratio = pca.explained_variance_ratio().iter().map(|&r| r as f32).collect();
    let points = pca.transform(points)?;
    Ok(Embedding {
        points,
        kl_divergence: None,
        perplexity: None,
        explained_variance: Some(ratio),
        warnings: Vec::new(),
    })
}

/// Principal components of the points, scaled so that the widest axis has standard deviation `deviation`, plus
/// normal noise of `jitter` times that, which separates duplicates. Points without extent start as noise.
pub(crate) fn initial_layout(
    points: ArrayView2<'_, f32>,
    dims: Dims,
    deviation: f64,
    jitter: f64,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Array2<f32>, Error> {
    let mut layout = Array2::<f32>::zeros((points.nrows(), dims.count()));
    let count = dims.count().min(points.ncols());
    let pca = Pca::fit(points, count, progress)?;
    let widest = pca.explained_variance()[0].sqrt();
    let noise = if widest > 0.0 {
        let coordinates = pca.transform(points)?;
        let scale = deviation / widest;
        layout
            .slice_mut(s![.., ..count])
            .zip_mut_with(&coordinates, |out, &x| *out = (f64::from(x) * scale) as f32);
        jitter * deviation
    } else {
        deviation
    };
    let mut rng = Rng::new(seed, 0);
    layout.mapv_inplace(|x| x + (noise * rng.normal()) as f32);
    Ok(layout)
}

/// Serialises a matrix as a list of its rows.
fn rows<S: Serializer>(matrix: &Array2<f32>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(matrix.rows().into_iter().map(|row| row.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::{QualityParams, quality};

    /// Ten far groups of points in eight dimensions.
    fn groups(n: usize) -> Array2<f32> {
        let mut rng = Rng::new(12, 0);
        let centers = Array2::from_shape_simple_fn((10, 8), || 10.0 * rng.normal() as f32);
        Array2::from_shape_fn((n, 8), |(i, c)| centers[[i % 10, c]] + rng.normal() as f32)
    }

    fn every_method() -> Vec<(Method, Dims)> {
        let methods = [
            Method::Pca,
            Method::Tsne(TsneParams::default()),
            Method::Umap(UmapParams::default()),
        ];
        methods
            .into_iter()
            .flat_map(|method| [Dims::Two, Dims::Three].map(|dims| (method, dims)))
            .collect()
    }

    fn euclidean(points: &Array2<f32>, method: Method, dims: Dims) -> Result<Embedding, Error> {
        project(points.view(), &method, dims, Metric::Euclidean, 1, &())
    }

    #[test]
    fn groups_stay_groups() {
        let points = groups(600);
        for (method, dims) in every_method().into_iter().filter(|(method, _)| *method != Method::Pca) {
            let embedding = euclidean(&points, method, dims).unwrap();
            let map = &embedding.points;
            assert_eq!(map.dim(), (600, dims.count()));
            // Ten nearest in the picture all belong to the same group, for all but a few points.
            let neighbors = Neighbors::exact(map.view(), 10, Metric::Euclidean, &()).unwrap();
            let pure = (0..600)
                .filter(|&i| neighbors.indices(i).iter().all(|&j| j as usize % 10 == i % 10))
                .count();
            assert!(pure > 590, "{method:?} {dims:?}: {pure}");
            let found = quality(
                points.view(),
                map.view(),
                Metric::Euclidean,
                &QualityParams::default(),
                &(),
            )
            .unwrap();
            assert!(
                found.trustworthiness.value > 0.95,
                "{method:?}: {}",
                found.trustworthiness.value
            );
        }
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        let points = groups(1100);
        for (mut method, dims) in every_method() {
            match &mut method {
                Method::Pca => {}
                Method::Tsne(params) => (params.exaggerated_iterations, params.iterations) = (30, 30),
                Method::Umap(params) => params.epochs = Some(20),
            }
            let on = |threads, seed| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| project(points.view(), &method, dims, Metric::Cosine, seed, &()).unwrap())
            };
            let one = on(1, 5);
            assert_eq!(one, on(2, 5), "{method:?} {dims:?}");
            assert_eq!(one, on(8, 5), "{method:?} {dims:?}");
            assert_eq!(one == on(1, 6), method == Method::Pca, "{method:?} {dims:?}");
        }
    }

    #[test]
    fn one_table_serves_every_method() {
        let points = groups(300);
        let table = |k| Neighbors::exact(points.view(), k, Metric::Euclidean, &()).unwrap();
        let wide = table(120);
        for (method, dims) in every_method() {
            let alone = euclidean(&points, method, dims).unwrap();
            assert_eq!(
                project_with(points.view(), &wide, &method, dims, 1, &()).unwrap(),
                alone
            );
        }
        let with = |neighbors: &Neighbors, points: &Array2<f32>, method: Method| {
            project_with(points.view(), neighbors, &method, Dims::Two, 1, &()).unwrap_err()
        };
        let tsne = Method::default();
        assert!(matches!(
            with(&table(10), &points, tsne),
            Error::PerplexityTooLarge { neighbors: 10, .. }
        ));
        let umap = Method::Umap(UmapParams::default());
        assert!(matches!(
            with(&table(10), &points, umap),
            Error::Parameter {
                parameter: "neighbors",
                ..
            }
        ));
        assert!(matches!(
            with(&wide, &groups(200), umap),
            Error::Shape { what: "neighbors", .. }
        ));
    }

    #[test]
    fn several_perplexities() {
        let points = groups(400);
        let params = TsneParams {
            further_perplexities: [Some(60.0), Some(5000.0), None],
            ..TsneParams::default()
        };
        assert_eq!(params.neighbors(400), 399);
        assert_eq!(params.effective_perplexities(400), [30.0, 60.0, 133.0]);
        // Two that few points make the same count once.
        assert_eq!(params.effective_perplexities(100), [30.0, 33.0]);
        assert_eq!(params.effective_perplexities(20), [19.0 / 3.0]);
        let found = euclidean(&points, Method::Tsne(params), Dims::Two).unwrap();
        assert_eq!(found.perplexity, Some(30.0));
        assert!(found.warnings.contains(&Warning::PerplexityReduced {
            asked: 5000.0,
            used: 133.0
        }));
        // The same perplexity twice is that perplexity once.
        let twice = TsneParams {
            further_perplexities: [Some(30.0), None, None],
            ..TsneParams::default()
        };
        let [twice, once] =
            [twice, TsneParams::default()].map(|params| euclidean(&points, Method::Tsne(params), Dims::Two).unwrap());
        assert_eq!(twice, once);
        assert_ne!(found.points, once.points);
    }

    #[test]
    fn few_equal_zero_and_thin_points_give_finite_pictures() {
        let mut zeros = groups(50);
        zeros.slice_mut(s![..20, ..]).fill(0.0);
        let clouds = [
            groups(4),
            groups(7),
            Array2::from_elem((40, 5), 3.0),
            zeros,
            groups(50).slice_move(s![.., ..1]),
        ];
        for cloud in &clouds {
            for metric in [Metric::Cosine, Metric::Euclidean, Metric::InnerProduct] {
                for (method, dims) in every_method() {
                    match project(cloud.view(), &method, dims, metric, 1, &()) {
                        Ok(embedding) => {
                            assert!(embedding.points.iter().all(|x| x.is_finite()), "{method:?} {metric:?}")
                        }
                        Err(error) => assert!(method == Method::Pca && cloud.ncols() == 1, "{method:?}: {error}"),
                    }
                }
            }
        }
    }

    #[test]
    fn bad_input_is_refused() {
        let mut points = groups(30);
        let found = euclidean(&groups(3), Method::default(), Dims::Two).unwrap_err();
        assert!(matches!(
            found,
            Error::TooFewPoints {
                needed: 4,
                found: 3,
                ..
            }
        ));
        let (tsne, umap) = (TsneParams::default(), UmapParams::default());
        for (method, name) in [
            (
                Method::Tsne(TsneParams {
                    perplexity: 0.0,
                    ..tsne
                }),
                "perplexity",
            ),
            (
                Method::Tsne(TsneParams {
                    further_perplexities: [None, Some(f32::NAN), None],
                    ..tsne
                }),
                "further_perplexities",
            ),
            (
                Method::Tsne(TsneParams {
                    theta: f32::NAN,
                    ..tsne
                }),
                "theta",
            ),
            (
                Method::Tsne(TsneParams {
                    learning_rate: Some(0.0),
                    ..tsne
                }),
                "learning_rate",
            ),
            (
                Method::Tsne(TsneParams {
                    exaggerated_iterations: 0,
                    iterations: 0,
                    ..tsne
                }),
                "iterations",
            ),
            (Method::Umap(UmapParams { neighbors: 1, ..umap }), "neighbors"),
            (Method::Umap(UmapParams { min_dist: 2.0, ..umap }), "min_dist"),
            (
                Method::Umap(UmapParams {
                    spread: f32::INFINITY,
                    ..umap
                }),
                "spread",
            ),
            (
                Method::Umap(UmapParams {
                    epochs: Some(0),
                    ..umap
                }),
                "epochs",
            ),
        ] {
            let error = euclidean(&points, method, Dims::Two).unwrap_err();
            assert!(
                matches!(error, Error::Parameter { parameter, .. } if parameter == name),
                "{error}"
            );
        }
        let stop = |stage: &str, done: usize, _: usize| {
            if stage == "t-SNE" && done == 7 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let stopped = project(
            points.view(),
            &Method::default(),
            Dims::Two,
            Metric::Euclidean,
            1,
            &stop,
        );
        assert!(stopped.unwrap_err().is_cancelled());
        points[[29, 7]] = f32::NEG_INFINITY;
        for (method, dims) in every_method() {
            let error = euclidean(&points, method, dims).unwrap_err();
            assert!(matches!(error, Error::NotFinite { row: 29, column: 7, .. }));
        }
    }

    #[test]
    fn coordinates_serialise_as_rows() {
        let points = ndarray::array![[1.0f32, 2.0], [3.0, 4.0]];
        let embedding = Embedding {
            points,
            kl_divergence: None,
            perplexity: None,
            explained_variance: None,
            warnings: Vec::new(),
        };
        let value = serde_json::to_value(&embedding).unwrap();
        assert_eq!(value["points"], serde_json::json!([[1.0, 2.0], [3.0, 4.0]]));
    }
}
