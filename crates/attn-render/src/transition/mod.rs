//! From one projection to another while the eye follows: points of the same panel and id move, others fade.
//!
//! A pure function of two scenes and a time, so that it can be tested, replayed and written to files. Positions are blended
//! on the panel, not in the data: each scene has its own bounds, and a point starts at the very place where it was seen.

mod labels;

use std::collections::HashMap;

use self::labels::Hanging;
use crate::{
    Color, Scene, ViewState,
    scene::{Axes, Edge, Label, Layer, Panel, Placement, Point},
};

/// A way from one scene to another, such as the same heads under t-SNE and under UMAP, or after two epochs of training.
///
/// Panels are matched by their head, or by their title where they have none, and points by their id; both must be flat or
/// both in three dimensions, else everything fades. Labels and lines that end at a moving point move with it. Which floating
/// labels are read is decided once: those of both ends all the way, those of one end near it. Everything else is that of the
/// later scene from the start.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{Plot, Transition, ViewState, plots::{Coordinates, Head}};
///
/// let head = HeadId::new(Attention::EncoderSelf, 0, 0);
/// let view = ViewState::default();
/// let scene = |points: &[f32]| Head::new(head, Coordinates::new(points, 2)?, 1).scene(&view, [300.0, 300.0]);
/// let way = Transition::new(&scene(&[0.0, 0.0, 4.0, 4.0, 0.0, 4.0])?, scene(&[4.0, 0.0, 0.0, 4.0, 0.0, 0.0])?, &view);
/// let middle = way.at(0.5);
/// let first = middle.layers[1].points.iter().find(|point| point.id == 0);
/// assert_eq!(first.map(|point| point.position), Some([2.0, 0.0, 0.0]));
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Transition {
    to: Scene,
    /// Per layer and point of `to` where it starts, with which color; `None` for points that appear.
    starts: Vec<Vec<Option<Start>>>,
    /// Points that disappear, in panels of the scene with `extra` appended.
    leaving: Vec<Point>,
    extra: Vec<Panel>,
    /// Per layer: ends of edges and fixed labels that hang on points.
    ties: Vec<Ties>,
    labels: Vec<Hanging>,
    /// It is at its end at once.
    jumps: bool,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    position: [f32; 3],
    color: Color,
}

/// Where edges and labels start that end at a moving point.
#[derive(Debug, Clone, Default)]
struct Ties {
    edges: Vec<[Option<[f32; 3]>; 2]>,
    labels: Vec<Option<[f32; 3]>>,
}

/// What two scenes call the same panel.
fn name(panel: &Panel) -> String {
    panel.head.map_or_else(|| panel.title.clone(), |head| head.to_string())
}

/// From positions in one panel's data to those in another's that are seen at the same part of the panel.
struct Change {
    from: [f32; 3],
    to: [f32; 3],
    factor: f32,
}

impl Change {
    fn new(from: &Panel, to: &Panel) -> Self {
        let (a, b) = (extent(from), extent(to));
        let factor = if a > 0.0 && (b / a).is_finite() { b / a } else { 1.0 };
        Self {
            from: from.bounds.center(),
            to: to.bounds.center(),
            factor,
        }
    }

    fn apply(&self, p: [f32; 3]) -> [f32; 3] {
        [0, 1, 2].map(|axis: usize| self.to[axis] + self.factor * (p[axis] - self.from[axis]))
    }
}

/// Data units that fill the panel, as [`Projection`](crate::projection::Projection) fits them: half of a side in the plane, a radius in space.
fn extent(panel: &Panel) -> f32 {
    if panel.axes == Axes::Space {
        return panel.bounds.radius();
    }
    let shape = panel.rect.width() / panel.rect.height().max(f32::MIN_POSITIVE);
    0.5 * panel
        .bounds
        .extent(1)
        .max(panel.bounds.extent(0) / shape.max(f32::MIN_POSITIVE))
}

impl Transition {
    /// Prepares the way: matches points and chooses labels once, so that every moment of it is cheap. The `view` says which
    /// labels are seen; with [`Shared::reduced_motion`](crate::state::Shared::reduced_motion) the way is at its end at once.
    pub fn new(from: &Scene, to: Scene, view: &ViewState) -> Self {
        let mut pairs: HashMap<(usize, u32), Point> = HashMap::new();
        let panels: HashMap<String, usize> = to
            .panels
            .iter()
            .enumerate()
            .filter(|(_, panel)| !name(panel).is_empty())
            .map(|(index, panel)| (name(panel), index))
            .collect();
        let mut extra: Vec<Panel> = Vec::new();
        let all = || from.layers.iter().flat_map(|layer| layer.points.iter());
        let mut holds = vec![false; from.panels.len()];
        for point in all().filter(|point| point.is_pickable()) {
            if let Some(holds) = holds.get_mut(point.panel()) {
                *holds = true;
            }
        }
        // Of every panel before: its place after, and whether its points move there.
        let places: Vec<(usize, Option<Change>)> = (from.panels.iter().zip(holds))
            .map(|(panel, holds)| {
                let same = panels.get(&name(panel)).map(|index| (*index, &to.panels[*index]));
                match same.filter(|(_, after)| (after.axes == Axes::Space) == (panel.axes == Axes::Space)) {
                    Some((index, after)) => (index, Some(Change::new(panel, after))),
                    // A panel without points needs no place.
                    None if !holds => (usize::MAX, None),
                    None => {
                        extra.push(panel.clone());
                        (to.panels.len() + extra.len() - 1, None)
                    }
                }
            })
            .collect();
        let mut order = Vec::new();
        for point in all() {
            let Some((panel, change)) = places.get(point.panel()).filter(|_| point.is_pickable()) else {
                continue;
            };
            let Ok(index) = u16::try_from(*panel) else { continue };
            let mut moved = point.in_panel(index);
            if let Some(change) = change {
                moved.position = change.apply(point.position);
            }
            pairs.insert((*panel, point.id), moved);
            order.push((*panel, point.id));
        }
        let starts: Vec<Vec<Option<Start>>> = (to.layers.iter())
            .map(|layer| {
                let start = |point: &Point| {
                    let before = point
                        .is_pickable()
                        .then(|| pairs.remove(&(point.panel(), point.id)))
                        .flatten()?;
                    let (position, color) = (before.position, before.color);
                    Some(Start { position, color })
                };
                layer.points.iter().map(start).collect()
            })
            .collect();
        let leaving = order.into_iter().filter_map(|key| pairs.remove(&key)).collect();
        Self {
            ties: ties(&to, &starts),
            labels: labels::hanging([from, &to], view, &places, &starts),
            jumps: view.shared.reduced_motion,
            to,
            starts,
            leaving,
            extra,
        }
    }

