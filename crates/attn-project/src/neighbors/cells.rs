//! Approximate nearest neighbors, for more points than all pairs can be afforded: settings, and a search whose cells stay.

use std::sync::{Mutex, PoisonError};

use attn_core::{Progress, progress};
use ndarray::{ArrayView2, CowArray};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Matches, NeighborSearch, Neighbors, check_count, check_query,
    kernel::{Queries, ROWS},
    partition::{Partition, Sampled},
    reference::Reference,
    search::{check_radius, check_searched, each_row},
    select::{Candidate, NOBODY},
};
use crate::{Error, Metric, Result, metric::Space, rng::Rng, stages};

/// How approximate neighbors are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApproximateParams {
    /// Share of the true neighbors to find, from above 0 to 1. Default 0.997. Reached on the points that the search was
    /// adjusted to; what it is elsewhere is measured and returned.
    pub recall: f32,
    /// Points whose exact neighbors are found to adjust the search, and as many others to measure the recall.
    /// Default 256: the recall is then known to about a thousandth.
    pub sample: usize,
    /// Seed of the centers and of the sample. Default 0.
    pub seed: u64,
}

impl Default for ApproximateParams {
    fn default() -> Self {
        Self {
            recall: 0.997,
            sample: 256,
            seed: 0,
        }
    }
}

impl ApproximateParams {
    /// Refuses values that no search could use.
    pub(super) fn check(&self) -> Result<()> {
        if !(self.recall > 0.0 && self.recall <= 1.0) {
            return Err(Error::parameter("recall", "above 0, at most 1", self.recall));
        }
        if self.sample == 0 {
            return Err(Error::parameter("sample", "at least 1", 0));
        }
        Ok(())
    }
}

/// A search that looks through a few cells: approximate, with a recall that is chosen; the cells are made once.
///
/// For queries among more points than all can be compared with each; about four times the memory of the points. Radius
/// queries compare with all points and are exact. Not for metrics without a [`Kernel`](crate::metric::Kernel).
#[derive(Debug)]
pub struct Cells {
    space: Space<'static>,
    partition: Partition,
    reference: Reference,
    params: ApproximateParams,
    /// As it was when the cells were made.
    rng: Rng,
    /// Cells to look through for a `k`, once that is known.
    probes: Mutex<Vec<(usize, usize)>>,
}

impl Cells {
    /// Puts points `[point, dimension]` into cells.
    ///
    /// # Errors
    /// As [`Exact::new`](super::Exact::new); [`Error::Parameter`] for a recall outside `(0, 1]` or an empty sample,
    /// [`Error::Unsupported`] for a metric without a kernel, [`Error::Cancelled`].
    pub fn new(
        points: ArrayView2<'_, f32>,
        metric: impl Into<Metric>,
        params: &ApproximateParams,
        progress: &dyn Progress,
    ) -> Result<Self> {
        params.check()?;
        check_searched(points)?;
        let metric = metric.into();
        let space = Space::new(CowArray::from(points.as_standard_layout().into_owned()), &metric)?;
        let mut rng = Rng::new(params.seed, 0);
        Ok(Self {
            partition: Partition::new(&space, &mut rng, progress)?,
            space,
            reference: Reference::new(points, metric),
            params: *params,
            rng,
            probes: Mutex::default(),
        })
    }

    /// Cells that a query of `k` neighbors looks through, found on a sample the first time.
    fn probes(&self, k: usize, progress: &dyn Progress) -> Result<usize> {
        let known = |probes: &Vec<(usize, usize)>| probes.iter().find(|known| known.0 == k).map(|known| known.1);
        if let Some(found) = known(&self.probes.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let sampled = Sampled::new(&self.space, k, &self.params, &mut self.rng.clone(), progress)?;
        let found = self.partition.probes(&self.space, &sampled, k, self.params.recall);
        self.probes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((k, found));
        Ok(found)
    }

    /// The `k` points nearest to some prepared rows, by their place in `rows`.
    fn block(&self, rows: &[&[f32]], k: usize, probes: usize) -> Vec<Vec<Candidate>> {
        let width = self.columns();
        let queries = |kept| Queries::new(rows.iter().map(|row| (NOBODY, *row)), width, kept);
        let mut found = queries((k + 8).min(self.len()));
        self.partition
            .scan(&mut found, &self.partition.near(queries(probes)), k);
        found.nearest.iter_mut().map(super::Nearest::take).collect()
    }
}

impl NeighborSearch for Cells {
    fn metric(&self) -> &Metric {
        self.reference.metric()
    }

    fn len(&self) -> usize {
        self.space.len()
    }

    fn columns(&self) -> usize {
        self.reference.columns()
    }

    fn neighbors(&self, k: usize, progress: &dyn Progress) -> Result<Neighbors> {
        check_count(self.len(), k)?;
        let probes = self.probes(k, progress)?;
        let (indices, distances) = self.partition.all(&self.space, k, probes, progress)?;
        Ok(Neighbors {
            k,
            metric: self.metric().clone(),
            indices,
            distances,
        })
    }

    fn query(&self, points: ArrayView2<'_, f32>, k: usize, progress: &dyn Progress) -> Result<Matches> {
        check_query(points, self.columns())?;
        if k == 0 {
            return Err(Error::parameter("k", "at least 1", k));
        }
        let (rows, prepared) = (self.reference.prepare(points), self.space.prepare(points));
        let Some(most) = self.len().checked_sub(1).filter(|&most| k <= most) else {
            return each_row(rows.view(), progress, |row| Ok(self.reference.nearest(row, k)?.pairs()));
        };
        let (n, width) = prepared.dim();
        let probes = self.probes(k.min(most), progress)?;
        let flat: Vec<&[f32]> = prepared.as_slice().unwrap_or_default().chunks_exact(width).collect();
        let exact: Vec<&[f32]> = rows.as_slice().unwrap_or_default().chunks_exact(width).collect();
        let found: Vec<Vec<Vec<(u32, f32)>>> = flat
            .par_chunks(ROWS)
            .zip(exact.par_chunks(ROWS))
            .enumerate()
            .map(|(block, (rows, exact))| {
                progress::step(progress, stages::NEIGHBORS, block * ROWS, n)?;
                let candidates = self.block(rows, k, probes).into_iter().zip(exact);
                Ok(candidates
                    .map(|(candidates, row)| {
                        let points: Vec<u32> = candidates.into_iter().map(Candidate::point).collect();
                        let mut found = self.reference.measure(row, &points);
                        found.truncate(k);
                        found
                    })
                    .collect())
            })
            .collect::<Result<_>>()?;
        progress::step(progress, stages::NEIGHBORS, n, n)?;
        Ok(Matches::from_rows(found.into_iter().flatten()))
    }

    fn within(&self, points: ArrayView2<'_, f32>, radius: f32, progress: &dyn Progress) -> Result<Matches> {
        check_query(points, self.columns())?;
        check_radius(radius)?;
        let rows = self.reference.prepare(points);
        each_row(rows.view(), progress, |row| self.reference.within(row, radius))
    }
}
