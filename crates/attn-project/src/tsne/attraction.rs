//! The attraction of t-SNE. Every iteration reads the place of every neighbor of every point; how these lie in memory
//! decides what a descent costs.
//!
//! Rows of affinities are copied for it. They and the points have the order of the map, along the Morton curve, so that
//! neighbors lie near one another, and what one row reads, the next mostly reads again. A row is filled up to whole
//! vectors, and its columns are in the order in which they fill vectors by coordinate. Sums within a row keep their
//! order, hence their rounding.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{affinity::Affinities, tree};

/// Rows of one task.
const CHUNK: usize = 256;
/// Numbers of the widest vector.
const WIDEST: usize = 16;
/// Rows whose neighbors are gathered before they are computed with: what was just written is slow to read.
const GATHERED: usize = 8;
/// As many points are told apart by 16 bits.
const NARROW: usize = 1 << 16;

/// The attraction on every point of a map.
pub(super) struct Attraction<'a, const D: usize> {
    affinities: &'a Affinities,
    /// The code and number of the point at each place along the map.
    order: Vec<(u64, u32)>,
    /// The place of each point.
    places: Vec<u32>,
    rows: Rows,
    /// The points by place, at least [`NARROW`] of them, and what pulls at them.
    y: Vec<[f32; D]>,
    pull: Vec<[f32; D]>,
}

/// Rows by place.
enum Rows {
    Narrow(Packed<u16>),
    Wide(Packed<u32>),
}

/// Rows with places as columns.
#[derive(Default)]
struct Packed<P> {
    offsets: Vec<usize>,
    columns: Vec<P>,
    values: Vec<f32>,
}

/// A place along the map.
trait Place: Copy + Default + Sync {
    /// Where there are at least so many points, every such place is one of them, and reading there needs no check.
    const BELOW: usize;

    fn new(place: u32) -> Self;

    fn index(self) -> usize;
}

impl Place for u16 {
    const BELOW: usize = NARROW;

    #[allow(clippy::cast_possible_truncation, reason = "there are no more points")]
    fn new(place: u32) -> Self {
        place as u16
    }

    #[inline(always)]
    fn index(self) -> usize {
        usize::from(self)
    }
}

impl Place for u32 {
    const BELOW: usize = 0;

    fn new(place: u32) -> Self {
        place
    }

    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

impl<'a, const D: usize> Attraction<'a, D> {
    pub(super) fn new(affinities: &'a Affinities, y: &[[f32; D]]) -> Self {
        let mut new = Self {
            affinities,
            order: Vec::new(),
            places: vec![0; y.len()],
            rows: if y.len() <= NARROW {
                Rows::Narrow(Packed::default())
            } else {
                Rows::Wide(Packed::default())
            },
            y: vec![[0.0; D]; y.len().max(NARROW)],
            pull: vec![[0.0; D]; y.len()],
        };
        new.arrange(y);
        new
    }

    /// Takes up the order of the map. Nothing but the time of [`update`](Self::update) depends on it.
    pub(super) fn arrange(&mut self, y: &[[f32; D]]) {
        tree::along_curve(y, &mut self.order);
        for (place, &(_, i)) in self.order.iter().enumerate() {
            self.places[i as usize] = place as u32;
        }
        let slots = pulp::Arch::new().dispatch(Slots::<D>);
        match &mut self.rows {
            Rows::Narrow(rows) => rows.pack(self.affinities, &self.order, &self.places, &slots),
            Rows::Wide(rows) => rows.pack(self.affinities, &self.order, &self.places, &slots),
        }
    }

    /// Computes `Σ_j p_ij (y_i - y_j) / (1 + |y_i - y_j|²)` for every point.
    pub(super) fn update(&mut self, y: &[[f32; D]]) {
        for (place, &(_, i)) in self.y.iter_mut().zip(&self.order) {
            *place = y[i as usize];
        }
        match &self.rows {
            Rows::Narrow(rows) => rows.pull(&self.y, &mut self.pull),
            Rows::Wide(rows) => rows.pull(&self.y, &mut self.pull),
        }
    }

