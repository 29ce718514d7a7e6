//! Repulsion by Barnes-Hut (van der Maaten, *Accelerating t-SNE using tree-based algorithms*, JMLR 2014,
//! section 4.2): a quadtree or octree, whose far cells act as one point at their center of mass.
//!
//! Points are sorted along the Morton curve, so that every cell is a range of them and neighbors in space are
//! neighbors in memory. Cells are stored in depth-first order with the place to go on when a cell is not
//! opened: a walk is one loop without a stack, and its order, hence its rounding, is always the same.
//!
//! Neighbors on the curve walk together (Barnes, *A modified tree code: don't laugh; it runs*, J. Comput. Phys.
//! 87, 1990): one walk lists what acts on all of a group, judged by its nearest corner, which errs less than a walk
//! per point; then the list is summed for all of them in vector registers, which is several times faster than walking.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::Repulsion;

/// Up to so many points are summed one by one.
const LEAF: usize = 8;
/// Points that walk together: two of the widest vectors.
const GROUP: usize = 32;
/// Groups of one task.
const GROUPS: usize = 8;

pub(super) struct Tree<const D: usize> {
    /// A cell of width `w` at distance `r` counts as one point if `w < theta r`; at 0 all pairs are summed.
    theta: f32,
    order: Vec<(u64, u32)>,
    sorted: Vec<[f32; D]>,
    cells: Vec<Cell<D>>,
    walked: Vec<Walked<D>>,
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

/// Forces on the points of one group, axis by axis, and their parts of the sum over pairs.
#[derive(Clone, Copy)]
struct Walked<const D: usize> {
    force: [[f32; GROUP]; D],
    sum: [f32; GROUP],
}

/// What acts on a group: up to three coordinates, then how many points lie there.
type Source = [f32; 4];

impl<const D: usize> Tree<D> {
    pub(super) fn new(theta: f32) -> Self {
        Self {
            theta,
            order: Vec::new(),
            sorted: Vec::new(),
            cells: Vec::new(),
            walked: Vec::new(),
        }
    }

    fn build(&mut self, y: &[[f32; D]]) {
        let width = along_curve(y, &mut self.order);
        self.sorted.clear();
        self.sorted.extend(self.order.iter().map(|&(_, i)| y[i as usize]));
        self.cells.clear();
        self.grow(0, y.len(), 0, width);
    }

    /// Appends the cell of the points `first..last`, which share the first `level` digits of their codes; returns
    /// the sum of their coordinates.
    fn grow(&mut self, first: usize, last: usize, mut level: u32, mut width: f32) -> [f64; D] {
        let digit = |code: u64, level: u32| (code >> (D as u32 * (bits::<D>() - 1 - level))) & ((1 << D) - 1);
        // Cells whose points all lie in one child are skipped: the child says more.
        let (a, b) = (self.order[first].0, self.order[last - 1].0);
        while level < bits::<D>() && digit(a, level) == digit(b, level) {
            level += 1;
            width *= 0.5;
        }
        let leaf = last - first <= LEAF || level == bits::<D>();
        let index = self.cells.len();
        self.cells.push(Cell {
            center: [0.0; D],
            count: (last - first) as f32,
            reach: (width / self.theta).powi(2),
            skip: 0,
            first: if leaf { first as u32 } else { 0 },
            last: if leaf { last as u32 } else { 0 },
        });
        let mut total = [0.0f64; D];
        if leaf {
            for point in &self.sorted[first..last] {
                (0..D).for_each(|c| total[c] += f64::from(point[c]));
            }
        } else {
            let mut start = first;
            while start < last {
                let child = digit(self.order[start].0, level);
                let length = self.order[start..last].partition_point(|&(code, _)| digit(code, level) == child);
                let part = self.grow(start, start + length, level + 1, width * 0.5);
                (0..D).for_each(|c| total[c] += part[c]);
                start += length;
            }
        }
        self.cells[index].center = total.map(|sum| (sum / (last - first) as f64) as f32);
        self.cells[index].skip = self.cells.len() as u32;
        total
    }

