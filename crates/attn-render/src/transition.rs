//! From one projection to another while the eye follows: points of the same panel and id move, others fade.
//!
//! A pure function of two scenes and a time, so that it can be tested, replayed and written to files. Positions are blended
//! on the panel, not in the data: each scene has its own bounds, and a point starts at the very place where it was seen.

use std::collections::HashMap;

use crate::{Axes, Color, Panel, Point, Scene, View};

/// A way from one scene to another, such as the same heads under t-SNE and under UMAP, or after two epochs of training.
///
/// Panels are matched by their head, or by their title where they have none, and points by their id; both must be flat or
/// both in three dimensions, else everything fades. Labels and lines that end at a moving point move with it. Everything
/// else is that of the later scene from the start.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{Transition, View, views::{Coordinates, Head}};
///
/// let head = HeadId::new(Attention::EncoderSelf, 0, 0);
/// let view = View::default();
/// let scene = |points: &[f32]| Head::new(head, Coordinates::new(points, 2)?, 1).scene(&view, [300.0, 300.0]);
/// let way = Transition::new(&scene(&[0.0, 0.0, 4.0, 4.0, 0.0, 4.0])?, scene(&[4.0, 0.0, 0.0, 4.0, 0.0, 0.0])?);
/// let middle = way.at(0.5, &view);
/// let first = middle.layers[1].points.iter().find(|point| point.id == 0);
/// assert_eq!(first.map(|point| point.position), Some([2.0, 0.0, 0.0]));
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Transition {
    to: Scene,
    /// Per layer and point of `to` where it starts, with which colour; `None` for points that appear.
    starts: Vec<Vec<Option<Start>>>,
    /// Points that disappear, in panels of the scene with `extra` appended.
    leaving: Vec<Point>,
    extra: Vec<Panel>,
    /// Per layer: ends of edges and labels that hang on points.
    ties: Vec<Ties>,
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

/// Data units that fill the panel, as [`Projection`](crate::Projection) fits them: half of a side in the plane, a radius in space.
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
    /// Prepares the way: matches points once, so that every moment of it is cheap.
    pub fn new(from: &Scene, to: Scene) -> Self {
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
        let ties = ties(&to, &starts);
        Self {
            to,
            starts,
            leaving,
            extra,
            ties,
        }
    }

    /// The scene at time `t`: 0 as before, 1 the later scene itself; the host decides how long that takes. Motion starts
    /// and ends at rest. [`View::reduced_motion`] is at the end at once.
    pub fn at(&self, t: f32, view: &View) -> Scene {
        if view.reduced_motion || t >= 1.0 || t.is_nan() {
            return self.to.clone();
        }
        let t = eased(t.max(0.0));
        let mut scene = self.to.clone();
        scene.panels.extend(self.extra.iter().cloned());
        let between = |a: [f32; 3], b: [f32; 3]| [0, 1, 2].map(|axis: usize| a[axis] + t * (b[axis] - a[axis]));
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
        }
        let leaving = self.leaving.iter().map(|point| {
            let mut point = *point;
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

/// Which ends of edges and which labels lie exactly on a point that moves, and where that starts.
fn ties(scene: &Scene, starts: &[Vec<Option<Start>>]) -> Vec<Ties> {
    let hangs = |layer: &crate::Layer| !layer.edges.is_empty() || !layer.labels.is_empty();
    if !scene.layers.iter().any(hangs) {
        return vec![Ties::default(); scene.layers.len()];
    }
    let bits = |panel: usize, p: [f32; 3]| (panel, p.map(f32::to_bits));
    let mut moving = HashMap::new();
    for (layer, starts) in scene.layers.iter().zip(starts) {
        for (point, start) in layer.points.iter().zip(starts) {
            if let Some(start) = start {
                moving.insert(bits(point.panel(), point.position), start.position);
            }
        }
    }
    let start = |panel: usize, p: [f32; 3]| moving.get(&bits(panel, p)).copied();
    let of = |layer: &crate::Layer| Ties {
        edges: (layer.edges.iter())
            .map(|edge| [edge.from, edge.to].map(|end| start(edge.panel as usize, end)))
            .collect(),
        labels: (layer.labels.iter())
            .map(|label| start(usize::from(label.panel), label.position))
            .collect(),
    };
    scene.layers.iter().map(of).collect()
}

/// Cubic, at rest at both ends (Hermite's smoothstep).
fn eased(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

fn faded(color: Color, opacity: f32) -> Color {
    color.alpha(f32::from(color.0[3]) / 255.0 * opacity)
}

#[cfg(test)]
mod tests {
    use attn_core::{Attention, HeadId};

    use super::*;
    use crate::{
        Orbit, Projection, Theme,
        views::{Coordinates, Head, HeadSequence},
    };

    const ID: HeadId = HeadId {
        attention: Attention::EncoderSelf,
        layer: 1,
        head: 2,
    };

    fn scene(values: &[f32], dims: usize, queries: usize) -> Scene {
        let view = View::default();
        Head::new(ID, Coordinates::new(values, dims).unwrap(), queries)
            .scene(&view, [400.0, 300.0])
            .unwrap()
    }

    /// Where the points of the open panel are seen, by id.
    fn seen(scene: &Scene, view: &View) -> Vec<(u32, [f32; 2])> {
        let projection = Projection::new(scene, view, scene.size);
        let points = scene.layers.iter().flat_map(|layer| layer.points.iter());
        let mut seen: Vec<_> = points
            .filter(|point| point.is_pickable() && point.color.0[3] > 0)
            .map(|point| {
                let [x, y, _] = projection.panels[point.panel()].px_from_data.apply(point.position);
                (point.id, [x, y])
            })
            .collect();
        seen.sort_by_key(|(id, _)| *id);
        seen
    }

    fn cloud(dims: usize, scale: f32, turn: u16) -> Vec<f32> {
        (0..60 * dims as u16)
            .map(|i| scale * f32::from((i * 37 + turn) % 101))
            .collect()
    }

    #[test]
    fn it_starts_where_points_were_seen_and_ends_in_the_later_scene() {
        for dims in [2, 3] {
            let (before, after) = (
                scene(&cloud(dims, 1.0, 0), dims, 30),
                scene(&cloud(dims, 40.0, 55), dims, 30),
            );
            let way = Transition::new(&before, after.clone());
            let view = View {
                orbit: Orbit {
                    yaw: 1.0,
                    pitch: 0.2,
                    zoom: 1.5,
                },
                ..View::default()
            };
            let (first, last) = (seen(&way.at(0.0, &view), &view), seen(&way.at(1.0, &view), &view));
            for ((id, found), (expected_id, expected)) in first.iter().zip(seen(&before, &view)) {
                assert_eq!(*id, expected_id);
                let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
                assert!(off < 0.02, "{dims}: {found:?} {expected:?}");
            }
            assert_eq!(last, seen(&after, &view));
            assert_eq!(first.len(), 60);
            // Half the time is half the way; easing is symmetric.
            if dims == 2 {
                for (((_, a), (_, b)), (_, middle)) in first.iter().zip(&last).zip(seen(&way.at(0.5, &view), &view)) {
                    assert!((0.5 * (a[0] + b[0]) - middle[0]).abs() < 0.02);
                }
            }
        }
    }

    #[test]
    fn it_moves_slowly_at_both_ends_and_never_back() {
        let way = Transition::new(&scene(&[0.0, 0.0, 1.0, 1.0], 2, 1), scene(&[1.0, 0.0, 0.0, 1.0], 2, 1));
        let view = View::default();
        let x = |t: f32| seen(&way.at(t, &view), &view)[0].1[0];
        let steps: Vec<f32> = (0..10_u8)
            .map(|i| x(f32::from(i + 1) / 10.0) - x(f32::from(i) / 10.0))
            .collect();
        assert!(steps.iter().all(|step| *step > 0.0), "{steps:?}");
        assert!(steps[0] < 0.4 * steps[4] && steps[9] < 0.4 * steps[5], "{steps:?}");
        assert_eq!(x(-3.0), x(0.0));
        assert_eq!(x(f32::NAN), x(1.0));
    }

    #[test]
    fn reduced_motion_is_there_at_once() {
        let after = scene(&[1.0, 0.0, 0.0, 1.0], 2, 1);
        let way = Transition::new(&scene(&[0.0, 0.0, 1.0, 1.0], 2, 1), after.clone());
        let view = View {
            reduced_motion: true,
            ..View::default()
        };
        assert_eq!(seen(&way.at(0.0, &view), &view), seen(&after, &view));
    }

    #[test]
    fn points_of_one_side_only_fade() {
        let way = Transition::new(
            &scene(&cloud(2, 1.0, 0)[..20], 2, 5),
            scene(&cloud(2, 1.0, 3)[..12], 2, 3),
        );
        let view = View::default();
        let alphas = |t: f32| {
            let scene = way.at(t, &view);
            let mut alphas: Vec<(u32, u8)> = (scene.layers.iter().flat_map(|layer| layer.points.iter()))
                .filter(|point| point.is_pickable())
                .map(|point| (point.id, point.color.0[3]))
                .collect();
            alphas.sort_unstable();
            alphas
        };
        let start = alphas(0.0);
        assert_eq!(start.len(), 10);
        assert!(start.iter().all(|(_, alpha)| *alpha == 255));
        assert_eq!(alphas(0.5)[6..], [(6, 128), (7, 128), (8, 128), (9, 128)]);
        assert_eq!(alphas(1.0).len(), 6);
        let back = Transition::new(
            &scene(&cloud(2, 1.0, 0)[..12], 2, 3),
            scene(&cloud(2, 1.0, 0)[..20], 2, 5),
        );
        let appearing = back.at(0.0, &view).layers[1]
            .points
            .iter()
            .filter(|p| p.color.0[3] == 0)
            .count();
        assert_eq!(appearing, 4);
    }

    #[test]
    fn between_planes_and_space_everything_fades() {
        let way = Transition::new(&scene(&cloud(2, 1.0, 0), 2, 30), scene(&cloud(3, 1.0, 0), 3, 30));
        let view = View::default();
        let middle = way.at(0.5, &view);
        let points = middle
            .layers
            .iter()
            .flat_map(|layer| layer.points.iter())
            .filter(|p| p.is_pickable());
        let axes: Vec<Axes> = points.map(|point| middle.panels[point.panel()].axes).collect();
        assert_eq!(axes.iter().filter(|axes| **axes == Axes::Space).count(), 60);
        assert_eq!(axes.iter().filter(|axes| **axes == Axes::Plane).count(), 60);
        assert_eq!(way.at(1.0, &view).panels.len(), way.end().panels.len());
    }

    #[test]
    fn lines_and_labels_stay_at_their_points() {
        let labels = ["a", "b", "c", "d"];
        let attention = [0.7, 0.3, 0.2, 0.8];
        let view = View {
            theme: Theme::Dark,
            ..View::default()
        };
        let with = |values: &[f32]| {
            Head {
                labels: &labels,
                sequence: Some(HeadSequence {
                    queries: &[0, 1],
                    keys: &[2, 3],
                    attention: &attention,
                }),
                ..Head::new(ID, Coordinates::new(values, 2).unwrap(), 2)
            }
            .scene(&view, [300.0, 300.0])
            .unwrap()
        };
        let way = Transition::new(
            &with(&[0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
            with(&[5.0, 1.0, 3.0, 9.0, 0.0, 2.0, 8.0, 4.0]),
        );
        for t in [0.0, 0.3, 0.8] {
            let scene = way.at(t, &view);
            let at = |p: [f32; 3]| scene.layers[1].points.iter().any(|point| point.position == p);
            assert_eq!((scene.layers[1].edges.len(), scene.layers[1].labels.len()), (4, 4));
            assert!(
                scene.layers[1].edges.iter().all(|edge| at(edge.from) && at(edge.to)),
                "{t}"
            );
            assert!(scene.layers[1].labels.iter().all(|label| at(label.position)), "{t}");
        }
    }
}
