//! What the matrix and the single head share: coordinates, colours of points, and which are brought out.

use attn_core::HeadId;

use super::{
    legend::{Entry, Pages},
    page::number,
};
use crate::{
    Bounds, Color, ColorMode, Colors, Error, Matches, Shape, View,
    error::{check_finite, check_len},
    search,
};

/// Positions of a head's points: all queries, then all keys.
#[derive(Debug, Clone, Copy)]
pub struct Coordinates<'a> {
    pub(super) values: &'a [f32],
    dims: usize,
    bounds: Bounds,
}

impl<'a> Coordinates<'a> {
    /// Takes `[point, dims]`, row by row; `dims` is 2 or 3.
    ///
    /// # Errors
    /// [`Error::Shape`] if `dims` is neither or does not divide the length, [`Error::NotFinite`] for NaN and infinity.
    ///
    /// ```
    /// use attn_render::views::Coordinates;
    /// assert_eq!(Coordinates::new(&[0.0, 1.0, 2.0, 3.0], 2)?.len(), 2);
    /// assert!(Coordinates::new(&[0.0, f32::NAN], 2).is_err());
    /// # Ok::<(), attn_render::Error>(())
    /// ```
    pub fn new(values: &'a [f32], dims: usize) -> Result<Self, Error> {
        if !(dims == 2 || dims == 3) || !values.len().is_multiple_of(dims) {
            let found = format!("{} values of {dims} dimensions", values.len());
            return Err(Error::Shape {
                what: "coordinates",
                expected: "[points, 2] or [points, 3]".into(),
                found,
            });
        }
        check_finite("coordinates", values)?;
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

    pub(crate) fn get(&self, index: usize) -> [f32; 3] {
        in_space(&self.values[index * self.dims..(index + 1) * self.dims])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = [f32; 3]> + use<'a> {
        self.values.chunks_exact(self.dims).map(in_space)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }
}

/// A point of two or three coordinates.
fn in_space(p: &[f32]) -> [f32; 3] {
    [p[0], p[1], p.get(2).copied().unwrap_or(0.0)]
}

/// What the values of points are, and how colours stand for them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorBy<'a> {
    /// What a person calls the values: `position`, `norm`.
    pub label: &'a str,
    /// How colours stand for them.
    pub kind: ValueKind<'a>,
}

/// How colours stand for values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueKind<'a> {
    /// From little to much: one scale for queries, one for keys, more contrast = larger.
    Sequential,
    /// Around 0.
    Diverging,
    /// Classes by index, with their names; hundreds will do, which the legend has on pages. Those in [`View::hidden_classes`] are not drawn. Queries
    /// have the full colour, keys a paler one.
    Categorical(&'a [&'a str]),
}

/// Colours of points under a view.
pub(crate) struct PointColors<'a> {
    colors: Colors,
    by: Option<ColorBy<'a>>,
    range: [f32; 2],
    view: &'a View,
}

/// How much of a class's colour keys have; the rest is the panel's.
const KEY_STRENGTH: f32 = 0.68;

/// The class that a value names: rounded, negative is 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates: negative is class 0"
)]
pub(crate) fn class_of(value: f32) -> usize {
    value.round() as usize
}

