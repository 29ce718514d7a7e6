//! An exact search whose all-pairs part runs elsewhere, such as on a GPU.
//!
//! Which points may be neighbors is found there, from rounded products; how far they are is measured here, the way
//! [`Neighbors::exact`] measures, so that both give the same table.

use attn_core::{Progress, progress};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::{
    Neighbors,
    exact::{is_sure, kept, measure, settle, write},
    kernel::Panels,
    prepared,
    select::Candidate,
};
use crate::{Error, Metric, Result, metric::Space, stages};

/// Points whose candidates are measured by one task.
const CHUNK: usize = 256;

/// Points prepared for an exact neighbor search that another machine does.
///
/// For every point `i` it has to find the [`candidates`](Self::candidates) other points `j` with the least
/// `bias[j] - rows[i] · rows[j]`; [`finish`](Self::finish) makes the table of them.
///
/// ```
/// use attn_project::{Neighbors, metric::Euclidean, neighbors::CandidateSearch};
/// let points = ndarray::array![[0.0f32, 0.0], [1.0, 0.0], [5.0, 0.0]];
/// let search = CandidateSearch::new(points.view(), 1, Euclidean)?;
/// let (rows, bias) = (search.rows(), search.bias());
/// let score = |i: usize, j: usize| bias[j] - rows.row(i).dot(&rows.row(j));
/// assert!(score(0, 1) < score(0, 2));
/// // There are only two others, so that both are candidates, in any order.
/// let neighbors = search.finish(&[2, 1, 0, 2, 1, 0], &())?;
/// assert_eq!(neighbors, Neighbors::exact(points.view(), 1, Euclidean, &())?);
/// # Ok::<(), attn_project::Error>(())
/// ```
pub struct CandidateSearch<'a> {
    space: Space<'a>,
    metric: Metric,
    k: usize,
}

impl<'a> CandidateSearch<'a> {
    /// Prepares `points` `[point, dimension]` for a search of `k` neighbors each: centered (Euclidean) or normalized
    /// (cosine), and of moderate size.
    ///
    /// # Errors
    /// As [`Neighbors::exact`]; [`Error::Unsupported`] for a metric without a [`Kernel`](crate::metric::Kernel).
    pub fn new(points: ArrayView2<'a, f32>, k: usize, metric: impl Into<Metric>) -> Result<Self> {
        let metric = metric.into();
        let space = prepared(points, k, &metric)?;
        Ok(Self { space, metric, k })
    }

    /// The prepared points, in standard layout; finite, and so are their products.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.space.rows.view()
    }

    /// What each point's score begins with.
    pub fn bias(&self) -> ArrayView1<'_, f32> {
        ArrayView1::from(&self.space.bias)
    }

    /// Candidates wanted of every point: a few more than neighbors, so that rounding in the products cannot lose one at
    /// the border.
    pub fn candidates(&self) -> usize {
        kept(self.k, self.space.len())
    }

    /// Measures the candidates of all points, `[point, candidate]` in any order, and keeps the nearest.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of candidates is not that of the points times [`candidates`](Self::candidates),
    /// or if a point's are not other points, each once; [`Error::Cancelled`].
    pub fn finish(self, candidates: &[u32], progress: &dyn Progress) -> Result<Neighbors> {
        let (n, k, width) = (self.space.len(), self.k, self.candidates());
        if candidates.len() != n * width {
            return Err(Error::shape(
                "candidates",
                format!("{n} x {width} points"),
                candidates.len(),
            ));
        }
        let mut indices = vec![0u32; n * k];
        let mut distances = vec![0.0f32; n * k];
        progress::step(progress, stages::DISTANCES, 0, n)?;
        let unsure: Vec<Vec<usize>> = indices
            .par_chunks_mut(CHUNK * k)
            .zip(distances.par_chunks_mut(CHUNK * k))
            .zip(candidates.par_chunks(CHUNK * width))
            .enumerate()
            .map(|(chunk, ((indices, distances), candidates))| {
                let slots = indices.chunks_mut(k).zip(distances.chunks_mut(k));
                let mut unsure = Vec::new();
                for (row, ((indices, distances), candidates)) in slots.zip(candidates.chunks(width)).enumerate() {
                    let i = chunk * CHUNK + row;
                    let nearest = self.nearest(i, candidates)?;
                    write(&nearest, indices, distances);
                    if !is_sure(&self.space, i, k, &nearest) {
                        unsure.push(i);
                    }
                }
                Ok(unsure)
            })
            .collect::<Result<_, Error>>()?;
        let unsure = unsure.concat();
        if !unsure.is_empty() {
            settle(
                &self.space,
                &Panels::spread(&self.space),
                &unsure,
                &mut indices,
                &mut distances,
            );
        }
        progress::step(progress, stages::DISTANCES, n, n)?;
        Ok(Neighbors {
            k,
            metric: self.metric,
            indices,
            distances,
        })
    }

    /// The candidates of point `i`, nearest first.
    fn nearest(&self, i: usize, candidates: &[u32]) -> Result<Vec<Candidate>> {
        let n = self.space.len();
        let refused = |found: String| {
            let expected = format!("each of the {n} points at most once, and not the point itself");
            Err(Error::shape("candidates", expected, found))
        };
        if let Some(&bad) = candidates.iter().find(|&&j| j as usize >= n || j as usize == i) {
            return refused(format!("{bad} for point {i}"));
        }
        let mut nearest: Vec<Candidate> = candidates.iter().map(|&j| Candidate::new(0.0, j)).collect();
        measure(&self.space, i, &mut nearest);
        // The same point has the same distance, so that it comes twice in a row.
        match nearest.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => refused(format!("{} twice for point {i}", pair[0].point())),
            None => Ok(nearest),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn candidates_from_elsewhere_give_the_same_table() {
        let mut rng = Rng::new(5, 0);
        let points = Array2::from_shape_simple_fn((300, 7), || rng.normal() as f32);
        for metric in Metric::builtin() {
            let search = CandidateSearch::new(points.view(), 9, &metric).unwrap();
            let (rows, bias, width) = (search.rows(), search.bias(), search.candidates());
            let mut candidates = Vec::new();
            for i in 0..300 {
                let score = |j: &u32| bias[*j as usize] - rows.row(i).dot(&rows.row(*j as usize));
                let mut others: Vec<u32> = (0..300).filter(|&j| j as usize != i).collect();
                others.sort_by(|a, b| score(a).total_cmp(&score(b)));
                candidates.extend(others[..width].iter().rev());
            }
            let found = search.finish(&candidates, &()).unwrap();
            assert_eq!(found, Neighbors::exact(points.view(), 9, &metric, &()).unwrap());
        }
    }

    #[test]
    fn impossible_candidates_are_refused() {
        let points = ndarray::array![[0.0f32], [1.0], [5.0]];
        let finish = |candidates: &[u32]| {
            let search = CandidateSearch::new(points.view(), 1, Metric::EUCLIDEAN).unwrap();
            search.finish(candidates, &())
        };
        assert!(finish(&[1, 2, 0, 2, 0, 1]).is_ok());
        for bad in [
            &[1u32, 2, 0, 2, 0][..],
            &[1, 1, 0, 2, 0, 1],
            &[1, 3, 0, 2, 0, 1],
            &[0, 2, 0, 2, 0, 1],
        ] {
            assert!(
                matches!(finish(bad), Err(Error::Shape { what: "candidates", .. })),
                "{bad:?}"
            );
        }
    }
}
