//! A number or an aggregated attention pattern per head, as a grid: importance, entropy, what a head does on average (Li et
//! al. 2021, "T3-Vis", the head views).

use std::sync::Arc;

use attn_core::HeadId;

use super::{
    head_layout::{HeadLayout, names_note},
    kit::{LegendEntry, Page, number, range},
    tables::push_heads,
};
use crate::{
    Color, Error, Image, Plot, Result, Scene, Table, ViewState,
    attention::check_weights,
    color::Scale,
    error::check_finite,
    geometry::Rect,
    scene::{Block, Label, Layer, Motion, Panel, Picture, Region},
};

/// What a [`HeadGrid`] shows of each head.
#[derive(Debug, Clone)]
pub enum HeadCells {
    /// A number each, as a color and in figures; NaN, which was not measured, is a dash.
    Values(Arc<[f32]>),
    /// A mean attention pattern each.
    Patterns(Vec<HeadPattern>),
}

/// The attention of a head by position.
#[derive(Debug, Clone)]
pub struct HeadPattern {
    /// Weights, `[queries, keys]` row by row.
    pub weights: Arc<[f32]>,
    /// Positions of queries.
    pub queries: usize,
    /// Positions of keys.
    pub keys: usize,
}

/// A grid of heads: layers top to bottom, heads left to right, the attentions of an encoder-decoder beside or under each other.
#[derive(Debug, Clone)]
pub struct HeadGrid {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the grid; may be empty. Where there are several attentions, what names of rows mean follows.
    pub caption: String,
    /// What is shown: `importance`, `mean attention`.
    pub what: String,
    /// The heads, in any order; places without one stay empty.
    pub heads: Vec<HeadId>,
    /// What is shown of each.
    pub cells: HeadCells,
    /// Colors values around 0 instead of from their least.
    pub diverging: bool,
    /// Heads that are switched off: their cells are empty and say so.
    pub off: Vec<HeadId>,
    /// A word per head in its cell, such as its role; none, or as many as heads.
    pub words: Vec<String>,
    /// A query and a key that are outlined in every pattern.
    pub marked: [Option<usize>; 2],
}

/// A number takes no more room than this, nor is a pattern seen better.
const LARGEST: f32 = 120.0;
/// Font size of words in cells.
const WORD: f32 = 9.0;

/// Refuses infinite values.
fn check_measured(values: &[f32]) -> Result<()> {
    let measured: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    check_finite("values of heads", &measured)
}

/// A number as a cell has it: values close together are told apart.
fn cell(value: f32, [low, high]: [f32; 2]) -> String {
    match high - low < 0.1 && (0.01..1.0).contains(&value.abs()) {
        true => format!("{value:.3}").replace('-', "−"),
        false => number(value),
    }
}

impl HeadGrid {
    /// A grid without words.
    pub fn new(heads: Vec<HeadId>, cells: HeadCells) -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            what: "value".into(),
            heads,
            cells,
            diverging: false,
            off: Vec::new(),
            words: Vec::new(),
            marked: [None; 2],
        }
    }

    /// What everything drawn relies on.
    fn check(&self) -> Result<()> {
        if self.heads.is_empty() {
            return Err(Error::Empty {
                what: "the grid of heads",
            });
        }
        let cells = match &self.cells {
            HeadCells::Values(values) => values.len(),
            HeadCells::Patterns(patterns) => patterns.len(),
        };
        crate::error::check_len("cells of the grid of heads", self.heads.len(), cells)?;
        if !self.words.is_empty() {
            crate::error::check_len("words of the grid of heads", self.heads.len(), self.words.len())?;
        }
        Ok(())
    }

    /// The row of the marked query and the column of the marked key in a pattern that is drawn in `rect`.
    fn outlined(&self, pattern: &HeadPattern, rect: Rect) -> Vec<Rect> {
        let mut found = Vec::new();
        for (axis, count) in [(1, pattern.queries), (0, pattern.keys)] {
            let Some(at) = self.marked[1 - axis].filter(|at| *at < count) else {
                continue;
            };
            let (low, side) = (rect.min[axis], (rect.max[axis] - rect.min[axis]) / count as f32);
            let mut band = rect;
            band.min[axis] = low + side * at as f32;
            band.max[axis] = low + side * (at + 1) as f32;
            found.push(band);
        }
        found
    }

    fn scale(&self, state: &ViewState) -> Result<(Scale, [f32; 2])> {
        let colors = state.colors();
        match &self.cells {
            HeadCells::Values(values) => {
                check_measured(values)?;
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
                for pattern in patterns {
                    if pattern.queries == 0 || pattern.keys == 0 {
                        return Err(Error::Empty { what: "a pattern" });
                    }
                    check_weights(&pattern.weights, pattern.queries, pattern.keys)?;
                    most = pattern.weights.iter().copied().fold(most, f32::max);
                }
                Ok((colors.heat, [0.0, most]))
            }
        }
    }
}

