//! What every view has around its content: title, subtitle, legend and caption.

pub use attn_core::format::number;

use super::legend::{self, LegendEntry};
use crate::{
    Error, Scene,
    color::Colors,
    geometry::Rect,
    scene::Label,
    text::{LINE, shorten, wrap},
};

/// Font sizes, in layout units.
const TITLE: f32 = 15.0;
const SUBTITLE: f32 = 10.5;
const CAPTION: f32 = 9.5;

/// Title, subtitle, legend and caption around the content of a plot.
#[derive(Debug, Clone, Default)]
pub struct Page<'a> {
    /// In bold above everything; may be empty.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// What colors and shapes stand for.
    pub legend: Vec<LegendEntry>,
    /// Under the content; may be empty.
    pub caption: &'a str,
}

impl Page<'_> {
    /// A scene with everything but the content, in its first panel and layer, and the rectangle that is left for the content.
    ///
    /// # Errors
    /// [`Error::Shape`] for a side below 1 or from 1,000,000 layout units on.
    pub fn start(&self, size: [f32; 2], colors: &Colors) -> Result<(Scene, Rect), Error> {
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
            top = legend::draw(
                &self.legend,
                &mut scene,
                Rect::new(margin, top + 7.0, width, 0.0),
                colors,
            );
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Theme, ViewState, color::Palette, labels::place_labels, projection::Projection, scene::Shape};

    #[test]
    fn nothing_on_a_page_overlaps_or_leaves_it() {
        let colors = Colors::new(Theme::Light, Palette::default());
        let words = "words that tell what is seen, at some length, ".repeat(4);
        for width in [240.0, 420.0, 900.0] {
            let legend = vec![
                LegendEntry::Mark(Shape::Disc, colors.query, "queries".into()),
                LegendEntry::Mark(Shape::Diamond, colors.key, "keys".into()),
                LegendEntry::Series(Shape::Square, colors.accent, false, "score".into()),
                LegendEntry::Series(Shape::Square, colors.accent, true, "chance".into()),
                LegendEntry::Fade(colors.text, "attention".into()),
                LegendEntry::Ramp(
                    colors.query_scale,
                    "position of queries".into(),
                    "0".into(),
                    "511".into(),
                ),
                LegendEntry::Text("size: norm".into()),
            ];
            let page = Page {
                title: &words,
                subtitle: &words,
                legend,
                caption: &words,
            };
            let (scene, content) = page.start([width, 500.0], &colors).unwrap();
            let projection = Projection::new(&scene, &ViewState::default(), [width, 500.0]);
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
