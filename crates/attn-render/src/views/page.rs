//! What every view has around its content: title, subtitle, legend and caption.

use crate::{
    Block, Color, Colors, Edge, Error, Label, Point, Rect, Region, Scale, Scene, Shape, View,
    text::{LINE, shorten, text_width, wrap},
};

/// Font sizes, in layout units.
const TITLE: f32 = 15.0;
const SUBTITLE: f32 = 10.5;
const LEGEND: f32 = 10.0;
const CAPTION: f32 = 9.5;

/// One entry of a legend.
pub(crate) enum Entry {
    /// A point.
    Mark(Shape, Color, String),
    /// A line of a chart with its marks, or without for one that is broken.
    Series(Shape, Color, bool, String),
    /// A line that gets fainter.
    Fade(Color, String),
    /// An arrow.
    Arrow(Color, String),
    /// A scale from a lowest to a highest value: colours, name, lowest, highest.
    Ramp(Scale, String, String, String),
    /// A class that can be switched off: its index, colour and name, and whether it is off.
    Class(u32, Color, String, bool),
    /// A remark.
    Text(String),
}

impl Entry {
    /// Width of the sign, and of the whole entry.
    fn widths(&self) -> (f32, f32) {
        let text = |text: &str| text_width(text, LEGEND, false);
        let sign = match self {
            Self::Mark(..) | Self::Class(..) => 12.0,
            Self::Fade(..) | Self::Arrow(..) | Self::Series(..) => 30.0,
            Self::Ramp(_, _, low, high) => text(low) + text(high) + RAMP + 14.0,
            Self::Text(_) => 0.0,
        };
        (sign, sign + text(self.text()))
    }

    fn text(&self) -> &str {
        match self {
            Self::Mark(.., text)
            | Self::Series(.., text)
            | Self::Fade(_, text)
            | Self::Arrow(_, text)
            | Self::Text(text) => text,
            Self::Ramp(_, text, ..) | Self::Class(_, _, text, _) => text,
        }
    }
}

/// Length of a ramp.
const RAMP: f32 = 72.0;
/// Between entries of a legend.
const ENTRY_GAP: f32 = 18.0;

pub(crate) struct Page<'a> {
    pub(crate) title: &'a str,
    pub(crate) subtitle: &'a str,
    pub(crate) legend: Vec<Entry>,
    pub(crate) caption: &'a str,
}

