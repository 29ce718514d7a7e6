//! Map of heads: heads with similar attention are close (after Clark et al. 2019, "What does BERT look at?", figure 6): a map
//! to find one's way among hundreds.

use attn_core::HeadId;

use super::{
    kit::{Coordinates, LegendEntry, Page, Pages},
    tables::push_heads,
};
use crate::{
    Cells, Error, Plot, Result, Scene, Table, Target, ViewState,
    error::check_len,
    geometry::Rect,
    plot::Tooltip,
    scene::{Axes, Block, Edge, Label, Layer, Motion, Panel, Placement, Point, Shape},
};

/// Heads whose distances can be compared: those of one attention.
#[derive(Debug, Clone)]
pub struct HeadMapPart {
    /// Above its plot where there are several; may be empty.
    pub title: String,
    /// The heads.
    pub heads: Vec<HeadId>,
    /// Where they are, in two dimensions.
    pub coordinates: Coordinates,
    /// What each of them does, as an index into the classes; grey if none.
    pub class_of: Vec<Option<usize>>,
}

/// A map of heads.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{Plot, ViewState, plots::{Coordinates, HeadMap, HeadMapPart}};
///
/// let heads: Vec<HeadId> = (0..3).map(|head| HeadId::new(Attention::DecoderSelf, 0, head)).collect();
/// let part = HeadMapPart {
///     title: String::new(),
///     heads: heads.clone(),
///     coordinates: Coordinates::new([0.0, 0.0, 0.1, 0.0, 1.0, 0.5], 2)?,
///     class_of: vec![Some(0), Some(0), None],
/// };
/// let map = HeadMap { links: vec![(heads[0], heads[1])], ..HeadMap::new(vec![part], vec!["previous".into()]) };
/// let scene = map.scene(&ViewState::default(), [400.0, 360.0])?;
/// assert_eq!((scene.layers[1].points.len(), scene.layers[1].edges.len()), (3, 1));
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeadMap {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the plots. The default says what is seen.
    pub caption: String,
    /// The heads, a plot for each attention, side by side.
    pub parts: Vec<HeadMapPart>,
    /// What heads do, by class; a class in [`Shared::hidden_classes`](crate::state::Shared::hidden_classes) is not drawn.
    pub classes: Vec<String>,
    /// Heads that a line joins.
    pub links: Vec<(HeadId, HeadId)>,
    /// The marked head. It and the heads joined to it are highlighted.
    pub marked: Option<HeadId>,
    /// Further columns of the table, with a cell per head.
    pub columns: Vec<(String, Cells)>,
}

/// Radius of points, the smallest of many and the largest of few, in layout units.
const RADIUS: [f32; 2] = [2.4, 5.5];
/// Font size of names.
const NAME: f32 = 9.5;
/// What heads are that no class has.
const UNNAMED: &str = "no name";
/// Between plots.
const GAP: f32 = 14.0;

impl HeadMap {
    /// A map without lines.
    pub fn new(parts: Vec<HeadMapPart>, classes: Vec<String>) -> Self {
        Self {
            title: "Heads with similar attention".into(),
            subtitle: String::new(),
            caption: "Each point is a head. Close heads have similar rows of attention. Lines join the closest.".into(),
            parts,
            classes,
            links: Vec::new(),
            marked: None,
            columns: Vec::new(),
        }
    }

    /// The head that a point's id stands for.
    pub fn head_of(&self, id: u32) -> Option<HeadId> {
        let mut heads = self.parts.iter().flat_map(|part| &part.heads);
        heads.nth(id as usize).copied()
    }

    fn check(&self) -> Result<()> {
        if self.parts.iter().all(|part| part.heads.is_empty()) {
            return Err(Error::Empty {
                what: "the map of heads",
            });
        }
        for part in &self.parts {
            check_len("places of heads", part.heads.len(), part.coordinates.len())?;
            check_len("classes of heads", part.heads.len(), part.class_of.len())?;
            if part.coordinates.dims() != 2 {
                return Err(Error::Shape {
                    what: "places of heads",
                    expected: "[heads, 2]".into(),
                    found: format!("{} dimensions", part.coordinates.dims()),
                });
            }
            if let Some(class) = part
                .class_of
                .iter()
                .flatten()
                .find(|class| **class >= self.classes.len())
            {
                return Err(Error::Shape {
                    what: "classes of heads",
                    expected: format!("below {}", self.classes.len()),
                    found: class.to_string(),
                });
            }
        }
        Ok(())
    }
}