    /// Lists what acts on the points `own`, which lie between `low` and `high`, but for those points themselves.
    fn sources(&self, own: Range<usize>, low: [f32; D], high: [f32; D], list: &mut Vec<Source>) {
        list.clear();
        let mut next = 0;
        while next < self.cells.len() {
            let cell = &self.cells[next];
            let mut squared = 0.0f32;
            for c in 0..D {
                let gap = (low[c] - cell.center[c]).max(cell.center[c] - high[c]).max(0.0);
                squared += gap * gap;
            }
            if squared > cell.reach {
                list.push(source(&cell.center, cell.count));
                next = cell.skip as usize;
            } else if cell.last > cell.first {
                let points = (cell.first as usize..cell.last as usize).filter(|j| !own.contains(j));
                list.extend(points.map(|j| source(&self.sorted[j], 1.0)));
                next = cell.skip as usize;
            } else {
                next += 1;
            }
        }
    }
}

/// The points along the Morton curve, with their codes; returns the width of the square or cube that they are in.
pub(super) fn along_curve<const D: usize>(y: &[[f32; D]], order: &mut Vec<(u64, u32)>) -> f32 {
    let (low, high) = bounds(y);
    let width = (0..D).map(|c| high[c] - low[c]).fold(f32::MIN_POSITIVE, f32::max);
    let scale = (1u64 << bits::<D>()) as f32 * 0.999_999 / width;
    order.clear();
    order.par_extend(y.par_iter().enumerate().map(|(i, point)| {
        let cell = std::array::from_fn::<u64, D, _>(|c| ((point[c] - low[c]) * scale) as u64);
        (morton(cell), i as u32)
    }));
    order.par_sort_unstable();
    width
}

fn source<const D: usize>(place: &[f32; D], count: f32) -> Source {
    let mut out = [0.0; 4];
    out[..D].copy_from_slice(place);
    out[3] = count;
    out
}

fn bounds<const D: usize>(y: &[[f32; D]]) -> ([f32; D], [f32; D]) {
    let (mut low, mut high) = ([f32::INFINITY; D], [f32::NEG_INFINITY; D]);
    for point in y {
        for c in 0..D {
            low[c] = low[c].min(point[c]);
            high[c] = high[c].max(point[c]);
        }
    }
    (low, high)
}

impl<const D: usize> Repulsion<D> for Tree<D> {
    fn repulsion(&mut self, y: &[[f32; D]], out: &mut [[f32; D]]) -> f64 {
        self.build(y);
        let nothing = Walked {
            force: [[0.0; GROUP]; D],
            sum: [0.0; GROUP],
        };
        let mut walked = std::mem::take(&mut self.walked);
        walked.resize(y.len().div_ceil(GROUP), nothing);
        walked
            .par_chunks_mut(GROUPS)
            .zip(self.sorted.par_chunks(GROUPS * GROUP))
            .enumerate()
            .for_each(|(task, (walked, sorted))| {
                let mut list = Vec::new();
                for (group, (walked, points)) in walked.iter_mut().zip(sorted.chunks(GROUP)).enumerate() {
                    let first = (task * GROUPS + group) * GROUP;
                    let (low, high) = bounds(points);
                    self.sources(first..first + points.len(), low, high, &mut list);
                    // A last group that is not full is filled up with its first point, whose results are not read.
                    let mut targets = [[0.0f32; GROUP]; D];
                    for i in 0..GROUP {
                        let point = points.get(i).unwrap_or(&points[0]);
                        (0..D).for_each(|c| targets[c][i] = point[c]);
                    }
                    pulp::Arch::new().dispatch(Sum {
                        targets: &targets,
                        own: points.len(),
                        list: &list,
                        walked,
                    });
                }
            });
        let mut sum = 0.0;
        for (walked, order) in walked.iter().zip(self.order.chunks(GROUP)) {
            for (slot, &(_, i)) in order.iter().enumerate() {
                let out = &mut out[i as usize];
                (0..D).for_each(|c| out[c] = walked.force[c][slot]);
                sum += f64::from(walked.sum[slot]);
            }
        }
        self.walked = walked;
        sum
    }
}

/// 1 for all points of a group but one.
const OTHERS: [[f32; GROUP]; GROUP] = {
    let mut counts = [[1.0; GROUP]; GROUP];
    let mut i = 0;
    while i < GROUP {
        counts[i][i] = 0.0;
        i += 1;
    }
    counts
};

/// Sums what acts on the points of a group: a list, and the points themselves, of which there are `own`.
struct Sum<'a, const D: usize> {
    targets: &'a [[f32; GROUP]; D],
    own: usize,
    list: &'a [Source],
    walked: &'a mut Walked<D>,
}

