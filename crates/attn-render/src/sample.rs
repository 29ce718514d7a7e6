//! Fewer points that still show the whole cloud.

use crate::{Error, error::check_finite};

/// Chooses at most `most` of the points of `[point, dims]` so that dense parts are thinned and sparse ones kept: the plane
/// of the first two coordinates is cut into about `most` cells, each occupied cell gives its first point, then its
/// second, and so on, until `most` are chosen. Outliers survive, which they would not in a random choice. The indices
/// ascend; the same points always give the same choice.
///
/// # Errors
/// [`Error::Shape`] if `dims` is below 2 or does not divide the length, [`Error::NotFinite`].
///
/// ```
/// // A clump of 98 and two far points: both survive among ten.
/// let mut points: Vec<f32> = (0..98).flat_map(|i| [0.001 * i as f32, 0.0]).collect();
/// points.extend([50.0, 50.0, -50.0, 20.0]);
/// let kept = attn_render::sample::representative(&points, 2, 10)?;
/// assert_eq!(kept.len(), 10);
/// assert!(kept.ends_with(&[98, 99]));
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn representative(points: &[f32], dims: usize, most: usize) -> Result<Vec<usize>, Error> {
    if dims < 2 || !points.len().is_multiple_of(dims) {
        return Err(Error::Shape {
            what: "points to choose from",
            expected: "[points, dims] with at least 2 dims".into(),
            found: format!("{} values of {dims} dimensions", points.len()),
        });
    }
    check_finite("points to choose from", points)?;
    let count = points.len() / dims;
    if count <= most {
        return Ok((0..count).collect());
    }
    let at = |index: usize, axis: usize| f64::from(points[index * dims + axis]);
    let range = |axis: usize| {
        (0..count).fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], index| {
            [low.min(at(index, axis)), high.max(at(index, axis))]
        })
    };
    let ranges = [range(0), range(1)];
    let side = most.isqrt().max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cut to the cells"
    )]
    let cell = |index: usize, axis: usize| {
        let [low, high] = ranges[axis];
        let along = (at(index, axis) - low) / (high - low).max(f64::MIN_POSITIVE);
        ((along * side as f64) as usize).min(side - 1)
    };
    // How many points of its cell come before each point: the round in which it is chosen.
    let mut seen = vec![0_usize; side * side];
    let rounds: Vec<usize> = (0..count)
        .map(|index| {
            let seen = &mut seen[cell(index, 1) * side + cell(index, 0)];
            *seen += 1;
            *seen - 1
        })
        .collect();
    // Neighbors in the data are often neighbors in the plane: a hash decides within the last round.
    let mut order: Vec<usize> = (0..count).collect();
    if most > 0 {
        order.select_nth_unstable_by_key(most - 1, |index| (rounds[*index], hash(*index)));
    }
    order.truncate(most);
    order.sort_unstable();
    Ok(order)
}

/// A mixture of an index without collisions (the finalizer of SplitMix64, Steele et al. 2014).
pub(crate) fn hash(index: usize) -> u64 {
    let mut z = (index as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_plane_keeps_a_point() {
        // 10,000 points; all but 25 lie in one of 25 cells.
        let mut points = vec![0.5_f32; 2 * 9_975];
        for i in 0..25_u8 {
            points.extend([f32::from(i % 5) + 0.5, f32::from(i / 5) + 0.5]);
        }
        let kept = representative(&points, 2, 49).unwrap();
        assert_eq!(kept.len(), 49);
        let far = kept.iter().filter(|index| **index > 9_975).count();
        assert_eq!(
            far, 24,
            "one of every cell but the crowded one, whose first came earlier"
        );
    }

    #[test]
    fn few_points_all_stay_and_odd_ones_are_refused() {
        assert_eq!(representative(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 3, 9).unwrap(), [0, 1]);
        assert!(representative(&[0.0; 8], 2, 0).unwrap().is_empty());
        assert_eq!(representative(&[7.0; 20], 2, 3).unwrap().len(), 3);
        assert!(matches!(representative(&[0.0; 5], 2, 1), Err(Error::Shape { .. })));
        assert!(matches!(
            representative(&[0.0, f32::NAN], 2, 1),
            Err(Error::NotFinite { index: 1, .. })
        ));
    }
}
