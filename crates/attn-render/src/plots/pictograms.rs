//! Where in the space each token sits: a small map per state, in the order of the text (Strobelt et al. 2018, "Seq2Seq-Vis", the
//! trajectory pictograms).

use super::{
    Trajectories, Trajectory,
    kit::{LegendEntry, Page},
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    color::Colors,
    geometry::{Bounds, Rect},
    plot::Tooltip,
    scene::{Block, Edge, Label, Layer, Motion, Panel, Point, Region, Shape},
    text::shorten,
};

/// Side of a map at most and at least, in layout units.
const SIDES: [f32; 2] = [54.0, 18.0];
/// Between maps, and font size of the words below them.
const GAP: f32 = 8.0;
const SIZE: f32 = 9.5;
/// Height of a word.
const WORD: f32 = 1.5 * SIZE;

/// Maps in rows, as wide as the page.
struct Rows {
    side: f32,
    columns: usize,
}

impl Rows {
    fn new(side: f32, width: f32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count, at least 1"
        )]
        let columns = ((width + GAP) / (side + GAP)).max(1.0) as usize;
        Self { side, columns }
    }

    fn height(&self) -> f32 {
        self.side + WORD + GAP
    }

    /// Height of all paths' rows.
    fn total(&self, paths: &[Trajectory]) -> f32 {
        let rows: usize = paths.iter().map(|path| path.points.len().div_ceil(self.columns)).sum();
        rows as f32 * self.height()
    }
}

/// Paths as small maps of the whole space: a map per state, with a mark where it is and a line from the state before.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{Coordinates, Pictograms, Trajectories, Trajectory}};
/// let path = Trajectory { name: "decoder".into(), points: [0, 2, 1].into() };
/// let paths = Trajectories::new(Coordinates::new([0.0, 0.0, 1.0, 0.0, 0.5, 1.0], 2)?, vec![path]);
/// let maps = Pictograms(paths);
/// let scene = maps.scene(&ViewState::default(), maps.natural_size())?;
/// assert_eq!(scene.layers[1].regions.len(), 3);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pictograms(pub Trajectories);

impl Plot for Pictograms {
    /// The maps, in the order of the paths. Ids are those of the states; the one in [`ViewState::selection`] is framed. Maps
    /// that have no room are left out, and the caption says so. Coordinates in space are refused.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.0.pictograms(state, size)
    }

    /// As that of [`Trajectories`].
    fn table(&self, state: &ViewState) -> Result<Table> {
        self.0.table(state)
    }

    fn natural_size(&self) -> [f32; 2] {
        let width = 760.0;
        let height = Rows::new(SIDES[0], width - 52.0).total(&self.0.paths);
        [width, (height + 150.0).clamp(200.0, 8_000.0)]
    }

    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        self.0.tooltip(target)
    }
}

