//! What is under the cursor, found on the CPU, occluded points included.
//!
//! Points of flat panels are found through a grid per panel in data coordinates, those of clouds in three dimensions
//! through an octree, built when a panel is first asked about and kept while the scene's points stay the same: a camera
//! move costs nothing. Of points equally near the cursor the nearest to the eye wins.

mod grid;
mod octree;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range};

use self::{grid::Grid, octree::Octree};
use crate::{
    Area, Pick, Scene, Target,
    geometry::Rect,
    projection::Projection,
    scene::{Axes, Point},
    selection::Prepared,
};

/// What a hit test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Index of the innermost (last) panel under the cursor.
    pub panel: usize,
    /// The point or region under the cursor, if there is one.
    pub target: Option<Target>,
    /// Index of the layer and of the point in it, if it is a point.
    pub point: Option<(usize, usize)>,
}

impl Hit {
    /// The point or item that was hit.
    pub fn pick(&self) -> Option<Pick> {
        self.target.and_then(Target::pick)
    }

    /// The id of the point or item.
    pub fn id(&self) -> Option<u32> {
        self.pick().map(|pick| pick.id)
    }
}

/// Hit tests with an index that is kept between calls.
#[derive(Debug, Clone, Default)]
pub struct Picker {
    /// Per layer: the stamp of its points and, per panel, where they are.
    layers: Vec<LayerIndex>,
}

/// A pickable point as an index holds it, with all that most questions are about, in the order of the index's cells: points
/// themselves lie in the order of drawing, all over the memory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    position: [f32; 3],
    id: u32,
    /// Its index in the layer.
    point: u32,
}

/// The pickable points of runs that have `axes` finite coordinates.
fn entries<'a>(points: &'a [Point], runs: &'a [Range<usize>], axes: usize) -> impl Iterator<Item = Entry> + 'a {
    let indexed = runs.iter().cloned().flatten().map(|index| (index, &points[index]));
    indexed.filter_map(move |(index, point)| {
        let finite = point.position[..axes].iter().all(|v| v.is_finite());
        // Ids are 32 bits wide too; more points are not drawn.
        let index = u32::try_from(index).ok().filter(|_| finite && point.is_pickable())?;
        Some(Entry {
            position: point.position,
            id: point.id,
            point: index,
        })
    })
}

#[derive(Debug, Clone, Default)]
struct LayerIndex {
    stamp: u64,
    runs: HashMap<usize, Vec<Range<usize>>>,
    grids: HashMap<usize, Grid>,
    trees: HashMap<usize, Octree>,
}

impl Picker {
    /// What is under `cursor` (pixels), with points up to `radius` pixels away.
    ///
    /// The nearest point wins; where there is none, the last region under the cursor.
    pub fn hit(&mut self, scene: &Scene, projection: &Projection, cursor: [f32; 2], radius: f32) -> Option<Hit> {
        let panel = panel_at(projection, cursor)?;
        let head = scene.panels[panel].head;
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
                target: Some(Target::Point(Pick { head, id })),
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
            target: region.map(|region| region.target.in_panel(head)),
            point: None,
        })
    }

    /// The ids of every point of a panel whose middle is inside `area`, ascending: exact, points behind others and dimmed
    /// ones included, hidden ones and what the panel cuts off not. Where a panel has regions instead of points, those
    /// whose middle is inside and that stand for an item.
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
            index.visit(&layer.points, scene, projection, panel, bounds, |found| {
                for entry in found {
                    let [x, y, w] = place.px_from_data.apply(entry.position);
                    if w > 0.0 && inside([x, y]) {
                        ids.push(entry.id);
                    }
                }
            });
            let regions = layer.regions.iter().filter(|region| usize::from(region.panel) == panel);
            ids.extend(regions.filter_map(|region| {
                let [x, y] = region.rect.center();
                let [x, y, _] = place.px_from_data.apply([x, y, 0.0]);
                region.id().filter(|_| inside([x, y]))
            }));
        }
        ascending(ids)
    }
}

/// Each id once, ascending.
fn ascending(mut ids: Vec<u32>) -> Vec<u32> {
    let most = ids.iter().copied().max().unwrap_or(0) as usize;
    if most / 64 > ids.len() {
        ids.sort_unstable();
        ids.dedup();
        return ids;
    }
    // Ids count points, so that a bit for each of them is little.
    let mut bits = vec![0_u64; most / 64 + 1];
    for id in &ids {
        bits[*id as usize / 64] |= 1 << (id % 64);
    }
    ids.clear();
    for (mut word, base) in bits.into_iter().zip((0_u32..).step_by(64)) {
        while word != 0 {
            ids.push(base + word.trailing_zeros());
            word &= word - 1;
        }
    }
    ids
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
        let around = Rect {
            min: cursor.map(|v| v - radius),
            max: cursor.map(|v| v + radius),
        };
        let mut near = Vec::new();
        self.visit(points, scene, projection, panel, around, |found| {
            near.extend(found.iter().filter_map(|entry| {
                let [x, y, w] = map.apply(entry.position);
                let distance = (x - cursor[0]).hypot(y - cursor[1]);
                (distance <= radius && w > 0.0).then_some((distance, w, entry.point as usize))
            }));
        });
        near
    }

    /// Shows every pickable point of a panel that may be inside a rectangle of pixels, and others, some at a time.
    fn visit(
        &mut self,
        points: &[Point],
        scene: &Scene,
        projection: &Projection,
        panel: usize,
        px: Rect,
        found: impl FnMut(&[Entry]),
    ) {
        let Some(runs) = self.runs.get(&panel) else { return };
        let map = projection.panels[panel].px_from_data;
        if scene.panels[panel].axes == Axes::Space {
            let tree = self.trees.entry(panel).or_insert_with(|| Octree::new(points, runs));
            return tree.visit(&map, px, found);
        }
        let grid = self.grids.entry(panel).or_insert_with(|| Grid::new(points, runs));
        if let (Some(a), Some(b)) = (map.invert_flat(px.min), map.invert_flat(px.max)) {
            let corner = |pick: fn(f32, f32) -> f32| [0, 1].map(|axis: usize| pick(a[axis], b[axis]));
            grid.visit(corner(f32::min), corner(f32::max), found);
        }
    }
}
