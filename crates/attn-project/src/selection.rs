//! A picture of some of the points: what a lasso, a search or a filter left over.

use attn_core::Progress;
use ndarray::{ArrayView2, Axis};

use crate::{Dims, Embedding, Error, Method, Metric, project};

/// Lays out only the rows `selection` of `points` `[point, dimension]`, as if there were no others. Row `i` of the
/// picture is point `selection[i]`.
///
/// The points of a head come from [`head_points`](crate::head_points): normalised as in the picture of the whole head,
/// so that distances are the same.
///
/// ```
/// use attn_project::{Dims, Method, Metric, project_selection};
/// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
/// let lasso: Vec<usize> = (10..30).collect();
/// let found = project_selection(points.view(), &lasso, &Method::default(), Dims::Two, Metric::Cosine, 0, &())?;
/// assert_eq!(found.points.dim(), (20, 2));
/// # Ok::<(), attn_project::Error>(())
/// ```
///
/// # Errors
/// [`Error::Parameter`] if the selection names a point that is not there, or one twice; and as [`project()`], for the
/// points selected.
pub fn project_selection(
    points: ArrayView2<'_, f32>,
    selection: &[usize],
    method: &Method,
    dims: Dims,
    metric: Metric,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Embedding, Error> {
    let mut seen = vec![false; points.nrows()];
    for &point in selection {
        match seen.get_mut(point) {
            Some(seen) if !*seen => *seen = true,
            Some(_) => {
                return Err(Error::parameter(
                    "selection",
                    "every point once",
                    format!("{point} twice"),
                ));
            }
            None => {
                let expected = format!("points below {}", points.nrows());
                return Err(Error::parameter("selection", expected, point));
            }
        }
    }
    project(
        points.select(Axis(0), selection).view(),
        method,
        dims,
        metric,
        seed,
        progress,
    )
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;
    use crate::{Neighbors, TsneParams, rng::Rng};

    #[test]
    fn structure_that_the_others_hid() {
        // Two groups a unit apart, in a cloud of hundreds: alone, they fall apart as on the first axis.
        let mut rng = Rng::new(2, 0);
        let points = Array2::from_shape_fn((160, 4), |(i, c)| {
            let noise = rng.normal() as f32;
            match (i < 40, c) {
                (true, 0) => 0.02 * noise + (i % 2) as f32,
                (true, _) => 0.02 * noise,
                _ => 100.0 * noise,
            }
        });
        let selection: Vec<usize> = (0..40).rev().collect();
        let method = Method::Tsne(TsneParams {
            perplexity: 6.0,
            ..TsneParams::default()
        });
        let run = |points: ArrayView2<'_, f32>, selection: &[usize]| {
            project_selection(points, selection, &method, Dims::Two, Metric::Euclidean, 0, &())
        };
        let found = run(points.view(), &selection).unwrap();
        let near = Neighbors::exact(found.points.view(), 5, Metric::Euclidean, &()).unwrap();
        assert!((0..40).all(|i| near.indices(i).iter().all(|&j| j as usize % 2 == i % 2)));
        // The rows are those of the selection, in its order.
        let alone = project(
            points.slice(s![..40;-1, ..]),
            &method,
            Dims::Two,
            Metric::Euclidean,
            0,
            &(),
        )
        .unwrap();
        assert_eq!(found, alone);

        assert!(matches!(
            run(points.view(), &[1, 160]),
            Err(Error::Parameter {
                parameter: "selection",
                ..
            })
        ));
        assert!(matches!(
            run(points.view(), &[1, 2, 3, 1]),
            Err(Error::Parameter {
                parameter: "selection",
                ..
            })
        ));
        assert!(matches!(
            run(points.view(), &[1, 2, 3]),
            Err(Error::TooFewPoints { found: 3, .. })
        ));
        assert!(matches!(
            run(points.view(), &[]),
            Err(Error::TooFewPoints { found: 0, .. })
        ));
    }
}
