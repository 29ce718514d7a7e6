//! Links between points: what a method is told to lay near each other besides the nearest neighbors in the space. Of a head,
//! each query is linked to the keys it attends to.

use std::collections::HashMap;

use crate::{Error, Result};

/// Weighted links from points to points, by rows.
///
/// ```
/// use attn_project::method::Links;
/// let links = Links::new(3, [vec![(2, 0.9), (1, 0.1)], vec![], vec![]])?;
/// assert_eq!(links.row(0).collect::<Vec<_>>(), [(2, 0.9), (1, 0.1)]);
/// assert_eq!(links.select(&[0, 2]).row(0).collect::<Vec<_>>(), [(1, 0.9)]);
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Links {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    weights: Vec<f32>,
}

impl Links {
    /// Links among `points` points: of each, the points it is linked to with their weights, at least 0.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of rows, [`Error::Parameter`] for a point that is not there or a weight that is
    /// no number from 0 on.
    pub fn new(points: usize, rows: impl IntoIterator<Item = Vec<(u32, f32)>>) -> Result<Self> {
        let mut links = Self {
            offsets: vec![0],
            ..Self::default()
        };
        for row in rows {
            for (column, weight) in row {
                if column as usize >= points {
                    return Err(Error::parameter("links", format!("points below {points}"), column));
                }
                if !(weight.is_finite() && weight >= 0.0) {
                    return Err(Error::parameter("links", "weights from 0 on", weight));
                }
                links.columns.push(column);
                links.weights.push(weight);
            }
            links.offsets.push(links.columns.len());
        }
        if links.len() != points {
            return Err(Error::shape("links", format!("{points} rows"), links.len()));
        }
        Ok(links)
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether nothing is linked.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The points that a point is linked to, with weights.
    pub fn row(&self, point: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let at = |index: usize| self.offsets.get(index).copied().unwrap_or(self.columns.len());
        let range = at(point)..at(point + 1);
        let columns = self.columns.get(range.clone()).unwrap_or_default();
        let weights = self.weights.get(range).unwrap_or_default();
        columns.iter().copied().zip(weights.iter().copied())
    }

    /// The links among some of the points; point `i` is then `selection[i]`.
    #[must_use]
    pub fn select(&self, selection: &[usize]) -> Self {
        let numbers: HashMap<usize, u32> = selection
            .iter()
            .enumerate()
            .filter_map(|(new, &old)| Some((old, u32::try_from(new).ok()?)))
            .collect();
        let mut links = Self {
            offsets: vec![0],
            ..Self::default()
        };
        for &point in selection {
            for (column, weight) in self.row(point) {
                if let Some(&column) = numbers.get(&(column as usize)) {
                    links.columns.push(column);
                    links.weights.push(weight);
                }
            }
            links.offsets.push(links.columns.len());
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_links_are_refused() {
        assert!(matches!(
            Links::new(2, [vec![], vec![(2, 1.0)]]),
            Err(Error::Parameter { .. })
        ));
        assert!(matches!(
            Links::new(2, [vec![(1, f32::NAN)], vec![]]),
            Err(Error::Parameter { .. })
        ));
        assert!(matches!(
            Links::new(2, [vec![(1, -1.0)], vec![]]),
            Err(Error::Parameter { .. })
        ));
        assert!(matches!(Links::new(2, [vec![]]), Err(Error::Shape { .. })));
        assert!(Links::new(1, [vec![]]).unwrap().is_empty());
        assert_eq!(Links::default().row(3).count(), 0);
    }
}
