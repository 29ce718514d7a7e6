//! All pairs of many points, each computed once: its product serves both of its points.
//!
//! A point's neighbors are then found by many tasks, in no fixed order, which must not show. So each point has a bar
//! that about as many points as wanted are below, found in a fair sample beforehand and fixed from then on; every point
//! below it is kept, and the best of these are the same in any order. The rare point whose bar was too low is done
//! again by itself.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use attn_core::{Progress, progress};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    kernel::{Panels, Queries, ROWS},
    select::{Candidate, NOBODY},
};
use crate::{
    Result,
    linalg::{PANEL, TILE, products},
    metric::Space,
    stages,
};

/// Panels of a block, which is compared with another by one task: both stay in the second cache.
const BLOCK: usize = 30;
/// Points of a block; whole tiles.
const POINTS: usize = BLOCK * PANEL;
/// Tiles that stay in the nearest cache while the panels of a block pass.
const GROUP: usize = 8;

/// The `kept` nearest of every point, in no particular order, or `None` for so few points that their bars would be
/// guesses.
pub(super) fn search(
    space: &Space<'_>,
    panels: &Panels,
    kept: usize,
    progress: &dyn Progress,
) -> Result<Option<Vec<Vec<Candidate>>>> {
    let n = space.len();
    let Some(sample) = panels.sample(kept) else {
        return Ok(None);
    };
    // The sample, the pairs, and what comes after, in units of points.
    let total = 2 * n;
    let bars = bars(space, panels, sample, |done| {
        Ok(progress::step(progress, stages::NEIGHBORS, done / 4, total)?)
    })?;
    let blocks = panels.len().div_ceil(BLOCK);
    let tasks: Vec<(usize, usize)> = (0..blocks).flat_map(|b| (0..=b).map(move |a| (a, b))).collect();
    let found: Vec<Mutex<Vec<Vec<Candidate>>>> = (0..blocks).map(|_| Mutex::new(vec![Vec::new(); POINTS])).collect();
    let done = AtomicUsize::new(0);
    tasks.par_iter().with_max_len(1).try_for_each(|&(a, b)| {
        let mut pairs = Pairs::new(space, panels, &bars, a, b);
        pulp::Arch::new().dispatch(&mut pairs);
        for (block, hits) in [a, b].into_iter().zip(pairs.found) {
            let mut lists = found[block].lock().unwrap_or_else(PoisonError::into_inner);
            for (row, candidate) in hits {
                let list = &mut lists[row as usize];
                // Only a point that is like nothing in the sample has so many; any of the best are enough.
                if list.len() >= 4 * kept {
                    best(list, kept);
                }
                list.push(candidate);
            }
        }
        let finished = done.fetch_add(1, Relaxed) + 1;
        let share = n / 4 + (total - n / 4) * finished / tasks.len();
        progress::step(progress, stages::NEIGHBORS, share.min(total - 1), total)
    })?;

    let mut lists = vec![Vec::new(); n];
    let slots = found
        .into_iter()
        .flat_map(|block| block.into_inner().unwrap_or_else(PoisonError::into_inner));
    for (&point, list) in panels.points.iter().zip(slots) {
        if point != NOBODY {
            lists[point as usize] = list;
        }
    }
    again(space, panels, kept, &mut lists);
    lists.par_iter_mut().for_each(|list| best(list, kept));
    progress::step(progress, stages::NEIGHBORS, total, total)?;
    Ok(Some(lists))
}

/// Cuts a list down to the best.
fn best(list: &mut Vec<Candidate>, kept: usize) {
    if list.len() > kept {
        list.select_nth_unstable(kept - 1);
        list.truncate(kept);
    }
}

/// For every slot of the panels the score that about `kept` of all points are below; nothing is below that of nobody.
fn bars(
    space: &Space<'_>,
    panels: &Panels,
    (first, rank): (usize, usize),
    step: impl Fn(usize) -> Result<()> + Sync,
) -> Result<Vec<f32>> {
    let mut bars = vec![f32::NEG_INFINITY; panels.len() * PANEL];
    let done = AtomicUsize::new(0);
    bars.par_chunks_mut(ROWS)
        .zip(panels.points.par_chunks(ROWS))
        .try_for_each(|(bars, points)| {
            let rows = points.iter().filter(|&&point| point != NOBODY);
            let mut queries = Queries::new(rows.map(|&i| (i, space.row(i as usize))), space.rows.ncols(), rank);
            queries.scan(panels, 0..first);
            let mut nearest = queries.nearest.iter_mut();
            for (bar, &point) in bars.iter_mut().zip(points) {
                if point != NOBODY {
                    *bar = nearest.next().map_or(f32::NEG_INFINITY, |nearest| nearest.resize(rank));
                }
            }
            step(done.fetch_add(bars.len(), Relaxed).min(space.len()))
        })?;
    Ok(bars)
}

/// Does the points again of which fewer than `kept` were below the bar.
fn again(space: &Space<'_>, panels: &Panels, kept: usize, lists: &mut [Vec<Candidate>]) {
    let failed: Vec<usize> = (0..lists.len()).filter(|&i| lists[i].len() < kept).collect();
    let redone: Vec<Vec<Candidate>> = failed
        .par_chunks(ROWS)
        .flat_map_iter(|rows| {
            let mut queries = Queries::new(rows.iter().map(|&i| (i as u32, space.row(i))), space.rows.ncols(), kept);
            queries.scan(panels, 0..panels.len());
            queries.nearest.into_iter().map(|mut nearest| nearest.take())
        })
        .collect();
    for (i, list) in failed.into_iter().zip(redone) {
        lists[i] = list;
    }
}

