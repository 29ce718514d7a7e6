//! Scores of many points against many others, without ever storing them.
//!
//! A product of matrices would write every score to memory, only for most to be thrown away. Here a tile of six rows by
//! two vectors is summed in registers and compared with the rows' thresholds there; what passes, a few scores in a
//! hundred, goes to the rows' lists.

use pulp::{Simd, WithSimd};

use super::select::{NOBODY, Nearest};
use crate::{
    linalg::{PANEL, TILE, products},
    metric::Space,
};

/// Rows scored together: their tiles stay in the nearest cache while the panels pass.
pub(super) const ROWS: usize = 16 * TILE;

/// Points to be found, `[panel, dimension, PANEL]`; the last panel is filled up with nobody.
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) values: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) points: Vec<u32>,
    pub(super) width: usize,
}

impl Panels {
    /// No panels yet, for points of `width` dimensions.
    pub(super) fn new(width: usize) -> Self {
        Self {
            values: Vec::new(),
            bias: Vec::new(),
            points: Vec::new(),
            width,
        }
    }

    /// Every point, in an order that makes any panel a sample of the whole: thresholds are near their final value
    /// after the first panels, even if the points come sorted.
    pub(super) fn spread(space: &Space<'_>) -> Self {
        let mut panels = Self::new(space.rows.ncols());
        let count = space.len().div_ceil(PANEL);
        let mut members = Vec::with_capacity(PANEL);
        for panel in 0..count {
            members.clear();
            members.extend((panel..space.len()).step_by(count).map(|point| point as u32));
            panels.append(space, &members);
        }
        panels
    }

    /// Appends panels of these points; returns how many panels there are now.
    pub(super) fn append(&mut self, space: &Space<'_>, members: &[u32]) -> usize {
        for members in members.chunks(PANEL) {
            self.push(members.iter().map(|&point| {
                let i = point as usize;
                (point, space.bias[i], space.row(i))
            }));
        }
        self.len()
    }

    /// Appends one panel of at most [`PANEL`] points: number, bias and row of each.
    pub(super) fn push<'a>(&mut self, members: impl Iterator<Item = (u32, f32, &'a [f32])>) {
        let start = self.values.len();
        let end = self.points.len() + PANEL;
        self.values.resize(start + PANEL * self.width, 0.0);
        for (lane, (point, bias, row)) in members.take(PANEL).enumerate() {
            self.points.push(point);
            self.bias.push(bias);
            for (axis, &value) in row.iter().enumerate() {
                self.values[start + axis * PANEL + lane] = value;
            }
        }
        self.points.resize(end, NOBODY);
        // No score is below any threshold.
        self.bias.resize(end, f32::INFINITY);
    }

    /// Points in some panels.
    pub(super) fn count(&self, range: std::ops::Range<usize>) -> usize {
        let slots = &self.points[range.start * PANEL..range.end * PANEL];
        slots.iter().filter(|&&point| point != NOBODY).count()
    }

    pub(super) fn len(&self) -> usize {
        self.points.len() / PANEL
    }

    /// For panels of [`Panels::spread`]: how many of the first are a fair sample, and the rank in it that the `kept`
    /// nearest of all points are almost surely within (four standard deviations). `None` if there are too few for that.
    pub(super) fn sample(&self, kept: usize) -> Option<(usize, usize)> {
        const SHARE: usize = 8;
        let first = self.len() / SHARE;
        let expected = kept as f64 / SHARE as f64;
        let rank = (expected + 4.0 * expected.sqrt()) as usize + 2;
        (rank < kept && 4 * rank <= first * PANEL).then_some((first, rank))
    }
}

/// Rows whose nearest are wanted, at most [`ROWS`], and what has been found for them.
pub(super) struct Queries {
    /// `[tile, dimension, TILE]`
    tiles: Vec<f32>,
    /// The rows' own numbers, which they do not find.
    own: Vec<u32>,
    pub(super) nearest: Vec<Nearest>,
    width: usize,
}