impl Plot for HeadGrid {
    /// The scene, laid out in `size` layout units. Ids count the heads as given; their panels name them.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let (scale, [low, high]) = self.scale(state)?;
        let unmeasured = matches!(&self.cells, HeadCells::Values(values) if values.iter().all(|value| value.is_nan()));
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: match unmeasured {
                true => vec![LegendEntry::Text(format!("{}: not measured", self.what))],
                false => vec![LegendEntry::Ramp(scale, self.what.clone(), number(low), number(high))],
            },
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
            layer.regions.push(Region::item(panel, rect, index));
            if self.off.contains(head) {
                layer.blocks.push(Block::filled(panel, rect, colors.panel));
                let size = (0.24 * layout.side).min(10.0);
                let mut label = Label::new(panel, rect.center(), "off".to_owned(), size, colors.muted);
                label = label.aligned(0.5, 0.5);
                label.grows = 2.0;
                layer.labels.push(label);
                continue;
            }
            // A word has a strip of its own, below the value or the pattern.
            let strip = match self.words.is_empty() {
                true => 0.0,
                false => (0.3 * layout.side).min(WORD + 3.0),
            };
            let mut ink = colors.text;
            let whole = rect;
            let mut rect = rect;
            if matches!(self.cells, HeadCells::Patterns(_)) {
                rect.max[1] -= strip;
            }
            match &self.cells {
                HeadCells::Values(values) => {
                    let (value, size) = (values[index], (0.28 * layout.side).min(11.0));
                    let (fill, text) = match value.is_nan() {
                        true => (colors.panel, "–".to_owned()),
                        false => {
                            let fill = scale.at((value - low) / (high - low).max(f32::MIN_POSITIVE));
                            ink = ink_on(fill);
                            (fill, cell(value, [low, high]))
                        }
                    };
                    let block = Block::filled(panel, rect, fill);
                    layer.blocks.push(match value.is_nan() {
                        true => block.stroked(colors.frame, 0.7),
                        false => block,
                    });
                    let [x, y] = rect.center();
                    let mut label = Label::new(panel, [x, y - 0.5 * strip], text, size, ink);
                    label = label.aligned(0.5, 0.5);
                    label.grows = 2.0;
                    if crate::text::text_width(&label.text, label.size, false) < 0.94 * rect.width()
                        && label.size >= 6.0
                    {
                        layer.labels.push(label);
                    }
                }
                HeadCells::Patterns(patterns) => {
                    let pattern = &patterns[index];
                    let image = heat(&pattern.weights, pattern.queries, pattern.keys, scale, [low, high])?;
                    layer.pictures.push(Picture {
                        panel,
                        rect,
                        image,
                        smooth: false,
                    });
                    let bands = self.outlined(pattern, rect).into_iter();
                    layer.blocks.extend(
                        bands.map(|band| Block::filled(panel, band, Color::TRANSPARENT).stroked(colors.accent, 1.5)),
                    );
                }
            }
            if let Some(word) = self.words.get(index).filter(|word| !word.is_empty() && strip >= 7.0) {
                let size = (strip - 2.0).min(WORD);
                let word = crate::text::shorten(word, size, false, 0.94 * whole.width());
                let at = [whole.center()[0], whole.max[1] - 0.5 * strip];
                let mut label = Label::new(panel, at, word, size, ink).aligned(0.5, 0.5);
                label.grows = 2.0;
                layer.labels.push(label);
            }
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per head with its value, or per head, query and key of its pattern.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        match &self.cells {
            HeadCells::Values(values) => {
                check_measured(values)?;
                let mut table = Table::new(self.heads.len());
                push_heads(&mut table, |row| self.heads[row]);
                table.numbers(self.what.as_str(), |row| values[row]);
                Ok(table)
            }
            HeadCells::Patterns(patterns) => {
                let mut rows = Vec::new();
                for (head, pattern) in self.heads.iter().zip(patterns) {
                    check_weights(&pattern.weights, pattern.queries, pattern.keys)?;
                    let weights = pattern.weights.iter().enumerate();
                    rows.extend(weights.map(|(i, weight)| (*head, i / pattern.keys, i % pattern.keys, *weight)));
                }
                let mut table = Table::new(rows.len());
                push_heads(&mut table, |row| rows[row].0);
                table
                    .numbers("query", |row| rows[row].1)
                    .numbers("key", |row| rows[row].2);
                table.numbers("weight", |row| rows[row].3);
                Ok(table)
            }
        }
    }

    fn natural_size(&self) -> [f32; 2] {
        [560.0, 460.0]
    }
}

/// Black or white, whichever is easier to read on a color (WCAG 2).
pub(super) fn ink_on(fill: Color) -> Color {
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
) -> Result<Arc<Image>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_query_is_a_row_and_a_marked_key_a_column() {
        let head = HeadId::new(attn_core::Attention::Cross, 0, 0);
        let pattern = HeadPattern {
            weights: vec![0.1; 8].into(),
            queries: 2,
            keys: 4,
        };
        let plain = HeadGrid::new(vec![head], HeadCells::Patterns(vec![pattern.clone()]));
        let grid = HeadGrid {
            marked: [Some(1), Some(3)],
            ..plain.clone()
        };
        let rect = Rect::new(10.0, 20.0, 8.0, 6.0);
        assert_eq!(
            grid.outlined(&pattern, rect),
            [Rect::new(10.0, 23.0, 8.0, 3.0), Rect::new(16.0, 20.0, 2.0, 6.0)]
        );
        // What a pattern does not have is not outlined.
        let beyond = HeadGrid {
            marked: [Some(2), None],
            ..plain.clone()
        };
        assert!(beyond.outlined(&pattern, rect).is_empty());
        let blocks = |grid: &HeadGrid| {
            let scene = grid.scene(&ViewState::default(), [300.0, 300.0]).unwrap();
            scene.layers.iter().map(|layer| layer.blocks.len()).sum::<usize>()
        };
        assert_eq!(blocks(&grid), blocks(&plain) + 2);
    }
}
