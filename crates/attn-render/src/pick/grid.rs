//! The points of a flat panel by the cells of a square grid, for boxes in data coordinates.

use std::ops::Range;

use super::{Entry, entries};
use crate::scene::Point;

/// Points of a panel, sorted by the cell of a square grid over their bounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    min: [f32; 2],
    cell: [f32; 2],
    cells: [usize; 2],
    /// Where each cell's points start in `points`; one more than cells.
    starts: Vec<usize>,
    points: Vec<Entry>,
}

impl Grid {
    pub(super) fn new(points: &[Point], runs: &[Range<usize>]) -> Self {
        let all: Vec<Entry> = entries(points, runs, 2).collect();
        let Some(first) = all.first() else {
            return Self::default();
        };
        let (mut min, mut max) = (first.position, first.position);
        for entry in &all {
            for axis in 0..2 {
                min[axis] = min[axis].min(entry.position[axis]);
                max[axis] = max[axis].max(entry.position[axis]);
            }
        }
        let side = all.len().div_ceil(4).isqrt().clamp(1, 1024);
        let cell = [0, 1].map(|axis| ((max[axis] - min[axis]) / side as f32).max(f32::MIN_POSITIVE));
        let mut grid = Self {
            min: [min[0], min[1]],
            cell,
            cells: [side; 2],
            starts: vec![0; side * side + 1],
            points: all.clone(),
        };
        // Counting sort.
        let cells: Vec<usize> = all.iter().map(|entry| grid.cell_index(entry.position)).collect();
        for &cell in &cells {
            grid.starts[cell + 1] += 1;
        }
        for cell in 0..side * side {
            grid.starts[cell + 1] += grid.starts[cell];
        }
        let mut next = grid.starts.clone();
        for (entry, &cell) in all.iter().zip(&cells) {
            grid.points[next[cell]] = *entry;
            next[cell] += 1;
        }
        grid
    }

    /// The cell of a coordinate along an axis, cut to the grid.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the grid"
    )]
    fn along(&self, axis: usize, value: f32) -> usize {
        let last = self.cells[axis].saturating_sub(1);
        ((value - self.min[axis]) / self.cell[axis]).clamp(0.0, last as f32) as usize
    }

    fn cell_index(&self, position: [f32; 3]) -> usize {
        self.along(1, position[1]) * self.cells[0] + self.along(0, position[0])
    }

    /// Shows every point in the cells that the box touches, a row of cells at a time.
    pub(super) fn visit(&self, min: [f32; 2], max: [f32; 2], mut found: impl FnMut(&[Entry])) {
        if self.points.is_empty() {
            return;
        }
        let (left, right) = (self.along(0, min[0]), self.along(0, max[0]));
        for row in self.along(1, min[1])..=self.along(1, max[1]) {
            let first = row * self.cells[0];
            found(&self.points[self.starts[first + left]..self.starts[first + right + 1]]);
        }
    }
}
