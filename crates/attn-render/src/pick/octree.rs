//! The points of a cloud in three dimensions by the cells of an octree, for boxes of pixels.
//!
//! The cells of the finest level are numbered along a Z-order curve (Morton 1966), so that the points below any node are one
//! run of a single sorted list: the tree is that list and where each finest cell starts in it. A box of pixels is a pyramid
//! from the eye; nodes that lie behind one of its sides are passed over.

use std::ops::Range;

use super::{Entry, entries};
use crate::{
    geometry::{Rect, Transform},
    scene::Point,
};

/// Points of a panel in the order of their cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Octree {
    min: [f32; 3],
    /// Side of the whole.
    side: f32,
    /// Levels below the root.
    levels: u32,
    /// Where each finest cell's points start in `points`; one more than cells.
    starts: Vec<u32>,
    points: Vec<Entry>,
}

/// Points of a finest cell, about.
const PER_CELL: usize = 4;
/// Cells grow by this share of the whole against what rounding does to their borders.
const SLACK: f32 = 1e-5;

impl Octree {
    pub(super) fn new(points: &[Point], runs: &[Range<usize>]) -> Self {
        let all: Vec<Entry> = entries(points, runs, 3).collect();
        let (mut min, mut max) = ([f32::MAX; 3], [f32::MIN; 3]);
        for entry in &all {
            for axis in 0..3 {
                min[axis] = min[axis].min(entry.position[axis]);
                max[axis] = max[axis].max(entry.position[axis]);
            }
        }
        // Eight cells more with each level; clouds fill about a third of theirs.
        let wanted = 3 * all.len() / PER_CELL;
        let levels = (wanted.max(1).ilog2() / 3).clamp(1, 7);
        let side = (0..3)
            .map(|axis| max[axis] - min[axis])
            .fold(f32::MIN_POSITIVE, f32::max);
        let cells = 1_usize << (3 * levels);
        let mut tree = Self {
            min,
            side,
            levels,
            starts: vec![0; cells + 1],
            points: all.clone(),
        };
        // Counting sort.
        let codes: Vec<usize> = all.iter().map(|entry| tree.code(entry.position)).collect();
        for &code in &codes {
            tree.starts[code + 1] += 1;
        }
        for cell in 0..cells {
            tree.starts[cell + 1] += tree.starts[cell];
        }
        let mut next = tree.starts.clone();
        for (entry, &code) in all.iter().zip(&codes) {
            tree.points[next[code] as usize] = *entry;
            next[code] += 1;
        }
        tree
    }

    /// The number of the finest cell that a position is in: the bits of its three coordinates in turn.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the cells"
    )]
    fn code(&self, position: [f32; 3]) -> usize {
        let across = (1_u32 << self.levels) as f32;
        let spread = |axis: usize| {
            let along = (position[axis] - self.min[axis]) / self.side * across;
            // Two bits between any two (the method of magic numbers; cells have at most seven bits along an axis).
            let mut bits = along.clamp(0.0, across - 1.0) as usize;
            bits = (bits | bits << 8) & 0x00F_00F;
            bits = (bits | bits << 4) & 0x0C3_0C3;
            bits = (bits | bits << 2) & 0x249_249;
            bits << axis
        };
        spread(0) | spread(1) | spread(2)
    }

    /// Shows every point that may be inside a rectangle of pixels, and others near it, a node at a time.
    pub(super) fn visit(&self, map: &Transform, px: Rect, mut found: impl FnMut(&[Entry])) {
        // Inside is where x - left * w, right * w - x, the same for y, and w are not negative: linear in the position.
        let side = |row: &[f32; 4], at: f32, sign: f32| -> [f64; 4] {
            [0, 1, 2, 3].map(|i: usize| f64::from(sign) * (f64::from(row[i]) - f64::from(at) * f64::from(map.w[i])))
        };
        let sides = [
            side(&map.x, px.min[0] - 0.5, 1.0),
            side(&map.x, px.max[0] + 0.5, -1.0),
            side(&map.y, px.min[1] - 0.5, 1.0),
            side(&map.y, px.max[1] + 0.5, -1.0),
            map.w.map(f64::from),
        ];
        let mut open = vec![(0_usize, 0_u32, [0.0_f32; 3])];
        while let Some((node, level, corner)) = open.pop() {
            let below = 3 * (self.levels - level);
            let range = match (self.starts.get(node << below), self.starts.get((node + 1) << below)) {
                (Some(start), Some(end)) if start < end => *start as usize..*end as usize,
                _ => continue,
            };
            // Corners are kept as shares of the whole, which are exact.
            let size = 1.0 / (1_u32 << level) as f32;
            let half = f64::from(self.side) * f64::from(0.5 * size + SLACK);
            let middle = [0, 1, 2].map(|axis: usize| {
                f64::from(self.min[axis]) + f64::from(self.side) * f64::from(corner[axis] + 0.5 * size)
            });
            let outside = |side: &[f64; 4]| {
                let at = side[0] * middle[0] + side[1] * middle[1] + side[2] * middle[2] + side[3];
                at + half * (side[0].abs() + side[1].abs() + side[2].abs()) < 0.0
            };
            if sides.iter().any(outside) {
                continue;
            }
            if level == self.levels || range.len() <= 2 * PER_CELL {
                found(&self.points[range]);
                continue;
            }
            open.extend((0..8).map(|child| {
                let shift = [0, 1, 2]
                    .map(|axis: usize| corner[axis] + 0.5 * size * f32::from(u8::from(child >> axis & 1 == 1)));
                (node << 3 | child, level + 1, shift)
            }));
        }
    }
}
