//! One entry point for every projection: a method and how it is called.

use attn_core::Progress;
use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::{
    Dims, Embedding, Error, Method, Metric, Neighbors, Result,
    linalg::check_points,
    method::{FitInput, Links},
    warnings,
};

/// A method, and what its layouts depend on besides the points.
///
/// ```
/// use attn_project::{Dims, Projector, metric::Cosine, pca::{EXPLAINED_VARIANCE, Pca}, umap::Umap};
/// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
/// let embedding = Projector::new(Umap::default()).metric(Cosine).seed(7).fit(points.view(), &())?;
/// assert_eq!(embedding.points.dim(), (60, 2));
///
/// let linear = Projector::new(Pca).dims(Dims::Three).fit(points.view(), &())?;
/// assert_eq!(linear.diagnostic(EXPLAINED_VARIANCE).unwrap().len(), 3);
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Projector {
    /// How points are laid out. Default: t-SNE.
    pub method: Method,
    /// Dimensions of the layout. Default: two.
    pub dims: Dims,
    /// What "near" means. Default: Euclidean.
    pub metric: Metric,
    /// Same seed, same coordinates, on any number of threads. Default: 0.
    pub seed: u64,
}

/// Points `[point, dimension]`, and their neighbor table where one is at hand: made by `into` from a view, or from a
/// view and a table.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    rows: ArrayView2<'a, f32>,
    neighbors: Option<&'a Neighbors>,
    links: Option<&'a Links>,
}

impl<'a> Points<'a> {
    /// The same with links, for a method that [wants](crate::ProjectionMethod::wants_links) them.
    #[must_use]
    pub fn with_links(self, links: Option<&'a Links>) -> Self {
        Self { links, ..self }
    }

    /// The same with a table.
    pub(crate) fn with_neighbors(self, neighbors: Option<&'a Neighbors>) -> Self {
        Self { neighbors, ..self }
    }

    /// The points.
    pub fn rows(&self) -> ArrayView2<'a, f32> {
        self.rows
    }

    /// Their table.
    pub fn neighbors(&self) -> Option<&'a Neighbors> {
        self.neighbors
    }

    /// Their links.
    pub fn links(&self) -> Option<&'a Links> {
        self.links
    }

    /// The same for a shorter time.
    pub(crate) fn reborrow<'b>(self) -> Points<'b>
    where
        'a: 'b,
    {
        Points {
            rows: self.rows.reborrow(),
            neighbors: self.neighbors,
            links: self.links,
        }
    }
}

impl<'a> From<ArrayView2<'a, f32>> for Points<'a> {
    fn from(rows: ArrayView2<'a, f32>) -> Self {
        Self::from((rows, None))
    }
}

impl<'a> From<(ArrayView2<'a, f32>, &'a Neighbors)> for Points<'a> {
    fn from((rows, neighbors): (ArrayView2<'a, f32>, &'a Neighbors)) -> Self {
        Self::from((rows, Some(neighbors)))
    }
}

impl<'a> From<(ArrayView2<'a, f32>, Option<&'a Neighbors>)> for Points<'a> {
    fn from((rows, neighbors): (ArrayView2<'a, f32>, Option<&'a Neighbors>)) -> Self {
        Self {
            rows,
            neighbors,
            links: None,
        }
    }
}

impl Projector {
    /// A method in the plane, with Euclidean distances and seed 0.
    pub fn new(method: impl Into<Method>) -> Self {
        Self {
            method: method.into(),
            ..Self::default()
        }
    }

    /// The same with other dimensions.
    pub fn dims(self, dims: Dims) -> Self {
        Self { dims, ..self }
    }

    /// The same with another metric.
    pub fn metric(self, metric: impl Into<Metric>) -> Self {
        Self {
            metric: metric.into(),
            ..self
        }
    }

