//! Which labels are drawn, and where: greedy by priority, never two over each other.
//!
//! Point-feature labeling in the greedy manner that Christensen, Marks and Shieber (1995) take as baseline, with
//! a grid for the collisions. Each label tries four places around its anchor, in a fixed order, so that the same
//! scene and camera always give the same picture, whatever was drawn before.

use std::sync::Arc;

use crate::{
    Color, Scene,
    geometry::Rect,
    projection::Projection,
    scene::{Label, Layer, Placement, Point},
    text::{LINE, text_width},
};

/// A label that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedLabel {
    /// The text.
    pub text: Arc<str>,
    /// Its box, in pixels.
    pub rect: Rect,
    /// Where in its box text stands that is narrower than measured (fonts of a host): 0 at the left, 0.5 in the middle, 1 at
    /// the right.
    pub align: f32,
    /// Where it may draw, in pixels.
    pub clip: Rect,
    /// Font size in layout units.
    pub size: f32,
    /// Pixels per layout unit of its font, its panel's zoom included.
    pub scale: f32,
    /// Bold or regular.
    pub bold: bool,
    /// Its color.
    pub color: Color,
    /// Color of its rim.
    pub halo: Option<Color>,
}

/// How much farther than asked for a label is from its anchor where that uncovers points, in parts of its reach.
const FARTHER: [f32; 4] = [0.0, 0.3, 0.6, 1.0];
/// At most so many floating labels are drawn: beyond it nobody reads them.
const MOST_FLOATING: usize = 600;

/// Places the labels of every layer and of the overlay; one list per layer, in drawing order.
pub fn place_labels(scene: &Scene, projection: &Projection) -> Vec<Vec<PlacedLabel>> {
    scene
        .drawn_layers()
        .map(|layer| drawn(layer, projection).into_iter().map(|(_, label)| label).collect())
        .collect()
}

/// Places the labels of a layer: the index of every one that is drawn, and where.
pub(crate) fn drawn(layer: &Layer, projection: &Projection) -> Vec<(usize, PlacedLabel)> {
    let mut taken = Taken::new(projection.size);
    let mut placed = Vec::new();
    let mut floating: Vec<(f32, f32, usize)> = Vec::new();
    let mut points: Option<Covered> = None;
    // What has no priority comes last; adding 0 makes the two zeros one.
    let rank = |priority: f32| if priority.is_nan() { f32::MIN } else { priority + 0.0 };
    for (index, label) in layer.labels.iter().enumerate() {
        match label.placement {
            Placement::Fixed => {
                let label = Anchored::new(label, projection).map(|anchored| anchored.fixed());
                if let Some(label) = label.filter(|label| label.clip.overlaps(&label.rect)) {
                    taken.insert(label.rect);
                    placed.push((index, label));
                }
            }
            Placement::Floating {
                priority,
                margin,
                clear,
            } => {
                let around = |anchored: &Anchored<'_>| {
                    let ([x, y], by) = (anchored.anchor, clear * anchored.scale);
                    Rect::new(x - by, y - by, 2.0 * by, 2.0 * by)
                };
                if let (true, Some(anchored)) = (clear > 0.0, Anchored::new(label, projection)) {
                    taken.insert(around(&anchored));
                }
                floating.push((rank(priority), margin, index));
            }
            Placement::OffPoints { priority, margin, .. } => {
                points.get_or_insert_with(|| Covered::new(layer, projection));
                floating.push((rank(priority), margin, index));
            }
        }
    }
    // A stable sort: equal priorities keep the scene's order.
    floating.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut count = 0;
    for (_, margin, index) in floating {
        if count == MOST_FLOATING {
            break;
        }
        let Some(anchored) = Anchored::new(&layer.labels[index], projection) else {
            continue;
        };
        let is_free = |label: &PlacedLabel| taken.is_free(label.rect, margin * projection.scale);
        let found = match (&layer.labels[index].placement, &points) {
            (Placement::OffPoints { reach, .. }, Some(points)) => {
                let rings = FARTHER.iter().enumerate();
                let all = rings.flat_map(|(ring, by)| anchored.floating(by * reach).map(move |label| (ring, label)));
                let free = all.filter(|(_, label)| is_free(label));
                // Points are as large as the distance that the label keeps. A step away is worth as much as a point that shows.
                let size = 0.8 * anchored.label.offset[0] * anchored.scale;
                free.min_by_key(|(ring, label)| points.under(label.rect.shrink(-size)) + ring)
                    .map(|(_, label)| label)
            }
            _ => anchored.floating(0.0).find(is_free),
        };
        if let Some(label) = found {
            taken.insert(label.rect);
            placed.push((index, label));
            count += 1;
        }
    }
    placed
}

