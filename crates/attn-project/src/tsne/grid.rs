//! Repulsion in the plane by convolution on a grid.
//!
//! The idea of FIt-SNE (Linderman et al., *Fast interpolation-based t-SNE for improved visualization of
//! single-cell RNA-seq data*, Nature Methods 2019): spread the points on a grid, convolve with the kernel by
//! FFT, read the result at the points. Here the interpolation is the smooth one of particle-mesh Ewald
//! (Essmann et al., J. Chem. Phys. 103, 1995): B-splines, whose smoothing is divided out in Fourier space. The
//! force is the gradient of one potential,
//!
//! ```text
//! φ(y) = Σ_j 1 / (1 + |y - y_j|²)        Σ_j (y - y_j) / (1 + |y - y_j|²)² = -½ ∇φ
//! ```
//!
//! so that one transform forth and one back do what FIt-SNE needs eight for, φ itself sums to the normalization
//! Z, and the error is an order of magnitude below that of quadratic interpolation on a finer grid.

use std::sync::Arc;

use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner, num_complex::Complex32};

use super::{Repulsion, tree::Tree};

/// Nodes per axis that a point touches: quintic splines.
const ORDER: usize = 6;
/// Widest spacing of nodes. The spectrum of the kernel falls like `exp(-|k|)`; the grid holds `|k| < π / SPACING`.
/// At 1/2 the errors cost 0.03 of divergence in the end, from 1/3 on they cost nothing.
const SPACING: f32 = 1.0 / 3.0;
/// A narrow cloud is still resolved by so many spacings, which keeps single precision enough for its small forces.
const SPACINGS: f32 = 32.0;
/// Nodes kept free around the cloud and its image: the divided-out smoothing decays by 0.43 a node.
const MARGIN: usize = 12;
/// Largest size of transform (a cloud of some 700 units).
const LARGEST: usize = 4096;
/// Nodes of a transform per point above which a tree is cheaper. A node costs some 9 ns, a point about 100 on the
/// grid and 300 in the tree: dense clouds, as in the first phase or of very many points, are the grid's.
const NODES_PER_POINT: usize = 20;
/// Rows or columns of one task.
const BAND: usize = 8;
/// Points of one task.
const CHUNK: usize = 1024;

pub(super) struct Grid {
    plan: Option<Plan>,
    tree: Tree<2>,
    /// Most nodes per point.
    most: usize,
    /// Values at the nodes: first the density, then the potential.
    nodes: Vec<f32>,
    rows: Vec<Complex32>,
    columns: Vec<Complex32>,
    order: Vec<u32>,
    starts: Vec<usize>,
}

/// What depends on spacing and size only.
struct Plan {
    spacing: f32,
    size: usize,
    /// Subtracted from the kernel: its value across the cloud. The potential of a small cloud is nearly
    /// constant, and its slope, which is the force, would drown in the rounding of that constant.
    offset: f32,
    /// Spectrum of the kernel, smoothing divided out, `[size / 2 + 1, size]`.
    kernel: Vec<f32>,
    row_forward: Arc<dyn RealToComplex<f32>>,
    row_inverse: Arc<dyn ComplexToReal<f32>>,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
}

/// Where the points lie on the grid.
#[derive(Clone, Copy)]
struct Frame {
    low: [f32; 2],
    spacing: f32,
    /// Nodes per axis in use.
    used: usize,
}

impl Frame {
    fn around(y: &[[f32; 2]]) -> Self {
        let mut low = [f32::INFINITY; 2];
        let mut high = [f32::NEG_INFINITY; 2];
        for point in y {
            for c in 0..2 {
                low[c] = low[c].min(point[c]);
                high[c] = high[c].max(point[c]);
            }
        }
        let span = (high[0] - low[0]).max(high[1] - low[1]);
        // Powers of two only, so that the kernel is seldom computed again. Below 1e-30 all points count as one.
        let spacing = (span / SPACINGS).max(1e-30).log2().floor().exp2().min(SPACING);
        let used = ((span / spacing) as usize).saturating_add(ORDER + 1);
        Self { low, spacing, used }
    }