impl Trajectories {
    fn pictograms(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        if self.coordinates.dims() != 2 {
            return Err(Error::Shape {
                what: "coordinates of pictograms",
                expected: "[states, 2]".into(),
                found: format!("{} dimensions", self.coordinates.dims()),
            });
        }
        let colors = state.colors();
        let entry = |(index, path): (usize, &Trajectory)| {
            LegendEntry::Mark(Shape::Disc, colors.class(index), path.name.clone())
        };
        let caption =
            "Each map shows the whole space: a mark at the state of the token, and a line from the state before.";
        let mut page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: self.paths.iter().enumerate().map(entry).collect(),
            caption,
        };
        let (mut scene, mut content) = page.start(size, &colors)?;
        let room = |content: Rect| {
            let fits = |side: &f32| Rows::new(*side, content.width()).total(&self.paths) <= content.height() + GAP;
            let sides = (0..=12_u8).map(|step| SIDES[0] + f32::from(step) / 12.0 * (SIDES[1] - SIDES[0]));
            sides.into_iter().find(fits)
        };
        let side = room(content);
        let note = format!("{caption} Not all of them fit.");
        if side.is_none() {
            page.caption = &note;
            (scene, content) = page.start(size, &colors)?;
        }
        let rows = Rows::new(side.unwrap_or(SIDES[1]), content.width());
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            ..Panel::page(content, Motion::Inside)
        });
        scene.panels[usize::from(panel)].point_radius = (0.06 * rows.side).clamp(1.6, 3.2);
        let mut layer = Layer::default();
        let picked = state.selection.map(|pick| pick.id);
        let bounds = self.coordinates.bounds().pad(0.08);
        let mut top = content.min[1];
        'paths: for (index, path) in self.paths.iter().enumerate() {
            for (row, states) in path.points.chunks(rows.columns).enumerate() {
                if top + rows.height() > content.max[1] + GAP + 0.01 {
                    break 'paths;
                }
                for (column, state) in states.iter().enumerate() {
                    let left = content.min[0] + column as f32 * (rows.side + GAP);
                    let place = Rect::new(left, top, rows.side, rows.side);
                    let step = row * rows.columns + column;
                    let before = step.checked_sub(1).map(|before| path.points[before]);
                    self.map(
                        &mut layer, panel, place, &bounds, *state, before, index, picked, &colors,
                    );
                }
                top += rows.height();
            }
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// One map, of a state and the one before it.
    fn map(
        &self,
        layer: &mut Layer,
        panel: u16,
        place: Rect,
        bounds: &Bounds,
        state: u32,
        before: Option<u32>,
        path: usize,
        picked: Option<u32>,
        colors: &Colors,
    ) {
        let stroke = match picked == Some(state) {
            true => (colors.accent, 1.6),
            false => (colors.frame, 0.8),
        };
        let ground = Block::filled(panel, place, colors.panel).stroked(stroke.0, stroke.1);
        layer.blocks.push(ground.rounded(2.0));
        // As a plane is seen: upwards, one unit for both axes.
        let extent = bounds.extent(0).max(bounds.extent(1)).max(f32::MIN_POSITIVE);
        let (middle, center) = (place.center(), bounds.center());
        let at = |state: u32| {
            let [x, y, _] = self.coordinates.get(state as usize);
            let along = |by: f32| place.width() * (by / extent).clamp(-0.5, 0.5);
            [middle[0] + along(x - center[0]), middle[1] - along(y - center[1]), 0.0]
        };
        if let Some(before) = before {
            layer.edges.push(Edge {
                from: at(before),
                to: at(state),
                color: colors.class(path).alpha(0.6),
                panel: panel.into(),
                width: [0.8, 1.6],
                gap: [0.0; 2],
            });
        }
        layer
            .points
            .push(Point::new(panel, at(state), colors.class(path), Point::UNPICKABLE));
        let rect = Rect {
            min: place.min,
            max: [place.max[0], place.max[1] + WORD],
        };
        layer.regions.push(Region::item(panel, rect, state as usize));
        if let Some(word) = self.labels.get(state as usize) {
            let word = shorten(word, SIZE, false, place.width() + GAP - 3.0);
            let below = [middle[0], place.max[1] + 2.0];
            layer
                .labels
                .push(Label::new(panel, below, word, SIZE, colors.text).aligned(0.5, 0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Pick,
        labels::place_labels,
        plots::{Coordinates, Texts},
        projection::Projection,
    };

    const PLACES: [f32; 10] = [0.0, 0.0, 4.0, 1.0, 2.0, 6.0, -3.0, 5.0, 1.0, 1.0];

    fn paths(points: &[u32], labels: Texts) -> Trajectories {
        Trajectories {
            labels,
            ..Trajectories::new(
                Coordinates::new(PLACES, 2).unwrap(),
                vec![Trajectory {
                    name: "states".into(),
                    points: points.into(),
                }],
            )
        }
    }

    #[test]
    fn a_state_is_where_the_large_map_has_it() {
        let points = [3, 0, 2, 1];
        let paths = Pictograms(paths(&points, Texts::default()));
        let state = ViewState::default();
        let size = paths.natural_size();
        let small = paths.scene(&state, size).unwrap();
        // The same space in a square panel.
        let large = paths.0.scene(&state, [500.0, 500.0]).unwrap();
        let projection = Projection::new(&large, &state, large.size);
        let plot = projection.panels[1];
        let unit = plot.rect.width().min(plot.rect.height());
        for (step, state) in points.iter().enumerate() {
            let map = &small.layers[1].blocks[step];
            let [x, y, _] = small.layers[1].points[step].position;
            let found = [x, y].map(f64::from);
            let there = [0, 1].map(|axis: usize| {
                let p = [PLACES[2 * *state as usize], PLACES[2 * *state as usize + 1], 0.0];
                let px = plot.px_from_data.apply(p)[axis] - plot.rect.center()[axis];
                let middle = 0.5 * (map.min[axis] + map.max[axis]);
                f64::from(middle + px / unit * (map.max[0] - map.min[0]))
            });
            // The plane fits both axes into its rectangle, the map into a square.
            for axis in 0..2 {
                let center = f64::from(0.5 * (map.min[axis] + map.max[axis]));
                let (a, b) = (found[axis] - center, there[axis] - center);
                assert!(a * b >= 0.0 && (a - b).abs() < 8.0, "{state}: {found:?} {there:?}");
            }
        }
        assert_eq!(small.layers[1].edges.len(), 3, "a line from the one before");
        assert_eq!(
            small.layers[1]
                .regions
                .iter()
                .filter_map(|r| r.id())
                .collect::<Vec<_>>(),
            points
        );
    }

    #[test]
    fn maps_and_words_keep_apart_and_the_chosen_one_is_framed() {
        let points: Vec<u32> = (0..90).map(|i| i % 5).collect();
        let words = ["a", "word", "a much longer word", "سفينة", ""];
        let paths = Pictograms(paths(&points, words.into()));
        let state = ViewState {
            selection: Some(Pick { head: None, id: 2 }),
            ..ViewState::default()
        };
        for size in [paths.natural_size(), [420.0, 500.0], [300.0, 240.0]] {
            let scene = paths.scene(&state, size).unwrap();
            let layer = &scene.layers[1];
            let all = layer.regions.len() == points.len();
            let says = scene.layers[0]
                .labels
                .iter()
                .any(|label| label.text.contains("Not all"));
            assert_eq!(all, !says, "{size:?}: {} maps", layer.regions.len());
            let apart =
                |rects: &[Rect]| (0..rects.len()).all(|i| rects[..i].iter().all(|b| !rects[i].shrink(0.5).overlaps(b)));
            assert!(apart(
                &layer.regions.iter().map(|region| region.rect).collect::<Vec<_>>()
            ));
            let labels = place_labels(&scene, &Projection::new(&scene, &state, size));
            assert!(apart(
                &labels.iter().flatten().map(|label| label.rect).collect::<Vec<_>>()
            ));
            let accent = state.colors().accent;
            let framed = layer.blocks.iter().filter(|block| block.stroke == accent).count();
            assert_eq!(
                framed,
                layer.regions.iter().filter(|region| region.id() == Some(2)).count()
            );
        }
        let space = Pictograms(Trajectories::new(Coordinates::new(&PLACES[..9], 3).unwrap(), vec![]));
        assert!(matches!(space.scene(&state, [300.0; 2]), Err(Error::Shape { .. })));
    }
}