impl<'a> PointColors<'a> {
    /// `values` are those of every panel, so that a colour means the same in all.
    pub(crate) fn new<'v>(
        view: &'a View,
        by: Option<ColorBy<'a>>,
        values: impl Iterator<Item = &'v [f32]>,
    ) -> Result<Self, Error> {
        let mut range = [f32::INFINITY, f32::NEG_INFINITY];
        for values in values {
            if let Some(index) = values.iter().position(|value| value.is_infinite()) {
                return Err(Error::NotFinite {
                    what: "values of points",
                    index,
                    value: values[index],
                });
            }
            // NaN stands for no value; minimum and maximum pass over it.
            for value in values {
                range = [range[0].min(*value), range[1].max(*value)];
            }
        }
        // Only what is finite was seen; nothing seen means nothing to colour by.
        let by = by.filter(|_| view.color_mode != ColorMode::QueryKey && range[0] <= range[1]);
        if let Some(ColorBy {
            kind: ValueKind::Diverging,
            ..
        }) = by
        {
            let most = range[0].abs().max(range[1].abs());
            range = [-most, most];
        }
        Ok(Self {
            colors: view.colors(),
            by,
            range,
            view,
        })
    }

    pub(crate) fn color(&self, query: bool, value: Option<f32>) -> Color {
        let plain = if query { self.colors.query } else { self.colors.key };
        let (Some(by), Some(value)) = (self.by, value) else {
            return plain;
        };
        if value.is_nan() {
            return self.colors.muted;
        }
        let t = (value - self.range[0]) / (self.range[1] - self.range[0]).max(f32::MIN_POSITIVE);
        match by.kind {
            ValueKind::Sequential if query => self.colors.query_scale.at(t),
            ValueKind::Sequential => self.colors.key_scale.at(t),
            ValueKind::Diverging => self.colors.diverging.at(t),
            ValueKind::Categorical(_) if query => self.colors.class(class_of(value)),
            ValueKind::Categorical(_) => self.colors.panel.mix(self.colors.class(class_of(value)), KEY_STRENGTH),
        }
    }

    /// Whether a point's class is switched off.
    pub(crate) fn is_hidden(&self, value: Option<f32>) -> bool {
        match (self.by, value) {
            (Some(by), Some(value)) if !value.is_nan() && matches!(by.kind, ValueKind::Categorical(_)) => {
                u32::try_from(class_of(value)).is_ok_and(|class| self.view.hidden_classes.contains(&class))
            }
            _ => false,
        }
    }

    pub(crate) fn legend(&self) -> Vec<Entry> {
        let colors = &self.colors;
        let neutral = colors.muted;
        let marks = |query: Color, key: Color| {
            vec![
                Entry::Mark(Shape::Disc, query, "queries".into()),
                Entry::Mark(Shape::Diamond, key, "keys".into()),
            ]
        };
        let Some(by) = self.by else {
            return marks(colors.query, colors.key);
        };
        let (low, high) = (number(self.range[0]), number(self.range[1]));
        match by.kind {
            ValueKind::Sequential => {
                let ramp =
                    |scale, who: &str| Entry::Ramp(scale, format!("{who}: {}", by.label), low.clone(), high.clone());
                let [query, key] = [colors.query_scale, colors.key_scale];
                let mut entries = marks(query.at(0.7), key.at(0.7));
                entries.extend([ramp(query, "query"), ramp(key, "key")]);
                entries
            }
            ValueKind::Diverging => {
                let mut entries = marks(neutral, neutral);
                entries.push(Entry::Ramp(colors.diverging, by.label.into(), low, high));
                entries
            }
            ValueKind::Categorical(names) => {
                let mut entries = marks(neutral, neutral);
                entries.push(Entry::Text(format!("{}:", by.label)));
                entries.extend(Pages::new(names.len(), self.view).map(Entry::Pages));
                entries.extend(names.iter().zip(0_u32..).map(|(name, class)| {
                    let off = self.view.hidden_classes.contains(&class);
                    Entry::Class(class, colors.class(class as usize), (*name).into(), off)
                }));
                entries
            }
        }
    }
}

/// Marks what a search or a selection brings out; `labels` are those of the points. Empty if nothing is.
pub(crate) fn marks(view: &View, head: HeadId, labels: &[&str], points: usize, queries: usize) -> (Vec<bool>, Matches) {
    let matches = search(&view.search, labels, queries);
    let mut marked = matches.found.clone();
    let selected = !view.selected.is_empty() && view.selected.applies_to(head);
    if selected {
        marked.resize(points, false);
        for id in view.selected.ids() {
            if let Some(mark) = marked.get_mut(id as usize) {
                *mark = true;
            }
        }
    }
    (marked, matches)
}

/// The legend's entries for a search, whose counts are those of one head, and for a selection.
pub(crate) fn mark_entries(view: &View, matches: &Matches) -> Vec<Entry> {
    let mut entries = Vec::new();
    if !view.search.is_empty() {
        entries.push(Entry::Text(matches.describe(&view.search)));
    }
    match view.selected.len() {
        0 => {}
        1 => entries.push(Entry::Text("1 point selected".into())),
        count => entries.push(Entry::Text(format!("{count} points selected"))),
    }
    entries
}

/// Checks what a panel was given.
pub(crate) fn check_points(coordinates: Coordinates<'_>, queries: usize, values: Option<&[f32]>) -> Result<(), Error> {
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

    #[test]
    fn coordinates_are_checked() {
        assert!(matches!(Coordinates::new(&[0.0; 5], 2), Err(Error::Shape { .. })));
        assert!(matches!(Coordinates::new(&[0.0; 4], 4), Err(Error::Shape { .. })));
        assert!(matches!(
            Coordinates::new(&[0.0, f32::INFINITY], 2),
            Err(Error::NotFinite { index: 1, .. })
        ));
        let two = Coordinates::new(&[0.0; 4], 2).unwrap();
        assert!(matches!(check_points(two, 3, None), Err(Error::Shape { .. })));
        assert!(matches!(check_points(two, 1, Some(&[0.0])), Err(Error::Shape { .. })));
    }
}