    /// The scene at time `t`: 0 as before, 1 the later scene itself; the host decides how long that takes. Motion starts
    /// and ends at rest.
    pub fn at(&self, t: f32) -> Scene {
        if self.jumps || t >= 1.0 || t.is_nan() {
            return self.to.clone();
        }
        let t = eased(t.max(0.0));
        let mut scene = self.to.clone();
        scene.panels.extend(self.extra.iter().cloned());
        let between = |a, b| between(a, b, t);
        for ((layer, starts), ties) in scene.layers.iter_mut().zip(&self.starts).zip(&self.ties) {
            let count = layer.points.len();
            layer.points.update(0..count, |points| {
                for (point, start) in points.iter_mut().zip(starts) {
                    match start {
                        Some(start) => {
                            point.position = between(start.position, point.position);
                            point.color = start.color.mix(point.color, t);
                        }
                        None if point.is_pickable() => point.color = faded(point.color, t),
                        None => {}
                    }
                }
            });
            let count = layer.edges.len();
            layer.edges.update(0..count, |edges| {
                for (edge, [from, to]) in edges.iter_mut().zip(&ties.edges) {
                    edge.from = from.map_or(edge.from, |start| between(start, edge.from));
                    edge.to = to.map_or(edge.to, |start| between(start, edge.to));
                }
            });
            for (label, start) in layer.labels.iter_mut().zip(&ties.labels) {
                label.position = start.map_or(label.position, |start| between(start, label.position));
            }
            layer.labels.retain(|label| label.placement == Placement::Fixed);
        }
        for hanging in &self.labels {
            if let (Some(label), Some(layer)) = (hanging.at(t), scene.layers.get_mut(hanging.layer)) {
                layer.labels.push(label);
            }
        }
        let leaving = self.leaving.iter().map(|point| {
            // The patches of the later scene are others.
            let mut point = point.as_patch(false);
            point.color = faded(point.color, 1.0 - t);
            point
        });
        if let Some(layer) = scene.layers.last_mut() {
            layer.points.extend(leaving);
        }
        scene
    }

    /// The scene it leads to.
    pub fn end(&self) -> &Scene {
        &self.to
    }
}

/// A place in a panel, as a key: exactly the same place has the same one.
type Place = (usize, [u32; 3]);

fn place(panel: usize, p: [f32; 3]) -> Place {
    (panel, p.map(f32::to_bits))
}

/// Which ends of edges and which fixed labels lie exactly on a point that moves, and where that starts.
fn ties(scene: &Scene, starts: &[Vec<Option<Start>>]) -> Vec<Ties> {
    let ends = |edge: &Edge| [edge.from, edge.to].map(|end| place(edge.panel as usize, end));
    let anchor = |label: &Label| place(usize::from(label.panel), label.position);
    let mut moving: HashMap<Place, Option<[f32; 3]>> = HashMap::new();
    for layer in &scene.layers {
        moving.extend(layer.edges.iter().flat_map(ends).map(|place| (place, None)));
        let fixed = layer.labels.iter().filter(|label| label.placement == Placement::Fixed);
        moving.extend(fixed.map(|label| (anchor(label), None)));
    }
    for (layer, starts) in scene.layers.iter().zip(starts) {
        for (point, start) in layer.points.iter().zip(starts) {
            if let (Some(start), Some(tied)) = (start, moving.get_mut(&place(point.panel(), point.position))) {
                *tied = Some(start.position);
            }
        }
    }
    let start = |place: Place| moving.get(&place).copied().flatten();
    let of = |layer: &Layer| Ties {
        edges: layer.edges.iter().map(|edge| ends(edge).map(start)).collect(),
        labels: layer.labels.iter().map(|label| start(anchor(label))).collect(),
    };
    scene.layers.iter().map(of).collect()
}

fn between<const N: usize>(a: [f32; N], b: [f32; N], t: f32) -> [f32; N] {
    std::array::from_fn(|axis| a[axis] + t * (b[axis] - a[axis]))
}

/// Cubic, at rest at both ends (Hermite's smoothstep).
fn eased(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

fn faded(color: Color, opacity: f32) -> Color {
    color.alpha(f32::from(color.0[3]) / 255.0 * opacity)
}

#[cfg(test)]
mod tests;
