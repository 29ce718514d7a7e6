//! Approximate nearest neighbours, for more points than all pairs can be afforded.
//!
//! The points are parted into cells around centres (an inverted file: Sivic and Zisserman, *Video Google*, ICCV 2003;
//! Jégou, Douze and Schmid, *Product quantization for nearest neighbor search*, PAMI 2011, section IV), and a point is
//! compared with those in the cells whose centres are nearest to it. Within a cell that is the exact search, at the
//! same speed. How many cells are looked through follows from the recall asked for, measured on a sample.
//!
//! Points are taken cell by cell, so that those of a block share most of their cells. Nothing depends on the order in
//! which threads come by: graphs like HNSW, whose links follow from the order of insertion, cannot promise that.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use attn_core::{Progress, progress};
use rayon::prelude::*;

use super::{
    exact::{kept, measure, write},
    kernel::{Panels, Queries, ROWS},
    select::Candidate,
};
use crate::{
    Error,
    linalg::PANEL,
    metric::Space,
    rng::{Rng, sample},
};

/// Rounds of k-means. Cells need not be settled: later rounds change which points are compared very little.
const ROUNDS: usize = 6;
/// Points per cell that k-means looks at.
const SAMPLE: usize = 64;

/// How approximate neighbours are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApproximateParams {
    /// Share of the true neighbours to find, from above 0 to 1. Default 0.997. Reached on the points that the search was
    /// adjusted to; what it is elsewhere is measured and returned.
    pub recall: f32,
    /// Points whose exact neighbours are found to adjust the search, and as many others to measure the recall.
    /// Default 256: the recall is then known to about a thousandth.
    pub sample: usize,
    /// Seed of the centres and of the sample. Default 0.
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
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the parameter.
    pub fn check(&self) -> Result<(), Error> {
        if !(self.recall > 0.0 && self.recall <= 1.0) {
            return Err(Error::parameter("recall", "above 0, at most 1", self.recall));
        }
        if self.sample == 0 {
            return Err(Error::parameter("sample", "at least 1", 0));
        }
        Ok(())
    }
}

/// Points by the cell they lie in.
struct Cells {
    centers: Panels,
    /// Panels of each cell: `borders[cell]..borders[cell + 1]`.
    borders: Vec<usize>,
    panels: Panels,
    /// Points in the order of their cells.
    order: Vec<u32>,
    cell_of: Vec<u32>,
}

/// Indices and distances of about the `k` nearest of every point, and the share of the true ones among them.
pub(super) fn search(
    space: &Space<'_>,
    k: usize,
    params: &ApproximateParams,
    progress: &dyn Progress,
) -> Result<(Vec<u32>, Vec<f32>, f32), Error> {
    let n = space.len();
    let mut rng = Rng::new(params.seed, 0);
    let cells = Cells::new(space, &mut rng, progress)?;
    let chosen = sample(n, 2 * params.sample, &mut rng);
    let truth = nearest_of(space, &chosen, k, progress)?;
    let (adjusting, judging): (Vec<usize>, Vec<usize>) = (0..chosen.len()).partition(|i| i % 2 == 0);
    let probes = cells.probes(space, &chosen, &truth, &adjusting, k, params.recall);

    let mut indices = vec![0u32; n * k];
    let mut distances = vec![0.0f32; n * k];
    // Found in the order of the cells, so that blocks write side by side; then put in the order of the points.
    let mut found_indices = vec![0u32; n * k];
    let mut found_distances = vec![0.0f32; n * k];
    let done = AtomicUsize::new(0);
    cells
        .order
        .par_chunks(ROWS)
        .zip(found_indices.par_chunks_mut(ROWS * k))
        .zip(found_distances.par_chunks_mut(ROWS * k))
        .try_for_each(|((points, indices), distances)| {
            let mut queries = of(space, points, kept(k, n));
            cells.scan(&mut queries, &cells.near(space, points, probes), k);
            let slots = indices.chunks_mut(k).zip(distances.chunks_mut(k));
            for ((&i, nearest), (indices, distances)) in points.iter().zip(&mut queries.nearest).zip(slots) {
                let mut found = nearest.take();
                measure(space, i as usize, &mut found);
                write(&found, indices, distances);
            }
            let finished = done.fetch_add(points.len(), Relaxed) + points.len();
            progress::step(progress, "neighbours", finished, n)
        })?;
    for (slot, &point) in cells.order.iter().enumerate() {
        let (from, to) = (slot * k, point as usize * k);
        indices[to..to + k].copy_from_slice(&found_indices[from..from + k]);
        distances[to..to + k].copy_from_slice(&found_distances[from..from + k]);
    }
    let judging = if judging.is_empty() { adjusting } else { judging };
    let hits: usize = judging
        .iter()
        .map(|&i| {
            let found = &indices[chosen[i] * k..(chosen[i] + 1) * k];
            truth[i].iter().filter(|point| found.contains(point)).count()
        })
        .sum();
    let recall = hits as f32 / (judging.len() * k) as f32;
    Ok((indices, distances, recall))
}

