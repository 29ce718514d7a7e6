//! Small sums over one sequence's attention that views need, as plain functions.

use crate::Error;

/// Attention of one sequence and head after tokens were switched off.
#[derive(Debug, Clone, PartialEq)]
pub struct Remaining {
    /// Queries that are left, by their former index.
    pub queries: Vec<usize>,
    /// Keys that are left, by their former index.
    pub keys: Vec<usize>,
    /// `[query, key]` over what is left; each row sums to 1, or to 0 if all it attended to is gone.
    pub weights: Vec<f32>,
}

/// Switches tokens off: a hidden query's row goes; a hidden key's column goes and the rest of each row is divided
/// by its sum.
///
/// `weights` is `[queries, keys]`, row by row; `hide_query` and `hide_key` say which are hidden.
///
/// # Errors
/// [`Error::Shape`] if `weights` has another length, [`Error::NotFinite`] if a weight is NaN or infinite.
///
/// ```
/// let weights = [0.5, 0.25, 0.25, 0.1, 0.9, 0.0];
/// let left = attn_render::attention::switch_off(&weights, 2, 3, |_| false, |key| key == 0)?;
/// assert_eq!(left.keys, [1, 2]);
/// assert_eq!(left.weights, [0.5, 0.5, 1.0, 0.0]);
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn switch_off(
    weights: &[f32],
    queries: usize,
    keys: usize,
    hide_query: impl Fn(usize) -> bool,
    hide_key: impl Fn(usize) -> bool,
) -> Result<Remaining, Error> {
    check_weights(weights, queries, keys)?;
    let left_queries: Vec<usize> = (0..queries).filter(|q| !hide_query(*q)).collect();
    let left_keys: Vec<usize> = (0..keys).filter(|k| !hide_key(*k)).collect();
    let mut left = Vec::with_capacity(left_queries.len() * left_keys.len());
    for &query in &left_queries {
        let row = &weights[query * keys..(query + 1) * keys];
        let sum: f32 = left_keys.iter().map(|&key| row[key]).sum();
        // Nothing hidden: the row is kept bit by bit.
        let divisor = if left_keys.len() == keys || sum <= 0.0 {
            1.0
        } else {
            sum
        };
        left.extend(left_keys.iter().map(|&key| row[key] / divisor));
    }
    Ok(Remaining {
        queries: left_queries,
        keys: left_keys,
        weights: left,
    })
}

/// A query attending to a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// The query's index.
    pub query: usize,
    /// The key's index.
    pub key: usize,
    /// The attention weight.
    pub weight: f32,
}

/// The `most` largest weights of each row that reach `least`, row by row, largest first; of equal weights the
/// first key. Scatter plots draw two per query from 0.05, the image view one.
///
/// # Errors
/// [`Error::Shape`] if `weights` is not `[queries, keys]`, [`Error::NotFinite`] if a weight is NaN or infinite.
pub fn strongest(weights: &[f32], queries: usize, keys: usize, most: usize, least: f32) -> Result<Vec<Link>, Error> {
    check_weights(weights, queries, keys)?;
    let mut links = Vec::new();
    for query in 0..queries {
        let row = &weights[query * keys..(query + 1) * keys];
        let mut order: Vec<usize> = (0..keys).filter(|key| row[*key] >= least).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        links.extend(order.into_iter().take(most).map(|key| Link {
            query,
            key,
            weight: row[key],
        }));
    }
    Ok(links)
}

pub(crate) fn check_weights(weights: &[f32], queries: usize, keys: usize) -> Result<(), Error> {
    crate::error::check_len(
        "attention weights [queries, keys]",
        queries.saturating_mul(keys),
        weights.len(),
    )?;
    crate::error::check_finite("attention weights", weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: [f32; 9] = [0.2, 0.3, 0.5, 0.6, 0.4, 0.0, 0.0, 0.0, 1.0];

    #[test]
    fn hiding_a_query_removes_its_row_only() {
        let left = switch_off(&WEIGHTS, 3, 3, |q| q == 1, |_| false).unwrap();
        assert_eq!(left.queries, [0, 2]);
        assert_eq!(left.weights, [0.2, 0.3, 0.5, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn hiding_a_key_divides_the_rest_by_its_sum() {
        let left = switch_off(&WEIGHTS, 3, 3, |_| false, |k| k == 2).unwrap();
        // 0.2 / 0.5, 0.3 / 0.5; 0.6, 0.4 already sum to 1; the last row attended to the hidden key alone.
        let expected = [0.4, 0.6, 0.6, 0.4, 0.0, 0.0];
        assert!(
            left.weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{:?}",
            left.weights
        );
    }

    #[test]
    fn hiding_everything_leaves_nothing() {
        let left = switch_off(&WEIGHTS, 3, 3, |_| false, |_| true).unwrap();
        assert!(left.weights.is_empty() && left.queries.len() == 3);
    }

    #[test]
    fn strongest_links_are_the_largest_that_reach_the_limit() {
        let links = strongest(&WEIGHTS, 3, 3, 2, 0.25).unwrap();
        let found: Vec<_> = links.iter().map(|link| (link.query, link.key)).collect();
        assert_eq!(found, [(0, 2), (0, 1), (1, 0), (1, 1), (2, 2)]);
        assert_eq!(
            strongest(&[0.5, 0.5], 1, 2, 1, 0.0).unwrap()[0].key,
            0,
            "ties go to the first"
        );
    }

    #[test]
    fn bad_weights_are_errors() {
        assert!(matches!(
            switch_off(&[0.0; 5], 2, 3, |_| false, |_| false),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(
            strongest(&[f32::NAN], 1, 1, 1, 0.0),
            Err(Error::NotFinite { index: 0, .. })
        ));
    }
}
