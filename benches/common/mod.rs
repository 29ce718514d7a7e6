//! Synthetic clouds for the benches: clusters of Zipf-like sizes, a power-law spectrum, a positional spiral and an offset between
//! queries and keys, which is what clouds of real heads look like. Seeded, the same on every machine.

use attn_core::Rng;
use ndarray::Array2;

/// Numbers for clouds, in `f32`.
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::from_state(seed))
    }

    pub(crate) fn unit(&mut self) -> f32 {
        self.0.unit_f32()
    }

    pub(crate) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).max(f32::MIN_POSITIVE).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }
}

/// Half queries, half keys, `[n, dims]`.
pub(crate) fn cloud(n: usize, dims: usize, seed: u64) -> Array2<f32> {
    let mut random = Random::new(seed);
    let spectrum: Vec<f32> = (0..dims).map(|i| ((i + 1) as f32).powf(-0.6)).collect();
    let clusters = Array2::from_shape_fn((60, dims), |(_, j)| 3.0 * spectrum[j] * random.normal());
    let offsets = Array2::from_shape_fn((2, dims), |(_, j)| 4.0 * spectrum[j] * random.normal());
    let mut points = Array2::zeros((n, dims));
    for (i, mut row) in points.rows_mut().into_iter().enumerate() {
        // The c-th cluster is about c times rarer than the first.
        let cluster = ((61.0f32).powf(random.unit()) - 1.0) as usize;
        let angle = 0.35 * (random.unit() * 64.0).floor();
        for j in 0..dims {
            let spiral = match j {
                0 => 2.0 * angle.cos(),
                1 => 2.0 * angle.sin(),
                _ => 0.0,
            };
            row[j] = clusters[[cluster.min(59), j]]
                + offsets[[usize::from(2 * i >= n), j]]
                + spectrum[j] * random.normal()
                + spiral;
        }
    }
    points
}