impl<const D: usize> WithSimd for Sum<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = simd.splat_f32s(0.0);
        // Two vectors at a time, so that one computes while the other waits for its quotient.
        for v in (0..GROUP / S::F32_LANES - 1).step_by(2) {
            let mut points = [[zero; D]; 2];
            for c in 0..D {
                let axis = S::as_simd_f32s(&self.targets[c]).0;
                points[0][c] = axis[v];
                points[1][c] = axis[v + 1];
            }
            let mut total = [[zero; D]; 2];
            let mut sum = [zero; 2];
            for source in self.list {
                let mut place = [0.0; D];
                place.copy_from_slice(&source[..D]);
                let count = simd.splat_f32s(source[3]);
                act(simd, &place, [count; 2], &points, &mut total, &mut sum);
            }
            for (i, counts) in OTHERS[..self.own].iter().enumerate() {
                let mut place = [0.0; D];
                for c in 0..D {
                    place[c] = self.targets[c][i];
                }
                let counts = S::as_simd_f32s(counts).0;
                act(simd, &place, [counts[v], counts[v + 1]], &points, &mut total, &mut sum);
            }
            for h in 0..2 {
                S::as_mut_simd_f32s(&mut self.walked.sum).0[v + h] = sum[h];
                for c in 0..D {
                    S::as_mut_simd_f32s(&mut self.walked.force[c]).0[v + h] = total[h][c];
                }
            }
        }
    }
}

/// What `counts` points at `place` do to two vectors of points.
#[inline(always)]
fn act<S: Simd, const D: usize>(
    simd: S,
    place: &[f32; D],
    counts: [S::f32s; 2],
    points: &[[S::f32s; D]; 2],
    total: &mut [[S::f32s; D]; 2],
    sum: &mut [S::f32s; 2],
) {
    for h in 0..2 {
        let mut apart = points[h];
        let mut squared = simd.splat_f32s(1.0);
        for c in 0..D {
            apart[c] = simd.sub_f32s(points[h][c], simd.splat_f32s(place[c]));
            squared = simd.mul_add_e_f32s(apart[c], apart[c], squared);
        }
        let w = simd.div_f32s(simd.splat_f32s(1.0), squared);
        let weight = simd.mul_f32s(counts[h], w);
        sum[h] = simd.add_f32s(sum[h], weight);
        let weight = simd.mul_f32s(weight, w);
        for c in 0..D {
            total[h][c] = simd.mul_add_e_f32s(weight, apart[c], total[h][c]);
        }
    }
}

/// Digits of a Morton code: as many as fit 63 bits, though f32 coordinates have no more than 24.
const fn bits<const D: usize>() -> u32 {
    let fit = 63 / D as u32;
    if fit < 24 { fit } else { 24 }
}

/// Interleaves the bits of the coordinates.
fn morton<const D: usize>(cell: [u64; D]) -> u64 {
    let mut code = 0;
    for (c, &value) in cell.iter().enumerate() {
        code |= apart(value, D as u32) << c;
    }
    code
}

/// Moves bit `b` of a 24-bit (2D) or 21-bit (3D) number to bit `b * step`, by halves, quarters, and so on.
fn apart(mut value: u64, step: u32) -> u64 {
    let masks: [(u32, u64); 5] = if step == 2 {
        [
            (16, 0x0000_ffff_0000_ffff),
            (8, 0x00ff_00ff_00ff_00ff),
            (4, 0x0f0f_0f0f_0f0f_0f0f),
            (2, 0x3333_3333_3333_3333),
            (1, 0x5555_5555_5555_5555),
        ]
    } else {
        [
            (32, 0x001f_0000_0000_ffff),
            (16, 0x001f_0000_ff00_00ff),
            (8, 0x100f_00f0_0f00_f00f),
            (4, 0x10c3_0c30_c30c_30c3),
            (2, 0x1249_2492_4924_9249),
        ]
    };
    for (shift, mask) in masks {
        value = (value | value << shift) & mask;
    }
    value
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

    #[test]
    fn codes_interleave_the_bits() {
        let mut rng = crate::rng::Rng::new(3, 3);
        for _ in 0..200 {
            let [x, y, z] = std::array::from_fn(|_| rng.next() >> 43);
            let (flat, solid) = (morton([x, y]), morton([x, y, z]));
            for bit in 0..21 {
                let digit = |value: u64| (value >> bit) & 1;
                assert_eq!((flat >> (2 * bit)) & 3, digit(x) | digit(y) << 1);
                assert_eq!((solid >> (3 * bit)) & 7, digit(x) | digit(y) << 1 | digit(z) << 2);
            }
        }
    }
}