impl Plot for HeadMap {
    /// The scene, laid out in `size` layout units. Ids count the heads, those of the first part first:
    /// [`head_of`](Self::head_of) has them. The head of [`ViewState::selection`] is named whatever is beside it.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let off = |class: usize| u32::try_from(class).is_ok_and(|class| state.shared.hidden_classes.contains(&class));
        let hidden = |class: Option<usize>| class.is_some_and(off);
        let mut legend: Vec<LegendEntry> = Vec::new();
        for (class, name) in self.classes.iter().enumerate() {
            let id = u32::try_from(class).unwrap_or(u32::MAX);
            legend.push(LegendEntry::Class(id, colors.class(class), name.clone(), off(class)));
        }
        legend.extend(Pages::new(self.classes.len(), state).map(LegendEntry::Pages));
        if self.parts.iter().any(|part| part.class_of.contains(&None)) {
            legend.push(LegendEntry::Mark(Shape::Disc, colors.muted, UNNAMED.to_owned()));
        }
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend,
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        let linked = |head: HeadId| {
            let joined = |(a, b): &(HeadId, HeadId)| {
                (*a == head && self.marked == Some(*b)) || (*b == head && self.marked == Some(*a))
            };
            self.links.iter().any(joined)
        };
        let count: usize = self.parts.iter().map(|part| part.heads.len()).sum();
        let plots = plots(content, self.parts.len());
        let area = plots[0].width() * plots[0].height() / (count as f32 / self.parts.len() as f32);
        let radius = (0.12 * area.sqrt()).clamp(RADIUS[0], RADIUS[1]);
        let mut layer = Layer::default();
        let mut id = 0_u32;
        for (part, plot) in self.parts.iter().zip(plots) {
            let ground = Block::filled(0, plot, colors.panel).stroked(colors.frame, 0.7);
            scene.layers[0].blocks.push(ground);
            if !part.title.is_empty() {
                let at = [plot.min[0] + 7.0, plot.min[1] + 5.0];
                let title = Label::new(0, at, part.title.as_str(), NAME + 0.5, colors.muted).bold();
                layer.labels.push(title);
            }
            let panel = scene.add_panel(Panel {
                title: part.title.clone(),
                bounds: part.coordinates.bounds().pad(0.1),
                axes: Axes::Plane,
                point_radius: radius,
                ..Panel::page(plot, Motion::Inside)
            });
            let place = |head: HeadId| {
                let index = part.heads.iter().position(|other| *other == head)?;
                (!hidden(part.class_of[index])).then(|| part.coordinates.get(index))
            };
            for (a, b) in &self.links {
                let (Some(from), Some(to)) = (place(*a), place(*b)) else {
                    continue;
                };
                layer.edges.push(Edge {
                    from,
                    to,
                    color: colors.muted.alpha(0.55),
                    panel: panel.into(),
                    width: [1.2; 2],
                    gap: [radius; 2],
                });
            }
            for (index, &head) in part.heads.iter().enumerate() {
                let (class, position) = (part.class_of[index], part.coordinates.get(index));
                let marked = self.marked == Some(head);
                let chosen = state.selection.is_some_and(|pick| pick.id == id);
                let shown = self.marked.is_none() || marked || linked(head);
                let larger = if marked { 1.6 } else { 1.0 };
                let color = class.map_or(colors.muted, |class| colors.class(class));
                let point = Point::new(panel, position, color, id)
                    .sized(larger)
                    .dimmed(!shown && !chosen)
                    .hidden(hidden(class));
                layer.points.push(point);
                id = id.saturating_add(1);
                if hidden(class) || !(shown || chosen) {
                    continue;
                }
                let away = larger * radius + 2.5;
                let mut name = Label {
                    halo: Some(colors.panel),
                    position,
                    ..Label::new(panel, [0.0; 2], short(head), NAME, colors.text)
                };
                if marked || chosen {
                    // The marked head always has a label, towards the center.
                    let right = position[0] > part.coordinates.bounds().center()[0];
                    name.offset = [if right { -away } else { away }, 0.0];
                    name = name.aligned(f32::from(u8::from(right)), 0.5).bold();
                } else {
                    name.offset = [away, 0.0];
                    name.placement = Placement::Floating {
                        priority: f32::from(u8::from(linked(head))),
                        margin: 2.0,
                        clear: larger * radius,
                    };
                }
                layer.labels.push(name);
            }
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per head: its name, its place, what it does, and the further columns.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut rows: Vec<(HeadId, [f32; 3], &str)> = Vec::new();
        for part in &self.parts {
            for (index, head) in part.heads.iter().enumerate() {
                let class = part.class_of[index].map_or("", |class| self.classes[class].as_str());
                rows.push((*head, part.coordinates.get(index), class));
            }
        }
        let mut table = Table::new(rows.len());
        push_heads(&mut table, |row| rows[row].0);
        table
            .numbers("x", |row| rows[row].1[0])
            .numbers("y", |row| rows[row].1[1]);
        table.texts("class", |row| rows[row].2);
        for (name, cells) in &self.columns {
            table.push(name.as_str(), cells.clone())?;
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        match self.parts.len() {
            0 | 1 => [900.0, 820.0],
            parts => [560.0 * parts as f32, 760.0],
        }
    }

    /// The name of a head, and what it does.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let mut id = target.id()? as usize;
        for part in &self.parts {
            if let Some(head) = part.heads.get(id) {
                let class = part.class_of.get(id).copied().flatten();
                let class = class
                    .and_then(|class| self.classes.get(class))
                    .map_or(UNNAMED, String::as_str);
                return Some(Tooltip::new(head.to_string()).line(class));
            }
            id = id.checked_sub(part.heads.len())?;
        }
        None
    }
}

