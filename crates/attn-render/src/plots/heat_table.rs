//! A table of numbers as colors, with names of rows and columns: what each layer brings back at each token, how often words
//! were aligned.

use std::sync::Arc;

use super::{
    head_grid::ink_on,
    kit::{LegendEntry, Page, Texts, number, range},
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    error::{check_finite, check_len},
    geometry::Rect,
    plot::Tooltip,
    scene::{Block, Label, Layer, Motion, Panel, Region},
    text::{shorten, text_width},
};

/// Numbers by row and column.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::HeatTable};
/// let table = HeatTable::new(["layer 0", "layer 1"], ["the", "cat"], [0.1, 0.9, 0.0, 1.0]);
/// let scene = table.scene(&ViewState::default(), table.natural_size())?;
/// assert_eq!(scene.layers[1].regions.len(), 4);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeatTable {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the table; may be empty.
    pub caption: String,
    /// What the numbers are.
    pub what: String,
    /// Names of rows.
    pub rows: Texts,
    /// Names of columns.
    pub columns: Texts,
    /// `[row, column]`, row by row.
    pub values: Arc<[f32]>,
    /// The values of the first and the last color; `None` for the least and the largest.
    pub range: Option<[f32; 2]>,
    /// Colors values around the middle of the range.
    pub diverging: bool,
}

/// Largest and usual sides of a cell, and font size of names. Names may make cells as wide as [`WIDEST`].
const LARGEST: [f32; 2] = [64.0, 30.0];
const WIDEST: f32 = 116.0;
/// Most lines of names of columns.
const LINES: usize = 4;
const USUAL: [f32; 2] = [40.0, 24.0];
const SIZE: f32 = 10.0;
/// Names take no more of the width; those in two lines a little more.
const NAMES: [f32; 2] = [0.3, 0.42];
/// Height of two lines of names.
const TWO: f32 = 2.4 * SIZE;

impl HeatTable {
    /// A table without words.
    pub fn new(rows: impl Into<Texts>, columns: impl Into<Texts>, values: impl Into<Arc<[f32]>>) -> Self {
        Self {
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            what: "value".into(),
            rows: rows.into(),
            columns: columns.into(),
            values: values.into(),
            range: None,
            diverging: false,
        }
    }

    fn check(&self) -> Result<[f32; 2]> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return Err(Error::Empty { what: "the table" });
        }
        check_len(
            "values of the table",
            self.rows.len() * self.columns.len(),
            self.values.len(),
        )?;
        check_finite("values of the table", &self.values)?;
        let range = self.range.unwrap_or_else(|| range(self.values.iter().copied()));
        check_finite("range of the table", &range)?;
        Ok(range)
    }

    /// The least width at which a column shows its name, within bounds.
    fn column(&self, least: f32) -> f32 {
        (self.widest(&self.columns) + 4.0).clamp(least, WIDEST)
    }

    /// Whether the values are counts.
    fn counts(&self) -> bool {
        let is_count = |value: &f32| value.fract() == 0.0 && value.abs() < 1e6;
        self.values.iter().all(is_count)
    }

    /// The lines that each row has its name in, and the room that they take: two where names are wide and rows are high.
    fn row_names(&self, content: Rect) -> (Vec<Vec<String>>, f32) {
        let least = content.height() - SIZE * (1.8 + 1.2 * (LINES - 1) as f32);
        let [narrow, wide] = NAMES.map(|share| share * content.width());
        if self.widest(&self.rows) <= narrow || least / self.rows.len() as f32 <= TWO {
            let names = self.rows.iter().map(|name| vec![name.to_string()]);
            return (names.collect(), self.widest(&self.rows).min(narrow));
        }
        let names: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|name| match text_width(name, SIZE, false) <= narrow {
                true => vec![name.to_string()],
                false => broken(name),
            })
            .collect();
        let widths = names.iter().flatten().map(|line| text_width(line, SIZE, false));
        let widest = widths.fold(0.0, f32::max).min(wide);
        (names, widest)
    }

    fn widest(&self, names: &Texts) -> f32 {
        names
            .iter()
            .map(|name| text_width(name, SIZE, false))
            .fold(0.0, f32::max)
    }
}

