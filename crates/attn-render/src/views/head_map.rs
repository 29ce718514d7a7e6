//! Heads on a plane, those that attend alike near each other (after Clark et al. 2019, "What does BERT look at?", figure 6): a map
//! to find one's way among hundreds.

use attn_core::HeadId;

use super::{
    legend::{Entry, Pages, frame_marked},
    page::Page,
    points::Coordinates,
    tables::push_heads,
};
use crate::{
    Axes, Block, Cells, Edge, Error, Label, Layer, Motion, Panel, Placement, Point, Rect, Scene, Shape, Table, View,
    error::check_len,
};

/// Heads whose distances can be compared: those of one attention.
#[derive(Debug, Clone)]
pub struct HeadMapPart<'a> {
    /// Above its plot where there are several; may be empty.
    pub title: &'a str,
    /// The heads.
    pub heads: &'a [HeadId],
    /// Where they are, in two dimensions.
    pub coordinates: Coordinates<'a>,
    /// What each of them does, as an index into the classes; grey if none.
    pub class_of: &'a [Option<usize>],
}

/// A map of heads.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{View, views::{Coordinates, HeadMap, HeadMapPart}};
///
/// let heads: Vec<HeadId> = (0..3).map(|head| HeadId::new(Attention::DecoderSelf, 0, head)).collect();
/// let part = HeadMapPart {
///     title: "",
///     heads: &heads,
///     coordinates: Coordinates::new(&[0.0, 0.0, 0.1, 0.0, 1.0, 0.5], 2)?,
///     class_of: &[Some(0), Some(0), None],
/// };
/// let map = HeadMap { links: &[(heads[0], heads[1])], ..HeadMap::new(vec![part], &["previous"]) };
/// let scene = map.scene(&View::default(), [400.0, 360.0])?;
/// assert_eq!((scene.layers[1].points.len(), scene.layers[1].edges.len()), (3, 1));
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeadMap<'a> {
    /// In bold above everything.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the plots. The default says what is seen.
    pub caption: &'a str,
    /// The heads, a plot for each attention, side by side.
    pub parts: Vec<HeadMapPart<'a>>,
    /// What heads do, by class; a class in [`View::hidden_classes`] is not drawn.
    pub classes: &'a [&'a str],
    /// Heads that a line joins.
    pub links: &'a [(HeadId, HeadId)],
    /// The head that is spoken of: it, and those that a line joins it to, are brought out.
    pub marked: Option<HeadId>,
}

/// Radius of points, the smallest of many and the largest of few, in layout units.
const RADIUS: [f32; 2] = [2.4, 5.5];
/// Font size of names.
const NAME: f32 = 9.5;
/// What heads are that no class has.
const UNNAMED: &str = "no name";
/// Between plots.
const GAP: f32 = 14.0;