impl Queries {
    /// The given rows, of which `kept` nearest will be kept each.
    pub(super) fn new<'a>(rows: impl Iterator<Item = (u32, &'a [f32])>, width: usize, kept: usize) -> Self {
        let mut queries = Self {
            tiles: Vec::new(),
            own: Vec::new(),
            nearest: Vec::new(),
            width,
        };
        for (i, (own, row)) in rows.enumerate() {
            if i % TILE == 0 {
                queries.tiles.resize((i / TILE + 1) * TILE * width, 0.0);
            }
            let start = i / TILE * TILE * width + i % TILE;
            for (axis, &value) in row.iter().enumerate() {
                queries.tiles[start + axis * TILE] = value;
            }
            queries.own.push(own);
            queries.nearest.push(Nearest::new(kept));
        }
        queries
    }

    /// Forgets the rows' own numbers, for panels of something else than the rows.
    pub(super) fn anonymous(&mut self) {
        self.own.fill(NOBODY);
    }

    /// Looks through all panels of [`Panels::spread`] for the `kept` nearest.
    ///
    /// The first eighth, a fair sample, shows which score about `kept` of all are below, so that few others are ever
    /// written down. For the rare row for which that was too few it is done again without.
    pub(super) fn scan_all<'a>(&mut self, panels: &Panels, kept: usize, row: impl Fn(u32) -> &'a [f32]) {
        let Some((first, sampled)) = panels.sample(kept) else {
            return self.scan(panels, 0..panels.len());
        };
        for nearest in &mut self.nearest {
            nearest.resize(sampled);
        }
        self.scan(panels, 0..first);
        let bars: Vec<f32> = self.nearest.iter_mut().map(|nearest| nearest.resize(kept)).collect();
        self.scan(panels, first..panels.len());
        let failed: Vec<usize> = (0..self.own.len())
            .filter(|&r| !self.nearest[r].is_complete_below(bars[r]))
            .collect();
        let mut again = Self::new(
            failed.iter().map(|&r| (self.own[r], row(self.own[r]))),
            self.width,
            kept,
        );
        again.scan(panels, 0..panels.len());
        for (r, nearest) in failed.into_iter().zip(again.nearest) {
            self.nearest[r] = nearest;
        }
    }

    /// Looks through some panels.
    pub(super) fn scan(&mut self, panels: &Panels, range: std::ops::Range<usize>) {
        if self.width > 0 {
            pulp::Arch::new().dispatch(Scan {
                queries: self,
                panels,
                range,
            });
        }
    }
}

struct Scan<'a> {
    queries: &'a mut Queries,
    panels: &'a Panels,
    range: std::ops::Range<usize>,
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.queries.width;
        let lanes = 2 * S::F32_LANES;
        for panel in self.range {
            let slots = panel * PANEL..(panel + 1) * PANEL;
            let values = self.panels.values[slots.start * width..slots.end * width]
                .as_chunks::<PANEL>()
                .0;
            let bias = S::as_simd_f32s(&self.panels.bias[slots.clone()]).0;
            let points = &self.panels.points[slots];
            for (t, tile) in self.queries.tiles.chunks_exact(TILE * width).enumerate() {
                let tile = tile.as_chunks::<TILE>().0;
                let rows = self.queries.own.len().min((t + 1) * TILE) - t * TILE;
                for pair in 0..PANEL / lanes {
                    let sums = products(simd, tile, values, pair);
                    let bias = [bias[2 * pair], bias[2 * pair + 1]];
                    for r in 0..rows {
                        let scores = [simd.sub_f32s(bias[0], sums[r][0]), simd.sub_f32s(bias[1], sums[r][1])];
                        let least = simd.reduce_min_f32s(simd.min_f32s(scores[0], scores[1]));
                        let nearest = &mut self.queries.nearest[t * TILE + r];
                        if least <= nearest.threshold() {
                            let mut flat = [0.0f32; PANEL];
                            let out = S::as_mut_simd_f32s(&mut flat).0;
                            (out[0], out[1]) = (scores[0], scores[1]);
                            let points = &points[pair * lanes..(pair + 1) * lanes];
                            nearest.offer(&flat, points, self.queries.own[t * TILE + r]);
                        }
                    }
                }
            }
        }
    }
}