    /// First node touched and place between it and the next, per axis.
    fn place(&self, point: &[f32; 2], axis: usize) -> (usize, f32) {
        let x = (point[axis] - self.low[axis]) / self.spacing;
        let node = x as usize;
        (node, x - node as f32)
    }
}

impl Grid {
    pub(super) fn new(theta: f32) -> Self {
        Self {
            plan: None,
            tree: Tree::new(theta),
            most: NODES_PER_POINT,
            nodes: Vec::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            order: Vec::new(),
            starts: Vec::new(),
        }
    }
}

impl Repulsion<2> for Grid {
    fn repulsion(&mut self, y: &[[f32; 2]], out: &mut [[f32; 2]]) -> f64 {
        let frame = Frame::around(y);
        let size = frame.used.saturating_add(MARGIN).saturating_mul(2);
        if size > LARGEST || size * size / y.len().max(1) > self.most {
            return self.tree.repulsion(y, out);
        }
        let fits = |plan: &Plan| plan.spacing == frame.spacing && size <= plan.size && plan.size < 2 * size;
        let plan = match self.plan.take() {
            Some(plan) if fits(&plan) => plan,
            _ => Plan::new(frame.spacing, good_size(size)),
        };
        sort_by_row(y, frame, &mut self.order, &mut self.starts);
        spread(y, frame, &self.order, &self.starts, &mut self.nodes);
        plan.convolve(frame.used, &mut self.nodes, &mut self.rows, &mut self.columns);
        let n = y.len() as f64;
        let sum = read(y, frame, &self.nodes, out) + n * (n * f64::from(plan.offset) - 1.0); // without the points themselves
        self.plan = Some(plan);
        // Rounding must not make it vanish: no two points are farther apart than the grid is wide.
        let width = f64::from(frame.spacing) * frame.used as f64;
        sum.max(n * (n - 1.0) / (1.0 + 2.0 * width * width))
    }
}

/// Points in the order of the first grid row they touch, ties by index.
fn sort_by_row(y: &[[f32; 2]], frame: Frame, order: &mut Vec<u32>, starts: &mut Vec<usize>) {
    starts.clear();
    starts.resize(frame.used + 1, 0);
    for point in y {
        starts[frame.place(point, 1).0 + 1] += 1;
    }
    for row in 0..frame.used {
        starts[row + 1] += starts[row];
    }
    order.resize(y.len(), 0);
    let mut next = starts.clone();
    for (i, point) in y.iter().enumerate() {
        let slot = &mut next[frame.place(point, 1).0];
        order[*slot] = i as u32;
        *slot += 1;
    }
}

/// Density of the points at the nodes `[row, column]`. A task owns a band of rows and takes the points that
/// touch it, so that every node is summed in the order of the points.
fn spread(y: &[[f32; 2]], frame: Frame, order: &[u32], starts: &[usize], nodes: &mut Vec<f32>) {
    let used = frame.used;
    nodes.clear();
    nodes.resize(used * used, 0.0);
    nodes.par_chunks_mut(used * BAND).enumerate().for_each(|(band, nodes)| {
        let first = band * BAND;
        let end = first + nodes.len() / used;
        for &i in &order[starts[first.saturating_sub(ORDER - 1)]..starts[end]] {
            let point = &y[i as usize];
            let ((x, tx), (row, ty)) = (frame.place(point, 0), frame.place(point, 1));
            let [sx, sy] = Spline::both(tx, ty);
            for (r, &wy) in sy.weights.iter().enumerate() {
                if (first..end).contains(&(row + r)) {
                    let start = (row + r - first) * used + x;
                    for (node, &wx) in nodes[start..start + ORDER].iter_mut().zip(&sx.weights) {
                        *node += wx * wy;
                    }
                }
            }
        }
    });
}

