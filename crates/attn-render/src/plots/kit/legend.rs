//! What the colors, shapes and lines of a view stand for, and which of its classes are drawn.
//!
//! Hundreds of classes take pages, which a click turns. All pages are as high as the highest, so that what is below stays
//! where it is while pages are turned.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    Color, Interaction, Scene, Target, ViewState,
    color::{Colors, Scale},
    geometry::Rect,
    scene::{Block, Edge, Label, Point, Region, Shape},
    text::{shorten, text_width},
};

/// Font size, in layout units.
const SIZE: f32 = 10.0;
/// Length of a ramp.
const RAMP: f32 = 72.0;
/// Between entries.
const GAP: f32 = 18.0;
/// Height of a row.
const ROW: f32 = 1.6 * SIZE;
/// Between the frame and the words of what can be pressed.
const INSIDE: f32 = 5.0;
/// So many classes are on a page, if they do not fit on one.
const CLASSES: usize = 16;
/// So many fit on one: a second page for a class or two is more trouble than a row more.
const ALONE: usize = 20;

/// One entry of a legend.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LegendEntry {
    /// A point.
    Mark(Shape, Color, String),
    /// A line of a chart with its marks, or without for one that is broken.
    Series(Shape, Color, bool, String),
    /// A line that gets fainter.
    Fade(Color, String),
    /// An arrow.
    Arrow(Color, String),
    /// A scale from a lowest to a highest value: colors, name, lowest, highest.
    Ramp(Scale, String, String, String),
    /// A class that can be switched off: its index, color and name, and whether it is off.
    Class(u32, Color, String, bool),
    /// Turns the page.
    Pages(Pages),
    /// A remark.
    Text(String),
}

/// The visible page of many classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    classes: usize,
    shown: usize,
    off: usize,
}

impl Pages {
    /// The page of `classes` classes that a state shows; `None` if they fit on one page.
    pub fn new(classes: usize, state: &ViewState) -> Option<Self> {
        let pages = if classes <= ALONE { 1 } else { classes.div_ceil(CLASSES) };
        let off = |class: &&u32| (**class as usize) < classes;
        (pages > 1).then(|| Self {
            classes,
            shown: state.shared.legend_page as usize % pages,
            off: state.shared.hidden_classes.iter().filter(off).count(),
        })
    }

    fn count(self) -> usize {
        self.classes.div_ceil(CLASSES)
    }

    /// Classes of a page: about equally many on each.
    fn per_page(self) -> usize {
        self.classes.div_ceil(self.count().max(1)).max(1)
    }

    /// A click turns to the next page, after the last to the first.
    fn turns_to(self) -> Target {
        let next = (self.shown + 1) % self.count();
        Target::LegendPage(u32::try_from(next).unwrap_or(0))
    }

    /// What it says on a page; classes that are switched off may be on another.
    fn text(self, page: usize) -> String {
        let each = self.per_page();
        let (first, last) = (page * each, self.classes.min((page + 1) * each));
        let off = match self.off {
            0 => String::new(),
            off => format!(", {off} off"),
        };
        format!("{}–{last} of {}{off} →", first + 1, self.classes)
    }
}

impl LegendEntry {
    /// Width of the sign, and of the whole entry.
    fn widths(&self, page: usize) -> (f32, f32) {
        let width = |text: &str| text_width(text, SIZE, false);
        let (sign, after) = match self {
            Self::Mark(..) | Self::Class(..) => (12.0, 0.0),
            Self::Fade(..) | Self::Arrow(..) | Self::Series(..) => (30.0, 0.0),
            Self::Ramp(_, _, low, high) => (width(low) + width(high) + RAMP + 14.0, 0.0),
            Self::Pages(_) => (INSIDE, INSIDE),
            Self::Text(_) => (0.0, 0.0),
        };
        (sign, sign + width(&self.text(page)) + after)
    }

