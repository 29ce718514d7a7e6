//! Coordinates of points, and which points are highlighted.

use std::sync::Arc;

use attn_core::HeadId;

use super::LegendEntry;
use crate::{
    Error, Matches, Result, ViewState,
    error::{check_finite, check_len},
    geometry::Bounds,
    search,
};

/// Positions of points in two or three dimensions; of a head's points first all queries, then all keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordinates {
    values: Arc<[f32]>,
    dims: usize,
    bounds: Bounds,
}

impl Coordinates {
    /// Takes `[point, dims]`, row by row; `dims` is 2 or 3.
    ///
    /// # Errors
    /// [`Error::Shape`] if `dims` is neither or does not divide the length, [`Error::NotFinite`] for NaN and infinity.
    ///
    /// ```
    /// use attn_render::plots::Coordinates;
    /// assert_eq!(Coordinates::new([0.0, 1.0, 2.0, 3.0], 2)?.len(), 2);
    /// assert!(Coordinates::new([0.0, f32::NAN], 2).is_err());
    /// # Ok::<(), attn_render::Error>(())
    /// ```
    pub fn new(values: impl Into<Arc<[f32]>>, dims: usize) -> Result<Self> {
        let values = values.into();
        if !(dims == 2 || dims == 3) || !values.len().is_multiple_of(dims) {
            let found = format!("{} values of {dims} dimensions", values.len());
            return Err(Error::Shape {
                what: "coordinates",
                expected: "[points, 2] or [points, 3]".into(),
                found,
            });
        }
        check_finite("coordinates", &values)?;
        let bounds = Bounds::around(values.chunks_exact(dims).map(in_space));
        Ok(Self { values, dims, bounds })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.values.len() / self.dims
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// 2 or 3.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// `[point, dims]`, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// A point; its third coordinate is 0 in the plane. 0 everywhere for a point that does not exist.
    pub fn get(&self, index: usize) -> [f32; 3] {
        let start = index.saturating_mul(self.dims);
        self.values
            .get(start..start.saturating_add(self.dims))
            .map_or([0.0; 3], in_space)
    }

    /// The points.
    pub fn iter(&self) -> impl Iterator<Item = [f32; 3]> + '_ {
        self.values.chunks_exact(self.dims).map(in_space)
    }

    /// The box around the points.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }
}

/// A point of two or three coordinates.
fn in_space(p: &[f32]) -> [f32; 3] {
    [p[0], p[1], p.get(2).copied().unwrap_or(0.0)]
}

/// Which points the search and the selection of a state highlight: a flag per point, empty if none is; and what the search
/// finds. `labels` is a text per point, or empty; the first `queries` points are queries. `head` is that of the panel.
pub fn highlighted<S: AsRef<str>>(
    state: &ViewState,
    head: Option<HeadId>,
    labels: &[S],
    points: usize,
    queries: usize,
) -> (Vec<bool>, Matches) {
    let matches = search(&state.shared.search, labels, queries);
    let mut marked = matches.found.clone();
    let selected = &state.shared.selected;
    if !selected.is_empty() && head.is_none_or(|head| selected.applies_to(head)) {
        marked.resize(points, false);
        for point in selected.ids_below(points) {
            marked[point] = true;
        }
    }
    (marked, matches)
}

/// The legend entries of a search, whose counts are those of one head, and of a selection.
pub fn highlights(state: &ViewState, matches: &Matches) -> Vec<LegendEntry> {
    let mut entries = Vec::new();
    if !state.shared.search.is_empty() {
        entries.push(LegendEntry::Text(matches.describe(&state.shared.search)));
    }
    match state.shared.selected.len() {
        0 => {}
        1 => entries.push(LegendEntry::Text("1 point selected".into())),
        count => entries.push(LegendEntry::Text(format!("{count} points selected"))),
    }
    entries
}

/// Checks the points of a panel.
pub(crate) fn check_points(coordinates: &Coordinates, queries: usize, values: Option<&[f32]>) -> Result<()> {
    if coordinates.is_empty() {
        return Err(Error::Empty { what: "coordinates" });
    }
    if queries > coordinates.len() {
        let expected = format!("at most {} (the number of points)", coordinates.len());
        return Err(Error::Shape {
            what: "number of queries",
            expected,
            found: queries.to_string(),
        });
    }
    if let Some(values) = values {
        check_len("values of points", coordinates.len(), values.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A saved selection may name ids up to 2^32: only those of points are walked.
    #[test]
    fn a_selection_of_billions_marks_the_points_that_there_are() {
        let mut state = ViewState::default();
        state.shared.selected = serde_json::from_str(r#"{"runs":[[1,4294967295]]}"#).unwrap();
        let (marked, _) = highlighted::<&str>(&state, None, &[], 3, 3);
        assert_eq!(marked, [false, true, true]);
        assert_eq!(highlighted::<&str>(&state, None, &[], 0, 0).0, [false; 0]);
    }

    #[test]
    fn coordinates_are_checked() {
        assert!(matches!(Coordinates::new([0.0; 5], 2), Err(Error::Shape { .. })));
        assert!(matches!(Coordinates::new([0.0; 4], 4), Err(Error::Shape { .. })));
        assert!(matches!(
            Coordinates::new([0.0, f32::INFINITY], 2),
            Err(Error::NotFinite { index: 1, .. })
        ));
        let two = Coordinates::new([0.0; 4], 2).unwrap();
        assert!(matches!(check_points(&two, 3, None), Err(Error::Shape { .. })));
        assert!(matches!(check_points(&two, 1, Some(&[0.0])), Err(Error::Shape { .. })));
    }
}
