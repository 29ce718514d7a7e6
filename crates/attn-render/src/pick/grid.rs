//! The points of a flat panel by the cells of a square grid, for boxes in data coordinates.

use std::ops::Range;

use crate::Point;

/// Points of a panel, sorted by the cell of a square grid over their bounds.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    min: [f32; 2],
    cell: [f32; 2],
    cells: [usize; 2],
    /// Where each cell's points start in `points`; one more entry than cells.
    starts: Vec<usize>,
    points: Vec<usize>,
}

impl Grid {
    pub(super) fn new(points: &[Point], runs: &[Range<usize>]) -> Self {
        let finite = |index: &usize| points[*index].position[..2].iter().all(|v| v.is_finite());
        let indices: Vec<usize> = runs.iter().cloned().flatten().filter(finite).collect();
        let Some(first) = indices.first() else {
            return Self::default();
        };
        let (mut min, mut max) = ([points[*first].position[0], points[*first].position[1]], [f32::MIN; 2]);
        for &index in &indices {
            for axis in 0..2 {
                min[axis] = min[axis].min(points[index].position[axis]);
                max[axis] = max[axis].max(points[index].position[axis]);
            }
        }
        let side = indices.len().div_ceil(4).isqrt().clamp(1, 1024);
        let cell = [0, 1].map(|axis| ((max[axis] - min[axis]) / side as f32).max(f32::MIN_POSITIVE));
        let mut grid = Self {
            min,
            cell,
            cells: [side; 2],
            starts: vec![0; side * side + 1],
            points: Vec::new(),
        };
        // Counting sort.
        let cells: Vec<usize> = indices.iter().map(|&i| grid.cell_index(points[i].position)).collect();
        for &cell in &cells {
            grid.starts[cell + 1] += 1;
        }
        for cell in 0..side * side {
            grid.starts[cell + 1] += grid.starts[cell];
        }
        let mut next = grid.starts.clone();
        grid.points = vec![0; indices.len()];
        for (&index, &cell) in indices.iter().zip(&cells) {
            grid.points[next[cell]] = index;
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

    /// Every point in the cells that the box touches.
    pub(super) fn within(&self, min: [f32; 2], max: [f32; 2]) -> impl Iterator<Item = usize> {
        let rows = if self.points.is_empty() {
            0..0
        } else {
            self.along(1, min[1])..self.along(1, max[1]) + 1
        };
        let (left, right) = (self.along(0, min[0]), self.along(0, max[0]));
        rows.flat_map(move |row| {
            let first = row * self.cells[0];
            self.points[self.starts[first + left]..self.starts[first + right + 1]]
                .iter()
                .copied()
        })
    }
}