/// A name in two lines, broken at the space that makes the longer one shortest.
fn broken(name: &str) -> Vec<String> {
    let halves = name.match_indices(' ').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let longer = |(a, b): &(&str, &str)| text_width(a, SIZE, false).max(text_width(b, SIZE, false));
    match halves.min_by(|a, b| longer(a).total_cmp(&longer(b))) {
        Some((first, second)) => vec![first.to_owned(), second.to_owned()],
        None => vec![name.to_owned()],
    }
}

/// A number as a cell has it: counts as such, others of a wide range by hundredths, for more would be noise in a small cell.
fn cell(value: f32, counts: bool, [low, high]: [f32; 2]) -> String {
    if counts {
        return format!("{:.0}", value + 0.0).replace('-', "−");
    }
    match high - low >= 0.5 {
        // What is next to nothing has no sign.
        true if value.abs() < 0.005 => "0.00".to_owned(),
        true => format!("{value:.2}").replace('-', "−"),
        false => number(value),
    }
}

impl Plot for HeatTable {
    /// The scene, laid out in `size` layout units. Ids count the cells, row by row; the one in [`ViewState::selection`] is framed.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        let [low, high] = self.check()?;
        let colors = state.colors();
        let scale = if self.diverging { colors.diverging } else { colors.heat };
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: vec![LegendEntry::Ramp(scale, self.what.clone(), number(low), number(high))],
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            ..Panel::page(content, Motion::Inside)
        });
        let (row_names, room) = self.row_names(content);
        let names = room + 8.0;
        let width = ((content.width() - names) / self.columns.len() as f32).min(self.column(LARGEST[0]));
        // Names that do not fit beside each other take turns in several lines.
        let lines = (self.column(0.0) / width.max(1.0)).ceil().clamp(1.0, LINES as f32) as usize;
        let header = 1.8 * SIZE + 1.2 * SIZE * (lines - 1) as f32;
        let height = ((content.height() - header) / self.rows.len() as f32).min(LARGEST[1]);
        let picked = state.selection.map(|pick| pick.id as usize);
        let mut layer = Layer::default();
        for (column, name) in self.columns.iter().enumerate() {
            let line = column % lines;
            let words = shorten(name, SIZE, false, lines as f32 * width - 2.0);
            let at = [
                // A name that is wider than its column stays on the page.
                (content.min[0] + names + (column as f32 + 0.5) * width)
                    .min(content.max[0] - 0.5 * text_width(&words, SIZE, false)),
                content.min[1] + 0.9 * SIZE + 1.2 * SIZE * line as f32,
            ];
            if width > 0.6 * SIZE {
                let mut label = Label::new(panel, at, words, SIZE, colors.text).aligned(0.5, 0.5);
                label.grows = 2.0;
                layer.labels.push(label);
            }
        }
        let counts = self.counts();
        for (row, lines) in row_names.iter().enumerate() {
            let top = content.min[1] + header + row as f32 * height;
            let size = SIZE.min(0.8 * height);
            for (line, words) in lines.iter().enumerate() {
                let words = shorten(words, size, false, room);
                let from_middle = (line as f32 - 0.5 * (lines.len() - 1) as f32) * 0.5 * TWO;
                let at = [content.min[0] + room, top + 0.5 * height + from_middle];
                let mut label = Label::new(panel, at, words, size, colors.muted).aligned(1.0, 0.5);
                label.grows = 2.0;
                layer.labels.push(label);
            }
            for column in 0..self.columns.len() {
                let id = row * self.columns.len() + column;
                let rect = Rect::new(content.min[0] + names + column as f32 * width, top, width, height);
                let value = self.values[id];
                let fill = scale.at((value - low) / (high - low).max(f32::MIN_POSITIVE));
                let mut block = Block::filled(panel, rect, fill);
                if picked == Some(id) {
                    block = block.stroked(colors.accent, 2.0);
                }
                layer.blocks.push(block);
                let text = cell(value, counts, [low, high]);
                let size = (0.45 * height).min(0.9 * SIZE);
                if size >= 6.0 && text_width(&text, size, false) < 0.92 * width {
                    let mut label = Label::new(panel, rect.center(), text, size, ink_on(fill)).aligned(0.5, 0.5);
                    label.grows = 2.0;
                    layer.labels.push(label);
                }
                layer.regions.push(Region::item(panel, rect, id));
            }
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per cell: names of row and column, and the number.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let columns = self.columns.len();
        let mut table = Table::new(self.values.len());
        table
            .numbers("row", |cell| cell / columns)
            .texts("row_name", |cell| &*self.rows[cell / columns])
            .numbers("column", |cell| cell % columns)
            .texts("column_name", |cell| &*self.columns[cell % columns])
            .numbers(self.what.as_str(), |cell| self.values[cell]);
        Ok(table)
    }

    /// A size at which names and numbers are written.
    fn natural_size(&self) -> [f32; 2] {
        let cell = self.column(USUAL[0]);
        let width = self.widest(&self.rows) + 8.0 + cell * self.columns.len() as f32 + 56.0;
        let height = USUAL[1] * self.rows.len() as f32 + 170.0;
        [width.clamp(420.0, 4_000.0), height.clamp(240.0, 4_000.0)]
    }

    /// Names and number of a cell.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let id = target.id()? as usize;
        let columns = self.columns.len().max(1);
        let (row, column) = (self.rows.get(id / columns)?, self.columns.get(id % columns)?);
        let tip = Tooltip::new(format!("{row}, {column}"));
        Some(tip.line(format!("{}: {}", self.what, number(*self.values.get(id)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_do_not_fit_are_refused() {
        for (values, good) in [(vec![0.0; 4], true), (vec![0.0; 3], false), (vec![f32::NAN; 4], false)] {
            let table = HeatTable::new(["a", "b"], ["c", "d"], values);
            assert_eq!(table.scene(&ViewState::default(), [300.0; 2]).is_ok(), good);
            table.natural_size();
        }
    }

    #[test]
    fn wide_names_of_rows_take_two_lines() {
        let names = ["integrated gradients (gap 0.8 %)", "gradient length", "one"];
        let table = HeatTable::new(names, ["a", "b", "c", "d", "e", "f", "g", "h"], vec![0.5; 24]);
        let said = |size: [f32; 2]| -> Vec<String> {
            let scene = table.scene(&ViewState::default(), size).unwrap();
            scene.layers[1]
                .labels
                .iter()
                .map(|label| label.text.to_string())
                .collect()
        };
        let small = said([330.0, 300.0]);
        for line in ["integrated gradients", "(gap 0.8 %)", "gradient length", "one"] {
            assert!(small.iter().any(|text| text == line), "{line}: {small:?}");
        }
        assert!(said([900.0, 300.0]).iter().any(|text| text == names[0]));
        // Low rows have room for one line.
        let low = said([330.0, 170.0]);
        assert!(
            low.iter().any(|text| text.starts_with("integ") && text.ends_with('…')),
            "{low:?}"
        );
        assert_eq!(broken("word"), ["word"]);
    }

    #[test]
    fn cells_are_counts_or_hundredths() {
        let table = |values: [f32; 2]| HeatTable::new(["a"], ["b", "c"], values);
        let said = |values: [f32; 2]| values.map(|value| cell(value, table(values).counts(), values));
        assert_eq!(said([0.0, 57.0]), ["0", "57"]);
        assert_eq!(said([-0.001, 0.75]), ["0.00", "0.75"]);
        assert_eq!(said([-1.5, 1.0]), ["−1.50", "1.00"]);
        // A column is as wide as its name, within bounds.
        let wide = HeatTable::new(["a"], ["ablation to the mean", "c"], [0.0, 1.0]);
        let scene = wide.scene(&ViewState::default(), wide.natural_size()).unwrap();
        assert!(
            scene.layers[1]
                .labels
                .iter()
                .any(|label| &*label.text == "ablation to the mean")
        );
    }
}