/// The box of a fixed label, in pixels; `None` if it is not drawn.
pub(crate) fn fixed_box(label: &Label, projection: &Projection) -> Option<Rect> {
    Anchored::new(label, projection).map(|anchored| anchored.fixed().rect)
}

/// A label whose anchor is on the target.
struct Anchored<'a> {
    label: &'a Label,
    anchor: [f32; 2],
    clip: Rect,
    size: [f32; 2],
    /// Pixels per layout unit, of distances and of the font.
    scale: f32,
    font_scale: f32,
}

impl<'a> Anchored<'a> {
    fn new(label: &'a Label, projection: &Projection) -> Option<Self> {
        let place = projection.panels.get(usize::from(label.panel))?;
        let [x, y, w] = place.px_from_data.apply(label.position);
        let scale = projection.scale;
        let font_scale = if label.grows > 1.0 {
            scale * place.zoom.min(label.grows)
        } else {
            scale
        };
        let shown = place.zoom >= label.visible_from;
        // Text of less than 3 or more than 300 pixels is not read; the glyph atlas would overflow.
        let legible = (3.0..300.0).contains(&(label.size * font_scale));
        // Floating labels belong to what is in sight; fixed ones may reach into sight from outside.
        let in_sight = label.placement == Placement::Fixed || place.clip.contains([x, y]);
        if !(x.is_finite() && y.is_finite() && w > 0.0 && shown && legible && in_sight) || label.text.is_empty() {
            return None;
        }
        let width = text_width(&label.text, label.size, label.bold) * font_scale;
        let size = [width, LINE * label.size * font_scale];
        Some(Self {
            label,
            anchor: [x, y],
            clip: place.clip,
            size,
            scale,
            font_scale,
        })
    }

    fn fixed(&self) -> PlacedLabel {
        let label = self.label;
        let place = |axis: usize| {
            self.anchor[axis] + label.offset[axis] * self.font_scale - label.align[axis] * self.size[axis]
        };
        self.at(place(0), place(1), label.align[0])
    }

    /// Right, left, above, below, so much farther off than the label says; only where the whole text is inside the panel.
    fn floating(&self, farther: f32) -> impl Iterator<Item = PlacedLabel> {
        let [x, y] = self.anchor;
        let [width, height] = self.size;
        let gap = (self.label.offset[0] + farther) * self.scale;
        let middle = y - 0.5 * height;
        [
            ([x + gap, middle], 0.0),
            ([x - gap - width, middle], 1.0),
            ([x - 0.5 * width, y - gap - 0.95 * height], 0.5),
            ([x - 0.5 * width, y + gap - 0.05 * height], 0.5),
        ]
        .into_iter()
        .map(move |([left, top], align)| self.at(left, top, align))
        .filter(|placed| {
            let (rect, clip) = (placed.rect, placed.clip);
            rect.min[0] >= clip.min[0]
                && rect.max[0] <= clip.max[0]
                && rect.min[1] >= clip.min[1]
                && rect.max[1] <= clip.max[1]
        })
    }

    fn at(&self, left: f32, top: f32, align: f32) -> PlacedLabel {
        let label = self.label;
        PlacedLabel {
            text: label.text.clone(),
            rect: Rect::new(left, top, self.size[0], self.size[1]),
            align,
            clip: self.clip,
            size: label.size,
            scale: self.font_scale,
            bold: label.bold,
            color: label.color,
            halo: label.halo,
        }
    }
}

/// The points of a layer, in pixels, from left to right.
struct Covered(Vec<[f32; 2]>);

impl Covered {
    fn new(layer: &Layer, projection: &Projection) -> Self {
        let place = |point: &Point| {
            let panel = projection.panels.get(point.panel())?;
            let [x, y, w] = panel.px_from_data.apply(point.position);
            (w > 0.0 && panel.clip.contains([x, y])).then_some([x, y])
        };
        let mut points: Vec<[f32; 2]> = layer.points.iter().filter_map(place).collect();
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        Self(points)
    }

