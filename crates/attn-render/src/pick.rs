//! What is under the cursor, found on the CPU, occluded points included.
//!
//! Points of flat panels are found through a grid per panel in data coordinates, built when a panel is first
//! asked about and kept while the scene's points stay the same: a camera move costs nothing. Clouds in three
//! dimensions are projected point by point; of points equally near the cursor the nearest to the eye wins.

use std::{collections::HashMap, ops::Range};

use crate::{Area, Axes, Point, Projection, Rect, Scene, selection::Prepared};

/// What a hit test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Index of the innermost (last) panel under the cursor.
    pub panel: usize,
    /// The id of the point or region under the cursor, if there is one.
    pub id: Option<u32>,
    /// Index of the layer and of the point in it, if it is a point.
    pub point: Option<(usize, usize)>,
}

/// Hit tests with an index that is kept between calls.
#[derive(Debug, Clone, Default)]
pub struct Picker {
    /// Per layer: the stamp of its points and, per panel, where they are.
    layers: Vec<LayerIndex>,
}

#[derive(Debug, Clone, Default)]
struct LayerIndex {
    stamp: u64,
    runs: HashMap<usize, Vec<Range<usize>>>,
    grids: HashMap<usize, Grid>,
}

impl Picker {
    /// What is under `cursor` (pixels), with points up to `radius` pixels away.
    ///
    /// The nearest point wins; where there is none, the last region under the cursor.
    pub fn hit(&mut self, scene: &Scene, projection: &Projection, cursor: [f32; 2], radius: f32) -> Option<Hit> {
        let panel = panel_at(projection, cursor)?;
        let mut best: Option<(f32, f32, usize, usize)> = None;
        self.layers.resize_with(scene.layers.len(), LayerIndex::default);
        for (layer, index) in self.layers.iter_mut().enumerate() {
            let points = &scene.layers[layer].points;
            index.update(points, points.stamp());
            for (distance, w, point) in index.near(points, scene, projection, panel, cursor, radius) {
                if best.is_none_or(|(d, bw, ..)| (distance, w) < (d, bw)) {
                    best = Some((distance, w, layer, point));
                }
            }
        }
        if let Some((.., layer, point)) = best {
            let id = scene.layers[layer].points[point].id;
            return Some(Hit {
                panel,
                id: Some(id),
                point: Some((layer, point)),
            });
        }
        let data = projection.panels[panel].px_from_data.invert_flat(cursor);
        let region = data.and_then(|at| {
            let mut regions = scene.layers.iter().rev().flat_map(|layer| layer.regions.iter().rev());
            regions.find(|region| usize::from(region.panel) == panel && region.rect.contains(at))
        });
        Some(Hit {
            panel,
            id: region.map(|region| region.id),
            point: None,
        })
    }