    fn text(&self, page: usize) -> Cow<'_, str> {
        match self {
            Self::Mark(.., text)
            | Self::Series(.., text)
            | Self::Fade(_, text)
            | Self::Arrow(_, text)
            | Self::Text(text) => text.into(),
            Self::Ramp(_, text, ..) | Self::Class(_, _, text, _) => text.into(),
            Self::Pages(pages) => pages.text(page).into(),
        }
    }
}

/// The entries as they are drawn: equal ones once, and different signs of one name with numbers.
fn told_apart(entries: &[LegendEntry]) -> Vec<LegendEntry> {
    let mut apart: Vec<LegendEntry> = Vec::with_capacity(entries.len());
    // Places of the entries of each name; a broken line is told from others by its look.
    let mut named: BTreeMap<(bool, String), Vec<usize>> = BTreeMap::new();
    for entry in entries {
        let broken = matches!(entry, LegendEntry::Series(_, _, true, _));
        if let LegendEntry::Mark(.., name) | LegendEntry::Series(.., name) | LegendEntry::Class(_, _, name, _) = entry {
            let places = named.entry((broken, name.clone())).or_default();
            if places.iter().any(|place| apart[*place] == *entry) {
                continue;
            }
            places.push(apart.len());
        }
        apart.push(entry.clone());
    }
    for places in named.values().filter(|places| places.len() > 1) {
        for (place, number) in places.iter().zip(1..) {
            if let LegendEntry::Mark(.., name) | LegendEntry::Series(.., name) | LegendEntry::Class(_, _, name, _) =
                &mut apart[*place]
            {
                name.push_str(&format!(" ({number})"));
            }
        }
    }
    apart
}

/// Draws entries from the left top of `place`, in as many rows as they need; returns where they end. Equal entries are drawn once;
/// different signs of one name get numbers.
pub(crate) fn draw(entries: &[LegendEntry], scene: &mut Scene, place: Rect, colors: &Colors) -> f32 {
    let entries = &told_apart(entries);
    let pages = entries.iter().find_map(|entry| match entry {
        LegendEntry::Pages(pages) => Some(*pages),
        _ => None,
    });
    let (shown, count) = pages.map_or((0, 1), |pages| (pages.shown, pages.count()));
    for (entry, at) in in_sight(entries, pages, shown, place).0 {
        draw_entry(entry, shown, at, place.max[0], scene, colors);
    }
    let ends = (0..count).map(|page| in_sight(entries, pages, page, place).1);
    ends.fold(place.min[1], f32::max)
}

/// Frames the legend entry that the keyboard is at, on the scene's overlay.
pub fn frame_marked(scene: &mut Scene, interaction: &Interaction, colors: &Colors) {
    let Some(mark) = interaction.legend_mark else { return };
    let regions = scene.layers.iter().flat_map(|layer| &layer.regions);
    let mut entries = regions.filter(|region| region.target.is_legend());
    if let Some(region) = entries.nth(mark as usize) {
        let frame = Block::filled(region.panel, region.rect, Color::TRANSPARENT).stroked(colors.accent, 1.4);
        scene.overlay.blocks.push(frame.rounded(2.0));
    }
}

/// The entries on a page with their left tops, and where they end.
fn in_sight(
    entries: &[LegendEntry],
    pages: Option<Pages>,
    page: usize,
    place: Rect,
) -> (Vec<(&LegendEntry, [f32; 2])>, f32) {
    let on_page = |entry: &&LegendEntry| match entry {
        LegendEntry::Class(index, ..) => pages.is_none_or(|pages| *index as usize / pages.per_page() == page),
        _ => true,
    };
    let mut places = Vec::new();
    let [mut x, mut y] = place.min;
    for entry in entries.iter().filter(on_page) {
        let (_, width) = entry.widths(page);
        if x > place.min[0] && x + width > place.max[0] {
            (x, y) = (place.min[0], y + ROW);
        }
        places.push((entry, [x, y]));
        x += width + GAP;
    }
    (places, y + ROW)
}