    /// What pulled at point `i` at the last update.
    pub(super) fn of(&self, i: usize) -> [f32; D] {
        self.pull[self.places[i] as usize]
    }
}

impl<P: Place> Packed<P> {
    /// Copies the rows in the order of the map. Neighbors that fill a vector go to `slots` of it, one after another.
    fn pack(&mut self, affinities: &Affinities, order: &[(u64, u32)], places: &[u32], slots: &[usize]) {
        self.offsets.clear();
        self.columns.clear();
        self.values.clear();
        self.offsets.push(0);
        for &(_, i) in order {
            let (columns, values) = affinities.row(i as usize);
            for (columns, values) in columns.chunks(slots.len()).zip(values.chunks(slots.len())) {
                let start = self.values.len();
                // What fills up the last vector has no weight.
                self.values.extend_from_slice(values);
                self.values.resize(start + slots.len(), 0.0);
                self.columns.resize(start + slots.len(), P::default());
                for (&j, &slot) in columns.iter().zip(slots) {
                    self.columns[start + slot] = P::new(places[j as usize]);
                }
            }
            self.offsets.push(self.values.len());
        }
    }

    /// The pull on the points `y`, by place.
    fn pull<const D: usize>(&self, y: &[[f32; D]], pull: &mut [[f32; D]]) {
        pull.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, pull)| {
            let first = chunk * CHUNK;
            pulp::Arch::new().dispatch(Pull {
                rows: self,
                y,
                first,
                pull,
            });
        });
    }
}

/// The pull on some points: compiled for the vector instructions that the processor turns out to have.
struct Pull<'a, const D: usize, P> {
    rows: &'a Packed<P>,
    y: &'a [[f32; D]],
    first: usize,
    pull: &'a mut [[f32; D]],
}

impl<const D: usize, P: Place> WithSimd for Pull<'_, D, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Packed {
            offsets,
            columns,
            values,
        } = self.rows;
        assert!(self.y.len() >= P::BELOW, "no place lies beyond the points");
        let mut others = Vec::new();
        for (group, pulls) in self.pull.chunks_mut(GATHERED).enumerate() {
            let first = self.first + group * GATHERED;
            let start = offsets[first];
            let columns = &columns[start..offsets[first + pulls.len()]];
            others.resize(columns.len(), [0.0; D]);
            for (other, j) in others.iter_mut().zip(columns) {
                *other = self.y[j.index()];
            }
            for (i, pull) in (first..).zip(pulls) {
                let row = offsets[i]..offsets[i + 1];
                let others = &others[row.start - start..row.end - start];
                *pull = row_pull(simd, &self.y[i], others, &values[row]);
            }
        }
    }
}

/// The pull on a point, of the points of its row and their affinities.
#[inline(always)]
fn row_pull<S: Simd, const D: usize>(simd: S, point: &[f32; D], others: &[[f32; D]], values: &[f32]) -> [f32; D] {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let (mut own, mut sums) = ([zero; D], [zero; D]);
    for c in 0..D {
        own[c] = simd.splat_f32s(point[c]);
    }
    for (v, &p) in S::as_simd_f32s(values).0.iter().enumerate() {
        let near = near(simd, others, v);
        let mut apart = [zero; D];
        let mut squared = one;
        for c in 0..D {
            apart[c] = simd.sub_f32s(own[c], near[c]);
            squared = simd.mul_add_e_f32s(apart[c], apart[c], squared);
        }
        let weight = simd.div_f32s(p, squared);
        for c in 0..D {
            sums[c] = simd.mul_add_e_f32s(weight, apart[c], sums[c]);
        }
    }
    let mut pull = [0.0; D];
    for c in 0..D {
        pull[c] = simd.reduce_sum_f32s(sums[c]);
    }
    pull
}

