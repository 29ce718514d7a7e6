//! Which labels are read on the way: decided once. Placed anew at every moment they would flicker, as which of them have room
//! changes with every step.
//!
//! Labels that are drawn at both ends stay all the way, unless they would run over each other; all others fade near the end at
//! which they are drawn. Each goes from the side of its point that it has at the start to the one that it has at the end.

use std::collections::{BTreeMap, HashMap};

use super::{Change, Place, Start, between, faded, place};
use crate::{
    Color, Scene, ViewState,
    geometry::Rect,
    labels::{drawn, fixed_box},
    projection::Projection,
    scene::{Label, Placement},
};

/// A label that hangs on a point, as fixed beside it.
#[derive(Debug, Clone)]
pub(super) struct Hanging {
    /// The layer of the later scene that it is drawn in.
    pub(super) layer: usize,
    label: Label,
    /// At the start and at the end of the way: its anchor, where it is from there, its color.
    positions: [[f32; 3]; 2],
    offsets: [[f32; 2]; 2],
    colors: [Color; 2],
    /// Whether it is read at the start, on the way, and at the end.
    read: [bool; 3],
}

/// The share of the way in which labels fade.
const FADES: f32 = 0.25;
/// So many moments of the way are looked at for labels that run over each other.
const MOMENTS: u16 = 24;

impl Hanging {
    /// The label when the share `t` of the way is over; `None` when it is not seen.
    pub(super) fn at(&self, t: f32) -> Option<Label> {
        let opacity = match self.read {
            [true, true, true] => 1.0,
            [true, _, true] => (1.0 - t / FADES).max(1.0 - (1.0 - t) / FADES),
            [true, ..] => 1.0 - t / FADES,
            [false, ..] => 1.0 - (1.0 - t) / FADES,
        };
        let color = self.colors[0].mix(self.colors[1], t);
        (opacity > 0.0).then(|| Label {
            position: between(self.positions[0], self.positions[1], t),
            offset: between(self.offsets[0], self.offsets[1], t),
            color: faded(color, opacity),
            halo: self.label.halo.map(|halo| faded(halo, opacity)),
            ..self.label.clone()
        })
    }
}

/// What hangs in one place: the labels that are drawn, as fixed where they are, and the points they may be those of.
#[derive(Default)]
struct Hung {
    labels: Vec<Drawn>,
    points: Vec<Key>,
    /// Where the points are at the start of the way, in the later scene's panel.
    start: Option<[f32; 3]>,
}

struct Drawn {
    layer: usize,
    floats: bool,
    label: Label,
}

/// A point: the index of its panel in the later scene, and its id.
type Key = (usize, u32);

/// What is drawn in a scene's layers, by the place of its anchor.
fn drawn_at(scene: &Scene, view: &ViewState) -> BTreeMap<Place, Hung> {
    let projection = Projection::new(scene, view, scene.size);
    let mut places: BTreeMap<Place, Hung> = BTreeMap::new();
    for (index, layer) in scene.layers.iter().enumerate() {
        for (label, placed) in drawn(layer, &projection) {
            let label = &layer.labels[label];
            let panel = usize::from(label.panel);
            let [x, y, _] = projection.panels[panel].px_from_data.apply(label.position);
            let fixed = Label {
                offset: [placed.rect.min[0] - x, placed.rect.min[1] - y].map(|by| by / placed.scale),
                align: [0.0; 2],
                placement: Placement::Fixed,
                ..label.clone()
            };
            let at = places.entry(place(panel, label.position)).or_default();
            at.labels.push(Drawn {
                layer: index,
                floats: label.placement != Placement::Fixed,
                label: fixed,
            });
        }
    }
    places
}

