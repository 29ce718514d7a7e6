//! Colors of points: by role, or by values of any name.

use super::{LegendEntry, Pages, Texts, number};
use crate::{Color, Error, Result, ViewState, color::Colors, scene::Shape, state::ColorChoice};

/// What the values of points are, and how colors stand for them.
#[derive(Debug, Clone, PartialEq)]
pub struct ColorBy {
    /// The name of the values, as legends and tables have it: `position`, `norm`.
    pub label: String,
    /// How colors stand for them.
    pub kind: ValueKind,
}

/// How colors stand for values.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// From little to much: one scale for queries, one for keys, more contrast = larger.
    Sequential,
    /// Around 0.
    Diverging,
    /// Classes by index, with their names. Hundreds are fine: the legend has pages. Those in
    /// [`Shared::hidden_classes`](crate::state::Shared::hidden_classes) are not drawn. Queries have the full color, keys a paler one.
    Categorical(Texts),
}

impl ColorBy {
    /// Values from little to much.
    pub fn sequential(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            kind: ValueKind::Sequential,
        }
    }

    /// Values around 0.
    pub fn diverging(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            kind: ValueKind::Diverging,
        }
    }

    /// Classes by index, with their names.
    pub fn classes(label: impl Into<String>, names: impl Into<Texts>) -> Self {
        Self {
            label: label.into(),
            kind: ValueKind::Categorical(names.into()),
        }
    }
}

/// Which roles the points of a plot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) queries: bool,
    pub(crate) keys: bool,
}

/// The colors of the points of a plot, and the legend entries that explain them.
pub struct PointColors<'a> {
    colors: Colors,
    by: Option<ColorBy>,
    range: [f32; 2],
    state: &'a ViewState,
    roles: Option<Roles>,
}

/// How much of a class's color keys have; the rest is the panel's.
const KEY_STRENGTH: f32 = 0.68;

/// The class that a value names: rounded, negative is 0.
pub(crate) fn class_of(value: f32) -> usize {
    value.round() as usize
}

impl<'a> PointColors<'a> {
    /// Colors of points that are queries and keys. `values` are those of every panel, so that a color means the same in all.
    /// They are drawn unless the state asks for roles; without `by` they are drawn from little to much.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for infinite values. NaN, where there is no value, is grey.
    pub fn new<'v>(
        state: &'a ViewState,
        by: Option<&ColorBy>,
        values: impl Iterator<Item = &'v [f32]>,
    ) -> Result<Self> {
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
        // Only what is finite was seen; nothing seen means nothing to color by.
        let seen = state.shared.color != ColorChoice::Role && range[0] <= range[1];
        let by = seen.then(|| by.cloned().unwrap_or_else(|| ColorBy::sequential("value")));
        if by.as_ref().is_some_and(|by| by.kind == ValueKind::Diverging) {
            let most = range[0].abs().max(range[1].abs());
            range = [-most, most];
        }
        Ok(Self {
            colors: state.colors(),
            by,
            range,
            state,
            roles: Some(Roles {
                queries: true,
                keys: true,
            }),
        })
    }

    /// The same for points that are neither queries nor keys: they have the colors of queries.
    pub fn without_roles(self) -> Self {
        Self { roles: None, ..self }
    }

    /// The same for points of these roles: the legend has no other.
    pub(crate) fn with_roles(self, roles: Roles) -> Self {
        Self {
            roles: Some(roles),
            ..self
        }
    }

    /// Whether points are colored by class.
    pub fn by_class(&self) -> bool {
        matches!(&self.by, Some(by) if matches!(by.kind, ValueKind::Categorical(_)))
    }

    /// The color of a point.
    pub fn color(&self, query: bool, value: Option<f32>) -> Color {
        let plain = if query { self.colors.query } else { self.colors.key };
        let (Some(by), Some(value)) = (&self.by, value) else {
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
    pub fn is_hidden(&self, value: Option<f32>) -> bool {
        let Some(value) = value.filter(|value| self.by_class() && !value.is_nan()) else {
            return false;
        };
        u32::try_from(class_of(value)).is_ok_and(|class| self.state.shared.hidden_classes.contains(&class))
    }

    /// What the colors and shapes stand for.
    pub fn legend(&self) -> Vec<LegendEntry> {
        let colors = &self.colors;
        let neutral = colors.muted;
        let Some(by) = &self.by else {
            return self.marks(colors.query, colors.key);
        };
        let (low, high) = (number(self.range[0]), number(self.range[1]));
        match &by.kind {
            ValueKind::Sequential => {
                let [query, key] = [colors.query_scale, colors.key_scale];
                let mut entries = self.marks(query.at(0.7), key.at(0.7));
                let ramp = |scale, name: String| LegendEntry::Ramp(scale, name, low.clone(), high.clone());
                match self.roles {
                    None => entries.push(ramp(query, by.label.clone())),
                    Some(roles) => {
                        let ramps = [(roles.queries, query, "query"), (roles.keys, key, "key")];
                        let ramps = ramps.into_iter().filter(|(there, ..)| *there);
                        entries.extend(ramps.map(|(_, scale, role)| ramp(scale, format!("{role}: {}", by.label))));
                    }
                }
                entries
            }
            ValueKind::Diverging => {
                let mut entries = self.marks(neutral, neutral);
                entries.push(LegendEntry::Ramp(colors.diverging, by.label.clone(), low, high));
                entries
            }
            ValueKind::Categorical(names) => {
                let mut entries = self.marks(neutral, neutral);
                entries.push(LegendEntry::Text(format!("{}:", by.label)));
                entries.extend(Pages::new(names.len(), self.state).map(LegendEntry::Pages));
                entries.extend(names.iter().zip(0_u32..).map(|(name, class)| {
                    let off = self.state.shared.hidden_classes.contains(&class);
                    LegendEntry::Class(class, colors.class(class as usize), name.to_string(), off)
                }));
                entries
            }
        }
    }

    /// The shapes of the roles that there are.
    fn marks(&self, query: Color, key: Color) -> Vec<LegendEntry> {
        let Some(roles) = self.roles else { return Vec::new() };
        let marks = [
            (roles.queries, Shape::Disc, query, "queries"),
            (roles.keys, Shape::Diamond, key, "keys"),
        ];
        let marks = marks.into_iter().filter(|(there, ..)| *there);
        marks
            .map(|(_, shape, color, name)| LegendEntry::Mark(shape, color, name.into()))
            .collect()
    }
}