    /// The ids of every point of a panel whose middle is inside `area`, ascending: exact, points behind others and dimmed
    /// ones included, hidden ones and what the panel cuts off not. Where a panel has regions instead of points, those
    /// whose middle is inside.
    pub fn within(&mut self, scene: &Scene, projection: &Projection, panel: usize, area: &Area) -> Vec<u32> {
        let Some(place) = projection.panels.get(panel) else {
            return Vec::new();
        };
        let bounds = place.clip.intersect(&area.bounds());
        let prepared = Prepared::new(area);
        let inside = |[x, y]: [f32; 2]| bounds.contains([x, y]) && prepared.contains([x, y]);
        let mut ids = Vec::new();
        self.layers.resize_with(scene.layers.len(), LayerIndex::default);
        for (index, layer) in self.layers.iter_mut().zip(&scene.layers) {
            index.update(&layer.points, layer.points.stamp());
            for point in index.candidates(&layer.points, scene, projection, panel, bounds) {
                let point = &layer.points[point];
                let [x, y, w] = place.px_from_data.apply(point.position);
                if point.is_pickable() && w > 0.0 && inside([x, y]) {
                    ids.push(point.id);
                }
            }
            let regions = layer.regions.iter().filter(|region| usize::from(region.panel) == panel);
            ids.extend(regions.filter_map(|region| {
                let [x, y] = region.rect.center();
                let [x, y, _] = place.px_from_data.apply([x, y, 0.0]);
                inside([x, y]).then_some(region.id)
            }));
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// The last panel under a pixel.
pub(crate) fn panel_at(projection: &Projection, cursor: [f32; 2]) -> Option<usize> {
    projection.panels.iter().rposition(|place| place.clip.contains(cursor))
}

impl LayerIndex {
    fn update(&mut self, points: &[Point], stamp: u64) {
        if self.stamp == stamp {
            return;
        }
        *self = Self {
            stamp,
            ..Self::default()
        };
        let mut start = 0;
        while let Some(first) = points.get(start) {
            let length = points[start..]
                .iter()
                .take_while(|point| point.panel() == first.panel())
                .count();
            self.runs.entry(first.panel()).or_default().push(start..start + length);
            start += length;
        }
    }

    /// Distance, w and index of every pickable point within `radius` pixels, in no particular order.
    fn near(
        &mut self,
        points: &[Point],
        scene: &Scene,
        projection: &Projection,
        panel: usize,
        cursor: [f32; 2],
        radius: f32,
    ) -> Vec<(f32, f32, usize)> {
        let map = projection.panels[panel].px_from_data;
        let measure = |index: usize| {
            let point = &points[index];
            let [x, y, w] = map.apply(point.position);
            let distance = (x - cursor[0]).hypot(y - cursor[1]);
            (point.is_pickable() && distance <= radius && w > 0.0).then_some((distance, w, index))
        };
        let around = Rect {
            min: cursor.map(|v| v - radius),
            max: cursor.map(|v| v + radius),
        };
        let candidates = self.candidates(points, scene, projection, panel, around);
        candidates.into_iter().filter_map(measure).collect()
    }

    /// Every point of a panel that may be inside a rectangle of pixels, and others.
    fn candidates(
        &mut self,
        points: &[Point],
        scene: &Scene,
        projection: &Projection,
        panel: usize,
        px: Rect,
    ) -> Vec<usize> {
        let Some(runs) = self.runs.get(&panel) else {
            return Vec::new();
        };
        if scene.panels[panel].axes == Axes::Space {
            return runs.iter().cloned().flatten().collect();
        }
        let grid = self.grids.entry(panel).or_insert_with(|| Grid::new(points, runs));
        let map = projection.panels[panel].px_from_data;
        let (Some(a), Some(b)) = (map.invert_flat(px.min), map.invert_flat(px.max)) else {
            return Vec::new();
        };
        grid.within([0, 1].map(|i| a[i].min(b[i])), [0, 1].map(|i| a[i].max(b[i])))
            .collect()
    }
}

/// Points of a panel, sorted by the cell of a square grid over their bounds.
#[derive(Debug, Clone, Default)]
struct Grid {
    min: [f32; 2],
    cell: [f32; 2],
    cells: [usize; 2],
    /// Where each cell's points start in `points`; one more entry than cells.
    starts: Vec<usize>,
    points: Vec<usize>,
}

impl Grid {
    fn new(points: &[Point], runs: &[Range<usize>]) -> Self {
        let finite = |index: &usize| points[*index].position[..2].iter().all(|v| v.is_finite());
        let indices: Vec<usize> = runs.iter().cloned().flatten().filter(finite).collect();
        let Some(first) = indices.first() else {
            return Self::default();
        };
        let (mut min, mut max) = ([points[*first].position[0], points[*first].position[1]], [f32::MIN; 2]);
        for &index in &indices {
            for axis in 0..2 {
                min[axis] = min[axis].min(points[index].position[axis]);
                max[axis] = max[axis].max(points[index].position[axis]);
            }
        }
        let side = indices.len().div_ceil(4).isqrt().clamp(1, 1024);
        let cell = [0, 1].map(|axis| ((max[axis] - min[axis]) / side as f32).max(f32::MIN_POSITIVE));
        let mut grid = Self {
            min,
            cell,
            cells: [side; 2],
            starts: vec![0; side * side + 1],
            points: Vec::new(),
        };
        // Counting sort.
        let cells: Vec<usize> = indices.iter().map(|&i| grid.cell_index(points[i].position)).collect();
        for &cell in &cells {
            grid.starts[cell + 1] += 1;
        }
        for cell in 0..side * side {
            grid.starts[cell + 1] += grid.starts[cell];
        }
        let mut next = grid.starts.clone();
        grid.points = vec![0; indices.len()];
        for (&index, &cell) in indices.iter().zip(&cells) {
            grid.points[next[cell]] = index;
            next[cell] += 1;
        }
        grid
    }

    /// The cell of a coordinate along an axis, cut to the grid.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the grid"
    )]
    fn along(&self, axis: usize, value: f32) -> usize {
        let last = self.cells[axis].saturating_sub(1);
        ((value - self.min[axis]) / self.cell[axis]).clamp(0.0, last as f32) as usize
    }

    fn cell_index(&self, position: [f32; 3]) -> usize {
        self.along(1, position[1]) * self.cells[0] + self.along(0, position[0])
    }

    /// Every point in the cells that the box touches.
    fn within(&self, min: [f32; 2], max: [f32; 2]) -> impl Iterator<Item = usize> {
        let rows = if self.points.is_empty() {
            0..0
        } else {
            self.along(1, min[1])..self.along(1, max[1]) + 1
        };
        let (left, right) = (self.along(0, min[0]), self.along(0, max[0]));
        rows.flat_map(move |row| {
            let first = row * self.cells[0];
            self.points[self.starts[first + left]..self.starts[first + right + 1]]
                .iter()
                .copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, Camera, Color, Motion, Panel, Rect, Region, View};

    /// A repeatable sequence in -1..1.
    fn noise(seed: u32) -> f32 {
        let mixed = (seed ^ 0x9E37_79B9)
            .wrapping_mul(0x85EB_CA6B)
            .rotate_left(13)
            .wrapping_mul(0xC2B2_AE35);
        (mixed >> 8) as f32 / f32::from(1_u16 << 15) / 256.0 - 1.0
    }

    fn cloud(axes: Axes, panels: u16, each: u32) -> Scene {
        let mut scene = Scene::new([400.0, 300.0], Color::default());
        for panel in 0..panels {
            scene.add_panel(Panel {
                bounds: Bounds {
                    min: [-1.0; 3],
                    max: [1.0; 3],
                },
                axes,
                ..Panel::page(Rect::new(f32::from(panel) * 130.0, 20.0, 120.0, 200.0), Motion::Inside)
            });
        }
        for panel in 1..=panels {
            for id in 0..each {
                let seed = u32::from(panel) * 100_000 + id * 3;
                let position = [
                    noise(seed),
                    noise(seed + 1),
                    if axes == Axes::Space { noise(seed + 2) } else { 0.0 },
                ];
                scene.layers[0]
                    .points
                    .push(Point::new(panel, position, Color::default(), id).hidden(id % 10 == 0));
            }
        }
        scene
    }

    /// The nearest pickable point by looking at all of them.
    fn brute(scene: &Scene, projection: &Projection, cursor: [f32; 2], radius: f32) -> Option<f32> {
        let panel = panel_at(projection, cursor)?;
        let points = scene.layers[0]
            .points
            .iter()
            .filter(|point| point.panel() == panel && point.is_pickable());
        points
            .map(|point| {
                let [x, y, _] = projection.panels[panel].px_from_data.apply(point.position);
                (x - cursor[0]).hypot(y - cursor[1])
            })
            .filter(|distance| *distance <= radius)
            .min_by(f32::total_cmp)
    }

    #[test]
    fn the_nearest_point_is_found_as_by_looking_at_all() {
        for axes in [Axes::Plane, Axes::Page, Axes::Space] {
            let scene = cloud(axes, 3, 700);
            let mut picker = Picker::default();
            for zoom in [1.0, 7.0] {
                let view = View {
                    inside: Camera {
                        center: [0.4, 0.6],
                        zoom,
                    },
                    ..View::default()
                };
                let projection = Projection::new(&scene, &view, [400.0, 300.0]);
                let mut found = 0;
                for x in 0..40_u16 {
                    for y in 0..30_u16 {
                        let cursor = [f32::from(x) * 10.0 + 0.3, f32::from(y) * 10.0 + 0.6];
                        let hit = picker.hit(&scene, &projection, cursor, 4.0);
                        let distance = hit.and_then(|hit| hit.point).map(|(layer, index)| {
                            let point = &scene.layers[layer].points[index];
                            let [x, y, _] = projection.panels[point.panel()].px_from_data.apply(point.position);
                            (x - cursor[0]).hypot(y - cursor[1])
                        });
                        assert_eq!(
                            distance,
                            brute(&scene, &projection, cursor, 4.0),
                            "{axes:?} at {cursor:?}"
                        );
                        found += usize::from(distance.is_some());
                    }
                }
                assert!(found > 20, "{axes:?} {zoom}: {found}");
            }
        }
    }

    #[test]
    fn an_area_holds_exactly_what_looking_at_all_says() {
        for axes in [Axes::Plane, Axes::Page, Axes::Space] {
            let scene = cloud(axes, 2, 700);
            let mut picker = Picker::default();
            let view = View {
                inside: Camera {
                    center: [0.45, 0.55],
                    zoom: 1.6,
                },
                ..View::default()
            };
            let projection = Projection::new(&scene, &view, [400.0, 300.0]);
            let place = projection.panels[2];
            let [x, y] = place.rect.center();
            let lasso = vec![
                [x - 40.0, y - 50.0],
                [x + 45.0, y - 10.0],
                [x + 5.0, y],
                [x + 30.0, y + 60.0],
            ];
            for area in [
                Area::Lasso(lasso),
                Area::between([x + 70.0, y + 9.0], [x - 20.0, y - 30.0]),
            ] {
                let mut expected: Vec<u32> = scene.layers[0]
                    .points
                    .iter()
                    .filter(|point| {
                        let [x, y, _] = place.px_from_data.apply(point.position);
                        point.panel() == 2
                            && point.is_pickable()
                            && place.clip.contains([x, y])
                            && area.contains([x, y])
                    })
                    .map(|point| point.id)
                    .collect();
                expected.sort_unstable();
                assert!(expected.len() > 30, "{axes:?}: {}", expected.len());
                assert_eq!(picker.within(&scene, &projection, 2, &area), expected, "{axes:?}");
            }
            assert!(picker.within(&scene, &projection, 99, &Area::Lasso(vec![])).is_empty());
        }
    }

    #[test]
    fn moved_points_are_found_where_they_are_now() {
        let mut scene = cloud(Axes::Plane, 1, 50);
        let projection = Projection::new(&scene, &View::default(), [400.0, 300.0]);
        let mut picker = Picker::default();
        let middle = projection.panels[1].rect.center();
        let _ = picker.hit(&scene, &projection, middle, 0.5);
        scene.layers[0]
            .points
            .update(7..8, |point| point[0].position = [0.0; 3]);
        assert_eq!(
            picker.hit(&scene, &projection, middle, 0.5).unwrap().point,
            Some((0, 7))
        );
    }

    #[test]
    fn panels_and_regions_are_found() {
        let mut scene = Scene::new([100.0, 100.0], Color::default());
        scene.layers[0].regions = vec![
            Region {
                panel: 0,
                rect: Rect::new(10.0, 10.0, 30.0, 30.0),
                id: 4,
            },
            Region {
                panel: 0,
                rect: Rect::new(20.0, 20.0, 30.0, 30.0),
                id: 5,
            },
        ];
        let projection = Projection::new(&scene, &View::default(), [200.0, 200.0]);
        let at = |x, y| Picker::default().hit(&scene, &projection, [x, y], 5.0);
        assert_eq!(at(30.0, 30.0).unwrap().id, Some(4));
        assert_eq!(at(60.0, 60.0).unwrap().id, Some(5), "the front one");
        assert_eq!(
            at(190.0, 10.0),
            Some(Hit {
                panel: 0,
                id: None,
                point: None
            })
        );
        assert_eq!(at(-1.0, 10.0), None);
        assert_eq!(at(f32::NAN, 10.0), None);
    }

    #[test]
    fn coinciding_and_odd_points_do_no_harm() {
        let mut scene = cloud(Axes::Plane, 1, 0);
        for id in 0..9 {
            scene.layers[0]
                .points
                .push(Point::new(1, [0.0; 3], Color::default(), id));
        }
        scene.layers[0]
            .points
            .push(Point::new(1, [f32::NAN, 0.0, 0.0], Color::default(), 9));
        scene.layers[0]
            .points
            .push(Point::new(77, [0.0; 3], Color::default(), 10));
        let projection = Projection::new(&scene, &View::default(), [400.0, 300.0]);
        let hit = Picker::default()
            .hit(&scene, &projection, projection.panels[1].rect.center(), 1.0)
            .unwrap();
        assert_eq!(hit.id, Some(0));
    }
}