    /// How many lie in a rectangle.
    fn under(&self, rect: Rect) -> usize {
        let first = self.0.partition_point(|point| point[0] < rect.min[0]);
        let after = self.0.partition_point(|point| point[0] <= rect.max[0]);
        let inside = |point: &&[f32; 2]| (rect.min[1]..=rect.max[1]).contains(&point[1]);
        self.0[first..after.max(first)].iter().filter(inside).count()
    }
}

/// Rectangles that are in use, by the cells of a grid they touch; what lies outside counts to the cells at the border.
struct Taken {
    columns: usize,
    rows: usize,
    cells: Vec<Vec<Rect>>,
}

/// Side of a cell, in pixels.
const CELL: f32 = 64.0;

impl Taken {
    fn new(size: [f32; 2]) -> Self {
        let [columns, rows] = size.map(|side| Self::along(side, 1024) + 1);
        Self {
            columns,
            rows,
            cells: vec![Vec::new(); columns * rows],
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the grid"
    )]
    fn along(px: f32, last: usize) -> usize {
        (px / CELL).clamp(0.0, last as f32) as usize
    }

    /// Indices of the cells that a rectangle touches.
    fn touched(&self, rect: Rect) -> impl Iterator<Item = usize> + use<> {
        let (columns, rows) = (self.columns, self.rows);
        let range = |axis: usize, count: usize| {
            Self::along(rect.min[axis], count - 1)..Self::along(rect.max[axis], count - 1) + 1
        };
        let across = range(0, columns);
        range(1, rows).flat_map(move |row| across.clone().map(move |column| row * columns + column))
    }

    fn is_free(&self, rect: Rect, margin: f32) -> bool {
        let (min, max) = (rect.min.map(|v| v - margin), rect.max.map(|v| v + margin));
        let wide = Rect { min, max };
        self.touched(wide)
            .all(|cell| self.cells[cell].iter().all(|other| !other.overlaps(&wide)))
    }