impl Page<'_> {
    /// A scene with everything but the content, and the rectangle left for that.
    pub(crate) fn start(&self, size: [f32; 2], colors: &Colors) -> Result<(Scene, Rect), Error> {
        if !size.iter().all(|side| (1.0..1e6).contains(side)) {
            let found = format!("{} x {}", size[0], size[1]);
            return Err(Error::Shape {
                what: "size of the layout",
                expected: "1 to 1,000,000 units a side".into(),
                found,
            });
        }
        let mut scene = Scene::new(size, colors.background);
        scene.panels[0].point_radius = 4.0;
        let margin = if size[0].min(size[1]) < 500.0 { 16.0 } else { 26.0 };
        let width = size[0] - 2.0 * margin;
        let mut top = margin;
        let labels = &mut scene.layers[0].labels;
        if !self.title.is_empty() {
            let title = shorten(self.title, TITLE, true, width);
            labels.push(Label::new(0, [margin, top], title, TITLE, colors.text).bold());
            top += LINE * TITLE + 2.0;
        }
        for line in wrap(self.subtitle, SUBTITLE, width) {
            labels.push(Label::new(0, [margin, top], line, SUBTITLE, colors.muted));
            top += LINE * SUBTITLE;
        }
        if !self.legend.is_empty() {
            top = self.legend(&mut scene, Rect::new(margin, top + 7.0, width, 0.0), colors);
        }
        let lines = wrap(self.caption, CAPTION, width);
        let mut bottom = size[1] - margin;
        for line in lines.iter().rev() {
            bottom -= 1.35 * CAPTION;
            scene.layers[0]
                .labels
                .push(Label::new(0, [margin, bottom], line.as_str(), CAPTION, colors.muted));
        }
        let content = Rect {
            min: [margin, top + 10.0],
            max: [margin + width, bottom - 10.0],
        };
        Ok((
            scene,
            Rect {
                min: content.min,
                max: [content.max[0], content.max[1].max(content.min[1] + 1.0)],
            },
        ))
    }

    /// Draws the legend from the left top of `place`, in as many rows as it needs; returns where it ends.
    fn legend(&self, scene: &mut Scene, place: Rect, colors: &Colors) -> f32 {
        let row = 1.6 * LEGEND;
        let [mut x, mut y] = place.min;
        for entry in &self.legend {
            let (sign, width) = entry.widths();
            if x > place.min[0] && x + width > place.max[0] {
                x = place.min[0];
                y += row;
            }
            let middle = y + 0.5 * row;
            let text = shorten(entry.text(), LEGEND, false, place.max[0] - x - sign);
            let layer = &mut scene.layers[0];
            let ink = if matches!(entry, Entry::Class(.., true)) {
                colors.muted.alpha(0.5)
            } else {
                colors.text
            };
            let mut words = |x: f32, text: &str| {
                layer
                    .labels
                    .push(Label::new(0, [x, middle], text, LEGEND, ink).aligned(0.0, 0.5));
            };
            match entry {
                // The name of a scale stands before it.
                Entry::Ramp(scale, _, low, high) => {
                    words(x, &text);
                    let low_at = x + text_width(&text, LEGEND, false) + 7.0;
                    words(low_at, low);
                    let ramp = low_at + text_width(low, LEGEND, false) + 3.5;
                    words(ramp + RAMP + 3.5, high);
                    for step in 0..24_u8 {
                        let left = ramp + RAMP * f32::from(step) / 24.0;
                        let color = scale.at(f32::from(step) / 23.0);
                        layer
                            .blocks
                            .push(Block::filled(0, Rect::new(left, middle - 4.5, RAMP / 24.0, 9.0), color));
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
            match entry {
                Entry::Mark(shape, color, _) => {
                    let position = [x + 4.0, middle, 0.0];
                    layer
                        .points
                        .push(Point::new(0, position, *color, Point::UNPICKABLE).shaped(*shape));
                }
                Entry::Class(index, color, _, off) => {
                    let position = [x + 4.0, middle, 0.0];
                    let (shape, color) = match off {
                        false => (Shape::Square, *color),
                        true => (Shape::Ring, colors.muted),
                    };
                    layer
                        .points
                        .push(Point::new(0, position, color, Point::UNPICKABLE).shaped(shape));
                    layer.regions.push(Region {
                        panel: 0,
                        rect: Rect::new(x - 2.0, y, width + 4.0, row),
                        id: View::LEGEND_IDS.saturating_add(*index),
                    });
                }
                Entry::Series(shape, color, broken, _) => {
                    for step in 0..3_u8 {
                        let from = 9.0 * f32::from(step);
                        let to = from + if *broken { 5.0 } else { 9.0 };
                        layer.edges.push(line(from, to.min(23.0), *color, [1.8; 2]));
                    }
                    if !broken {
                        let mark = Point::new(0, [x + 11.5, middle, 0.0], *color, Point::UNPICKABLE);
                        layer.points.push(mark.shaped(*shape));
                    }
                }
                Entry::Fade(color, _) => {
                    for step in 0..6_u8 {
                        let from = 4.0 * f32::from(step);
                        layer
                            .edges
                            .push(line(from, from + 4.0, color.alpha(f32::from(step + 1) / 6.0), [1.8; 2]));
                    }
                }
                Entry::Arrow(color, _) => {
                    layer.edges.push(line(0.0, 18.0, *color, [1.8; 2]));
                    layer.edges.push(line(17.0, 25.0, *color, [7.0, 0.0]));
                }
                Entry::Ramp(..) | Entry::Text(_) => {}
            }
            x += width + ENTRY_GAP;
        }
        y + row
    }
}

/// A number for people: two or three significant digits, a true minus sign.
pub(crate) fn number(value: f32) -> String {
    let size = value.abs();
    let text = match size {
        _ if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 0.01 => format!("{value:.2}"),
        _ if size >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.0e}"),
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Palette, Projection, Theme, place_labels};

    #[test]
    fn nothing_on_a_page_overlaps_or_leaves_it() {
        let colors = Colors::new(Theme::Light, Palette::default());
        let words = "words that tell what is seen, at some length, ".repeat(4);
        for width in [240.0, 420.0, 900.0] {
            let legend = vec![
                Entry::Mark(Shape::Disc, colors.query, "queries".into()),
                Entry::Mark(Shape::Diamond, colors.key, "keys".into()),
                Entry::Series(Shape::Square, colors.accent, false, "score".into()),
                Entry::Series(Shape::Square, colors.accent, true, "chance".into()),
                Entry::Fade(colors.text, "attention".into()),
                Entry::Ramp(
                    colors.query_scale,
                    "position of queries".into(),
                    "0".into(),
                    "511".into(),
                ),
                Entry::Text("size: norm".into()),
            ];
            let page = Page {
                title: &words,
                subtitle: &words,
                legend,
                caption: &words,
            };
            let (scene, content) = page.start([width, 500.0], &colors).unwrap();
            let projection = Projection::new(&scene, &View::default(), [width, 500.0]);
            let labels = place_labels(&scene, &projection).remove(0);
            for (i, a) in labels.iter().enumerate() {
                assert!(a.rect.max[0] <= width && a.rect.max[1] <= 500.0, "{}", a.text);
                assert!(!a.rect.overlaps(&content), "{}", a.text);
                assert!(
                    labels[..i]
                        .iter()
                        .all(|b| !a.rect.shrink(0.5).overlaps(&b.rect.shrink(0.5))),
                    "{}",
                    a.text
                );
            }
        }
    }

    #[test]
    fn sizes_are_checked() {
        let page = Page {
            title: "",
            subtitle: "",
            legend: vec![],
            caption: "",
        };
        let colors = Colors::new(Theme::Light, Palette::default());
        for size in [[0.0, 100.0], [f32::NAN, 5.0], [1e9, 5.0]] {
            assert!(matches!(page.start(size, &colors), Err(Error::Shape { .. })));
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, -0.938, 12.34, 511.0].map(number), ["0", "−0.94", "12.3", "511"]);
        // A small weight is not nothing.
        assert_eq!([0.0034, -2e-5].map(number), ["0.0034", "−2e−5"]);
    }
}
