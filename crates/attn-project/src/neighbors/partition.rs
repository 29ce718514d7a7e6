//! Approximate nearest neighbors, for more points than all pairs can be afforded.
//!
//! The points are parted into cells around centers (an inverted file: Sivic and Zisserman, *Video Google*, ICCV 2003;
//! Jégou, Douze and Schmid, *Product quantization for nearest neighbor search*, PAMI 2011, section IV), and a point is
//! compared with those in the cells whose centers are nearest to it. Within a cell that is the exact search, at the
//! same speed. How many cells are looked through follows from the recall asked for, measured on a sample.
//!
//! Points are taken cell by cell, so that those of a block share most of their cells. Nothing depends on the order in
//! which threads come by: graphs like HNSW, whose links follow from the order of insertion, cannot promise that.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use attn_core::{Progress, progress};
use rayon::prelude::*;

use super::{
    cells::ApproximateParams,
    exact::{kept, measure, write},
    kernel::{Panels, Queries, ROWS},
    select::Candidate,
};
use crate::{
    Result,
    linalg::PANEL,
    metric::Space,
    rng::{Rng, sample},
    stages,
};

/// Rounds of k-means. Cells need not be settled: later rounds change which points are compared very little.
const ROUNDS: usize = 6;
/// Points per cell that k-means looks at.
const SAMPLE: usize = 64;

/// Points by the cell they lie in.
#[derive(Debug)]
pub(super) struct Partition {
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
) -> Result<(Vec<u32>, Vec<f32>, f32)> {
    let mut rng = Rng::new(params.seed, 0);
    let partition = Partition::new(space, &mut rng, progress)?;
    let sampled = Sampled::new(space, k, params, &mut rng, progress)?;
    let probes = partition.probes(space, &sampled, k, params.recall);
    let (indices, distances) = partition.all(space, k, probes, progress)?;
    let recall = sampled.recall(&indices, k);
    Ok((indices, distances, recall))
}

/// Some points and their true neighbors: one half adjusts the search, the other judges it.
pub(super) struct Sampled {
    points: Vec<usize>,
    truth: Vec<Vec<u32>>,
    /// Places in `points`.
    adjusting: Vec<usize>,
    judging: Vec<usize>,
}

impl Sampled {
    pub(super) fn new(
        space: &Space<'_>,
        k: usize,
        params: &ApproximateParams,
        rng: &mut Rng,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let points = sample(space.len(), 2 * params.sample, rng);
        let truth = nearest_of(space, &points, k, progress)?;
        let (adjusting, judging): (Vec<usize>, Vec<usize>) = (0..points.len()).partition(|i| i % 2 == 0);
        Ok(Self {
            judging: if judging.is_empty() { adjusting.clone() } else { judging },
            points,
            truth,
            adjusting,
        })
    }

    /// The share of true neighbors in a table.
    fn recall(&self, indices: &[u32], k: usize) -> f32 {
        let hits = |&i: &usize| {
            let found = &indices[self.points[i] * k..(self.points[i] + 1) * k];
            self.truth[i].iter().filter(|point| found.contains(point)).count()
        };
        self.judging.iter().map(hits).sum::<usize>() as f32 / (self.judging.len() * k) as f32
    }
}

fn of(space: &Space<'_>, points: &[u32], kept: usize) -> Queries {
    let rows = points.iter().map(|&i| (i, space.row(i as usize)));
    Queries::new(rows, space.rows.ncols(), kept)
}

