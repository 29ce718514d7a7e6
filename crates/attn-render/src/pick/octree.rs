//! The points of a cloud in three dimensions by the cells of an octree, for boxes of pixels.
//!
//! The cells of the finest level are numbered along a Z-order curve (Morton 1966), so that the points below any node are one
//! run of a single sorted list: the tree is that list and where each finest cell starts in it. A box of pixels is a pyramid
//! from the eye; nodes that lie behind one of its sides are passed over.

use std::ops::Range;

use crate::{Point, Rect, Transform};

/// Points of a panel in the order of their cells.
#[derive(Debug, Clone, Default)]
pub(super) struct Octree {
    min: [f32; 3],
    /// Side of the whole.
    side: f32,
    /// Levels below the root.
    levels: u32,
    /// Where each finest cell's points start in `points`; one more entry than cells.
    starts: Vec<u32>,
    points: Vec<u32>,
}

/// Points of a finest cell, about.
const PER_CELL: usize = 4;
/// Cells grow by this share of the whole against what rounding does to their borders.
const SLACK: f32 = 1e-5;

impl Octree {
    pub(super) fn new(points: &[Point], runs: &[Range<usize>]) -> Self {
        let finite = |index: &usize| points[*index].position.iter().all(|v| v.is_finite());
        let indices: Vec<usize> = runs.iter().cloned().flatten().filter(finite).collect();
        let (mut min, mut max) = ([f32::MAX; 3], [f32::MIN; 3]);
        for &index in &indices {
            for axis in 0..3 {
                min[axis] = min[axis].min(points[index].position[axis]);
                max[axis] = max[axis].max(points[index].position[axis]);
            }
        }
        // Eight cells more with each level; clouds fill about a third of theirs.
        let wanted = 3 * indices.len() / PER_CELL;
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
            points: vec![0; indices.len()],
        };
        // Counting sort.
        let codes: Vec<usize> = indices.iter().map(|&i| tree.code(points[i].position)).collect();
        for &code in &codes {
            tree.starts[code + 1] += 1;
        }
        for cell in 0..cells {
            tree.starts[cell + 1] += tree.starts[cell];
        }
        let mut next = tree.starts.clone();
        for (&index, &code) in indices.iter().zip(&codes) {
            // Ids of points are 32 bits wide too; more are not drawn.
            tree.points[next[code] as usize] = u32::try_from(index).unwrap_or(u32::MAX);
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
            let cell = along.clamp(0.0, across - 1.0) as usize;
            (0..self.levels).fold(0, |code, bit| code | (cell >> bit & 1) << (3 * bit as usize + axis))
        };
        spread(0) | spread(1) | spread(2)
    }

    /// Every point that may be inside a rectangle of pixels, and others near it.
    pub(super) fn within(&self, map: &Transform, px: Rect) -> Vec<usize> {
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
        let mut found = Vec::new();
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
                found.extend(self.points[range].iter().map(|index| *index as usize));
                continue;
            }
            open.extend((0..8).map(|child| {
                let shift = [0, 1, 2]
                    .map(|axis: usize| corner[axis] + 0.5 * size * f32::from(u8::from(child >> axis & 1 == 1)));
                (node << 3 | child, level + 1, shift)
            }));
        }
        found
    }
}