fn of(space: &Space<'_>, points: &[u32], kept: usize) -> Queries {
    let rows = points.iter().map(|&i| (i, space.row(i as usize)));
    Queries::new(rows, space.rows.ncols(), kept)
}

/// The true neighbours of some points.
fn nearest_of(space: &Space<'_>, chosen: &[usize], k: usize, progress: &dyn Progress) -> Result<Vec<Vec<u32>>, Error> {
    let (n, panels) = (space.len(), Panels::spread(space));
    let blocks: Vec<Vec<Vec<u32>>> = chosen
        .par_chunks(ROWS)
        .map(|points| {
            progress::step(progress, "recall", 0, 1)?;
            let points: Vec<u32> = points.iter().map(|&i| i as u32).collect();
            let mut queries = of(space, &points, kept(k, n));
            queries.scan_all(&panels, kept(k, n), |i| space.row(i as usize));
            let rows = points.iter().zip(&mut queries.nearest);
            Ok(rows
                .map(|(&i, nearest)| {
                    let mut found = nearest.take();
                    measure(space, i as usize, &mut found);
                    found[..k].iter().map(|candidate| candidate.point()).collect()
                })
                .collect())
        })
        .collect::<Result<_, Error>>()?;
    Ok(blocks.into_iter().flatten().collect())
}

impl Cells {
    fn new(space: &Space<'_>, rng: &mut Rng, progress: &dyn Progress) -> Result<Self, Error> {
        let n = space.len();
        // As many comparisons with centres as with the points of some cells.
        let count = ((n as f64).sqrt() as usize).clamp(1, n);
        let looked_at: Vec<u32> = sample(n, SAMPLE * count, rng).iter().map(|&i| i as u32).collect();
        let mut centers: Vec<Vec<f32>> = sample(looked_at.len(), count, rng)
            .iter()
            .map(|&i| space.row(looked_at[i] as usize).to_vec())
            .collect();
        for round in 0..ROUNDS {
            progress::step(progress, "cells", round, ROUNDS)?;
            let cell_of = assign(space, &looked_at, &packed(&centers));
            let mut sums = vec![vec![0.0f64; space.rows.ncols()]; count];
            let mut members = vec![0usize; count];
            for (&i, &cell) in looked_at.iter().zip(&cell_of) {
                members[cell as usize] += 1;
                let sum = &mut sums[cell as usize];
                sum.iter_mut()
                    .zip(space.row(i as usize))
                    .for_each(|(sum, &x)| *sum += f64::from(x));
            }
            for ((center, sum), &members) in centers.iter_mut().zip(&sums).zip(&members) {
                // A centre without points stays where it is.
                if members > 0 {
                    center
                        .iter_mut()
                        .zip(sum)
                        .for_each(|(x, sum)| *x = (sum / members as f64) as f32);
                }
            }
        }
        let centers = packed(&centers);
        let all: Vec<u32> = (0..n as u32).collect();
        let cell_of = assign(space, &all, &centers);
        let mut order = all;
        order.sort_by_key(|&i| cell_of[i as usize]);
        let (mut panels, mut borders, mut first) = (Panels::new(space.rows.ncols()), vec![0], 0);
        for cell in 0..count {
            let last = first + order[first..].partition_point(|&i| cell_of[i as usize] as usize <= cell);
            borders.push(panels.append(space, &order[first..last]));
            first = last;
        }
        Ok(Self {
            centers,
            borders,
            panels,
            order,
            cell_of,
        })
    }