    fn insert(&mut self, rect: Rect) {
        for cell in self.touched(rect) {
            self.cells[cell].push(rect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ViewState,
        camera::Camera,
        geometry::Bounds,
        scene::{Axes, Motion, Panel},
    };

    /// 400 labels on a spiral, in a panel that zooms.
    fn crowd() -> Scene {
        let mut scene = Scene::new([300.0, 300.0], Color::default());
        let panel = scene.add_panel(Panel {
            bounds: Bounds {
                min: [-1.0, -1.0, 0.0],
                max: [1.0, 1.0, 0.0],
            },
            axes: Axes::Plane,
            ..Panel::page(Rect::new(10.0, 10.0, 280.0, 280.0), Motion::Inside)
        });
        for i in 0..400_u16 {
            let t = f32::from(i) / 400.0;
            let (y, x) = (t * 40.0).sin_cos();
            let mut label = Label::new(panel, [t * x, t * y], format!("token{i}"), 9.0, Color::default());
            label.placement = Placement::Floating {
                priority: f32::from(i * 79 % 400),
                margin: 1.5,
                clear: 0.0,
            };
            label.offset = [4.0, 0.0];
            scene.layers[0].labels.push(label);
        }
        scene
    }

    fn placed(scene: &Scene, zoom: f32) -> Vec<PlacedLabel> {
        let view = ViewState {
            inside: Camera {
                zoom,
                ..Camera::default()
            },
            ..ViewState::default()
        };
        place_labels(scene, &Projection::new(scene, &view, [300.0, 300.0])).remove(0)
    }

    #[test]
    fn labels_never_overlap_and_stay_in_their_panel() {
        let scene = crowd();
        for zoom in [1.0, 1.3, 2.0, 5.0, 20.0] {
            let labels = placed(&scene, zoom);
            assert!(zoom > 10.0 || labels.len() > 15, "{} at {zoom}", labels.len());
            for (i, a) in labels.iter().enumerate() {
                assert!(a.clip.intersect(&a.rect) == a.rect);
                assert!(
                    labels[..i].iter().all(|b| !a.rect.overlaps(&b.rect)),
                    "{} at {zoom}",
                    a.text
                );
            }
        }
    }

    #[test]
    fn the_highest_priority_in_sight_is_always_there() {
        let scene = crowd();
        let first = scene.layers[0].labels.iter().max_by(|a, b| {
            let priority = |label: &Label| match label.placement {
                Placement::Floating { priority, .. } => priority,
                _ => 0.0,
            };
            priority(a).total_cmp(&priority(b))
        });
        for zoom in [1.0, 1.1, 1.2, 1.3, 1.4] {
            assert!(
                placed(&scene, zoom)
                    .iter()
                    .any(|label| label.text == first.unwrap().text)
            );
        }
    }

    #[test]
    fn labels_off_points_step_aside() {
        // A bar of points to the right of the anchor, and a short one to the left.
        let mut scene = crowd();
        let bar = (1..40_u8).map(|at| f32::from(at) / 40.0).chain([0.0, -0.1, -0.2]);
        let panel = scene.layers[0].labels[0].panel;
        let points = bar.map(|x| Point::new(panel, [x, 0.0, 0.0], Color::default(), 0));
        scene.layers[0].points = points.collect();
        scene.layers[0].labels.truncate(1);
        let mut look = |placement: Placement| {
            let label = &mut scene.layers[0].labels[0];
            (label.position, label.placement) = ([0.0; 3], placement);
            placed(&scene, 1.0).remove(0).rect
        };
        let middle = 150.0;
        let (priority, margin) = (0.0, 0.0);
        let beside = look(Placement::Floating {
            priority,
            margin,
            clear: 0.0,
        });
        assert!(beside.min[0] > middle && beside.min[1] < middle && beside.max[1] > middle);
        let off = look(Placement::OffPoints {
            priority,
            margin,
            reach: 20.0,
        });
        assert!(off.max[1] < middle || off.min[1] > middle, "{off:?}");
    }

    #[test]
    fn placing_is_repeatable_and_most_labels_survive_a_small_zoom() {
        let scene = crowd();
        assert_eq!(placed(&scene, 1.0), placed(&scene, 1.0));
        let (a, b) = (placed(&scene, 1.5), placed(&scene, 1.53));
        let kept = a.iter().filter(|x| b.iter().any(|y| x.text == y.text)).count();
        assert!(kept * 10 >= a.len() * 8, "{kept} of {}", a.len());
    }

    #[test]
    fn fixed_labels_are_kept_clear() {
        let mut scene = crowd();
        scene.layers[0]
            .labels
            .push(Label::new(1, [0.0, 0.0], "fixed", 30.0, Color::default()).aligned(0.5, 0.5));
        let labels = placed(&scene, 1.0);
        let fixed = labels.iter().find(|label| &*label.text == "fixed").unwrap();
        assert!(
            labels
                .iter()
                .all(|label| std::ptr::eq(label, fixed) || !label.rect.overlaps(&fixed.rect))
        );
    }

    #[test]
    fn anchors_that_are_kept_clear_are_not_covered() {
        let mut scene = crowd();
        scene.layers[0].labels = scene.layers[0].labels.iter().step_by(10).cloned().collect();
        for label in &mut scene.layers[0].labels {
            label.placement = Placement::Floating {
                priority: 0.0,
                margin: 1.5,
                clear: 2.0,
            };
        }
        let labels = placed(&scene, 1.0);
        assert!(labels.len() > 5);
        let projection = Projection::new(&scene, &ViewState::default(), [300.0, 300.0]);
        for label in &scene.layers[0].labels {
            let [x, y, _] = projection.panels[1].px_from_data.apply(label.position);
            let anchor = Rect::new(x - 2.0, y - 2.0, 4.0, 4.0);
            assert!(labels.iter().all(|placed| !placed.rect.overlaps(&anchor)));
        }
    }

    #[test]
    fn labels_of_no_panel_or_no_position_are_left_out() {
        let mut scene = Scene::new([100.0, 100.0], Color::default());
        scene.layers[0].labels = vec![
            Label::new(9, [0.0, 0.0], "no panel", 9.0, Color::default()),
            Label::new(0, [f32::NAN, 0.0], "nowhere", 9.0, Color::default()),
            Label::new(0, [5.0, 5.0], "", 9.0, Color::default()),
        ];
        assert!(placed(&scene, 1.0).is_empty());
    }
}