/// The labels of both scenes that hang on points, and all floating ones of the second. Of every panel of the first `places` says
/// which it is in the second, and how it gets there; `starts` says where the points of the second come from.
pub(super) fn hanging(
    [from, to]: [&Scene; 2],
    view: &ViewState,
    places: &[(usize, Option<Change>)],
    starts: &[Vec<Option<Start>>],
) -> Vec<Hanging> {
    let mut before = drawn_at(from, view);
    let mut place_of: HashMap<Key, Place> = HashMap::new();
    for point in from.layers.iter().flat_map(|layer| layer.points.iter()) {
        let at = place(point.panel(), point.position);
        let Some(hung) = before.get_mut(&at).filter(|_| point.is_pickable()) else {
            continue;
        };
        let Some((panel, change)) = places.get(point.panel()) else {
            continue;
        };
        let moved = change.as_ref().map(|change| change.apply(point.position));
        hung.start = Some(moved.unwrap_or(point.position));
        hung.points.push((*panel, point.id));
        place_of.insert((*panel, point.id), at);
    }
    let mut after = drawn_at(to, view);
    let mut end_of: HashMap<Key, [f32; 3]> = HashMap::new();
    for (layer, starts) in to.layers.iter().zip(starts) {
        for (point, start) in layer.points.iter().zip(starts).filter(|(point, _)| point.is_pickable()) {
            let key = (point.panel(), point.id);
            if place_of.contains_key(&key) {
                end_of.insert(key, point.position);
            }
            if let Some(hung) = after.get_mut(&place(point.panel(), point.position)) {
                hung.points.push(key);
                hung.start = hung.start.or(start.map(|start| start.position));
            }
        }
    }
    let mut all = Vec::new();
    for Hung { labels, points, start } in after.into_values() {
        for Drawn { layer, floats, label } in labels {
            // The same word of the same point, which is then gone from the first scene.
            let same = points.iter().find_map(|key| {
                let hung = before.get_mut(place_of.get(key)?)?;
                let index = hung.labels.iter().position(|before| before.label.text == label.text)?;
                Some((hung.labels.swap_remove(index).label, hung.start?))
            });
            // A fixed one is there from the start.
            if !floats {
                continue;
            }
            let (offset, color) = same
                .as_ref()
                .map_or((label.offset, label.color), |(b, _)| (b.offset, b.color));
            let begin = same.as_ref().map(|(_, start)| *start).or(start);
            all.push(Hanging {
                layer,
                positions: [begin.unwrap_or(label.position), label.position],
                offsets: [offset, label.offset],
                colors: [color, label.color],
                // What hangs on no point does not come from anywhere.
                read: [same.is_some() || points.is_empty(), true, true],
                label,
            });
        }
    }
    for Hung { labels, points, start } in before.into_values() {
        let (Some(key), Some(start)) = (points.first(), start) else {
            continue;
        };
        let Ok(panel) = u16::try_from(key.0) else { continue };
        let end = end_of.get(key).copied().unwrap_or(start);
        let labels = labels.into_iter().map(|Drawn { label, .. }| Label { panel, ..label });
        all.extend(labels.map(|label| Hanging {
            layer: to.layers.len().saturating_sub(1),
            positions: [start, end],
            offsets: [label.offset; 2],
            colors: [label.color; 2],
            read: [true, false, false],
            label,
        }));
    }
    part_crossing(&mut all, to, view);
    all
}

/// Of labels that would run over each other on the way, those that come later are not read there.
fn part_crossing(all: &mut [Hanging], to: &Scene, view: &ViewState) {
    let projection = Projection::new(to, view, to.size);
    let boxes = |hanging: &Hanging| -> Option<Vec<Rect>> {
        let moments = (0..=MOMENTS).map(|moment| hanging.at(f32::from(moment) / f32::from(MOMENTS)));
        moments
            .map(|label| Some(fixed_box(&label?, &projection)?.shrink(-1.0)))
            .collect()
    };
    let mut kept: Vec<Vec<Rect>> = Vec::new();
    for hanging in all.iter_mut().filter(|hanging| hanging.read == [true; 3]) {
        let Some(boxes) = boxes(hanging) else { continue };
        let crosses = |other: &Vec<Rect>| boxes.iter().zip(other).any(|(a, b)| a.overlaps(b));
        if kept.iter().any(crosses) {
            hanging.read[1] = false;
        } else {
            kept.push(boxes);
        }
    }
}