/// Reads the force at every point; returns the sum of the potentials.
fn read(y: &[[f32; 2]], frame: Frame, nodes: &[f32], out: &mut [[f32; 2]]) -> f64 {
    let half = -0.5 / frame.spacing;
    let sums: Vec<f64> = out
        .par_chunks_mut(CHUNK)
        .zip(y.par_chunks(CHUNK))
        .map(|(out, y)| {
            let mut sum = 0.0;
            for (force, point) in out.iter_mut().zip(y) {
                let ((x, tx), (row, ty)) = (frame.place(point, 0), frame.place(point, 1));
                let [sx, sy] = Spline::both(tx, ty);
                let (mut potential, mut slope) = (0.0f32, [0.0f32; 2]);
                for r in 0..ORDER {
                    let start = (row + r) * frame.used + x;
                    let (mut value, mut along) = (0.0f32, 0.0f32);
                    for (c, &node) in nodes[start..start + ORDER].iter().enumerate() {
                        value += sx.weights[c] * node;
                        along += sx.slopes[c] * node;
                    }
                    potential += sy.weights[r] * value;
                    slope[0] += sy.weights[r] * along;
                    slope[1] += sy.slopes[r] * value;
                }
                sum += f64::from(potential);
                *force = slope.map(|s| s * half);
            }
            sum
        })
        .collect();
    sums.iter().sum()
}

impl Plan {
    fn new(spacing: f32, size: usize) -> Self {
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        let mut plan = Self {
            spacing,
            size,
            offset: 1.0 / (1.0 + (SPACINGS * spacing).powi(2)),
            kernel: Vec::new(),
            row_forward: real.plan_fft_forward(size),
            row_inverse: real.plan_fft_inverse(size),
            forward: complex.plan_fft_forward(size),
            inverse: complex.plan_fft_inverse(size),
        };
        // The kernel around node 0, on a torus; it is even, so its spectrum is real.
        let away = |node: usize| (node.min(size - node) as f32 * spacing).powi(2);
        // 1 / (1 + r²) - 1 / (1 + s²) without the cancellation.
        let across = (SPACINGS * spacing).powi(2);
        let kernel = |squared: f32| (across - squared) / ((1.0 + squared) * (1.0 + across));
        let mut nodes = vec![0.0f32; size * size];
        nodes.par_chunks_mut(size).enumerate().for_each(|(row, nodes)| {
            nodes
                .iter_mut()
                .enumerate()
                .for_each(|(column, node)| *node = kernel(away(row) + away(column)));
        });
        let mut rows = Vec::new();
        plan.transform_rows(size, &nodes, &mut rows);
        let half = size / 2 + 1;
        // Spectrum of the spline sampled at the nodes; spreading and reading each multiply by it.
        let [Spline { weights: samples, .. }, _] = Spline::both(0.0, 0.0);
        let center = ORDER / 2 - 1;
        let smoothing: Vec<f64> = (0..size)
            .map(|k| {
                let turn = std::f64::consts::TAU * k as f64 / size as f64;
                let value = |j: usize| f64::from(samples[j]) * (turn * (j as f64 - center as f64)).cos();
                (0..ORDER).map(value).sum::<f64>().powi(2)
            })
            .collect();
        let scale = 1.0 / (size as f64).powi(2);
        let mut kernel = vec![0.0f32; half * size];
        kernel.par_chunks_mut(size * BAND).enumerate().for_each(|(band, out)| {
            let first = band * BAND;
            let mut buffer = gather_columns(&rows, half, first, out.len() / size, size, size);
            plan.forward.process(&mut buffer);
            for (c, (out, column)) in out.chunks_mut(size).zip(buffer.chunks(size)).enumerate() {
                for (k, (out, value)) in out.iter_mut().zip(column).enumerate() {
                    *out = (f64::from(value.re) * scale / (smoothing[first + c] * smoothing[k])) as f32;
                }
            }
        });
        plan.kernel = kernel;
        plan
    }