    /// The cells of the centres nearest to each point of a block, `count` each, nearest first.
    fn ranked(&self, space: &Space<'_>, points: &[u32], count: usize) -> Vec<Vec<u32>> {
        let mut queries = of(space, points, count);
        queries.anonymous();
        queries.scan(&self.centers, 0..self.centers.len());
        queries
            .nearest
            .iter_mut()
            .map(|nearest| {
                let mut cells = nearest.take();
                cells.sort_unstable();
                cells.into_iter().map(Candidate::point).collect()
            })
            .collect()
    }

    /// The fewest cells per point that hold the share `recall` of the true neighbours of the chosen points.
    fn probes(
        &self,
        space: &Space<'_>,
        chosen: &[usize],
        truth: &[Vec<u32>],
        adjusting: &[usize],
        k: usize,
        recall: f32,
    ) -> usize {
        let count = self.borders.len() - 1;
        // held[r]: neighbours that lie in the cell of rank r.
        let mut held = vec![0usize; count];
        let points: Vec<u32> = adjusting.iter().map(|&i| chosen[i] as u32).collect();
        for (ranked, &i) in self.ranked(space, &points, count).iter().zip(adjusting) {
            let mut rank = vec![0usize; count];
            ranked.iter().enumerate().for_each(|(r, &cell)| rank[cell as usize] = r);
            truth[i]
                .iter()
                .for_each(|&j| held[rank[self.cell_of[j as usize] as usize]] += 1);
        }
        let wanted = (f64::from(recall) * (adjusting.len() * k) as f64).ceil() as usize;
        let mut sum = 0;
        for (rank, held) in held.iter().enumerate() {
            sum += held;
            if sum >= wanted {
                return rank + 1;
            }
        }
        count
    }

    /// The cells that any point of a block wants to look through, those wanted by most first.
    fn near(&self, space: &Space<'_>, points: &[u32], probes: usize) -> Vec<usize> {
        let mut votes = vec![0usize; self.borders.len() - 1];
        for ranked in self.ranked(space, points, probes) {
            ranked.iter().for_each(|&cell| votes[cell as usize] += 1);
        }
        let mut cells: Vec<usize> = (0..votes.len()).filter(|&cell| votes[cell] > 0).collect();
        cells.sort_by_key(|&cell| (std::cmp::Reverse(votes[cell]), cell));
        cells
    }

    /// Looks through these cells, and through further ones if they do not hold `k` other points.
    fn scan(&self, queries: &mut Queries, cells: &[usize], k: usize) {
        let mut looked = vec![false; self.borders.len() - 1];
        let mut seen = 0;
        for &cell in cells {
            looked[cell] = true;
            seen += self.size(cell);
            queries.scan(&self.panels, self.borders[cell]..self.borders[cell + 1]);
        }
        for cell in 0..looked.len() {
            if seen > k {
                break;
            }
            if !looked[cell] {
                seen += self.size(cell);
                queries.scan(&self.panels, self.borders[cell]..self.borders[cell + 1]);
            }
        }
    }

    /// Points of a cell.
    fn size(&self, cell: usize) -> usize {
        self.panels.count(self.borders[cell]..self.borders[cell + 1])
    }
}

/// Centres as panels; their bias makes the order that of Euclidean distance, whatever the metric.
fn packed(centers: &[Vec<f32>]) -> Panels {
    let mut panels = Panels::new(centers.first().map_or(0, Vec::len));
    for (first, members) in centers.chunks(PANEL).enumerate() {
        panels.push(members.iter().enumerate().map(|(lane, center)| {
            let bias = 0.5 * center.iter().map(|x| x * x).sum::<f32>();
            ((first * PANEL + lane) as u32, bias, center.as_slice())
        }));
    }
    panels
}

/// The cell of each point.
fn assign(space: &Space<'_>, points: &[u32], centers: &Panels) -> Vec<u32> {
    let blocks: Vec<Vec<u32>> = points
        .par_chunks(ROWS)
        .map(|points| {
            let mut queries = of(space, points, 1);
            queries.anonymous();
            queries.scan(centers, 0..centers.len());
            let first = |nearest: &mut super::Nearest| nearest.take().first().map_or(0, |cell| cell.point());
            queries.nearest.iter_mut().map(first).collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}