/// Where the points that fill a vector per coordinate are put, so that [`near`] finds them in order: as many as fill it.
struct Slots<const D: usize>;

impl<const D: usize> WithSimd for Slots<D> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<usize> {
        let mut numbers = [[0.0f32; D]; WIDEST];
        for (slot, number) in numbers.iter_mut().enumerate() {
            *number = [slot as f32; D];
        }
        let lanes = near(simd, &numbers, 0);
        let slots: &[f32] = pulp::bytemuck::cast_slice(std::slice::from_ref(&lanes[0]));
        slots.iter().map(|&slot| slot as usize).collect()
    }
}

/// The `v`-th vector of the gathered points, coordinate by coordinate. In the plane two vectors are read as they lie and
/// taken apart, which permutes them; in space the numbers are picked one by one.
#[inline(always)]
fn near<S: Simd, const D: usize>(simd: S, others: &[[f32; D]], v: usize) -> [S::f32s; D] {
    if D == 2 {
        let (vectors, _) = S::as_simd_f32s(others.as_flattened());
        let apart = simd.deinterleave_shfl_f32s([vectors[2 * v], vectors[2 * v + 1]]);
        return std::array::from_fn(|c| apart[c]);
    }
    let mut lanes = [[0.0f32; WIDEST]; D];
    let first = v * S::F32_LANES;
    for (lane, other) in others[first..first + S::F32_LANES].iter().enumerate() {
        for c in 0..D {
            lanes[c][lane] = other[c];
        }
    }
    lanes.map(|lanes| S::as_simd_f32s(&lanes).0[0])
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{Metric, Neighbors, rng::Rng, tsne::tests::cloud};

    /// Affinities of as many random points, whose rows have different lengths.
    fn affinities(n: usize) -> Affinities {
        let mut rng = Rng::new(5, 0);
        let points = Array2::from_shape_simple_fn((n, 4), || rng.normal() as f32);
        let neighbors = Neighbors::exact(points.view(), 21, Metric::EUCLIDEAN, &()).unwrap();
        Affinities::new(&neighbors, 21, &[7.0])
    }

    fn agrees_with_the_definition<const D: usize>() {
        let n = 700;
        let (affinities, y) = (affinities(n), cloud::<D>(n, 3.0));
        let mut attraction = Attraction::new(&affinities, &cloud::<D>(n, 1.0));
        attraction.update(&y);
        let before: Vec<[f32; D]> = (0..n).map(|i| attraction.of(i)).collect();
        for (i, found) in before.iter().enumerate() {
            let (columns, values) = affinities.row(i);
            let mut truth = [0.0f64; D];
            for (&j, &p) in columns.iter().zip(values) {
                let apart: [f64; D] = std::array::from_fn(|c| f64::from(y[i][c]) - f64::from(y[j as usize][c]));
                let squared: f64 = apart.iter().map(|x| x * x).sum();
                (0..D).for_each(|c| truth[c] += f64::from(p) * apart[c] / (1.0 + squared));
            }
            for c in 0..D {
                assert!(
                    (f64::from(found[c]) - truth[c]).abs() < 1e-6 / n as f64,
                    "{i}: {found:?} {truth:?}"
                );
            }
        }
        // Neither the order of the map nor the width of places changes a bit.
        attraction.arrange(&y);
        attraction.update(&y);
        assert_eq!(before, (0..n).map(|i| attraction.of(i)).collect::<Vec<_>>());
        let mut wide = Packed::<u32>::default();
        let slots = pulp::Arch::new().dispatch(Slots::<D>);
        wide.pack(&affinities, &attraction.order, &attraction.places, &slots);
        let mut pull = vec![[0.0; D]; n];
        wide.pull(&attraction.y, &mut pull);
        assert_eq!(pull, attraction.pull);
    }

    #[test]
    fn agrees_with_the_definition_in_the_plane_and_in_space() {
        agrees_with_the_definition::<2>();
        agrees_with_the_definition::<3>();
    }
}