fn draw_entry(entry: &LegendEntry, page: usize, [x, y]: [f32; 2], right: f32, scene: &mut Scene, colors: &Colors) {
    let (sign, width) = entry.widths(page);
    let middle = y + 0.5 * ROW;
    let text = shorten(&entry.text(page), SIZE, false, right - x - sign);
    let layer = &mut scene.layers[0];
    let ink = if matches!(entry, LegendEntry::Class(.., true)) {
        colors.muted.alpha(0.65)
    } else {
        colors.text
    };
    let mut words = |x: f32, text: &str| {
        let label = Label::new(0, [x, middle], text, SIZE, ink);
        layer.labels.push(label.aligned(0.0, 0.5));
    };
    match entry {
        // The name of a scale stands before it.
        LegendEntry::Ramp(scale, _, low, high) => {
            words(x, &text);
            let low_at = x + text_width(&text, SIZE, false) + 7.0;
            words(low_at, low);
            let ramp = low_at + text_width(low, SIZE, false) + 3.5;
            words(ramp + RAMP + 3.5, high);
            for step in 0..24_u8 {
                let left = ramp + RAMP * f32::from(step) / 24.0;
                let rect = Rect::new(left, middle - 4.5, RAMP / 24.0, 9.0);
                layer
                    .blocks
                    .push(Block::filled(0, rect, scale.at(f32::from(step) / 23.0)));
            }
        }
        _ => words(x + sign, &text),
    }
    let line = |from: f32, to: f32, color: Color, width: [f32; 2]| {
        let at = |along: f32| [x + along, middle, 0.0];
        Edge {
            from: at(from),
            to: at(to),
            color,
            panel: 0,
            width,
            gap: [0.0; 2],
        }
    };
    let mark = |along: f32, color: Color, shape: Shape| {
        Point::new(0, [x + along, middle, 0.0], color, Point::UNPICKABLE).shaped(shape)
    };
    let pressed = |rect: Rect, target: Target| Region { panel: 0, rect, target };
    match entry {
        LegendEntry::Mark(shape, color, _) => layer.points.push(mark(4.0, *color, *shape)),
        LegendEntry::Class(index, color, _, off) => {
            let (shape, color) = match off {
                false => (Shape::Square, *color),
                true => (Shape::Ring, colors.muted),
            };
            layer.points.push(mark(4.0, color, shape));
            let place = Rect::new(x - 2.0, y, width + 4.0, ROW);
            layer.regions.push(pressed(place, Target::LegendClass(*index)));
        }
        LegendEntry::Pages(pages) => {
            let rect = Rect::new(x, y + 0.5, width.min(right - x), ROW - 1.0);
            let frame = Block::filled(0, rect, colors.panel).stroked(colors.frame, 0.8);
            layer.blocks.push(frame.rounded(2.0));
            layer.regions.push(pressed(rect, pages.turns_to()));
        }
        LegendEntry::Series(shape, color, broken, _) => {
            for step in 0..3_u8 {
                let from = 9.0 * f32::from(step);
                let to = from + if *broken { 5.0 } else { 9.0 };
                layer.edges.push(line(from, to.min(23.0), *color, [1.8; 2]));
            }
            if !broken {
                layer.points.push(mark(11.5, *color, *shape));
            }
        }
        LegendEntry::Fade(color, _) => {
            for step in 0..6_u8 {
                let from = 4.0 * f32::from(step);
                let color = color.alpha(f32::from(step + 1) / 6.0);
                layer.edges.push(line(from, from + 4.0, color, [1.8; 2]));
            }
        }
        LegendEntry::Arrow(color, _) => {
            layer.edges.push(line(0.0, 18.0, *color, [1.8; 2]));
            layer.edges.push(line(17.0, 25.0, *color, [7.0, 0.0]));
        }
        LegendEntry::Ramp(..) | LegendEntry::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{Controller, Event, Input, Key},
        labels::place_labels,
        projection::Projection,
        state::Shared,
    };

    const CLASSES_OF_ALL: usize = 300;

    /// A legend of 300 classes in a page of 420 units, and where it ends.
    fn legend(state: &ViewState) -> (Scene, f32) {
        let colors = state.colors();
        let mut entries = vec![
            LegendEntry::Text("word:".into()),
            LegendEntry::Pages(Pages::new(CLASSES_OF_ALL, state).unwrap()),
        ];
        entries.extend((0..300_u32).map(|class| {
            // Names of very different lengths, so that pages need different numbers of rows.
            let name = "w".repeat(1 + (class as usize * class as usize) % 14);
            let off = state.shared.hidden_classes.contains(&class);
            LegendEntry::Class(class, colors.class(class as usize), name, off)
        }));
        entries.push(LegendEntry::Text("1 point selected".into()));
        let mut scene = Scene::new([420.0, 400.0], colors.background);
        let end = draw(&entries, &mut scene, Rect::new(10.0, 10.0, 400.0, 0.0), &colors);
        (scene, end)
    }

    fn classes(scene: &Scene) -> Vec<u32> {
        let class = |region: &Region| match region.target {
            Target::LegendClass(class) => Some(class),
            _ => None,
        };
        scene.layers[0].regions.iter().filter_map(class).collect()
    }

    fn click(scene: &Scene, state: &mut ViewState, target: Target) -> Vec<Event> {
        let region = scene.layers[0].regions.iter().find(|region| region.target == target);
        let position = region.unwrap().rect.center();
        let mut controller = Controller::default();
        controller.handle(Input::Resized { size: scene.size }, scene, state);
        controller.handle(Input::PointerPressed { position }, scene, state);
        controller.handle(Input::PointerReleased { position }, scene, state)
    }

    #[test]
    fn every_class_is_reached_and_the_last_page_turns_to_the_first() {
        let mut state = ViewState::default();
        let mut seen = Vec::new();
        let (mut places, mut ends) = (Vec::new(), Vec::new());
        for page in 0..19 {
            assert_eq!(state.shared.legend_page, page);
            let (scene, end) = legend(&state);
            seen.extend(classes(&scene));
            ends.push(end);
            let turn = Target::LegendPage((page + 1) % 19);
            places.extend(
                scene.layers[0]
                    .regions
                    .iter()
                    .filter(|region| region.target == turn)
                    .map(|r| r.rect.min),
            );
            let events = click(&scene, &mut state, turn);
            assert_eq!(
                events,
                [Event::LegendPage(state.shared.legend_page), Event::ViewChanged]
            );
        }
        assert_eq!(seen, (0..300).collect::<Vec<_>>());
        assert_eq!(state.shared.legend_page, 0, "around the end");
        // One can go on pressing in one place, and the plot below does not move.
        assert!(
            places.len() == 19 && places.iter().all(|place| *place == places[0]),
            "{places:?}"
        );
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
        // A page that this column does not have is one that it has.
        state.shared.legend_page = 19 + 4;
        assert_eq!(classes(&legend(&state).0)[0], 4 * 16);
    }

    #[test]
    fn entries_of_one_name_are_one_or_have_numbers() {
        let (state, red, blue) = (ViewState::default(), Color::hex(0x00C8_0000), Color::hex(0x0000_00C8));
        let mark = |color, name: &str| LegendEntry::Mark(Shape::Disc, color, name.into());
        let class = |index, name: &str| LegendEntry::Class(index, red, name.into(), false);
        let series = |broken, name: &str| LegendEntry::Series(Shape::Disc, red, broken, name.into());
        let entries = [
            mark(red, "queries"),
            mark(red, "queries"),
            mark(red, "May"),
            mark(blue, "May"),
            series(false, "nouns"),
            series(true, "nouns"),
            class(0, "the"),
            class(1, "a"),
            class(2, "the"),
        ];
        let mut scene = Scene::new([900.0, 100.0], Color::hex(0x00FF_FFFF));
        draw(&entries, &mut scene, Rect::new(0.0, 0.0, 900.0, 0.0), &state.colors());
        let words: Vec<&str> = scene.layers[0].labels.iter().map(|label| &*label.text).collect();
        let expected = [
            "queries", "May (1)", "May (2)", "nouns", "nouns", "the (1)", "a", "the (2)",
        ];
        assert_eq!(words, expected);
        assert_eq!(classes(&scene), [0, 1, 2], "each can be switched off");
    }

    #[test]
    fn keys_reach_what_the_pointer_reaches() {
        let mut state = ViewState::default();
        let mut controller = Controller::default();
        let press = |controller: &mut Controller, state: &mut ViewState, keys: &[Key]| {
            for key in keys {
                controller.handle(Input::Key(*key), &legend(state).0, state);
            }
        };
        // The second page, and its second class.
        let keys = [Key::Legend, Key::Enter, Key::Legend, Key::Legend, Key::Enter];
        press(&mut controller, &mut state, &keys);
        assert_eq!(state.shared.legend_page, 1);
        assert_eq!(state.shared.hidden_classes.iter().collect::<Vec<_>>(), [&17]);
        let framed = |state: &ViewState, controller: &Controller| {
            let mut scene = legend(state).0;
            frame_marked(&mut scene, &controller.interaction(), &state.colors());
            let mut regions = scene.layers[0].regions.iter();
            let class = regions.find(|region| region.target == Target::LegendClass(17));
            let rect = class.map(|region| [region.rect.min, region.rect.max]);
            scene.overlay.blocks.first().map(|frame| [frame.min, frame.max]) == rect
        };
        assert!(framed(&state, &controller));
        // Around the end: a button and sixteen classes.
        press(&mut controller, &mut state, &[Key::Legend; 15]);
        assert_eq!(controller.interaction().legend_mark, Some(0));
        press(&mut controller, &mut state, &[Key::Escape]);
        assert!(controller.interaction().is_empty() && !framed(&state, &controller));
    }

    #[test]
    fn a_class_of_a_later_page_is_switched_off_and_stays_known_as_such() {
        let mut state = ViewState::from(Shared {
            legend_page: 18,
            ..Shared::default()
        });
        let events = click(&legend(&state).0, &mut state, Target::LegendClass(299));
        assert!(events.contains(&Event::ToggleClass(299)) && state.shared.hidden_classes.contains(&299));
        let says = |state: &ViewState, text: &str| {
            let scene = legend(state).0;
            scene.layers[0].labels.iter().any(|label| &*label.text == text)
        };
        assert!(says(&state, "289–300 of 300, 1 off →"));
        state.shared.legend_page = 0;
        assert!(says(&state, "1–16 of 300, 1 off →"), "on other pages too");
        let saved = serde_json::to_string(&ViewState {
            shared: Shared {
                legend_page: 3,
                ..state.shared
            },
            ..state
        })
        .unwrap();
        assert_eq!(serde_json::from_str::<ViewState>(&saved).unwrap().shared.legend_page, 3);
    }

    #[test]
    fn nothing_on_any_page_overlaps() {
        for legend_page in 0..19 {
            let state = ViewState::from(Shared {
                legend_page,
                ..Shared::default()
            });
            let (scene, end) = legend(&state);
            let projection = Projection::new(&scene, &state, scene.size);
            let labels = place_labels(&scene, &projection).remove(0);
            for (i, a) in labels.iter().enumerate() {
                assert!(a.rect.max[0] <= 410.5 && a.rect.max[1] <= end, "{}", a.text);
                let apart = |b: &crate::labels::PlacedLabel| !a.rect.shrink(0.5).overlaps(&b.rect.shrink(0.5));
                assert!(labels[..i].iter().all(apart), "{}", a.text);
            }
        }
    }
}
