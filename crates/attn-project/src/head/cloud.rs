//! Queries and keys of one head over many sequences: what is normalized and projected.

use std::ops::Range;

use attn_core::model::Mask;
use ndarray::ArrayView2;

use crate::{Error, Result, linalg::check_points};

/// The rows that one sequence has in a head's queries and keys. Within its sequence, a row's place is its
/// position, which is what masks go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceRows {
    /// Rows of the queries.
    pub queries: Range<usize>,
    /// Rows of the keys.
    pub keys: Range<usize>,
}

/// Queries `[query, head_dim]` and keys `[key, head_dim]` of one head, over one or many sequences: after the
/// bias, after rotation, before scaling.
#[derive(Debug, Clone, Copy)]
pub struct HeadCloud<'a> {
    queries: ArrayView2<'a, f32>,
    keys: ArrayView2<'a, f32>,
    sequences: &'a [SequenceRows],
    mask: Mask,
}

impl<'a> HeadCloud<'a> {
    /// Checks and joins the parts.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without queries or keys, [`Error::Shape`] if their dimensions differ, are 0, or a
    /// sequence names rows that do not exist, [`Error::NotFinite`], [`Error::TooLarge`].
    pub fn new(
        queries: ArrayView2<'a, f32>,
        keys: ArrayView2<'a, f32>,
        sequences: &'a [SequenceRows],
        mask: Mask,
    ) -> Result<Self> {
        for (what, points) in [("queries", queries), ("keys", keys)] {
            if points.nrows() == 0 {
                return Err(Error::too_few(what, 1, 0));
            }
            check_points(what, points)?;
        }
        if queries.ncols() != keys.ncols() || keys.ncols() == 0 {
            let expected = format!("{} columns as the queries, at least one", queries.ncols());
            return Err(Error::shape("keys", expected, keys.ncols()));
        }
        for rows in sequences {
            let inside = |range: &Range<usize>, count: usize| range.start <= range.end && range.end <= count;
            if !inside(&rows.queries, queries.nrows()) || !inside(&rows.keys, keys.nrows()) {
                let expected = format!("rows within 0..{} and 0..{}", queries.nrows(), keys.nrows());
                return Err(Error::shape(
                    "sequences",
                    expected,
                    format!("{:?} and {:?}", rows.queries, rows.keys),
                ));
            }
        }
        Ok(Self {
            queries,
            keys,
            sequences,
            mask,
        })
    }

    /// The queries.
    pub fn queries(&self) -> ArrayView2<'a, f32> {
        self.queries
    }

    /// The keys.
    pub fn keys(&self) -> ArrayView2<'a, f32> {
        self.keys
    }

    /// The rows of each sequence.
    pub fn sequences(&self) -> &'a [SequenceRows] {
        self.sequences
    }

    /// The key rows that a query of a sequence sees.
    pub(crate) fn visible_keys(&self, rows: &SequenceRows, query: usize) -> Range<usize> {
        let visible = self.mask.visible_keys(query - rows.queries.start, rows.keys.len());
        rows.keys.start + visible.start..rows.keys.start + visible.end
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn bad_input_is_refused() {
        let (queries, keys) = (Array2::<f32>::zeros((3, 2)), Array2::<f32>::zeros((4, 2)));
        let bad = [SequenceRows {
            queries: 0..3,
            keys: 2..5,
        }];
        let none = Array2::<f32>::zeros((0, 2));
        let other = Array2::<f32>::zeros((4, 3));
        let new = |keys: &Array2<f32>, rows: &[SequenceRows]| {
            HeadCloud::new(queries.view(), keys.view(), rows, Mask::Full)
                .map(|_| ())
                .unwrap_err()
        };
        assert!(matches!(new(&keys, &bad), Error::Shape { what: "sequences", .. }));
        assert!(matches!(new(&none, &[]), Error::TooFewPoints { ref what, .. } if what == "keys"));
        assert!(matches!(new(&other, &[]), Error::Shape { what: "keys", .. }));
    }
}