/// All pairs of two blocks.
struct Pairs<'a> {
    panels: &'a Panels,
    bars: &'a [f32],
    /// The rows of the first block, in tiles.
    tiles: Vec<f32>,
    /// Slots of the first block and panels of the second.
    rows: Range<usize>,
    columns: Range<usize>,
    /// Whether these are different blocks: a block with itself has every pair twice.
    both: bool,
    /// Row within its block and what it found, for either block.
    found: [Vec<(u32, Candidate)>; 2],
}

impl<'a> Pairs<'a> {
    fn new(space: &Space<'_>, panels: &'a Panels, bars: &'a [f32], a: usize, b: usize) -> Self {
        let panels_of = |block: usize| block * BLOCK..((block + 1) * BLOCK).min(panels.len());
        let rows = panels_of(a).start * PANEL..panels_of(a).end * PANEL;
        let width = space.rows.ncols();
        let mut tiles = vec![0.0; rows.len().div_ceil(TILE) * TILE * width];
        for (i, &point) in panels.points[rows.clone()].iter().enumerate() {
            if point != NOBODY {
                let start = i / TILE * TILE * width + i % TILE;
                for (axis, &value) in space.row(point as usize).iter().enumerate() {
                    tiles[start + axis * TILE] = value;
                }
            }
        }
        Self {
            panels,
            bars,
            tiles,
            rows,
            columns: panels_of(b),
            both: a != b,
            found: [Vec::new(), Vec::new()],
        }
    }

    /// Notes what is below a bar among the products of a row with some columns, which are slots.
    #[inline(always)]
    fn note(&mut self, flat: &[f32; PANEL], row: usize, columns: Range<usize>) {
        let (bias, points) = (&self.panels.bias, &self.panels.points);
        let (row_bar, row_bias, own) = (self.bars[row], bias[row], points[row]);
        let (mut near_row, mut near_column) = (0u32, 0u32);
        let slots = bias[columns.clone()].iter().zip(&self.bars[columns.clone()]);
        for (lane, ((&bias, &bar), &product)) in slots.zip(flat).enumerate() {
            near_row |= u32::from(bias - product < row_bar) << lane;
            near_column |= u32::from(row_bias - product < bar) << lane;
        }
        let row = (row - self.rows.start) as u32;
        while near_row != 0 {
            let lane = near_row.trailing_zeros() as usize;
            near_row &= near_row - 1;
            let slot = columns.start + lane;
            if points[slot] != own {
                self.found[0].push((row, Candidate::new(bias[slot] - flat[lane], points[slot])));
            }
        }
        while self.both && near_column != 0 {
            let lane = near_column.trailing_zeros() as usize;
            near_column &= near_column - 1;
            let column = (columns.start + lane - self.columns.start * PANEL) as u32;
            self.found[1].push((column, Candidate::new(row_bias - flat[lane], own)));
        }
    }
}

impl WithSimd for &mut Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (panels, bars, width) = (self.panels, self.bars, self.panels.width);
        let tiles = std::mem::take(&mut self.tiles);
        let lanes = 2 * S::F32_LANES;
        for (group, tiles) in tiles.chunks(GROUP * TILE * width).enumerate() {
            for panel in self.columns.clone() {
                let slots = panel * PANEL..(panel + 1) * PANEL;
                let values = panels.values[slots.start * width..slots.end * width]
                    .as_chunks::<PANEL>()
                    .0;
                let bias = S::as_simd_f32s(&panels.bias[slots.clone()]).0;
                let bar = S::as_simd_f32s(&bars[slots.clone()]).0;
                for (t, tile) in tiles.chunks_exact(TILE * width).enumerate() {
                    let tile = tile.as_chunks::<TILE>().0;
                    let first = self.rows.start + (group * GROUP + t) * TILE;
                    for pair in 0..PANEL / lanes {
                        let sums = products(simd, tile, values, pair);
                        let bias = [bias[2 * pair], bias[2 * pair + 1]];
                        let bar = [bar[2 * pair], bar[2 * pair + 1]];
                        for r in 0..TILE.min(self.rows.end - first) {
                            let row_bar = simd.splat_f32s(bars[first + r]);
                            let mut below = [row_bar; 2];
                            for h in 0..2 {
                                below[h] = simd.sub_f32s(simd.sub_f32s(bias[h], sums[r][h]), row_bar);
                            }
                            if self.both {
                                let row_bias = simd.splat_f32s(panels.bias[first + r]);
                                for h in 0..2 {
                                    let column = simd.sub_f32s(simd.sub_f32s(row_bias, sums[r][h]), bar[h]);
                                    below[h] = simd.min_f32s(below[h], column);
                                }
                            }
                            if simd.reduce_min_f32s(simd.min_f32s(below[0], below[1])) < 0.0 {
                                let mut flat = [0.0f32; PANEL];
                                let out = S::as_mut_simd_f32s(&mut flat).0;
                                (out[0], out[1]) = (sums[r][0], sums[r][1]);
                                let start = slots.start + pair * lanes;
                                self.note(&flat, first + r, start..start + lanes);
                            }
                        }
                    }
                }
            }
        }
    }
}
