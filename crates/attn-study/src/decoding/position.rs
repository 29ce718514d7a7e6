//! The axis of states along which their position in the text is predicted (Strobelt et al. 2018, "Seq2Seq-Vis"): what of a path
//! through the states is no more than the order of tokens.

use attn_core::ndarray::{Array1, Array2, ArrayView2, Axis};

/// Part of the mean variance of a dimension that the squares of the axis are charged with: states are fewer than dimensions, and
/// any order would fit them.
const RIDGE: f64 = 0.1;
/// Rounds of the solver: as many as directions in exact arithmetic, and far fewer for a tenth of a digit less.
const ROUNDS: usize = 200;

/// Ridge regression of a number per row, the position, on the rows.
pub(super) struct PositionAxis {
    mean: Array1<f64>,
    /// The coefficients.
    weights: Array1<f64>,
    /// The mean position.
    offset: f64,
}

impl PositionAxis {
    /// Solves `(XᵀX + r I) w = Xᵀ(y - mean)`, X without its mean, by conjugate gradients. `None` without rows, or if no direction
    /// tells of the positions.
    pub(super) fn fit(rows: ArrayView2<'_, f32>, positions: &[f32]) -> Option<Self> {
        let points = rows.mapv(f64::from);
        let mean = points.mean_axis(Axis(0)).filter(|_| rows.nrows() == positions.len())?;
        let centered = points - &mean;
        let positions: Array1<f64> = positions.iter().map(|&position| f64::from(position)).collect();
        let offset = positions.mean()?;
        let squares: f64 = centered.iter().map(|x| x * x).sum();
        let ridge = RIDGE * squares / centered.ncols().max(1) as f64;
        let apply = |w: &Array1<f64>| centered.t().dot(&centered.dot(w)) + w * ridge;
        let mut rest = centered.t().dot(&(positions - offset));
        let mut weights = Array1::zeros(centered.ncols());
        let (mut direction, mut norm) = (rest.clone(), rest.dot(&rest));
        let least = norm * 1e-20;
        for _ in 0..ROUNDS {
            let turned = apply(&direction);
            let curvature = direction.dot(&turned);
            if norm <= least || curvature <= 0.0 {
                break;
            }
            let step = norm / curvature;
            weights.scaled_add(step, &direction);
            rest.scaled_add(-step, &turned);
            let next = rest.dot(&rest);
            direction = &rest + &(direction * (next / norm));
            norm = next;
        }
        let length = weights.dot(&weights);
        (length.is_finite() && length > 0.0).then_some(Self { mean, weights, offset })
    }

    /// The predicted position of each row, and what is left of the rows across the axis.
    pub(super) fn split(&self, rows: ArrayView2<'_, f32>) -> (Vec<f32>, Array2<f32>) {
        let centered = rows.mapv(f64::from) - &self.mean;
        let along = centered.dot(&self.weights);
        let length = self.weights.dot(&self.weights);
        let mut rest = centered;
        for (mut row, along) in rest.rows_mut().into_iter().zip(&along) {
            row.scaled_add(-along / length, &self.weights);
        }
        let predicted = along.iter().map(|along| (along + self.offset) as f32);
        (predicted.collect(), rest.mapv(|x| x as f32))
    }
}

#[cfg(test)]
mod tests {
    use attn_core::ndarray::array;

    use super::*;

    /// Rows that run along one direction, and lie in two groups across it: the axis is that direction, its slope that of ridge
    /// regression in one dimension, `s / (s + r)` with the sum s of squares, and the groups are what is left.
    #[test]
    fn the_axis_of_positions_is_found_and_taken_out() {
        let direction = [0.6_f32, 0.8, 0.0];
        let rows = Array2::from_shape_fn((8, 3), |(row, column)| {
            let (at, group) = (row / 2, if row % 2 == 0 { 2.0 } else { -2.0 });
            at as f32 * direction[column] + [0.0, 0.0, group][column]
        });
        let positions: Vec<f32> = (0..8).map(|row| (row / 2) as f32).collect();
        let axis = PositionAxis::fit(rows.view(), &positions).unwrap();
        let along: f64 = [-1.5_f64, -0.5, 0.5, 1.5].iter().map(|x| 2.0 * x * x).sum();
        let ridge = RIDGE * (along + 8.0 * 4.0) / 3.0;
        let slope = along / (along + ridge);
        for (found, expected) in axis.weights.iter().zip([0.6, 0.8, 0.0]) {
            assert!((found - slope * expected).abs() < 1e-6, "{:?}", axis.weights);
        }
        let (predicted, rest) = axis.split(rows.view());
        for (row, (found, position)) in predicted.iter().zip(&positions).enumerate() {
            let expected = 1.5 + slope as f32 * (position - 1.5);
            assert!((found - expected).abs() < 1e-5, "{row}: {found} {expected}");
            let group = if row % 2 == 0 { 2.0 } else { -2.0 };
            let apart = (&rest.row(row) - &array![0.0, 0.0, group]).mapv(f32::abs).sum();
            assert!(apart < 1e-5, "{row}: {rest:?}");
        }
    }

    #[test]
    fn rows_that_tell_nothing_have_no_axis() {
        let same = Array2::from_elem((4, 3), 1.0);
        assert!(PositionAxis::fit(same.view(), &[0.0, 1.0, 2.0, 3.0]).is_none());
        assert!(PositionAxis::fit(same.view(), &[0.0]).is_none());
        assert!(PositionAxis::fit(Array2::zeros((0, 3)).view(), &[]).is_none());
    }
}