/// A head's name where it is plain which attention is meant.
fn short(head: HeadId) -> String {
    format!("L{} H{}", head.layer, head.head)
}

/// Side by side or one above the other, whichever makes the plots more square.
fn plots(content: Rect, count: usize) -> Vec<Rect> {
    let count = count.max(1);
    let beside = content.width() >= content.height();
    let share = |whole: f32| ((whole - GAP * (count - 1) as f32) / count as f32).max(1.0);
    let (width, height) = match beside {
        true => (share(content.width()), content.height()),
        false => (content.width(), share(content.height())),
    };
    let plot = |index: usize| {
        let along = index as f32;
        let [left, top] = match beside {
            true => [content.min[0] + along * (width + GAP), content.min[1]],
            false => [content.min[0], content.min[1] + along * (height + GAP)],
        };
        Rect::new(left, top, width, height)
    };
    (0..count).map(plot).collect()
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::state::Shared;

    const HEADS: [HeadId; 4] = [
        HeadId::new(Attention::EncoderSelf, 0, 0),
        HeadId::new(Attention::EncoderSelf, 0, 1),
        HeadId::new(Attention::EncoderSelf, 1, 0),
        HeadId::new(Attention::Cross, 1, 0),
    ];

    fn map(places: &[f32], marked: Option<HeadId>) -> HeadMap {
        let part = |heads: &[HeadId], places: &[f32], class_of: &[Option<usize>]| HeadMapPart {
            title: "part".into(),
            heads: heads.to_vec(),
            coordinates: Coordinates::new(places, 2).unwrap(),
            class_of: class_of.to_vec(),
        };
        HeadMap {
            links: vec![(HEADS[0], HEADS[2])],
            marked,
            ..HeadMap::new(
                vec![
                    part(&HEADS[..3], &places[..6], &[Some(0), None, Some(0)]),
                    part(&HEADS[3..], &places[6..], &[Some(1)]),
                ],
                vec!["one".into(), "two".into()],
            )
        }
    }

    #[test]
    fn the_marked_head_and_its_neighbors_are_brought_out() {
        let places = [0.0, 0.0, 1.0, 0.0, 0.2, 0.3, 0.5, 0.5];
        let dimmed = |marked| {
            let scene = map(&places, marked)
                .scene(&ViewState::default(), [600.0, 400.0])
                .unwrap();
            scene.layers[1]
                .points
                .iter()
                .map(|point| point.is_dimmed())
                .collect::<Vec<_>>()
        };
        assert_eq!(dimmed(None), [false; 4]);
        assert_eq!(dimmed(Some(HEADS[0])), [false, true, false, true]);
        assert_eq!(map(&places, None).head_of(3), Some(HEADS[3]));
        assert_eq!(map(&places, None).head_of(4), None);
    }

    #[test]
    fn a_class_that_is_off_takes_its_lines_along() {
        let places = [0.0, 0.0, 1.0, 0.0, 0.2, 0.3, 0.5, 0.5];
        let state = ViewState::from(Shared {
            hidden_classes: [0].into(),
            ..Shared::default()
        });
        let scene = map(&places, None).scene(&state, [600.0, 400.0]).unwrap();
        let hidden: Vec<bool> = scene.layers[1].points.iter().map(|point| point.is_hidden()).collect();
        assert_eq!(hidden, [true, false, true, false]);
        assert!(scene.layers[1].edges.is_empty());
    }

    #[test]
    fn plots_share_the_content_and_bad_data_is_refused() {
        let wide = plots(Rect::new(0.0, 0.0, 314.0, 100.0), 3);
        assert_eq!(wide[2], Rect::new(2.0 * (286.0 / 3.0 + GAP), 0.0, 286.0 / 3.0, 100.0));
        assert_eq!(plots(Rect::new(0.0, 0.0, 100.0, 314.0), 3)[1].width(), 100.0);
        let state = ViewState::default();
        assert!(matches!(
            HeadMap::new(vec![], vec![]).scene(&state, [300.0; 2]),
            Err(Error::Empty { .. })
        ));
        let places = [0.0; 8];
        let mut wrong = map(&places, None);
        wrong.classes = vec!["one".into()];
        assert!(matches!(wrong.scene(&state, [300.0; 2]), Err(Error::Shape { .. })));
        assert!(matches!(wrong.table(&state), Err(Error::Shape { .. })));
        let mut wrong = map(&places, None);
        wrong.parts[0].class_of = vec![Some(0)];
        assert!(matches!(wrong.scene(&state, [300.0; 2]), Err(Error::Shape { .. })));
    }
}