    /// Convolves the `used x used` nodes with the kernel. Rows and columns beyond are zero and never stored.
    fn convolve(&self, used: usize, nodes: &mut [f32], rows: &mut Vec<Complex32>, columns: &mut Vec<Complex32>) {
        let (size, half) = (self.size, self.size / 2 + 1);
        self.transform_rows(used, nodes, rows);
        columns.resize(half * used, Complex32::default());
        columns
            .par_chunks_mut(used * BAND)
            .enumerate()
            .for_each(|(band, columns)| {
                let first = band * BAND;
                let count = columns.len() / used;
                let mut buffer = gather_columns(rows, half, first, count, used, size);
                self.forward.process(&mut buffer);
                let kernel = &self.kernel[first * size..(first + count) * size];
                buffer.iter_mut().zip(kernel).for_each(|(value, k)| *value *= *k);
                self.inverse.process(&mut buffer);
                for (out, column) in columns.chunks_mut(used).zip(buffer.chunks(size)) {
                    out.copy_from_slice(&column[..used]);
                }
            });
        nodes.par_chunks_mut(used * BAND).enumerate().for_each(|(band, nodes)| {
            let first = band * BAND;
            let count = nodes.len() / used;
            let mut buffer = gather_columns(columns, used, first, count, half, half);
            let mut line = vec![0.0f32; size];
            let mut scratch = self.row_inverse.make_scratch_vec();
            for (out, row) in nodes.chunks_mut(used).zip(buffer.chunks_mut(half)) {
                // Real by symmetry; what rounding left there would be refused.
                row[0].im = 0.0;
                row[half - 1].im = 0.0;
                let done = self.row_inverse.process_with_scratch(row, &mut line, &mut scratch);
                debug_assert!(done.is_ok(), "lengths come from the same plan");
                out.copy_from_slice(&line[..used]);
            }
        });
    }

    /// Real transforms of the rows of `nodes` `[used, used]`, zero-padded: `[used, size / 2 + 1]`.
    fn transform_rows(&self, used: usize, nodes: &[f32], rows: &mut Vec<Complex32>) {
        let half = self.size / 2 + 1;
        rows.resize(used * half, Complex32::default());
        rows.par_chunks_mut(half * BAND)
            .zip(nodes.par_chunks(used * BAND))
            .for_each(|(rows, nodes)| {
                let mut line = vec![0.0f32; self.size];
                let mut scratch = self.row_forward.make_scratch_vec();
                for (row, nodes) in rows.chunks_mut(half).zip(nodes.chunks(used)) {
                    line[..used].copy_from_slice(nodes);
                    line[used..].fill(0.0);
                    let done = self.row_forward.process_with_scratch(&mut line, row, &mut scratch);
                    debug_assert!(done.is_ok(), "lengths come from the same plan");
                }
            });
    }
}

/// Columns `first..first + count` of a matrix of `width` columns and `height` rows, as rows padded to `length`.
fn gather_columns(
    matrix: &[Complex32],
    width: usize,
    first: usize,
    count: usize,
    height: usize,
    length: usize,
) -> Vec<Complex32> {
    let mut out = vec![Complex32::default(); count * length];
    for row in 0..height {
        for (c, &value) in matrix[row * width + first..row * width + first + count]
            .iter()
            .enumerate()
        {
            out[c * length + row] = value;
        }
    }
    out
}

/// What a point at `t` of the way between two nodes gives each of the `ORDER` nodes around it, and the
/// derivatives: the quintic B-spline (Schoenberg 1946), piece by piece. The left half mirrors the right one.
struct Spline {
    weights: [f32; ORDER],
    slopes: [f32; ORDER],
}