/// The true neighbors of some points.
fn nearest_of(space: &Space<'_>, chosen: &[usize], k: usize, progress: &dyn Progress) -> Result<Vec<Vec<u32>>> {
    let (n, panels) = (space.len(), Panels::spread(space));
    let blocks: Vec<Vec<Vec<u32>>> = chosen
        .par_chunks(ROWS)
        .map(|points| {
            progress::step(progress, stages::RECALL, 0, 1)?;
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
        .collect::<Result<_>>()?;
    Ok(blocks.into_iter().flatten().collect())
}

impl Partition {
    pub(super) fn new(space: &Space<'_>, rng: &mut Rng, progress: &dyn Progress) -> Result<Self> {
        let n = space.len();
        // As many comparisons with centers as with the points of some cells.
        let count = ((n as f64).sqrt() as usize).clamp(1, n);
        let looked_at: Vec<u32> = sample(n, SAMPLE * count, rng).iter().map(|&i| i as u32).collect();
        let mut centers: Vec<Vec<f32>> = sample(looked_at.len(), count, rng)
            .iter()
            .map(|&i| space.row(looked_at[i] as usize).to_vec())
            .collect();
        for round in 0..ROUNDS {
            progress::step(progress, stages::CELLS, round, ROUNDS)?;
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
                // A center without points stays where it is.
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

    /// Indices and distances of the nearest of every point in `probes` cells.
    pub(super) fn all(
        &self,
        space: &Space<'_>,
        k: usize,
        probes: usize,
        progress: &dyn Progress,
    ) -> Result<(Vec<u32>, Vec<f32>)> {
        let n = space.len();
        let mut indices = vec![0u32; n * k];
        let mut distances = vec![0.0f32; n * k];
        // Found in the order of the cells, so that blocks write side by side; then put in the order of the points.
        let mut found_indices = vec![0u32; n * k];
        let mut found_distances = vec![0.0f32; n * k];
        let done = AtomicUsize::new(0);
        self.order
            .par_chunks(ROWS)
            .zip(found_indices.par_chunks_mut(ROWS * k))
            .zip(found_distances.par_chunks_mut(ROWS * k))
            .try_for_each(|((points, indices), distances)| {
                let mut queries = of(space, points, kept(k, n));
                self.scan(&mut queries, &self.near(of(space, points, probes)), k);
                let slots = indices.chunks_mut(k).zip(distances.chunks_mut(k));
                for ((&i, nearest), (indices, distances)) in points.iter().zip(&mut queries.nearest).zip(slots) {
                    let mut found = nearest.take();
                    measure(space, i as usize, &mut found);
                    write(&found, indices, distances);
                }
                let finished = done.fetch_add(points.len(), Relaxed) + points.len();
                progress::step(progress, stages::NEIGHBORS, finished, n)
            })?;
        for (slot, &point) in self.order.iter().enumerate() {
            let (from, to) = (slot * k, point as usize * k);
            indices[to..to + k].copy_from_slice(&found_indices[from..from + k]);
            distances[to..to + k].copy_from_slice(&found_distances[from..from + k]);
        }
        Ok((indices, distances))
    }

    /// The cells of the centers nearest to each row of a block, as many as it keeps, nearest first.
    fn ranked(&self, mut queries: Queries) -> Vec<Vec<u32>> {
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

    /// The fewest cells per point that hold the share `recall` of the true neighbors of the adjusting points.
    pub(super) fn probes(&self, space: &Space<'_>, sampled: &Sampled, k: usize, recall: f32) -> usize {
        let count = self.borders.len() - 1;
        // held[r]: neighbors that lie in the cell of rank r.
        let mut held = vec![0usize; count];
        let points: Vec<u32> = sampled.adjusting.iter().map(|&i| sampled.points[i] as u32).collect();
        for (ranked, &i) in self.ranked(of(space, &points, count)).iter().zip(&sampled.adjusting) {
            let mut rank = vec![0usize; count];
            ranked.iter().enumerate().for_each(|(r, &cell)| rank[cell as usize] = r);
            sampled.truth[i]
                .iter()
                .for_each(|&j| held[rank[self.cell_of[j as usize] as usize]] += 1);
        }
        let wanted = (f64::from(recall) * (sampled.adjusting.len() * k) as f64).ceil() as usize;
        let mut sum = 0;
        for (rank, held) in held.iter().enumerate() {
            sum += held;
            if sum >= wanted {
                return rank + 1;
            }
        }
        count
    }

    /// The cells that any row of a block wants to look through, as many as it keeps; those wanted by most first.
    pub(super) fn near(&self, queries: Queries) -> Vec<usize> {
        let mut votes = vec![0usize; self.borders.len() - 1];
        for ranked in self.ranked(queries) {
            ranked.iter().for_each(|&cell| votes[cell as usize] += 1);
        }
        let mut cells: Vec<usize> = (0..votes.len()).filter(|&cell| votes[cell] > 0).collect();
        cells.sort_by_key(|&cell| (std::cmp::Reverse(votes[cell]), cell));
        cells
    }

    /// Looks through these cells, and through further ones if they do not hold `k` other points.
    pub(super) fn scan(&self, queries: &mut Queries, cells: &[usize], k: usize) {
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

/// Centers as panels; their bias makes the order that of Euclidean distance, whatever the metric.
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
