//! Repulsion by Barnes-Hut (van der Maaten, *Accelerating t-SNE using tree-based algorithms*, JMLR 2014,
//! section 4.2): a quadtree or octree, whose far cells act as one point at their centre of mass.
//!
//! Points are sorted along the Morton curve, so that every cell is a range of them and neighbours in space are
//! neighbours in memory. Cells are stored in depth-first order with the place to go on when a cell is not
//! opened: a walk is one loop without a stack, and its order, hence its rounding, is always the same.

use rayon::prelude::*;

use super::Repulsion;

/// Up to so many points are summed one by one.
const LEAF: usize = 8;
/// Points walked by one task.
const CHUNK: usize = 256;

pub(super) struct Tree<const D: usize> {
    /// A cell of width `w` at distance `r` counts as one point if `w < theta r`; at 0 all pairs are summed.
    theta: f32,
    order: Vec<(u64, u32)>,
    sorted: Vec<[f32; D]>,
    cells: Vec<Cell<D>>,
}

#[derive(Clone, Copy)]
struct Cell<const D: usize> {
    center: [f32; D],
    count: f32,
    /// Cells nearer than this (squared) are opened.
    reach: f32,
    /// Where the walk goes on when this cell is not opened.
    skip: u32,
    /// The points of a leaf; empty for cells with children.
    first: u32,
    last: u32,
}

impl<const D: usize> Tree<D> {
    pub(super) fn new(theta: f32) -> Self {
        Self {
            theta,
            order: Vec::new(),
            sorted: Vec::new(),
            cells: Vec::new(),
        }
    }

    fn build(&mut self, y: &[[f32; D]]) {
        let mut low = [f32::INFINITY; D];
        let mut high = [f32::NEG_INFINITY; D];
        for point in y {
            for c in 0..D {
                low[c] = low[c].min(point[c]);
                high[c] = high[c].max(point[c]);
            }
        }
        let width = (0..D).map(|c| high[c] - low[c]).fold(f32::MIN_POSITIVE, f32::max);
        let scale = (1u64 << bits::<D>()) as f32 * 0.999_999 / width;
        self.order.clear();
        self.order.par_extend(y.par_iter().enumerate().map(|(i, point)| {
            let cell = std::array::from_fn::<u64, D, _>(|c| ((point[c] - low[c]) * scale) as u64);
            (morton(cell), i as u32)
        }));
        self.order.par_sort_unstable();
        self.sorted.clear();
        self.sorted.extend(self.order.iter().map(|&(_, i)| y[i as usize]));
        self.cells.clear();
        self.grow(0, y.len(), 0, width);
    }

    /// Appends the cell of the points `first..last`, which share the first `level` digits of their codes.
    fn grow(&mut self, first: usize, last: usize, mut level: u32, mut width: f32) {
        let digit = |code: u64, level: u32| (code >> (D as u32 * (bits::<D>() - 1 - level))) & ((1 << D) - 1);
        // Cells whose points all lie in one child are skipped: the child says more.
        let (a, b) = (self.order[first].0, self.order[last - 1].0);
        while level < bits::<D>() && digit(a, level) == digit(b, level) {
            level += 1;
            width *= 0.5;
        }
        let mut center = [0.0f32; D];
        let inverse = 1.0 / (last - first) as f64;
        for c in 0..D {
            center[c] = (self.sorted[first..last].iter().map(|p| f64::from(p[c])).sum::<f64>() * inverse) as f32;
        }
        let leaf = last - first <= LEAF || level == bits::<D>();
        let index = self.cells.len();
        self.cells.push(Cell {
            center,
            count: (last - first) as f32,
            reach: (width / self.theta).powi(2),
            skip: 0,
            first: if leaf { first as u32 } else { 0 },
            last: if leaf { last as u32 } else { 0 },
        });
        if !leaf {
            let mut start = first;
            while start < last {
                let child = digit(self.order[start].0, level);
                let length = self.order[start..last].partition_point(|&(code, _)| digit(code, level) == child);
                self.grow(start, start + length, level + 1, width * 0.5);
                start += length;
            }
        }
        self.cells[index].skip = self.cells.len() as u32;
    }