impl Spline {
    /// The splines of both axes; their four halves go through the same instructions.
    #[inline(always)]
    fn both(x: f32, y: f32) -> [Self; 2] {
        let t = [x, 1.0 - x, y, 1.0 - y];
        let mut weights = [[0.0f32; 4]; 3];
        let mut slopes = [[0.0f32; 4]; 3];
        for i in 0..4 {
            let t = t[i];
            let square = t * t;
            let fourth = square * square * (1.0 / 120.0);
            weights[0][i] = (26.0 + t * (50.0 + t * (20.0 + t * (-20.0 + t * (-20.0 + t * 10.0))))) * (1.0 / 120.0);
            weights[1][i] = (1.0 + t * (5.0 + t * (10.0 + t * (10.0 + t * (5.0 - t * 5.0))))) * (1.0 / 120.0);
            weights[2][i] = fourth * t;
            slopes[0][i] = (50.0 + t * (40.0 + t * (-60.0 + t * (-80.0 + t * 50.0)))) * (1.0 / 120.0);
            slopes[1][i] = (5.0 + t * (20.0 + t * (30.0 + t * (20.0 - t * 25.0)))) * (1.0 / 120.0);
            slopes[2][i] = 5.0 * fourth;
        }
        [0, 2].map(|axis| {
            let (right, left) = (axis, axis + 1);
            let all = |of: &[[f32; 4]; 3], sign: f32| {
                [
                    sign * of[2][left],
                    sign * of[1][left],
                    sign * of[0][left],
                    of[0][right],
                    of[1][right],
                    of[2][right],
                ]
            };
            Self {
                weights: all(&weights, 1.0),
                slopes: all(&slopes, -1.0),
            }
        })
    }
}

/// The smallest even number from `least` on with no prime factor above 5: transforms of such lengths are fast.
fn good_size(least: usize) -> usize {
    let smooth = |mut n: usize| {
        for prime in [2, 3, 5] {
            while n.is_multiple_of(prime) {
                n /= prime;
            }
        }
        n == 1
    };
    (least..).find(|&n| n.is_multiple_of(2) && smooth(n)).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsne::tests::{cloud, exact, worst_error};

    /// The cardinal B-spline by de Boor's recursion.
    fn recursion(t: f64) -> Vec<f64> {
        let mut w = vec![1.0 - t, t];
        for order in 3..=ORDER {
            let at = |j: isize| if j < 0 { 0.0 } else { *w.get(j as usize).unwrap_or(&0.0) };
            let weight =
                |j: usize| (t + (order - 1 - j) as f64) * at(j as isize - 1) + ((j + 1) as f64 - t) * at(j as isize);
            w = (0..order).map(|j| weight(j) / (order - 1) as f64).collect();
        }
        w
    }

    #[test]
    fn splines_agree_with_their_recursion() {
        for (x, y) in [(0.0f32, 0.25f32), (0.5, 0.9), (0.99, 0.01)] {
            for (spline, t) in Spline::both(x, y).iter().zip([x, y]) {
                let (truth, step) = (recursion(f64::from(t)), 1e-5);
                let (up, down) = (recursion(f64::from(t) + step), recursion(f64::from(t) - step));
                for j in 0..ORDER {
                    assert!((f64::from(spline.weights[j]) - truth[j]).abs() < 1e-6);
                    let slope = (up[j] - down[j]) / (2.0 * step);
                    assert!((f64::from(spline.slopes[j]) - slope).abs() < 1e-5, "{t} {j} {slope}");
                }
            }
        }
    }

    #[test]
    fn agrees_with_the_sum_over_all_pairs() {
        for radius in [1e-4f32, 0.03, 1.0, 7.0, 40.0] {
            let y = cloud::<2>(2000, radius);
            let mut force = vec![[0.0; 2]; y.len()];
            let mut grid = Grid::new(0.5);
            grid.most = usize::MAX;
            let sum = grid.repulsion(&y, &mut force);
            let truth = exact(&y);
            let error = worst_error(&force, &truth.0);
            assert!((sum / truth.1 - 1.0).abs() < 3e-4, "{radius}: {sum} {}", truth.1);
            assert!(error < 3e-2, "{radius}: {error}");
        }
    }

    #[test]
    fn a_huge_cloud_goes_through_the_tree() {
        let y = cloud::<2>(200, 1e6);
        let mut force = vec![[0.0; 2]; 200];
        let sum = Grid::new(0.5).repulsion(&y, &mut force);
        assert!((sum / exact(&y).1 - 1.0).abs() < 0.05);
    }
}
