//! A number or an aggregated attention pattern per head, as a grid: importance, entropy, what a head does on average (Li et
//! al. 2021, "T3-Vis", the head views).

use std::sync::Arc;

use attn_core::HeadId;

use super::{
    axes::range,
    head_layout::{HeadLayout, names_note},
    legend::Entry,
    page::{Page, number},
};
use crate::{
    Block, Color, Error, Image, Label, Layer, Motion, Panel, Picture, Region, Scale, Scene, View,
    attention::check_weights, error::check_finite,
};

/// What a [`HeadGrid`] shows of each head.
#[derive(Debug, Clone, Copy)]
pub enum HeadCells<'a> {
    /// A number each, as a colour and in figures.
    Values(&'a [f32]),
    /// A mean attention pattern each, `[queries, keys]` row by row over positions: its weights, queries and keys.
    Patterns(&'a [(&'a [f32], usize, usize)]),
}

/// A grid of heads: layers top to bottom, heads left to right, the attentions of an encoder-decoder beside or under each other.
#[derive(Debug, Clone)]
pub struct HeadGrid<'a> {
    /// In bold above everything.
    pub title: &'a str,
    /// Under the title, in small print; may be empty.
    pub subtitle: &'a str,
    /// Under the grid; may be empty. Where there are several attentions, what names of rows mean follows.
    pub caption: &'a str,
    /// What is shown: `importance`, `mean attention`.
    pub what: &'a str,
    /// The heads, in any order; places without one stay empty.
    pub heads: &'a [HeadId],
    /// What is shown of each.
    pub cells: HeadCells<'a>,
    /// Colours values around 0 instead of from their least.
    pub diverging: bool,
}

/// A number takes no more room than this, nor is a pattern seen better.
const LARGEST: f32 = 120.0;

impl HeadGrid<'_> {
    /// The scene, laid out in `size` layout units. Ids count the heads as given; their panels name them.
    ///
    /// # Errors
    /// [`Error::Empty`] without heads or positions, [`Error::Shape`] and [`Error::NotFinite`] for what does not fit
    /// together.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        self.check()?;
        let colors = view.colors();
        let (scale, [low, high]) = self.scale(view)?;
        let page = Page {
            title: self.title,
            subtitle: self.subtitle,
            legend: vec![Entry::Ramp(scale, self.what.into(), number(low), number(high))],
            caption: &format!("{}{}", self.caption, names_note(self.heads.iter().copied())),
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let ground = scene.add_panel(Panel::page(content, Motion::Stage));
        let layout = HeadLayout::new(self.heads.iter().copied(), content, LARGEST, |_| 0.0);
        let mut layer = Layer {
            labels: layout.names(ground, 0.3, &colors),
            ..Layer::default()
        };
        for (index, head) in self.heads.iter().enumerate() {
            let Some(rect) = layout.cell_of(*head) else {
                continue;
            };
            let panel = scene.add_panel(Panel {
                head: Some(*head),
                title: head.to_string(),
                ..Panel::page(rect, Motion::Stage)
            });
            layer.regions.push(Region {
                panel,
                rect,
                id: u32::try_from(index).unwrap_or(u32::MAX),
            });
            match self.cells {
                HeadCells::Values(values) => {
                    let fill = scale.at((values[index] - low) / (high - low).max(f32::MIN_POSITIVE));
                    layer.blocks.push(Block::filled(panel, rect, fill));
                    let (text, size) = (number(values[index]), (0.28 * layout.side).min(11.0));
                    let mut label = Label::new(panel, rect.center(), text, size, ink_on(fill));
                    label = label.aligned(0.5, 0.5);
                    label.grows = 2.0;
                    if crate::text_width(&label.text, label.size, false) < 0.94 * rect.width() && label.size >= 6.0 {
                        layer.labels.push(label);
                    }
                }
                HeadCells::Patterns(patterns) => {
                    let (weights, queries, keys) = patterns[index];
                    let image = heat(weights, queries, keys, scale, [low, high])?;
                    layer.pictures.push(Picture {
                        panel,
                        rect,
                        image,
                        smooth: false,
                    });
                }
            }
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// What everything drawn relies on.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.heads.is_empty() {
            return Err(Error::Empty {
                what: "the grid of heads",
            });
        }
        let cells = match self.cells {
            HeadCells::Values(values) => values.len(),
            HeadCells::Patterns(patterns) => patterns.len(),
        };
        crate::error::check_len("cells of the grid of heads", self.heads.len(), cells)?;
        Ok(())
    }

    fn scale(&self, view: &View) -> Result<(Scale, [f32; 2]), Error> {
        let colors = view.colors();
        match self.cells {
            HeadCells::Values(values) => {
                check_finite("values of heads", values)?;
                let [low, high] = range(values.iter().copied());
                let most = low.abs().max(high.abs());
                Ok(if self.diverging {
                    (colors.diverging, [-most, most])
                } else {
                    (colors.query_scale, [low, high])
                })
            }
            HeadCells::Patterns(patterns) => {
                let mut most = 0.0_f32;
                for (weights, queries, keys) in patterns {
                    if *queries == 0 || *keys == 0 {
                        return Err(Error::Empty { what: "a pattern" });
                    }
                    check_weights(weights, *queries, *keys)?;
                    most = weights.iter().copied().fold(most, f32::max);
                }
                Ok((colors.heat, [0.0, most]))
            }
        }
    }
}

/// Black or white, whichever is easier to read on a colour (WCAG 2).
fn ink_on(fill: Color) -> Color {
    let bright = fill.luminance();
    if (bright + 0.05) / 0.05 > 1.05 / (bright + 0.05) {
        Color::hex(0x101418)
    } else {
        Color::hex(0xFFFFFF)
    }
}

/// Weights as a picture, a pixel each.
pub(crate) fn heat(
    weights: &[f32],
    queries: usize,
    keys: usize,
    scale: Scale,
    [low, high]: [f32; 2],
) -> Result<Arc<Image>, Error> {
    let pixels = weights
        .iter()
        .flat_map(|weight| scale.at((weight - low) / (high - low).max(f32::MIN_POSITIVE)).0);
    let side = |length: usize| {
        u32::try_from(length).map_err(|_| Error::Shape {
            what: "a pattern",
            expected: "fewer than 2^32 positions".into(),
            found: length.to_string(),
        })
    };
    Ok(Arc::new(Image::new(side(keys)?, side(queries)?, pixels.collect())?))
}