    /// Repulsion on one point of the sorted order, and its part of the sum over pairs.
    fn walk(&self, i: usize) -> ([f32; D], f64) {
        let point = self.sorted[i];
        let mut force = [0.0f32; D];
        let mut sum = 0.0f32;
        let mut add = |count: f32, difference: &[f32; D], squared: f32| {
            let w = 1.0 / (1.0 + squared);
            sum += count * w;
            for c in 0..D {
                force[c] += count * w * w * difference[c];
            }
        };
        let mut next = 0;
        while next < self.cells.len() {
            let cell = &self.cells[next];
            let (difference, squared) = apart(&point, &cell.center);
            if squared > cell.reach {
                add(cell.count, &difference, squared);
                next = cell.skip as usize;
            } else if cell.last > cell.first {
                for j in (cell.first as usize..cell.last as usize).filter(|&j| j != i) {
                    let (difference, squared) = apart(&point, &self.sorted[j]);
                    add(1.0, &difference, squared);
                }
                next = cell.skip as usize;
            } else {
                next += 1;
            }
        }
        (force, f64::from(sum))
    }
}

impl<const D: usize> Repulsion<D> for Tree<D> {
    fn repulsion(&mut self, y: &[[f32; D]], out: &mut [[f32; D]]) -> f64 {
        self.build(y);
        let walked: Vec<([f32; D], f64)> = (0..y.len())
            .into_par_iter()
            .with_min_len(CHUNK)
            .map(|i| self.walk(i))
            .collect();
        for (&(_, i), &(force, _)) in self.order.iter().zip(&walked) {
            out[i as usize] = force;
        }
        walked.iter().map(|&(_, sum)| sum).sum()
    }
}

/// Difference and squared distance.
fn apart<const D: usize>(a: &[f32; D], b: &[f32; D]) -> ([f32; D], f32) {
    let difference: [f32; D] = std::array::from_fn(|c| a[c] - b[c]);
    (difference, difference.iter().map(|x| x * x).sum())
}

/// Digits of a Morton code: as many as fit 63 bits, though f32 coordinates have no more than 24.
const fn bits<const D: usize>() -> u32 {
    let fit = 63 / D as u32;
    if fit < 24 { fit } else { 24 }
}

/// Interleaves the bits of the coordinates.
fn morton<const D: usize>(cell: [u64; D]) -> u64 {
    let mut code = 0;
    for bit in 0..bits::<D>() {
        for (c, &value) in cell.iter().enumerate() {
            code |= ((value >> bit) & 1) << (bit * D as u32 + c as u32);
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsne::tests::{cloud, exact, worst_error};

    #[test]
    fn agrees_with_the_sum_over_all_pairs() {
        let flat = cloud::<2>(3000, 20.0);
        let solid = cloud::<3>(3000, 8.0);
        let (mut force2, mut force3) = (vec![[0.0; 2]; 3000], vec![[0.0; 3]; 3000]);
        let sum2 = Tree::new(0.3).repulsion(&flat, &mut force2);
        let sum3 = Tree::new(0.3).repulsion(&solid, &mut force3);
        let (truth2, truth3) = (exact(&flat), exact(&solid));
        assert!((sum2 / truth2.1 - 1.0).abs() < 5e-3, "{sum2} {}", truth2.1);
        assert!((sum3 / truth3.1 - 1.0).abs() < 5e-3, "{sum3} {}", truth3.1);
        assert!(
            worst_error(&force2, &truth2.0) < 0.05,
            "{}",
            worst_error(&force2, &truth2.0)
        );
        assert!(
            worst_error(&force3, &truth3.0) < 0.05,
            "{}",
            worst_error(&force3, &truth3.0)
        );
    }

    #[test]
    fn an_opened_tree_is_exact() {
        let mut y = cloud::<3>(500, 2.0);
        (0..100).for_each(|i| y[i] = [0.5, 0.5, 0.5]); // coincident points fill one leaf
        let mut force = vec![[0.0; 3]; 500];
        let sum = Tree::new(0.0).repulsion(&y, &mut force);
        let truth = exact(&y);
        assert!((sum / truth.1 - 1.0).abs() < 1e-6);
        assert!(worst_error(&force, &truth.0) < 1e-5);
    }
}