    /// The same with another seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Lays out points `[point, dimension]`. The same seed gives the same coordinates on any number of threads.
    ///
    /// With a neighbor table beside the points, `(points, &table)`, none is searched: find the neighbors once and lay
    /// them out with t-SNE and UMAP, in the plane and in space. The table gives the metric and may be wider than
    /// needed.
    ///
    /// Few points are no failure: perplexity and neighborhoods shrink to what the points allow. Equal points have equal
    /// coordinates under PCA and MDS only. t-SNE and UMAP start them apart, by chance; a point with more copies than its
    /// neighborhood takes a region of the layout, of which [`Warning::Duplicates`](crate::Warning::Duplicates) warns.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] (below 4 points, for PCA and MDS 2), [`Error::NotFinite`], [`Error::TooLarge`],
    /// [`Error::Shape`] without columns or for a table of other points, [`Error::TooFewNeighbors`] for one that is
    /// too narrow, [`Error::Parameter`] for a PCA with more dimensions than the points have, [`Error::Cancelled`],
    /// and those of a host's method.
    pub fn fit<'a>(&self, points: impl Into<Points<'a>>, progress: &dyn Progress) -> Result<Embedding> {
        let points = points.into();
        self.check(points)?;
        let k = self.method.neighbors(points.rows.nrows());
        if k == 0 || points.neighbors.is_some() {
            return self.lay_out(&self.input(points.reborrow()), progress);
        }
        let table = Neighbors::search(points.rows, k, &self.metric, progress)?;
        self.lay_out(&self.input(points.reborrow().with_neighbors(Some(&table))), progress)
    }

    /// Lays out only the rows `selection`, as if there were no others. Row `i` of the layout is point `selection[i]`.
    ///
    /// The points of a head come from [`head_points`](crate::atlas::head_points): normalized as in the layout of the
    /// whole head, so that distances are the same.
    ///
    /// ```
    /// use attn_project::Projector;
    /// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
    /// let lasso: Vec<usize> = (10..30).collect();
    /// let found = Projector::default().fit_selection(points.view(), &lasso, &())?;
    /// assert_eq!(found.points.dim(), (20, 2));
    /// # Ok::<(), attn_project::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] if the selection names a point that is not there, or one twice; and as
    /// [`fit`](Self::fit), for the points selected.
    pub fn fit_selection<'a>(
        &self,
        points: impl Into<Points<'a>>,
        selection: &[usize],
        progress: &dyn Progress,
    ) -> Result<Embedding> {
        let Points {
            rows: points, links, ..
        } = points.into();
        let mut seen = vec![false; points.nrows()];
        for &point in selection {
            match seen.get_mut(point) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => {
                    let found = format!("{point} twice");
                    return Err(Error::parameter("selection", "every point once", found));
                }
                None => {
                    let expected = format!("points below {}", points.nrows());
                    return Err(Error::parameter("selection", expected, point));
                }
            }
        }
        let links = links.map(|links| links.select(selection));
        let chosen = points.select(Axis(0), selection);
        self.fit(Points::from(chosen.view()).with_links(links.as_ref()), progress)
    }

    /// Checks points, and a neighbor table at hand, as [`fit`](Self::fit) does before it begins: what a method gets.
    /// For hosts that run a method in steps or elsewhere; without a table [`FitInput::neighbors`] is `None`.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn prepare<'a>(&'a self, points: impl Into<Points<'a>>) -> Result<FitInput<'a>> {
        let points = points.into();
        self.check(points)?;
        Ok(self.input(points))
    }

    /// The one place where points are judged.
    fn check(&self, Points { rows, neighbors, links }: Points<'_>) -> Result<()> {
        let (n, needed) = (rows.nrows(), self.method.min_points());
        if n < needed {
            return Err(Error::too_few(self.method.name().to_owned(), needed, n));
        }
        if rows.ncols() == 0 {
            return Err(Error::shape(
                "points",
                "at least one column",
                format!("{:?}", rows.dim()),
            ));
        }
        check_points("points", rows)?;
        if let Some(links) = links.filter(|links| links.len() != n) {
            return Err(Error::shape("links", format!("{n} points"), links.len()));
        }
        if let Some(table) = neighbors {
            if table.len() != n {
                return Err(Error::shape("neighbors", format!("{n} points"), table.len()));
            }

            let needed = self.method.neighbors(n);
            if table.k() < needed {
                return Err(Error::TooFewNeighbors {
                    method: self.method.name().to_owned(),
                    needed,
                    found: table.k(),
                });
            }
        }
        Ok(())
    }

    /// Checked points as a method gets them.
    pub(crate) fn input<'a>(&'a self, Points { rows, neighbors, links }: Points<'a>) -> FitInput<'a> {
        FitInput {
            points: rows,
            links: links.filter(|_| self.method.wants_links()),
            neighbors: neighbors.filter(|_| self.method.neighbors(rows.nrows()) > 0),
            dims: self.dims,
            metric: neighbors.map_or(&self.metric, Neighbors::metric),
            seed: self.seed,
        }
    }

    fn lay_out(&self, input: &FitInput<'_>, progress: &dyn Progress) -> Result<Embedding> {
        let embedding = self.method.fit(input, progress)?;
        self.finish(input, embedding)
    }

    /// Checks what a method gave and adds the warnings.
    pub(crate) fn finish(&self, input: &FitInput<'_>, mut embedding: Embedding) -> Result<Embedding> {
        let shape = (input.points.nrows(), self.dims.count());
        if embedding.points.dim() != shape {
            let found = format!("{:?} of {}", embedding.points.dim(), self.method.name());
            return Err(Error::shape("coordinates", format!("{shape:?}"), found));
        }
        crate::linalg::check_finite("coordinates", embedding.points.view())?;
        embedding.warnings.extend(warnings::of(&self.method, input));
        Ok(embedding)
    }
}