impl<'a> HeadMap<'a> {
    /// A map without lines.
    pub fn new(parts: Vec<HeadMapPart<'a>>, classes: &'a [&'a str]) -> Self {
        Self {
            title: "Heads that attend alike",
            subtitle: "",
            caption: "Each point is a head; the nearer two are, the more alike their rows of attention. Lines join the nearest.",
            parts,
            classes,
            links: &[],
            marked: None,
        }
    }

    /// The scene, laid out in `size` layout units. Ids count the heads, those of the first part first:
    /// [`head_of`](Self::head_of) has them. The head of [`View::hover`] is named whatever is beside it.
    ///
    /// # Errors
    /// [`Error::Empty`] without heads, [`Error::Shape`] for places or classes that do not fit.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        self.check()?;
        let colors = view.colors();
        let off = |class: usize| u32::try_from(class).is_ok_and(|class| view.hidden_classes.contains(&class));
        let hidden = |class: Option<usize>| class.is_some_and(off);
        let mut legend: Vec<Entry> = Vec::new();
        for (class, name) in self.classes.iter().enumerate() {
            let id = u32::try_from(class).unwrap_or(u32::MAX);
            legend.push(Entry::Class(id, colors.class(class), (*name).to_owned(), off(class)));
        }
        legend.extend(Pages::new(self.classes.len(), view).map(Entry::Pages));
        if self.parts.iter().any(|part| part.class_of.contains(&None)) {
            legend.push(Entry::Mark(Shape::Disc, colors.muted, UNNAMED.to_owned()));
        }
        let page = Page {
            title: self.title,
            subtitle: self.subtitle,
            legend,
            caption: self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        frame_marked(&mut scene, view, &colors);
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
                let title = Label::new(0, at, part.title, NAME + 0.5, colors.muted).bold();
                layer.labels.push(title);
            }
            let panel = scene.add_panel(Panel {
                title: part.title.to_owned(),
                bounds: part.coordinates.bounds().pad(0.1),
                axes: Axes::Plane,
                point_radius: radius,
                ..Panel::page(plot, Motion::Inside)
            });
            let place = |head: HeadId| {
                let index = part.heads.iter().position(|other| *other == head)?;
                (!hidden(part.class_of[index])).then(|| part.coordinates.get(index))
            };
            for (a, b) in self.links {
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
                let hovered = view.hover.is_some_and(|pick| pick.id == id);
                let shown = self.marked.is_none() || marked || linked(head);
                let larger = if marked { 1.6 } else { 1.0 };
                let color = class.map_or(colors.muted, |class| colors.class(class));
                let point = Point::new(panel, position, color, id)
                    .sized(larger)
                    .dimmed(!shown && !hovered)
                    .hidden(hidden(class));
                layer.points.push(point);
                id = id.saturating_add(1);
                if hidden(class) || !(shown || hovered) {
                    continue;
                }
                let away = larger * radius + 2.5;
                let mut name = Label {
                    halo: Some(colors.panel),
                    position,
                    ..Label::new(panel, [0.0; 2], short(head), NAME, colors.text)
                };
                if marked || hovered {
                    // Who is spoken of is named whatever is there, towards the middle.
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

    /// The head that a point's id stands for.
    pub fn head_of(&self, id: u32) -> Option<HeadId> {
        let mut heads = self.parts.iter().flat_map(|part| part.heads);
        heads.nth(id as usize).copied()
    }

    /// A row per head: its name, its place, and what it does.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self) -> Result<Table, Error> {
        self.check()?;
        let mut rows: Vec<(HeadId, [f32; 3], &str)> = Vec::new();
        for part in &self.parts {
            let row = |(index, head): (usize, &HeadId)| {
                (
                    *head,
                    part.coordinates.get(index),
                    part.class_of[index].map_or("", |class| self.classes[class]),
                )
            };
            rows.extend(part.heads.iter().enumerate().map(row));
        }
        let mut table = Table::default();
        push_heads(&mut table, rows.iter().map(|(head, ..)| *head))?;
        for (axis, name) in ["x", "y"].into_iter().enumerate() {
            table.push(
                name,
                Cells::Numbers(rows.iter().map(|(_, place, _)| place[axis]).collect()),
            )?;
        }
        let classes = rows.iter().map(|(.., class)| (*class).to_owned());
        table.push("class", Cells::Texts(classes.collect()))?;
        Ok(table)
    }

    fn check(&self) -> Result<(), Error> {
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

    const HEADS: [HeadId; 4] = [
        HeadId::new(Attention::EncoderSelf, 0, 0),
        HeadId::new(Attention::EncoderSelf, 0, 1),
        HeadId::new(Attention::EncoderSelf, 1, 0),
        HeadId::new(Attention::Cross, 1, 0),
    ];

    fn map<'a>(places: &'a [f32], marked: Option<HeadId>) -> HeadMap<'a> {
        let part = |heads: &'static [HeadId], places, class_of| HeadMapPart {
            title: "part",
            heads,
            coordinates: Coordinates::new(places, 2).unwrap(),
            class_of,
        };
        HeadMap {
            links: &[(HEADS[0], HEADS[2])],
            marked,
            ..HeadMap::new(
                vec![
                    part(&HEADS[..3], &places[..6], &[Some(0), None, Some(0)]),
                    part(&HEADS[3..], &places[6..], &[Some(1)]),
                ],
                &["one", "two"],
            )
        }
    }

    #[test]
    fn the_marked_head_and_its_neighbours_are_brought_out() {
        let places = [0.0, 0.0, 1.0, 0.0, 0.2, 0.3, 0.5, 0.5];
        let dimmed = |marked| {
            let scene = map(&places, marked).scene(&View::default(), [600.0, 400.0]).unwrap();
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
        let view = View {
            hidden_classes: [0].into(),
            ..View::default()
        };
        let scene = map(&places, None).scene(&view, [600.0, 400.0]).unwrap();
        let hidden: Vec<bool> = scene.layers[1].points.iter().map(|point| point.is_hidden()).collect();
        assert_eq!(hidden, [true, false, true, false]);
        assert!(scene.layers[1].edges.is_empty());
    }

    #[test]
    fn plots_share_the_content_and_bad_data_is_refused() {
        let wide = plots(Rect::new(0.0, 0.0, 314.0, 100.0), 3);
        assert_eq!(wide[2], Rect::new(2.0 * (286.0 / 3.0 + GAP), 0.0, 286.0 / 3.0, 100.0));
        assert_eq!(plots(Rect::new(0.0, 0.0, 100.0, 314.0), 3)[1].width(), 100.0);
        let view = View::default();
        assert!(matches!(
            HeadMap::new(vec![], &[]).scene(&view, [300.0; 2]),
            Err(Error::Empty { .. })
        ));
        let places = [0.0; 8];
        let mut wrong = map(&places, None);
        wrong.classes = &["one"];
        assert!(matches!(wrong.scene(&view, [300.0; 2]), Err(Error::Shape { .. })));
        assert!(matches!(wrong.table(), Err(Error::Shape { .. })));
        let mut wrong = map(&places, None);
        wrong.parts[0].class_of = &[Some(0)];
        assert!(matches!(wrong.scene(&view, [300.0; 2]), Err(Error::Shape { .. })));
    }
}
